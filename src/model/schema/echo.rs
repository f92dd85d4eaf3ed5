//! What is read is printed as it was: absent members stay absent, empty lists empty, durations without a value without one.
//!
//! Documents are drawn along the table; what its rules in code ask is put right afterwards.

use proptest::prelude::*;
use proptest::sample::{Index, subsequence};
use serde_json::{Map, Value as Json, json};

use super::{Object, Rule, Type, kind_schema, read_create, read_update};
use crate::model::document::Located;
use crate::model::names::{ResourceId, ResourceKind};
use crate::model::problem::Severity;

fn any_value(r#type: &'static Type) -> BoxedStrategy<Json> {
    match r#type {
        Type::Bool => any::<bool>().prop_map(Json::from).boxed(),
        // Far ends as likely as what lies between.
        Type::Int { min, max } => prop_oneof![Just(*min), Just(*max), *min..=*max]
            .prop_map(Json::from)
            .boxed(),
        Type::Text { form, min, max } => {
            let example = form.example();
            let long = example.repeat((*max).min(255) / example.len() / 2 + 1);
            let empty = if *min == 0 { "" } else { example };
            let texts = vec![example.to_owned(), empty.to_owned(), long];
            let texts = match form {
                super::Form::HttpRetryEvent | super::Form::HostName => vec![example.to_owned()],
                _ => texts,
            };
            prop::sample::select(texts).prop_map(Json::from).boxed()
        }
        Type::Enum(values) => prop::sample::select(values.to_vec())
            .prop_map(Json::from)
            .boxed(),
        Type::List { item, min, max } => {
            prop::collection::vec(any_value(item), *min..=(*max).min(3))
                .prop_map(Json::from)
                .boxed()
        }
        Type::Object(object) => any_object(object),
    }
}

fn any_object(object: &'static Object) -> BoxedStrategy<Json> {
    let all: Vec<&str> = object.fields.iter().map(|field| field.name).collect();
    let fields: Vec<_> = object
        .fields
        .iter()
        .map(|field| any_value(&field.r#type))
        .collect();
    (
        fields,
        subsequence(all.clone(), 0..=all.len()),
        any::<Index>(),
    )
        .prop_map(move |(values, chosen, pick)| {
            let mut members: Map<String, Json> = all
                .iter()
                .zip(values)
                .map(|(name, value)| ((*name).to_owned(), value))
                .collect();
            let kept = kept(object, &chosen, pick);
            members.retain(|name, _| kept.contains(&name.as_str()));
            mended(object.name, Json::Object(members))
        })
        .boxed()
}

/// The members among those chosen that may stand together, and those that must.
fn kept<'a>(object: &Object, chosen: &[&'a str], pick: Index) -> Vec<&'a str>
where
    'static: 'a,
{
    let required = object.fields.iter().filter(|field| field.required);
    let mut kept: Vec<&str> = chosen.to_vec();
    kept.extend(required.map(|field| field.name));
    for rule in object.rules {
        match rule {
            Rule::ExactlyOne(names) => {
                let one = names[pick.index(names.len())];
                kept.retain(|name| !names.contains(name) || *name == one);
                kept.push(one);
            }
            Rule::AtLeastOne(names) => kept.push(names[pick.index(names.len())]),
            Rule::AtMostOne(_) | Rule::Requires(..) | Rule::Check(_) => {}
        }
    }
    for rule in object.rules {
        match rule {
            Rule::AtMostOne(names) => {
                let one = names[pick.index(names.len())];
                if names.iter().all(|name| kept.contains(name)) {
                    kept.retain(|name| !names.contains(name) || *name == one);
                }
            }
            Rule::Requires(one, other) if kept.contains(one) => kept.push(other),
            _ => {}
        }
    }
    kept
}

/// An object with what the rules in code ask of it.
fn mended(name: &str, mut object: Json) -> Json {
    let members = object.as_object_mut().unwrap();
    match name {
        "MatchRange" => {
            let end = members["end"].as_i64().unwrap().max(1);
            members.insert("end".into(), json!(end));
            if members.contains_key("start") {
                members.insert("start".into(), json!(-end));
            }
        }
        "RouteAction" => {
            for target in members["weightedTargets"].as_array_mut().unwrap() {
                target["weight"] = json!(target["weight"].as_u64().unwrap() % 34);
            }
        }
        "Listener" | "VirtualGatewayListener" => {
            let mapping = members["portMapping"].clone();
            let protocol = mapping["protocol"].as_str().unwrap();
            for union in ["connectionPool", "timeout"] {
                members.retain(|name, value| name != union || value.get(protocol).is_some());
            }
            if let Some(check) = members.get_mut("healthCheck")
                && check.get("port").is_some()
            {
                check["port"] = mapping["port"].clone();
            }
        }
        "VirtualNodeSpec" | "VirtualRouterSpec" | "VirtualGatewaySpec" => {
            let listeners = members.get_mut("listeners").and_then(Json::as_array_mut);
            let mut taken = Vec::new();
            if let Some(listeners) = listeners {
                listeners.retain(|listener| {
                    let port = listener["portMapping"]["port"].clone();
                    let is_new = !taken.contains(&port);
                    taken.push(port);
                    is_new
                });
            }
            let listens = members
                .get("listeners")
                .is_some_and(|all| *all != json!([]));
            if name == "VirtualNodeSpec" && listens {
                let discovery = json!({ "dns": { "hostname": "a.local" } });
                members.entry("serviceDiscovery").or_insert(discovery);
            }
        }
        "HttpGatewayRoute" => {
            let matches = members["match"].clone();
            if let Some(rewrite) = members["action"].get_mut("rewrite") {
                let rewrite = rewrite.as_object_mut().unwrap();
                let was_matched = |name: &String| name == "hostname" || matches.get(name).is_some();
                rewrite.retain(|name, _| was_matched(name));
            }
        }
        _ => {}
    }
    object
}

/// A kind, and a spec of it.
pub(crate) fn any_spec() -> impl Strategy<Value = (ResourceKind, Json)> {
    let of = |kind| any_object(kind_schema(kind).spec).prop_map(move |spec| (kind, spec));
    prop::strategy::Union::new(ResourceKind::ALL.map(of))
}

/// A name for a resource of a kind.
pub(crate) fn id(kind: ResourceKind) -> ResourceId {
    ResourceId::named(kind, "m", Some("parent"), "x").unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_spec_is_printed_as_it_was_read((kind, spec) in any_spec()) {
        let id = id(kind);
        let own = kind_schema(kind).name;
        let name = id.name().to_owned();
        let body = json!({ own: name, "spec": spec, "clientToken": "t-1" });
        let located = Located::from_json(body.to_string().as_bytes()).unwrap();
        let created = read_create(kind, id.parent().as_ref(), &located);
        let created = created.map_err(|problems| TestCaseError::fail(format!("{body}: {problems:#?}")))?;
        prop_assert!(created.problems.iter().all(|problem| problem.severity == Severity::Warning));
        prop_assert_eq!(&created.resource.id, &id);
        prop_assert_eq!(serde_json::to_value(&created.resource.spec).unwrap(), spec.clone());
        prop_assert_eq!(created.client_token.as_deref(), Some("t-1"));
        let body = json!({ "spec": spec });
        let located = Located::from_json(body.to_string().as_bytes()).unwrap();
        prop_assert_eq!(read_update(&id, &located).unwrap().resource, created.resource);
    }
}
