//! What is registered, and until when. Pure: what time it is comes from outside.
//!
//! Persistent, so that calls are tried on a copy, which takes the place of the original once it is kept.

#[cfg(test)]
mod tests;

use std::time::Duration;

use imbl::{OrdMap, OrdSet};
use tokio::time::Instant;

use crate::model::endpoint::{NodeKey, RegisteredSet};
use crate::model::{MeshName, NodeName};

/// What is registered for one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    pub endpoints: RegisteredSet,
    /// `None`: until it is deleted.
    pub lease: Option<Duration>,
    /// When the last call for the node came.
    pub renewed_at: Instant,
}

impl Registration {
    /// When it goes unless it is renewed.
    pub fn ends_at(&self) -> Option<Instant> {
        Some(self.renewed_at + self.lease?)
    }
}

/// All registrations at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    registrations: OrdMap<NodeKey, Registration>,
    ends: OrdSet<(Instant, NodeKey)>,
    endpoints: usize,
}

impl State {
    pub(super) fn get(&self, node: &NodeKey) -> Option<&Registration> {
        self.registrations.get(node)
    }

    pub(super) fn of_mesh<'a>(
        &'a self,
        mesh: &'a MeshName,
    ) -> impl Iterator<Item = (&'a NodeKey, &'a Registration)> {
        self.registrations
            .range((mesh.clone(), NodeName::new(""))..)
            .take_while(move |((of, _), _)| of == mesh)
    }

    pub(super) fn registrations(&self) -> impl Iterator<Item = (&NodeKey, &Registration)> {
        self.registrations.iter()
    }

    /// How many nodes have a registration.
    pub(super) fn len(&self) -> usize {
        self.registrations.len()
    }

    /// How many endpoints are registered for all nodes together.
    pub(super) fn endpoints(&self) -> usize {
        self.endpoints
    }

    /// Replaces what is registered for a node. False if the endpoints stay the same, and only the lease begins anew.
    pub(super) fn put(&mut self, node: NodeKey, mut registration: Registration) -> bool {
        let old = self.remove(&node);
        let same = old.filter(|old| old.endpoints == registration.endpoints);
        let changed = same.is_none();
        if let Some(same) = same {
            // What stays equal stays the same, so that nobody compares it again.
            registration.endpoints = same.endpoints;
        }
        self.endpoints += registration.endpoints.len();
        self.ends
            .extend(registration.ends_at().map(|end| (end, node.clone())));
        self.registrations.insert(node, registration);
        changed
    }

    /// Returns what was there.
    pub(super) fn remove(&mut self, node: &NodeKey) -> Option<Registration> {
        let old = self.registrations.remove(node)?;
        self.endpoints -= old.endpoints.len();
        if let Some(end) = old.ends_at() {
            self.ends.remove(&(end, node.clone()));
        }
        Some(old)
    }

    /// Lets the leases of these nodes begin anew.
    pub(super) fn renew(&mut self, nodes: impl IntoIterator<Item = NodeKey>, now: Instant) {
        for node in nodes {
            if let Some(registration) = self.remove(&node) {
                let renewed = Registration {
                    renewed_at: now,
                    ..registration
                };
                self.put(node, renewed);
            }
        }
    }

    /// When the next lease ends.
    pub(super) fn next_end(&self) -> Option<Instant> {
        self.ends.get_min().map(|(end, _)| *end)
    }

    /// Removes what has a lease that has ended, and says whose.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<NodeKey> {
        let mut expired = Vec::new();
        while let Some((end, node)) = self.ends.get_min().cloned()
            && end <= now
        {
            self.remove(&node);
            expired.push(node);
        }
        expired
    }
}
