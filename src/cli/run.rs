//! Does steps: phase by phase, many at a time, and says of each how it went.
//!
//! A step that fails takes down those that need it and no others. Where the server stays away, or the user interrupts,
//! the rest is not tried.

mod progress;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use hyper::StatusCode;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::client::Client;
use super::connect::ApiError;
use super::step::{Action, Step};
use crate::back_off::any_number;
use crate::model::ResourceId;
pub(super) use progress::Progress;

/// How many calls are under way at a time: enough for the server to write many with one sync of its disk.
const AT_A_TIME: usize = 32;

/// How a step went.
#[derive(Debug)]
pub(super) enum Outcome {
    Done,
    Failed(ApiError),
    /// What it needs has failed.
    Blocked {
        by: ResourceId,
    },
    /// Before its turn came, the server was gone, or the user interrupted.
    NotTried,
    /// The user interrupted twice while it was under way: it may have been done.
    Unknown,
}

/// How all steps went, in the order in which they were done, and why they ended early, if they did.
#[derive(Debug, Default)]
pub(super) struct Outcomes {
    pub(super) steps: Vec<(Step, Outcome)>,
    pub(super) ended: Option<Ended>,
}

/// Why not all steps were tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Interrupted,
    /// The server did not answer, or answered for too long that it cannot.
    Unavailable,
    /// Not everything could be applied, so nothing was pruned.
    Unpruned,
}

/// The user's wish to end.
#[derive(Clone, Debug, Default)]
pub(super) struct Interrupt {
    /// What is under way is finished.
    pub(super) once: CancellationToken,
    /// What is under way is left.
    pub(super) twice: CancellationToken,
}

/// What all workers share.
#[derive(Debug)]
struct Shared {
    client: Arc<Client>,
    /// Differs in every run, so that no token of an earlier one comes back.
    run: u64,
    interrupt: Interrupt,
    /// The server is gone.
    unavailable: CancellationToken,
    failed: Mutex<HashSet<ResourceId>>,
}

/// Does the steps, which are sorted by phase.
pub(super) async fn run(
    client: &Arc<Client>,
    steps: Vec<Step>,
    interrupt: &Interrupt,
    progress: &mut Progress,
) -> Outcomes {
    let shared = Arc::new(Shared {
        client: Arc::clone(client),
        run: any_number(),
        interrupt: interrupt.clone(),
        unavailable: CancellationToken::new(),
        failed: Mutex::default(),
    });
    let mut outcomes = Outcomes::default();
    let mut rest = steps.into_iter().peekable();
    let applies = rest
        .peek()
        .is_some_and(|step| step.action != Action::Delete);
    // Decided once, before the first delete: one that fails then keeps no other from being tried.
    let mut may_prune = None;
    while let Some(first) = rest.next() {
        let (phase, prunes) = (first.phase(), applies && first.action == Action::Delete);
        let mut steps = vec![first];
        while let Some(step) = rest.next_if(|step| step.phase() == phase) {
            steps.push(step);
        }
        if prunes && !*may_prune.get_or_insert_with(|| !shared.has_failed()) {
            outcomes.ended.get_or_insert(Ended::Unpruned);
            let skipped = steps.into_iter().map(|step| (step, Outcome::NotTried));
            outcomes.steps.extend(skipped);
            continue;
        }
        let before = outcomes.steps.len();
        phase_of(&shared, steps, progress, &mut outcomes.steps).await;
        let is_left = |(_, outcome): &(Step, Outcome)| {
            matches!(outcome, Outcome::NotTried | Outcome::Unknown)
        };
        if shared.unavailable.is_cancelled() {
            outcomes.ended = Some(Ended::Unavailable);
        } else if outcomes.steps.iter().skip(before).any(is_left) {
            // Where all of the last phase was done, an interrupt came too late to matter.
            outcomes.ended = Some(Ended::Interrupted);
        }
    }
    progress.clear();
    outcomes
}

/// Does the steps of one phase.
async fn phase_of(
    shared: &Arc<Shared>,
    steps: Vec<Step>,
    progress: &mut Progress,
    outcomes: &mut Vec<(Step, Outcome)>,
) {
    let steps: Arc<[Step]> = steps.into();
    let next = Arc::new(AtomicUsize::new(0));
    // A worker waits when the reporter is behind.
    let (report, mut reports) = mpsc::channel(AT_A_TIME);
    let mut workers = JoinSet::new();
    for _ in 0..AT_A_TIME.min(steps.len()) {
        let (shared, steps) = (Arc::clone(shared), Arc::clone(&steps));
        let (next, report) = (Arc::clone(&next), report.clone());
        workers.spawn(async move {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(step) = steps.get(index) else { return };
                let outcome = shared.step(step).await;
                if report.send((index, outcome)).await.is_err() {
                    return;
                }
            }
        });
    }
    drop(report);
    let mut done: Vec<(usize, Outcome)> = Vec::with_capacity(steps.len());
    while let Some((index, outcome)) = progress.until(reports.recv()).await {
        if matches!(outcome, Outcome::Done) {
            progress.advance();
        }
        done.push((index, outcome));
    }
    workers.join_all().await;
    done.sort_by_key(|(index, _)| *index);
    let done = done.into_iter();
    outcomes.extend(done.filter_map(|(index, outcome)| Some((steps.get(index)?.clone(), outcome))));
}

impl Shared {
    async fn step(&self, step: &Step) -> Outcome {
        if self.interrupt.once.is_cancelled() || self.unavailable.is_cancelled() {
            return Outcome::NotTried;
        }
        if let Some(by) = self.first_failed(&step.needs) {
            self.fail(&step.id);
            return Outcome::Blocked { by };
        }
        let called = tokio::select! {
            called = self.call(step) => called,
            () = self.interrupt.twice.cancelled() => return Outcome::Unknown,
        };
        let Err(error) = called else {
            return Outcome::Done;
        };
        if is_gone(step, &error) {
            return Outcome::Done;
        }
        if error.may_pass() {
            self.unavailable.cancel();
        }
        self.fail(&step.id);
        Outcome::Failed(error)
    }

    async fn call(&self, step: &Step) -> Result<(), ApiError> {
        for call in step.calls(self.run) {
            self.client.call(&call).await?;
        }
        Ok(())
    }

    fn fail(&self, id: &ResourceId) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.insert(id.clone());
    }

    fn has_failed(&self) -> bool {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        !failed.is_empty()
    }

    fn first_failed(&self, needs: &BTreeSet<ResourceId>) -> Option<ResourceId> {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        needs.iter().find(|id| failed.contains(id)).cloned()
    }
}

/// Whether a delete that was sent twice has been done by the first.
fn is_gone(step: &Step, error: &ApiError) -> bool {
    let ApiError::Exception { status, tries, .. } = error else {
        return false;
    };
    step.action == Action::Delete && *tries > 1 && *status == StatusCode::NOT_FOUND
}

impl Interrupt {
    /// Waits for the user's signals; ends with the second one only.
    pub(super) async fn listen(self) {
        for token in [self.once, self.twice] {
            if tokio::signal::ctrl_c().await.is_err() {
                // Then the signal ends the process by itself.
                return;
            }
            token.cancel();
        }
    }
}
