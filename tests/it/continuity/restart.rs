//! A restarted control plane says nothing to a delta sidecar that has everything.

use outrigger::envoy::bootstrap::XdsProtocol;

use super::{A, TTL, listener, mesh, node, service, sidecar, split, synced};
use crate::world::{PATIENCE, Service, World, eventually};

const KINDS: [&str; 5] = ["cds", "eds", "lds", "rds", "ecds"];

#[tokio::test(flavor = "multi_thread")]
async fn a_delta_sidecar_is_sent_nothing_that_it_has() {
    let mut world = World::new().await;
    world.zone.set("service-a.local", TTL, vec![world.ip(2)]);
    world.zone.set("service-b.local", TTL, vec![world.ip(3)]);
    world.zone.set("service-b-v2.local", TTL, vec![world.ip(4)]);
    world.serve(&with_tcp(90)).await;
    let _b = Service::start(&world, world.at(3, 8080), "b").await;
    let envoy = world.sidecar(A, 2, XdsProtocol::Delta).await;
    synced(&world, A, 1, &KINDS).await;
    assert!(sent(&world).await.iter().all(|(_, count)| *count > 0));
    let dump = envoy.admin().get_json("/config_dump").await.unwrap();

    world.kill_control_plane().await;
    world.start_control_plane().await;
    let clients = synced(&world, A, 1, &KINDS).await;
    assert_eq!(
        sent(&world).await,
        KINDS.map(|kind| (kind, 0)),
        "{clients:?}\n{}",
        world.control_log()
    );
    let resources = |dump: &serde_json::Value| dump.to_string().matches("version_info").count();
    let now = envoy.admin().get_json("/config_dump").await.unwrap();
    assert_eq!(resources(&now), resources(&dump), "nothing was lost either");

    world.write_mesh(&with_tcp(10));
    eventually("a change still arrives", PATIENCE, async || {
        (sidecar::weights(&envoy).await? == [10, 90]).then_some(())
    })
    .await;
    let expected = KINDS.map(|kind| (kind, u64::from(kind == "rds")));
    assert_eq!(sent(&world).await, expected, "and it alone");
}

/// A mesh of which a sidecar of a has resources of every type.
fn with_tcp(weight: u32) -> String {
    let plain = listener(8080, "http", "");
    mesh(
        "DROP_ALL",
        &[
            node(
                "serviceANode",
                "service-a.local",
                &format!(
                    "{plain}, backends: [\
                     {{ virtualService: {{ virtualServiceName: service-b.local }} }}, \
                     {{ virtualService: {{ virtualServiceName: queue.local }} }}]"
                ),
            ),
            node("serviceBNode", "service-b.local", &plain),
            node("serviceBNodeV2", "service-b-v2.local", &plain),
            node("queueNode", "service-b.local", &listener(9000, "tcp", "")),
            split(
                "service-b.local",
                8080,
                "http",
                &[("serviceBNode", weight), ("serviceBNodeV2", 100 - weight)],
            ),
            service("queue.local", "queueNode"),
        ],
    )
}

/// How many resources of each type the control plane has sent since it started.
async fn sent(world: &World) -> [(&'static str, u64); KINDS.len()] {
    let mut counts = KINDS.map(|kind| (kind, 0));
    for (kind, count) in &mut counts {
        let series = format!("outrigger_xds_push_resources_total{{type=\"{kind}\"}}");
        *count = world.metric(&series).await;
    }
    counts
}
