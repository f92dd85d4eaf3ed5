//! All resources at one moment, in persistent maps: a clone is cheap, and two models are compared by what differs.

mod users;

use std::collections::BTreeSet;
use std::hash::Hash;
use std::sync::Arc;

use imbl::OrdMap;
use imbl::ordmap::DiffItem;
use serde::de::{DeserializeSeed, Deserializer};
use serde::{Deserialize, Serialize};

use super::names::{
    GatewayName, GatewayRouteName, MeshName, NodeName, ResourceId, ResourceKind, RouteName,
    RouterName, ServiceName,
};
use super::spec::{
    GatewayRouteSpec, MeshSpec, PortMapping, RouteSpec, VirtualGatewaySpec, VirtualNodeSpec,
    VirtualRouterSpec, VirtualServiceSpec,
};
use users::Users;

/// One resource: its name and what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    pub id: ResourceId,
    /// Of the id's kind.
    pub spec: Spec,
}

/// The spec of any of the seven kinds; printed, it is the API's JSON. Which kind it is, JSON does not say: it is read as
/// one of a [`ResourceKind`], by that kind's [`DeserializeSeed`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Spec {
    Mesh(Arc<MeshSpec>),
    VirtualNode(Arc<VirtualNodeSpec>),
    VirtualService(Arc<VirtualServiceSpec>),
    VirtualRouter(Arc<VirtualRouterSpec>),
    Route(Arc<RouteSpec>),
    VirtualGateway(Arc<VirtualGatewaySpec>),
    GatewayRoute(Arc<GatewayRouteSpec>),
}

impl Spec {
    /// The ports that a node, router or gateway listens on; none of the others.
    pub fn port_mappings(&self) -> Vec<&PortMapping> {
        match self {
            Self::VirtualNode(node) => {
                let listeners = node.listeners().iter();
                listeners.map(|listener| &listener.port_mapping).collect()
            }
            Self::VirtualRouter(router) => {
                let listeners = router.listeners().iter();
                listeners.map(|listener| &listener.port_mapping).collect()
            }
            Self::VirtualGateway(gateway) => {
                let listeners = gateway.listeners.iter();
                listeners.map(|listener| &listener.port_mapping).collect()
            }
            Self::Mesh(_) | Self::VirtualService(_) | Self::Route(_) | Self::GatewayRoute(_) => {
                Vec::new()
            }
        }
    }
}

impl Resource {
    /// What it names as its provider or target, which must be there; the backends of nodes do not count.
    pub fn uses(&self) -> Vec<ResourceId> {
        users::used_by(self.id.mesh(), &self.spec)
    }
}

/// Every mesh with everything in it, and who uses whom.
#[derive(Clone, Debug, Default)]
pub struct Model {
    meshes: OrdMap<MeshName, Mesh>,
    users: Users,
}

impl PartialEq for Model {
    fn eq(&self, other: &Self) -> bool {
        // Who uses whom follows from the rest.
        let Self { meshes, users: _ } = self;
        *meshes == other.meshes
    }
}

impl Eq for Model {}

/// One mesh with everything in it.
///
/// `spec` is `None` where resources name a mesh that is not declared; such a mesh serves nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mesh {
    pub spec: Option<Arc<MeshSpec>>,
    pub nodes: OrdMap<NodeName, Arc<VirtualNodeSpec>>,
    pub services: OrdMap<ServiceName, Arc<VirtualServiceSpec>>,
    pub routers: OrdMap<RouterName, Arc<VirtualRouterSpec>>,
    /// By router, then by route, so that a router's routes stand together.
    pub routes: OrdMap<(RouterName, RouteName), Arc<RouteSpec>>,
    pub gateways: OrdMap<GatewayName, Arc<VirtualGatewaySpec>>,
    pub gateway_routes: OrdMap<(GatewayName, GatewayRouteName), Arc<GatewayRouteSpec>>,
}

