//! Requests that are almost right: whatever a client does wrong is its own fault, by one of App Mesh's names.

use axum::Router;
use axum::http::{Method, Uri};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Answer, send, serve};
use crate::model::quota::Quotas;
use crate::store::journal::Memory;

const EXCEPTIONS: [&str; 8] = [
    "BadRequestException",
    "ConflictException",
    "ForbiddenException",
    "LimitExceededException",
    "NotFoundException",
    "ResourceInUseException",
    "TooManyRequestsException",
    "TooManyTagsException",
];

/// A request that goes well, in this order.
#[expect(clippy::too_many_lines, reason = "one request an operation")]
fn requests() -> Vec<(Method, &'static str, Value)> {
    let put = |path, body| (Method::PUT, path, body);
    let get = |path| (Method::GET, path, Value::Null);
    let listener = json!({"portMapping": {"port": 80, "protocol": "http"}});
    let node = json!({
        "serviceDiscovery": {"dns": {"hostname": "a.local"}},
        "listeners": [{
            "portMapping": {"port": 80, "protocol": "http"},
            "healthCheck": {
                "protocol": "http", "path": "/", "healthyThreshold": 2, "unhealthyThreshold": 2,
                "timeoutMillis": 2000, "intervalMillis": 5000,
            },
            "connectionPool": {"http": {"maxConnections": 5}},
        }],
        "backends": [{"virtualService": {"virtualServiceName": "b.local"}}],
    });
    let targets = json!({"weightedTargets": [{"virtualNode": "n", "weight": 7}]});
    let arn = "/v20190125/tag?resourceArn=arn:aws:appmesh:us-east-1:000000000000:mesh/m";
    let tags = "/v20190125/tags?limit=3&resourceArn=arn%3Aaws%3Aappmesh%3Aus-east-1%3A000000000000%3Amesh%2Fm";
    vec![
        put(
            "/v20190125/meshes",
            json!({"meshName": "m", "clientToken": "t", "tags": [{"key": "k", "value": "v"}]}),
        ),
        put(
            "/v20190125/meshes/m/virtualNodes",
            json!({"virtualNodeName": "n", "spec": node}),
        ),
        put(
            "/v20190125/meshes/m/virtualRouters?meshOwner=000000000000",
            json!({"virtualRouterName": "r", "spec": {"listeners": [listener]}}),
        ),
        put(
            "/v20190125/meshes/m/virtualRouter/r/routes",
            json!({"routeName": "x", "spec": {
                "priority": 3,
                "httpRoute": {
                    "match": {"prefix": "/", "headers": [{"name": "h", "match": {"range": {"start": 1, "end": 2}}}]},
                    "action": targets,
                    "retryPolicy": {
                        "maxRetries": 2, "httpRetryEvents": ["server-error"],
                        "perRetryTimeout": {"unit": "s", "value": 1},
                    },
                },
            }}),
        ),
        put(
            "/v20190125/meshes/m/virtualServices",
            json!({"virtualServiceName": "s.local", "spec": {"provider": {"virtualRouter": {"virtualRouterName": "r"}}}}),
        ),
        put("/v20190125/meshes/m/virtualNodes/n", json!({"spec": {}})),
        put(arn, json!({"tags": [{"key": "k", "value": "w"}]})),
        get("/v20190125/meshes/m/virtualRouter/r/routes?limit=10"),
        get("/v20190125/meshes/m/virtualServices/s.local"),
        get(tags),
        get("/outrigger/v1/resources?mesh=m"),
        (
            Method::DELETE,
            "/v20190125/meshes/m/virtualServices/s.local",
            Value::Null,
        ),
    ]
}

/// One change of a text: some bytes go, and others come in their place.
#[derive(Clone, Debug)]
struct Edit {
    at: prop::sample::Index,
    gone: usize,
    new: String,
}

fn edit(text: impl Strategy<Value = String>) -> impl Strategy<Value = Edit> {
    (any::<prop::sample::Index>(), 0_usize..9, text).prop_map(|(at, gone, new)| Edit {
        at,
        gone,
        new,
    })
}

