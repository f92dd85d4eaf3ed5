//! An ADS server without logic: it sends encoded bytes made beforehand, on a
//! first subscription to a type and when told to by its HTTP trigger. It ignores
//! what is asked for, versions, nonces and ACKs.

mod mesh;
mod resources;

use anyhow::Result;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::routing::get;
use bytes::{Buf, BufMut, Bytes};
use clap::Parser;
use http_body::Frame;
use http_body_util::StreamBody;
use mesh::{FRAME_HEADER, Mesh, TYPES, Variant};
use prost::Message;
use serde::Deserialize;
use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::net::TcpSocket;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

#[derive(Parser)]
#[command(
    version,
    about = "ADS server without logic, as a floor for measurements"
)]
struct Args {
    /// ADS address
    #[arg(long, default_value = "127.0.0.1:18000")]
    addr: SocketAddr,
    /// Address of the HTTP trigger, GET /bump?service=K
    #[arg(long, default_value = "127.0.0.1:18001")]
    admin: SocketAddr,
    /// Services in the mesh
    #[arg(long, default_value_t = 1000)]
    services: usize,
    /// Services that each sidecar has
    #[arg(long, default_value_t = 20)]
    backends: usize,
    /// On SotW streams, send only the endpoints that changed
    #[arg(long)]
    changed_only: bool,
    /// Send the shared encoded bytes as they are, past tonic's encoder, which copies them
    #[arg(long)]
    zero_copy: bool,
    /// Worker threads
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(args.threads)
        .enable_all()
        .build()?;
    runtime.block_on(serve(args))
}

async fn serve(args: Args) -> Result<()> {
    let mesh = Arc::new(Mesh::new(args.services, args.backends, !args.changed_only));
    let admin = axum::Router::new()
        .route("/bump", get(bump))
        .with_state(mesh.clone());
    let listener = tokio::net::TcpListener::bind(args.admin).await?;
    tokio::spawn(async move { axum::serve(listener, admin).await });
    tonic::transport::Server::builder()
        .add_service(Ads {
            mesh,
            zero_copy: args.zero_copy,
        })
        .serve_with_incoming_shutdown(listen(args.addr)?, async {
            drop(tokio::signal::ctrl_c().await);
        })
        .await?;
    Ok(())
}

/// Listens with room for a connect storm. The default backlog of 128 makes the
/// kernel drop connection attempts, and the client then waits a second.
fn listen(addr: SocketAddr) -> Result<TcpIncoming> {
    let socket = if addr.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    Ok(TcpIncoming::from(socket.listen(4096)?).with_nodelay(Some(true)))
}

#[derive(Deserialize)]
struct Bump {
    service: usize,
}

async fn bump(
    State(mesh): State<Arc<Mesh>>,
    Query(bump): Query<Bump>,
) -> Result<String, StatusCode> {
    if bump.service >= mesh.services_len() {
        return Err(StatusCode::BAD_REQUEST);
    }
    Ok(format!("{{\"streams\":{}}}\n", mesh.bump(bump.service)))
}

/// The gRPC service, written by hand because its messages are plain bytes.
#[derive(Clone)]
struct Ads {
    mesh: Arc<Mesh>,
    zero_copy: bool,
}

impl tonic::server::NamedService for Ads {
    const NAME: &'static str = "envoy.service.discovery.v3.AggregatedDiscoveryService";
}

impl tower_service::Service<http::Request<Body>> for Ads {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let path = request.uri().path();
        let variant = if path.ends_with("/StreamAggregatedResources") {
            Variant::Sotw
        } else if path.ends_with("/DeltaAggregatedResources") {
            Variant::Delta
        } else {
            return Box::pin(async { Ok(Status::unimplemented("only ADS").into_http()) });
        };
        let method = Method {
            mesh: self.mesh.clone(),
            variant,
        };
        if self.zero_copy {
            return Box::pin(ready(Ok(method.respond_zero_copy(request))));
        }
        Box::pin(async move {
            Ok(tonic::server::Grpc::new(RawCodec)
                .streaming(method, request)
                .await)
        })
    }
}

