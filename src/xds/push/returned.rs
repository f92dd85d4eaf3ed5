//! Clients that come back, with clusters and routes of an earlier stream: what waits for what until they are up to date.

use std::time::Duration;

use super::{Engine, NAMING, wake};
use crate::snapshot::Kind;
use crate::xds::Step;

impl Engine {
    /// Whether clusters wait until a client that came back has its routes; once they do not, they never do again.
    pub(super) fn clusters_wait(&mut self, now: Duration, step: &mut Step) -> bool {
        let until = self.routes_first(now);
        match until {
            Some(until) => wake(step, until),
            None => self.returned = None,
        }
        until.is_some()
    }

    /// Until when a client that came back gets its routes before its clusters.
    ///
    /// State of the world cannot say that a cluster goes later: the first answer takes away what went while the client
    /// was elsewhere, which its routes still name. New routes come first, unless they may name a cluster that is new.
    pub(super) fn routes_first(&self, now: Duration) -> Option<Duration> {
        let until = self.returned?.saturating_add(self.limits.withheld_hold);
        // Load assignments are asked for before listeners: who asks for none has no clusters.
        let has_listed = self.kinds[Kind::Listener].subscription.is_asked();
        let has_named = self.kinds[Kind::Endpoint].subscription.is_asked();
        let has_new = (has_named || has_listed) && self.is_any_cluster_new();
        let is_settled = has_listed
            && NAMING.into_iter().all(|kind| {
                let ledger = &self.kinds[kind];
                // Of other types the client keeps what is gone, and there is nothing to wait for.
                let is_due = |name: &str| kind.is_wildcard() || self.seen.get(kind, name).is_some();
                !ledger.answer && !ledger.is_in_flight() && !ledger.is_any_behind(is_due)
            });
        (until > now && !has_new && !is_settled).then_some(until)
    }

    /// Whether there is a cluster whose load assignment the client does not ask for.
    fn is_any_cluster_new(&self) -> bool {
        let known = self.kinds[Kind::Endpoint].subscription.names();
        let current = self.seen.resources(Kind::Endpoint);
        let current = current
            .map(|resource| resource.name())
            .chain(self.seen.withheld(Kind::Endpoint));
        // There are load assignments without a cluster, too, for clients that ask.
        let mut clusters = current.filter(|name| self.seen.get(Kind::Cluster, name).is_some());
        clusters.any(|name| !known.contains(name))
    }

    /// Whether the client is yet to ask for clusters that it does not have: one that comes back while a cluster warms
    /// asks for load assignments first, and for clusters once it has them (measured on Envoy 1.40). May cost a look at each
    /// load assignment, if anything is to be sent.
    pub(super) fn clusters_are_due(&self) -> bool {
        self.only.is_none()
            && self.kinds[Kind::Endpoint].subscription.is_asked()
            && !self.kinds[Kind::Cluster].subscription.is_asked()
            && self.kinds.iter().any(|(_, ledger)| ledger.is_behind())
            && self.is_any_cluster_new()
    }
}
