//! What is counted of the store. No label carries a name: there may be ten thousand.

use std::time::Duration;

use prometheus::{Histogram, HistogramOpts, IntCounterVec, IntGauge, Opts, Registry};

use super::write::{Action, WriteError};

/// Seconds: from a disk with a cache that survives power cuts to one that is busy.
const SECONDS: &[f64] = &[
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
];
/// Writes in one commit.
const WRITES: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

#[derive(Clone, Debug)]
pub(super) struct Metrics {
    writes: IntCounterVec,
    commits: IntCounterVec,
    commit_seconds: Histogram,
    commit_writes: Histogram,
    revision: IntGauge,
}

/// How a write ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Changed,
    Unchanged,
    /// The caller must do otherwise.
    Refused,
    /// The caller may try again.
    Failed,
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

impl From<&WriteError> for Outcome {
    fn from(error: &WriteError) -> Self {
        match error {
            WriteError::Unavailable { .. } | WriteError::NotLoaded => Self::Failed,
            WriteError::Refused(_)
            | WriteError::Exists { .. }
            | WriteError::Raced { .. }
            | WriteError::TokenReused { .. }
            | WriteError::OwnedByFile { .. }
            | WriteError::TooManyTags { .. } => Self::Refused,
        }
    }
}

impl Action {
    const NAMES: [&str; 5] = ["create", "update", "delete", "tag", "untag"];

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Create { .. } => "create",
            Self::Update { .. } => "update",
            Self::Delete { .. } => "delete",
            Self::Tag { .. } => "tag",
            Self::Untag { .. } => "untag",
        }
    }
}

impl Metrics {
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let metrics = Self {
            writes: IntCounterVec::new(
                Opts::new(
                    "outrigger_store_writes_total",
                    "Writes by how they ended: changed; unchanged (as it was already); refused (the caller must do otherwise); failed (the caller may try again).",
                ),
                &["action", "outcome"],
            )?,
            commits: IntCounterVec::new(
                Opts::new(
                    "outrigger_store_commits_total",
                    "Commits to the data folder, each of all writes that waited, by how they ended.",
                ),
                &["result"],
            )?,
            commit_seconds: Histogram::with_opts(
                HistogramOpts::new(
                    "outrigger_store_commit_seconds",
                    "Time that a commit took, up to where it is on the disk.",
                )
                .buckets(SECONDS.to_vec()),
            )?,
            commit_writes: Histogram::with_opts(
                HistogramOpts::new("outrigger_store_commit_writes", "Writes in one commit.")
                    .buckets(WRITES.to_vec()),
            )?,
            revision: IntGauge::new(
                "outrigger_store_revision",
                "The store's revision, which grows with each change.",
            )?,
        };
        for action in Action::NAMES {
            for outcome in Outcome::ALL {
                let labels = [action, outcome.as_str()];
                metrics.writes.with_label_values(&labels);
            }
        }
        for result in ["ok", "error"] {
            metrics.commits.with_label_values(&[result]);
        }
        registry.register(Box::new(metrics.writes.clone()))?;
        registry.register(Box::new(metrics.commits.clone()))?;
        registry.register(Box::new(metrics.commit_seconds.clone()))?;
        registry.register(Box::new(metrics.commit_writes.clone()))?;
        registry.register(Box::new(metrics.revision.clone()))?;
        Ok(metrics)
    }

    pub(super) fn wrote(&self, action: &'static str, outcome: Outcome) {
        self.writes
            .with_label_values(&[action, outcome.as_str()])
            .inc();
    }

    pub(super) fn committed(&self, is_kept: bool, took: Duration, writes: u32) {
        let result = if is_kept { "ok" } else { "error" };
        self.commits.with_label_values(&[result]).inc();
        self.commit_seconds.observe(took.as_secs_f64());
        self.commit_writes.observe(f64::from(writes));
    }

    pub(super) fn reached(&self, revision: u64) {
        self.revision
            .set(i64::try_from(revision).unwrap_or(i64::MAX));
    }
}
