//! Where the API has what: App Mesh's for each resource, and Outrigger's own.

use crate::api::auth::sigv4::encode as escaped;
use crate::model::{MeshName, NodeName, ResourceId};

const MESHES: &str = "/v20190125/meshes";

/// Everything that there is, or all of one mesh.
pub(super) fn everything(mesh: Option<&str>) -> String {
    let mesh = mesh.map(|mesh| format!("?mesh={}", escaped(mesh)));
    format!("/outrigger/v1/resources{}", mesh.unwrap_or_default())
}

/// What is registered for virtual nodes, of all meshes.
pub(super) const ALL_ENDPOINTS: &str = "/outrigger/v1/endpoints";

/// The same of one mesh.
pub(super) fn endpoints_of_mesh(mesh: &MeshName) -> String {
    format!("/outrigger/v1/meshes/{}/endpoints", escaped(mesh.as_str()))
}

/// The endpoints that are registered for one virtual node.
pub(super) fn endpoints(mesh: &MeshName, node: &NodeName) -> String {
    let (mesh, node) = (escaped(mesh.as_str()), escaped(node.as_str()));
    format!("/outrigger/v1/meshes/{mesh}/virtualNodes/{node}/endpoints")
}

/// What has changed since a revision; where there is nothing yet, it is waited for so many seconds.
pub(super) fn changes(since: u64, wait: u64) -> String {
    format!("/outrigger/v1/changes?since={since}&wait={wait}")
}

/// The path that creates: of the collection that a resource is in.
pub(super) fn collection(id: &ResourceId) -> String {
    let mesh = || format!("{MESHES}/{}", escaped(id.mesh().as_str()));
    match id {
        ResourceId::Mesh(_) => MESHES.to_owned(),
        ResourceId::VirtualNode(..) => format!("{}/virtualNodes", mesh()),
        ResourceId::VirtualService(..) => format!("{}/virtualServices", mesh()),
        ResourceId::VirtualRouter(..) => format!("{}/virtualRouters", mesh()),
        ResourceId::VirtualGateway(..) => format!("{}/virtualGateways", mesh()),
        // Children stand under the singular of their parent.
        ResourceId::Route(_, router, _) => {
            format!(
                "{}/virtualRouter/{}/routes",
                mesh(),
                escaped(router.as_str())
            )
        }
        ResourceId::GatewayRoute(_, gateway, _) => {
            let gateway = escaped(gateway.as_str());
            format!("{}/virtualGateway/{gateway}/gatewayRoutes", mesh())
        }
    }
}

/// The path of one resource, which updates and deletes.
pub(super) fn item(id: &ResourceId) -> String {
    format!("{}/{}", collection(id), escaped(id.name()))
}

/// The path that adds tags to a resource.
pub(super) fn tag(arn: &str) -> String {
    format!("/v20190125/tag?resourceArn={}", escaped(arn))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{GatewayName, GatewayRouteName, MeshName, NodeName, RouteName, RouterName};

    #[test]
    fn children_stand_under_the_singular() {
        let mesh = || MeshName::new("m");
        let paths = [
            ResourceId::Mesh(mesh()),
            ResourceId::VirtualNode(mesh(), NodeName::new("n")),
            ResourceId::Route(mesh(), RouterName::new("r"), RouteName::new("x")),
            ResourceId::GatewayRoute(mesh(), GatewayName::new("g"), GatewayRouteName::new("x")),
        ]
        .map(|id| item(&id));
        assert_eq!(
            paths,
            [
                "/v20190125/meshes/m",
                "/v20190125/meshes/m/virtualNodes/n",
                "/v20190125/meshes/m/virtualRouter/r/routes/x",
                "/v20190125/meshes/m/virtualGateway/g/gatewayRoutes/x",
            ]
        );
    }

    #[test]
    fn a_name_is_one_segment() {
        let id = ResourceId::VirtualNode(MeshName::new("my mesh"), NodeName::new("ä/?"));
        assert_eq!(
            item(&id),
            "/v20190125/meshes/my%20mesh/virtualNodes/%C3%A4%2F%3F"
        );
        assert_eq!(
            everything(Some("a&b")),
            "/outrigger/v1/resources?mesh=a%26b"
        );
    }
}
