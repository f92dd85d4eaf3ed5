//! What operators and programs call: the operators' gRPC service, the endpoints that orchestrators register, and, on an
//! address of its own, health and metrics.

pub mod admin;
pub mod auth;
pub mod endpoints;
pub mod operator;

use axum::Router;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use tonic::service::Routes;

use auth::Auth;
use endpoints::EndpointsState;
use operator::generated::operator_server::OperatorServer;
use operator::{Server, State};

/// Everything on `--api-addr`, behind authentication. What is not there is answered in JSON, as App Mesh's API does.
pub fn router(state: State, endpoints: EndpointsState, auth: Auth) -> Router {
    let router = Routes::new(OperatorServer::new(Server::new(state)))
        .into_axum_router()
        .merge(endpoints::router(endpoints))
        .fallback(not_found);
    // Last, around all of it: what is added behind it would be open to everybody.
    auth::protect(router, auth)
}

async fn not_found(method: Method, uri: Uri) -> Response {
    let message = format!(
        "nothing answers {method} {} here; health and metrics are on `--admin-addr`",
        uri.path()
    );
    let body = axum::Json(serde_json::json!({ "message": message }));
    (StatusCode::NOT_FOUND, body).into_response()
}
