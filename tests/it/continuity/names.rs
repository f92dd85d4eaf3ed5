//! A name that DNS does not answer for keeps nobody waiting.

use std::time::Duration;

use outrigger::demo::dns::Failure;
use outrigger::envoy::bootstrap::XdsProtocol;
use tokio::time::Instant;

use super::{A, TTL, listener, mesh, node, service};
use crate::world::{PATIENCE, Service, World, eventually};

/// An answer is withheld for 3 s; Envoy alone would wait for 15 s.
const READY_WITHIN: Duration = Duration::from_secs(8);

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_is_ready_though_a_backend_s_name_has_no_answer() {
    for protocol in [XdsProtocol::Delta, XdsProtocol::StateOfTheWorld] {
        let mut world = World::new().await;
        world.zone.set("service-a.local", TTL, vec![world.ip(2)]);
        world.zone.set("service-b.local", TTL, vec![world.ip(3)]);
        world.zone.set("silent.local", TTL, vec![world.ip(4)]);
        world.zone.fail("silent.local", Some(Failure::Timeout));
        let plain = listener(8080, "http", "");
        world
            .serve(&mesh(
                "ALLOW_ALL",
                &[
                    node("serviceANode", "service-a.local", &plain),
                    node("serviceBNode", "service-b.local", &plain),
                    node("silentNode", "silent.local", &plain),
                    service("service-b.local", "serviceBNode"),
                    service("silent.local", "silentNode"),
                ],
            ))
            .await;
        let _b = Service::start(&world, world.at(3, 8080), "b").await;
        let _silent = Service::start(&world, world.at(4, 8080), "silent").await;
        let started = Instant::now();
        let mut envoy = world.start_sidecar(A, 2, protocol);
        if let Err(error) = envoy.ready(READY_WITHIN).await {
            panic!("{protocol:?}: {error}");
        }
        println!("{protocol:?}: ready after {:?}", started.elapsed());
        assert!(world.zone.questions("silent.local") > 0);
        assert_eq!(world.call(2, "service-b.local", "/").await.0, 200);
        let (status, body) = world.call(2, "silent.local", "/").await;
        assert_eq!((status, body.as_str()), (503, "no healthy upstream"));

        world.zone.fail("silent.local", None);
        eventually(
            "traffic flows once the name answers",
            PATIENCE,
            async || {
                let (status, body) = world.call(2, "silent.local", "/").await;
                (status == 200 && body.contains("\"silent\"")).then_some(())
            },
        )
        .await;
    }
}
