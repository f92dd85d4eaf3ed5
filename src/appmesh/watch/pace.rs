//! How long to wait before something is tried again: twice as long each time up to a cap, and up to half of it less, so that
//! mirrors which failed together do not come back together.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// After a target was of no use so often.
pub(super) fn after_trouble(times: u32) -> Duration {
    let whole = doubled(Duration::from_secs(1), times, Duration::from_mins(1));
    let percent = 50 + RandomState::new().hash_one(times) % 51;
    whole * u32::try_from(percent).unwrap_or(100) / 100
}

/// After a resource was refused so often.
pub(super) fn after_refusal(times: u32) -> Duration {
    doubled(Duration::from_secs(5), times, Duration::from_mins(5))
}

fn doubled(first: Duration, times: u32, most: Duration) -> Duration {
    first.saturating_mul(2_u32.saturating_pow(times)).min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_a_cap() {
        let waits = [0, 1, 5, 6, 40].map(|times| after_refusal(times).as_secs());
        assert_eq!(waits, [5, 10, 160, 300, 300]);
        for (times, whole) in [(0, 1_000), (1, 2_000), (6, 60_000), (u32::MAX, 60_000)] {
            let wait = after_trouble(times).as_millis();
            assert!((whole / 2..=whole).contains(&wait), "{times}: {wait}");
        }
    }
}
