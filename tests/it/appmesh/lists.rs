//! Lists and what is beside App Mesh's API: `GET /outrigger/v1/resources`, OPTIONS, HEAD, metrics, the log, a restart.

use serde_json::{Value, json};

use super::{MESHES, NODES, node, node_spec, with_mesh};

const EVERYTHING: &str = "/outrigger/v1/resources";

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_one_answer() {
    let served = with_mesh(&[]).await;
    served.put(NODES, &node("n")).await.ok();
    let body = json!({"meshName": "other", "tags": [{"key": "k", "value": "v"}]});
    served.put(MESHES, &body).await.ok();
    let all = served.get(EVERYTHING).await.ok();
    assert_eq!(all["revision"], 3);
    let resources = all["resources"].as_array().unwrap();
    let kinds: Vec<&Value> = resources.iter().map(|one| &one["kind"]).collect();
    assert_eq!(kinds, ["Mesh", "Mesh", "VirtualNode"]);
    assert_eq!(resources[1]["tags"], json!({"k": "v"}));
    let node = &resources[2];
    assert_eq!(node["spec"], node_spec(8080));
    assert_eq!(node["owner"], json!({"api": true}));
    let described = served.get(&format!("{NODES}/n")).await.ok();
    assert_eq!(node["metadata"], described["metadata"]);
    // Each is a document of a mesh file, with more beside it.
    assert_eq!(node["virtualNodeName"], "n");
    let one = served.get(&format!("{EVERYTHING}?mesh=m")).await.ok();
    assert_eq!(one["resources"].as_array().unwrap().len(), 2);
    let none = served.get(&format!("{EVERYTHING}?mesh=none")).await.ok();
    assert_eq!(none["resources"], json!([]));
    for query in ["mesh=m&mesh=m", "mesh=%"] {
        let answer = served.get(&format!("{EVERYTHING}?{query}")).await;
        assert_eq!(answer.error().0, "BadRequestException");
    }
    let answer = served.put(EVERYTHING, &json!({})).await;
    assert_eq!(answer.error().0, "BadRequestException");
    assert_eq!(answer.header("allow"), "GET, HEAD, OPTIONS");
}

#[tokio::test(flavor = "multi_thread")]
async fn head_and_options_are_answered_and_grant_nothing() {
    let served = with_mesh(&[]).await;
    let whole = served.get(MESHES).await;
    let head = served.send("HEAD", MESHES, &[], "").await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    let length = |answer: &super::served::Answer| answer.header("content-length").to_owned();
    assert_eq!(length(&head), length(&whole));
    let origin = [
        ("origin", "http://evil.example"),
        ("access-control-request-method", "PUT"),
    ];
    let options = served.send("OPTIONS", MESHES, &origin, "").await;
    assert_eq!(options.status, 204);
    assert_eq!(options.header("allow"), "GET, HEAD, OPTIONS, PUT");
    let grants = options.headers.keys();
    assert!(
        !grants
            .into_iter()
            .any(|name| name.as_str().starts_with("access-control"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_counted_and_writes_are_logged() {
    let served = with_mesh(&[]).await;
    served.put(NODES, &node("n")).await.ok();
    served.get(&format!("{NODES}/nobody")).await.error();
    served.get("/nothing").await.error();
    for (labels, count) in [
        (r#"operation="CreateVirtualNode",outcome="ok""#, 1),
        (
            r#"operation="DescribeVirtualNode",outcome="NotFoundException""#,
            1,
        ),
        (r#"operation="Unknown",outcome="BadRequestException""#, 1),
    ] {
        let series = format!("outrigger_api_requests_total{{{labels}}}");
        assert_eq!(served.metric(&series).await, count, "{series}");
    }
    let seconds = r#"outrigger_api_request_seconds_count{operation="CreateVirtualNode"}"#;
    assert_eq!(served.metric(seconds).await, 1);
    let log = std::fs::read_to_string(served.log()).unwrap();
    let lines: Vec<Value> = (log.lines())
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter(|line: &Value| line["message"] == "written")
        .collect();
    assert_eq!(lines.len(), 2, "{log}");
    let line = &lines[1];
    assert_eq!(line["operation"], "CreateVirtualNode");
    assert_eq!(line["resource"], "mesh/m/virtualNode/n");
    assert_eq!(line["revision"], "2");
    assert_eq!(line["caller"], "anybody");
}

/// What was answered is there again, down to the last member.
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_changes_nothing() {
    let mut served = with_mesh(&[]).await;
    let mut body = node("n");
    body["clientToken"] = json!("token");
    body["tags"] = json!([{"key": "k", "value": "v"}]);
    let created = served.put(NODES, &body).await.ok();
    let before = served.get(EVERYTHING).await.ok();
    served.restart().await;
    assert_eq!(served.get(EVERYTHING).await.ok(), before);
    assert_eq!(served.put(NODES, &body).await.ok(), created);
    body["spec"] = node_spec(1);
    let (name, _) = served.put(NODES, &body).await.error();
    assert_eq!(name, "ConflictException");
}
