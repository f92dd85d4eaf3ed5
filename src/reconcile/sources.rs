//! Which endpoint sources the model wants, kept up to date by what changes.

use imbl::{HashMap, OrdSet};

use crate::model::endpoint::EndpointSource;
use crate::model::{Mesh, MeshName, Model, NodeName, ResourceId};

/// The wanted sources, each with the number of virtual nodes that want it.
#[derive(Debug, Default)]
pub(super) struct Sources {
    model: Model,
    counts: HashMap<EndpointSource, usize>,
    wanted: OrdSet<EndpointSource>,
}

impl Sources {
    /// Takes the newest model; costs what changed since the last.
    pub(super) fn follow(&mut self, model: &Model) {
        let old = std::mem::replace(&mut self.model, model.clone());
        let changed = model.changes_since(&old);
        for id in &changed {
            match id {
                // A mesh's preference of addresses is its nodes' default.
                ResourceId::Mesh(mesh) => {
                    for node in node_names(&old, model, mesh) {
                        let handled_below = ResourceId::VirtualNode(mesh.clone(), node.clone());
                        if !changed.contains(&handled_below) {
                            self.replace(source(&old, mesh, &node), source(model, mesh, &node));
                        }
                    }
                }
                ResourceId::VirtualNode(mesh, node) => {
                    self.replace(source(&old, mesh, node), source(model, mesh, node));
                }
                _ => {}
            }
        }
    }

    pub(super) fn wanted(&self) -> OrdSet<EndpointSource> {
        self.wanted.clone()
    }

    fn replace(&mut self, old: Option<EndpointSource>, new: Option<EndpointSource>) {
        if let Some(new) = new {
            *self.counts.entry(new.clone()).or_insert(0) += 1;
            self.wanted.insert(new);
        }
        if let Some(old) = old {
            let count = self.counts.entry(old.clone()).or_insert(0);
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.counts.remove(&old);
                self.wanted.remove(&old);
            }
        }
    }
}

fn source(model: &Model, mesh: &MeshName, node: &NodeName) -> Option<EndpointSource> {
    let mesh = model.mesh(mesh)?;
    mesh.nodes.get(node)?.endpoint_source(mesh.spec.as_ref()?)
}

fn node_names(old: &Model, new: &Model, mesh: &MeshName) -> OrdSet<NodeName> {
    let names = |mesh: &Mesh| mesh.nodes.keys().cloned().collect::<OrdSet<_>>();
    let of = |model: &Model| model.mesh(mesh).map(names).unwrap_or_default();
    of(old).union(of(new))
}
