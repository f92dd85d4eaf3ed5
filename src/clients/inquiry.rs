//! Questions to a stream, which alone knows how it stands with each resource. Nothing is computed until somebody asks.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};

use crate::xds::Held;

/// Questions of one stream that wait for its answer.
#[derive(Debug, Default)]
pub(super) struct Inquiries {
    wake: Notify,
    waiting: Mutex<Vec<oneshot::Sender<Vec<Held>>>>,
}

impl Inquiries {
    pub(super) fn ask(&self) -> oneshot::Receiver<Vec<Held>> {
        let (sender, receiver) = oneshot::channel();
        let mut waiting = self.waiting();
        // Who asked and went away is not kept, however long the stream is busy.
        waiting.retain(|sender| !sender.is_closed());
        waiting.push(sender);
        drop(waiting);
        self.wake.notify_one();
        receiver
    }

    pub(super) async fn asked(&self) {
        self.wake.notified().await;
    }

    pub(super) fn answer(&self, held: impl FnOnce() -> Vec<Held>) {
        let mut waiting = std::mem::take(&mut *self.waiting());
        waiting.retain(|sender| !sender.is_closed());
        if waiting.is_empty() {
            return;
        }
        let held = held();
        for sender in waiting {
            // Who has gone away needs no answer.
            drop(sender.send(held.clone()));
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<oneshot::Sender<Vec<Held>>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
