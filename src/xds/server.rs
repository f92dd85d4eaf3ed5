//! The tonic shell of ADS: reads and writes frames, and keeps no protocol state of its own.
//!
//! The service is written by hand because its responses are encoded before a stream ever asks for them: a frame is a
//! short header of the stream's own and entries that all streams share, handed to HTTP/2 as they are.
//!
//! **Invariant:** a stream holds at most one step's responses. While they are on their way nothing is built; what changes
//! meanwhile is seen as one newest snapshot afterwards, so a slow sidecar costs no queue and harms nobody else.

use std::convert::Infallible;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Buf;
use http_body_util::StreamBody;
use prost::Message;
use thiserror::Error;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::body::Body;
use tonic::codec::{DecodeBuf, Decoder};
use tonic::codegen::http;
use tonic::transport::server::{TcpConnectInfo, TcpIncoming};
use tonic::{Status, Streaming};
use tower_service::Service;

use super::session::{Protocol, Session};
use super::{DeltaStream, Limits, SotwStream};
use crate::clients::Clients;
use crate::reconcile::Views;
use crate::store::Stored;
use crate::telemetry::Metrics;
use crate::telemetry::metrics::Refusal;

/// Connections that may wait to be accepted. The usual 128 makes the kernel drop attempts in a storm of a thousand, and
/// those clients then wait a second (measured).
const BACKLOG: u32 = 4096;
/// Frames on their way to HTTP/2. More would only hide a slow client's state from the stream.
const FRAMES_IN_FLIGHT: usize = 2;

/// Bounds on what clients may ask of the server.
#[derive(Clone, Debug)]
pub struct ServerLimits {
    /// Bytes of one request: an Envoy that knows 100,000 resources names them all when it reconnects.
    pub request_bytes: usize,
    /// Streams at one time.
    pub streams: usize,
    /// How long a new stream may take to say who it is.
    pub first_request: Duration,
    pub stream: Limits,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            request_bytes: 32 << 20,
            streams: 20_000,
            first_request: Duration::from_secs(30),
            stream: Limits::default(),
        }
    }
}

/// What every stream uses.
#[derive(Clone, Debug)]
pub struct AdsContext {
    pub clients: Clients,
    pub views: Views,
    pub metrics: Metrics,
    pub limits: ServerLimits,
    /// The store, for whether anything has been loaded yet.
    pub model: watch::Receiver<Stored>,
}

/// An address that cannot be listened on.
#[derive(Debug, Error)]
#[error("cannot listen on {addr} for {purpose}; is another process using it?")]
pub struct BindError {
    pub addr: SocketAddr,
    pub purpose: &'static str,
    pub source: std::io::Error,
}

/// A bound ADS server.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    addr: SocketAddr,
}

impl Server {
    /// Binds the address; port 0 takes a free one.
    ///
    /// # Errors
    /// [`BindError`] when the address cannot be had.
    pub fn bind(addr: SocketAddr) -> Result<Self, BindError> {
        let fail = |source| BindError { addr, purpose: "xDS (--xds-addr)", source };
        let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
        let listen = |socket: TcpSocket| {
            socket.set_reuseaddr(true)?;
            socket.bind(addr)?;
            socket.listen(BACKLOG)
        };
        let listener = socket.and_then(listen).map_err(fail)?;
        let addr = listener.local_addr().map_err(fail)?;
        Ok(Self { listener, addr })
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves until stopped, then ends every stream and waits for them.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn run(self, context: AdsContext, stop: CancellationToken) -> Result<(), tonic::transport::Error> {
        let tasks = TaskTracker::new();
        let ads = Ads {
            permits: Arc::new(Semaphore::new(context.limits.streams)),
            context: Arc::new(context),
            tasks: tasks.clone(),
            stop: stop.clone(),
        };
        let served = tonic::transport::Server::builder()
            .http2_keepalive_interval(Some(Duration::from_secs(30)))
            .http2_keepalive_timeout(Some(Duration::from_secs(20)))
            .add_service(ads)
            .serve_with_incoming_shutdown(
                TcpIncoming::from(self.listener).with_nodelay(Some(true)),
                stop.cancelled_owned(),
            )
            .await;
        tasks.close();
        tasks.wait().await;
        served
    }
}

/// The gRPC service.
#[derive(Clone, Debug)]
struct Ads {
    context: Arc<AdsContext>,
    permits: Arc<Semaphore>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl tonic::server::NamedService for Ads {
    const NAME: &'static str = "envoy.service.discovery.v3.AggregatedDiscoveryService";
}

impl Service<http::Request<Body>> for Ads {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let response = match request.uri().path().rsplit('/').next() {
            Some("StreamAggregatedResources") => self.open::<SotwStream>(request),
            Some("DeltaAggregatedResources") => self.open::<DeltaStream>(request),
            _ => Err(Status::unimplemented(
                "only StreamAggregatedResources and DeltaAggregatedResources are served",
            )),
        };
        let response = response.unwrap_or_else(Status::into_http);
        Box::pin(std::future::ready(Ok(response)))
    }
}

impl Ads {
    /// Starts a stream's session and answers with its frames.
    fn open<P: Protocol>(&self, request: http::Request<Body>) -> Result<http::Response<Body>, Status> {
        let permit = Arc::clone(&self.permits).try_acquire_owned().map_err(|_| {
            self.context.metrics.stream_refused(Refusal::Limit);
            Status::resource_exhausted(format!(
                "{} streams are open, as many as this server takes; retry later",
                self.context.limits.streams
            ))
        })?;
        let peer = request.extensions().get::<TcpConnectInfo>().and_then(TcpConnectInfo::remote_addr);
        let limit = Some(self.context.limits.request_bytes);
        let requests = Streaming::new_request(RequestDecoder(PhantomData), request.into_body(), None, limit);
        let (frames, outgoing) = mpsc::channel(FRAMES_IN_FLIGHT);
        let session: Session<P> = Session::new(Arc::clone(&self.context), peer, requests, frames);
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            session.run(stop).await;
            drop(permit);
        });
        let mut response = http::Response::new(Body::new(StreamBody::new(ReceiverStream::new(outgoing))));
        let grpc = http::HeaderValue::from_static("application/grpc");
        response.headers_mut().insert(http::header::CONTENT_TYPE, grpc);
        Ok(response)
    }
}

/// Decodes requests by our own types, whose `node` stays bytes.
struct RequestDecoder<R>(PhantomData<R>);

impl<R: Message + Default> Decoder for RequestDecoder<R> {
    type Item = R;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<R>, Status> {
        // The buffer is the message; taking it whole lets the `node` be a slice of it.
        let encoded = buffer.copy_to_bytes(buffer.remaining());
        let decoded = R::decode(encoded);
        decoded.map(Some).map_err(|error| {
            Status::invalid_argument(format!("the request is no discovery request of this variant: {error}"))
        })
    }
}
