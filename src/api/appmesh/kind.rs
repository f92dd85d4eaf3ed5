//! The seven kinds as the API has them, each described once: where its paths are. The names of its members are in
//! [`crate::model::schema`], and every operation follows from the two.

use crate::model::{
    GatewayName, GatewayRouteName, MeshName, NameError, NodeName, ResourceId, ResourceKind,
    RouteName, RouterName, ServiceName,
};

/// Where one kind's paths are.
#[derive(Debug)]
pub(super) struct KindPaths {
    pub(super) kind: ResourceKind,
    /// The segment of the collection, which is also the member of a list's answer.
    pub(super) collection: &'static str,
    /// The segment before the name of the router or gateway that a route stands under. It is in the singular, unlike the
    /// collection that the router itself is in.
    pub(super) under: Option<(&'static str, ResourceKind)>,
}

static KINDS: [KindPaths; 7] = [
    kind(ResourceKind::Mesh, "meshes", None),
    kind(ResourceKind::VirtualNode, "virtualNodes", None),
    kind(ResourceKind::VirtualService, "virtualServices", None),
    kind(ResourceKind::VirtualRouter, "virtualRouters", None),
    kind(
        ResourceKind::Route,
        "routes",
        Some(("virtualRouter", ResourceKind::VirtualRouter)),
    ),
    kind(ResourceKind::VirtualGateway, "virtualGateways", None),
    kind(
        ResourceKind::GatewayRoute,
        "gatewayRoutes",
        Some(("virtualGateway", ResourceKind::VirtualGateway)),
    ),
];

const fn kind(
    kind: ResourceKind,
    collection: &'static str,
    under: Option<(&'static str, ResourceKind)>,
) -> KindPaths {
    KindPaths {
        kind,
        collection,
        under,
    }
}

impl KindPaths {
    pub(super) fn of(kind: ResourceKind) -> &'static Self {
        let [mesh, node, service, router, route, gateway, gateway_route] = &KINDS;
        match kind {
            ResourceKind::Mesh => mesh,
            ResourceKind::VirtualNode => node,
            ResourceKind::VirtualService => service,
            ResourceKind::VirtualRouter => router,
            ResourceKind::Route => route,
            ResourceKind::VirtualGateway => gateway,
            ResourceKind::GatewayRoute => gateway_route,
        }
    }

    /// The kind whose collection has these segments.
    pub(super) fn find(under: Option<&str>, collection: &str) -> Option<&'static Self> {
        KINDS.iter().find(|one| {
            one.collection == collection && one.under.map(|(segment, _)| segment) == under
        })
    }
}

/// Where resources are created and listed: those of one kind in one mesh, router or gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Collection {
    pub(super) kind: ResourceKind,
    /// What they stand in; a mesh stands in nothing.
    pub(super) within: Option<ResourceId>,
}

impl Collection {
    /// The resource of a name that is yet to be checked.
    pub(super) fn named(&self, name: &str) -> Result<ResourceId, NameError> {
        let mesh = self.within.as_ref().map_or(name, |one| one.mesh().as_str());
        let parent = self.within.as_ref().map(ResourceId::name);
        ResourceId::named(self.kind, mesh, parent, name)
    }

    /// The resource of a name that is only compared; of an empty one, what comes before all others.
    pub(super) fn place(&self, name: &str) -> ResourceId {
        let within = self.within.as_ref();
        let mesh = within.map_or_else(|| MeshName::new(name), |one| one.mesh().clone());
        let parent = within.map_or("", ResourceId::name);
        match self.kind {
            ResourceKind::Mesh => ResourceId::Mesh(mesh),
            ResourceKind::VirtualNode => ResourceId::VirtualNode(mesh, NodeName::new(name)),
            ResourceKind::VirtualService => {
                ResourceId::VirtualService(mesh, ServiceName::new(name))
            }
            ResourceKind::VirtualRouter => ResourceId::VirtualRouter(mesh, RouterName::new(name)),
            ResourceKind::Route => {
                ResourceId::Route(mesh, RouterName::new(parent), RouteName::new(name))
            }
            ResourceKind::VirtualGateway => {
                ResourceId::VirtualGateway(mesh, GatewayName::new(name))
            }
            ResourceKind::GatewayRoute => ResourceId::GatewayRoute(
                mesh,
                GatewayName::new(parent),
                GatewayRouteName::new(name),
            ),
        }
    }

    pub(super) fn contains(&self, id: &ResourceId) -> bool {
        id.kind() == self.kind && id.parent() == self.within
    }
}
