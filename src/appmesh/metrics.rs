//! What is counted of a mirror. What says how it stands is taken from its status when it is asked for.

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Gauge, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::plan::{Action, How};
use super::status::{Mirror, Standing, State};
use super::sync::Outcome;

/// What a mirror counts.
#[derive(Clone, Debug)]
pub(super) struct Metrics {
    steps: IntCounterVec,
    reads: IntCounterVec,
    drift: IntCounterVec,
}

const ACTIONS: [&str; 5] = ["create", "update", "adopt", "interim", "delete"];

impl Metrics {
    pub(super) fn register(registry: &Registry, mirror: Mirror) -> prometheus::Result<Self> {
        let counter =
            |name, help, labels: &[&str]| IntCounterVec::new(Opts::new(name, help), labels);
        let metrics = Self {
            steps: counter(
                "outrigger_mirror_steps_total",
                "Writes to the mirror's target, by what they do and how they ended.",
                &["action", "outcome"],
            )?,
            reads: counter(
                "outrigger_mirror_reads_total",
                "Readings of all that the mirror's target has, by how they ended.",
                &["result"],
            )?,
            drift: counter(
                "outrigger_mirror_drift_total",
                "Resources that somebody else changed at the mirror's target, by what was done about it.",
                &["handling"],
            )?,
        };
        for action in ACTIONS {
            for outcome in ["done", "failed"] {
                metrics.steps.with_label_values(&[action, outcome]);
            }
        }
        for result in ["ok", "error"] {
            metrics.reads.with_label_values(&[result]);
        }
        for handling in ["repaired", "reported"] {
            metrics.drift.with_label_values(&[handling]);
        }
        registry.register(Box::new(metrics.steps.clone()))?;
        registry.register(Box::new(metrics.reads.clone()))?;
        registry.register(Box::new(metrics.drift.clone()))?;
        registry.register(Box::new(Gauges::new(mirror)?))?;
        Ok(metrics)
    }

    pub(super) fn tried(&self, action: &Action, outcome: &Outcome) {
        let outcome = match outcome {
            Outcome::Done(_) => "done",
            Outcome::Failed(_) | Outcome::Unavailable(_) => "failed",
            Outcome::Blocked { .. } | Outcome::NotTried => return,
        };
        let action = match action {
            Action::Create { .. } => "create",
            Action::Update {
                how: How::Follow, ..
            } => "update",
            Action::Update {
                how: How::Adopt, ..
            } => "adopt",
            Action::Update {
                how: How::Interim, ..
            } => "interim",
            Action::Delete => "delete",
        };
        self.steps.with_label_values(&[action, outcome]).inc();
    }

    pub(super) fn read(&self, is_ok: bool) {
        let result = if is_ok { "ok" } else { "error" };
        self.reads.with_label_values(&[result]).inc();
    }

    pub(super) fn drifted(&self, resources: usize, is_repaired: bool) {
        let handling = if is_repaired { "repaired" } else { "reported" };
        let resources = u64::try_from(resources).unwrap_or(u64::MAX);
        self.drift.with_label_values(&[handling]).inc_by(resources);
    }
}

/// What follows from the status.
#[derive(Debug)]
struct Gauges {
    mirror: Mirror,
    state: IntGaugeVec,
    resources: IntGaugeVec,
    mirrored: IntGauge,
    last_success: Gauge,
    lag: Gauge,
}

impl Gauges {
    fn new(mirror: Mirror) -> prometheus::Result<Self> {
        Ok(Self {
            mirror,
            state: IntGaugeVec::new(
                Opts::new(
                    "outrigger_mirror_state",
                    "1 for what the mirror is about: waiting, reading, writing, in_step, incomplete, unavailable, refused.",
                ),
                &["state"],
            )?,
            resources: IntGaugeVec::new(
                Opts::new(
                    "outrigger_mirror_resources",
                    "Resources by how they stand at the mirror's target: in_step, or why not; beside are those of others that the source has not.",
                ),
                &["standing"],
            )?,
            mirrored: IntGauge::new(
                "outrigger_mirror_revision",
                "Revision of the source up to which the mirror's target follows.",
            )?,
            last_success: Gauge::new(
                "outrigger_mirror_last_success_timestamp_seconds",
                "When the mirror's target was last known to be as the source has it, in seconds since 1970; 0 before.",
            )?,
            lag: Gauge::new(
                "outrigger_mirror_lag_seconds",
                "For how long the mirror's target has been behind the source.",
            )?,
        })
    }

    fn all(&self) -> [&dyn Collector; 5] {
        [
            &self.state,
            &self.resources,
            &self.mirrored,
            &self.last_success,
            &self.lag,
        ]
    }
}

impl Collector for Gauges {
    fn desc(&self) -> Vec<&Desc> {
        let all = self.all().into_iter();
        all.flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let lag = self.mirror.lag();
        let status = self.mirror.status.borrow();
        for name in State::NAMES {
            let is_it = name == status.state.as_str();
            self.state.with_label_values(&[name]).set(is_it.into());
        }
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let in_step = self.resources.with_label_values(&["in_step"]);
        in_step.set(count(status.in_step()));
        let beside = self.resources.with_label_values(&["beside"]);
        beside.set(count(status.beside));
        for name in Standing::NAMES {
            let gauge = self.resources.with_label_values(&[name]);
            gauge.set(count(status.count(name)));
        }
        let mirrored = status.mirrored.unwrap_or_default().as_u64();
        self.mirrored
            .set(i64::try_from(mirrored).unwrap_or(i64::MAX));
        let last = status.last_success;
        let last = last.and_then(|last| last.duration_since(std::time::UNIX_EPOCH).ok());
        self.last_success
            .set(last.unwrap_or_default().as_secs_f64());
        self.lag.set(lag.as_secs_f64());
        drop(status);
        let all = self.all().into_iter();
        all.flat_map(Collector::collect).collect()
    }
}
