//! Who uses whom: which resources name another as their provider or target.
//!
//! Kept with every change of a model, so that whoever takes a resource away, or changes its listeners, finds those that it
//! matters to without a look at all others.

use imbl::OrdSet;

use super::Spec;
use crate::model::names::{MeshName, ResourceId};
use crate::model::spec::VirtualServiceProvider;

/// Pairs of what is used and who uses it; a resource that names another twice stands here once.
#[derive(Clone, Debug, Default)]
pub(super) struct Users(OrdSet<(ResourceId, ResourceId)>);

impl Users {
    /// Takes note that a resource is no longer `before`, but `after`.
    pub(super) fn replace(&mut self, id: &ResourceId, before: Option<&Spec>, after: Option<&Spec>) {
        let [before, after] =
            [before, after].map(|spec| spec.map_or_else(Vec::new, |spec| used_by(id.mesh(), spec)));
        if before == after {
            return;
        }
        for used in before {
            self.0.remove(&(used, id.clone()));
        }
        for used in after {
            self.0.insert((used, id.clone()));
        }
    }

    pub(super) fn of(&self, id: &ResourceId) -> impl Iterator<Item = &ResourceId> {
        // No id is smaller.
        let first = ResourceId::Mesh(MeshName::new(""));
        self.0
            .range((id.clone(), first)..)
            .take_while({
                let id = id.clone();
                move |(used, _)| *used == id
            })
            .map(|(_, user)| user)
    }
}

/// What a spec names that must be there.
///
/// The backends of a node do not count: they may name what comes later, since two nodes may be each other's backends.
pub(super) fn used_by(mesh: &MeshName, spec: &Spec) -> Vec<ResourceId> {
    let mesh = || mesh.clone();
    match spec {
        Spec::VirtualService(service) => match &service.provider {
            Some(VirtualServiceProvider::VirtualNode(node)) => {
                vec![ResourceId::VirtualNode(
                    mesh(),
                    node.virtual_node_name.clone(),
                )]
            }
            Some(VirtualServiceProvider::VirtualRouter(router)) => {
                let name = router.virtual_router_name.clone();
                vec![ResourceId::VirtualRouter(mesh(), name)]
            }
            None => Vec::new(),
        },
        Spec::Route(route) => {
            let targets = route.weighted_targets().iter();
            targets
                .map(|target| ResourceId::VirtualNode(mesh(), target.virtual_node.clone()))
                .collect()
        }
        Spec::GatewayRoute(route) => {
            let service = route.target().map(|target| &target.virtual_service);
            service
                .map(|service| {
                    ResourceId::VirtualService(mesh(), service.virtual_service_name.clone())
                })
                .into_iter()
                .collect()
        }
        Spec::Mesh(_) | Spec::VirtualNode(_) | Spec::VirtualRouter(_) | Spec::VirtualGateway(_) => {
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::model::document::Located;
    use crate::model::registry::{Model, Resource};
    use crate::model::schema;

    fn resource(document: &serde_json::Value) -> Resource {
        let read = schema::read(&Located::from(document.clone()));
        read.resource
            .unwrap_or_else(|| panic!("{document}: {:#?}", read.problems))
    }

    fn any_resource() -> impl Strategy<Value = Resource> {
        let name = prop::sample::select(vec!["a", "b", "c"]);
        let names = prop::collection::vec(name.clone(), 1..4);
        let mesh = prop::sample::select(vec!["m", "n"]);
        (mesh, 0..5, name.clone(), name, names).prop_map(|(mesh, kind, own, other, names)| {
            resource(&match kind {
                0 => json!({ "kind": "VirtualService", "meshName": mesh, "virtualServiceName": own, "spec": {
                    "provider": { "virtualNode": { "virtualNodeName": other } },
                } }),
                1 => json!({ "kind": "VirtualService", "meshName": mesh, "virtualServiceName": own, "spec": {
                    "provider": { "virtualRouter": { "virtualRouterName": other } },
                } }),
                2 => json!({ "kind": "VirtualService", "meshName": mesh, "virtualServiceName": own, "spec": {} }),
                3 => {
                    let target = |name: &&str| json!({ "virtualNode": name, "weight": 1 });
                    let targets: Vec<_> = names.iter().map(target).collect();
                    json!({ "kind": "Route", "meshName": mesh, "virtualRouterName": other, "routeName": own, "spec": {
                        "tcpRoute": { "action": { "weightedTargets": targets } },
                    } })
                }
                _ => json!({ "kind": "GatewayRoute", "meshName": mesh, "virtualGatewayName": own, "gatewayRouteName": own, "spec": {
                    "httpRoute": {
                        "match": { "prefix": "/" },
                        "action": { "target": { "virtualService": { "virtualServiceName": other } } },
                    },
                } }),
            })
        })
    }

    /// The same by a look at every resource.
    fn scanned(model: &Model) -> BTreeSet<(ResourceId, ResourceId)> {
        let all = model.resources().into_iter();
        all.flat_map(|Resource { id, spec }| {
            let used = used_by(id.mesh(), &spec).into_iter();
            used.map(move |used| (used, id.clone())).collect::<Vec<_>>()
        })
        .collect()
    }

    proptest! {
        #[test]
        fn what_is_kept_is_what_a_scan_finds(
            changes in prop::collection::vec((any_resource(), any::<bool>()), 0..60),
        ) {
            let mut model = Model::default();
            let mut versions = vec![model.clone()];
            for (resource, keep) in changes {
                if keep {
                    model.insert(resource);
                } else {
                    model.remove(&resource.id);
                }
                versions.push(model.clone());
            }
            for version in &versions {
                let expected = scanned(version);
                let kept: BTreeSet<_> = version.users.0.iter().cloned().collect();
                prop_assert_eq!(&kept, &expected);
                for (used, _) in &expected {
                    let users: Vec<_> = version.users_of(used).collect();
                    let scanned: Vec<_> = expected.iter().filter(|(id, _)| id == used).map(|(_, user)| user).collect();
                    prop_assert_eq!(users, scanned);
                }
            }
        }
    }
}
