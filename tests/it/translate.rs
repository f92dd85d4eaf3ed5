//! Translation, from a whole mesh to resources that stand on their own.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use outrigger::model::endpoint::{Endpoint, EndpointSet, EndpointTable};
use outrigger::model::{
    Capture, ClientKind, MeshName, Model, NodeName, NodeRef, Resource, ResourceId, RouteName,
    RouterName, ServiceName, Spec, ViewKey,
};
use outrigger::snapshot::Snapshot;
use outrigger::translate::{Input, Options, Translator, View};
use serde_json::{Value, json};

use crate::static_bootstrap::static_bootstrap;

/// Something of everything that a sidecar can get.
#[expect(clippy::too_many_lines, reason = "a list, one resource after another")]
fn everything() -> Vec<Resource> {
    let mesh = || MeshName::new("m");
    let node = |name: &str, spec: Value| Resource {
        id: ResourceId::VirtualNode(mesh(), NodeName::new(name)),
        spec: Spec::VirtualNode(serde_json::from_value(spec).unwrap()),
    };
    let service = |name: &str, provider: Value| Resource {
        id: ResourceId::VirtualService(mesh(), ServiceName::new(name)),
        spec: Spec::VirtualService(serde_json::from_value(json!({"provider": provider})).unwrap()),
    };
    let route = |name: &str, spec: Value| Resource {
        id: ResourceId::Route(mesh(), RouterName::new("r"), RouteName::new(name)),
        spec: Spec::Route(serde_json::from_value(spec).unwrap()),
    };
    let dns = |host: &str| json!({"dns": {"hostname": host}});
    let timeout =
        json!({"perRequest": {"unit": "s", "value": 0}, "idle": {"unit": "ms", "value": 1500}});
    let targets = |port: u16| json!({"weightedTargets": [{"virtualNode": "b", "weight": 90, "port": port}, {"virtualNode": "c", "weight": 0, "port": port}]});
    vec![
        Resource {
            id: ResourceId::Mesh(mesh()),
            spec: Spec::Mesh(
                serde_json::from_value(json!({"egressFilter": {"type": "ALLOW_ALL"}})).unwrap(),
            ),
        },
        node(
            "a",
            json!({
                "serviceDiscovery": dns("a.local"),
                "listeners": [
                    {"portMapping": {"port": 8080, "protocol": "http"}, "timeout": {"http": timeout},
                     "connectionPool": {"http": {"maxConnections": 5, "maxPendingRequests": 6}}},
                    {"portMapping": {"port": 8081, "protocol": "grpc"}, "connectionPool": {"grpc": {"maxRequests": 7}}},
                    {"portMapping": {"port": 8082, "protocol": "tcp"}, "timeout": {"tcp": {"idle": {"unit": "s", "value": 9}}}},
                ],
                "logging": {"accessLog": {"file": {"path": "/dev/stderr", "format": {"json": [
                    {"key": "status", "value": "%RESPONSE_CODE%"}, {"key": "path", "value": "%REQ(:PATH)%"}]}}}},
            }),
        ),
        node(
            "b",
            json!({"serviceDiscovery": dns("b.local"), "listeners": [
                {"portMapping": {"port": 9000, "protocol": "http"},
                 "outlierDetection": {"baseEjectionDuration": {"unit": "s", "value": 30}, "interval": {"unit": "s", "value": 10},
                                      "maxEjectionPercent": 50, "maxServerErrors": 5},
                 "healthCheck": {"healthyThreshold": 2, "unhealthyThreshold": 3, "intervalMillis": 5000, "timeoutMillis": 2000,
                                 "protocol": "http", "path": "/ping"}},
                {"portMapping": {"port": 9001, "protocol": "grpc"},
                 "healthCheck": {"healthyThreshold": 2, "unhealthyThreshold": 3, "intervalMillis": 5000, "timeoutMillis": 2000,
                                 "protocol": "grpc"}},
                {"portMapping": {"port": 9002, "protocol": "tcp"},
                 "healthCheck": {"healthyThreshold": 2, "unhealthyThreshold": 3, "intervalMillis": 5000, "timeoutMillis": 2000,
                                 "protocol": "tcp"}},
            ]}),
        ),
        node(
            "c",
            json!({"serviceDiscovery": dns("c.local"), "listeners": [
                {"portMapping": {"port": 9000, "protocol": "http2"}, "healthCheck": {
                    "healthyThreshold": 2, "unhealthyThreshold": 3, "intervalMillis": 5000, "timeoutMillis": 2000, "protocol": "http2"}},
                {"portMapping": {"port": 9001, "protocol": "grpc"}},
                {"portMapping": {"port": 9002, "protocol": "tcp"}},
            ]}),
        ),
        node(
            "lb",
            json!({
                "serviceDiscovery": {"dns": {"hostname": "lb.local", "responseType": "LOADBALANCER", "ipPreference": "IPv4_ONLY"}},
                "listeners": [{"portMapping": {"port": 443, "protocol": "tcp"}}],
            }),
        ),
        service(
            "routed.local",
            json!({"virtualRouter": {"virtualRouterName": "r"}}),
        ),
        service("b.local", json!({"virtualNode": {"virtualNodeName": "b"}})),
        service(
            "lb.local",
            json!({"virtualNode": {"virtualNodeName": "lb"}}),
        ),
        service(
            "nothing.local",
            json!({"virtualNode": {"virtualNodeName": "nobody"}}),
        ),
        Resource {
            id: ResourceId::VirtualRouter(mesh(), RouterName::new("r")),
            spec: Spec::VirtualRouter(
                serde_json::from_value(json!({"listeners": [
                    {"portMapping": {"port": 80, "protocol": "http"}},
                    {"portMapping": {"port": 81, "protocol": "grpc"}},
                    {"portMapping": {"port": 5432, "protocol": "tcp"}},
                    {"portMapping": {"port": 5433, "protocol": "tcp"}},
                ]}))
                .unwrap(),
            ),
        },
        route(
            "matched",
            json!({"priority": 3, "httpRoute": {
                "action": targets(9000), "timeout": timeout,
                "match": {
                    "port": 80, "path": {"regex": "/v[0-9]+/.*"}, "method": "POST", "scheme": "http",
                    "headers": [
                        {"name": "x-exact", "match": {"exact": "1"}}, {"name": "x-prefix", "match": {"prefix": "1"}},
                        {"name": "x-suffix", "match": {"suffix": "1"}, "invert": true}, {"name": "x-regex", "match": {"regex": "a+"}},
                        {"name": "x-range", "match": {"range": {"end": 10}}}, {"name": "x-there"},
                    ],
                    "queryParameters": [{"name": "q"}, {"name": "p", "match": {"exact": "1"}}],
                },
                "retryPolicy": {
                    "httpRetryEvents": ["gateway-error", "client-error", "stream-error"], "tcpRetryEvents": ["connection-error"],
                    "maxRetries": 4, "perRetryTimeout": {"unit": "ms", "value": 250},
                },
            }}),
        ),
        route(
            "rest",
            json!({"httpRoute": {"action": targets(9000), "match": {"port": 80, "prefix": "/"}}}),
        ),
        route(
            "nowhere",
            json!({"httpRoute": {"match": {"port": 80, "prefix": "/nowhere"},
            "action": {"weightedTargets": [{"virtualNode": "b", "weight": 0, "port": 9000}]}}}),
        ),
        route(
            "grpc",
            json!({"grpcRoute": {
                "action": targets(9001), "match": {"port": 81, "serviceName": "pkg.S", "methodName": "M", "metadata": [{"name": "k"}]},
                "retryPolicy": {"grpcRetryEvents": ["unavailable", "cancelled"], "maxRetries": 0, "perRetryTimeout": {"unit": "s", "value": 1}},
            }}),
        ),
        route(
            "database",
            json!({"tcpRoute": {"match": {"port": 5432},
            "action": {"weightedTargets": [{"virtualNode": "b", "weight": 1, "port": 9002}, {"virtualNode": "c", "weight": 2, "port": 9002}]}}}),
        ),
        route(
            "gone",
            json!({"tcpRoute": {"match": {"port": 5433},
            "action": {"weightedTargets": [{"virtualNode": "b", "weight": 0, "port": 9002}]}}}),
        ),
    ]
}

