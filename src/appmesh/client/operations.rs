//! The operations of App Mesh's API: which call of the SDK is which, with the names that stand in its path.

use super::Client;
use super::answer::Answer;
use super::call::Call;
use super::error::TargetError;
use super::held::Within;
use crate::model::ResourceId;

/// Sends a request of the SDK's as a call, and once more in its turn if it is throttled.
macro_rules! send {
    ($call:expr, $request:expr) => {{
        let request = $request;
        let mut place = $call.place();
        loop {
            let request = request.clone().customize();
            let request = request.interceptor($call.clone());
            let answer = $call.answer(request.send().await);
            let is_throttled = matches!(answer, Err(TargetError::Throttled { .. }));
            if !(is_throttled && place.again().await) {
                break answer;
            }
        }
    }};
}

/// Sends, of one verb's operations on the seven kinds, the one for a resource. That for a mesh may know no owner.
macro_rules! on_one {
    ($client:expr, $call:expr, $id:expr, $mesh:ident $(($of_owner:ident))? $node:ident $service:ident $router:ident $route:ident $gateway:ident
     $gateway_route:ident) => {{
        let sdk = &$client.sdk;
        let mesh = $id.mesh().as_str();
        match $id {
            ResourceId::Mesh(_) => send!($call, sdk.$mesh().mesh_name(mesh)$(.$of_owner($client.owner()))?),
            ResourceId::VirtualNode(_, node) => {
                let named = sdk.$node().set_mesh_owner($client.owner()).mesh_name(mesh).virtual_node_name(node.as_str());
                send!($call, named)
            }
            ResourceId::VirtualService(_, service) => {
                let named = sdk.$service().set_mesh_owner($client.owner()).mesh_name(mesh);
                send!($call, named.virtual_service_name(service.as_str()))
            }
            ResourceId::VirtualRouter(_, router) => {
                let named = sdk.$router().set_mesh_owner($client.owner()).mesh_name(mesh);
                send!($call, named.virtual_router_name(router.as_str()))
            }
            ResourceId::Route(_, router, route) => {
                let named = sdk.$route().set_mesh_owner($client.owner()).mesh_name(mesh);
                let named = named.virtual_router_name(router.as_str());
                send!($call, named.route_name(route.as_str()))
            }
            ResourceId::VirtualGateway(_, gateway) => {
                let named = sdk.$gateway().set_mesh_owner($client.owner()).mesh_name(mesh);
                send!($call, named.virtual_gateway_name(gateway.as_str()))
            }
            ResourceId::GatewayRoute(_, gateway, route) => {
                let named = sdk.$gateway_route().set_mesh_owner($client.owner()).mesh_name(mesh);
                let named = named.virtual_gateway_name(gateway.as_str());
                send!($call, named.gateway_route_name(route.as_str()))
            }
        }
    }};
}

impl Client {
    fn owner(&self) -> Option<String> {
        self.owner.as_deref().map(str::to_owned)
    }

    pub(super) async fn create_one(
        &self,
        call: &Call,
        id: &ResourceId,
    ) -> Result<Answer, TargetError> {
        on_one!(
            self, call, id,
            create_mesh create_virtual_node create_virtual_service create_virtual_router create_route
            create_virtual_gateway create_gateway_route
        )
    }

    pub(super) async fn describe_one(
        &self,
        call: &Call,
        id: &ResourceId,
    ) -> Result<Answer, TargetError> {
        on_one!(
            self, call, id,
            describe_mesh (set_mesh_owner) describe_virtual_node describe_virtual_service describe_virtual_router describe_route
            describe_virtual_gateway describe_gateway_route
        )
    }

    pub(super) async fn update_one(
        &self,
        call: &Call,
        id: &ResourceId,
    ) -> Result<Answer, TargetError> {
        on_one!(
            self, call, id,
            update_mesh update_virtual_node update_virtual_service update_virtual_router update_route
            update_virtual_gateway update_gateway_route
        )
    }

    pub(super) async fn delete_one(
        &self,
        call: &Call,
        id: &ResourceId,
    ) -> Result<Answer, TargetError> {
        on_one!(
            self, call, id,
            delete_mesh delete_virtual_node delete_virtual_service delete_virtual_router delete_route
            delete_virtual_gateway delete_gateway_route
        )
    }

    pub(super) async fn list_page(
        &self,
        call: &Call,
        within: &Within,
        token: Option<String>,
    ) -> Result<Answer, TargetError> {
        let sdk = &self.sdk;
        match within {
            Within::Meshes => send!(call, sdk.list_meshes().set_next_token(token)),
            Within::VirtualNodes(mesh) => {
                let list = sdk
                    .list_virtual_nodes()
                    .set_mesh_owner(self.owner())
                    .mesh_name(mesh.as_str());
                send!(call, list.set_next_token(token))
            }
            Within::VirtualServices(mesh) => {
                let list = sdk
                    .list_virtual_services()
                    .set_mesh_owner(self.owner())
                    .mesh_name(mesh.as_str());
                send!(call, list.set_next_token(token))
            }
            Within::VirtualRouters(mesh) => {
                let list = sdk
                    .list_virtual_routers()
                    .set_mesh_owner(self.owner())
                    .mesh_name(mesh.as_str());
                send!(call, list.set_next_token(token))
            }
            Within::Routes(mesh, router) => {
                let list = sdk
                    .list_routes()
                    .set_mesh_owner(self.owner())
                    .mesh_name(mesh.as_str());
                let list = list.virtual_router_name(router.as_str());
                send!(call, list.set_next_token(token))
            }
            Within::VirtualGateways(mesh) => {
                let list = sdk
                    .list_virtual_gateways()
                    .set_mesh_owner(self.owner())
                    .mesh_name(mesh.as_str());
                send!(call, list.set_next_token(token))
            }
            Within::GatewayRoutes(mesh, gateway) => {
                let list = sdk
                    .list_gateway_routes()
                    .set_mesh_owner(self.owner())
                    .mesh_name(mesh.as_str());
                let list = list.virtual_gateway_name(gateway.as_str());
                send!(call, list.set_next_token(token))
            }
        }
    }

    pub(super) async fn tags_page(
        &self,
        call: &Call,
        arn: &str,
        token: Option<String>,
    ) -> Result<Answer, TargetError> {
        let list = self.sdk.list_tags_for_resource().resource_arn(arn);
        send!(call, list.set_next_token(token))
    }

    pub(super) async fn tag_one(&self, call: &Call, arn: &str) -> Result<Answer, TargetError> {
        send!(call, self.sdk.tag_resource().resource_arn(arn))
    }
}
