//! What `outrigger endpoints` prints for people.

use std::time::Duration;

use serde_json::Value;

use crate::cli::output::{columns, span};

pub(super) fn set(answer: &Value) -> String {
    let change = if answer["changed"] == true {
        "registered"
    } else {
        "registered already"
    };
    let lease = answer["leaseEndsAt"].as_str().map_or_else(
        || "until they are cleared".to_owned(),
        |end| format!("until {end} unless renewed"),
    );
    let kept = if answer["durable"] == true {
        ""
    } else {
        "; a restart of the control plane forgets them, since `serve` has no --data-dir"
    };
    format!(
        "{}: {} endpoints {change}, {lease}{kept}\n",
        node(answer),
        answer["endpoints"]
    )
}

pub(super) fn clear(answer: &Value) -> String {
    let node = node(answer);
    if answer["changed"] == true {
        format!("{node}: nothing registered any more; its discovery counts\n")
    } else {
        format!("{node}: nothing was registered\n")
    }
}

/// One node with its endpoints, or a list of nodes.
pub(super) fn get(answer: &Value) -> String {
    if let Some(list) = answer["registrations"].as_array() {
        return nodes(list);
    }
    let headings = ["ADDRESS", "PORT", "WEIGHT", "ZONE"].map(str::to_owned);
    let endpoints = answer["endpoints"].as_array().into_iter().flatten();
    let rows =
        endpoints.map(|one| ["address", "port", "weight", "zone"].map(|key| cell(&one[key])));
    let age = seconds(&answer["ageSeconds"]);
    let lease = match &answer["leaseRemainingSeconds"] {
        Value::Null => "no lease".to_owned(),
        left => format!("lease ends in {}", seconds(left)),
    };
    let stray = if answer["declared"] == false {
        "; there is no such virtual node now"
    } else {
        ""
    };
    format!(
        "{}: renewed {age} ago, {lease}{stray}\n{}",
        node(answer),
        columns(headings, rows)
    )
}

fn nodes(list: &[Value]) -> String {
    if list.is_empty() {
        return "no endpoints are registered\n".to_owned();
    }
    let headings = ["NODE", "ENDPOINTS", "RENEWED", "LEASE ENDS", "DECLARED"].map(str::to_owned);
    let rows = list.iter().map(|one| {
        [
            node(one),
            cell(&one["endpoints"]),
            format!("{} ago", seconds(&one["ageSeconds"])),
            match &one["leaseRemainingSeconds"] {
                Value::Null => "-".to_owned(),
                left => format!("in {}", seconds(left)),
            },
            if one["declared"] == true { "yes" } else { "no" }.to_owned(),
        ]
    });
    columns(headings, rows)
}

fn node(answer: &Value) -> String {
    format!(
        "mesh/{}/virtualNode/{}",
        answer["meshName"].as_str().unwrap_or_default(),
        answer["virtualNodeName"].as_str().unwrap_or_default()
    )
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn seconds(value: &Value) -> String {
    let seconds = value.as_f64().unwrap_or_default();
    span(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}
