//! The table against the API's own counts, against the typed specs, and against documents with mistakes.

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json, json};

use super::{Object, Rule, Type, kind_schema, read};
use crate::model::document::Located;
use crate::model::names::ResourceKind;
use crate::model::problem::{Problem, Severity};

/// Every path of a spec, as the API's reference counts them: a list of objects and its members are paths of their own.
fn paths(object: &Object, prefix: &str, all: &mut Vec<String>) {
    for field in object.fields {
        let mut path = format!("{prefix}{}", field.name);
        let mut r#type = &field.r#type;
        if let Type::List { item, .. } = r#type {
            path.push_str("[]");
            r#type = item;
        }
        all.push(path.clone());
        if let Type::Object(inner) = r#type {
            paths(inner, &format!("{path}."), all);
        }
    }
}

fn spec_paths(kind: ResourceKind) -> Vec<String> {
    let mut all = Vec::new();
    paths(kind_schema(kind).spec, "", &mut all);
    all
}

#[test]
fn the_table_has_as_many_fields_as_the_api() {
    let counts = ResourceKind::ALL.map(|kind| (kind.as_str(), spec_paths(kind).len()));
    assert_eq!(
        counts,
        [
            ("Mesh", 4),
            ("VirtualNode", 143),
            ("VirtualService", 5),
            ("VirtualRouter", 4),
            ("Route", 135),
            ("VirtualGateway", 70),
            ("GatewayRoute", 105),
        ]
    );
}

