//! How often a target is called at most.

use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Turns at an even pace, over all tasks.
#[derive(Debug)]
pub(super) struct Rate {
    pace: Duration,
    next: Mutex<Instant>,
}

impl Rate {
    /// So many turns a second.
    pub(super) fn new(calls: NonZeroU32) -> Self {
        Self {
            pace: Duration::from_secs(1) / calls.get(),
            next: Mutex::new(Instant::now()),
        }
    }

    /// Waits for a turn. Who stops waiting has used it up.
    pub(super) async fn turn(&self) {
        sleep_until(self.take()).await;
    }

    /// Uses up a turn without waiting for it, so that those who come later wait longer.
    pub(super) fn take(&self) -> Instant {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = (*next).max(Instant::now());
        *next = turn + self.pace;
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn turns_come_at_the_pace_and_a_try_again_uses_one_up() {
        let rate = Rate::new(NonZeroU32::new(10).unwrap());
        let began = Instant::now();
        for _ in 0..11 {
            rate.turn().await;
        }
        assert_eq!(began.elapsed(), Duration::from_secs(1));
        rate.take();
        rate.turn().await;
        assert_eq!(began.elapsed().as_millis(), 1_200);
        // What was not used is not saved up.
        tokio::time::sleep(Duration::from_mins(1)).await;
        let began = Instant::now();
        rate.turn().await;
        rate.turn().await;
        assert_eq!(began.elapsed().as_millis(), 100);
    }
}
