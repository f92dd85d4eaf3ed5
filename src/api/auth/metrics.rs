//! What is counted of authentication. No label carries a key.

use prometheus::{IntCounterVec, IntGauge, Opts, Registry};

use super::refusal::Refusal;

#[derive(Clone, Debug)]
pub(super) struct Metrics {
    refused: IntCounterVec,
    keys: IntGauge,
    reloads: IntCounterVec,
}

impl Metrics {
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let metrics = Self {
            refused: IntCounterVec::new(
                Opts::new(
                    "outrigger_api_refused_requests_total",
                    "Requests that authentication did not let through, by the exception that they got.",
                ),
                &["exception"],
            )?,
            keys: IntGauge::new(
                "outrigger_api_credentials",
                "Keys with which the API can be called.",
            )?,
            reloads: IntCounterVec::new(
                Opts::new(
                    "outrigger_api_credentials_reloads_total",
                    "Changes of the credentials file, by how they ended: applied, or failed (the old keys stay).",
                ),
                &["result"],
            )?,
        };
        for name in Refusal::NAMES {
            metrics.refused.with_label_values(&[name]);
        }
        for result in ["applied", "failed"] {
            metrics.reloads.with_label_values(&[result]);
        }
        registry.register(Box::new(metrics.refused.clone()))?;
        registry.register(Box::new(metrics.keys.clone()))?;
        registry.register(Box::new(metrics.reloads.clone()))?;
        Ok(metrics)
    }

    pub(super) fn refused(&self, refusal: &Refusal) {
        self.refused.with_label_values(&[refusal.name()]).inc();
    }

    pub(super) fn keys(&self, count: usize) {
        self.keys.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    pub(super) fn reloaded(&self, is_applied: bool) {
        let result = if is_applied { "applied" } else { "failed" };
        self.reloads.with_label_values(&[result]).inc();
    }
}
