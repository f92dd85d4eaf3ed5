//! The bodies of the API's calls: what they may hold, and what they say.
//!
//! Unlike AWS, which passes over members that it does not know, a body with one is refused: what is left out without a word
//! would not be read back as it was written.

use super::check::Walk;
use super::read::{TAGS, build};
use super::{Check, KindSchema, Object, Rule, Type, kind_schema, required, rules, text};
use crate::model::document::{Located, Path};
use crate::model::names::{ResourceId, ResourceKind};
use crate::model::problem::{Problem, Severity};
use crate::model::registry::Resource;
use crate::model::tags::{self, Tags};

/// What the body of a create call says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateBody {
    pub resource: Resource,
    pub tags: Tags,
    pub client_token: Option<String>,
    /// Warnings.
    pub problems: Vec<Problem>,
}

/// What the body of an update call says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateBody {
    pub resource: Resource,
    pub client_token: Option<String>,
    /// Warnings.
    pub problems: Vec<Problem>,
}

/// Reads the body of a call that creates a resource of a kind in its parent; a mesh has none.
///
/// # Errors
/// Every problem, of which at least one is an error.
pub fn read_create(
    kind: ResourceKind,
    parent: Option<&ResourceId>,
    body: &Located,
) -> Result<CreateBody, Vec<Problem>> {
    let schema = kind_schema(kind);
    let problems = checked(schema.create, kind.as_str(), body)?;
    let id = named_in(schema, parent, body)?;
    Ok(CreateBody {
        resource: resource(id, body)?,
        tags: tags_of(body),
        client_token: client_token_of(body),
        problems,
    })
}

/// Reads the body of a call that replaces a resource's spec.
///
/// # Errors
/// Every problem, of which at least one is an error.
pub fn read_update(id: &ResourceId, body: &Located) -> Result<UpdateBody, Vec<Problem>> {
    let kind = id.kind();
    let problems = checked(kind_schema(kind).update, kind.as_str(), body)?;
    Ok(UpdateBody {
        resource: resource(id.clone(), body)?,
        client_token: client_token_of(body),
        problems,
    })
}

/// Reads the body of `TagResource`.
///
/// # Errors
/// Every problem, of which at least one is an error.
pub fn read_tags(body: &Located) -> Result<Tags, Vec<Problem>> {
    static TAG_RESOURCE: Object = Object {
        name: "TagResource",
        fields: &[required("tags", TAGS)],
        rules: &[Rule::Check(Check(rules::distinct_tags))],
    };
    checked(&TAG_RESOURCE, "TagResource", body)?;
    Ok(tags_of(body))
}

/// Reads the body of `UntagResource`.
///
/// # Errors
/// Every problem, of which at least one is an error.
pub fn read_tag_keys(body: &Located) -> Result<Vec<String>, Vec<Problem>> {
    static UNTAG_RESOURCE: Object = Object {
        name: "UntagResource",
        fields: &[required(
            "tagKeys",
            Type::List {
                item: &text(1, 128),
                min: 0,
                max: tags::MOST,
            },
        )],
        rules: &[],
    };
    checked(&UNTAG_RESOURCE, "UntagResource", body)?;
    let keys = body.get("tagKeys").map(Located::items).unwrap_or_default();
    let keys = keys.iter().filter_map(Located::as_str);
    Ok(keys.map(str::to_owned).collect())
}

/// The warnings.
fn checked(
    object: &'static Object,
    name: &str,
    body: &Located,
) -> Result<Vec<Problem>, Vec<Problem>> {
    let mut walk = Walk::default();
    walk.value(&Type::Object(object), name, body, body.span);
    let problems = walk.finish();
    let is_error = |problem: &Problem| problem.severity == Severity::Error;
    if problems.iter().any(is_error) {
        Err(problems)
    } else {
        Ok(problems)
    }
}

fn named_in(
    schema: &KindSchema,
    parent: Option<&ResourceId>,
    body: &Located,
) -> Result<ResourceId, Vec<Problem>> {
    let own = body.get(schema.name).and_then(Located::as_str);
    let own = own.unwrap_or_default();
    let mesh = parent.map_or(own, |parent| parent.mesh().as_str());
    let id = ResourceId::named(schema.kind, mesh, parent.map(ResourceId::name), own);
    id.map_err(|error| {
        let what = error.to_string();
        vec![Problem::error(
            Path::of(schema.name),
            what,
            "not allowed",
            error.wanted,
        )]
    })
}

fn resource(id: ResourceId, body: &Located) -> Result<Resource, Vec<Problem>> {
    let mut problems = Vec::new();
    build(id, body.get("spec"), &mut problems).ok_or(problems)
}

fn client_token_of(body: &Located) -> Option<String> {
    body.get("clientToken")?.as_str().map(str::to_owned)
}