fn key(node: &str) -> ViewKey {
    ViewKey {
        node: NodeRef::VirtualNode(MeshName::new("m"), NodeName::new(node)),
        capture: Capture::Explicit {
            bind: Ipv4Addr::new(127, 0, 0, 2).into(),
            applications: BTreeMap::new(),
        },
        client: ClientKind::Envoy,
    }
}

fn endpoints(model: &Model) -> EndpointTable {
    let (_, mesh) = model.meshes().next().unwrap();
    let spec = mesh.spec.clone().unwrap();
    let sources = mesh
        .nodes
        .values()
        .filter_map(|node| node.endpoint_source(&spec));
    let endpoint = Endpoint {
        address: Ipv4Addr::new(10, 0, 0, 1).into(),
        port: None,
        weight: 1,
    };
    let known = EndpointSet::Known(Arc::new([endpoint]));
    sources.map(|source| (source, known.clone())).collect()
}

fn translate(node: &str) -> Arc<Snapshot> {
    let model = Model::from_resources(everything());
    let mut translator = Translator::new(Options::default());
    translator.apply(Input {
        endpoints: endpoints(&model),
        views: [key(node)].into_iter().collect(),
        model,
    });
    match translator.view(&key(node)) {
        Some(View::Serving(snapshot)) => Arc::clone(snapshot),
        other => panic!("{node} is not served: {other:?}"),
    }
}

#[test]
fn a_static_bootstrap_asks_for_nothing() {
    for node in ["a", "b", "lb"] {
        let bootstrap = static_bootstrap(&translate(node)).to_string();
        for asking in [
            "\"ads\"",
            "\"rds\"",
            "configDiscovery",
            "edsConfig",
            "\"EDS\"",
        ] {
            assert!(
                !bootstrap.contains(asking),
                "{node} asks for {asking}: {bootstrap}"
            );
        }
    }
}
