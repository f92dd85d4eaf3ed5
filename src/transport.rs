//! The sockets that `serve` opens, and the connections on them: how many, how long without a request, how they end.
//!
//! Every address is served by [`serve`], so that what a stranger can hold on to is bounded in one place, whether it is
//! sidecars, operators or Prometheus who are meant to come.
//!
//! **Invariant:** a connection is there for a request that is being answered, or for no longer than
//! [`Limits::idle`]; and [`serve`] returns within [`Limits::drain`] of being told to stop, whatever clients do.

mod authority;
mod connection;
mod limits;
mod open_files;
mod tcp;
mod throttle;
mod unix;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::telemetry::metrics::{Closed, ConnectionMetrics};
use authority::UnixConnection;
use connection::Connection;

pub use limits::Limits;
pub use open_files::raise_open_files;
pub use tcp::{BindError, listen};
pub use throttle::Throttle;
pub use unix::{SocketError, SocketMode, SocketModeError, UnixSocket};

/// How long to leave the listener alone when the system has no descriptor left for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where connections come from.
#[derive(Debug)]
pub enum Listener {
    Tcp(TcpListener),
    /// Its file is removed when it is dropped.
    Unix(UnixSocket),
}

/// Which versions of HTTP a listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Http {
    /// HTTP/2 without an upgrade, as gRPC has it.
    Two,
    OneAndTwo,
}

/// Who is at the other end of a connection. Every request carries it as an extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    Tcp(SocketAddr),
    Unix {
        /// As this process sees it; `None` if the system does not say.
        pid: Option<i32>,
    },
}

/// Says when a request's connection is to end, so that what waits or never ends by itself can. Every request carries it as an
/// extension.
#[derive(Clone, Debug)]
pub struct Retired(CancellationToken);

impl Retired {
    /// Waits until the connection is to end.
    pub async fn wait(&self) {
        self.0.cancelled().await;
    }

    /// Ends the connection as at a stop: its other requests are still answered, for as long as [`Limits::drain`].
    pub fn retire(&self) {
        self.0.cancel();
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix { pid: Some(pid) } => write!(f, "unix:pid={pid}"),
            Self::Unix { pid: None } => f.write_str("unix"),
        }
    }
}

/// How a listener is served.
#[derive(Clone, Debug)]
pub struct Options {
    pub http: Http,
    pub limits: Limits,
    pub metrics: ConnectionMetrics,
}

/// What every connection of a listener uses.
#[derive(Debug)]
struct Shared {
    router: Router,
    options: Options,
    stop: CancellationToken,
    tls_lines: Throttle,
}

/// Serves without TLS until `stop`, then ends connections as their requests end, and at the latest after
/// [`Limits::drain`].
pub async fn serve(listener: Listener, router: Router, options: Options, stop: CancellationToken) {
    let permits = Arc::new(Semaphore::new(options.limits.connections));
    let tasks = TaskTracker::new();
    let (full_lines, accept_lines) = (Throttle::default(), Throttle::default());
    let shared = Arc::new(Shared {
        router,
        options,
        stop: stop.clone(),
        tls_lines: Throttle::default(),
    });
    let name = shared.options.metrics.listener();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if is_the_clients(&error) => continue,
            Err(error) => {
                if let Some(more) = accept_lines.pass() {
                    warn!(listener = %name, %error, more, "cannot accept connections");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else {
            shared.options.metrics.closed(Closed::Limit);
            if let Some(more) = full_lines.pass() {
                let limit = shared.options.limits.connections;
                warn!(
                    listener = %name, %peer, more,
                    "{limit} connections are open, as many as this address takes: closing new ones"
                );
            }
            continue;
        };
        let connection = Connection {
            peer,
            shared: Arc::clone(&shared),
            permit,
        };
        match stream {
            Stream::Tcp(stream) => tasks.spawn(connection.run(stream)),
            Stream::Unix(stream) => tasks.spawn(connection.run(UnixConnection::new(stream))),
        };
    }
    // Whoever connects from now on is refused at once instead of waiting for an answer that never comes.
    drop(listener);
    tasks.close();
    if !tasks.is_empty() {
        debug!(listener = %name, connections = tasks.len(), "waiting for connections to end");
    }
    tasks.wait().await;
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Self::Tcp(listener)
    }
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Listener {
    /// Cancel-safe.
    async fn accept(&self) -> io::Result<(Stream, Peer)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                // It fails for a connection that is gone already, which its reader finds out.
                drop(stream.set_nodelay(true));
                Ok((Stream::Tcp(stream), Peer::Tcp(address)))
            }
            Self::Unix(socket) => {
                let stream = socket.accept().await?;
                let pid = stream.peer_cred().ok().and_then(|peer| peer.pid());
                Ok((Stream::Unix(stream), Peer::Unix { pid }))
            }
        }
    }
}

/// Whether it is only that one client has already left.
fn is_the_clients(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionReset | Interrupted
    )
}
