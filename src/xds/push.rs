//! What a stream sends next, and in which order.
//!
//! A push goes from what is named to what names it: clusters, endpoints, secrets, listeners, routes, extensions, then
//! the removal of clusters (xDS protocol, "Eventual consistency considerations").
//!
//! **Invariant:** nothing waits for the ACK of its own type or of the type before it. Envoy withholds the ACK of
//! clusters while one of them warms, which it does until it is sent endpoints: newer clusters and their endpoints are
//! sent meanwhile, and Envoy applies them (measured on Envoy 1.40).
//!
//! The removal of clusters waits, and not for ACKs: Envoy accepts a listener before the listener is in use, and what
//! drains, or is tried again, still goes by the routes of before (measured on Envoy 1.40: 503).
//!
//! **Invariant:** the load assignment of a cluster has the cluster's name, and follows the cluster on the wire.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use super::ledger::{Batch, Behind, Has, Ledger, Sent};
use super::limits::Limits;
use super::names::NameSets;
use super::quarantine::shortened;
use crate::snapshot::{Kind, PerKind, Resource, ResourceName, Snapshot, Withheld};
use crate::xds::traps::{self, Trap};
use crate::xds::{Held, Step, StreamError, StreamStatus};

mod uncovered;

use uncovered::Uncovered;

/// The part of a stream that both variants share.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) limits: Limits,
    pub(super) names: Arc<NameSets>,
    /// The one type that the stream serves; `None` for all.
    pub(super) only: Option<Kind>,
    pub(super) seen: Arc<Snapshot>,
    pub(super) kinds: PerKind<Ledger>,
    /// A rejection left it open which version of its clusters the client has.
    pub(super) clusters_unsure: bool,
    /// Since when a client of state of the world that came back with clusters waits for its answer about them.
    pub(super) returned: Option<Duration>,
    /// As [`Self::clusters_are_due`] says, as long as one push takes.
    clusters_due: bool,
    uncovered: Uncovered,
    nonce: u64,
}

/// The kinds of resource that may name a cluster.
pub(super) const NAMING: [Kind; 3] = [Kind::Listener, Kind::Route, Kind::Extension];

impl Engine {
    pub(super) fn new(limits: Limits, names: Arc<NameSets>) -> Self {
        Self {
            limits,
            names,
            only: None,
            seen: Arc::default(),
            kinds: PerKind::default(),
            clusters_unsure: false,
            returned: None,
            clusters_due: false,
            uncovered: Uncovered::default(),
            nonce: 0,
        }
    }

    /// The type that a request is for; `None` if it is not served.
    pub(super) fn asked(&self, type_url: &str) -> Result<Option<Kind>, StreamError> {
        match self.only {
            Some(kind) if type_url.is_empty() || type_url == kind.type_url() => Ok(Some(kind)),
            Some(kind) => Err(StreamError::OtherType {
                type_url: shortened(type_url),
                served: kind.type_url(),
            }),
            None if type_url.is_empty() => Err(StreamError::NoTypeUrl),
            None => Ok(Kind::from_type_url(type_url)),
        }
    }

    /// # Errors
    /// When a client subscribes to more names of a type than one may.
    pub(super) fn within_limit(&self, kind: Kind, names: usize) -> Result<(), StreamError> {
        let limit = self.limits.names;
        if names <= limit {
            return Ok(());
        }
        Err(StreamError::TooManyNames {
            type_url: kind.type_url().to_owned(),
            names,
            limit,
        })
    }

    /// Takes the newest snapshot.
    pub(super) fn observe(&mut self, now: Duration, snapshot: &Arc<Snapshot>) {
        if Arc::ptr_eq(&self.seen, snapshot) {
            return;
        }
        let old = mem::replace(&mut self.seen, Arc::clone(snapshot));
        for kind in Kind::ALL {
            self.kinds[kind].observe(kind, &old, snapshot, now);
        }
    }

    pub(super) fn next_nonce(&mut self) -> u64 {
        self.nonce += 1;
        self.nonce
    }

    /// Sends what can be sent now. `respond` encodes a batch as responses of its variant.
    pub(super) fn push(
        &mut self,
        now: Duration,
        step: &mut Step,
        respond: impl Fn(&mut Self, Kind, Batch, &mut Step),
    ) {
        self.clusters_due = self.clusters_are_due();
        for kind in Kind::ALL {
            self.kinds[kind].release_suspects();
            if traps::active(Trap::NextTypeWaitsForAck)
                && kind != Kind::Cluster
                && self.kinds[Kind::Cluster].is_in_flight()
            {
                continue;
            }
            if let Some(batch) = self.plan(kind, now, step) {
                self.follow(kind, &batch, now);
                respond(self, kind, batch, step);
            }
        }
        // Listeners and routes may have turned out to have nothing to say.
        for kind in [Kind::Cluster, Kind::Endpoint] {
            if let Some(batch) = self.plan(kind, now, step) {
                self.follow(kind, &batch, now);
                respond(self, kind, batch, step);
            }
        }
        debug_assert!(step.wake_at.is_none_or(|wake| wake > now), "time goes on");
    }

