//! The endpoints that orchestrators register for virtual nodes, which are used instead of a node's discovery: taken over
//! the API, kept as long as their lease lasts, and handed to translation.
//!
//! One task owns them. `state` is what is registered, free of I/O; `list` reads what a caller sent; `owner` answers
//! calls, ends leases and publishes; `disk` keeps what is registered in the data folder.
//!
//! **Invariants:** a call costs what it registers, whatever else is registered. Calls that wait are taken together, in
//! the order in which they came; the first is never held back for others to come. Nobody sees a registration that is
//! not yet kept.

mod disk;
mod list;
mod metrics;
mod owner;
mod state;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use prometheus::Registry;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::model::MeshName;
use crate::model::endpoint::{EndpointTable, NodeKey, RegisteredSet};
use disk::Disk;
use metrics::Metrics;
use owner::Owner;

pub use disk::DiskError;
pub use list::{Entry, EntryProblem, read_list};
pub use metrics::{Call, Outcome};
pub use state::Registration;
use state::State;

/// Calls that may wait for the owner; more wait for a place in this queue.
const WAITING_CALLS: usize = 1024;

/// What a call asks for.
#[derive(Debug)]
enum Request {
    Put {
        node: NodeKey,
        endpoints: RegisteredSet,
        lease: Option<Duration>,
    },
    Delete {
        node: NodeKey,
    },
}

/// A call under way.
#[derive(Debug)]
struct Waiting {
    request: Request,
    answer: oneshot::Sender<Result<Done, CallError>>,
}

/// What a call did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// Whether other endpoints are in use than before.
    pub changed: bool,
    /// Whether a restart keeps it.
    pub durable: bool,
}

/// Why a call did nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    #[error("the control plane is stopping; ask again when it is back")]
    Stopping,
    #[error(
        "nothing is changed, since it cannot be kept: {problem}; make room for it, or see the log"
    )]
    NotKept { problem: Arc<str> },
}

/// Why nothing can be registered.
#[derive(Debug, thiserror::Error)]
pub enum EndpointsError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(
        "cannot register the `outrigger_registration` metrics; are there others on this registry?"
    )]
    Metrics { source: prometheus::Error },
}

/// Handle to what is registered: calls change it, anybody reads it.
#[derive(Clone, Debug)]
pub struct Registrations {
    calls: mpsc::Sender<Waiting>,
    current: watch::Receiver<State>,
    metrics: Metrics,
}

impl Registrations {
    /// Registers these endpoints for a node, in place of whatever was registered for it; without a lease, for ever.
    ///
    /// Returns when it is kept and on its way to the sidecars.
    ///
    /// # Errors
    /// [`CallError`], and then nothing is changed.
    pub async fn put(
        &self,
        node: NodeKey,
        endpoints: RegisteredSet,
        lease: Option<Duration>,
    ) -> Result<Done, CallError> {
        let request = Request::Put {
            node,
            endpoints,
            lease,
        };
        self.call(request).await
    }

    /// Forgets what is registered for a node, so that its discovery counts again.
    ///
    /// # Errors
    /// [`CallError`], and then nothing is changed.
    pub async fn delete(&self, node: NodeKey) -> Result<Done, CallError> {
        self.call(Request::Delete { node }).await
    }

    /// What is registered for a node.
    pub fn get(&self, node: &NodeKey) -> Option<Registration> {
        self.current.borrow().get(node).cloned()
    }

    /// What is registered in a mesh, by node.
    pub fn of_mesh(&self, mesh: &MeshName) -> Vec<(NodeKey, Registration)> {
        let state = self.current.borrow().clone();
        let of_mesh = state.of_mesh(mesh);
        of_mesh
            .map(|(node, one)| (node.clone(), one.clone()))
            .collect()
    }

    /// What is registered in all meshes.
    pub fn all(&self) -> Vec<(NodeKey, Registration)> {
        let state = self.current.borrow().clone();
        let all = state.registrations();
        all.map(|(node, one)| (node.clone(), one.clone())).collect()
    }

    /// Counts a call by how it ended.
    pub fn count(&self, call: Call, outcome: Outcome) {
        self.metrics.count(call, outcome);
    }

    async fn call(&self, request: Request) -> Result<Done, CallError> {
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting { request, answer };
        let sent = self.calls.send(waiting).await;
        sent.map_err(|_| CallError::Stopping)?;
        answered.await.unwrap_or(Err(CallError::Stopping))
    }
}

/// Keeps what is registered, once it runs.
#[derive(Debug)]
pub struct Endpoints {
    owner: Owner,
    calls: mpsc::Receiver<Waiting>,
}

impl Endpoints {
    /// Keeps registrations in this file, and begins with those that are there; without one, in memory only.
    ///
    /// # Errors
    /// [`EndpointsError`] when the file is not one that an Outrigger wrote. It is left as it is.
    pub fn new(
        file: Option<&Path>,
        registry: &Registry,
    ) -> Result<(Self, Registrations), EndpointsError> {
        let metrics =
            Metrics::register(registry).map_err(|source| EndpointsError::Metrics { source })?;
        let kept = file.map(Disk::open).transpose()?;
        Ok(Self::with(metrics, |metrics, published| {
            Owner::new(metrics, published, kept)
        }))
    }

    fn with(
        metrics: Metrics,
        owner: impl FnOnce(Metrics, watch::Sender<State>) -> Owner,
    ) -> (Self, Registrations) {
        let (calls, waiting) = mpsc::channel(WAITING_CALLS);
        let (published, current) = watch::channel(State::default());
        let handle = Registrations {
            calls,
            current,
            metrics: metrics.clone(),
        };
        let endpoints = Self {
            owner: owner(metrics, published),
            calls: waiting,
        };
        (endpoints, handle)
    }

    /// Answers calls, ends leases and keeps the table at what is registered, until told to stop. Entries of the table
    /// that are not registrations are left alone.
    pub fn run(
        mut self,
        table: watch::Sender<EndpointTable>,
        stop: CancellationToken,
    ) -> impl Future<Output = ()> {
        // At once, so that nothing is translated without what was registered before a restart.
        self.owner.publish_all(&table);
        self.owner.run(self.calls, table, stop)
    }
}
