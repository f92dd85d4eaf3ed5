//! What is counted of registrations. No label carries a name: there may be ten thousand.

use prometheus::{Gauge, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// The metrics, all registered.
#[derive(Clone, Debug)]
pub(super) struct Metrics {
    registrations: IntGauge,
    endpoints: IntGauge,
    oldest_renewal: Gauge,
    expired: IntCounter,
    calls: IntCounterVec,
}

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Put,
    Delete,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Changed,
    Unchanged,
    /// The caller must do otherwise.
    Refused,
    /// The caller may try again.
    Failed,
}

impl Call {
    const ALL: [Self; 2] = [Self::Put, Self::Delete];

    fn as_str(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Delete => "delete",
        }
    }
}

impl Outcome {
    const ALL: [Self; 4] = [Self::Changed, Self::Unchanged, Self::Refused, Self::Failed];

    fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Unchanged => "unchanged",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

impl Metrics {
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let metrics = Self {
            registrations: IntGauge::new(
                "outrigger_registrations",
                "Virtual nodes with registered endpoints.",
            )?,
            endpoints: IntGauge::new(
                "outrigger_registered_endpoints",
                "Endpoints registered for all virtual nodes together.",
            )?,
            oldest_renewal: Gauge::new(
                "outrigger_registration_oldest_renewal_age_seconds",
                "Time since the last renewal of the registration with a lease that was not renewed for longest; 0 without any.",
            )?,
            expired: IntCounter::new(
                "outrigger_registration_leases_expired_total",
                "Registrations that went because their lease was not renewed.",
            )?,
            calls: IntCounterVec::new(
                Opts::new(
                    "outrigger_registration_calls_total",
                    "Calls that register or delete endpoints, by how they ended: changed; unchanged (at most a lease was renewed); refused (the caller must do otherwise); failed (the caller may try again).",
                ),
                &["call", "outcome"],
            )?,
        };
        for call in Call::ALL {
            for outcome in Outcome::ALL {
                metrics
                    .calls
                    .with_label_values(&[call.as_str(), outcome.as_str()]);
            }
        }
        registry.register(Box::new(metrics.registrations.clone()))?;
        registry.register(Box::new(metrics.endpoints.clone()))?;
        registry.register(Box::new(metrics.oldest_renewal.clone()))?;
        registry.register(Box::new(metrics.expired.clone()))?;
        registry.register(Box::new(metrics.calls.clone()))?;
        Ok(metrics)
    }

    pub(super) fn registered(&self, registrations: usize, endpoints: usize) {
        let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.registrations.set(gauge(registrations));
        self.endpoints.set(gauge(endpoints));
    }

    pub(super) fn oldest_renewal(&self, seconds: f64) {
        self.oldest_renewal.set(seconds);
    }

    pub(super) fn expired(&self, count: usize) {
        self.expired
            .inc_by(u64::try_from(count).unwrap_or(u64::MAX));
    }

    pub(super) fn count(&self, call: Call, outcome: Outcome) {
        self.calls
            .with_label_values(&[call.as_str(), outcome.as_str()])
            .inc();
    }
}
