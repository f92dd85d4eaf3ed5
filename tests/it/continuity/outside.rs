//! Hosts that are no backend: dropped or let through, as the mesh says.

use outrigger::envoy::bootstrap::XdsProtocol;

use super::{A, TTL, listener, mesh, node, service};
use crate::world::{Application, PATIENCE, Service, World, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_no_backend_is_dropped_or_passes() {
    let mut world = World::new().await;
    world.zone.set("service-a.local", TTL, vec![world.ip(2)]);
    world.zone.set("service-b.local", TTL, vec![world.ip(3)]);
    world.serve(&with_filter("DROP_ALL")).await;
    let _b = Service::start(&world, world.at(3, 8080), "b").await;
    let outside = Application::start(world.at(9, 8088), "outside").await;
    let authority = world.at(9, 8088).to_string();
    let _a = world.sidecar(A, 2, XdsProtocol::Delta).await;

    let backend = world.call(2, "service-b.local", "/").await;
    assert_eq!(backend.0, 200, "{}", backend.1);
    let no_backend = [
        authority.as_str(),
        "service-c.local",
        "service-c.local:8080",
        "example.org",
    ];
    for host in no_backend {
        assert_eq!(
            world.call(2, host, "/").await,
            (404, String::new()),
            "{host}"
        );
    }
    assert_eq!(outside.count(), 0);

    world.write_mesh(&with_filter("ALLOW_ALL"));
    eventually("the outside host is let through", PATIENCE, async || {
        (world.call(2, &authority, "/").await == (200, "outside".to_owned())).then_some(())
    })
    .await;
    assert!(outside.count() > 0);
    assert_eq!(world.call(2, "service-b.local", "/").await.0, 200);
    let itself = world.at(2, 15001).to_string();
    assert_eq!(world.call(2, &itself, "/").await.0, 404, "no loop");

    world.write_mesh(&with_filter("DROP_ALL"));
    eventually("it is dropped again", PATIENCE, async || {
        (world.call(2, &authority, "/").await.0 == 404).then_some(())
    })
    .await;
    assert_eq!(world.call(2, "service-b.local", "/").await.0, 200);
}

fn with_filter(egress: &str) -> String {
    let plain = listener(8080, "http", "");
    let backends = "backends: [{ virtualService: { virtualServiceName: service-b.local } }]";
    mesh(
        egress,
        &[
            node(
                "serviceANode",
                "service-a.local",
                &format!("{plain}, {backends}"),
            ),
            node("serviceBNode", "service-b.local", &plain),
            node("serviceCNode", "service-b.local", &plain),
            service("service-b.local", "serviceBNode"),
            service("service-c.local", "serviceCNode"),
        ],
    )
}
