//! What operators and programs call: App Mesh's management API, the operators' gRPC service, the endpoints that
//! orchestrators register, and, on an address of its own, health and metrics.

pub mod admin;
pub mod appmesh;
pub mod endpoints;
pub mod operator;

use axum::Router;
use tonic::service::Routes;

use appmesh::AppMesh;
use endpoints::EndpointsState;
use operator::generated::operator_server::OperatorServer;
use operator::{Server, State};

/// Everything on `--api-addr`. What is not there is answered as App Mesh's API does.
pub fn router(state: State, endpoints: EndpointsState, appmesh: AppMesh) -> Router {
    Routes::new(OperatorServer::new(Server::new(state)))
        .into_axum_router()
        .reset_fallback()
        .merge(endpoints::router(endpoints))
        .merge(appmesh::router(appmesh))
}
