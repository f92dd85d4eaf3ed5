//! The mesh's one owner: what is declared now, at which revision, and what is known of each resource beyond its spec.
//!
//! One task ([`Writer`]) takes writes in groups, applies each to a tentative state, brings the group to the [`Journal`] in
//! one commit, publishes, and only then answers. Everybody else reads the newest [`Stored`] from a `watch`.
//!
//! **Invariants:** a revision only grows, also across restarts, and only with a content that differs from the one before.
//! What a write was answered with is kept. Nobody sees what is not kept. Readers never wait for a writer, and a write costs
//! what it changes, whatever the size of the mesh.
//!
//! `state` is pure; a `journal` keeps what the state hands over; `feed` is the window of the last changes.

mod feed;
mod files;
pub mod journal;
mod metrics;
mod record;
mod state;
#[cfg(test)]
mod tests;
mod tokens;
mod write;
mod writer;

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use imbl::OrdMap;
use prometheus::Registry;
use tokio::sync::{mpsc, oneshot, watch};
use uuid::Uuid;

use crate::model::quota::Quotas;
use crate::model::{Model, ResourceId};
use journal::{Journal, LoadError, Memory};
use metrics::Metrics;
use writer::Request;

pub use feed::{Changes, Feed};
pub use files::{Files, Place};
pub use record::{Owner, Record, Timestamp};
pub use write::{Action, ClientToken, Trouble, Write, WriteError, Written};
pub use writer::{Writer, new_uid};

/// The store's file in the data folder.
pub const STORE_FILE: &str = "mesh.redb";
/// Writes that may wait; one more is told so.
const WAITING_WRITES: usize = 4096;

/// How many times the content has changed since the store was made; 0 before anything was in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(u64);

impl Revision {
    pub fn new(revision: u64) -> Self {
        Self(revision)
    }

    pub fn as_u64(self) -> u64 {
        self.0
    }

    fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which server it is: made once with its journal, and never the same for two. Without a data folder, a process is a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerId(Uuid);

impl ServerId {
    fn make() -> Self {
        Self(Uuid::new_v4())
    }
}

impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The metadata of every resource.
pub type Records = OrdMap<ResourceId, Arc<Record>>;

/// What the store holds at a revision. A clone is cheap.
#[derive(Clone, Debug, Default)]
pub struct Stored {
    pub revision: Revision,
    pub model: Model,
    /// Of exactly the resources in the model.
    pub records: Records,
    /// When it became this; `None` until everything that is declared is loaded.
    pub changed_at: Option<Instant>,
    /// What changed lately.
    pub feed: Feed,
}

/// How the store behaves.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub quotas: Quotas,
    /// Whether mesh files are to come: until they do, nothing is published and writes are refused.
    pub awaits_files: bool,
}

/// Why there is no store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error("cannot register the `outrigger_store` metrics; are there others on this registry?")]
    Metrics { source: prometheus::Error },
}

/// Handle to the store: writes, and lets watch.
#[derive(Clone, Debug)]
pub struct Store {
    queue: mpsc::Sender<Request>,
    published: watch::Receiver<Stored>,
    server_id: ServerId,
}

impl Store {
    /// Begins with what the journal has. Writes are answered while the [`Writer`] runs.
    ///
    /// # Errors
    /// [`StoreError`] when the journal is damaged.
    pub fn new(
        mut journal: Box<dyn Journal>,
        options: Options,
        registry: &Registry,
    ) -> Result<(Self, Writer), StoreError> {
        let metrics =
            Metrics::register(registry).map_err(|source| StoreError::Metrics { source })?;
        let loaded = journal.load()?;
        let server_id = journal.server_id()?;
        let (queue, waiting) = mpsc::channel(WAITING_WRITES);
        let (publish, published) = watch::channel(Stored::default());
        let writer = Writer::new(journal, loaded, options, metrics, waiting, publish);
        let store = Self {
            queue,
            published,
            server_id,
        };
        Ok((store, writer))
    }

    /// An empty store that keeps nothing, for tests and benchmarks; files are to come.
    ///
    /// # Errors
    /// None that can be met: memory holds, and the registry is a new one.
    pub fn in_memory() -> Result<(Self, Writer), StoreError> {
        let options = Options {
            awaits_files: true,
            ..Options::default()
        };
        Self::new(Box::<Memory>::default(), options, &Registry::new())
    }

    /// Does what is asked for. Returns when it is kept, and on its way to the sidecars.
    ///
    /// # Errors
    /// [`WriteError`], and then nothing is changed; [`Trouble::outcome`] says where that is not known.
    pub async fn write(&self, write: Write) -> Result<Written, WriteError> {
        let id = write.action.id();
        let seen = self.published.borrow().records.get(id).cloned();
        let (answer, answered) = oneshot::channel();
        self.ask(Request::Write {
            write,
            seen,
            answer,
        })?;
        answered
            .await
            .unwrap_or_else(|_| Err(Trouble::Stopping.into()))
    }

    /// Replaces everything that mesh files declare. `seen_at` is when the change was seen.
    ///
    /// Returns the revision of what is published, or `None` if nothing differs; the first time, all does.
    ///
    /// # Errors
    /// [`WriteError::Unavailable`], and then what was declared before stays.
    pub async fn replace_files(
        &self,
        files: Files,
        seen_at: Instant,
    ) -> Result<Option<Revision>, WriteError> {
        let (answer, answered) = oneshot::channel();
        self.ask(Request::Files {
            files,
            seen_at,
            answer,
        })?;
        answered
            .await
            .unwrap_or_else(|_| Err(Trouble::Stopping.into()))
    }

    fn ask(&self, request: Request) -> Result<(), Trouble> {
        self.queue.try_send(request).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Trouble::Full,
            mpsc::error::TrySendError::Closed(_) => Trouble::Stopping,
        })
    }

    /// Whose store it is.
    pub fn server_id(&self) -> ServerId {
        self.server_id
    }

    /// What the store holds, as it changes; a slow reader sees the newest and misses those between.
    pub fn watch(&self) -> watch::Receiver<Stored> {
        self.published.clone()
    }

    /// The newest, now.
    pub fn current(&self) -> Stored {
        self.published.borrow().clone()
    }

    /// What has changed since a revision that the caller has seen.
    pub fn changes_since(&self, revision: Revision) -> Changes {
        self.current().changes_since(revision)
    }
}