fn tags_of(body: &Located) -> Tags {
    let tags = body.get("tags").map(Located::items).unwrap_or_default();
    let tag = |tag: &Located| {
        let text = |name| tag.get(name).and_then(Located::as_str);
        let value = text("value").unwrap_or_default();
        Some((text("key")?.to_owned(), value.to_owned()))
    };
    tags.iter().filter_map(tag).collect()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn read(text: &str) -> Located {
        Located::from_json(text.as_bytes()).unwrap()
    }

    fn lines(problems: &[Problem]) -> Vec<String> {
        let line = |problem: &Problem| format!("{}: {}", problem.path, problem.what);
        problems.iter().map(line).collect()
    }

    #[test]
    fn bodies_of_the_tag_operations() {
        let tags = r#"{"tags": [{"key": "b", "value": "2"}, {"key": "a"}]}"#;
        let tags = read_tags(&read(tags)).unwrap();
        let expected = [("a", ""), ("b", "2")].map(|(key, value)| (key.into(), value.into()));
        assert_eq!(tags, Tags::from(expected));
        assert_eq!(read_tags(&read(r#"{"tags": []}"#)), Ok(Tags::new()));
        let keys = read_tag_keys(&read(r#"{"tagKeys": ["b", "a"]}"#)).unwrap();
        assert_eq!(keys, ["b", "a"]);
        for body in ["{}", r#"{"tags": null}"#, r#"{"tags": {}}"#, "[]", "null"] {
            assert!(read_tags(&read(body)).is_err(), "{body}");
            assert!(read_tag_keys(&read(body)).is_err(), "{body}");
        }
    }

    #[test]
    fn members_that_are_given_twice_are_refused() {
        let problems = read_create(
            ResourceKind::Mesh,
            None,
            &read(
                r#"{"meshName": "m", "spec": {}, "spec": {"egressFilter": {"type": "ALLOW_ALL"}}}"#,
            ),
        );
        assert_eq!(
            lines(&problems.unwrap_err()),
            ["spec: `spec` is given twice"]
        );
    }

    #[test]
    fn a_mesh_is_named_by_its_body_and_others_within_their_parent() {
        let mesh = read_create(ResourceKind::Mesh, None, &read(r#"{"meshName": "m"}"#)).unwrap();
        assert_eq!(mesh.resource.id.to_string(), "mesh/m");
        let router = ResourceId::parse("mesh/m/virtualRouter/r").unwrap();
        let body = r#"{"routeName": "x", "spec": {"tcpRoute": {"action": {"weightedTargets": [{"virtualNode": "n", "weight": 1}]}}}}"#;
        let route = read_create(ResourceKind::Route, Some(&router), &read(body)).unwrap();
        assert_eq!(
            route.resource.id.to_string(),
            "mesh/m/virtualRouter/r/route/x"
        );
        for name in ["..", "a/b", ""] {
            let body = format!(r#"{{"meshName": "{name}"}}"#);
            assert!(
                read_create(ResourceKind::Mesh, None, &read(&body)).is_err(),
                "{name}"
            );
        }
    }

    /// What a stranger sends costs no more memory and time for being wrong in many places.
    #[test]
    fn problems_of_a_large_body_are_few_and_short() {
        let node = ResourceId::parse("mesh/m/virtualNode/n").unwrap();
        let of = |listeners: String| format!(r#"{{"spec": {{"listeners": [{listeners}]}}}}"#);
        let surplus = |n: usize| format!(r#""m{n}": 1"#);
        let surplus: Vec<String> = (0..50_000).map(surplus).collect();
        let long = format!(
            r#"{{"portMapping": {{"port": 1, "protocol": "{}"}}}}"#,
            "x".repeat(1 << 20)
        );
        let ports = r#"{"portMapping": {"port": 1, "protocol": "tcp"}}"#;
        let bodies = [
            of(vec!["0"; 100_000].join(",")),
            of(vec![ports; 20_000].join(",")),
            of(long),
            format!("{{{}}}", surplus.join(",")),
            format!(r#"{{"{}": 1}}"#, "y".repeat(1 << 20)),
        ];
        for body in bodies {
            let body = read(&body);
            let begin = Instant::now();
            let problems = read_update(&node, &body).unwrap_err();
            // It takes milliseconds, and minutes if it grows with the square.
            assert!(begin.elapsed() < Duration::from_secs(10));
            assert!(problems.len() <= 101, "{}", problems.len());
            let longest = lines(&problems).iter().map(String::len).max();
            assert!(longest < Some(1_000), "{longest:?}");
        }
    }

    /// Warnings in front must not hide the error behind them.
    #[test]
    fn an_error_is_found_behind_any_number_of_warnings() {
        let action = r#"{"weightedTargets": [{"virtualNode": "n", "weight": 1}]}"#;
        let events = vec![r#""never""#; 25].join(",");
        let policy = format!(
            r#"{{"httpRetryEvents": [{events}], "maxRetries": 1, "perRetryTimeout": {{}}}}"#
        );
        let routes = ["httpRoute", "http2Route"].map(|name| {
            format!(r#""{name}": {{"match": {{"prefix": "/"}}, "action": {action}, "retryPolicy": {policy}}}"#)
        });
        let body = format!(r#"{{"spec": {{{}}}}}"#, routes.join(","));
        let route = ResourceId::parse("mesh/m/virtualRouter/r/route/x").unwrap();
        let problems = read_update(&route, &read(&body)).unwrap_err();
        assert!(
            lines(&problems)
                .iter()
                .any(|line| line.contains("only one of them"))
        );
    }
}