    /// What a type has to say now. What it will have to say later stays behind, and sets when to look again.
    #[expect(
        clippy::too_many_lines,
        reason = "one decision a name, and what follows from it"
    )]
    fn plan(&mut self, kind: Kind, now: Duration, step: &mut Step) -> Option<Batch> {
        if kind == Kind::Cluster && self.clusters_wait(now, step) {
            return None;
        }
        let ledger = &self.kinds[kind];
        if traps::active(Trap::AnswerWaitsForAllNames) && kind == Kind::Endpoint {
            let mut all = self.seen.resources(kind);
            if all.any(|resource| !ledger.subscription.matches(resource.name())) {
                return None;
            }
        }
        let answers = ledger.answer && !traps::active(Trap::EmptyAnswerIsNotSent);
        if !ledger.is_behind() {
            return answers.then(Batch::default);
        }
        let rules = self.rules(kind, now);
        let ledger = &mut self.kinds[kind];
        if rules.asked_until.is_some() || rules.clusters_due && !kind.is_wildcard() {
            ledger.write_out(kind, &self.seen);
        }
        let mut batch = Batch {
            sent: ledger.start(kind, &self.seen),
            absent: Vec::new(),
        };
        if ledger.behind.is_empty() {
            return (answers || !batch.sent.is_empty()).then_some(batch);
        }
        let rules = self.rules(kind, now);
        let ledger = &mut self.kinds[kind];
        let mut answer = ledger.answer;
        let mut kept = Vec::new();
        let mut retry = None;
        let mut resources = self.seen.in_order(kind, ledger.behind.len());
        for (name, mut behind) in mem::take(&mut ledger.behind) {
            let resource = resources.get(&name);
            match rules.decide(&name, resource, &behind, ledger, &self.seen) {
                Decision::Even => {}
                Decision::Wait(until) => {
                    if let Some(until) = until {
                        wake(step, until);
                    }
                    kept.push((name, behind));
                }
                Decision::Retry(resource) => {
                    retry = retry.or(Some((resource, behind.has.clone())));
                    kept.push((name, behind));
                }
                Decision::Send(resource) => batch.sent.push(Sent {
                    resource,
                    prior: behind.has,
                }),
                Decision::SendOld(resource) => {
                    behind.owed = false;
                    let has = Has::Resource(Arc::clone(&resource));
                    let prior = mem::replace(&mut behind.has, has);
                    batch.sent.push(Sent { resource, prior });
                    kept.push((name, behind));
                    answer = true;
                }
                Decision::LeftAsItIs => {
                    behind.owed = false;
                    kept.push((name, behind));
                }
                Decision::Absent => batch.absent.push((name, behind.has)),
                Decision::AbsentForNow => {
                    behind.owed = false;
                    let has = mem::take(&mut behind.has);
                    batch.absent.push((Arc::clone(&name), has));
                    kept.push((name, behind));
                }
            }
        }
        ledger.behind = kept.into_iter().collect();
        if batch.sent.is_empty() && batch.absent.is_empty() && !answer {
            // A rejected resource is tried again by itself, so that it takes no other down with it.
            let (resource, prior) = retry.filter(|_| !ledger.is_in_flight())?;
            ledger.behind.remove(resource.name());
            batch.sent.push(Sent { resource, prior });
        }
        Some(batch)
    }

    /// Whether clusters wait until a client that came back has its routes; once they do not, they never do again.
    fn clusters_wait(&mut self, now: Duration, step: &mut Step) -> bool {
        let until = self.routes_first(now);
        match until {
            Some(until) => wake(step, until),
            None => self.returned = None,
        }
        until.is_some()
    }

    /// What follows from a batch for other types: a cluster that is sent is followed by its load assignment.
    fn follow(&mut self, kind: Kind, batch: &Batch, now: Duration) {
        if traps::active(Trap::RemovalUnsubscribes) {
            let absent = batch.absent.iter().map(|(name, _)| name.to_string());
            let absent: Vec<_> = absent.collect();
            let subscription = &mut self.kinds[kind].subscription;
            drop(subscription.update(kind, &[], &absent, &self.seen, &self.names));
        }
        let absent = batch.absent.iter().map(|(name, _)| name);
        match kind {
            Kind::Cluster => {
                self.uncover(batch.sent.iter().map(|sent| sent.resource.name()), now);
                self.uncovered.remove_all(absent);
            }
            Kind::Endpoint if !self.uncovered.is_empty() => {
                let sent = batch.sent.iter().map(|sent| sent.resource.name());
                self.uncovered.remove_all(sent);
                self.uncovered.remove_all(absent);
            }
            _ => {}
        }
    }

    /// Notes that a load assignment is to follow each of these clusters, which are sorted.
    pub(super) fn uncover<'a>(
        &mut self,
        clusters: impl ExactSizeIterator<Item = &'a ResourceName> + Clone,
        now: Duration,
    ) {
        if traps::active(Trap::EndpointsDoNotFollow) {
            return;
        }
        let (kind, seen) = (Kind::Endpoint, &self.seen);
        let mut assignments = seen.in_order(kind, clusters.len());
        let is_awaited = |name: &str| seen.why_withheld(kind, name) == Some(Withheld::Awaited);
        let is_due = |name: &&ResourceName| assignments.get(name).is_some() || is_awaited(name);
        // Where clusters are the only type, none of them ever follows.
        if self.only.is_none() {
            self.uncovered.add(clusters.clone().filter(is_due), now);
        }
        let endpoints = &mut self.kinds[kind];
        if endpoints.subscription.is_asked() {
            for name in clusters {
                if endpoints.subscription.matches(name) {
                    endpoints.owe(kind, name, seen, now);
                }
            }
        }
    }

    /// Notes that every load assignment is to be sent again.
    pub(super) fn uncover_all(&mut self, now: Duration) {
        let clusters = self.seen.resources(Kind::Cluster);
        let names: Vec<_> = clusters.map(|cluster| Arc::clone(cluster.name())).collect();
        self.uncover(names.iter(), now);
    }

    /// Whether a cluster was sent on this stream and its load assignment not after it.
    pub(super) fn is_uncovered(&self, name: &str) -> bool {
        self.uncovered.contains(name)
    }

    fn rules(&self, kind: Kind, now: Duration) -> Rules {
        let removal_hold = match kind {
            Kind::Cluster if !traps::active(Trap::ClusterGoesFirst) => self.limits.removal_hold,
            _ => Duration::ZERO,
        };
        let names_clusters = NAMING.contains(&kind);
        // Who wants all clusters asks for the load assignments of those that are new.
        let will_ask = self.kinds[Kind::Endpoint].subscription.is_asked()
            || self.kinds[Kind::Cluster].subscription.is_wildcard();
        let until = |newest: Option<Duration>| {
            let until = newest?.saturating_add(self.limits.withheld_hold);
            Some(until).filter(|until| *until > now)
        };
        let is_held = names_clusters && will_ask && !self.uncovered.is_empty();
        let clusters_due = (names_clusters || kind == Kind::Endpoint) && self.clusters_due;
        let held_until = until(self.uncovered.newest(|_| is_held));
        // What is asked for waits for what the client is about to ask for; not for what nobody knows.
        let is_there = |name: &str| self.seen.get(Kind::Endpoint, name).is_some();
        let is_asked = is_held && !kind.is_wildcard();
        let asked_until = until(self.uncovered.newest(|name| is_asked && is_there(name)));
        Rules {
            kind,
            now,
            removal_hold,
            withheld_hold: match kind {
                // The client asks for its clusters once it has these, and is to have clusters before its routes.
                Kind::Endpoint if clusters_due => self.limits.withheld_hold / 2,
                _ => self.limits.withheld_hold,
            },
            clusters_due: clusters_due && names_clusters,
            held_until,
            asked_until,
            // Said to have no endpoints, a cluster that is still in use would answer 503.
            absent_until: match kind {
                Kind::Endpoint => self.routes_first(now),
                _ => None,
            },
        }
    }

    /// Until when a client that came back gets its routes before its clusters.
    ///
    /// State of the world cannot say that a cluster goes later: the first answer takes away what went while the client
    /// was elsewhere, which its routes still name. New routes come first, unless they may name a cluster that is new.
    fn routes_first(&self, now: Duration) -> Option<Duration> {
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
    fn clusters_are_due(&self) -> bool {
        self.only.is_none()
            && self.kinds[Kind::Endpoint].subscription.is_asked()
            && !self.kinds[Kind::Cluster].subscription.is_asked()
            && self.kinds.iter().any(|(_, ledger)| ledger.is_behind())
            && self.is_any_cluster_new()
    }

    pub(super) fn held(&self) -> Vec<Held> {
        let kinds = self.kinds.iter();
        kinds
            .flat_map(|(kind, ledger)| ledger.held(kind, &self.seen))
            .collect()
    }

    pub(super) fn status(&self) -> StreamStatus {
        let mut status = StreamStatus::default();
        for (kind, ledger) in self.kinds.iter() {
            status.kinds[kind] = ledger.status(kind, &self.seen);
        }
        status
    }
}

