//! Changes at a steady rate, for as long as the soak lasts, whether or not a server is there to take them.

use crate::mesh;
use crate::register;
use crate::server::Trigger;
use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

/// Changes that may be under way at one time.
const UNDER_WAY: u32 = 8;

pub(crate) struct Changes {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    client: Client<HttpConnector, Full<Bytes>>,
    trigger: Trigger,
    permits: Arc<Semaphore>,
    made: AtomicU64,
    refused: AtomicU64,
    is_down: AtomicBool,
    /// The first that failed though the server was there.
    failure: Mutex<Option<String>>,
}

impl Changes {
    pub(crate) fn start(trigger: Trigger, services: usize, per_second: u32) -> Self {
        let shared = Arc::new(Shared {
            client: register::client(),
            trigger,
            permits: Arc::new(Semaphore::new(UNDER_WAY as usize)),
            made: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            is_down: AtomicBool::new(false),
            failure: Mutex::new(None),
        });
        let task = tokio::spawn(steadily(Arc::clone(&shared), services, per_second));
        Self { shared, task }
    }

    /// Waits for those under way; until the result is dropped, there are no more.
    pub(crate) async fn rest(&self) -> Result<OwnedSemaphorePermit> {
        let permits = Arc::clone(&self.shared.permits);
        permits
            .acquire_many_owned(UNDER_WAY)
            .await
            .context("permits")
    }

    /// Whether the server is about to go, or away.
    pub(crate) fn expect_refusals(&self, is_down: bool) {
        self.shared.is_down.store(is_down, SeqCst);
    }

    pub(crate) fn made(&self) -> u64 {
        self.shared.made.load(SeqCst)
    }

    /// Those that failed, while the server was away or not.
    pub(crate) fn refused(&self) -> u64 {
        self.shared.refused.load(SeqCst)
    }

    /// Ends them; says what failed though the server was there.
    pub(crate) fn end(self) -> Option<String> {
        self.task.abort();
        let mut failure = self.shared.failure.lock();
        failure.as_deref_mut().ok().and_then(Option::take)
    }
}

async fn steadily(shared: Arc<Shared>, services: usize, per_second: u32) {
    let mut ticks = interval(Duration::from_secs(1) / per_second);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 0.. {
        ticks.tick().await;
        let Ok(permit) = Arc::clone(&shared.permits).acquire_owned().await else {
            return;
        };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            shared
                .change(number % services, 1 + number / services)
                .await;
            drop(permit);
        });
    }
}

impl Shared {
    /// Moves the first endpoint of a service, to another address in each turn.
    async fn change(&self, service: usize, turn: usize) {
        let url = mesh::fill(&self.trigger.url, service, turn);
        let body = mesh::fill(&self.trigger.body, service, turn);
        match register::put(&self.client, &url, body).await {
            Ok(()) => {
                self.made.fetch_add(1, SeqCst);
            }
            Err(error) => {
                self.refused.fetch_add(1, SeqCst);
                if !self.is_down.load(SeqCst) {
                    let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
                    failure.get_or_insert_with(|| format!("a change failed: {error:#}"));
                }
            }
        }
    }
}
