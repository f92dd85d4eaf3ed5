//! TCP backends, whose weights shift under open connections, and HTTP/2 ones.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use outrigger::envoy::bootstrap::XdsProtocol;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, interval};

use super::{A, B, TTL, listener, mesh, node, service, sidecar, split};
use crate::world::{PATIENCE, World, eventually};

const QUEUE_PORT: u16 = 9000;

#[tokio::test(flavor = "multi_thread")]
async fn the_weight_of_tcp_targets_shifts_and_open_connections_stay() {
    for protocol in [XdsProtocol::Delta, XdsProtocol::StateOfTheWorld] {
        let mut world = World::new().await;
        world.zone.set("service-a.local", TTL, vec![world.ip(2)]);
        world.zone.set("queue-1.local", TTL, vec![world.ip(3)]);
        world.zone.set("queue-2.local", TTL, vec![world.ip(4)]);
        world.serve(&queues(80, 20)).await;
        greeter(world.at(3, QUEUE_PORT), "one").await;
        greeter(world.at(4, QUEUE_PORT), "two").await;
        let envoy = world.sidecar(A, 2, protocol).await;
        let egress = world.at(2, QUEUE_PORT);

        let mut open = Line::to(egress, "one").await;
        assert_eq!(open.say("before").await, "before");
        Line::to(egress, "two").await;

        for (first, second) in [(0, 100), (50, 50), (0, 1)] {
            world.write_mesh(&queues(first, second));
            if first == 0 {
                // Ten in a row: by the weights before, that is one in ten million.
                let mut in_a_row = 0;
                eventually(
                    "new connections go to the other target",
                    PATIENCE,
                    async || {
                        let reached = Line::open(egress).await.ok()?.greeting;
                        in_a_row = if reached == "two" { in_a_row + 1 } else { 0 };
                        (in_a_row == 10).then_some(())
                    },
                )
                .await;
            } else {
                Line::to(egress, "one").await;
            }
            assert_eq!(open.say("after").await, "after");
        }
        // A listener that drained would close its connections after 1 s.
        let until = Instant::now() + Duration::from_secs(2);
        let mut every = interval(Duration::from_millis(50));
        while Instant::now() < until {
            every.tick().await;
            assert_eq!(open.say("still").await, "still");
        }
        for changed in [
            "listener_modified",
            "listener_in_place_updated",
            "listener_removed",
        ] {
            let stat = format!("listener_manager.{changed}");
            assert_eq!(sidecar::stat(&envoy, &stat).await, 0, "{stat}");
        }
    }
}

fn queues(first: u32, second: u32) -> String {
    let tcp = listener(QUEUE_PORT, "tcp", "");
    mesh(
        "ALLOW_ALL",
        &[
            node(
                "serviceANode",
                "service-a.local",
                &listener(8080, "http", ""),
            ),
            node("queueOne", "queue-1.local", &tcp),
            node("queueTwo", "queue-2.local", &tcp),
            split(
                "queue.local",
                QUEUE_PORT,
                "tcp",
                &[("queueOne", first), ("queueTwo", second)],
            ),
        ],
    )
}

/// A server that speaks first, saying its name, and then repeats each line.
pub(crate) async fn greeter(address: SocketAddr, name: &'static str) {
    let listener = TcpListener::bind(address).await.unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (read, mut write) = stream.into_split();
                let mut lines = BufReader::new(read).lines();
                let mut say = Some(name.to_owned());
                while let Some(line) = say {
                    write.write_all(format!("{line}\n").as_bytes()).await?;
                    say = lines.next_line().await?;
                }
                Ok::<_, std::io::Error>(())
            });
        }
    });
}

/// A connection to a greeter.
pub(crate) struct Line {
    pub(crate) greeting: String,
    stream: BufReader<TcpStream>,
}

impl Line {
    pub(crate) async fn open(egress: SocketAddr) -> std::io::Result<Self> {
        let stream = BufReader::new(TcpStream::connect(egress).await?);
        let mut line = Self {
            greeting: String::new(),
            stream,
        };
        line.greeting = line.hear().await?;
        Ok(line)
    }

    /// A connection to the greeter of this name.
    async fn to(egress: SocketAddr, name: &str) -> Self {
        let what = format!("a connection reaches {name}");
        eventually(&what, PATIENCE, async || {
            let line = Self::open(egress).await.ok()?;
            (line.greeting == name).then_some(line)
        })
        .await
    }

    async fn say(&mut self, line: &str) -> String {
        self.try_say(line).await.unwrap()
    }

    /// What is said back; empty once the other side has closed.
    pub(crate) async fn try_say(&mut self, line: &str) -> std::io::Result<String> {
        let line = format!("{line}\n");
        self.stream.write_all(line.as_bytes()).await?;
        self.hear().await
    }

    async fn hear(&mut self) -> std::io::Result<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line).await?;
        Ok(line.trim_end().to_owned())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http2_listener_gets_http2_whatever_the_client_speaks() {
    let mut world = World::new().await;
    world.zone.set("service-a.local", TTL, vec![world.ip(2)]);
    world.zone.set("service-b.local", TTL, vec![world.ip(3)]);
    world
        .serve(&mesh(
            "ALLOW_ALL",
            &[
                node(
                    "serviceANode",
                    "service-a.local",
                    &listener(8080, "http", ""),
                ),
                node(
                    "serviceBNode",
                    "service-b.local",
                    &listener(8080, "http2", ""),
                ),
                service("service-b.local", "serviceBNode"),
            ],
        ))
        .await;
    let application =
        Router::new().fallback(async |request: Request| format!("{:?}", request.version()));
    let bound = TcpListener::bind(world.application(3)).await.unwrap();
    tokio::spawn(async move { axum::serve(bound, application).await.unwrap() });
    let _a = world.sidecar(A, 2, XdsProtocol::Delta).await;
    let _b = world.sidecar(B, 3, XdsProtocol::StateOfTheWorld).await;

    let egress = world.at(2, 15001);
    assert_eq!(
        h2c(egress, "http://service-b.local/").await,
        (200, "HTTP/2.0".to_owned())
    );
    assert_eq!(
        world.call(2, "service-b.local", "/").await,
        (200, "HTTP/2.0".to_owned())
    );
}

/// One request over HTTP/2 without TLS or upgrade.
async fn h2c(address: SocketAddr, uri: &str) -> (u16, String) {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    let connection = tokio::spawn(connection);
    let request = hyper::Request::get(uri)
        .body(Empty::<Bytes>::new())
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    connection.abort();
    (status, String::from_utf8_lossy(&body).into_owned())
}
