//! The tasks of `serve`, and the order in which they end.

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::AppError;
use crate::api::auth::CredentialsFile;
use crate::telemetry::Ready;

/// The components, each with its name; the first that ends by itself stops all.
#[derive(Debug)]
pub(super) struct Tasks {
    running: JoinSet<&'static str>,
    stop: CancellationToken,
    /// Stops those that serve the others: cancelled when the last that has `in_use` has ended.
    flush: CancellationToken,
    in_use: Arc<DropGuard>,
}

impl Tasks {
    pub(super) fn new(stop: CancellationToken) -> Self {
        let flush = CancellationToken::new();
        Self {
            running: JoinSet::new(),
            stop,
            in_use: Arc::new(flush.clone().drop_guard()),
            flush,
        }
    }

    /// A task that ends once `stop` is cancelled, and may use those that serve until then.
    pub(super) fn follow(
        &mut self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let in_use = Arc::clone(&self.in_use);
        self.running.spawn(async move {
            task.await;
            drop(in_use);
            name
        });
    }

    /// A task that the others use, made with the token that stops it: what they are answering when all is told to stop is
    /// still brought to the disk.
    pub(super) fn serve<T>(&mut self, name: &'static str, task: impl FnOnce(CancellationToken) -> T)
    where
        T: Future<Output = ()> + Send + 'static,
    {
        let task = task(self.flush.clone());
        self.running.spawn(async move {
            task.await;
            name
        });
    }

    pub(super) fn follow_credentials(
        &mut self,
        credentials: Option<CredentialsFile>,
        ready: &Ready,
    ) {
        if let Some(credentials) = credentials {
            let following = credentials.run(ready.clone(), self.stop.clone());
            self.follow("API credentials", following);
        }
    }

    pub(super) async fn join(self, ready: &Ready) -> Result<(), AppError> {
        let Self {
            mut running,
            stop,
            in_use,
            ..
        } = self;
        drop(in_use);
        let mut outcome = Ok(());
        let unready = async {
            stop.cancelled().await;
            ready.drain();
        };
        let joined = async {
            while let Some(ended) = running.join_next().await {
                let stopped = stop.is_cancelled();
                let failure = match ended {
                    Ok(_) if stopped => continue,
                    Ok(task) => AppError::Ended { task },
                    Err(source) => AppError::Failed { source },
                };
                if outcome.is_ok() {
                    outcome = Err(failure);
                }
                stop.cancel();
            }
        };
        tokio::join!(unready, joined);
        outcome
    }
}
