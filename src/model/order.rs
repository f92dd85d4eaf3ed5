//! In which order resources come and go: what a resource names comes before it, and goes after it.

use std::collections::BTreeSet;

use super::spec::Backend;
use super::{Resource, ResourceId, ResourceKind, Spec};

/// How many levels there are; what stands on one names only what stands below.
pub const LEVELS: usize = 4;

/// The level of a kind.
pub fn level(kind: ResourceKind) -> usize {
    match kind {
        ResourceKind::Mesh => 0,
        ResourceKind::VirtualNode | ResourceKind::VirtualRouter | ResourceKind::VirtualGateway => 1,
        ResourceKind::VirtualService | ResourceKind::Route => 2,
        ResourceKind::GatewayRoute => 3,
    }
}

/// What must be there for a resource to be taken, and can only be deleted after it.
///
/// Backends are not among them: a virtual node may name one that does not exist.
pub fn needs(resource: &Resource) -> BTreeSet<ResourceId> {
    let above = std::iter::successors(resource.id.parent(), ResourceId::parent);
    above.chain(resource.uses()).collect()
}

/// The virtual services that a virtual node calls, whether or not they exist.
pub fn backends(resource: &Resource) -> BTreeSet<ResourceId> {
    let Spec::VirtualNode(node) = &resource.spec else {
        return BTreeSet::new();
    };
    let mesh = resource.id.mesh();
    let service = |Backend::VirtualService(backend): &Backend| {
        ResourceId::VirtualService(mesh.clone(), backend.virtual_service_name.clone())
    };
    node.backends().iter().map(service).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::parse;
    use crate::model::schema;

    fn needed(document: &str) -> Vec<String> {
        let (documents, problems) = parse(document);
        assert_eq!(problems, []);
        let resource = schema::read(&documents[0]).resource.unwrap();
        let needs = needs(&resource);
        let own = level(resource.id.kind());
        assert!(needs.iter().all(|id| level(id.kind()) < own), "{needs:?}");
        needs.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_resource_stands_above_all_that_it_needs() {
        let route = "{kind: Route, meshName: m, virtualRouterName: r, routeName: x, spec: {tcpRoute: {action: \
                     {weightedTargets: [{virtualNode: a, weight: 1}, {virtualNode: b, weight: 1}]}}}}";
        assert_eq!(
            needed(route),
            [
                "mesh/m",
                "mesh/m/virtualNode/a",
                "mesh/m/virtualNode/b",
                "mesh/m/virtualRouter/r"
            ]
        );
        let service = "{kind: VirtualService, meshName: m, virtualServiceName: s, spec: {provider: {virtualRouter: \
                       {virtualRouterName: r}}}}";
        assert_eq!(needed(service), ["mesh/m", "mesh/m/virtualRouter/r"]);
        let gateway = "{kind: GatewayRoute, meshName: m, virtualGatewayName: g, gatewayRouteName: x, spec: {httpRoute: \
                       {match: {prefix: /}, action: {target: {virtualService: {virtualServiceName: s}}}}}}";
        assert_eq!(
            needed(gateway),
            [
                "mesh/m",
                "mesh/m/virtualService/s",
                "mesh/m/virtualGateway/g"
            ]
        );
    }

    #[test]
    fn a_backend_may_come_later() {
        let node = "{kind: VirtualNode, meshName: m, virtualNodeName: n, spec: {backends: [{virtualService: \
                    {virtualServiceName: s}}]}}";
        assert_eq!(needed(node), ["mesh/m"]);
        assert_eq!(needed("{kind: Mesh, meshName: m}"), [""; 0]);
    }
}