impl Edit {
    fn apply(&self, text: &str) -> String {
        let chars: Vec<char> = text.chars().collect();
        let at = self.at.index(chars.len() + 1);
        let end = chars.len().min(at + self.gone);
        let rest = chars[end..].iter();
        chars[..at]
            .iter()
            .copied()
            .chain(self.new.chars())
            .chain(rest.copied())
            .collect()
    }
}

/// What a body or a URI may be spoilt with.
fn pieces() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "",
            "null",
            "{}",
            "[]",
            "-1",
            "0",
            "1e400",
            "99999999999999999999",
            "\"",
            "\\",
            "true",
            "{\"a\":",
            "\\u0000",
            "%",
            "%00",
            "%2F",
            "..",
            "/",
            "?",
            "&limit=",
            "é",
            "spec",
            "tags",
            ",",
            ":",
            "}",
            "]",
            " ",
        ])
        .prop_map(str::to_owned),
        "[ -~]{0,6}",
    ]
}

#[derive(Clone, Debug)]
struct Spoilt {
    request: prop::sample::Index,
    method: Option<&'static str>,
    uri: Vec<Edit>,
    body: Vec<Edit>,
}

fn spoilt() -> impl Strategy<Value = Spoilt> {
    let method = prop::sample::select(vec!["GET", "PUT", "POST", "DELETE", "HEAD", "PATCH", "X"]);
    let uri = prop::collection::vec(edit(pieces()), 0..3);
    let body = prop::collection::vec(edit(pieces()), 0..4);
    let method = prop::option::weighted(0.1, method);
    (any::<prop::sample::Index>(), method, uri, body).prop_map(|(request, method, uri, body)| {
        Spoilt {
            request,
            method,
            uri,
            body,
        }
    })
}

async fn send_spoilt(router: &mut Router, spoilt: &Spoilt) -> Option<Answer> {
    let requests = requests();
    let (method, path, body) = spoilt.request.get(&requests);
    let apply = |text: &str, edits: &[Edit]| {
        edits
            .iter()
            .fold(text.to_owned(), |text, edit| edit.apply(&text))
    };
    let uri = apply(path, &spoilt.uri);
    // What is no URI does not get through HTTP's own parser.
    uri.parse::<Uri>()
        .ok()
        .filter(|uri| uri.path().starts_with('/'))?;
    let body = apply(&body.to_string(), &spoilt.body);
    let method = match spoilt.method {
        Some(other) => Method::from_bytes(other.as_bytes()).unwrap(),
        None => method.clone(),
    };
    Some(send(router, method, &uri, body).await)
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_time().build().unwrap()
}

#[test]
fn the_requests_go_well_as_they_are() {
    let runtime = runtime();
    runtime.block_on(serve(
        &Memory::default(),
        Quotas::default(),
        async |router| {
            for (method, path, body) in requests() {
                let body = if body.is_null() {
                    String::new()
                } else {
                    body.to_string()
                };
                let answer = send(router, method.clone(), path, body).await;
                assert_eq!(answer.status, 200, "{method} {path}: {answer:?}");
            }
        },
    ));
}

#[test]
fn spoilt_requests_are_answered_by_name() {
    let runtime = runtime();
    let config = ProptestConfig {
        cases: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    // A few of them on one store, so that what some have made is there for others.
    proptest!(config, |(spoilt in prop::collection::vec(spoilt(), 1..30))| {
        runtime.block_on(serve(&Memory::default(), Quotas::default(), async |router| {
            for (method, path, body) in requests() {
                send(router, method, path, body.to_string()).await;
            }
            for one in &spoilt {
                let Some(answer) = send_spoilt(router, one).await else {
                    continue;
                };
                let status = answer.status.as_u16();
                let is_good = status < 300 && answer.exception.is_empty();
                let is_known = EXCEPTIONS.contains(&answer.exception.as_str());
                let is_refused = (400..500).contains(&status) && is_known;
                prop_assert!(is_good || is_refused, "{:?}: {:?}", one, answer);
            }
            Ok(())
        }))?;
    });
}
