//! Clients that reject all that they are sent: they get their answers, and no stream of answers.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use envoy_types::pb::google::rpc::Status;
use outrigger::snapshot::Kind;
use outrigger::xds::ServerLimits;
use prost::Message;
use tokio::time::Instant;

use super::neighbours::{Neighbours, subscription};
use super::{A, Bystander, cluster, first_requests, mesh, sidecar};
use crate::plane::Plane;
use crate::raw::{Answer, DELTA, Raw, SOTW, framed};
use crate::references::name_of;
use crate::world::{PATIENCE, World, eventually};

const BACKENDS: usize = 8;
/// Longer than anything of the server's waits that is not a rejection's back-off, which is 30 s at first.
const QUIET: Duration = Duration::from_secs(4);

/// What came to one client.
#[derive(Default)]
struct Seen {
    responses: usize,
    names: BTreeSet<(String, String)>,
    latest: Option<Instant>,
}

/// A response as both variants have it: type, version, nonce, names.
fn read(path: &str, bytes: Bytes) -> (String, String, String, Vec<String>) {
    if path == DELTA {
        let response = DeltaDiscoveryResponse::decode(bytes).unwrap();
        let names = response.resources.into_iter().map(|resource| resource.name);
        return (
            response.type_url,
            String::new(),
            response.nonce,
            names.collect(),
        );
    }
    let response = DiscoveryResponse::decode(bytes).unwrap();
    let kind = Kind::from_type_url(&response.type_url).unwrap();
    let names = response.resources.iter();
    let names = names.map(|any| name_of(kind, &any.value)).collect();
    (
        response.type_url,
        response.version_info,
        response.nonce,
        names,
    )
}

/// The verdict on a response; without words it is an ACK.
fn verdict(path: &str, type_url: String, version: String, nonce: String, words: &str) -> Bytes {
    let error_detail = (!words.is_empty()).then(|| Status {
        code: 3,
        message: words.to_owned(),
        ..Status::default()
    });
    let request = if path == DELTA {
        let request = DeltaDiscoveryRequest {
            type_url,
            response_nonce: nonce,
            error_detail,
            ..DeltaDiscoveryRequest::default()
        };
        request.encode_to_vec()
    } else {
        let is_endpoints = type_url == Kind::Endpoint.type_url();
        let request = DiscoveryRequest {
            type_url,
            version_info: version,
            response_nonce: nonce,
            error_detail,
            resource_names: if is_endpoints { names() } else { Vec::new() },
            ..DiscoveryRequest::default()
        };
        request.encode_to_vec()
    };
    framed(&request)
}

fn names() -> Vec<String> {
    (1..=BACKENDS).map(cluster).collect()
}

/// A stream that has asked for all clusters and load assignments.
async fn subscribed(address: std::net::SocketAddr, path: &'static str) -> Raw {
    let raw = Raw::open(address, path).await;
    let firsts = first_requests(Some(&sidecar(A)));
    let (_, first) = firsts.into_iter().find(|(of, _)| *of == path).unwrap();
    raw.send_bytes(first).await;
    raw.send_bytes(subscription(path, names())).await;
    raw
}

/// Rejects whatever comes, with these words, for ever.
async fn reject(mut raw: Raw, path: &'static str, words: String, seen: Arc<Mutex<Seen>>) {
    // It waits longer than any answer takes; the task ends with its test.
    while let Answer::Message(bytes) = raw.answer().await {
        let (type_url, _, nonce, names) = read(path, bytes);
        {
            let mut seen = seen.lock().unwrap();
            seen.responses += 1;
            let typed = names.into_iter().map(|name| (type_url.clone(), name));
            seen.names.extend(typed);
            seen.latest = Some(Instant::now());
        }
        let nack = verdict(path, type_url, String::new(), nonce, &words);
        raw.send_bytes(nack).await;
    }
}