impl Mesh {
    /// A router's routes, by name.
    pub fn routes_of<'a>(
        &'a self,
        router: &'a RouterName,
    ) -> impl Iterator<Item = (&'a RouteName, &'a Arc<RouteSpec>)> + 'a {
        self.routes
            .range((router.clone(), RouteName::new(""))..)
            .take_while(move |((of, _), _)| of == router)
            .map(|((_, name), spec)| (name, spec))
    }

    /// A gateway's routes, by name.
    pub fn gateway_routes_of<'a>(
        &'a self,
        gateway: &'a GatewayName,
    ) -> impl Iterator<Item = (&'a GatewayRouteName, &'a Arc<GatewayRouteSpec>)> + 'a {
        self.gateway_routes
            .range((gateway.clone(), GatewayRouteName::new(""))..)
            .take_while(move |((of, _), _)| of == gateway)
            .map(|((_, name), spec)| (name, spec))
    }

    /// What is in the mesh, by kind and name; `name` is the mesh's.
    pub fn ids<'a>(&'a self, name: &'a MeshName) -> impl Iterator<Item = ResourceId> + 'a {
        let of = || name.clone();
        let nodes = self.nodes.keys();
        let services = self.services.keys();
        let routers = self.routers.keys();
        let gateways = self.gateways.keys();
        nodes
            .map(move |name| ResourceId::VirtualNode(of(), name.clone()))
            .chain(services.map(move |name| ResourceId::VirtualService(of(), name.clone())))
            .chain(routers.map(move |name| ResourceId::VirtualRouter(of(), name.clone())))
            .chain(
                self.routes.keys().map(move |(router, name)| {
                    ResourceId::Route(of(), router.clone(), name.clone())
                }),
            )
            .chain(gateways.map(move |name| ResourceId::VirtualGateway(of(), name.clone())))
            .chain(self.gateway_routes.keys().map(move |(gateway, name)| {
                ResourceId::GatewayRoute(of(), gateway.clone(), name.clone())
            }))
    }

    /// What stands in a resource of the mesh: everything in the mesh itself, the routes of a router or gateway.
    pub fn children_of<'a>(
        &'a self,
        id: &'a ResourceId,
    ) -> Box<dyn Iterator<Item = ResourceId> + 'a> {
        match id {
            ResourceId::Mesh(name) => Box::new(self.ids(name)),
            ResourceId::VirtualRouter(mesh, router) => {
                let routes = self.routes_of(router);
                Box::new(
                    routes.map(|(name, _)| {
                        ResourceId::Route(mesh.clone(), router.clone(), name.clone())
                    }),
                )
            }
            ResourceId::VirtualGateway(mesh, gateway) => {
                let routes = self.gateway_routes_of(gateway);
                Box::new(routes.map(|(name, _)| {
                    ResourceId::GatewayRoute(mesh.clone(), gateway.clone(), name.clone())
                }))
            }
            _ => Box::new(std::iter::empty()),
        }
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Model {
    pub fn from_resources(resources: impl IntoIterator<Item = Resource>) -> Self {
        let mut model = Self::default();
        for resource in resources {
            model.insert(resource);
        }
        model
    }

    pub fn mesh(&self, name: &MeshName) -> Option<&Mesh> {
        self.meshes.get(name)
    }

    pub fn meshes(&self) -> impl Iterator<Item = (&MeshName, &Mesh)> {
        self.meshes.iter()
    }

    pub fn contains(&self, id: &ResourceId) -> bool {
        self.get(id).is_some()
    }

    pub fn get(&self, id: &ResourceId) -> Option<Spec> {
        let mesh = self.meshes.get(id.mesh())?;
        match id {
            ResourceId::Mesh(_) => mesh.spec.clone().map(Spec::Mesh),
            ResourceId::VirtualNode(_, name) => {
                mesh.nodes.get(name).cloned().map(Spec::VirtualNode)
            }
            ResourceId::VirtualService(_, name) => {
                mesh.services.get(name).cloned().map(Spec::VirtualService)
            }
            ResourceId::VirtualRouter(_, name) => {
                mesh.routers.get(name).cloned().map(Spec::VirtualRouter)
            }
            ResourceId::Route(_, router, name) => mesh
                .routes
                .get(&(router.clone(), name.clone()))
                .cloned()
                .map(Spec::Route),
            ResourceId::VirtualGateway(_, name) => {
                mesh.gateways.get(name).cloned().map(Spec::VirtualGateway)
            }
            ResourceId::GatewayRoute(_, gateway, name) => mesh
                .gateway_routes
                .get(&(gateway.clone(), name.clone()))
                .cloned()
                .map(Spec::GatewayRoute),
        }
    }

    /// Adds a resource, or replaces the one of that name. A spec of another kind than the id's is left out.
    pub fn insert(&mut self, resource: Resource) {
        let before = self.get(&resource.id);
        self.users
            .replace(&resource.id, before.as_ref(), Some(&resource.spec));
        let mesh = self.meshes.entry(resource.id.mesh().clone()).or_default();
        match (resource.id, resource.spec) {
            (ResourceId::Mesh(_), Spec::Mesh(spec)) => mesh.spec = Some(spec),
            (ResourceId::VirtualNode(_, name), Spec::VirtualNode(spec)) => {
                mesh.nodes.insert(name, spec);
            }
            (ResourceId::VirtualService(_, name), Spec::VirtualService(spec)) => {
                mesh.services.insert(name, spec);
            }
            (ResourceId::VirtualRouter(_, name), Spec::VirtualRouter(spec)) => {
                mesh.routers.insert(name, spec);
            }
            (ResourceId::Route(_, router, name), Spec::Route(spec)) => {
                mesh.routes.insert((router, name), spec);
            }
            (ResourceId::VirtualGateway(_, name), Spec::VirtualGateway(spec)) => {
                mesh.gateways.insert(name, spec);
            }
            (ResourceId::GatewayRoute(_, gateway, name), Spec::GatewayRoute(spec)) => {
                mesh.gateway_routes.insert((gateway, name), spec);
            }
            (id, spec) => debug_assert!(false, "{id} cannot hold {spec:?}"),
        }
    }

    pub fn remove(&mut self, id: &ResourceId) {
        self.users.replace(id, self.get(id).as_ref(), None);
        let Some(mesh) = self.meshes.get_mut(id.mesh()) else {
            return;
        };
        match id {
            ResourceId::Mesh(_) => mesh.spec = None,
            ResourceId::VirtualNode(_, name) => drop(mesh.nodes.remove(name)),
            ResourceId::VirtualService(_, name) => drop(mesh.services.remove(name)),
            ResourceId::VirtualRouter(_, name) => drop(mesh.routers.remove(name)),
            ResourceId::Route(_, router, name) => {
                drop(mesh.routes.remove(&(router.clone(), name.clone())));
            }
            ResourceId::VirtualGateway(_, name) => drop(mesh.gateways.remove(name)),
            ResourceId::GatewayRoute(_, gateway, name) => {
                drop(mesh.gateway_routes.remove(&(gateway.clone(), name.clone())));
            }
        }
        if mesh.is_empty() {
            self.meshes.remove(id.mesh());
        }
    }

    /// The resources that name another as their provider or target; the backends of nodes do not count.
    ///
    /// Costs what is found, whatever the size of the mesh.
    pub fn users_of(&self, id: &ResourceId) -> impl Iterator<Item = &ResourceId> {
        self.users.of(id)
    }

    /// What stands in a resource: all of a mesh, the routes of a router or gateway.
    pub fn inside<'a>(&'a self, id: &'a ResourceId) -> impl Iterator<Item = ResourceId> + 'a {
        let mesh = self.meshes.get(id.mesh());
        mesh.into_iter().flat_map(|mesh| mesh.children_of(id))
    }

    /// How many resources of a kind there are.
    pub fn count(&self, kind: ResourceKind) -> usize {
        let of_mesh = |mesh: &Mesh| match kind {
            ResourceKind::Mesh => usize::from(mesh.spec.is_some()),
            ResourceKind::VirtualNode => mesh.nodes.len(),
            ResourceKind::VirtualService => mesh.services.len(),
            ResourceKind::VirtualRouter => mesh.routers.len(),
            ResourceKind::Route => mesh.routes.len(),
            ResourceKind::VirtualGateway => mesh.gateways.len(),
            ResourceKind::GatewayRoute => mesh.gateway_routes.len(),
        };
        self.meshes.values().map(of_mesh).sum()
    }

    /// Every resource, meshes first, then by kind and name.
    pub fn resources(&self) -> Vec<Resource> {
        self.changes_since(&Self::default())
            .into_iter()
            .filter_map(|id| self.get(&id).map(|spec| Resource { id, spec }))
            .collect()
    }

    /// The resources that were added, changed or removed since `older`.
    pub fn changes_since(&self, older: &Self) -> BTreeSet<ResourceId> {
        let mut changed = BTreeSet::new();
        let empty = Mesh::default();
        for item in older.meshes.diff(&self.meshes) {
            let (name, old, new) = match item {
                DiffItem::Add(name, new) => (name, &empty, new),
                DiffItem::Remove(name, old) => (name, old, &empty),
                DiffItem::Update {
                    old: (name, old),
                    new: (_, new),
                } => (name, old, new),
            };
            new.collect_changes(old, name, &mut changed);
        }
        changed
    }
}