struct Method {
    mesh: Arc<Mesh>,
    variant: Variant,
}

impl Method {
    fn respond_zero_copy(self, request: http::Request<Body>) -> http::Response<Body> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let requests = Streaming::new_request(RawCodec, request.into_body(), None, None);
        tokio::spawn(receive(self.mesh, self.variant, requests, sender));
        let frames =
            UnboundedReceiverStream::new(receiver).map(|bytes| Ok::<_, Status>(Frame::data(bytes)));
        let mut response = http::Response::new(Body::new(StreamBody::new(frames)));
        let grpc = http::HeaderValue::from_static("application/grpc");
        response
            .headers_mut()
            .insert(http::header::CONTENT_TYPE, grpc);
        response
    }
}

type Responses = Pin<Box<dyn tokio_stream::Stream<Item = Result<Bytes, Status>> + Send>>;

impl tonic::server::StreamingService<Bytes> for Method {
    type Response = Bytes;
    type ResponseStream = Responses;
    type Future = Ready<Result<Response<Responses>, Status>>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        let (sender, receiver) = mpsc::unbounded_channel();
        tokio::spawn(receive(
            self.mesh.clone(),
            self.variant,
            request.into_inner(),
            sender,
        ));
        ready(Ok(Response::new(Box::pin(
            UnboundedReceiverStream::new(receiver).map(Ok),
        ))))
    }
}

#[derive(Clone, PartialEq, Message)]
struct Node {
    #[prost(string, tag = "1")]
    id: String,
}

#[derive(Clone, PartialEq, Message)]
struct SotwRequest {
    #[prost(message, optional, tag = "2")]
    node: Option<Node>,
    #[prost(string, tag = "4")]
    type_url: String,
}

#[derive(Clone, PartialEq, Message)]
struct DeltaRequest {
    #[prost(message, optional, tag = "1")]
    node: Option<Node>,
    #[prost(string, tag = "2")]
    type_url: String,
}

/// Answers the first request of each type; all later ones are taken for ACKs.
async fn receive(
    mesh: Arc<Mesh>,
    variant: Variant,
    mut requests: Streaming<Bytes>,
    sender: mpsc::UnboundedSender<Bytes>,
) {
    let mut group = None;
    let mut answered = [false; 4];
    while let Ok(Some(request)) = requests.message().await {
        let decoded = match variant {
            Variant::Sotw => SotwRequest::decode(request).map(|r| (r.node, r.type_url)),
            Variant::Delta => DeltaRequest::decode(request).map(|r| (r.node, r.type_url)),
        };
        let Ok((node, type_url)) = decoded else {
            return;
        };
        let group = *group.get_or_insert_with(|| {
            let group = group_of(node, mesh.groups);
            mesh.subscribe(variant, group, sender.clone());
            group
        });
        let Some(kind) = TYPES.iter().position(|known| *known == type_url) else {
            continue;
        };
        if !std::mem::replace(&mut answered[kind], true) {
            // Nobody takes it where the stream has ended.
            drop(sender.send(mesh.first(variant, group, kind)));
        }
    }
}

fn group_of(node: Option<Node>, groups: usize) -> usize {
    let id = node.unwrap_or_default().id;
    let number = id
        .rsplit('-')
        .next()
        .and_then(|digits| digits.parse::<usize>().ok());
    number.unwrap_or(0) % groups
}

/// Messages as they are on the wire.
#[derive(Default)]
struct RawCodec;

impl Codec for RawCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = RawCodec;
    type Decoder = RawCodec;

    fn encoder(&mut self) -> RawCodec {
        RawCodec
    }

    fn decoder(&mut self) -> RawCodec {
        RawCodec
    }
}

impl Encoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, dst: &mut EncodeBuf<'_>) -> Result<(), Status> {
        let message = &item[FRAME_HEADER..];
        dst.reserve(message.len());
        dst.put(message);
        Ok(())
    }
}

impl Decoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, src: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(src.copy_to_bytes(src.remaining())))
    }
}
