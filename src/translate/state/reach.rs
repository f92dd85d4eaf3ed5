//! How far a new input reaches, told before anything is done: whoever translates must know whether it takes long.

use std::collections::BTreeSet;

use crate::model::endpoint::{EndpointSet, NodeKey};

use super::super::Input;
use super::Translator;

impl Translator {
    /// Whether [`Translator::apply`] has at most so many views and endpoints to do again. False for a change of
    /// anything but endpoints, and where a node's registration comes or goes, which decides on more than its endpoints.
    ///
    /// An upper bound: what turns out to change nothing is counted. Of what differs, and of what depends on one node,
    /// costs no more looks than `limit` and one.
    pub fn reaches_at_most(&self, input: &Input, limit: usize) -> bool {
        let (older, endpoints) = (&self.input, &input.endpoints);
        if input.model != older.model || input.views != older.views {
            return false;
        }
        let enough = limit.saturating_add(1);
        let sources = endpoints.changed_sources(&older.endpoints).take(enough);
        let sources: Vec<_> = sources.collect();
        let registrations = endpoints.changed_registrations(&older.endpoints);
        let registrations: Vec<_> = registrations.take(enough).collect();
        if sources.len() + registrations.len() > limit {
            return false;
        }
        let mut reached = 0;
        let mut nodes: BTreeSet<NodeKey> = BTreeSet::new();
        for source in sources {
            if let Some(EndpointSet::Known(known)) = endpoints.get(source) {
                reached += known.len();
            }
            nodes.extend(self.sources.of(source).take(enough).cloned());
        }
        for node in registrations {
            let registered = endpoints.registered(node);
            let Some(registered) =
                registered.filter(|_| older.endpoints.registered(node).is_some())
            else {
                return false;
            };
            reached += registered.len();
            nodes.insert(node.clone());
        }
        for node in &nodes {
            if reached > limit {
                return false;
            }
            reached += self.views_with(node, limit);
        }
        reached <= limit
    }

    /// How many views have a node's endpoints, up to one more than the limit.
    fn views_with(&self, node: &NodeKey, limit: usize) -> usize {
        let (mesh, name) = node;
        let services: BTreeSet<_> = (self.meshes.get(mesh).into_iter())
            .flat_map(|units| units.services_of_node(name))
            .collect();
        let sets = self.sets.that_have(mesh, &services);
        let views = sets.iter().flat_map(|set| self.sets.views.of(set));
        let own = self.views_of_node.of(node);
        views.chain(own).take(limit.saturating_add(1)).count()
    }
}
