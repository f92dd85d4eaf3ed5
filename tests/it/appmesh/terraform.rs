//! What Terraform's provider sends, and that it sees no difference on its next read.

use serde_json::{Value, json};

use super::{MESHES, NODES, with_mesh};

/// Sends a create and then reads back; the spec must be what was sent, member by member.
async fn echoes(served: &super::served::Served, collection: &str, member: &str, spec: &Value) {
    let body = json!({ member: "tf", "spec": spec });
    let created = served.put(collection, &body).await.ok();
    assert_eq!(created["spec"], *spec, "{collection}");
    let read = served.get(&format!("{collection}/tf")).await.ok();
    assert_eq!(read, created);
    let updated = served
        .put(&format!("{collection}/tf"), &json!({ "spec": spec }))
        .await;
    assert_eq!(updated.ok(), created, "the same spec again is no change");
    served.delete(&format!("{collection}/tf")).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_zeros_and_empty_blocks_are_read_back_as_they_were_sent() {
    let served = with_mesh(&[]).await;
    let timeout = json!({"http": {"idle": {"unit": "s"}, "perRequest": {"unit": "s"}}});
    let node = json!({
        "serviceDiscovery": {"dns": {"hostname": "a.invalid"}},
        "listeners": [{
            "portMapping": {"port": 8080, "protocol": "http"},
            "timeout": timeout,
            "outlierDetection": {
                "baseEjectionDuration": {"unit": "s"}, "interval": {"unit": "s", "value": 10},
                "maxServerErrors": 5,
            },
        }],
        "backendDefaults": {"clientPolicy": {"tls": {
            "enforce": true,
            "validation": {"trust": {"file": {"certificateChain": "/ca.pem"}}},
        }}},
    });
    echoes(&served, NODES, "virtualNodeName", &node).await;

    let listeners = json!([
        {"portMapping": {"port": 8080, "protocol": "http"}},
    ]);
    let grpc = json!([{"portMapping": {"port": 9090, "protocol": "grpc"}}]);
    let routers = format!("{MESHES}/m/virtualRouters");
    for (name, listeners) in [("r", &listeners), ("grpc", &grpc)] {
        let spec = json!({ "listeners": listeners });
        let body = json!({"virtualRouterName": name, "spec": spec});
        served.put(&routers, &body).await.ok();
        let body = json!({"virtualNodeName": name, "spec": {
            "serviceDiscovery": {"dns": {"hostname": "a.invalid"}}, "listeners": listeners,
        }});
        served.put(NODES, &body).await.ok();
    }
    let action = |node: &str| json!({"weightedTargets": [{"virtualNode": node, "weight": 0}]});
    let http = json!({"httpRoute": {
        "match": {
            "prefix": "/",
            "headers": [{"name": "h", "invert": false, "match": {"range": {"end": 5}}}],
        },
        "action": action("r"),
        "timeout": timeout,
        "retryPolicy": {"maxRetries": 0, "httpRetryEvents": ["server-error"], "perRetryTimeout": {"unit": "s"}},
    }});
    let routes = |router: &str| format!("{MESHES}/m/virtualRouter/{router}/routes");
    echoes(&served, &routes("r"), "routeName", &http).await;
    let grpc = json!({"grpcRoute": {"match": {}, "action": action("grpc")}});
    echoes(&served, &routes("grpc"), "routeName", &grpc).await;
}

/// A mesh's `spec` is left out, sent empty, or with the default written out.
#[tokio::test(flavor = "multi_thread")]
async fn a_mesh_needs_no_spec() {
    let served = with_mesh(&[]).await;
    let path = format!("{MESHES}/m");
    assert_eq!(served.get(&path).await.ok()["spec"], json!({}));
    let same = served.put(&path, &json!({})).await.ok();
    assert_eq!(same["metadata"]["version"], 1);
    let spec = json!({"egressFilter": {"type": "DROP_ALL"}});
    let explicit = served.put(&path, &json!({ "spec": spec })).await.ok();
    assert_eq!(
        (&explicit["spec"], &explicit["metadata"]["version"]),
        (&spec, &json!(2))
    );
    // It takes both not-found and this for gone.
    assert_eq!(
        served.delete(&path).await.ok()["status"],
        json!({"status": "DELETED"})
    );
    assert_eq!(served.get(&path).await.error().0, "NotFoundException");
}

/// The one default: Terraform's own test expects the listener's port back.
#[tokio::test(flavor = "multi_thread")]
async fn a_health_check_gets_its_listeners_port_and_nothing_else() {
    let served = with_mesh(&[]).await;
    let check = json!({
        "protocol": "http", "path": "/ping", "healthyThreshold": 3, "unhealthyThreshold": 3,
        "timeoutMillis": 2000, "intervalMillis": 5000,
    });
    let mut spec = json!({
        "serviceDiscovery": {"dns": {"hostname": "a.invalid"}},
        "listeners": [{"portMapping": {"port": 8080, "protocol": "http"}, "healthCheck": check}],
    });
    let body = json!({"virtualNodeName": "n", "spec": spec});
    let created = served.put(NODES, &body).await.ok();
    spec["listeners"][0]["healthCheck"]["port"] = json!(8080);
    assert_eq!(created["spec"], spec);
    let again = served.put(NODES, &body).await.ok();
    assert_eq!(again, created, "with and without the port it is the same");
}
