//! The path of a request to App Mesh's API, in memory, from method, URI and body to the store and back.
//!
//! An input is text: a line with the method and the URI, then the body. Inputs of one run meet the same store, so that what
//! one has made is there for the next.
//!
//! **Promise:** whatever is sent, the answer is no server error and an error has a name; nothing panics.

#![no_main]

use std::cell::RefCell;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use libfuzzer_sys::{Corpus, fuzz_target};
use outrigger::api::appmesh::{AppMesh, router};
use outrigger::api::auth::{Auth, protect};
use outrigger::model::arn::Identity;
use outrigger::store::journal::Memory;
use outrigger::store::{Options, Store};
use prometheus::Registry;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tower_service::Service;

struct Served {
    runtime: Runtime,
    router: Router,
    _writer: JoinHandle<()>,
}

impl Served {
    fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_time().build();
        let runtime = runtime.expect("a runtime");
        let registry = Registry::new();
        let journal = Box::<Memory>::default();
        let (store, writer) =
            Store::new(journal, Options::default(), &registry).expect("an empty store");
        let api = AppMesh::new(store, Identity::default(), &registry).expect("own metrics");
        Self {
            router: protect(router(api), Auth::None),
            _writer: runtime.spawn(writer.run(CancellationToken::new())),
            runtime,
        }
    }

    fn call(&mut self, request: Request<Body>) {
        let shown = format!("{} {}", request.method(), request.uri());
        self.runtime.block_on(async {
            let Ok(response) = self.router.call(request).await;
            let (status, headers) = (response.status(), response.headers().clone());
            let body = response.into_body().collect().await.expect("a body");
            assert!(
                !status.is_server_error(),
                "{shown}: {status} {:?}",
                body.to_bytes()
            );
            let is_named = headers.contains_key("x-amzn-errortype");
            assert_eq!(status.is_client_error(), is_named, "{shown}: {status}");
            assert!(
                headers.contains_key("x-amzn-requestid"),
                "{shown}: {status}"
            );
        });
    }
}

thread_local! {
    static SERVED: RefCell<Served> = RefCell::new(Served::new());
}

fuzz_target!(|data: &[u8]| -> Corpus {
    let mut parts = data.splitn(2, |byte| *byte == b'\n');
    let head = parts.next().unwrap_or_default();
    let body = parts.next().unwrap_or_default().to_vec();
    let Some((method, uri)) = std::str::from_utf8(head)
        .ok()
        .and_then(|head| head.split_once(' '))
    else {
        return Corpus::Reject;
    };
    // What is no request to HTTP's own parser does not get as far as this.
    let Ok(request) = Request::builder()
        .method(method)
        .uri(uri)
        .body(Body::from(body))
    else {
        return Corpus::Reject;
    };
    SERVED.with_borrow_mut(|served| served.call(request));
    Corpus::Keep
});
