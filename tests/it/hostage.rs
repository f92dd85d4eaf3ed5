//! Clients that hold on to what they have without using it: each is let go of in time, and no stop waits for one.

use std::time::Duration;

use outrigger::telemetry::Metrics;
use outrigger::telemetry::metrics::ListenerName;
use outrigger::transport::{self, Http, Limits, Options, Retired};
use outrigger::xds::ServerLimits;
use prometheus::{Encoder, TextEncoder};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::hostile::{A, Bystander, first_requests, mesh, sidecar};
use crate::plane::Plane;
use crate::raw::{Raw, SOTW};
use crate::world::{PATIENCE, eventually};

/// What begins an HTTP/2 connection: the preface and empty SETTINGS.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// Long enough that a slow machine does not reach it by chance.
const NEVER: Duration = Duration::from_hours(1);

/// Limits of which none is reached.
fn lenient() -> Limits {
    Limits {
        first_byte: NEVER,
        idle: NEVER,
        response: NEVER,
        ping_after: NEVER,
        ping_timeout: NEVER,
        ..Limits::SIDECARS
    }
}

fn plane(connections: Limits) -> Plane {
    Plane::start(ServerLimits {
        connections,
        ..ServerLimits::default()
    })
}

fn closed(plane: &Plane, reason: &str) -> u64 {
    plane.metric(&format!(
        "outrigger_closed_connections_total{{listener=\"xds\",reason=\"{reason}\"}}"
    ))
}

fn open(plane: &Plane) -> u64 {
    plane.metric("outrigger_connections{listener=\"xds\"}")
}

/// Reads until the other side ends the connection, whether politely or not.
async fn ended(stream: &mut TcpStream) {
    let mut said = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut said)).await;
    drop(read.expect("the connection is closed"));
}

#[tokio::test]
async fn a_connection_that_sends_nothing_is_closed() {
    let plane = plane(Limits {
        first_byte: Duration::from_millis(100),
        ..lenient()
    });
    let mut bystander = Bystander::connect(&plane, 1).await;
    let mut silent = TcpStream::connect(plane.address).await.unwrap();
    ended(&mut silent).await;
    assert_eq!(closed(&plane, "silent"), 1);
    bystander.gets_the_next_change(&plane).await;
    assert_eq!(open(&plane), 1);
}