fn wake(step: &mut Step, at: Duration) {
    step.wake_at = Some(step.wake_at.map_or(at, |known| known.min(at)));
}

/// What decides about one type in one step.
struct Rules {
    kind: Kind,
    now: Duration,
    /// How long a removal waits.
    removal_hold: Duration,
    withheld_hold: Duration,
    /// The client is yet to ask for its clusters, and this may name one.
    clusters_due: bool,
    /// Until when nothing that may name a cluster is sent unasked.
    held_until: Option<Duration>,
    /// Until when what is asked for and may name a cluster is not sent.
    asked_until: Option<Duration>,
    /// Until when a name that does not exist is not said to.
    absent_until: Option<Duration>,
}

/// What happens to a name that is behind.
enum Decision {
    /// It no longer is.
    Even,
    /// Not now; look again then, or when something comes in.
    Wait(Option<Duration>),
    Send(Arc<Resource>),
    /// An older one, in place of one that was rejected or is not there.
    SendOld(Arc<Resource>),
    /// A rejected one whose back-off is over.
    Retry(Arc<Resource>),
    Absent,
    /// There will be one, but the client has waited long enough.
    AbsentForNow,
    /// There will be one, and the client may have an older one.
    LeftAsItIs,
}

impl Rules {
    /// `resource` is what the snapshot has of the name.
    fn decide(
        &self,
        name: &str,
        resource: Option<&Arc<Resource>>,
        behind: &Behind,
        ledger: &Ledger,
        seen: &Snapshot,
    ) -> Decision {
        if behind.deferred {
            return Decision::Wait(None);
        }
        if let Some(resource) = resource {
            return self.decide_present(resource, behind, ledger);
        }
        if let Some(why) = seen.why_withheld(self.kind, name) {
            let hold = match why {
                Withheld::Awaited => self.withheld_hold,
                Withheld::Overdue => Duration::ZERO,
            };
            return match behind.since.saturating_add(hold) {
                _ if !behind.owed => Decision::Wait(None),
                // "There is none" would take away what it may have. A cluster that changed meanwhile warms on, and the
                // one before it serves.
                _ if matches!(behind.has, Has::Version(_))
                    || ledger.may_have_unknown && matches!(behind.has, Has::Unknown) =>
                {
                    Decision::LeftAsItIs
                }
                until if until > self.now => Decision::Wait(Some(until)),
                _ => match behind.has.newest() {
                    Some(newest) => Decision::SendOld(Arc::clone(newest)),
                    None => Decision::AbsentForNow,
                },
            };
        }
        if behind.owed {
            if traps::active(Trap::AbsentIsNotTold) {
                return Decision::Wait(None);
            }
            return match (behind.has.newest(), self.absent_until) {
                // It went while the client rejected the response that it was in.
                (Some(newest), _) if !self.kind.is_wildcard() => {
                    Decision::SendOld(Arc::clone(newest))
                }
                (_, Some(until)) => Decision::Wait(Some(until)),
                _ => Decision::Absent,
            };
        }
        let released = behind.since.saturating_add(self.removal_hold);
        match (&behind.has, self.held_until(behind)) {
            (Has::Nothing, _) => Decision::Even,
            // Clients keep what they have of other types until its parent goes (xDS protocol, "Deleting resources").
            _ if !self.kind.is_wildcard() => Decision::Wait(None),
            (_, Some(until)) => Decision::Wait(Some(until)),
            _ if released > self.now => Decision::Wait(Some(released)),
            _ => Decision::Absent,
        }
    }

