//! Registered endpoints, from the call of an orchestrator to the request that a real sidecar carries.

mod client;

use std::time::Duration;

use outrigger::envoy::bootstrap::XdsProtocol;
use serde_json::json;

use crate::continuity::{A, listener, mesh, node, service};
use crate::world::{Application, PATIENCE, World, eventually};
use client::Client;

const B: &str = "/outrigger/v1/meshes/appMesh/virtualNodes/serviceBNode/endpoints";

/// A calls b, both found by DNS.
fn two_nodes() -> String {
    let plain = listener(8080, "http", "");
    mesh(
        "ALLOW_ALL",
        &[
            node("serviceANode", "service-a.local", &plain),
            node("serviceBNode", "service-b.local", &plain),
            service("service-b.local", "serviceBNode"),
        ],
    )
}

async fn two_nodes_served() -> World {
    let mut world = World::new().await;
    let ttl = Duration::from_secs(1);
    world.zone.set("service-a.local", ttl, vec![world.ip(2)]);
    world.zone.set("service-b.local", ttl, vec![world.ip(3)]);
    world.serve(&two_nodes()).await;
    world
}

async fn answers(world: &World, who: &str) {
    eventually(who, PATIENCE, async || {
        (world.call(2, "service-b.local:8080", "/").await == (200, who.to_owned())).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn registered_endpoints_are_used_instead_of_dns_until_they_are_deleted() {
    let world = two_nodes_served().await;
    let api = Client::of(&world);
    let _dns = Application::start(world.at(3, 8080), "found by DNS").await;
    let _registered = Application::start(world.at(4, 9999), "registered").await;
    let _a = world.sidecar(A, 2, XdsProtocol::Delta).await;
    answers(&world, "found by DNS").await;

    let list = json!({"endpoints": [{"address": world.ip(4), "port": 9999, "zone": "a"}]});
    let (status, answer) = api.put(B, &list).await;
    assert_eq!(
        (status, &answer["endpoints"], &answer["changed"]),
        (200, &json!(1), &json!(true)),
        "{answer}"
    );
    answers(&world, "registered").await;
    let (status, answer) = api.get(B).await;
    let expected = json!([{"address": world.ip(4), "port": 9999, "weight": 1, "zone": "a"}]);
    assert_eq!((status, &answer["endpoints"]), (200, &expected), "{answer}");

    let (status, answer) = api.put(B, &list).await;
    assert_eq!(
        (status, &answer["changed"]),
        (200, &json!(false)),
        "{answer}"
    );

    // Known to have none: nothing answers, whatever DNS says.
    let (status, _) = api.put(B, &json!({"endpoints": []})).await;
    assert_eq!(status, 200);
    eventually("no endpoint", PATIENCE, async || {
        (world.call(2, "service-b.local:8080", "/").await.0 == 503).then_some(())
    })
    .await;

    let (status, answer) = api.delete(B).await;
    assert_eq!(
        (status, &answer["changed"]),
        (200, &json!(true)),
        "{answer}"
    );
    answers(&world, "found by DNS").await;
    assert_eq!(api.get(B).await.0, 404);
}
