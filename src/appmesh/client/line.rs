//! The line in which calls stand that were throttled: one at a time is sent again, so that the others take nothing from it.
//!
//! AWS's SDK slows down by itself, but lets waiting calls go in any order, and gives one up that has waited as long as a call
//! may take.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// The line of a target.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// First come, first served.
    turn: Arc<Semaphore>,
    /// When one whose turn it was has come to nothing.
    in_vain: Arc<Mutex<Option<Instant>>>,
}

/// One call, and its turn once it has one.
#[derive(Debug)]
pub(super) struct Place {
    line: Line,
    since: Instant,
    turn: Option<OwnedSemaphorePermit>,
}

impl Line {
    pub(super) fn new() -> Self {
        Self {
            turn: Arc::new(Semaphore::new(1)),
            in_vain: Arc::default(),
        }
    }

    /// For a call that is about to be sent.
    pub(super) fn place(&self) -> Place {
        Place {
            line: self.clone(),
            since: Instant::now(),
            turn: None,
        }
    }

    fn in_vain<T>(&self, edit: impl FnOnce(&mut Option<Instant>) -> T) -> T {
        edit(&mut self.in_vain.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Place {
    /// Waits for the turn of a call that was throttled. Returns whether it is to be sent again: not if it had its turn, nor if
    /// one before it had it in vain.
    pub(super) async fn again(&mut self) -> bool {
        if self.turn.is_some() {
            self.line.in_vain(|at| *at = Some(Instant::now()));
            return false;
        }
        let turn = Arc::clone(&self.line.turn).acquire_owned().await;
        self.turn = turn.ok();
        let in_vain = self.line.in_vain(|at| *at);
        self.turn.is_some() && in_vain.is_none_or(|at| at < self.since)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::task::JoinSet;
    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_after_the_other_is_sent_again() {
        let line = Line::new();
        let began = Instant::now();
        let mut calls = JoinSet::new();
        for number in 0..10 {
            let mut place = line.place();
            calls.spawn(async move {
                sleep(Duration::from_millis(number)).await;
                assert!(place.again().await);
                sleep(Duration::from_secs(1)).await;
                number
            });
        }
        let order = calls.join_all().await;
        assert!(order.is_sorted(), "{order:?}");
        assert_eq!(began.elapsed().as_secs(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_what_has_come_to_nothing() {
        let line = Line::new();
        let (mut first, mut second) = (line.place(), line.place());
        assert!(first.again().await);
        let mut waiting = JoinSet::new();
        waiting.spawn(async move { second.again().await });
        sleep(Duration::from_secs(1)).await;
        assert!(!first.again().await);
        drop(first);
        assert_eq!(waiting.join_all().await, [false]);
        // Who comes later may try.
        sleep(Duration::from_secs(1)).await;
        assert!(line.place().again().await);
    }
}
