//! The operators' gRPC service: who is connected, how each stands, and the exact resources it gets; and how the mirror stands.
//!
//! **Invariant:** the body of a secret never leaves the process this way.

mod convert;

/// The service's messages, client and server, made from `proto/outrigger/operator/v1/operator.proto`.
#[rustfmt::skip]
#[allow(
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    clippy::clone_on_ref_ptr,
    unused_qualifications,
    missing_debug_implementations,
    let_underscore_drop,
    reason = "generated"
)]
pub mod generated;

use std::fmt;
use std::sync::Arc;

use tokio::sync::watch;
use tonic::{Request, Response, Status};

use super::auth::Caller;
use crate::appmesh::status::Mirror;
use crate::clients::Clients;
use crate::model::{NodeRef, ResourceId, ViewKey};
use crate::snapshot::{Kind, Snapshot};
use crate::store::Stored;
use generated::operator_server::Operator;
use generated::{
    GetConfigRequest, GetConfigResponse, ListClientsRequest, ListClientsResponse,
    MirrorStatusRequest, MirrorStatusResponse, ViewConfig,
};

pub use convert::mirror as mirror_message;

/// What a key for some meshes is told in place of an error that may name others.
const HIDDEN: &str = "the target is of no use at present; a key for all meshes is told why";

/// Finds the views that are computed for a node, sorted by key.
pub type ViewLookup = Arc<dyn Fn(&NodeRef) -> Vec<(ViewKey, Arc<Snapshot>)> + Send + Sync>;

/// What the service reads.
#[derive(Clone)]
pub struct State {
    pub clients: Clients,
    pub views: ViewLookup,
    /// The store, for what is declared.
    pub model: watch::Receiver<Stored>,
    /// What keeps another endpoint as the mesh is here, if anything does.
    pub mirror: Option<Mirror>,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("clients", &self.clients)
            .finish_non_exhaustive()
    }
}

/// The service.
#[derive(Debug)]
pub struct Server {
    state: State,
}

impl Server {
    pub fn new(state: State) -> Self {
        Self { state }
    }
}

#[tonic::async_trait]
impl Operator for Server {
    async fn list_clients(
        &self,
        request: Request<ListClientsRequest>,
    ) -> Result<Response<ListClientsResponse>, Status> {
        let caller = Caller::of(request.extensions());
        let node = request.into_inner().node;
        let node = (!node.is_empty()).then(|| parse_node(&node)).transpose()?;
        if let Some(node) = &node {
            check(&caller, node)?;
        }
        let clients = (self.state.clients.list().into_iter())
            .filter(|client| caller.may_read(client.info.node.mesh().as_str()))
            .filter(|client| node.as_ref().is_none_or(|node| client.info.node == *node))
            .map(|client| convert::client(&client))
            .collect();
        let id = node.as_ref().map(NodeRef::to_string);
        let refused = (self.state.clients.list_refused().into_iter())
            .filter(|refused| id.as_ref().is_none_or(|id| refused.node == *id))
            .filter(|refused| may_see(&caller, &refused.node))
            .map(convert::refused)
            .collect();
        let stored = self.state.model.borrow().clone();
        let declared = node
            .filter(|_| stored.changed_at.is_some())
            .map(|node| stored.model.contains(&node.resource_id()));
        Ok(Response::new(ListClientsResponse {
            clients,
            refused,
            declared,
        }))
    }

    async fn get_config(
        &self,
        request: Request<GetConfigRequest>,
    ) -> Result<Response<GetConfigResponse>, Status> {
        let caller = Caller::of(request.extensions());
        let request = request.into_inner();
        let node = parse_node(&request.node)?;
        check(&caller, &node)?;
        let kinds = parse_kinds(&request.kinds)?;
        let views = (self.state.views)(&node);
        if views.is_empty() {
            return Err(Status::not_found(format!(
                "no sidecar of `{node}` is connected, so nothing is computed for it; \
                 start one, or see who is connected with `outrigger status`"
            )));
        }
        let views = (views.iter())
            .map(|(key, snapshot)| ViewConfig {
                view: Some(convert::view(key)),
                resources: convert::resources(snapshot, &kinds),
            })
            .collect();
        Ok(Response::new(GetConfigResponse {
            node: node.to_string(),
            views,
        }))
    }

    async fn mirror_status(
        &self,
        request: Request<MirrorStatusRequest>,
    ) -> Result<Response<MirrorStatusResponse>, Status> {
        let caller = Caller::of(request.extensions());
        let mut mirror = self.state.mirror.as_ref().map(convert::mirror);
        if let Some(mirror) = &mut mirror {
            mirror.resources.retain(|resource| {
                let id = ResourceId::parse(&resource.id);
                id.is_ok_and(|id| caller.may_read(id.mesh().as_str()))
            });
            if caller.is_limited() && !mirror.error.is_empty() {
                // It is of the target as a whole, and may name what came in its way in any mesh.
                HIDDEN.clone_into(&mut mirror.error);
            }
        }
        Ok(Response::new(MirrorStatusResponse { mirror }))
    }
}

fn check(caller: &Caller, node: &NodeRef) -> Result<(), Status> {
    let mesh = node.mesh();
    if caller.may_read(mesh.as_str()) {
        return Ok(());
    }
    Err(Status::permission_denied(format!(
        "key `{}` is not authorized to read mesh `{mesh}`; use another key, or change its `meshes`",
        caller.name()
    )))
}

/// Whether a node is one of the caller's. What names no node at all is for callers without a limit.
fn may_see(caller: &Caller, id: &str) -> bool {
    match NodeRef::parse(id) {
        Ok(node) => caller.may_read(node.mesh().as_str()),
        Err(_) => !caller.is_limited(),
    }
}

fn parse_node(id: &str) -> Result<NodeRef, Status> {
    NodeRef::parse(id).map_err(|error| Status::invalid_argument(error.to_string()))
}

/// All kinds if none is named; always in the order in which a push sends them.
fn parse_kinds(names: &[String]) -> Result<Vec<Kind>, Status> {
    let known = Kind::ALL.map(Kind::as_str);
    if let Some(name) = names.iter().find(|name| !known.contains(&name.as_str())) {
        return Err(Status::invalid_argument(format!(
            "`{name}` is no kind of resource; the kinds are {}",
            known.join(", ")
        )));
    }
    let asked = |kind: &Kind| names.is_empty() || names.iter().any(|name| name == kind.as_str());
    Ok(Kind::ALL.into_iter().filter(asked).collect())
}
