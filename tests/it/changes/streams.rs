//! Streams that stay open while things change: server-sent events, an upgraded connection, a gRPC call and a TCP
//! connection, each of which tells whether it still lives.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::response::Response;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, copy, split};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, interval, timeout};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::{IntervalStream, ReceiverStream};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Endpoint;
use tonic::{Status, Streaming};
use tonic_prost::ProstCodec;

use crate::continuity::tcp::{Line, greeter};

/// Longest wait for a sign of life.
const SIGN: Duration = Duration::from_secs(5);
/// Events say how long after this they were made.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);
const REPLICA: &str = "x-replica";
const TALK: &str = "/test.Echo/Talk";

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A way for a stream to live long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// A chunked answer without an end.
    Events,
    /// A connection upgraded to WebSocket.
    Socket,
    /// A gRPC call that streams in both directions.
    Call,
    /// A connection to a TCP backend.
    Tcp,
}

impl Way {
    pub(super) const ALL: [Self; 4] = [Self::Events, Self::Socket, Self::Call, Self::Tcp];
}

/// What a caller dials to reach its backends through its sidecar.
#[derive(Clone, Copy, Debug)]
pub(super) struct Egress {
    pub(super) http: SocketAddr,
    pub(super) queue: SocketAddr,
}

/// An open stream.
pub(super) enum Stream {
    Events(BufReader<TcpStream>),
    Socket(BufReader<TcpStream>),
    Call(mpsc::Sender<String>, Streaming<String>),
    Tcp(Line),
}

impl Stream {
    /// Opens one, and says which replica serves it.
    pub(super) async fn open(way: Way, egress: Egress) -> Result<(Self, String), Failure> {
        match way {
            Way::Events => {
                let (stream, replica) = get(egress.http, "/events", "", 200).await?;
                Ok((Self::Events(stream), replica))
            }
            Way::Socket => {
                let upgrade = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                               sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
                let (stream, replica) = get(egress.http, "/socket", upgrade, 101).await?;
                Ok((Self::Socket(stream), replica))
            }
            Way::Call => call(egress.http).await,
            Way::Tcp => {
                let line = Line::open(egress.queue).await?;
                let replica = line.greeting.clone();
                Ok((Self::Tcp(line), replica))
            }
        }
    }

    /// Whether something said now comes back, or something new arrives.
    pub(super) async fn is_alive(&mut self) -> Result<(), String> {
        match timeout(SIGN, self.sign()).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err("it ended".to_owned()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no sign of life within {SIGN:?}")),
        }
    }

    async fn sign(&mut self) -> Result<bool, Failure> {
        let now = START.elapsed().as_millis();
        let said = now.to_string();
        match self {
            Self::Events(stream) => loop {
                let Some(line) = read_line(stream).await? else {
                    return Ok(false);
                };
                let made = line.strip_prefix("data: ").map(str::parse::<u128>);
                if made.transpose()?.is_some_and(|made| made >= now) {
                    return Ok(true);
                }
            },
            Self::Socket(stream) => {
                stream.write_all(format!("{said}\n").as_bytes()).await?;
                Ok(read_line(stream).await? == Some(said))
            }
            Self::Call(out, back) => {
                out.send(said.clone()).await?;
                Ok(back.message().await? == Some(said))
            }
            Self::Tcp(line) => Ok(line.try_say(&said).await? == said),
        }
    }
}

/// `GET` by hand: the connection behind the answer's head, and who answered.
async fn get(
    egress: SocketAddr,
    path: &str,
    more: &str,
    wanted: u16,
) -> Result<(BufReader<TcpStream>, String), Failure> {
    let mut stream = BufReader::new(TcpStream::connect(egress).await?);
    let request = format!("GET {path} HTTP/1.1\r\nhost: service-b.local:8080\r\n{more}\r\n");
    stream.write_all(request.as_bytes()).await?;
    let status = read_line(&mut stream).await?.unwrap_or_default();
    if !status.starts_with(&format!("HTTP/1.1 {wanted}")) {
        return Err(format!("{path} answers `{status}`").into());
    }
    let mut replica = String::new();
    while let Some(line) = read_line(&mut stream).await? {
        if let Some((REPLICA, value)) = line.split_once(": ") {
            value.clone_into(&mut replica);
        }
        if line.is_empty() {
            return Ok((stream, replica));
        }
    }
    Err(format!("{path}: the head has no end").into())
}

