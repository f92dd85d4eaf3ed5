//! What each key may do, through the layer and the handlers together: every operation of App Mesh's API.

use std::os::unix::fs::PermissionsExt;
use std::time::SystemTime;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Request, header};
use http_body_util::BodyExt;
use prometheus::Registry;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tower_service::Service;

use super::appmesh::{self, AppMesh};
use super::auth::sigv4::{self, Payload, Secret, Signer};
use super::auth::{Auth, CredentialsFile, protect};
use crate::model::arn::Identity;
use crate::store::journal::Memory;
use crate::store::{Options, Store};

const HOST: &str = "localhost:9080";
const KEYS: &str = "\
- accessKeyId: AKIDALL
  secretAccessKey: secret-of-a-test-1
- accessKeyId: AKIDREADER
  secretAccessKey: secret-of-a-test-1
  readOnly: true
- accessKeyId: AKIDOTHER
  secretAccessKey: secret-of-a-test-1
  meshes: [o]
";

/// What a key gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gets {
    Answered,
    Denied,
}

use Gets::{Answered, Denied};

/// The status, the exception and the body.
type Answer = (u16, String, Value);

async fn send(router: &mut Router, key: &str, method: &str, target: &str, body: &str) -> Answer {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut headers = HeaderMap::new();
    headers.insert(header::HOST, HeaderValue::from_static(HOST));
    let signer = Signer {
        access_key_id: key.to_owned(),
        secret_access_key: Secret::new("secret-of-a-test-1"),
        session_token: None,
        region: "us-east-1".to_owned(),
    };
    let unsigned = sigv4::Request {
        method,
        path,
        query,
        headers: &headers,
        authority: None,
    };
    let payload = Payload::Bytes(body.as_bytes());
    let added = signer.sign(&unsigned, payload, SystemTime::now()).unwrap();
    headers.extend(added);
    let mut request = Request::builder().method(method).uri(target);
    request.headers_mut().unwrap().extend(headers);
    let request = request.body(Body::from(body.to_owned())).unwrap();
    let response = router.call(request).await.unwrap();
    let status = response.status().as_u16();
    let exception = response.headers().get("x-amzn-errortype");
    let exception = exception.map(|name| name.to_str().unwrap().to_owned());
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let body = serde_json::from_slice(&body).unwrap_or_default();
    (status, exception.unwrap_or_default(), body)
}

/// Runs something against an API that takes the three keys.
async fn serve(calls: impl AsyncFnOnce(&mut Router)) {
    let registry = Registry::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.yaml");
    std::fs::write(&path, KEYS).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let keys = CredentialsFile::open(&path, &registry).unwrap();
    let journal = Box::<Memory>::default();
    let (store, writer) = Store::new(journal, Options::default(), &registry).unwrap();
    let api = AppMesh::new(store, Identity::default(), &registry).unwrap();
    let mut router = protect(appmesh::router(api), Auth::sigv4(&keys));
    tokio::select! {
        () = calls(&mut router) => {}
        () = writer.run(CancellationToken::new()) => panic!("the store ended"),
    }
}

/// Collections of the seven kinds in mesh `m`, in the order in which they can be made: path, name member, spec.
const KINDS: [(&str, &str, &str); 7] = [
    ("/v20190125/meshes", "meshName", "{}"),
    ("/v20190125/meshes/m/virtualNodes", "virtualNodeName", "{}"),
    (
        "/v20190125/meshes/m/virtualServices",
        "virtualServiceName",
        "{}",
    ),
    (
        "/v20190125/meshes/m/virtualRouters",
        "virtualRouterName",
        r#"{"listeners":[{"portMapping":{"port":80,"protocol":"http"}}]}"#,
    ),
    (
        "/v20190125/meshes/m/virtualRouter/m/routes",
        "routeName",
        r#"{"httpRoute":{"match":{"prefix":"/"},"action":{"weightedTargets":[{"virtualNode":"m","weight":1}]}}}"#,
    ),
    (
        "/v20190125/meshes/m/virtualGateways",
        "virtualGatewayName",
        r#"{"listeners":[{"portMapping":{"port":80,"protocol":"http"}}]}"#,
    ),
    (
        "/v20190125/meshes/m/virtualGateway/m/gatewayRoutes",
        "gatewayRouteName",
        r#"{"httpRoute":{"match":{"prefix":"/"},"action":{"target":{"virtualService":{"virtualServiceName":"m"}}}}}"#,
    ),
];

