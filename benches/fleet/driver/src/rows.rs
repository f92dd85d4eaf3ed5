//! The table's rows: which figure of which scenario, and what Outrigger must reach.

use crate::scenario::{Mode, Scenario};
use serde_json::Value;

/// What bounds a figure of Outrigger's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Budget {
    /// This many times the floor's.
    OfFloor(f64),
    /// This many times the floor's and so much more.
    OfFloorAnd(f64, f64),
    /// This, in state of the world and in delta.
    AtMost(f64, f64),
    /// At least this.
    AtLeast(f64),
    /// Only told.
    None,
}

pub(crate) struct Row {
    pub(crate) key: &'static str,
    pub(crate) title: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) scenario: Scenario,
    pub(crate) modes: &'static [Mode],
    pub(crate) read: fn(&Value) -> Option<f64>,
    pub(crate) budget: Budget,
}

const DELTA: &[Mode] = &[Mode::Delta];

pub(crate) const ROWS: &[Row] = &[
    Row {
        key: "connect",
        title: "connect, CPU for 1,000 sidecars",
        unit: "s",
        scenario: Scenario::Thousand,
        modes: &Mode::ALL,
        read: |report| number(report, "/storm/server_cpu_s_per_1000_streams"),
        budget: Budget::OfFloor(1.5),
    },
    Row {
        key: "connect-bytes",
        title: "connect, bytes sent to a sidecar",
        unit: "KiB",
        scenario: Scenario::Thousand,
        modes: &Mode::ALL,
        read: bytes_per_stream,
        budget: Budget::None,
    },
    Row {
        key: "wide-1000",
        title: "one wide change to 1,000 sidecars, CPU",
        unit: "ms",
        scenario: Scenario::Thousand,
        modes: &Mode::ALL,
        read: |report| phase(report, "wide", "/server_cpu_ms_per_bump"),
        budget: Budget::OfFloor(1.5),
    },
    Row {
        key: "wide-5000",
        title: "the same to 5,000",
        unit: "ms",
        scenario: Scenario::FiveThousand,
        modes: &Mode::ALL,
        read: |report| phase(report, "wide", "/server_cpu_ms_per_bump"),
        budget: Budget::OfFloor(1.5),
    },
    Row {
        key: "wide-last",
        title: "wide change, last of 5,000 has it, p99",
        unit: "ms",
        scenario: Scenario::FiveThousand,
        modes: &Mode::ALL,
        read: |report| phase(report, "wide", "/last_stream_ms/p99"),
        budget: Budget::OfFloor(1.5),
    },
    Row {
        key: "narrow",
        title: "narrow change (1 sidecar in 50), 1,000 sidecars, p50",
        unit: "ms",
        scenario: Scenario::Thousand,
        modes: &Mode::ALL,
        read: |report| phase(report, "narrow", "/propagation_ms/p50"),
        budget: Budget::OfFloor(1.3),
    },
    Row {
        key: "full-connect",
        title: "full mesh, 200 sidecars × 1,000 backends, connect CPU per 1,000",
        unit: "s",
        scenario: Scenario::FullMesh,
        modes: &Mode::ALL,
        read: |report| number(report, "/storm/server_cpu_s_per_1000_streams"),
        budget: Budget::OfFloor(1.5),
    },
    Row {
        key: "full-connect-bytes",
        title: "full mesh, connect, bytes sent to a sidecar",
        unit: "KiB",
        scenario: Scenario::FullMesh,
        modes: &Mode::ALL,
        read: bytes_per_stream,
        budget: Budget::None,
    },
    Row {
        key: "full-wide",
        title: "full mesh, one wide change, CPU",
        unit: "ms",
        scenario: Scenario::FullMesh,
        modes: &Mode::ALL,
        read: |report| phase(report, "wide", "/server_cpu_ms_per_bump"),
        budget: Budget::OfFloor(1.5),
    },
    Row {
        key: "memory",
        title: "memory a sidecar, 20 backends",
        unit: "KiB",
        scenario: Scenario::Thousand,
        modes: &Mode::ALL,
        read: |report| number(report, "/settled/rss_kib_per_stream"),
        budget: Budget::AtMost(45.0, 45.0),
    },
    Row {
        key: "full-memory",
        title: "memory a sidecar, 1,000 backends",
        unit: "KiB",
        scenario: Scenario::FullMesh,
        modes: &Mode::ALL,
        read: |report| number(report, "/settled/rss_kib_per_stream"),
        budget: Budget::AtMost(130.0, 100.0),
    },
    Row {
        key: "api",
        title: "API write → last of 1,000 sidecars has it, p99",
        unit: "ms",
        scenario: Scenario::Thousand,
        modes: &Mode::ALL,
        read: |report| phase(report, "wide", "/last_stream_ms/p99"),
        budget: Budget::OfFloorAnd(2.0, 10.0),
    },
    Row {
        key: "rate",
        title: "1,000 changes a second for a minute, 1,000 sidecars: taken a second",
        unit: "",
        scenario: Scenario::Rate,
        modes: &Mode::ALL,
        read: |report| number(report, "/rate/achieved_per_s"),
        budget: Budget::AtLeast(980.0),
    },
    Row {
        key: "rate-last",
        title: "… the last change is everywhere, p99",
        unit: "ms",
        scenario: Scenario::Rate,
        modes: &Mode::ALL,
        read: |report| number(report, "/rate/last_change_ms/p99"),
        budget: Budget::AtMost(50.0, 50.0),
    },
    Row {
        key: "rate-growth",
        title: "… memory grows from the 20th second to the 60th",
        unit: "%",
        scenario: Scenario::Rate,
        modes: &Mode::ALL,
        read: growth,
        budget: Budget::AtMost(5.0, 5.0),
    },
    Row {
        key: "rate-cpu",
        title: "… CPU a second",
        unit: "s",
        scenario: Scenario::Rate,
        modes: &Mode::ALL,
        read: |report| {
            Some(number(report, "/rate/server_cpu_s")? / number(report, "/rate/wall_s")?)
        },
        budget: Budget::None,
    },
    Row {
        key: "reconnect",
        title: "5,000 up-to-date sidecars come back",
        unit: "s",
        scenario: Scenario::FiveThousand,
        modes: &Mode::ALL,
        read: |report| number(report, "/reconnects/0/wall_s"),
        budget: Budget::AtMost(f64::INFINITY, 5.0),
    },
    Row {
        key: "reconnect-resources",
        title: "… resources sent to them",
        unit: "",
        scenario: Scenario::FiveThousand,
        modes: DELTA,
        read: |report| number(report, "/reconnects/0/traffic/resources"),
        budget: Budget::AtMost(0.0, 0.0),
    },
    Row {
        key: "reconnect-cpu",
        title: "… CPU",
        unit: "s",
        scenario: Scenario::FiveThousand,
        modes: &Mode::ALL,
        read: |report| number(report, "/reconnects/0/server_cpu_s"),
        budget: Budget::None,
    },
];

