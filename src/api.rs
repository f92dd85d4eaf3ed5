//! What operators and programs call: App Mesh's management API, the operators' gRPC service, the endpoints that
//! orchestrators register, and, on an address of its own, health and metrics.

pub mod admin;
pub mod appmesh;
pub mod auth;
pub mod endpoints;
pub mod operator;
#[cfg(test)]
mod tests;

use axum::Router;
use tonic::service::Routes;

use appmesh::AppMesh;
use auth::Auth;
use endpoints::EndpointsState;
use operator::generated::operator_server::OperatorServer;
use operator::{Server, State};

/// Everything on `--api-addr`, behind authentication. What is not there is answered as App Mesh's API does.
pub fn router(state: State, endpoints: EndpointsState, appmesh: AppMesh, auth: Auth) -> Router {
    let router = Routes::new(OperatorServer::new(Server::new(state)))
        .into_axum_router()
        .reset_fallback()
        .merge(endpoints::router(endpoints))
        .merge(appmesh::router(appmesh));
    // Last, around all of it: what is added behind it would be open to everybody.
    auth::protect(router, auth)
}
