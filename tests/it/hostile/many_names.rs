//! Clients that ask for tens of thousands of names, most of which nobody has.

use std::collections::HashSet;
use std::net::SocketAddr;

use bytes::Bytes;
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryResponse, DiscoveryResponse};
use outrigger::snapshot::Kind;
use prost::Message;
use tonic::Code;

use super::neighbours::{Neighbours, subscription};
use super::{A, cluster, first_requests, sidecar};
use crate::raw::{Answer, DELTA, Raw, SOTW};
use crate::references::name_of;
use crate::world::{PATIENCE, eventually};

const NAMES: usize = 50_000;
/// What one stream may subscribe to.
const LIMIT: usize = 100_000;

fn names(count: usize) -> Vec<String> {
    let nobody = (1..count).map(|number| format!("cds_egress_m_nobody-{number}_http_8080"));
    std::iter::once(cluster(1)).chain(nobody).collect()
}

/// A stream that has its clusters.
async fn open(address: SocketAddr, path: &'static str) -> Raw {
    let mut raw = Raw::open(address, path).await;
    let firsts = first_requests(Some(&sidecar(A)));
    let (_, first) = firsts.into_iter().find(|(of, _)| *of == path).unwrap();
    raw.send_bytes(first).await;
    if path == DELTA {
        let clusters: DeltaDiscoveryResponse = raw.message().await;
        assert_eq!(clusters.type_url, Kind::Cluster.type_url());
    } else {
        let clusters: DiscoveryResponse = raw.message().await;
        assert_eq!(clusters.type_url, Kind::Cluster.type_url());
    }
    raw
}

/// Subscribes, and has an answer for each name before it leaves.
async fn ask(address: SocketAddr, path: &'static str, request: Bytes) {
    let mut raw = open(address, path).await;
    raw.send_bytes(request).await;
    let mut awaited: HashSet<String> = names(NAMES).into_iter().collect();
    while !awaited.is_empty() {
        let answered = answered(path, raw.answer().await);
        for name in answered {
            assert!(awaited.remove(&name), "{name} is answered once");
        }
    }
}

/// The names that an answer is about.
fn answered(path: &str, answer: Answer) -> Vec<String> {
    let Answer::Message(bytes) = answer else {
        panic!("no answer but {answer:?}");
    };
    if path == SOTW {
        // Where there is none, state of the world has nothing to say so with but one without endpoints.
        let answer = DiscoveryResponse::decode(bytes).unwrap();
        assert_eq!(answer.type_url, Kind::Endpoint.type_url());
        let resources = answer.resources.iter();
        return resources
            .map(|any| name_of(Kind::Endpoint, &any.value))
            .collect();
    }
    let answer = DeltaDiscoveryResponse::decode(bytes).unwrap();
    assert_eq!(answer.type_url, Kind::Endpoint.type_url());
    assert!(!answer.removed_resources.contains(&cluster(1)), "it exists");
    let resources = answer.resources.into_iter().map(|resource| resource.name);
    resources.chain(answer.removed_resources).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_thousand_names_are_answered_and_forgotten_with_their_stream() {
    const AT_ONCE: usize = 4;
    const ROUNDS: usize = 8;
    // What glibc's allocator keeps in its arenas varies by half of this from run to run, and with one arena not at all;
    // what four streams know of their names, kept in each round, would be several times as much.
    const SLACK: u64 = 64 << 20;
    let mut neighbours = Neighbours::start(4).await;
    let alone = neighbours.changes(20).await;
    let address = neighbours.address();
    let mut memory = vec![neighbours.gauge("process_resident_memory_bytes").await];
    for round in 0..ROUNDS {
        let mut greedy = tokio::task::JoinSet::new();
        for number in 0..AT_ONCE {
            let path = [SOTW, DELTA][number % 2];
            greedy.spawn(ask(address, path, subscription(path, names(NAMES))));
        }
        let beside = neighbours.changes(5).await;
        greedy.join_all().await;
        neighbours.streams(2).await;
        println!("round {round}: alone {alone}; beside {AT_ONCE} of {NAMES} names {beside}");
        beside.is_like(&alone);
        memory.push(neighbours.gauge("process_resident_memory_bytes").await);
    }
    println!("bytes of memory before, and after each round: {memory:?}");
    // The allocator keeps some pages of the first rounds; those after them need no more.
    let warm = memory[2];
    assert!(
        memory[3..].iter().all(|now| *now <= warm + SLACK),
        "{memory:?}"
    );
    neighbours.were_left_in_peace();
}

#[tokio::test(flavor = "multi_thread")]
async fn more_names_than_the_limit_are_refused_with_the_limit() {
    let mut neighbours = Neighbours::start(1).await;
    let refusals = "outrigger_xds_refused_streams_total{reason=\"limit\"}";
    for (count, path) in [SOTW, DELTA].into_iter().enumerate() {
        let mut raw = open(neighbours.address(), path).await;
        raw.send_bytes(subscription(path, names(LIMIT + 1))).await;
        let (code, message) = raw.status().await;
        assert_eq!(code, Code::InvalidArgument, "{message}");
        let words = format!("has {} names", LIMIT + 1);
        assert!(message.contains(&words), "{message}");
        assert!(message.contains(&format!("than the {LIMIT}")), "{message}");
        assert_eq!(neighbours.gauge(refusals).await, count as u64 + 1);
        // As many as the limit are served.
        let mut raw = open(neighbours.address(), path).await;
        raw.send_bytes(subscription(path, names(LIMIT))).await;
        eventually("they are answered", PATIENCE, async || {
            matches!(raw.answer().await, Answer::Message(_)).then_some(())
        })
        .await;
    }
    neighbours.changes(3).await;
    neighbours.were_left_in_peace();
}
