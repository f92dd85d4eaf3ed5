//! `--xds-connection-age`: connections end one by one, and nobody loses anything by it.

use std::collections::BTreeMap;
use std::time::Duration;

use outrigger::envoy::bootstrap::XdsProtocol;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tonic::Code;

use crate::continuity::load::Load;
use crate::continuity::{A, TTL, a_calls_b, synced};
use crate::frames::FrameProxy;
use crate::hostile::{first_requests, sidecar};
use crate::raw::Raw;
use crate::world::{PATIENCE, Service, World, eventually};

const AGED: &str = "outrigger_closed_connections_total{listener=\"xds\",reason=\"age\"}";

async fn a_world() -> World {
    let mut world = World::new().await;
    world.serve_args = ["--xds-connection-age", "1s"].map(str::to_owned).to_vec();
    world.zone.set("service-a.local", TTL, vec![world.ip(2)]);
    world.zone.set("service-b.local", TTL, vec![world.ip(9)]);
    world.serve(&a_calls_b("")).await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_connection_ends_its_stream_with_a_status_and_says_goodbye() {
    const CLIENTS: usize = 30;
    let world = a_world().await;
    let proxy = FrameProxy::start(world.at(1, 18000)).await;
    let mut streams = JoinSet::new();
    for number in 0..CLIENTS {
        let firsts = first_requests(Some(&sidecar(A)));
        let (path, first) = firsts[number % 2].clone();
        let address = proxy.address;
        streams.spawn(async move {
            let opened = Instant::now();
            let mut raw = Raw::open(address, path).await;
            raw.send_bytes(first).await;
            let (code, message) = raw.status().await;
            let lasted = opened.elapsed();
            assert_eq!(code, Code::Unavailable, "{message}");
            assert!(message.contains("connect again"), "{message}");
            raw.closed().await;
            lasted
        });
    }
    let mut lasted = streams.join_all().await;
    lasted.sort();
    let (first, last) = (lasted[0], lasted[CLIENTS - 1]);
    println!("{CLIENTS} streams ended after {first:?} to {last:?}");
    // More or less a tenth. A connection is as old as its first byte, which is a moment after the client's beginning.
    assert!(first >= Duration::from_millis(900), "{first:?}");
    assert!(last < Duration::from_millis(2100), "{last:?}");
    let tenths: BTreeMap<u128, usize> = lasted.iter().fold(BTreeMap::new(), |mut counts, one| {
        *counts.entry(one.as_millis() / 40).or_default() += 1;
        counts
    });
    assert!(tenths.len() >= 3, "they end together: {lasted:?}");
    assert_eq!(world.metric(AGED).await, CLIENTS as u64);
    assert!(
        proxy.counts().goaways >= CLIENTS as u64,
        "{:?}",
        proxy.counts()
    );
    eventually("no connection is left", PATIENCE, async || {
        let open = world
            .metric("outrigger_connections{listener=\"xds\"}")
            .await;
        (open == 0 && world.clients().await.is_empty()).then_some(())
    })
    .await;
}

/// How many resources the control plane has sent, of all types.
async fn sent(world: &World) -> u64 {
    let mut sum = 0;
    for kind in ["cds", "eds", "lds", "rds", "ecds"] {
        let series = format!("outrigger_xds_push_resources_total{{type=\"{kind}\"}}");
        sum += world.metric(&series).await;
    }
    sum
}

/// Requests through a sidecar whose connection ends every second, until it has ended so many times.
async fn serves_through_ends(protocol: XdsProtocol) -> (World, u64, u64) {
    const ENDS: u64 = 5;
    let world = a_world().await;
    let _b = Service::start(&world, world.at(9, 8080), "b").await;
    let _envoy = world.sidecar(A, 2, protocol).await;
    synced(&world, A, 1, &["cds", "eds", "lds", "rds"]).await;
    let before = sent(&world).await;
    let load = Load::start("b", world.at(2, 15001), &["service-b.local"]);
    let ended = world.metric(AGED).await;
    eventually("connections end", 2 * PATIENCE, async || {
        (world.metric(AGED).await >= ended + ENDS).then_some(())
    })
    .await;
    synced(&world, A, 1, &["cds", "eds", "lds", "rds"]).await;
    load.answers(50).await;
    println!("{}", load.stop().await.unwrap());
    let after = sent(&world).await;
    (world, before, after)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delta_sidecar_loses_no_request_and_is_sent_nothing_again() {
    let (_world, before, after) = serves_through_ends(XdsProtocol::Delta).await;
    assert!(before > 0);
    assert_eq!(after, before, "nothing changed, and nothing was sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_of_state_of_the_world_loses_no_request() {
    let (_world, before, after) = serves_through_ends(XdsProtocol::StateOfTheWorld).await;
    assert!(
        after > before,
        "in this variant all is sent with each stream"
    );
}
