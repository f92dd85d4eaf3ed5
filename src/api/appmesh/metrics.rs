//! What is counted of calls, by operation. No label carries a name of a resource.

use std::time::Duration;

use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry};

use super::error::Exception;

/// Seconds: from a read out of memory to a disk that is slow.
const SECONDS: &[f64] = &[
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0,
];

/// The metrics, all registered.
#[derive(Clone, Debug)]
pub(super) struct Metrics {
    requests: IntCounterVec,
    seconds: HistogramVec,
    open: IntGauge,
}

impl Metrics {
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let metrics = Self {
            requests: IntCounterVec::new(
                Opts::new(
                    "outrigger_api_requests_total",
                    "Calls of App Mesh's API, by operation and by how they ended: `ok`, or the exception.",
                ),
                &["operation", "outcome"],
            )?,
            seconds: HistogramVec::new(
                HistogramOpts::new(
                    "outrigger_api_request_seconds",
                    "From a call's head to its answer, by operation.",
                )
                .buckets(SECONDS.to_vec()),
                &["operation"],
            )?,
            open: IntGauge::new(
                "outrigger_api_open_requests",
                "Calls of App Mesh's API that are being answered.",
            )?,
        };
        registry.register(Box::new(metrics.requests.clone()))?;
        registry.register(Box::new(metrics.seconds.clone()))?;
        registry.register(Box::new(metrics.open.clone()))?;
        Ok(metrics)
    }

    /// Counts a call as open until the result is dropped.
    pub(super) fn open(&self) -> Open {
        self.open.inc();
        Open(self.open.clone())
    }

    pub(super) fn answered(&self, operation: &str, exception: Option<Exception>, after: Duration) {
        let outcome = exception.map_or("ok", Exception::name);
        (self.requests.with_label_values(&[operation, outcome])).inc();
        (self.seconds.with_label_values(&[operation])).observe(after.as_secs_f64());
    }
}

/// A call that is being answered.
#[derive(Debug)]
pub(super) struct Open(IntGauge);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}
