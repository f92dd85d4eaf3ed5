//! The five resources of `config/minimal`, unedited, carry a request from a to b.

use outrigger::envoy::bootstrap::XdsProtocol;
use std::time::Duration;

use crate::world::{Application, World};

#[tokio::test(flavor = "multi_thread")]
async fn the_five_resources_carry_a_request_in_both_variants() {
    let mesh = include_str!("../../config/minimal/mesh.yaml");
    let mut world = World::new().await;
    world
        .zone
        .set("service-a.local", Duration::from_secs(1), vec![world.ip(2)]);
    world
        .zone
        .set("service-b.local", Duration::from_secs(1), vec![world.ip(3)]);
    world.serve(mesh).await;
    let _b = Application::start(world.application(3), "b").await;
    let mut a = world
        .sidecar(
            "mesh/appMesh/virtualNode/serviceANode",
            2,
            XdsProtocol::Delta,
        )
        .await;
    let mut b = world
        .sidecar(
            "mesh/appMesh/virtualNode/serviceBNode",
            3,
            XdsProtocol::StateOfTheWorld,
        )
        .await;
    for authority in ["service-b.local", "service-b.local:8080", "SERVICE-B.local"] {
        assert_eq!(
            world.call(2, authority, "/").await,
            (200, "b".to_owned()),
            "{authority}"
        );
    }
    assert!(a.child().ended().is_none() && b.child().ended().is_none());
}
