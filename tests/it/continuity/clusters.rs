//! A cluster that changes in a running Envoy warms until its endpoints are sent again: that must take no time.

use std::time::Duration;

use outrigger::envoy::bootstrap::XdsProtocol;
use serde_json::Value;
use tokio::time::Instant;

use super::{A, B_CLUSTER, TTL, a_calls_b, sidecar};
use crate::world::{Service, World, eventually};

/// Far below the 15 s for which Envoy would wait for endpoints that are not sent.
const AT_ONCE: Duration = Duration::from_secs(5);

const OUTLIERS: &str = ", outlierDetection: { maxServerErrors: 5, maxEjectionPercent: 50, \
                        interval: { unit: s, value: 10 }, baseEjectionDuration: { unit: s, value: 10 } }";
const HEALTH_CHECK: &str = ", healthCheck: { protocol: http, path: /health, healthyThreshold: 2, \
                            unhealthyThreshold: 2, intervalMillis: 5000, timeoutMillis: 2000 }";

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_cluster_is_active_again_at_once() {
    let mut world = World::new().await;
    world
        .zone
        .set("service-a.local", TTL, vec![world.ip(2), world.ip(3)]);
    world.zone.set("service-b.local", TTL, vec![world.ip(4)]);
    world.serve(&a_calls_b("")).await;
    let _b = Service::start(&world, world.at(4, 8080), "b").await;
    let sidecars = [
        (2, world.sidecar(A, 2, XdsProtocol::Delta).await),
        (3, world.sidecar(A, 3, XdsProtocol::StateOfTheWorld).await),
    ];
    let changes = [
        (OUTLIERS, &["outlier_detection"] as &[&str]),
        (HEALTH_CHECK, &["health_checks"]),
        (
            &format!("{OUTLIERS}{HEALTH_CHECK}"),
            &["outlier_detection", "health_checks"],
        ),
        ("", &[]),
    ];
    for (listener, members) in changes {
        let saved = Instant::now();
        world.write_mesh(&a_calls_b(listener));
        for (host, envoy) in &sidecars {
            let what = format!(
                "{} has b's cluster with {members:?} and none warming",
                envoy.name()
            );
            eventually(&what, AT_ONCE.saturating_sub(saved.elapsed()), async || {
                let clusters = sidecar::clusters(envoy).await?;
                let has = members_of(clusters.active(B_CLUSTER)?);
                (has == members && clusters.warming.is_empty()).then_some(())
            })
            .await;
            println!("{}: {members:?} after {:?}", envoy.name(), saved.elapsed());
            assert_eq!(world.call(*host, "service-b.local", "/").await.0, 200);
        }
    }
}

fn members_of(cluster: &Value) -> Vec<&'static str> {
    let mut members = vec!["outlier_detection", "health_checks"];
    members.retain(|member| cluster.get(*member).is_some());
    members
}
