//! The first request for a type: whatever is subscribed is behind, which is one fact and not an entry for each name.
//!
//! **Invariant:** the fact is written out name by name, of the subscription that it was about, before anything else
//! happens to the ledger than that the answer is begun.

use std::sync::Arc;

use super::{Has, Ledger, Sent};
use crate::snapshot::{Kind, Resource, Snapshot};

impl Ledger {
    /// Notes that a client that asks for the first time may have anything of it from an earlier stream.
    pub(in crate::xds) fn may_have_any(&mut self) {
        if let Some(fresh) = &mut self.fresh {
            fresh.has = Has::Unknown;
        }
    }

    /// Begins the answer to a first request: what there is, sorted. What there is not is left behind, name by name.
    pub(in crate::xds) fn start(&mut self, kind: Kind, seen: &Snapshot) -> Vec<Sent> {
        let Some(fresh) = self.fresh.take() else {
            return Vec::new();
        };
        let send = |resource: &Arc<Resource>| Sent {
            resource: Arc::clone(resource),
            prior: fresh.has.clone(),
        };
        let names = self.subscription.names();
        let mut resources = seen.in_order(kind, names.len());
        let mut sent = Vec::new();
        for name in names.iter() {
            match resources.get(name) {
                Some(resource) => sent.push(send(resource)),
                None => drop(self.behind.insert(Arc::clone(name), fresh.clone())),
            }
        }
        if self.subscription.is_wildcard() {
            sent = seen.resources(kind).map(send).collect();
        }
        sent
    }

    /// Writes out name by name that whatever is subscribed is behind.
    pub(in crate::xds) fn write_out(&mut self, kind: Kind, seen: &Snapshot) {
        self.write_out_those(kind, seen, |_| true);
    }

    /// The same for those names of which `is_behind` says so; the client has the others as they are in the snapshot.
    pub(in crate::xds) fn write_out_those(
        &mut self,
        kind: Kind,
        seen: &Snapshot,
        is_behind: impl Fn(&str) -> bool,
    ) {
        let Some(fresh) = self.fresh.take() else {
            return;
        };
        let everything = self
            .subscription
            .is_wildcard()
            .then(|| seen.resources(kind));
        let everything = everything.into_iter().flatten();
        let current = everything.map(|resource| resource.name());
        let names = self.subscription.names().iter().chain(current);
        let names = names.filter(|name| is_behind(name));
        self.behind = names
            .map(|name| (Arc::clone(name), fresh.clone()))
            .collect();
    }

    pub(in crate::xds) fn is_behind(&self) -> bool {
        self.fresh.is_some() || !self.behind.is_empty()
    }

    /// Whether the client lacks anything among the names of which `counts` says so.
    pub(in crate::xds) fn is_any_behind(&self, counts: impl Fn(&str) -> bool) -> bool {
        if self.fresh.is_some() {
            return self.subscription.is_wildcard()
                || self.subscription.names().iter().any(|name| counts(name));
        }
        self.behind.keys().any(|name| counts(name))
    }
}
