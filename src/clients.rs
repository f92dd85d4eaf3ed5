//! Who is connected: each stream's client, how it stands, and the keys of the views that must be computed; and who was
//! lately refused.
//!
//! **Invariant:** a client is listed exactly as long as its [`Registration`] lives, and its view's key is in
//! [`Clients::views`] from before [`Clients::register`] returns until the last client with that key is gone.
//! Nothing here waits, and no guard of the map outlives a statement.

mod inquiry;
mod refused;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use dashmap::DashMap;
use imbl::OrdSet;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use crate::model::{NodeRef, ViewKey};
use crate::transport::Peer;
use crate::xds::Held;
pub use crate::xds::{KindStatus, StreamStatus};
use inquiry::Inquiries;
use refused::Refused;

pub use refused::RefusedNode;

/// The connected clients. A clone is a handle on the same ones.
#[derive(Clone, Debug)]
pub struct Clients(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    clients: DashMap<ClientId, Client>,
    next: AtomicU64,
    /// How many clients each view has. Held while the set is published, so that both change as one.
    counts: Mutex<BTreeMap<ViewKey, usize>>,
    views: watch::Sender<OrdSet<ViewKey>>,
    refused: Mutex<Refused>,
}

/// Which client: streams are numbered as they come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(u64);

/// What is known of a client from its first request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientInfo {
    pub node: NodeRef,
    pub key: ViewKey,
    pub peer: Peer,
    pub variant: Variant,
    /// Name and version that the client gives itself; may be empty.
    pub user_agent: String,
    pub connected_at: SystemTime,
}

/// The two variants of the xDS transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Variant {
    /// State of the world.
    Sotw,
    Delta,
}

impl Variant {
    pub const ALL: [Self; 2] = [Self::Sotw, Self::Delta];

    /// As tables, logs and metrics print it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sotw => "sotw",
            Self::Delta => "delta",
        }
    }
}

/// A client as it stands now.
#[derive(Clone, Debug)]
pub struct ClientState {
    pub id: ClientId,
    pub info: Arc<ClientInfo>,
    pub status: StreamStatus,
    /// Since the stream was opened: what the times in `status` are to be subtracted from.
    pub age: Duration,
}

#[derive(Debug)]
struct Client {
    info: Arc<ClientInfo>,
    standing: Arc<Mutex<Standing>>,
    inquiries: Arc<Inquiries>,
}

/// How a client's stream stood at its newest step.
#[derive(Debug)]
struct Standing {
    status: StreamStatus,
    opened: Instant,
}

/// Nothing can panic while it is locked, so what a poisoned lock guards is whole.
fn lock(standing: &Mutex<Standing>) -> MutexGuard<'_, Standing> {
    standing.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Default for Clients {
    fn default() -> Self {
        Self(Arc::new(Inner {
            clients: DashMap::new(),
            next: AtomicU64::new(0),
            counts: Mutex::default(),
            views: watch::Sender::default(),
            refused: Mutex::default(),
        }))
    }
}

impl Clients {
    /// Lists a client until the registration is dropped.
    pub fn register(&self, info: ClientInfo) -> Registration {
        let id = ClientId(self.0.next.fetch_add(1, Ordering::Relaxed));
        let info = Arc::new(info);
        self.0.joined(&info.key);
        let inquiries = Arc::<Inquiries>::default();
        let standing = Arc::new(Mutex::new(Standing {
            status: StreamStatus::default(),
            opened: Instant::now(),
        }));
        let client = Client {
            info: Arc::clone(&info),
            standing: Arc::clone(&standing),
            inquiries: Arc::clone(&inquiries),
        };
        self.0.clients.insert(id, client);
        Registration {
            clients: self.clone(),
            id,
            info,
            standing,
            inquiries,
        }
    }

    /// All clients, sorted by node, then in the order in which they came.
    pub fn list(&self) -> Vec<ClientState> {
        let mut list: Vec<ClientState> = (self.0.clients.iter())
            .map(|client| {
                let standing = lock(&client.standing);
                ClientState {
                    id: *client.key(),
                    info: Arc::clone(&client.info),
                    status: standing.status.clone(),
                    age: standing.opened.elapsed(),
                }
            })
            .collect();
        list.sort_by(|a, b| (&a.info.node, a.id).cmp(&(&b.info.node, b.id)));
        list
    }

    /// Asks a client's stream how it stands with each resource. Nothing comes if the client is gone.
    pub fn inquire(&self, id: ClientId) -> Option<oneshot::Receiver<Vec<Held>>> {
        let inquiries = Arc::clone(&self.0.clients.get(&id)?.inquiries);
        Some(inquiries.ask())
    }

    pub fn len(&self) -> usize {
        self.0.clients.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.clients.is_empty()
    }

    /// Remembers that a client was not served.
    pub fn refused(&self, refused: RefusedNode) {
        self.0.refused().add(refused);
    }

    /// Forgets that a node's clients were refused: one is served now.
    pub fn forget_refusals(&self, node: &str) {
        self.0.refused().forget(node);
    }

    /// Who was lately refused, newest first.
    pub fn list_refused(&self) -> Vec<RefusedNode> {
        self.0.refused().list(Instant::now())
    }

    /// The keys of exactly those views that a client is connected for. Wakes only when that set changes.
    pub fn views(&self) -> watch::Receiver<OrdSet<ViewKey>> {
        self.0.views.subscribe()
    }
}

impl Inner {
    fn refused(&self) -> MutexGuard<'_, Refused> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn joined(&self, key: &ViewKey) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(key.clone()).or_default();
        *count += 1;
        if *count == 1 {
            self.views.send_modify(|views| {
                views.insert(key.clone());
            });
        }
    }

    fn left(&self, key: &ViewKey) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(count) = counts.get_mut(key) else {
            return;
        };
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
            self.views.send_modify(|views| {
                views.remove(key);
            });
        }
    }
}

/// A client's place in the list; dropping it takes the client out.
#[derive(Debug)]
#[must_use = "dropping it takes the client out again"]
pub struct Registration {
    clients: Clients,
    id: ClientId,
    info: Arc<ClientInfo>,
    standing: Arc<Mutex<Standing>>,
    inquiries: Arc<Inquiries>,
}

impl Registration {
    pub fn id(&self) -> ClientId {
        self.id
    }

    pub fn info(&self) -> &Arc<ClientInfo> {
        &self.info
    }

    /// Waits until somebody asks how the stream stands with each resource. Cancel-safe.
    pub async fn asked(&self) {
        self.inquiries.asked().await;
    }

    /// Answers those who asked, if anybody did.
    pub fn answer(&self, held: impl FnOnce() -> Vec<Held>) {
        self.inquiries.answer(held);
    }

    /// Says how the stream stands at `age`, the time since it was opened.
    pub fn update(&self, status: StreamStatus, age: Duration) {
        let now = Instant::now();
        *lock(&self.standing) = Standing {
            status,
            opened: now.checked_sub(age).unwrap_or(now),
        };
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.clients.0.clients.remove(&self.id);
        self.clients.0.left(&self.info.key);
    }
}

#[cfg(test)]
mod tests;
