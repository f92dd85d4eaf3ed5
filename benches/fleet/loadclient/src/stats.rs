//! Summaries of samples.

use serde::Serialize;

#[derive(Debug, Clone, Serialize, PartialEq)]
pub(crate) struct Summary {
    pub(crate) count: usize,
    pub(crate) mean: f64,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub(crate) max: f64,
}

impl Summary {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rank is between 0 and the number of samples"
    )]
    /// Nearest-rank percentiles; `None` without samples.
    pub(crate) fn of(mut samples: Vec<f64>) -> Option<Summary> {
        samples.sort_unstable_by(f64::total_cmp);
        let max = *samples.last()?;
        let count = samples.len();
        let rank = |p: f64| samples[((p * count as f64).ceil() as usize).clamp(1, count) - 1];
        Some(Summary {
            count,
            mean: round(samples.iter().sum::<f64>() / count as f64),
            p50: round(rank(0.50)),
            p90: round(rank(0.90)),
            p99: round(rank(0.99)),
            max: round(max),
        })
    }
}

/// Three decimals are enough for milliseconds and keep the report readable.
pub(crate) fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_rank() {
        let summary = Summary::of((1..=200).rev().map(f64::from).collect()).unwrap();
        let ranks = [summary.p50, summary.p99, summary.max];
        assert_eq!(format!("{ranks:?}"), "[100.0, 198.0, 200.0]");
        assert_eq!(Summary::of(vec![7.0]).unwrap().p99.to_string(), "7");
        assert_eq!(Summary::of(vec![]), None);
    }
}
