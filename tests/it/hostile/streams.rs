//! Streams that say nothing, are too many, or are left without a word.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use envoy_types::pb::envoy::service::discovery::v3::DiscoveryResponse;
use outrigger::envoy::bootstrap::{BootstrapOptions, bootstrap};
use outrigger::envoy::process::{Envoy, EnvoyOptions};
use outrigger::model::{Capture, NodeRef};
use outrigger::xds::ServerLimits;
use tonic::Code;

use super::neighbours::subscription;
use super::{A, Bystander, cluster, end_of, first_requests, mesh, refused, sidecar};
use crate::plane::Plane;
use crate::raw::{Answer, DELTA, Raw, SOTW, framed, prefix};
use crate::world::{OUTRIGGER, PATIENCE, eventually};

#[tokio::test]
async fn a_client_that_says_nothing_is_sent_away() {
    let limits = ServerLimits {
        first_request: Duration::from_millis(50),
        ..ServerLimits::default()
    };
    let plane = Plane::start(limits);
    let mut bystander = Bystander::connect(&plane, 1).await;
    // The second begins a request and never ends it.
    for (count, bytes) in [Bytes::new(), prefix(100).freeze()].into_iter().enumerate() {
        let (code, message) = end_of(&plane, SOTW, bytes).await;
        assert_eq!(code, Code::DeadlineExceeded, "{message}");
        assert!(message.contains("no request came within 50ms"), "{message}");
        assert_eq!(refused(&plane, "silent"), count as u64 + 1);
        bystander.gets_the_next_change(&plane).await;
    }
}

// §1.8
#[tokio::test]
async fn more_streams_than_the_limit_are_refused_until_one_ends() {
    let limits = ServerLimits {
        streams: 2,
        ..ServerLimits::default()
    };
    let plane = Plane::start(limits);
    let mut bystander = Bystander::connect(&plane, 1).await;
    let second = Raw::open(plane.address, SOTW).await;
    let (code, message) = Raw::open(plane.address, DELTA).await.status().await;
    assert_eq!(code, Code::ResourceExhausted, "{message}");
    assert!(message.contains("2 streams"), "{message}");
    assert_eq!(refused(&plane, "limit"), 1);
    bystander.gets_the_next_change(&plane).await;

    second.vanish();
    let [(path, first), _] = first_requests(Some(&sidecar(A)));
    eventually("the place is free again", PATIENCE, async || {
        let mut raw = Raw::open(plane.address, path).await;
        raw.send_bytes(first.clone()).await;
        matches!(raw.answer().await, Answer::Message(_)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn clients_that_leave_are_forgotten() {
    let plane = Plane::start(ServerLimits::default());
    let mut bystander = Bystander::connect(&plane, 1).await;
    let streams = || plane.metric("outrigger_xds_streams{variant=\"sotw\"}");
    let [(_, first), _] = first_requests(Some(&sidecar(A)));
    let mut raw = Raw::open(plane.address, SOTW).await;
    for leave in [Raw::vanish, Raw::reset, drop] {
        raw.send_bytes(first.clone()).await;
        drop(raw.message::<DiscoveryResponse>().await);
        assert_eq!((streams(), plane.clients.list().len()), (2, 2));
        leave(raw);
        eventually("one client is left", PATIENCE, async || {
            (streams() == 1 && plane.clients.list().len() == 1).then_some(())
        })
        .await;
        bystander.gets_the_next_change(&plane).await;
        raw = Raw::open(plane.address, SOTW).await;
    }
    // In the middle of a request.
    raw.send_bytes(prefix(1000)).await;
    raw.finish();
    assert!(!matches!(raw.answer().await, Answer::Message(_)));
    bystander.gets_the_next_change(&plane).await;
}

/// Answers that are owed come after the client's last word as well, those that wait for addresses included.
#[tokio::test]
async fn who_has_said_its_last_gets_its_answers_and_a_good_end() {
    let plane = Plane::start(ServerLimits::default());
    plane.declare_unresolved(&mesh(1));
    for (path, first) in first_requests(Some(&sidecar(A))) {
        let mut raw = Raw::open(plane.address, path).await;
        let endpoints = subscription(path, vec![cluster(1)]);
        raw.send_bytes([first, endpoints].concat()).await;
        raw.finish();
        let mut responses = 0;
        let end = loop {
            match raw.answer().await {
                Answer::Message(_) => responses += 1,
                end => break end,
            }
        };
        assert!(
            matches!(end, Answer::Status(Code::Ok, _)),
            "{path}: {end:?}"
        );
        assert_eq!(
            responses, 2,
            "{path}: clusters, and that they have no endpoints"
        );
    }
    let mut silent = Raw::open(plane.address, SOTW).await;
    silent.finish();
    let (code, message) = silent.status().await;
    assert_eq!(code, Code::Ok, "{message}");
    eventually("nobody is left", PATIENCE, async || {
        plane.clients.list().is_empty().then_some(())
    })
    .await;
}

/// The same server, a real Envoy, and all of the attackers at once.
#[tokio::test(flavor = "multi_thread")]
async fn an_envoy_gets_its_changes_in_a_crowd_of_attackers() {
    let plane = Plane::start(ServerLimits::default());
    plane.declare(&mesh(1));
    let folder = tempfile::tempdir().unwrap();
    let binary = crate::envoy::binary().await;
    let capture = Capture::Explicit {
        bind: [127, 0, 3, 1].into(),
        applications: BTreeMap::from([(8080, ([127, 0, 3, 2], 8080).into())]),
    };
    let options = BootstrapOptions::new(NodeRef::parse(A).unwrap(), plane.address.into(), capture);
    let start = EnvoyOptions::new("victim", OUTRIGGER.as_ref(), &binary, folder.path());
    let mut envoy = Envoy::start(&start, &bootstrap(&options).unwrap(), options.admin()).unwrap();
    envoy.ready(PATIENCE).await.unwrap();

    let mut attackers = Vec::new();
    for bytes in [
        framed(&[0xff; 64]),
        prefix(100 << 20).freeze(),
        prefix(100).freeze(),
        Bytes::new(),
    ] {
        for path in [SOTW, DELTA] {
            for _ in 0..10 {
                let raw = Raw::open(plane.address, path).await;
                raw.send_bytes(bytes.clone()).await;
                attackers.push(raw);
            }
        }
    }
    for backends in 2..5 {
        plane.declare(&mesh(backends));
        eventually("Envoy has the new cluster", PATIENCE, async || {
            let clusters = envoy.admin().get("/clusters").await.ok()?;
            let clusters = String::from_utf8_lossy(&clusters);
            clusters.contains(&cluster(backends)).then_some(())
        })
        .await;
    }
    assert!(envoy.child().ended().is_none());
}
