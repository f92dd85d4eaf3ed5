//! Waiting for a condition, never for a time.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};

/// How often a condition is looked at: what a measured time may be off by.
const EVERY: Duration = Duration::from_millis(5);

/// Looks until the condition holds, and says how long that took; `None` if it does not in time.
pub(super) async fn until(
    within: Duration,
    mut condition: impl AsyncFnMut() -> bool,
) -> Option<Duration> {
    let started = Instant::now();
    let mut look = tokio::time::interval(EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let holds = async {
        while !condition().await {
            look.tick().await;
        }
    };
    tokio::time::timeout(within, holds).await.ok()?;
    Some(started.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn waits_until_it_holds_or_the_time_is_up() {
        let mut looks = 0;
        let held = until(Duration::from_secs(1), async || {
            looks += 1;
            looks > 3
        });
        let took = held.await.unwrap();
        assert!(took >= EVERY && took < EVERY * 4, "{took:?}");
        assert_eq!(until(Duration::from_secs(1), async || false).await, None);
    }
}