/// An operation, and what a key that only reads and a key of another mesh get.
type Row = (&'static str, String, String, [Gets; 2]);

/// All 38 in an order in which a key for everything can do them; each resource is named `m`.
fn operations() -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for (path, name, spec) in KINDS {
        let body = format!(r#"{{"{name}":"m","spec":{spec}}}"#);
        rows.push(("PUT", path.to_owned(), body, [Denied, Denied]));
    }
    for (path, _, spec) in KINDS {
        let item = format!("{path}/m");
        // Of all meshes, those that the key may read; of another mesh, nothing.
        let listed = if path.ends_with("/meshes") {
            Answered
        } else {
            Denied
        };
        rows.push(("GET", path.to_owned(), String::new(), [Answered, listed]));
        rows.push(("GET", item.clone(), String::new(), [Answered, Denied]));
        let body = format!(r#"{{"spec":{spec}}}"#);
        rows.push(("PUT", item, body, [Denied, Denied]));
    }
    let arn = "resourceArn=arn%3Aaws%3Aappmesh%3Aus-east-1%3A000000000000%3Amesh%2Fm";
    for (method, path, body, gets) in [
        (
            "PUT",
            "tag",
            r#"{"tags":[{"key":"a","value":"b"}]}"#,
            [Denied, Denied],
        ),
        ("GET", "tags", "", [Answered, Denied]),
        ("PUT", "untag", r#"{"tagKeys":["a"]}"#, [Denied, Denied]),
    ] {
        let target = format!("/v20190125/{path}?{arn}");
        rows.push((method, target, body.to_owned(), gets));
    }
    for (path, ..) in KINDS.into_iter().rev() {
        let item = format!("{path}/m");
        rows.push(("DELETE", item, String::new(), [Denied, Denied]));
    }
    rows
}

#[tokio::test]
async fn every_operation_is_for_those_who_may() {
    let rows = operations();
    assert_eq!(rows.len(), 38);
    serve(async |router| {
        for (method, target, body, gets) in &rows {
            let at = format!("{method} {target}");
            for (key, gets) in ["AKIDREADER", "AKIDOTHER"].into_iter().zip(gets) {
                let (status, exception, answer) = send(router, key, method, target, body).await;
                let expected = match gets {
                    Answered => (200, ""),
                    Denied => (403, "AccessDeniedException"),
                };
                let got = (status, exception.as_str());
                assert_eq!(got, expected, "{key} {at}: {answer}");
                if key == "AKIDOTHER" {
                    assert_eq!(answer.pointer("/meshes/0"), None, "{at}: {answer}");
                }
            }
            // Whoever may do everything can, so that nobody was refused for another reason.
            let (status, _, answer) = send(router, "AKIDALL", method, target, body).await;
            assert_eq!(status, 200, "{at}: {answer}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_client_token_is_its_callers_own() {
    serve(async |router| {
        for (key, mesh, expected) in [
            ("AKIDALL", "m", ""),
            ("AKIDOTHER", "o", ""),
            ("AKIDALL", "n", "ConflictException"),
        ] {
            let body = format!(r#"{{"meshName":"{mesh}","clientToken":"t"}}"#);
            let made = send(router, key, "PUT", "/v20190125/meshes", &body).await;
            assert_eq!(made.1, expected, "{key} {mesh}: {made:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn lists_of_everything_show_what_a_key_may_read() {
    serve(async |router| {
        for name in ["m", "o"] {
            let body = format!(r#"{{"meshName":"{name}"}}"#);
            let made = send(router, "AKIDALL", "PUT", "/v20190125/meshes", &body).await;
            assert_eq!(made.0, 200, "{made:?}");
        }
        for (target, list) in [
            ("/v20190125/meshes", "meshes"),
            ("/v20190125/meshes/", "meshes"),
            ("/outrigger/v1/resources", "resources"),
        ] {
            for (key, expected) in [
                ("AKIDALL", &["m", "o"][..]),
                ("AKIDREADER", &["m", "o"]),
                ("AKIDOTHER", &["o"]),
            ] {
                let (status, _, body) = send(router, key, "GET", target, "").await;
                assert_eq!(status, 200, "{key} {target}: {body}");
                let listed = body[list].as_array().unwrap().iter();
                let names: Vec<&str> = listed
                    .map(|one| one["meshName"].as_str().unwrap())
                    .collect();
                assert_eq!(names, expected, "{key} {target}");
            }
        }
        let target = "/outrigger/v1/resources?mesh=m";
        let (status, exception, _) = send(router, "AKIDOTHER", "GET", target, "").await;
        assert_eq!((status, exception.as_str()), (403, "AccessDeniedException"));
    })
    .await;
}