async fn call(egress: SocketAddr) -> Result<(Stream, String), Failure> {
    let origin = "http://calls.local:7000".parse()?;
    let endpoint = Endpoint::from_shared(format!("http://{egress}"))?.origin(origin);
    let mut client = tonic::client::Grpc::new(endpoint.connect().await?);
    client.ready().await?;
    let (out, requests) = mpsc::channel(1);
    let requests = tonic::Request::new(ReceiverStream::new(requests));
    let codec = ProstCodec::<String, String>::default();
    let path = PathAndQuery::from_static(TALK);
    let response = client.streaming(requests, path, codec).await?;
    let replica = response.metadata().get(REPLICA).ok_or("no replica")?;
    let replica = replica.to_str()?.to_owned();
    Ok((Stream::Call(out, response.into_inner()), replica))
}

/// `None` at the end.
async fn read_line(stream: &mut BufReader<TcpStream>) -> std::io::Result<Option<String>> {
    let mut line = String::new();
    if stream.read_line(&mut line).await? == 0 {
        return Ok(None);
    }
    line.truncate(line.trim_end().len());
    Ok(Some(line))
}

/// An application that takes HTTP at these addresses, and calls and TCP connections where they are given.
pub(super) async fn serve(
    name: &'static str,
    http: &[SocketAddr],
    calls: Option<SocketAddr>,
    queue: SocketAddr,
) {
    for address in http {
        let listener = TcpListener::bind(address).await.unwrap();
        let router = Router::new().fallback(async move |request: Request| answer(name, request));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    }
    if let Some(address) = calls {
        let server = tonic::transport::Server::builder().add_service(Echo(name));
        let listener = tonic::transport::server::TcpIncoming::bind(address).unwrap();
        tokio::spawn(server.serve_with_incoming(listener));
    }
    greeter(queue, name).await;
}

fn answer(name: &'static str, request: Request) -> Response {
    let response = Response::builder().header(REPLICA, name);
    match request.uri().path() {
        "/events" => {
            let events = IntervalStream::new(interval(Duration::from_millis(20)));
            let events = events.map(|_| {
                let event = format!("data: {}\n\n", START.elapsed().as_millis());
                Ok::<_, Infallible>(Bytes::from(event))
            });
            let response = response.header("content-type", "text/event-stream");
            response.body(Body::from_stream(events)).unwrap()
        }
        "/socket" => {
            tokio::spawn(async move {
                let upgraded = hyper::upgrade::on(request).await?;
                let (mut read, mut write) = split(TokioIo::new(upgraded));
                copy(&mut read, &mut write).await?;
                Ok::<_, Failure>(())
            });
            let response = response.status(101).header("connection", "upgrade");
            let response = response.header("upgrade", "websocket");
            response.body(Body::empty()).unwrap()
        }
        _ => {
            let identity = format!("{{\"replica\":\"{name}\"}}");
            response.body(Body::from(identity)).unwrap()
        }
    }
}

/// A gRPC service that sends back what it is sent, and says its name first of all.
#[derive(Clone, Copy)]
struct Echo(&'static str);

impl tonic::server::NamedService for Echo {
    const NAME: &'static str = "test.Echo";
}

impl tower_service::Service<tonic::codegen::http::Request<tonic::body::Body>> for Echo {
    type Response = tonic::codegen::http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = tonic::codegen::BoxFuture<Self::Response, Infallible>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: tonic::codegen::http::Request<tonic::body::Body>) -> Self::Future {
        let echo = *self;
        Box::pin(async move {
            let codec = ProstCodec::<String, String>::default();
            Ok(tonic::server::Grpc::new(codec)
                .streaming(echo, request)
                .await)
        })
    }
}

impl tonic::server::StreamingService<String> for Echo {
    type Response = String;
    type ResponseStream = Streaming<String>;
    type Future = std::future::Ready<Result<tonic::Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: tonic::Request<Streaming<String>>) -> Self::Future {
        let mut response = tonic::Response::new(request.into_inner());
        let name = self.0.parse().unwrap();
        response.metadata_mut().insert(REPLICA, name);
        std::future::ready(Ok(response))
    }
}
