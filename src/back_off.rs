//! How long to wait before something is tried again: twice as long each time, up to a cap.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// Waits that grow.
#[derive(Clone, Copy, Debug)]
pub struct BackOff {
    first: Duration,
    most: Duration,
}

impl BackOff {
    /// From the first wait to the longest.
    pub const fn new(first: Duration, most: Duration) -> Self {
        Self { first, most }
    }

    /// The wait after so many before it.
    pub fn after(self, waits: u32) -> Duration {
        let wait = self.first.saturating_mul(2_u32.saturating_pow(waits));
        wait.min(self.most)
    }

    /// The same and up to half of it less, so that those which failed together do not come back together.
    pub fn spread(self, waits: u32) -> Duration {
        self.percent(waits, 50 + any_number() % 51)
    }

    fn percent(self, waits: u32, percent: u64) -> Duration {
        self.after(waits) * u32::try_from(percent).unwrap_or(100) / 100
    }
}

/// Any number.
pub fn any_number() -> u64 {
    RandomState::new().hash_one(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAITS: BackOff = BackOff::new(Duration::from_millis(100), Duration::from_secs(3));

    #[test]
    fn waits_grow_up_to_a_cap() {
        let waits: Vec<u128> = (0..8).map(|waits| WAITS.after(waits).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3000, 3000, 3000]);
        assert_eq!(WAITS.after(u32::MAX).as_secs(), 3);
    }

    #[test]
    fn waits_differ_by_up_to_a_half() {
        assert_eq!(WAITS.percent(0, 50).as_millis(), 50);
        assert_eq!(WAITS.percent(u32::MAX, 100).as_millis(), 3000);
        let waits: Vec<Duration> = (0..100).map(|_| WAITS.spread(1)).collect();
        let bounds = Duration::from_millis(100)..=Duration::from_millis(200);
        assert!(waits.iter().all(|wait| bounds.contains(wait)), "{waits:?}");
        assert!(waits.iter().any(|wait| *wait != waits[0]));
    }
}