fn number(report: &Value, pointer: &str) -> Option<f64> {
    report.pointer(pointer)?.as_f64()
}

fn phase(report: &Value, name: &str, pointer: &str) -> Option<f64> {
    let phases = report.get("phases")?.as_array()?;
    number(phases.iter().find(|phase| phase["name"] == name)?, pointer)
}

fn bytes_per_stream(report: &Value) -> Option<f64> {
    let streams = number(report, "/config/streams")?;
    Some(number(report, "/storm/traffic/bytes")? / streams / 1024.0)
}

/// Per cent of what the server held when it was warm.
fn growth(report: &Value) -> Option<f64> {
    let grown = number(report, "/rate/rss_growth_kib")?;
    let end = report
        .pointer("/rate/rss_kib")?
        .as_array()?
        .last()?
        .as_f64()?;
    Some(grown / (end - grown) * 100.0)
}

impl Budget {
    /// What Outrigger must reach, where the floor has `floor`.
    pub(crate) fn limit(self, mode: Mode, floor: Option<f64>) -> Option<f64> {
        match self {
            Budget::OfFloor(times) => Some(floor? * times),
            Budget::OfFloorAnd(times, more) => Some(floor? * times + more),
            Budget::AtMost(sotw, delta) => {
                let limit = match mode {
                    Mode::Sotw => sotw,
                    Mode::Delta => delta,
                };
                Some(limit).filter(|limit| limit.is_finite())
            }
            Budget::AtLeast(limit) => Some(limit),
            Budget::None => None,
        }
    }

    pub(crate) fn is_met(self, limit: f64, figure: f64) -> bool {
        match self {
            Budget::AtLeast(_) => figure >= limit,
            _ => figure <= limit,
        }
    }

    pub(crate) fn words(self, mode: Mode) -> String {
        let amount = |limit: f64| match limit.is_finite() {
            true => format!("≤ {limit}"),
            false => "–".into(),
        };
        match self {
            Budget::OfFloor(times) => format!("≤ {times} × floor"),
            Budget::OfFloorAnd(times, more) => format!("≤ {times} × floor + {more}"),
            Budget::AtMost(sotw, delta) => match mode {
                Mode::Sotw => amount(sotw),
                Mode::Delta => amount(delta),
            },
            Budget::AtLeast(limit) => format!("≥ {limit}"),
            Budget::None => "–".into(),
        }
    }
}

#[cfg(test)]
mod tests;
