//! What discovery counts. No label carries a name: there may be ten thousand.

use prometheus::{Gauge, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::source::State;

/// Discovery's metrics, all registered.
#[derive(Clone, Debug)]
pub(super) struct Metrics {
    answers: IntCounterVec,
    in_flight: IntGauge,
    oldest_age: Gauge,
    sources: IntGaugeVec,
    saves: IntCounterVec,
}

/// How a question ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Answer,
    NoName,
    NoRecords,
    Timeout,
    Error,
}

impl Metrics {
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let metrics = Self {
            answers: IntCounterVec::new(
                Opts::new(
                    "outrigger_dns_answers_total",
                    "Questions asked of the name servers, by how they ended.",
                ),
                &["result"],
            )?,
            in_flight: IntGauge::new(
                "outrigger_dns_queries_in_flight",
                "Questions that wait for an answer.",
            )?,
            oldest_age: Gauge::new(
                "outrigger_dns_oldest_answer_age_seconds",
                "Age of the oldest answer in use; it grows beyond the longest time to live while look-ups fail.",
            )?,
            sources: IntGaugeVec::new(
                Opts::new(
                    "outrigger_dns_sources",
                    "Sources followed: known; empty (DNS says that there are no addresses); stale (look-ups fail, the last good answer is in use); denied (the last good answer is in use for the grace); unresolved.",
                ),
                &["state"],
            )?,
            saves: IntCounterVec::new(
                Opts::new(
                    "outrigger_dns_answers_saves_total",
                    "Writes of the last good answers to the data folder, by how they ended.",
                ),
                &["result"],
            )?,
        };
        for result in ["ok", "error"] {
            metrics.saves.with_label_values(&[result]);
        }
        registry.register(Box::new(metrics.saves.clone()))?;
        registry.register(Box::new(metrics.answers.clone()))?;
        registry.register(Box::new(metrics.in_flight.clone()))?;
        registry.register(Box::new(metrics.oldest_age.clone()))?;
        registry.register(Box::new(metrics.sources.clone()))?;
        Ok(metrics)
    }

    pub(super) fn ended(&self, ending: Ending) {
        let result = match ending {
            Ending::Answer => "answer",
            Ending::NoName => "nxdomain",
            Ending::NoRecords => "empty",
            Ending::Timeout => "timeout",
            Ending::Error => "error",
        };
        self.answers.with_label_values(&[result]).inc();
    }

    /// Counts a question as in flight until the guard is dropped.
    pub(super) fn flight(&self) -> Flight {
        self.in_flight.inc();
        Flight(self.in_flight.clone())
    }

    pub(super) fn oldest_age(&self, seconds: f64) {
        self.oldest_age.set(seconds);
    }

    pub(super) fn sources(&self, states: impl Iterator<Item = State>) {
        let mut counts = [
            (State::Known, "known", 0),
            (State::Empty, "empty", 0),
            (State::Stale, "stale", 0),
            (State::Denied, "denied", 0),
            (State::Unresolved, "unresolved", 0),
        ];
        for state in states {
            for (_, _, count) in counts.iter_mut().filter(|(known, ..)| *known == state) {
                *count += 1;
            }
        }
        for (_, state, count) in counts {
            self.sources.with_label_values(&[state]).set(count);
        }
    }

    pub(super) fn saved(&self, is_written: bool) {
        let result = if is_written { "ok" } else { "error" };
        self.saves.with_label_values(&[result]).inc();
    }
}

/// A question in flight.
#[derive(Debug)]
pub(super) struct Flight(IntGauge);

impl Drop for Flight {
    fn drop(&mut self) {
        self.0.dec();
    }
}
