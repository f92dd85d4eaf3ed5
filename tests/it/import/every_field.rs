//! Specs that have, together, every field of App Mesh's model.

use std::collections::BTreeSet;

use outrigger::model::ResourceKind;
use outrigger::model::schema::{Form, Object, Rule, Type, kind_schema};
use serde_json::{Map, Value, json};

/// As few specs as cover the table of fields, each as full as it may be.
pub(super) fn every_field() -> Vec<(ResourceKind, Value)> {
    let mut specs = Vec::new();
    for kind in ResourceKind::ALL {
        let schema = kind_schema(kind).spec;
        let mut covered = BTreeSet::new();
        // So many combinations there are of members that exclude each other.
        for variant in 0..240 {
            let spec = full(schema, variant);
            let before = covered.len();
            paths_of(&spec, "", &mut covered);
            if covered.len() > before {
                specs.push((kind, spec));
            }
        }
        let mut all = BTreeSet::new();
        paths(schema, "", &mut all);
        let left: Vec<_> = all.symmetric_difference(&covered).collect();
        assert!(left.is_empty(), "{kind}: {left:?}");
    }
    specs
}

/// An object with all members that may stand together; the variant chooses among those that exclude each other.
fn full(object: &Object, variant: usize) -> Value {
    let unions = object.rules.iter().filter_map(|rule| match rule {
        Rule::ExactlyOne(names) | Rule::AtMostOne(names) => Some(*names),
        _ => None,
    });
    let unions: Vec<&[&str]> = unions.collect();
    let is_chosen = |name: &&str| {
        let mut unions = unions.iter().filter(|names| names.contains(name));
        unions.all(|names| names[variant % names.len()] == *name)
    };
    let inner = variant / unions.iter().map(|names| names.len()).product::<usize>();
    let fields = object.fields.iter().filter(|field| is_chosen(&field.name));
    let members = fields.map(|field| {
        let value = value(&field.r#type, field.name, inner);
        (field.name.to_owned(), value)
    });
    Value::Object(members.collect::<Map<_, _>>())
}

fn value(r#type: &Type, name: &str, variant: usize) -> Value {
    match r#type {
        Type::Bool => json!(variant.is_multiple_of(2)),
        // Of a range, which begins with the least.
        Type::Int { min, .. } if name == "end" => json!(min + 9),
        Type::Int { min, .. } => json!(min),
        Type::Text { form, .. } => json!(match form {
            Form::PathPrefix | Form::GatewayPathPrefix | Form::PrefixRewrite => "/a/",
            Form::HttpRetryEvent => "server-error",
            Form::HostName => "a.invalid",
            Form::HostNameSuffix => ".invalid",
            _ => "abc",
        }),
        // In the order of the members that protocols have a say in.
        Type::Enum(values) => {
            let mut values = values.to_vec();
            values.sort_unstable();
            json!(values[variant % values.len()])
        }
        Type::List { item, .. } => json!([value(item, name, variant)]),
        Type::Object(object) => full(object, variant),
    }
}

fn paths(object: &Object, prefix: &str, all: &mut BTreeSet<String>) {
    for field in object.fields {
        let path = format!("{prefix}{}", field.name);
        let inner = match &field.r#type {
            Type::List { item, .. } => item,
            other => other,
        };
        if let Type::Object(object) = inner {
            paths(object, &format!("{path}."), all);
        }
        all.insert(path);
    }
}

fn paths_of(spec: &Value, prefix: &str, all: &mut BTreeSet<String>) {
    for (name, value) in spec.as_object().into_iter().flatten() {
        let path = format!("{prefix}{name}");
        let inner = value.as_array().map_or(value, |items| &items[0]);
        paths_of(inner, &format!("{path}."), all);
        all.insert(path);
    }
}
