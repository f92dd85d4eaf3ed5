use super::*;
use serde_json::json;
use std::collections::HashSet;

#[test]
fn keys_are_distinct() {
    let keys: HashSet<_> = ROWS.iter().map(|row| row.key).collect();
    assert_eq!(keys.len(), ROWS.len());
}

#[test]
fn a_budget_follows_the_floor() {
    assert_eq!(
        Budget::OfFloor(1.5).limit(Mode::Sotw, Some(10.0)),
        Some(15.0)
    );
    assert_eq!(
        Budget::OfFloorAnd(2.0, 10.0).limit(Mode::Sotw, Some(3.0)),
        Some(16.0)
    );
    assert_eq!(Budget::OfFloor(1.5).limit(Mode::Sotw, None), None);
    assert_eq!(
        Budget::AtMost(130.0, 100.0).limit(Mode::Delta, None),
        Some(100.0)
    );
    assert!(Budget::AtMost(0.0, 0.0).is_met(0.0, 0.0));
    assert!(!Budget::OfFloor(1.5).is_met(15.0, 15.1));
    assert!(!Budget::AtLeast(980.0).is_met(980.0, 979.0));
}

#[test]
fn figures_are_read_by_phase_and_member() {
    let report = json!({
        "config": { "streams": 2 },
        "storm": { "traffic": { "bytes": 4096.0 } },
        "phases": [{ "name": "narrow" }, { "name": "wide", "last_stream_ms": { "p99": 7.5 } }],
        "rate": { "rss_growth_kib": 10.0, "rss_kib": [100, 200, 210] },
    });
    assert_eq!(phase(&report, "wide", "/last_stream_ms/p99"), Some(7.5));
    assert_eq!(phase(&report, "narrow", "/last_stream_ms/p99"), None);
    assert_eq!(bytes_per_stream(&report), Some(2.0));
    assert_eq!(growth(&report), Some(5.0));
}