/// Waits until nothing has come for a while to any; how many responses each had until then.
async fn quiet(clients: &[Arc<Mutex<Seen>>]) -> Vec<usize> {
    eventually("no more responses come", PATIENCE, async || {
        let all = clients.iter().map(|seen| seen.lock().unwrap());
        let counts: Option<Vec<usize>> = all
            .map(|seen| (seen.latest?.elapsed() > QUIET).then_some(seen.responses))
            .collect();
        counts
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_rejects_everything_is_sent_each_resource_a_few_times() {
    const CHANGES: usize = 20;
    let mut neighbours = Neighbours::start(BACKENDS).await;
    let alone = neighbours.changes(CHANGES).await;
    let blaming = format!("{}: it is bad", names().join(": it is bad\n"));
    let mut clients = Vec::new();
    for path in [SOTW, DELTA] {
        for words in ["no", &blaming] {
            let raw = subscribed(neighbours.address(), path).await;
            let seen = Arc::<Mutex<Seen>>::default();
            tokio::spawn(reject(raw, path, words.to_owned(), Arc::clone(&seen)));
            clients.push(seen);
        }
    }
    let first = quiet(&clients).await;
    for (seen, responses) in clients.iter().zip(&first) {
        let names = seen.lock().unwrap().names.len();
        assert!(names >= 2 * BACKENDS, "{names} names came");
        assert!(*responses <= 3 * names, "{responses} for {names} names");
    }
    let beside = neighbours.changes(CHANGES).await;
    let then = quiet(&clients).await;
    println!(
        "alone {alone}; beside four that reject everything {beside}; responses to each {first:?}, \
         and after {CHANGES} changes {then:?}"
    );
    beside.is_like(&alone);
    for (then, first) in then.iter().zip(&first) {
        assert!(then - first <= 3 * CHANGES, "{first} and then {then}");
    }
    let mut counted = 0;
    for kind in ["cds", "eds"] {
        let series = format!("outrigger_xds_nacks_total{{type=\"{kind}\"}}");
        counted += neighbours.gauge(&series).await;
    }
    assert_eq!(
        counted,
        then.iter().sum::<usize>() as u64,
        "each is counted"
    );
    assert_eq!(neighbours.open_streams().await, 6);
    neighbours.were_left_in_peace();
}

/// Thousands of rejections of a response that was accepted, and of one that never was.
#[tokio::test(flavor = "multi_thread")]
async fn rejections_of_nothing_are_answered_with_nothing() {
    let plane = Plane::start(ServerLimits::default());
    let mut bystander = Bystander::connect(&plane, BACKENDS).await;
    for path in [SOTW, DELTA] {
        let mut raw = Raw::open(plane.address, path).await;
        let firsts = first_requests(Some(&sidecar(A)));
        let (_, first) = firsts.into_iter().find(|(of, _)| *of == path).unwrap();
        raw.send_bytes(first).await;
        let Answer::Message(bytes) = raw.answer().await else {
            panic!("no clusters came");
        };
        let (clusters, version, nonce, _) = read(path, bytes);
        let accepted = verdict(path, clusters.clone(), version, nonce.clone(), "");
        raw.send_bytes(accepted).await;
        // Many to a frame: of thousands of small frames that wait, HTTP/2 makes an end by itself.
        for _ in 0..40 {
            let nacks = (0..50).flat_map(|number| {
                let nonce = [&nonce, "never"][number % 2].to_owned();
                verdict(path, clusters.clone(), String::new(), nonce, "no")
            });
            assert!(raw.send_bytes(nacks.collect::<Bytes>()).await);
        }
        // What is asked for after them is what is answered next.
        raw.send_bytes(subscription(path, names())).await;
        let Answer::Message(bytes) = raw.answer().await else {
            panic!("no load assignments came");
        };
        let (type_url, _, _, found) = read(path, bytes);
        assert_eq!(type_url, Kind::Endpoint.type_url(), "{path}");
        assert_eq!(found.len(), BACKENDS);
        bystander.gets_the_next_change(&plane).await;
    }
}

/// The first of a row of rejections are in the log; of the others it says how many they are.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_rejects_on_and_on_does_not_fill_the_log() {
    const LINES: usize = 32;
    let mut world = World::new().await;
    world.log = "info";
    world.serve(&mesh(BACKENDS)).await;
    let mut raw = Raw::open(world.at(1, 18000), SOTW).await;
    let [(_, first), _] = first_requests(Some(&sidecar(A)));
    raw.send_bytes(first).await;
    let Answer::Message(bytes) = raw.answer().await else {
        panic!("no clusters came");
    };
    let (clusters, version, nonce, _) = read(SOTW, bytes);
    // What was accepted once is not sent again for being rejected.
    let accepted = verdict(SOTW, clusters.clone(), version, nonce.clone(), "");
    raw.send_bytes(accepted).await;
    let began = Instant::now();
    for _ in 0..40 {
        let nack = || verdict(SOTW, clusters.clone(), String::new(), nonce.clone(), "no");
        let nacks: Vec<_> = std::iter::repeat_with(nack).take(50).collect();
        assert!(raw.send_bytes(nacks.concat()).await);
    }
    // What is asked for after them is answered after them.
    raw.send_bytes(subscription(SOTW, names())).await;
    loop {
        let Answer::Message(bytes) = raw.answer().await else {
            panic!("no load assignments came");
        };
        if read(SOTW, bytes).0 == Kind::Endpoint.type_url() {
            break;
        }
    }
    let log = std::fs::read_to_string(world.folder.path().join("control-plane.log")).unwrap();
    let lines = log.lines().filter(|line| line.contains("rejected: no"));
    let lines = lines.count();
    let later = usize::try_from(began.elapsed().as_secs() / 10).unwrap();
    assert!((LINES..=LINES + later).contains(&lines), "{lines} lines");
}
