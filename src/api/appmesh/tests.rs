//! The API in memory, from a request to its answer: every rule of the service with the exception that breaking it gives, and
//! requests that are almost right.

mod changes;
mod mutated;
mod rules;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use prometheus::Registry;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tower_service::Service;

use super::{AppMesh, OPEN_CALLS, router};
use crate::api::auth::{Auth, protect};
use crate::model::ResourceId;
use crate::model::arn::Identity;
use crate::model::quota::Quotas;
use crate::store::journal::Memory;
use crate::store::{Options, Store};

/// What came back.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    /// The exception's name, of an error.
    exception: String,
    body: Value,
}

impl Answer {
    fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or_default()
    }
}

/// Runs something against an API over a store that keeps its content in `journal`.
async fn serve<T>(
    journal: &Memory,
    quotas: Quotas,
    calls: impl AsyncFnOnce(&mut Router) -> T,
) -> T {
    let registry = Registry::new();
    let options = Options {
        quotas,
        awaits_files: false,
    };
    let (store, writer) = Store::new(Box::new(journal.clone()), options, &registry).unwrap();
    let api = AppMesh::new(store, Identity::default(), &registry).unwrap();
    let mut router = protect(router(api), Auth::None);
    let stop = CancellationToken::new();
    tokio::select! {
        done = calls(&mut router) => done,
        () = writer.run(stop) => panic!("the store ended"),
    }
}

#[tokio::test]
async fn a_write_goes_on_when_its_caller_leaves_and_counts_until_then() {
    let registry = Registry::new();
    let journal = Box::<Memory>::default();
    let (store, writer) = Store::new(journal, Options::default(), &registry).unwrap();
    let api = AppMesh::new(store.clone(), Identity::default(), &registry).unwrap();
    let request = Request::put("/v20190125/meshes").body(Body::from(r#"{"meshName":"m"}"#));
    let mut router = protect(router(api.clone()), Auth::None);
    tokio::select! {
        biased;
        answer = router.call(request.unwrap()) => panic!("{answer:?}"),
        () = tokio::task::yield_now() => {}
    }
    let open = || OPEN_CALLS - api.open.available_permits();
    assert_eq!((api.writes.len(), open()), (1, 1));
    let stop = CancellationToken::new();
    tokio::select! {
        () = api.finish() => {}
        () = writer.run(stop) => panic!("the store ended"),
    }
    assert_eq!((api.writes.len(), open()), (0, 0));
    assert_eq!(store.current().records.len(), 1);
}

async fn send(router: &mut Router, method: Method, uri: &str, body: impl Into<Body>) -> Answer {
    let request = Request::builder().method(method).uri(uri);
    let response = router
        .call(request.body(body.into()).unwrap())
        .await
        .unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let exception = headers.get("x-amzn-errortype");
    assert!(headers.contains_key("x-amzn-requestid"), "{headers:?}");
    Answer {
        status,
        exception: exception
            .map(|name| name.to_str().unwrap().to_owned())
            .unwrap_or_default(),
        body: serde_json::from_slice(&body).unwrap_or_default(),
    }
}

/// The path of a resource, written out, for the code under test must not be what says where things are.
fn path(id: &ResourceId) -> String {
    let path = match id {
        ResourceId::Mesh(mesh) => format!("{mesh}"),
        ResourceId::VirtualNode(mesh, name) => format!("{mesh}/virtualNodes/{name}"),
        ResourceId::VirtualService(mesh, name) => format!("{mesh}/virtualServices/{name}"),
        ResourceId::VirtualRouter(mesh, name) => format!("{mesh}/virtualRouters/{name}"),
        ResourceId::Route(mesh, router, name) => {
            format!("{mesh}/virtualRouter/{router}/routes/{name}")
        }
        ResourceId::VirtualGateway(mesh, name) => format!("{mesh}/virtualGateways/{name}"),
        ResourceId::GatewayRoute(mesh, gateway, name) => {
            format!("{mesh}/virtualGateway/{gateway}/gatewayRoutes/{name}")
        }
    };
    format!("/v20190125/meshes/{path}")
}

/// The path of the collection that an item's path is in.
fn collection(item: &str) -> &str {
    item.rsplit_once('/').unwrap().0
}
