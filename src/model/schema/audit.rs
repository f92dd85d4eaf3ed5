//! The table against App Mesh's own, line by line: every path, type, bound and value, and each deliberate difference.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::{Form, Object, Rule, Type, kind_schema};
use crate::model::names::ResourceKind;

const APP_MESH: &str = include_str!("appmesh.txt");

/// Where this table means to differ: the end of the path, what stands there instead, and why.
const DIFFERENCES: &[(&str, &str, &str)] = &[
    // Clients.
    (
        "maxEjectionPercent",
        "int 0..100",
        "Terraform leaves out a zero",
    ),
    ("range.start", "long", "Terraform leaves out a zero"),
    // What the model takes and the service does not.
    (
        "match.path",
        "union",
        "exactly one of `exact` and `regex`, by the documentation",
    ),
    (
        "match.hostname",
        "union",
        "exactly one of `exact` and `suffix`, by the documentation",
    ),
    (
        "rewrite.prefix",
        "union",
        "exactly one of `defaultPrefix` and `value`, by the documentation",
    ),
    (
        "Route.match.prefix",
        "text 1.. pattern",
        "starts with `/`, by the documentation",
    ),
    (
        "Route.match.serviceName",
        "text pattern",
        "App Mesh reserves some services of gateways",
    ),
    (
        "prefix.value",
        "text 1..255 pattern",
        "starts and ends with `/`, by the documentation",
    ),
    (
        "headers[].name",
        "text 1..50 pattern required",
        "the service refuses pseudo headers",
    ),
    (
        "metadata[].name",
        "text 1..50 pattern required",
        "the service refuses pseudo headers",
    ),
    (
        "virtualNodeName",
        "text 1..255 pattern required",
        "names stand in ARNs, URLs and Envoy's names",
    ),
    (
        "virtualRouterName",
        "text 1..255 pattern required",
        "names stand in ARNs, URLs and Envoy's names",
    ),
    (
        "weightedTargets[].virtualNode",
        "text 1..255 pattern required",
        "names stand in ARNs, URLs and Envoy's names",
    ),
    (
        "virtualServiceName",
        "text 1..255 pattern required",
        "the service refuses longer ones; names stand in ARNs and URLs",
    ),
    // What cannot work in a sidecar.
    (
        "dns.hostname",
        "text 1..254 pattern required",
        "no other text can be looked up",
    ),
    (
        "hostname.exact",
        "text 1..253 pattern",
        "no other text can be a host",
    ),
    (
        "hostname.suffix",
        "text 1..253 pattern",
        "no other text can be the end of a host",
    ),
    (
        "queryParameters[].name",
        "text 1.. required",
        "Envoy refuses an empty one",
    ),
];

/// Each path of a kind with what stands there, as `appmesh.txt` writes it.
fn lines(kind: ResourceKind) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    object(kind_schema(kind).spec, "", &mut all);
    all
}

fn object(object: &Object, prefix: &str, all: &mut BTreeMap<String, String>) {
    for field in object.fields {
        let mut path = format!("{prefix}{}", field.name);
        let mut line = String::new();
        let mut r#type = &field.r#type;
        if let Type::List { item, min, max } = r#type {
            path.push_str("[]");
            line.push_str("list ");
            if (*min, *max) != (0, usize::MAX) {
                write!(line, "{min}..{max} ").unwrap();
            }
            line.push_str("of ");
            r#type = item;
        }
        line.push_str(&described(r#type));
        if field.required {
            line.push_str(" required");
        }
        if let Type::Object(inner) = r#type {
            self::object(inner, &format!("{path}."), all);
        }
        all.insert(path, line);
    }
}

fn described(r#type: &Type) -> String {
    match r#type {
        Type::Bool => "bool".into(),
        Type::Int { min, max } => match (*min, *max) {
            (i64::MIN, i64::MAX) => "long".into(),
            (min, i64::MAX) => format!("long {min}.."),
            (min, max) if max == i64::from(i32::MAX) => format!("int {min}.."),
            // App Mesh counts milliseconds as `long`; a bound says more than the width.
            (min, max) if max >= 60_000 && max != 65_535 => format!("long {min}..{max}"),
            (min, max) => format!("int {min}..{max}"),
        },
        Type::Text { min, max, form } => {
            let bounds = match (*min, *max) {
                (0, usize::MAX) => String::new(),
                (min, usize::MAX) => format!(" {min}.."),
                (min, max) => format!(" {min}..{max}"),
            };
            let is_free = matches!(form, Form::Any | Form::HttpRetryEvent);
            let pattern = if is_free { "" } else { " pattern" };
            format!("text{bounds}{pattern}")
        }
        Type::Enum(values) => format!("enum {}", values.join("|")),
        Type::Object(object) => {
            let names: Vec<&str> = object.fields.iter().map(|field| field.name).collect();
            let is_union = object
                .rules
                .iter()
                .any(|rule| matches!(rule, Rule::ExactlyOne(of) if *of == names));
            if is_union { "union" } else { "object" }.into()
        }
        Type::List { .. } => panic!("no list holds lists"),
    }
}

fn app_mesh() -> BTreeMap<String, BTreeMap<String, String>> {
    let mut kinds = BTreeMap::new();
    let lines = APP_MESH.lines();
    let mut kind = String::new();
    for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line.split_once(' ') {
            None => kind = line.trim_end_matches("Spec").into(),
            Some((path, rest)) => {
                let fields: &mut BTreeMap<_, _> = kinds.entry(kind.clone()).or_default();
                fields.insert(path.into(), rest.into());
            }
        }
    }
    kinds
}

#[test]
fn every_field_is_as_app_mesh_has_it_or_differs_for_a_reason() {
    let app_mesh = app_mesh();
    assert_eq!(app_mesh.values().map(BTreeMap::len).sum::<usize>(), 466);
    let mut used = BTreeSet::new();
    let mut wrong = Vec::new();
    for kind in ResourceKind::ALL {
        let (theirs, ours) = (&app_mesh[kind.as_str()], lines(kind));
        let paths: BTreeSet<&String> = theirs.keys().chain(ours.keys()).collect();
        for path in paths {
            let (theirs, ours) = (theirs.get(path), ours.get(path));
            if theirs == ours {
                continue;
            }
            let reason = DIFFERENCES.iter().position(|(end, line, _)| {
                path.ends_with(end) && ours.is_some_and(|ours| ours == line)
            });
            match reason {
                Some(index) => drop(used.insert(index)),
                None => wrong.push(format!("{kind} {path}: App Mesh {theirs:?}, here {ours:?}")),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for (index, (end, ..)) in DIFFERENCES.iter().enumerate() {
        assert!(used.contains(&index), "{end} does not differ any more");
    }
}
