//! What operators and programs call: App Mesh's management API, the operators' gRPC service, the endpoints that
//! orchestrators register, and, on an address of its own, health and metrics.

pub mod admin;
pub mod appmesh;
pub mod auth;
mod body;
pub mod endpoints;
mod off_thread;
pub mod operator;
#[cfg(test)]
mod tests;

use axum::Router;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use tonic::service::Routes;

use appmesh::AppMesh;
use auth::Auth;
use endpoints::EndpointsState;
use operator::generated::operator_server::OperatorServer;
use operator::{Server, State};

/// The name of the exception that an error is, as AWS's clients look for it.
const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");

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

/// The header with the seconds after which the same call may go well.
fn retry_after(status: StatusCode) -> Option<(HeaderName, HeaderValue)> {
    let may_pass = matches!(
        status,
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS
    );
    may_pass.then_some((header::RETRY_AFTER, HeaderValue::from_static("1")))
}

/// Whether a page of somebody else's may have made its visitor's browser send this: a form, or the script of a page, also
/// one that has given itself this address's name (DNS rebinding). Nothing is changed for it: browsers say where a page is
/// from with every call that is no GET or HEAD.
fn is_of_web_page(headers: &HeaderMap) -> bool {
    const FORMS: [&str; 3] = [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
    ];
    let kind = content_type(headers);
    let is_form = FORMS.iter().any(|form| kind.eq_ignore_ascii_case(form));
    is_form || headers.contains_key(header::ORIGIN)
}

/// What a body is said to be, without parameters; empty if nothing is said.
fn content_type(headers: &HeaderMap) -> &str {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim()
}
