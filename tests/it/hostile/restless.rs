//! Clients that come and go in a loop: nothing of them stays.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::neighbours::Neighbours;
use super::{A, first_requests, sidecar};
use crate::raw::{Answer, Raw, prefix};
use crate::world::{PATIENCE, eventually};

const AT_ONCE: usize = 8;
/// How much more memory a process may have after the same clients have come and gone again.
const SLACK: u64 = 8 << 20;

/// What the process has open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Open {
    descriptors: u64,
    threads: u64,
    connections: u64,
    streams: u64,
    clients: usize,
}

async fn open(neighbours: &Neighbours) -> Open {
    Open {
        descriptors: neighbours.gauge("process_open_fds").await,
        threads: neighbours.gauge("process_threads").await,
        connections: neighbours
            .gauge("outrigger_connections{listener=\"xds\"}")
            .await,
        streams: neighbours.open_streams().await,
        clients: neighbours.world.clients().await.len(),
    }
}

/// Waits until as much is open as before, or less: the connections of these questions themselves come and go.
async fn back_to(neighbours: &Neighbours, before: Open) {
    let mut now = before;
    eventually("nothing is left of them", PATIENCE, async || {
        now = open(neighbours).await;
        let is_even = now.descriptors <= before.descriptors && now.threads <= before.threads;
        let same = Open {
            descriptors: before.descriptors,
            threads: before.threads,
            ..now
        };
        (is_even && same == before).then_some(())
    })
    .await;
}

/// Comes with a connection of its own, and leaves in every way at every point.
async fn come_and_go(server: SocketAddr, times: usize) {
    for number in 0..times {
        let firsts = first_requests(Some(&sidecar(A)));
        let (path, first) = firsts[number % 2].clone();
        let mut raw = Raw::open(server, path).await;
        match number / 2 % 4 {
            // Before a word.
            0 => {}
            1 => {
                raw.send_bytes(prefix(1000)).await;
            }
            2 => {
                raw.send_bytes(first).await;
            }
            _ => {
                raw.send_bytes(first).await;
                assert!(matches!(raw.answer().await, Answer::Message(_)));
            }
        }
        match number / 8 % 4 {
            0 => raw.vanish(),
            1 => raw.reset(),
            2 => drop(raw),
            _ => {
                raw.finish();
                // Nothing more is asked for: the stream ends, with whatever had been on its way.
                while let Answer::Message(_) = raw.answer().await {}
            }
        }
    }
}

/// Opens one stream after the other on one connection, and resets each as soon as it is accepted.
async fn open_and_reset(server: SocketAddr, times: usize) {
    let stream = TcpStream::connect(server).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    let connection = tokio::spawn(connection);
    for number in 0..times {
        let firsts = first_requests(Some(&sidecar(A)));
        let (path, first) = firsts[number % 2].clone();
        let request = Request::post(format!("http://{server}{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Full::<Bytes>::new(first))
            .unwrap();
        sender.ready().await.unwrap();
        drop(sender.send_request(request).await.unwrap());
    }
    drop(sender);
    connection.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_come_and_go_in_a_loop_leave_nothing_behind() {
    const ROUNDS: usize = 5;
    let mut neighbours = Neighbours::start(4).await;
    let alone = neighbours.changes(20).await;
    let server = neighbours.address();
    // The first round starts whatever is started once.
    let mut before = None;
    let mut memory = Vec::new();
    for round in 0..ROUNDS {
        let mut restless = JoinSet::new();
        for _ in 0..AT_ONCE {
            restless.spawn(come_and_go(server, 64));
            restless.spawn(open_and_reset(server, 100));
        }
        let beside = neighbours.changes(5).await;
        while let Some(ended) = restless.join_next().await {
            ended.unwrap();
        }
        neighbours.streams(2).await;
        match before {
            None => {
                eventually("their connections have ended", PATIENCE, async || {
                    let now = open(&neighbours).await;
                    (now.connections == 2 && now.clients == 2).then_some(())
                })
                .await;
                before = Some(open(&neighbours).await);
            }
            Some(before) => back_to(&neighbours, before).await,
        }
        memory.push(neighbours.gauge("process_resident_memory_bytes").await);
        println!("round {round}: alone {alone}; beside them {beside}; {before:?}");
        beside.is_like(&alone);
    }
    println!("bytes of memory after each round: {memory:?}");
    let warm = memory[1];
    assert!(
        memory[2..].iter().all(|now| *now <= warm + SLACK),
        "{memory:?}"
    );
    neighbours.changes(3).await;
    neighbours.were_left_in_peace();
    // A stop waits for every stream's task: none hangs.
    let (status, took) = neighbours.world.stop_control_plane().await;
    assert!(status.success(), "{status}");
    assert!(took.as_secs() < 5, "stopping took {took:?}");
}
