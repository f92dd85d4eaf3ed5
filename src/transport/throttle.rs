//! Log lines that strangers can cause: few enough to be read.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A fleet that is pointed at the wrong port says so every second, and one line of it is enough.
const EVERY: Duration = Duration::from_secs(10);

/// Lets one line through every ten seconds, and counts the others.
#[derive(Debug, Default)]
pub struct Throttle(Mutex<Option<Passed>>);

#[derive(Debug)]
struct Passed {
    at: Instant,
    held_back: u64,
}

impl Throttle {
    /// If a line may be written now: how many were held back since the last.
    pub fn pass(&self) -> Option<u64> {
        let now = Instant::now();
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match last.as_mut() {
            Some(last) if now < last.at + EVERY => {
                last.held_back += 1;
                None
            }
            other => {
                let held_back = other.map_or(0, |last| last.held_back);
                *last = Some(Passed {
                    at: now,
                    held_back: 0,
                });
                Some(held_back)
            }
        }
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
}
