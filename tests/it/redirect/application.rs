//! Applications that know nothing of the mesh, and what they call others with: HTTP/1.1, HTTP/2 with prior knowledge,
//! gRPC, WebSocket, and TCP whose server speaks first or last.

use std::error::Error;
use std::net::{Ipv6Addr, SocketAddr};
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::header::{CONNECTION, CONTENT_TYPE, UPGRADE};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_stream::StreamExt;
use tonic::codegen::{BoxFuture, BoxStream};
use tonic::transport::{Channel, Endpoint};
use tonic::{Status, Streaming};
use tonic_prost::ProstCodec;
use tower_service::Service;

use crate::hosts::User;

/// What a call ends with when it fails.
pub(super) type Failure = Box<dyn Error + Send + Sync>;

const ECHO: &str = "/test.Echo/Echo";

/// Answers HTTP of both versions, gRPC and WebSocket on one port, of both families. HTTP is told who answers, by which
/// version, on which of the host's addresses, and for which host.
pub(super) async fn serve_http(user: &User, port: u16, name: &'static str) {
    let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port));
    let listener = user.run(listener).await.unwrap();
    let router = Router::new().fallback(
        move |ConnectInfo(peer): ConnectInfo<SocketAddr>, request: Request| async move {
            let headers = request.headers();
            if headers.contains_key(UPGRADE) {
                return upgrade(request);
            }
            if headers
                .get(CONTENT_TYPE)
                .is_some_and(|kind| kind == "application/grpc")
            {
                let mut server = tonic::server::Grpc::new(ProstCodec::default());
                return server.streaming(Echo, request).await.map(Body::new);
            }
            let host = headers
                .get("host")
                .map(|host| host.to_str().unwrap().to_owned());
            let host = host.or(request.uri().authority().map(ToString::to_string));
            let peer = peer.ip().to_canonical();
            let version = request.version();
            format!(
                "{name} {version:?} to {peer} for {}",
                host.unwrap_or_default()
            )
            .into_response()
        },
    );
    user.spawn(async move {
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        axum::serve(listener, service).await.unwrap();
    });
}

/// Agrees to whatever protocol is asked for, and speaks it by sending back what comes.
fn upgrade(mut request: Request) -> Response {
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let stream = TokioIo::new(upgrade.await.unwrap());
        let (mut from, mut to) = tokio::io::split(stream);
        tokio::io::copy(&mut from, &mut to).await.ok();
    });
    let protocol = request.headers()[UPGRADE].clone();
    let mut response = Response::new(Body::empty());
    *response.status_mut() = hyper::StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert(UPGRADE, protocol);
    let connection = hyper::header::HeaderValue::from_static("upgrade");
    response.headers_mut().insert(CONNECTION, connection);
    response
}

/// A gRPC method that sends every message back as it comes, but for one that it fails on.
#[derive(Clone)]
struct Echo;

impl Service<tonic::Request<Streaming<String>>> for Echo {
    type Response = tonic::Response<BoxStream<String>>;
    type Error = Status;
    type Future = BoxFuture<Self::Response, Status>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: tonic::Request<Streaming<String>>) -> Self::Future {
        let answers = request.into_inner().map(|message| match message?.as_str() {
            "fail" => Err(Status::failed_precondition("as you wish")),
            message => Ok(format!("echo of {message}")),
        });
        Box::pin(async { Ok(tonic::Response::new(Box::pin(answers) as BoxStream<String>)) })
    }
}

/// A gRPC channel to a service by its name, at an address that the name had in DNS.
pub(super) async fn grpc(address: SocketAddr, authority: &str) -> Result<Channel, Failure> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
    let origin = format!("http://{authority}").parse()?;
    Ok(endpoint.origin(origin).connect().await?)
}

/// Asks one question.
pub(super) async fn unary(channel: &Channel, message: &str) -> Result<String, Status> {
    let mut client = tonic::client::Grpc::new(channel.clone());
    client
        .ready()
        .await
        .map_err(|error| Status::unknown(error.to_string()))?;
    let request = tonic::Request::new(message.to_owned());
    let path = hyper::http::uri::PathAndQuery::from_static(ECHO);
    let codec = ProstCodec::<String, String>::default();
    Ok(client.unary(request, path, codec).await?.into_inner())
}

