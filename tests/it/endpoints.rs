//! Registered endpoints, from the call of an orchestrator to the request that a real sidecar carries.

pub(crate) mod client;
mod refusals;
mod terminal;

use std::time::Duration;

use outrigger::envoy::bootstrap::XdsProtocol;
use serde_json::json;
use tokio::time::Instant;

use crate::continuity::{A, B_CLUSTER, listener, mesh, node, service};
use crate::world::{Application, PATIENCE, World, eventually};
use client::Client;

const A_PATH: &str = "/outrigger/v1/meshes/appMesh/virtualNodes/serviceANode/endpoints";
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

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_ends_goes_back_to_dns() {
    let world = two_nodes_served().await;
    let api = Client::of(&world);
    let _dns = Application::start(world.at(3, 8080), "found by DNS").await;
    let _registered = Application::start(world.at(4, 8080), "registered").await;
    let _a = world.sidecar(A, 2, XdsProtocol::StateOfTheWorld).await;
    let list = json!({"endpoints": [{"address": world.ip(4)}], "leaseSeconds": 2});
    let started = Instant::now();
    let (status, answer) = api.put(B, &list).await;
    assert_eq!(
        (status, &answer["leaseSeconds"]),
        (200, &json!(2)),
        "{answer}"
    );
    answers(&world, "registered").await;
    answers(&world, "found by DNS").await;
    assert!(started.elapsed() >= Duration::from_secs(2), "too early");
    let expired = "outrigger_registration_leases_expired_total";
    assert_eq!(world.metric(expired).await, 1);
    assert_eq!(world.metric("outrigger_registrations ").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_with_a_data_folder_keeps_what_was_answered() {
    let mut world = World::new().await;
    let ttl = Duration::from_secs(1);
    world.zone.set("service-a.local", ttl, vec![world.ip(2)]);
    world.zone.set("service-b.local", ttl, vec![world.ip(3)]);
    let data = world.folder.path().join("data");
    world.serve_args = vec!["--data-dir".into(), data.to_str().unwrap().into()];
    world.serve(&two_nodes()).await;
    let api = Client::of(&world);
    let _registered = Application::start(world.at(4, 8080), "registered").await;
    let (_, answer) = api
        .put(B, &json!({"endpoints": [{"address": world.ip(4)}]}))
        .await;
    assert_eq!(answer["durable"], json!(true), "{answer}");
    let leased = json!({"endpoints": [{"address": world.ip(2)}], "leaseSeconds": 3600});
    assert_eq!(api.put(A_PATH, &leased).await.0, 200);
    world.kill_control_plane().await;
    world.start_control_plane().await;
    let _a = world.sidecar(A, 2, XdsProtocol::Delta).await;
    answers(&world, "registered").await;
    let (status, answer) = api.get(A_PATH).await;
    let left = answer["leaseRemainingSeconds"].as_f64().unwrap();
    assert!(status == 200 && left > 3000.0 && left <= 3600.0, "{answer}");
}

/// Ten thousand in one call, all of which a sidecar has.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_endpoints_are_one_call() {
    let world = two_nodes_served().await;
    let api = Client::of(&world);
    let a = world.sidecar(A, 2, XdsProtocol::Delta).await;
    let address = |number: u16| {
        let [high, low] = number.to_be_bytes();
        json!({"address": format!("127.200.{high}.{low}"), "port": 9999, "weight": 2, "zone": "eu-central-1a"})
    };
    let list =
        json!({"endpoints": (0..10_000).map(address).collect::<Vec<_>>(), "leaseSeconds": 600});
    let (status, answer) = api.put(B, &list).await;
    assert_eq!(
        (status, &answer["endpoints"]),
        (200, &json!(10_000)),
        "{answer}"
    );
    let name = format!("{B_CLUSTER}::127.200.");
    eventually("Envoy has them all", PATIENCE, async || {
        let clusters = a.admin().get("/clusters").await.ok()?;
        let clusters = String::from_utf8_lossy(&clusters);
        let weights = clusters
            .lines()
            .filter(|line| line.starts_with(&name) && line.ends_with("::weight::2"));
        (weights.count() == 10_000).then_some(())
    })
    .await;
}
