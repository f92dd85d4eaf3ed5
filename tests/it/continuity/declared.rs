//! What is no longer declared, and what cannot be: sidecars keep what they have, and go on when it is right again.

use outrigger::envoy::bootstrap::XdsProtocol;
use outrigger::envoy::process::Envoy;

use super::{A, TTL, a_calls_b, listener, mesh, node, service, sidecar, split, synced};
use crate::world::{PATIENCE, Service, World, eventually};

const KINDS: [&str; 4] = ["cds", "eds", "lds", "rds"];

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_node_s_sidecar_serves_on_and_comes_back() {
    for protocol in [XdsProtocol::Delta, XdsProtocol::StateOfTheWorld] {
        let (world, mut envoy, _b) = a_world(protocol, &a_calls_b("")).await;
        world.write_mesh(&mesh(
            "ALLOW_ALL",
            &[
                node(
                    "serviceBNode",
                    "service-b.local",
                    &listener(8080, "http", ""),
                ),
                service("service-b.local", "serviceBNode"),
            ],
        ));
        // gRPC's NOT_FOUND, with the control plane's words as they travel, in Envoy's own log.
        let closed = format!("closed: 5, %60{A}%60%20is%20not%20declared");
        eventually(
            "Envoy is told that its node is gone",
            PATIENCE,
            async || {
                let log = std::fs::read_to_string(envoy.child().log()).ok()?;
                log.contains(&closed).then_some(())
            },
        )
        .await;
        let refused = "outrigger_xds_refused_streams_total{reason=\"unknown_node\"}";
        assert!(world.metric(refused).await > 0);
        // It tries again and again, and is a client for the moment until it is refused.
        eventually("it is no client", PATIENCE, async || {
            world.clients().await.is_empty().then_some(())
        })
        .await;
        assert_eq!(
            world.call(2, "service-b.local", "/").await.0,
            200,
            "it serves on"
        );
        assert!(envoy.admin().is_ready().await);

        world.write_mesh(&declared_again());
        eventually("the sidecar gets updates again", PATIENCE, async || {
            (sidecar::weights(&envoy).await? == [1, 1]).then_some(())
        })
        .await;
        synced(&world, A, 1, &KINDS).await;
        assert_eq!(world.call(2, "service-b.local", "/").await.0, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_does_not_validate_changes_nothing() {
    let (world, envoy, _b) = a_world(XdsProtocol::Delta, &a_calls_b("")).await;
    let failed = "outrigger_mesh_reload_failed";
    assert_eq!(world.metric(&format!("{failed} ")).await, 0);
    synced(&world, A, 1, &KINDS).await;
    let before = pushes(&world).await;

    // One mistake, and everything else of the mesh gone with it.
    world
        .write_mesh("kind: Mesh\nmeshName: appMesh\nspec: { egressFilter: { type: SOMETIMES } }\n");
    let report = eventually("readiness tells of the mistake", PATIENCE, async || {
        let (status, report) = world
            .get(world.at(1, 9081), "ignored", "/readyz")
            .await
            .ok()?;
        assert_eq!(status, 200, "it still serves: {report}");
        report.contains("degraded").then_some(report)
    })
    .await;
    for part in [
        "mesh.yaml:3",
        "egressFilter.type",
        "SOMETIMES",
        "the last good model stays",
    ] {
        assert!(report.contains(part), "no `{part}` in {report}");
    }
    assert_eq!(world.metric(&format!("{failed} ")).await, 1);
    assert_eq!(world.call(2, "service-b.local", "/").await.0, 200);
    assert_eq!(
        pushes(&world).await,
        before,
        "the sidecar was sent something"
    );

    world.write_mesh(&declared_again());
    eventually("the mended file is taken", PATIENCE, async || {
        (sidecar::weights(&envoy).await? == [1, 1]).then_some(())
    })
    .await;
    assert_eq!(world.metric(&format!("{failed} ")).await, 0);
    let (_, report) = world
        .get(world.at(1, 9081), "ignored", "/readyz")
        .await
        .unwrap();
    assert_eq!(report, "ready\n");
}

/// The responses that were sent, of each type.
async fn pushes(world: &World) -> Vec<String> {
    let metrics = world.metrics().await;
    let pushes = metrics
        .lines()
        .filter(|line| line.starts_with("outrigger_xds_pushes_total"));
    pushes.map(str::to_owned).collect()
}

/// a's sidecar and a b without one.
async fn a_world(protocol: XdsProtocol, mesh: &str) -> (World, Envoy, Service) {
    let mut world = World::new().await;
    world.zone.set("service-a.local", TTL, vec![world.ip(2)]);
    world.zone.set("service-b.local", TTL, vec![world.ip(3)]);
    world.serve(mesh).await;
    let b = Service::start(&world, world.at(3, 8080), "b").await;
    let envoy = world.sidecar(A, 2, protocol).await;
    assert_eq!(world.call(2, "service-b.local", "/").await.0, 200);
    (world, envoy, b)
}

/// The same mesh, but for a router in front of b.
fn declared_again() -> String {
    let plain = listener(8080, "http", "");
    mesh(
        "ALLOW_ALL",
        &[
            node("serviceANode", "service-a.local", &plain),
            node("serviceBNode", "service-b.local", &plain),
            node("otherBNode", "service-b.local", &plain),
            split(
                "service-b.local",
                8080,
                "http",
                &[("serviceBNode", 1), ("otherBNode", 1)],
            ),
        ],
    )
}