/// Asks one question after the other on one stream, each when the one before is answered.
pub(super) async fn conversation(channel: &Channel, count: usize) -> Result<Vec<String>, Status> {
    let mut client = tonic::client::Grpc::new(channel.clone());
    client
        .ready()
        .await
        .map_err(|error| Status::unknown(error.to_string()))?;
    let (ask, questions) = tokio::sync::mpsc::channel::<String>(1);
    let questions = tokio_stream::wrappers::ReceiverStream::new(questions);
    let path = hyper::http::uri::PathAndQuery::from_static(ECHO);
    let codec = ProstCodec::<String, String>::default();
    let request = tonic::Request::new(questions);
    // Envoy passes the headers of an answer on with its first message.
    ask.send("0".to_owned()).await.unwrap();
    let mut answers = client.streaming(request, path, codec).await?.into_inner();
    let mut heard = Vec::new();
    for next in 1..=count {
        heard.push(answers.message().await?.unwrap());
        if next < count {
            ask.send(next.to_string()).await.unwrap();
        }
    }
    drop(ask);
    assert_eq!(answers.message().await?, None);
    Ok(heard)
}

/// One request over HTTP/2 without an upgrade: the status and the body.
pub(super) async fn get_http2(
    address: SocketAddr,
    authority: &str,
) -> Result<(u16, String), Failure> {
    let stream = TokioIo::new(TcpStream::connect(address).await?);
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream);
    let (mut sender, connection) = handshake.await?;
    let connection = tokio::spawn(connection);
    let request = hyper::Request::get(format!("http://{authority}/")).body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await?.to_bytes();
    connection.abort();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

/// Opens a WebSocket, and returns what a frame of it is answered with.
pub(super) async fn websocket(address: SocketAddr, authority: &str) -> Result<String, Failure> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!(
        "GET /socket HTTP/1.1\r\nhost: {authority}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        head.push(char::from(stream.read_u8().await?));
    }
    if !head.starts_with("HTTP/1.1 101 ") {
        return Ok(head);
    }
    // A masked text frame.
    let frame = [
        &[0x81, 0x85, 1, 2, 3, 4][..],
        &b"hello".map(|byte| byte ^ 1),
    ]
    .concat();
    stream.write_all(&frame).await?;
    let mut answer = vec![0; frame.len()];
    stream.read_exact(&mut answer).await?;
    Ok(if answer == frame {
        "the same frame".to_owned()
    } else {
        format!("{answer:?}")
    })
}

/// Sends back what comes, and nothing before.
pub(super) async fn serve_echo(user: &User, port: u16) {
    let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port));
    let listener = user.run(listener).await.unwrap();
    user.spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                tokio::io::copy(&mut from, &mut to).await.ok();
            });
        }
    });
}

/// Whether these bytes come back.
pub(super) async fn echoed(address: SocketAddr, bytes: Vec<u8>) -> Result<bool, Failure> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(&bytes).await?;
    let mut answer = vec![0; bytes.len()];
    stream.read_exact(&mut answer).await?;
    Ok(answer == bytes)
}

/// How a TLS 1.2 client that wants this server begins.
pub(super) fn client_hello(server: &str) -> Vec<u8> {
    fn prefixed(width: usize, content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(content.len()).unwrap().to_be_bytes();
        [&length[4 - width..], content].concat()
    }
    let name = [&[0][..], &prefixed(2, server.as_bytes())].concat();
    let server_name = [&[0, 0][..], &prefixed(2, &prefixed(2, &name))].concat();
    let body = [
        &[3, 3][..],
        &[7; 32],
        // No session, one cipher suite, no compression.
        &[0],
        &prefixed(2, &[0xc0, 0x2f]),
        &prefixed(1, &[0]),
        &prefixed(2, &server_name),
    ]
    .concat();
    let handshake = [&[1][..], &prefixed(3, &body)].concat();
    [&[22, 3, 1][..], &prefixed(2, &handshake)].concat()
}
