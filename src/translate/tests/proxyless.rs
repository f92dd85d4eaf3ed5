//! gRPC's own clients, which have no sidecar.

use serde_json::{Value, json};

use super::*;
use crate::translate::fixture::{dangling, translate_for};

fn client(node: &str) -> ViewKey {
    ViewKey {
        capture: Capture::Redirect,
        client: ClientKind::Grpc,
        ..key(node)
    }
}

fn view(mesh: &Value) -> (Arc<Snapshot>, Vec<String>) {
    translate_for(mesh, &client("a"), Options::default())
}

/// A node `a` that calls a service with ports of each protocol.
fn mesh() -> Value {
    json!({
        "mesh": {"egressFilter": {"type": "ALLOW_ALL"}},
        "nodes": {
            "a": {"serviceDiscovery": dns("a"), "backends": backends(&["b.local", "db.local"]),
                  "logging": {"accessLog": {"file": {"path": "/dev/stdout"}}}},
            "b": {"serviceDiscovery": dns("b"), "listeners": [
                listener(8080, "http"), listener(9000, "tcp"), listener(9090, "grpc"),
            ]},
        },
        "services": {"b.local": to_node("b"), "other.local": to_node("b")},
    })
}

/// A listener for each way to name a port, no sidecar's own, and nothing of TCP.
#[test]
fn a_service_is_called_by_its_name_with_or_without_a_port() {
    let (snapshot, problems) = view(&mesh());
    assert_eq!(dangling(&snapshot), Vec::<String>::new());
    assert_eq!(
        names(&snapshot, Kind::Listener),
        ["b.local", "b.local:8080", "b.local:9090"]
    );
    let clusters = ["cds_egress_m_b_grpc_9090", "cds_egress_m_b_http_8080"];
    assert_eq!(names(&snapshot, Kind::Cluster), clusters);
    assert_eq!(names(&snapshot, Kind::Endpoint), clusters);
    assert_eq!(names(&snapshot, Kind::Extension), Vec::<String>::new());
    check(
        "proxyless",
        &snapshot,
        &[
            (Kind::Listener, "b.local"),
            (Kind::Route, "rds_egress_b.local_9090"),
        ],
        &problems,
    );
}

/// Replicas that log elsewhere, or with and without a sidecar's metadata, share what they are sent.
#[test]
fn clusters_are_those_of_sidecars() {
    let (sidecars, _) = translate(&mesh(), "a");
    let (snapshot, _) = view(&mesh());
    for kind in [Kind::Cluster, Kind::Endpoint] {
        for resource in snapshot.resources(kind) {
            assert_eq!(sidecars.get(kind, resource.name()), Some(resource));
        }
    }
}

/// A service that has another's name and port keeps its own name, and gives it back.
#[test]
fn a_name_with_a_port_is_first_of_all_a_name() {
    let mut with = mesh();
    let service = "b.local:9090";
    with["services"][service] = to_node("b");
    with["nodes"]["a"]["backends"] = backends(&["b.local", service]);
    let (snapshot, _) = view(&with);
    let routes = |snapshot: &Snapshot| {
        let listener = resource(snapshot, Kind::Listener, service);
        listener["apiListener"]["apiListener"]["rds"]["routeConfigName"].clone()
    };
    assert_eq!(routes(&snapshot), "rds_egress_b.local:9090_9090");
    let (snapshot, _) = view(&mesh());
    assert_eq!(routes(&snapshot), "rds_egress_b.local_9090");
}

/// gRPC knows statuses only, and rejects what says nothing.
#[test]
fn retries_are_those_that_grpc_knows() {
    let policy = |policy: Value| {
        let mut with = mesh();
        with["services"]["b.local"] = to_router("r");
        with["routers"] = json!({"r": {"listeners": [listener(9090, "grpc")]}});
        with["routes"] = json!({"r": {"x": {"grpcRoute": {
            "match": {}, "action": {"weightedTargets": [{"virtualNode": "b", "weight": 1}]},
            "retryPolicy": policy,
        }}}});
        let (snapshot, _) = view(&with);
        let routes = resource(&snapshot, Kind::Route, "rds_egress_b.local_9090");
        routes["virtualHosts"][0]["routes"][0]["route"]["retryPolicy"].clone()
    };
    let timeout = json!({"unit": "s", "value": 1});
    let cases = [
        (
            json!({"grpcRetryEvents": ["internal", "cancelled"]}),
            json!("cancelled,internal"),
        ),
        (
            json!({"httpRetryEvents": ["gateway-error"]}),
            json!("unavailable"),
        ),
        (
            json!({"tcpRetryEvents": ["connection-error"]}),
            json!("unavailable"),
        ),
        (json!({"httpRetryEvents": ["client-error"]}), Value::Null),
        (
            json!({"grpcRetryEvents": ["internal"], "maxRetries": 0}),
            Value::Null,
        ),
    ];
    for (mut given, conditions) in cases {
        given["perRetryTimeout"] = timeout.clone();
        if given["maxRetries"].is_null() {
            given["maxRetries"] = json!(2);
        }
        assert_eq!(policy(given.clone())["retryOn"], conditions, "{given}");
    }
}
