//! Clients that never read: they cost a response each, whatever changes, and none of them is waited for.

use std::time::Duration;

use envoy_types::pb::envoy::service::discovery::v3::DiscoveryResponse;
use outrigger::transport;
use outrigger::xds::ServerLimits;

use super::neighbours::{Neighbours, subscription};
use super::{A, Bystander, cluster, first_requests, sidecar};
use crate::frames::FrameProxy;
use crate::plane::Plane;
use crate::raw::{DELTA, Raw, SOTW};
use crate::world::{PATIENCE, eventually};

#[tokio::test]
async fn a_client_that_never_reads_costs_no_queue() {
    // One response is several times what a client takes in without reading.
    let many = 400;
    let plane = Plane::start(ServerLimits::default());
    let mut bystander = Bystander::connect(&plane, many).await;
    let pushes = || plane.metric("outrigger_xds_pushes_total{type=\"cds\"}");
    let deaf = Raw::open(plane.address, SOTW).await;
    let [(_, first), _] = first_requests(Some(&sidecar(A)));
    let before = pushes();
    deaf.send_bytes(first).await;
    eventually("the first response is on its way", PATIENCE, async || {
        (pushes() == before + 1).then_some(())
    })
    .await;

    let changes = 12;
    for _ in 0..changes {
        bystander.gets_the_next_change(&plane).await;
    }
    // HTTP/2 takes in 400 KB that it cannot send yet, some responses' worth; the rest was never built.
    let built = pushes() - before - changes;
    assert!(built <= 4, "{built} responses for a client that reads none");

    // Reading again, it gets what was on its way and then the newest, and nothing between.
    let mut deaf = Bystander {
        raw: deaf,
        backends: bystander.backends,
    };
    let stale = deaf.receive().await;
    assert!(stale.contains(&cluster(many)) && !stale.contains(&cluster(many + 1)));
    deaf.has_all().await;
    assert_eq!(pushes(), before + changes + built + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_clients_that_never_read_slow_nobody_and_hold_little() {
    const DEAF: u64 = 40;
    // As much as HTTP/2 keeps for a stream that cannot send, and what a stream is.
    const KEPT_EACH: u64 = 1 << 20;
    let many = 400;
    let mut neighbours = Neighbours::start(many).await;
    let alone = neighbours.changes(20).await;
    let before = neighbours.gauge("process_resident_memory_bytes").await;

    let mut deaf = Vec::new();
    let names: Vec<String> = (1..=many).map(cluster).collect();
    for number in 0..DEAF {
        let path = [SOTW, DELTA][usize::from(number % 2 == 0)];
        let raw = Raw::open(neighbours.address(), path).await;
        let [sotw, delta] = first_requests(Some(&sidecar(A)));
        let first = if path == SOTW { sotw.1 } else { delta.1 };
        raw.send_bytes(first).await;
        raw.send_bytes(subscription(path, names.clone())).await;
        deaf.push(raw);
    }
    neighbours.streams(DEAF + 2).await;
    eventually("each is being sent its clusters", PATIENCE, async || {
        (neighbours.pushes("cds").await == DEAF + 2).then_some(())
    })
    .await;
    let crowded = neighbours.changes(20).await;
    // Behind their clusters there was room for another response; from here on they may cost nothing.
    let sent = neighbours.pushes("eds").await;
    let after = neighbours.gauge("process_resident_memory_bytes").await;
    neighbours.changes(180).await;
    let pushed = neighbours.pushes("eds").await - sent;
    let later = neighbours.gauge("process_resident_memory_bytes").await;
    println!("alone {alone}; beside {DEAF} deaf {crowded}; memory {before}, {after}, {later}");
    assert_eq!(pushed, 2 * 180, "two neighbours, and nothing for the deaf");
    assert_eq!(neighbours.pushes("cds").await, DEAF + 2);
    crowded.is_like(&alone);
    assert!(after <= before + DEAF * KEPT_EACH, "{before} to {after}");
    assert!(later <= after + (4 << 20), "{after} to {later}");

    deaf.clear();
    neighbours.streams(2).await;
    neighbours.changes(5).await;
}

/// Its machine hangs: the connection stays, and nobody reads it or answers a PING.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_hangs_with_a_stream_is_cut() {
    let plane = Plane::start(ServerLimits {
        connections: transport::Limits {
            ping_after: Duration::from_millis(100),
            ping_timeout: Duration::from_millis(300),
            ..transport::Limits::SIDECARS
        },
        ..ServerLimits::default()
    });
    let mut bystander = Bystander::connect(&plane, 1).await;
    let proxy = FrameProxy::start(plane.address).await;
    let mut hung = Raw::open(proxy.address, SOTW).await;
    let [(_, first), _] = first_requests(Some(&sidecar(A)));
    hung.send_bytes(first).await;
    drop(hung.message::<DiscoveryResponse>().await);
    let open = || {
        let streams = plane.metric("outrigger_xds_streams{variant=\"sotw\"}");
        let connections = plane.metric("outrigger_connections{listener=\"xds\"}");
        (streams, connections, plane.clients.list().len())
    };
    assert_eq!(open(), (2, 2, 2));
    proxy.freeze();
    for _ in 0..3 {
        bystander.gets_the_next_change(&plane).await;
    }
    eventually("it is cut", PATIENCE, async || {
        (open() == (1, 1, 1)).then_some(())
    })
    .await;
    bystander.gets_the_next_change(&plane).await;
}