impl Mesh {
    fn collect_changes(&self, older: &Self, mesh: &MeshName, changed: &mut BTreeSet<ResourceId>) {
        if self.spec != older.spec {
            changed.insert(ResourceId::Mesh(mesh.clone()));
        }
        collect(&older.nodes, &self.nodes, changed, |name| {
            ResourceId::VirtualNode(mesh.clone(), name.clone())
        });
        collect(&older.services, &self.services, changed, |name| {
            ResourceId::VirtualService(mesh.clone(), name.clone())
        });
        collect(&older.routers, &self.routers, changed, |name| {
            ResourceId::VirtualRouter(mesh.clone(), name.clone())
        });
        collect(&older.routes, &self.routes, changed, |(router, name)| {
            ResourceId::Route(mesh.clone(), router.clone(), name.clone())
        });
        collect(&older.gateways, &self.gateways, changed, |name| {
            ResourceId::VirtualGateway(mesh.clone(), name.clone())
        });
        collect(
            &older.gateway_routes,
            &self.gateway_routes,
            changed,
            |(gateway, name)| ResourceId::GatewayRoute(mesh.clone(), gateway.clone(), name.clone()),
        );
    }
}

fn collect<K: Ord + Clone + Hash, V: PartialEq + Clone>(
    older: &OrdMap<K, V>,
    newer: &OrdMap<K, V>,
    changed: &mut BTreeSet<ResourceId>,
    id: impl Fn(&K) -> ResourceId,
) {
    for item in older.diff(newer) {
        changed.insert(match item {
            DiffItem::Add(key, _)
            | DiffItem::Remove(key, _)
            | DiffItem::Update { new: (key, _), .. } => id(key),
        });
    }
}

impl<'de> DeserializeSeed<'de> for ResourceKind {
    type Value = Spec;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Spec, D::Error> {
        Ok(match self {
            Self::Mesh => Spec::Mesh(Arc::deserialize(from)?),
            Self::VirtualNode => Spec::VirtualNode(Arc::deserialize(from)?),
            Self::VirtualService => Spec::VirtualService(Arc::deserialize(from)?),
            Self::VirtualRouter => Spec::VirtualRouter(Arc::deserialize(from)?),
            Self::Route => Spec::Route(Arc::deserialize(from)?),
            Self::VirtualGateway => Spec::VirtualGateway(Arc::deserialize(from)?),
            Self::GatewayRoute => Spec::GatewayRoute(Arc::deserialize(from)?),
        })
    }
}
