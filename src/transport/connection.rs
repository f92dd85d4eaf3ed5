//! One connection, from its first byte to its end.

use std::convert::Infallible;
use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{Request, Response, StatusCode};
use axum::response::IntoResponse;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{sleep, timeout};
use tower_service::Service;
use tracing::{debug, warn};

use super::authority::UnixConnection;
use super::{Http, Peer, Retired, Shared};
use crate::telemetry::metrics::Closed;

/// The first byte of a TLS record that begins a handshake. No HTTP request begins with it.
const TLS_HANDSHAKE: u8 = 0x16;

/// A stream that can be looked at before HTTP reads it.
pub(super) trait Socket: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Waits for the first byte, or the end, and says whether a TLS handshake begins.
    fn begins_tls(&self) -> impl Future<Output = io::Result<bool>> + Send;
}

impl Socket for TcpStream {
    async fn begins_tls(&self) -> io::Result<bool> {
        let mut first = [0];
        let read = self.peek(&mut first).await?;
        Ok(read == 1 && first == [TLS_HANDSHAKE])
    }
}

impl Socket for UnixConnection {
    /// Nobody speaks TLS over a Unix socket: there is nobody between.
    async fn begins_tls(&self) -> io::Result<bool> {
        self.stream.readable().await?;
        Ok(false)
    }
}

/// An accepted connection.
pub(super) struct Connection {
    pub(super) peer: Peer,
    pub(super) shared: Arc<Shared>,
    pub(super) permit: OwnedSemaphorePermit,
}

impl Connection {
    /// Serves it to its end, and gives its place free.
    pub(super) async fn run(self, stream: impl Socket) {
        let open = self.shared.options.metrics.opened();
        if self.speaks_http(&stream).await {
            self.serve(stream).await;
        }
        drop((open, self.permit));
    }

    async fn speaks_http(&self, stream: &impl Socket) -> bool {
        let metrics = &self.shared.options.metrics;
        let limit = self.shared.options.limits.first_byte;
        let first = tokio::select! {
            first = timeout(limit, stream.begins_tls()) => first,
            () = self.shared.stop.cancelled() => return false,
        };
        match first {
            Ok(Ok(false)) => true,
            Ok(Ok(true)) => {
                metrics.closed(Closed::Tls);
                if let Some(more) = self.shared.tls_lines.pass() {
                    let listener = metrics.listener();
                    warn!(
                        %listener, peer = %self.peer, more,
                        "closed: the client speaks TLS and this address is plaintext; {}",
                        listener.plaintext_advice()
                    );
                }
                false
            }
            Ok(Err(error)) => {
                debug!(peer = %self.peer, %error, "connection broken");
                false
            }
            Err(_) => {
                metrics.closed(Closed::Silent);
                debug!(peer = %self.peer, ?limit, "closed: nothing was sent");
                false
            }
        }
    }

    async fn serve(&self, stream: impl Socket) {
        let limits = &self.shared.options.limits;
        let requests = watch::Sender::new(0);
        let mut served = requests.subscribe();
        // A token of its own: all connections wait, each at each of its steps, and would do so for one lock.
        let retired = self.shared.stop.child_token();
        let service = service_fn(|mut request: Request<Incoming>| {
            request.extensions_mut().insert(Retired(retired.clone()));
            self.answer(request, Counted::new(&requests))
        });
        let builder = self.builder();
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
        tokio::select! {
            ended = connection.as_mut() => return self.note(ended),
            () = idle(&mut served, limits.idle) => {
                self.shared.options.metrics.closed(Closed::Idle);
                debug!(peer = %self.peer, limit = ?limits.idle, "closed: no request is open");
            }
            () = aged(limits.age) => {
                self.shared.options.metrics.closed(Closed::Age);
                debug!(peer = %self.peer, limit = ?limits.age, "closed: the connection is old");
            }
            () = retired.cancelled() => {}
        }
        retired.cancel();
        connection.as_mut().graceful_shutdown();
        if let Ok(ended) = timeout(limits.drain, connection).await {
            self.note(ended);
        } else {
            debug!(peer = %self.peer, "cut: the client does not read what it is sent");
        }
    }

    fn builder(&self) -> auto::Builder<TokioExecutor> {
        let limits = &self.shared.options.limits;
        let mut builder = auto::Builder::new(TokioExecutor::new());
        if self.shared.options.http == Http::Two {
            builder = builder.http2_only();
        }
        (builder.http2())
            .timer(TokioTimer::new())
            .keep_alive_interval(limits.ping_after)
            .keep_alive_timeout(limits.ping_timeout)
            .max_concurrent_streams(limits.requests)
            .initial_stream_window_size(limits.window)
            .initial_connection_window_size(limits.window);
        (builder.http1())
            .timer(TokioTimer::new())
            .header_read_timeout(limits.idle);
        builder
    }

    /// Hands a request to the router; `counted` lasts until its response has been sent.
    fn answer(
        &self,
        mut request: Request<Incoming>,
        counted: Counted,
    ) -> impl Future<Output = Result<Response<CountedBody>, Infallible>> + Send + 'static {
        request.extensions_mut().insert(self.peer);
        let limit = self.shared.options.limits.response;
        let response = self.shared.router.clone().call(request);
        async move {
            let response = match timeout(limit, response).await {
                Ok(Ok(response)) => response,
                Err(_) => StatusCode::REQUEST_TIMEOUT.into_response(),
            };
            Ok(response.map(|body| CountedBody {
                body,
                _counted: counted,
            }))
        }
    }

    fn note(&self, ended: Result<(), Box<dyn std::error::Error + Send + Sync>>) {
        if let Err(error) = ended {
            debug!(peer = %self.peer, error, "connection broken");
        }
    }
}

/// Returns when a connection has lasted for so long, more or less a tenth.
async fn aged(limit: Option<Duration>) {
    let Some(limit) = limit else {
        return std::future::pending().await;
    };
    // Hashes with keys of their own: evenly spread, and no two connections alike.
    let part = RandomState::new().hash_one(()) % 201;
    let part = u32::try_from(part).unwrap_or_default();
    sleep((limit / 1000).saturating_mul(900 + part)).await;
}

/// Returns once there was no request for so long.
async fn idle(requests: &mut watch::Receiver<usize>, limit: Duration) {
    loop {
        let is_busy = *requests.borrow_and_update() > 0;
        // A short request may be over before anybody looks: that there was one is a change all the same.
        let change = if is_busy {
            requests.changed().await
        } else {
            match timeout(limit, requests.changed()).await {
                Ok(change) => change,
                Err(_) => return,
            }
        };
        if change.is_err() {
            return;
        }
    }
}

/// An open request.
struct Counted(watch::Sender<usize>);

impl Counted {
    fn new(requests: &watch::Sender<usize>) -> Self {
        requests.send_modify(|open| *open += 1);
        Self(requests.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.send_modify(|open| *open -= 1);
    }
}

/// A response's body, whose request is open until it has been sent or given up.
struct CountedBody {
    body: Body,
    _counted: Counted,
}

impl http_body::Body for CountedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