/// Any document that holds every member it may; the variant chooses among members that exclude each other, and among
/// the values of enums. Protocols and the unions named by protocols are in the same order, so they agree.
fn maximal(object: &Object, variant: usize) -> Json {
    let chosen = |name: &str| {
        object.rules.iter().all(|rule| match rule {
            Rule::ExactlyOne(names) | Rule::AtMostOne(names) => {
                !names.contains(&name) || names[variant % names.len()] == name
            }
            _ => true,
        })
    };
    // Nested objects choose by what is left of the number, so that every combination comes up.
    let choices = object.rules.iter().map(|rule| match rule {
        Rule::ExactlyOne(names) | Rule::AtMostOne(names) => names.len(),
        _ => 1,
    });
    let inner = variant / choices.product::<usize>();
    let members = object
        .fields
        .iter()
        .filter(|field| chosen(field.name))
        .map(|field| (field.name.into(), example(&field.r#type, field.name, inner)));
    Json::Object(members.collect::<Map<_, _>>())
}

fn example(r#type: &Type, name: &str, variant: usize) -> Json {
    match r#type {
        Type::Bool => json!(variant.is_multiple_of(2)),
        Type::Int { min, .. } if name == "end" => json!(min + 9),
        Type::Int { min, max } => json!(if *max == 100 { *max } else { *min }),
        Type::Text { min, form, .. } => {
            let text = form.example();
            assert!(text.len() >= *min);
            json!(text)
        }
        Type::Enum(values) => {
            let mut values = values.to_vec();
            values.sort_unstable();
            json!(values[variant % values.len()])
        }
        Type::List { item, .. } => json!([example(item, name, variant)]),
        Type::Object(object) => maximal(object, variant),
    }
}

pub(in crate::model) fn remove_nulls(json: &mut Json) {
    match json {
        Json::Array(items) => items.iter_mut().for_each(remove_nulls),
        Json::Object(members) => {
            members.retain(|_, value| !value.is_null());
            members.values_mut().for_each(remove_nulls);
        }
        _ => {}
    }
}

fn json_paths(json: &Json, prefix: &str, all: &mut BTreeSet<String>) {
    for (name, value) in json.as_object().into_iter().flatten() {
        let (path, inner) = match value {
            Json::Array(items) => (format!("{prefix}{name}[]"), &items[0]),
            other => (format!("{prefix}{name}"), other),
        };
        json_paths(inner, &format!("{path}."), all);
        all.insert(path);
    }
}

#[test]
fn typed_specs_read_and_print_every_field_of_the_table() {
    for kind in ResourceKind::ALL {
        let schema = kind_schema(kind);
        let mut covered = BTreeSet::new();
        for variant in 0..240 {
            let mut document = maximal(schema.document, variant);
            document["kind"] = json!(kind.as_str());
            let result = read(&Located::from(document.clone()));
            assert_eq!(result.problems, [], "{kind} {variant}: {document:#}");
            let spec = serde_json::to_value(result.resource.unwrap().spec).unwrap();
            assert_eq!(spec, document["spec"], "{kind} {variant}");
            json_paths(&spec, "", &mut covered);
        }
        let all: BTreeSet<String> = spec_paths(kind).into_iter().collect();
        let left_out: Vec<_> = all.symmetric_difference(&covered).collect();
        assert!(left_out.is_empty(), "{kind}: {left_out:?}");
    }
}

#[test]
fn an_unknown_member_of_any_object_is_found() {
    // The typed specs refuse it too, so a field can neither be ignored nor get lost.
    fn spoil(json: &mut Json, spoiled: &mut Vec<Json>, whole: &dyn Fn(Json) -> Json) {
        let Some(members) = json.as_object_mut() else {
            return;
        };
        let mut with_extra = members.clone();
        with_extra.insert("surplus".into(), json!(1));
        spoiled.push(whole(Json::Object(with_extra)));
        for (name, value) in members.clone() {
            let rebuild = |inner: Json| {
                let mut copy = members.clone();
                let is_list = copy[&name].is_array();
                copy.insert(name.clone(), if is_list { json!([inner]) } else { inner });
                whole(Json::Object(copy))
            };
            let mut inner = if value.is_array() {
                value[0].clone()
            } else {
                value
            };
            spoil(&mut inner, spoiled, &rebuild);
        }
    }
    for kind in ResourceKind::ALL {
        let schema = kind_schema(kind);
        for variant in 0..4 {
            let mut spoiled = Vec::new();
            spoil(&mut maximal(schema.spec, variant), &mut spoiled, &|json| {
                json
            });
            assert!(!spoiled.is_empty());
            for spec in spoiled {
                let problems = super::check_spec(kind, &Located::from(spec.clone()));
                assert!(
                    problems
                        .iter()
                        .any(|problem| problem.what == "unknown field `surplus`"),
                    "{kind}: {spec:#}"
                );
            }
        }
    }
}

/// `path: what; help` of each problem of a spec.
fn problems_of(kind: ResourceKind, spec: Json) -> Vec<String> {
    let line = |problem: Problem| {
        let mark = if problem.severity == Severity::Warning {
            "warning: "
        } else {
            ""
        };
        format!("{mark}{}: {}; {}", problem.path, problem.what, problem.help)
    };
    super::check_spec(kind, &Located::from(spec))
        .into_iter()
        .map(line)
        .collect()
}

fn node(listener: &Json) -> Vec<String> {
    problems_of(
        ResourceKind::VirtualNode,
        json!({ "listeners": [listener], "serviceDiscovery": { "dns": { "hostname": "a.local" } } }),
    )
}

fn http_route(matches: &Json) -> Vec<String> {
    let action = json!({ "weightedTargets": [{ "virtualNode": "n", "weight": 1 }] });
    problems_of(
        ResourceKind::Route,
        json!({ "httpRoute": { "action": action, "match": matches } }),
    )
}

#[test]
fn what_terraform_leaves_out_is_accepted() {
    let listener = json!({
        "portMapping": { "port": 8080, "protocol": "http" },
        "timeout": { "http": { "idle": { "unit": "s" } } },
        "outlierDetection": {
            "maxServerErrors": 5, "interval": { "unit": "s", "value": 10 },
            "baseEjectionDuration": { "unit": "s", "value": 10 },
        },
    });
    assert_eq!(node(&listener), [""; 0]);
    let range = json!({ "prefix": "/", "headers": [{ "name": "x", "invert": false, "match": { "range": { "end": 3 } } }] });
    assert_eq!(http_route(&range), [""; 0]);
}

#[test]
fn nulls_count_as_absent() {
    assert_eq!(
        problems_of(
            ResourceKind::VirtualService,
            json!({ "provider": null, "no": null })
        ),
        [""; 0]
    );
}

#[test]
fn discovery_without_listeners_is_accepted_but_not_the_reverse() {
    let discovery = json!({ "serviceDiscovery": { "dns": { "hostname": "a.local" } } });
    assert_eq!(problems_of(ResourceKind::VirtualNode, discovery), [""; 0]);
    let listeners = json!({ "listeners": [{ "portMapping": { "port": 1, "protocol": "tcp" } }] });
    let problems = problems_of(ResourceKind::VirtualNode, listeners);
    assert_eq!(problems.len(), 1);
    assert!(
        problems[0].contains("`listeners` needs `serviceDiscovery`"),
        "{problems:?}"
    );
}

#[test]
fn values_are_held_to_their_types_and_bounds() {
    insta::assert_snapshot!(node(&json!({
        "portMapping": { "port": "8080", "protocol": "htp" },
        "healthCheck": {
            "healthyThreshold": 1, "intervalMillis": 5000.5, "protocol": "http", "timeoutMillis": 70_000,
            "unhealthyThreshold": true, "port": 70_000,
        },
        "connectionPool": { "http": { "maxConnections": 0, "maxConnection": 1 } },
        "timeout": [],
    })).join("\n"));
}

#[test]
fn members_follow_the_listener() {
    insta::assert_snapshot!(node(&json!({
        "portMapping": { "port": 8080, "protocol": "grpc" },
        "connectionPool": { "http": { "maxConnections": 1 } },
        "timeout": { "http": {}, "grpc": {} },
        "healthCheck": {
            "healthyThreshold": 2, "intervalMillis": 5000, "protocol": "grpc", "timeoutMillis": 2000,
            "unhealthyThreshold": 2, "port": 8081,
        },
    })).join("\n"));
}

#[test]
fn two_listeners_never_share_a_port() {
    let listener = |port: u16| json!({ "portMapping": { "port": port, "protocol": "http" } });
    let problems = problems_of(
        ResourceKind::VirtualRouter,
        json!({ "listeners": [listener(80), listener(81), listener(80)] }),
    );
    insta::assert_snapshot!(problems.join("\n"));
}

#[test]
fn matches_of_http_routes() {
    insta::assert_snapshot!([
        http_route(&json!({})),
        http_route(&json!({ "prefix": "api" })),
        http_route(&json!({ "prefix": "/", "path": { "exact": "/a", "regex": "/b" } })),
        http_route(&json!({ "prefix": "/", "headers": [{ "name": ":path" }, { "name": "x", "match": {} }] })),
        http_route(&json!({ "prefix": "/", "headers": [{ "name": "x", "match": { "range": { "start": 5, "end": 5 } } }] })),
        http_route(&json!({ "prefix": "/", "headers": [], "method": "get" })),
    ].concat().join("\n"));
}

#[test]
fn routes_have_one_type_and_weights_up_to_100() {
    let target = |weight: u8| json!({ "virtualNode": "n", "weight": weight });
    let tcp = |targets: Json| json!({ "tcpRoute": { "action": { "weightedTargets": targets } } });
    insta::assert_snapshot!(
        [
            problems_of(ResourceKind::Route, json!({ "priority": 1001 })),
            problems_of(ResourceKind::Route, tcp(json!([target(60), target(41)]))),
            problems_of(ResourceKind::Route, tcp(json!([target(0)]))),
            problems_of(ResourceKind::Route, tcp(json!([]))),
            problems_of(ResourceKind::Route, tcp(Json::Array(vec![target(1); 11]))),
        ]
        .concat()
        .join("\n")
    );
}

#[test]
fn grpc_routes_and_retries() {
    let grpc = |matches: Json, retry: Json| {
        let action = json!({ "weightedTargets": [{ "virtualNode": "n", "weight": 1 }] });
        let route = json!({ "action": action, "match": matches, "retryPolicy": retry });
        problems_of(ResourceKind::Route, json!({ "grpcRoute": route }))
    };
    let retry = |events: &str| json!({ "maxRetries": 2, "perRetryTimeout": {}, "httpRetryEvents": [events] });
    assert_eq!(grpc(json!({}), retry("server-error")), [""; 0]);
    insta::assert_snapshot!(
        [
            grpc(json!({ "methodName": "Get" }), retry("server-error")),
            grpc(json!({}), retry("5xx")),
            grpc(
                json!({}),
                json!({ "maxRetries": -1, "perRetryTimeout": { "unit": "m" } })
            ),
        ]
        .concat()
        .join("\n")
    );
}

#[test]
fn gateway_routes_keep_to_their_rules() {
    let http = |matches: Json, rewrite: Json| {
        let target = json!({ "virtualService": { "virtualServiceName": "s.local" } });
        let action = json!({ "target": target, "rewrite": rewrite });
        problems_of(
            ResourceKind::GatewayRoute,
            json!({ "httpRoute": { "action": action, "match": matches } }),
        )
    };
    let grpc = |matches: Json| {
        let target = json!({ "virtualService": { "virtualServiceName": "s.local" } });
        problems_of(
            ResourceKind::GatewayRoute,
            json!({ "grpcRoute": { "action": { "target": target }, "match": matches } }),
        )
    };
    assert_eq!(
        http(
            json!({ "prefix": "/a" }),
            json!({ "prefix": { "value": "/b/" } })
        ),
        [""; 0]
    );
    assert_eq!(
        http(
            json!({ "hostname": { "suffix": "*.example.com" } }),
            json!(null)
        ),
        [""; 0]
    );
    insta::assert_snapshot!([
        http(json!({}), json!(null)),
        http(json!({ "prefix": "/aws-appmesh-x" }), json!({ "prefix": { "value": "/b" } })),
        http(json!({ "hostname": { "exact": "a b" } }), json!({ "path": { "exact": "/x" }, "prefix": { "defaultPrefix": "ENABLED", "value": "/" } })),
        grpc(json!({})),
        grpc(json!({ "serviceName": "aws.appmesh.v1" })),
    ].concat().join("\n"));
}

#[test]
fn a_document_says_its_kind_and_names() {
    let check = |document: Json| {
        let read = read(&Located::from(document));
        let lines = read
            .problems
            .iter()
            .map(|problem| format!("{}: {}; {}", problem.path, problem.what, problem.help));
        (
            read.id.map(|id| id.to_string()),
            lines.collect::<Vec<_>>().join("\n"),
        )
    };
    insta::assert_debug_snapshot!([
        check(json!({ "kind": "virtualNode", "meshName": "m" })),
        check(json!({ "meshName": "m", "virtualRouterName": "r", "routeName": "x" })),
        check(json!({ "kind": "Route", "meshName": "m", "routeName": "x", "spec": {} })),
        check(json!({ "kind": "VirtualNode", "meshName": "m", "virtualNodeName": "a/b" })),
        check(
            json!({ "kind": "Mesh", "meshName": "m", "clientToken": "x".repeat(65), "tags": [{ "value": "v" }] })
        ),
        check(json!(["kind"])),
    ]);
}
