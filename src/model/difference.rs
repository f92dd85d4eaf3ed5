//! What differs between two specs, as the service sees it.
//!
//! An empty list is no difference where the other has none.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::tags::Tags;

/// One value that differs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// Such as `spec.listeners[0].portMapping.port`.
    pub path: String,
    /// `None` if it is added.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// `None` if it is removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = &self.path;
        match (&self.before, &self.after) {
            (Some(before), Some(after)) => write!(f, "~ {path}: {before} → {after}"),
            (None, Some(after)) => write!(f, "+ {path}: {after}"),
            (Some(before), None) => write!(f, "- {path}: {before}"),
            (None, None) => write!(f, "  {path}"),
        }
    }
}

/// What an update from one spec to the other changes; nothing if the service sees no difference.
pub fn changes(before: &Value, after: &Value) -> Vec<Change> {
    let mut changes = Vec::new();
    let (before, after) = (normal(before), normal(after));
    collect("spec", Some(&before), Some(&after), &mut changes);
    changes
}

/// What adding or replacing tags changes of those that are there.
pub fn tag_changes(there: &Tags, new: &Tags) -> Vec<Change> {
    let changed = new
        .iter()
        .filter(|(key, value)| there.get(*key) != Some(value));
    let change = |(key, value): (&String, &String)| Change {
        path: format!("tags.{key}"),
        before: there.get(key).cloned().map(Value::String),
        after: Some(Value::String(value.clone())),
    };
    changed.map(change).collect()
}

fn collect(path: &str, before: Option<&Value>, after: Option<&Value>, changes: &mut Vec<Change>) {
    match (before, after) {
        (Some(Value::Object(before)), Some(Value::Object(after))) => {
            for (name, old) in before {
                let path = format!("{path}.{name}");
                collect(&path, Some(old), after.get(name), changes);
            }
            for (name, new) in after.iter().filter(|(name, _)| !before.contains_key(*name)) {
                collect(&format!("{path}.{name}"), None, Some(new), changes);
            }
        }
        (Some(Value::Array(before)), Some(Value::Array(after))) => {
            for index in 0..before.len().max(after.len()) {
                let path = format!("{path}[{index}]");
                collect(&path, before.get(index), after.get(index), changes);
            }
        }
        (before, after) if before == after => {}
        (before, after) => changes.push(Change {
            path: path.to_owned(),
            before: before.cloned(),
            after: after.cloned(),
        }),
    }
}

/// A spec without what says nothing.
fn normal(spec: &Value) -> Value {
    match spec {
        Value::Object(members) => {
            let says = |value: &Value| {
                !value.is_null() && value.as_array().is_none_or(|list| !list.is_empty())
            };
            let members = members.iter().filter(|(_, value)| says(value));
            members
                .map(|(name, value)| (name.clone(), normal(value)))
                .collect()
        }
        Value::Array(items) => items.iter().map(normal).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lines(before: &Value, after: &Value) -> Vec<String> {
        let changes = changes(before, after);
        changes.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_says_nothing_is_no_difference() {
        let (one, two) = (
            json!({ "a": [{ "b": [], "c": 1 }] }),
            json!({ "a": [{ "c": 1 }] }),
        );
        assert_eq!(lines(&one, &two), [""; 0]);
        assert_eq!(lines(&two, &one), [""; 0]);
    }

    #[test]
    fn each_value_that_differs_is_a_change_of_its_own() {
        let before = json!({ "a": { "b": 1, "gone": true }, "list": [1, 2, 3], "zero": 0 });
        let after = json!({ "a": { "b": 2 }, "list": [1, 9], "new": { "x": [] }, "zero": 0 });
        assert_eq!(
            lines(&before, &after),
            [
                "~ spec.a.b: 1 → 2",
                "- spec.a.gone: true",
                "~ spec.list[1]: 2 → 9",
                "- spec.list[2]: 3",
                "+ spec.new: {}",
            ]
        );
    }

    #[test]
    fn order_in_a_list_counts_and_order_of_members_does_not() {
        let (one, two) = (json!({ "l": [1, 2] }), json!({ "l": [2, 1] }));
        assert_eq!(lines(&one, &two).len(), 2);
        let text = |text| serde_json::from_str::<Value>(text).unwrap();
        let (one, two) = (text(r#"{"a":1,"b":2}"#), text(r#"{"b":2,"a":1}"#));
        assert_eq!(lines(&one, &two), [""; 0]);
    }
}
