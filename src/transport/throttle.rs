//! Log lines that strangers can cause: few enough to be read.

use std::mem;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A fleet that is pointed at the wrong port says so every second, and one line of it is enough.
const EVERY: Duration = Duration::from_secs(10);

/// Lets one line through every ten seconds, or a number of them ahead of that, and counts the others.
#[derive(Debug)]
pub struct Throttle {
    ahead: u32,
    passed: Mutex<Passed>,
}

#[derive(Debug, Default)]
struct Passed {
    /// When the ten seconds of all lines so far are over, one after the other.
    until: Option<Instant>,
    held_back: u64,
}

impl Default for Throttle {
    fn default() -> Self {
        Self::of(1)
    }
}

impl Throttle {
    /// One that lets so many lines through at once, of who has long said nothing.
    pub fn of(lines: u32) -> Self {
        Self {
            ahead: lines.saturating_sub(1),
            passed: Mutex::default(),
        }
    }

    /// If a line may be written now: how many were held back since the last.
    pub fn pass(&self) -> Option<u64> {
        let now = Instant::now();
        let mut passed = self.passed.lock().unwrap_or_else(PoisonError::into_inner);
        let from = passed.until.map_or(now, |until| until.max(now));
        if from > now + EVERY * self.ahead {
            passed.held_back += 1;
            return None;
        }
        passed.until = Some(from + EVERY);
        Some(mem::take(&mut passed.held_back))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_line_passes_and_tells_of_the_others() {
        let throttle = Throttle::default();
        assert_eq!(throttle.pass(), Some(0));
        assert_eq!(throttle.pass(), None);
        assert_eq!(throttle.pass(), None);
        tokio::time::advance(EVERY).await;
        assert_eq!(throttle.pass(), Some(2));
        assert_eq!(throttle.pass(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn some_pass_at_once_and_then_one_at_a_time() {
        let throttle = Throttle::of(3);
        let passed = || (0..9).filter_map(|_| throttle.pass()).collect::<Vec<_>>();
        assert_eq!(passed(), [0, 0, 0]);
        tokio::time::advance(EVERY).await;
        assert_eq!(passed(), [6]);
        tokio::time::advance(2 * EVERY).await;
        assert_eq!(passed(), [8, 0]);
        tokio::time::advance(100 * EVERY).await;
        assert_eq!(passed(), [7, 0, 0]);
    }
}
