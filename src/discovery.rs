//! Finds the endpoints of virtual nodes: follows the sources that the mesh names and resolves them through DNS.
//!
//! One task owns all sources. `source` (with `host` and `answer`) decides, free of I/O, what to publish and when to ask
//! again; `owner` keeps the timers and the look-ups under way; `resolver` asks the name servers (`server`) and reads what
//! they say (`response`). `file` keeps the last good answers on disk, in the form of `saved`.
//!
//! **Invariants:** a source that many nodes share is looked up once. A failed look-up never removes an endpoint, and a
//! denial (NXDOMAIN, no records) only after a grace: addresses get reused, and a name server that has lost a zone must
//! not empty a mesh. A source that nobody wants any more is forgotten entirely.

mod answer;
mod file;
mod host;
mod metrics;
mod owner;
mod resolver;
mod response;
mod saved;
mod server;
mod source;
#[cfg(test)]
mod tests;
mod trouble;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use imbl::OrdSet;
use prometheus::Registry;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::model::endpoint::{EndpointSource, EndpointTable};
use crate::telemetry::Ready;
use file::{Loaded, Saver};
use metrics::Metrics;
use owner::Owner;
use resolver::Resolver;
use source::Rules;

/// A source never heard of is no longer waited for after this long. Below the 3 s that the model promises, so that what follows
/// (translation, the way to the sidecar) fits in too.
const UNRESOLVED_LIMIT: Duration = Duration::from_millis(2800);

/// How to resolve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Asked in this order, the next one when one fails; empty: the system's.
    pub servers: Vec<SocketAddr>,
    /// Answers are used at least this long, whatever their time to live.
    pub min_ttl: Duration,
    /// Answers are refreshed at least this often.
    pub max_ttl: Duration,
    /// How long a name must be denied until its last good answer is given up.
    pub negative_grace: Duration,
    /// How long one server is waited for. With several, keep their sum below 3 s, or a dead one delays first answers.
    pub query_timeout: Duration,
    /// Where the last good answers outlive the process; `None`: nowhere. Nobody else may write there.
    pub answers_file: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            min_ttl: Duration::from_secs(1),
            max_ttl: Duration::from_secs(30),
            negative_grace: Duration::from_mins(5),
            query_timeout: Duration::from_secs(1),
            answers_file: None,
        }
    }
}

/// Why discovery cannot start.
#[derive(Debug, thiserror::Error)]
pub enum DiscoveryError {
    #[error("cannot set up the DNS client")]
    Client {
        source: hickory_resolver::net::NetError,
    },
    #[error(
        "cannot register the `outrigger_dns_` metrics; is there another discovery on this registry?"
    )]
    Metrics { source: prometheus::Error },
}

/// Resolves endpoint sources, once it runs.
#[derive(Debug)]
pub struct Discovery {
    rules: Rules,
    resolver: Arc<Resolver>,
    metrics: Metrics,
    answers_file: Option<PathBuf>,
}

impl Discovery {
    pub fn new(settings: Settings, registry: &Registry) -> Result<Self, DiscoveryError> {
        let Settings {
            servers,
            min_ttl,
            max_ttl,
            negative_grace,
            query_timeout,
            answers_file,
        } = settings;
        let metrics =
            Metrics::register(registry).map_err(|source| DiscoveryError::Metrics { source })?;
        let resolver = Resolver::new(&servers, query_timeout, metrics.clone())
            .map_err(|source| DiscoveryError::Client { source })?;
        Ok(Self {
            rules: Rules {
                min_ttl,
                max_ttl,
                negative_grace,
                unresolved_limit: UNRESOLVED_LIMIT,
            },
            resolver: Arc::new(resolver),
            metrics,
            answers_file,
        })
    }

    /// Follows the wanted sources and publishes what is known of them, until told to stop. Entries of the table that
    /// are not discovery's own are left alone. Names in trouble are named in `ready`.
    pub async fn run(
        self,
        sources: watch::Receiver<OrdSet<EndpointSource>>,
        table: watch::Sender<EndpointTable>,
        ready: Ready,
        stop: CancellationToken,
    ) {
        let (loaded, saver) = match self.answers_file {
            Some(path) => {
                let from = path.clone();
                let loaded = tokio::task::spawn_blocking(move || file::load(&from)).await;
                let saver = Saver::new(path, Instant::now());
                (loaded.unwrap_or_default(), Some(saver))
            }
            None => (Loaded::new(), None),
        };
        let kept = (loaded, saver);
        let owner = Owner::new(self.rules, self.resolver, self.metrics, ready, kept);
        owner.run(sources, table, stop).await;
    }
}
