//! The tonic shell of the discovery services: reads and writes frames, and keeps no protocol state of its own.
//!
//! The service is written by hand because its responses are encoded before a stream ever asks for them: a frame is a
//! short header of the stream's own and entries that all streams share, handed to HTTP/2 as they are.
//!
//! **Invariant:** a stream holds at most one step's responses. While they are on their way nothing is built; what changes
//! meanwhile is seen as one newest snapshot afterwards, so a slow sidecar costs no queue and harms nobody else.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http;
use tonic::service::Routes;
use tower_service::Service;

use super::body::{Outbox, SessionBody};
use super::csds::ClientStatus;
use super::names::NameSets;
use super::requests::Requests;
use super::services::opening;
use super::session::{Protocol, Session};
use super::wire::Bodies;
use super::{DeltaStream, ServerLimits, SotwStream};
use crate::clients::{Clients, Variant};
use crate::reconcile::Views;
use crate::snapshot::Kind;
use crate::store::Stored;
use crate::telemetry::Metrics;
use crate::telemetry::metrics::{ListenerName, Refusal};
use crate::transport::{self, BindError, Http, Listener, Peer, Retired, UnixSocket};

/// What every stream uses.
#[derive(Clone, Debug)]
pub struct AdsContext {
    pub clients: Clients,
    pub views: Views,
    pub metrics: Metrics,
    pub limits: ServerLimits,
    /// The store, for whether anything has been loaded yet.
    pub model: watch::Receiver<Stored>,
    pub sharing: Arc<Sharing>,
}

/// What streams have in common, so that replicas hold it once.
#[derive(Debug, Default)]
pub struct Sharing {
    pub(super) names: Arc<NameSets>,
    pub(super) bodies: Bodies,
}

/// A bound ADS server.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    addr: SocketAddr,
    socket: Option<UnixSocket>,
}

impl Server {
    /// Binds the address; port 0 takes a free one.
    ///
    /// # Errors
    /// [`BindError`] when the address cannot be had.
    pub fn bind(addr: SocketAddr) -> Result<Self, BindError> {
        let listener = transport::listen(addr, "xDS (--xds-addr)")?;
        let addr = listener.local_addr().unwrap_or(addr);
        Ok(Self {
            listener,
            addr,
            socket: None,
        })
    }

    /// Serves the same over a Unix socket.
    #[must_use]
    pub fn with_socket(self, socket: UnixSocket) -> Self {
        Self {
            socket: Some(socket),
            ..self
        }
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where the Unix socket is, if there is one.
    pub fn socket(&self) -> Option<&Path> {
        self.socket.as_ref().map(UnixSocket::path)
    }

    /// Serves until stopped, then ends every stream and waits for them.
    pub async fn run(self, context: AdsContext, stop: CancellationToken) {
        let tasks = TaskTracker::new();
        let (limits, metrics) = (context.limits.clone(), context.metrics.clone());
        let permits = Arc::new(Semaphore::new(limits.streams));
        let status = ClientStatus::new(context.clients.clone(), tasks.clone(), stop.clone());
        let discovery = Discovery {
            permits,
            context: Arc::new(context),
            tasks: tasks.clone(),
            stop: stop.clone(),
        };
        let router = Routes::new(status.into_service()).into_axum_router();
        let router = router.fallback_service(discovery);
        let serve = |listener, name| {
            let options = transport::Options {
                http: Http::Two,
                limits: limits.connections.clone(),
                metrics: metrics.connections(name),
            };
            transport::serve(listener, router.clone(), options, stop.clone())
        };
        let tcp = serve(Listener::Tcp(self.listener), ListenerName::Xds);
        match self.socket {
            None => tcp.await,
            Some(socket) => {
                let unix = serve(Listener::Unix(socket), ListenerName::XdsSocket);
                tokio::join!(tcp, unix);
            }
        }
        tasks.close();
        tasks.wait().await;
    }
}

/// All discovery services: they differ in the types that a stream serves, and in nothing else.
#[derive(Clone, Debug)]
struct Discovery {
    context: Arc<AdsContext>,
    permits: Arc<Semaphore>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Service<http::Request<axum::body::Body>> for Discovery {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<axum::body::Body>) -> Self::Future {
        let opening = opening(request.uri().path());
        let response = opening.and_then(|opening| match opening.variant {
            Variant::Sotw => self.open::<SotwStream>(request, opening.only),
            Variant::Delta => self.open::<DeltaStream>(request, opening.only),
        });
        let response = response.unwrap_or_else(Status::into_http);
        Box::pin(std::future::ready(Ok(response)))
    }
}

impl Discovery {
    /// Answers with a stream's session.
    fn open<P: Protocol>(
        &self,
        request: http::Request<axum::body::Body>,
        only: Option<Kind>,
    ) -> Result<http::Response<Body>, Status> {
        let permit = Arc::clone(&self.permits).try_acquire_owned().map_err(|_| {
            self.context.metrics.stream_refused(Refusal::Limit);
            Status::resource_exhausted(format!(
                "{} streams are open, as many as this server takes; retry later",
                self.context.limits.streams
            ))
        })?;
        let extensions = request.extensions();
        let (peer, retired) = (extensions.get::<Peer>().copied())
            .zip(extensions.get::<Retired>().cloned())
            .ok_or_else(|| Status::internal("the connection has no other end"))?;
        let limit = self.context.limits.request_bytes;
        let requests = Requests::new(Body::new(request.into_body()), limit);
        let outbox = Outbox::default();
        let session: Session<P> = Session::new(
            Arc::clone(&self.context),
            peer,
            requests,
            outbox.clone(),
            only,
        );
        let stop = self.stop.clone();
        let session = self.tasks.track_future(async move {
            session.run(stop, retired).await;
            drop(permit);
        });
        let mut response = http::Response::new(Body::new(SessionBody::new(session, outbox)));
        let grpc = http::HeaderValue::from_static("application/grpc");
        response
            .headers_mut()
            .insert(http::header::CONTENT_TYPE, grpc);
        Ok(response)
    }
}
