//! What the API refuses, and how it says so.

use serde_json::{Value, json};

use super::client::{self, Client};
use super::{B, two_nodes_served};
use crate::world::World;

const JSON: Option<(&str, &str)> = Some(client::JSON);

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_said_with_the_way_out() {
    let world = two_nodes_served().await;
    let api = Client::of(&world);
    let good = json!({"endpoints": []}).to_string();
    let nobody = "/outrigger/v1/meshes/appMesh/virtualNodes/nobody/endpoints";
    let nowhere = "/outrigger/v1/meshes/nowhere/virtualNodes/serviceBNode/endpoints";
    let lease = |seconds: i64| json!({"endpoints": [], "leaseSeconds": seconds}).to_string();
    let long = format!("{good}{}", " ".repeat(17 << 20));
    let rows = [
        (
            "PUT",
            nobody,
            JSON,
            good.as_str(),
            404,
            "no virtual node `nobody` in mesh `appMesh`",
        ),
        ("PUT", nowhere, JSON, &good, 404, "no mesh `nowhere`"),
        ("GET", nobody, None, "", 404, "no virtual node `nobody`"),
        ("DELETE", nobody, None, "", 404, "no virtual node `nobody`"),
        ("GET", B, None, "", 404, "its discovery counts"),
        ("PUT", B, None, &good, 415, "Content-Type: application/json"),
        (
            "PUT",
            B,
            Some(("content-type", "text/plain")),
            &good,
            415,
            "Content-Type: application/json",
        ),
        ("PUT", B, JSON, "{}", 400, "missing field `endpoints`"),
        ("PUT", B, JSON, "[]", 400, "is no list of endpoints"),
        ("PUT", B, JSON, "{\"endpoints\": [", 400, "line 1 column"),
        ("PUT", B, JSON, &lease(0), 400, "`leaseSeconds` is 0"),
        (
            "PUT",
            B,
            JSON,
            &lease(-1),
            400,
            "invalid value: integer `-1`",
        ),
        ("PUT", B, JSON, &long, 413, "longer than 16777216 bytes"),
        ("POST", B, JSON, &good, 405, "PUT and DELETE"),
    ];
    for (method, path, kind, body, status, text) in rows {
        let headers: Vec<_> = kind.into_iter().collect();
        let (got, answer) = api.send(method, path, &headers, body.to_owned()).await;
        let error = answer["error"].as_str().unwrap_or_default();
        assert!(
            got == status && error.contains(text),
            "{method} {path}: {got} {answer}"
        );
    }
    let refused = "outrigger_registration_calls_total{call=\"put\",outcome=\"refused\"}";
    assert_eq!(world.metric(refused).await, 10);
}

/// Also of a page that has given itself the API's name: its browser then asks nobody's leave.
#[tokio::test(flavor = "multi_thread")]
async fn a_web_page_changes_nothing() {
    let world = two_nodes_served().await;
    let api = Client::of(&world);
    let list = json!({"endpoints": [{"address": "10.0.0.1"}]});
    assert_eq!(api.put(B, &list).await.0, 200);
    let own = format!("http://{}", world.at(1, 9080));
    for origin in ["https://page.example", "null", own.as_str()] {
        let headers = [client::JSON, ("origin", origin)];
        for (method, body) in [("PUT", r#"{"endpoints": []}"#), ("DELETE", "")] {
            let (status, answer) = api.send(method, B, &headers, body.to_owned()).await;
            let error = answer["error"].as_str().unwrap_or_default();
            assert!(
                status == 403 && error.contains("a call of a web page"),
                "{method} of {origin}: {status} {answer}"
            );
        }
    }
    let (_, answer) = api.get(B).await;
    assert_eq!(answer["endpoints"][0]["address"], "10.0.0.1", "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_wrong_entry_changes_nothing() {
    let world = two_nodes_served().await;
    let api = Client::of(&world);
    let before = json!({"endpoints": [{"address": "10.0.0.1"}]});
    assert_eq!(api.put(B, &before).await.0, 200);
    let mut entries: Vec<Value> = (0..5_000)
        .map(|number| json!({"address": format!("10.1.{}.{}", number / 250, number % 250)}))
        .collect();
    entries[17] = json!({"address": "db.local"});
    entries[4_000] = entries[0].clone();
    let (status, answer) = api.put(B, &json!({"endpoints": entries})).await;
    assert_eq!(status, 400, "{answer}");
    let problems = answer["problems"].as_array().unwrap();
    let places: Vec<&Value> = problems.iter().map(|one| &one["index"]).collect();
    assert_eq!(places, [&json!(17), &json!(4_000)]);
    let (_, answer) = api.get(B).await;
    assert_eq!(
        answer["endpoints"],
        json!([{"address": "10.0.0.1", "weight": 1}])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_taken_before_a_mesh_is_loaded() {
    let mut world = World::new().await;
    world.write_mesh("kind: Mesh\nmeshName: 7\n");
    world.spawn_control_plane();
    let api = Client::of(&world);
    world.answers_health().await;
    let (status, answer) = api.put(B, &json!({"endpoints": []})).await;
    let error = answer["error"].as_str().unwrap_or_default();
    assert!(
        status == 503 && error.contains("/readyz"),
        "{status} {answer}"
    );
}

/// A file that is edited must not cost what an orchestrator has registered.
#[tokio::test(flavor = "multi_thread")]
async fn a_registration_outlives_its_node() {
    let world = two_nodes_served().await;
    let api = Client::of(&world);
    let list = json!({"endpoints": [{"address": "10.0.0.1"}]});
    assert_eq!(api.put(B, &list).await.0, 200);
    world.write_mesh(&super::mesh("ALLOW_ALL", &[]));
    crate::world::eventually("the node is gone", crate::world::PATIENCE, async || {
        let (status, answer) = api.get(B).await;
        (status == 200 && answer["declared"] == false).then_some(())
    })
    .await;
    assert_eq!(
        api.put(B, &list).await.0,
        404,
        "for a node that is not there"
    );
    let (status, answer) = api.get("/outrigger/v1/meshes/appMesh/endpoints").await;
    let one = &answer["registrations"][0];
    assert!(
        status == 200 && one["virtualNodeName"] == "serviceBNode",
        "{answer}"
    );
    assert_eq!(api.delete(B).await.0, 200);
    assert_eq!(api.get(B).await.0, 404);
}
