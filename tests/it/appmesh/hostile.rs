//! Clients that are slow, many, or leave.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::served::Served;
use super::{MESHES, NODES, node, node_spec, with_mesh};
use crate::world::{PATIENCE, eventually};

/// A request whose body does not come whole.
async fn half_a_request(served: &Served) -> TcpStream {
    let mut stream = TcpStream::connect(served.api).await.unwrap();
    let head = format!("PUT {NODES} HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{{");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

async fn answer(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while !String::from_utf8_lossy(&answer).contains("\"}") {
        let read = tokio::time::timeout(PATIENCE, stream.read(&mut buffer)).await;
        let read = read.expect("an answer in time").unwrap();
        if read == 0 {
            break;
        }
        answer.extend_from_slice(&buffer[..read]);
    }
    String::from_utf8(answer).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_come_is_given_up() {
    let served = with_mesh(&[]).await;
    let began = Instant::now();
    let answer = answer(half_a_request(&served).await).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(
        answer.contains("x-amzn-errortype: BadRequestException"),
        "{answer}"
    );
    assert!(answer.contains("did not come within 10 s"), "{answer}");
    assert!(began.elapsed() >= Duration::from_secs(10));
}

/// What was asked for before a stop is answered, and kept: whoever answers has the store as long as it takes.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_under_way_at_a_stop_is_done() {
    let mut served = with_mesh(&[]).await;
    let body = node("last").to_string();
    let (begin, rest) = body.split_at(1);
    let mut stream = TcpStream::connect(served.api).await.unwrap();
    let head = format!(
        "PUT {NODES} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{begin}",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    eventually("the call is open", PATIENCE, async || {
        (served.metric("outrigger_api_open_requests").await == 1).then_some(())
    })
    .await;
    let mut process = served.process();
    let rest_after_the_stop = async {
        eventually("nobody is let in any more", PATIENCE, async || {
            TcpStream::connect(served.api).await.err()
        })
        .await;
        stream.write_all(rest.as_bytes()).await.unwrap();
        answer(stream).await
    };
    let (ended, answer) = tokio::join!(process.stop(PATIENCE), rest_after_the_stop);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(ended.unwrap().code(), Some(0));
    served.restart().await;
    served.get(&format!("{NODES}/last")).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn more_calls_than_are_answered_at_one_time_are_told_so() {
    let served = with_mesh(&[]).await;
    let mut held = Vec::new();
    for _ in 0..256 {
        held.push(half_a_request(&served).await);
    }
    let open = "outrigger_api_open_requests";
    eventually("all are open", PATIENCE, async || {
        (served.metric(open).await == 256).then_some(())
    })
    .await;
    let answer = served.get(MESHES).await;
    assert_eq!(answer.error().0, "TooManyRequestsException");
    assert_eq!(answer.header("retry-after"), "1");
    drop(held);
    eventually("a place is free again", PATIENCE, async || {
        (served.get(MESHES).await.status == 200).then_some(())
    })
    .await;
}

/// More of them leave before their answer than there are places for calls: none keeps its place, and what each has sent is
/// done whole or not at all.
#[tokio::test(flavor = "multi_thread")]
async fn clients_that_leave_are_no_trouble() {
    let served = with_mesh(&[]).await;
    for number in 0..300 {
        let mut stream = TcpStream::connect(served.api).await.unwrap();
        let body = node(&format!("n{number}")).to_string();
        let head = format!(
            "PUT {NODES} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
    }
    eventually("no call is open", PATIENCE, async || {
        (served.metric("outrigger_api_open_requests").await == 0).then_some(())
    })
    .await;
    let last = format!("{NODES}/last");
    served.put(NODES, &node("last")).await.ok();
    assert_eq!(served.get(&last).await.ok()["spec"], node_spec(8080));
    let log = eventually("what is there is what was written", PATIENCE, async || {
        let listed = served.get("/outrigger/v1/resources?mesh=m").await.ok();
        let log = std::fs::read_to_string(served.log()).unwrap();
        let written = log.lines().filter(|line| line.contains("\"written\""));
        (written.count() == listed["resources"].as_array().unwrap().len()).then_some(log)
    })
    .await;
    assert!(!log.contains("panicked") && !log.contains("ERROR"), "{log}");
}