#[tokio::test]
async fn a_connection_without_a_stream_is_closed_and_one_with_a_stream_is_not() {
    let plane = plane(Limits {
        idle: Duration::from_millis(300),
        ..lenient()
    });
    let mut bystander = Bystander::connect(&plane, 1).await;
    // One stops in the middle of the preface; the other has shaken hands and asks for nothing.
    for (count, bytes) in [&PREFACE[..10], PREFACE].into_iter().enumerate() {
        let mut stream = TcpStream::connect(plane.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let start = Instant::now();
        ended(&mut stream).await;
        assert!(start.elapsed() >= Duration::from_millis(200), "at once");
        assert_eq!(closed(&plane, "idle"), count as u64 + 1);
    }
    bystander.gets_the_next_change(&plane).await;
    assert_eq!(open(&plane), 1);
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed_until_one_ends() {
    let plane = plane(Limits {
        connections: 2,
        ..lenient()
    });
    let mut bystander = Bystander::connect(&plane, 1).await;
    let second = Raw::open(plane.address, SOTW).await;
    let mut third = TcpStream::connect(plane.address).await.unwrap();
    ended(&mut third).await;
    assert_eq!(closed(&plane, "limit"), 1);
    bystander.gets_the_next_change(&plane).await;

    second.vanish();
    eventually("the place is free again", PATIENCE, async || {
        (open(&plane) == 1).then_some(())
    })
    .await;
    Bystander::connect(&plane, 2).await;
}

/// Neither the PING of the server nor anything else is answered, as by a machine that lost its power.
#[tokio::test]
async fn a_client_that_answers_no_ping_is_closed() {
    let plane = plane(Limits {
        ping_after: Duration::from_millis(100),
        ping_timeout: Duration::from_millis(300),
        ..lenient()
    });
    let mut bystander = Bystander::connect(&plane, 1).await;
    let mut dead = TcpStream::connect(plane.address).await.unwrap();
    dead.write_all(PREFACE).await.unwrap();
    ended(&mut dead).await;
    // The one that answers lives on.
    bystander.gets_the_next_change(&plane).await;
    assert_eq!(open(&plane), 1);
}

/// It answers every PING and takes in nothing of its stream, so that nothing but the server's own patience ends it.
#[tokio::test]
async fn a_stop_does_not_wait_for_a_client_that_never_reads() {
    let plane = plane(lenient());
    let bystander = Bystander::connect(&plane, 400).await;
    let pushes = |plane: &Plane| plane.metric("outrigger_xds_pushes_total{type=\"cds\"}");
    let before = pushes(&plane);
    let deaf = Raw::open(plane.address, SOTW).await;
    let [(_, first), _] = first_requests(Some(&sidecar(A)));
    deaf.send_bytes(first).await;
    eventually("the first response is on its way", PATIENCE, async || {
        (pushes(&plane) == before + 1).then_some(())
    })
    .await;
    // Another response must wait for the first, so that not even the end of the stream can be sent.
    plane.declare(&mesh(399));
    let start = Instant::now();
    plane.stop().await;
    let took = start.elapsed();
    println!("stopped in {took:?} with a client that never reads");
    assert!(took < Duration::from_secs(4), "{took:?}");
    drop((bystander, deaf));
}

/// A stop with none but well-behaved clients does not wait for any limit.
#[tokio::test]
async fn a_stop_is_quick_when_clients_read() {
    let plane = plane(lenient());
    let mut bystander = Bystander::connect(&plane, 1).await;
    let idle = TcpStream::connect(plane.address).await.unwrap();
    eventually("all are accepted", PATIENCE, async || {
        (open(&plane) == 2).then_some(())
    })
    .await;
    let start = Instant::now();
    let ((), (code, message)) = tokio::join!(plane.stop(), bystander.ends());
    let took = start.elapsed();
    println!("stopped in {took:?} with clients that read");
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert_eq!(code, tonic::Code::Unavailable);
    assert!(message.contains("is stopping"), "{message}");
    drop(idle);
}

/// An API of one answer, with the limits given.
async fn api(limits: Limits) -> (std::net::SocketAddr, Metrics, CancellationToken) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let metrics = Metrics::new().unwrap();
    let options = Options {
        http: Http::OneAndTwo,
        limits,
        metrics: metrics.connections(ListenerName::Api),
    };
    let stop = CancellationToken::new();
    let router = axum::Router::new().fallback(async |body: String| body);
    tokio::spawn(transport::serve(
        listener.into(),
        router,
        options,
        stop.clone(),
    ));
    (address, metrics, stop)
}

async fn answer(address: std::net::SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut said = String::new();
    let read = stream.read_to_string(&mut said);
    drop(timeout(PATIENCE, read).await.expect("it is closed"));
    said
}

#[tokio::test]
async fn half_a_request_keeps_no_connection_to_the_api() {
    let limits = Limits {
        idle: Duration::from_millis(200),
        response: Duration::from_millis(200),
        ..lenient()
    };
    let (address, _, _stop) = api(limits).await;
    for half in ["G", "GET / HTTP/1.1\r\nhost: x\r\n", "PRI * HTTP/2.0\r\n"] {
        let said = answer(address, half.as_bytes()).await;
        assert!(!said.contains("200"), "{said}");
    }
    // A body that does not come.
    let said = answer(
        address,
        b"PUT / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nhalf",
    )
    .await;
    assert!(said.starts_with("HTTP/1.1 408 "), "{said}");
    // A connection that asked once, and asks no more.
    let said = answer(address, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(said.starts_with("HTTP/1.1 200 "), "{said}");
}

/// Whoever answers may give up a client that does not read.
#[tokio::test]
async fn a_connection_that_is_retired_ends_though_its_answer_is_not_read() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let metrics = Metrics::new().unwrap();
    let options = Options {
        http: Http::OneAndTwo,
        limits: Limits {
            drain: Duration::from_millis(200),
            ..lenient()
        },
        metrics: metrics.connections(ListenerName::Api),
    };
    let (given, mut taken) = tokio::sync::mpsc::channel(1);
    let router = axum::Router::new().fallback(async move |retired: axum::Extension<Retired>| {
        given.send(retired.0).await.unwrap();
        vec![0_u8; 64 << 20]
    });
    let stop = CancellationToken::new();
    tokio::spawn(transport::serve(listener.into(), router, options, stop));
    let mut stalled = TcpStream::connect(address).await.unwrap();
    stalled
        .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let retired = taken.recv().await.unwrap();
    let mut status = [0; 12];
    stalled.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 200");
    retired.retire();
    eventually("the connection is closed", PATIENCE, async || {
        let mut text = Vec::new();
        let families = metrics.registry().gather();
        TextEncoder::new().encode(&families, &mut text).unwrap();
        let none = "outrigger_connections{listener=\"api\"} 0\n";
        String::from_utf8(text)
            .unwrap()
            .contains(none)
            .then_some(())
    })
    .await;
}

/// The answer that was asked for before the stop comes; the connection that was kept open is closed.
#[tokio::test]
async fn the_api_stops_at_once_with_connections_that_are_kept_open() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let options = Options {
        http: Http::OneAndTwo,
        limits: lenient(),
        metrics: Metrics::new().unwrap().connections(ListenerName::Api),
    };
    let stop = CancellationToken::new();
    let router = axum::Router::new().fallback(async || "ok");
    let serving = transport::serve(listener.into(), router, options, stop.clone());
    let serving = tokio::spawn(serving);
    let mut kept = TcpStream::connect(address).await.unwrap();
    kept.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let mut status = [0; 12];
    kept.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 200");
    stop.cancel();
    let start = Instant::now();
    timeout(PATIENCE, serving).await.unwrap().unwrap();
    assert!(start.elapsed() < Duration::from_secs(1));
    assert!(TcpStream::connect(address).await.is_err());
}