    fn decide_present(
        &self,
        resource: &Arc<Resource>,
        behind: &Behind,
        ledger: &Ledger,
    ) -> Decision {
        let version = resource.version();
        if behind.has.is(version) && !behind.owed {
            return Decision::Even;
        }
        if let Some(until) = ledger.quarantine.until(resource.name(), version) {
            return match behind.has.accepted() {
                _ if until <= self.now && behind.owed => Decision::Send(Arc::clone(resource)),
                _ if until <= self.now => Decision::Retry(Arc::clone(resource)),
                Some(good) if behind.owed => Decision::SendOld(Arc::clone(good)),
                None if behind.owed => Decision::AbsentForNow,
                _ => Decision::Wait(Some(until)),
            };
        }
        match self.held_until(behind) {
            Some(until) => Decision::Wait(Some(until)),
            None => Decision::Send(Arc::clone(resource)),
        }
    }

    /// Until when a name waits for the endpoints of clusters: no longer than those of one cluster may take, or a row of
    /// new clusters, each as slow as it may be, would hold it up for ever.
    fn held_until(&self, behind: &Behind) -> Option<Duration> {
        let longest = behind.since.saturating_add(self.withheld_hold);
        let until = match behind.owed {
            owed if self.clusters_due && !(owed && self.kind.is_wildcard()) => longest,
            true => self.asked_until?.min(longest),
            false => self.held_until?.min(longest),
        };
        (until > self.now).then_some(until)
    }
}
