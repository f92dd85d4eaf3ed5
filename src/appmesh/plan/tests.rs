//! Plans as tables, and the laws that hold for all of them.

mod laws;
mod left;

use serde_json::{Value as Json, json};

use super::*;
use crate::appmesh::client::{Held, Metadata, NoTags};
use crate::appmesh::read::Target;
use crate::model::document::Located;
use crate::model::{MeshName, Model, ResourceKind, schema};
use crate::store::{Owner, Record, Revision, Timestamp};

const OURS: &str = "source";

/// A document as a resource, and the tags that it has.
fn read(document: &Json) -> (Resource, Tags) {
    let mut document = document.clone();
    let tags = document.as_object_mut().unwrap().remove("tags");
    let read = schema::read(&Located::from(document.clone()));
    let resource = read
        .resource
        .unwrap_or_else(|| panic!("{document}: {:#?}", read.problems));
    let tags = tags.map(|tags| serde_json::from_value(tags).unwrap());
    (resource, tags.unwrap_or_default())
}

fn source(documents: &[Json]) -> Stored {
    let mut stored = Stored {
        revision: Revision::new(1),
        ..Stored::default()
    };
    for document in documents {
        let (resource, tags) = read(document);
        let record = Record {
            uid: resource.id.to_string(),
            created_at: Timestamp::default(),
            updated_at: Timestamp::default(),
            version: 1,
            tags,
            owner: Owner::Api,
        };
        stored.records.insert(resource.id.clone(), record.into());
        stored.model.insert(resource);
    }
    stored
}

fn target(documents: &[Json]) -> Known {
    let mut known = Known::default();
    for document in documents {
        let (resource, tags) = read(document);
        let arn = format!("arn:{}", resource.id);
        let spec = json(&resource.spec);
        known.insert(resource.id, arn, spec, tags, &Model::default());
    }
    known
}

fn options() -> Options {
    Options {
        mirror: OURS.to_owned(),
        target: Some("target".to_owned()),
        adopt: false,
        prune: false,
        scope: Scope::All,
    }
}

/// The same document as the mirror has written it.
fn ours(mut document: Json) -> Json {
    document["tags"][TAG] = json!(OURS);
    document
}

fn mesh() -> Json {
    json!({ "kind": "Mesh", "meshName": "m", "spec": {} })
}

fn listeners(ports: &[u16]) -> Json {
    let listener = |port: &u16| json!({ "portMapping": { "port": port, "protocol": "http" } });
    ports.iter().map(listener).collect()
}

fn node(name: &str, ports: &[u16]) -> Json {
    json!({ "kind": "VirtualNode", "meshName": "m", "virtualNodeName": name, "spec": {
        "serviceDiscovery": { "dns": { "hostname": "n.local" } }, "listeners": listeners(ports),
    } })
}

fn router(ports: &[u16]) -> Json {
    json!({ "kind": "VirtualRouter", "meshName": "m", "virtualRouterName": "r", "spec": { "listeners": listeners(ports) } })
}

/// A route of the router to a node, with the port of each, if one is said.
fn route(name: &str, port: Option<u16>, node: &str, target: Option<u16>) -> Json {
    let mut spec = json!({ "httpRoute": {
        "match": { "prefix": "/" },
        "action": { "weightedTargets": [{ "virtualNode": node, "weight": 1 }] },
    } });
    if let Some(port) = port {
        spec["httpRoute"]["match"]["port"] = json!(port);
    }
    if let Some(port) = target {
        spec["httpRoute"]["action"]["weightedTargets"][0]["port"] = json!(port);
    }
    json!({ "kind": "Route", "meshName": "m", "virtualRouterName": "r", "routeName": name, "spec": spec })
}

fn service(provider: &Json) -> Json {
    json!({ "kind": "VirtualService", "meshName": "m", "virtualServiceName": "s", "spec": { "provider": provider } })
}

/// Steps in a line each: the phase, what is done, and what it needs of earlier ones.
fn lines(plan: &Plan) -> Vec<String> {
    let line = |step: &Step| {
        let action = match &step.action {
            Action::Create { .. } => "create".to_owned(),
            Action::Delete => "delete".to_owned(),
            Action::Update { changes, how, .. } => {
                let changes: Vec<String> = changes.iter().map(ToString::to_string).collect();
                let how = match how {
                    How::Follow => "update",
                    How::Adopt => "adopt",
                    How::Interim => "meanwhile",
                };
                format!("{how} ({})", changes.join(", "))
            }
        };
        let needs: Vec<&str> = step.needs.iter().map(ResourceId::name).collect();
        let needs = if needs.is_empty() {
            String::new()
        } else {
            format!(" after {}", needs.join(", "))
        };
        let unsure = if step.is_unsure { " (unsure)" } else { "" };
        let (phase, name) = (step.phase, step.id.name());
        format!("{phase} {action} {name}{needs}{unsure}")
    };
    plan.steps.iter().map(line).collect()
}

#[track_caller]
fn steps(from: &[Json], to: &[Json], expected: &[&str]) {
    let from: Vec<Json> = from.iter().cloned().map(ours).collect();
    let options = Options {
        prune: true,
        ..options()
    };
    let plan = plan(&source(to), &target(&from), &options);
    assert_eq!(lines(&plan), expected, "{plan:#?}");
}

#[test]
fn parents_come_first_and_go_last() {
    let all = [
        mesh(),
        node("n", &[80]),
        router(&[80]),
        route("x", None, "n", None),
        service(&json!({ "virtualRouter": { "virtualRouterName": "r" } })),
    ];
    steps(
        &[],
        &all,
        &[
            "0 create m",
            "1 create n after m",
            "1 create r after m",
            "2 create s after m, r",
            "2 create x after m, n, r",
        ],
    );
    steps(&all, &all, &[]);
    steps(
        &all,
        &[],
        &[
            "0 delete s",
            "0 delete x",
            "1 delete n after x",
            "1 delete r after s, x",
            "2 delete m after n, s, r, x",
        ],
    );
}

#[test]
fn what_is_new_is_there_before_what_is_old_goes() {
    let of = |node: &str| service(&json!({ "virtualNode": { "virtualNodeName": node } }));
    steps(
        &[mesh(), node("old", &[80]), of("old")],
        &[mesh(), node("new", &[80]), of("new")],
        &[
            "0 create new",
            "1 update (~ spec.provider.virtualNode.virtualNodeName: \"old\" → \"new\") s after new",
            "2 delete old after s",
        ],
    );
}

#[test]
fn routes_name_their_port_before_the_router_has_a_second() {
    let from = [
        mesh(),
        node("n", &[80]),
        router(&[80]),
        route("x", None, "n", None),
    ];
    steps(
        &from,
        &[
            mesh(),
            node("n", &[80]),
            router(&[80, 81]),
            route("x", Some(80), "n", None),
            route("y", Some(81), "n", None),
        ],
        &[
            "0 update (+ spec.httpRoute.match.port: 80) x",
            "1 update (+ spec.listeners[1]: {\"portMapping\":{\"port\":81,\"protocol\":\"http\"}}) r after x",
            "2 create y after r",
        ],
    );
    // The new port is none yet, so the old one is named first.
    steps(
        &from,
        &[
            mesh(),
            node("n", &[80]),
            router(&[80, 81]),
            route("x", Some(81), "n", None),
        ],
        &[
            "0 meanwhile (+ spec.httpRoute.match.port: 80) x",
            "1 update (+ spec.listeners[1]: {\"portMapping\":{\"port\":81,\"protocol\":\"http\"}}) r after x",
            "2 update (~ spec.httpRoute.match.port: 80 → 81) x after r",
        ],
    );
}

#[test]
fn listeners_stay_until_nobody_names_them() {
    steps(
        &[
            mesh(),
            node("n", &[80]),
            router(&[80, 81]),
            route("x", Some(81), "n", None),
        ],
        &[
            mesh(),
            node("n", &[80]),
            router(&[80]),
            route("x", None, "n", None),
        ],
        &[
            "0 meanwhile (~ spec.httpRoute.match.port: 81 → 80) x",
            "1 update (- spec.listeners[1]: {\"portMapping\":{\"port\":81,\"protocol\":\"http\"}}) r after x",
            "2 update (- spec.httpRoute.match.port: 80) x after r",
        ],
    );
    // One port instead of another, of a router and of a node.
    steps(
        &[
            mesh(),
            node("n", &[80]),
            router(&[80]),
            route("x", Some(80), "n", Some(80)),
        ],
        &[
            mesh(),
            node("n", &[90]),
            router(&[90]),
            route("x", Some(90), "n", Some(90)),
        ],
        &[
            "0 meanwhile (~ spec.listeners[0].portMapping.port: 80 → 90, + spec.listeners[1]: \
             {\"portMapping\":{\"port\":80,\"protocol\":\"http\"}}) n",
            "0 meanwhile (~ spec.listeners[0].portMapping.port: 80 → 90, + spec.listeners[1]: \
             {\"portMapping\":{\"port\":80,\"protocol\":\"http\"}}) r",
            "1 update (~ spec.httpRoute.action.weightedTargets[0].port: 80 → 90, ~ spec.httpRoute.match.port: 80 → 90) x \
             after n, r",
            "2 update (- spec.listeners[1]: {\"portMapping\":{\"port\":80,\"protocol\":\"http\"}}) n after x",
            "2 update (- spec.listeners[1]: {\"portMapping\":{\"port\":80,\"protocol\":\"http\"}}) r after x",
        ],
    );
    // A route that says no port fits any single one.
    steps(
        &[
            mesh(),
            node("n", &[80]),
            router(&[80]),
            route("x", None, "n", None),
        ],
        &[
            mesh(),
            node("n", &[80]),
            router(&[90]),
            route("x", None, "n", None),
        ],
        &["0 update (~ spec.listeners[0].portMapping.port: 80 → 90) r"],
    );
}

#[test]
fn what_no_order_of_aws_allows_goes_last() {
    let tcp = |document: Json| {
        let text = document.to_string().replace("\"http\"", "\"tcp\"");
        serde_json::from_str::<Json>(&text).unwrap()
    };
    let stream = json!({ "kind": "Route", "meshName": "m", "virtualRouterName": "r", "routeName": "x", "spec": {
        "tcpRoute": { "action": { "weightedTargets": [{ "virtualNode": "n", "weight": 1 }] } },
    } });
    let from = [
        mesh(),
        node("n", &[80]),
        router(&[80]),
        route("x", None, "n", None),
    ];
    let to = [mesh(), tcp(node("n", &[80])), tcp(router(&[80])), stream];
    let from: Vec<Json> = from.into_iter().map(ours).collect();
    let plan = plan(&source(&to), &target(&from), &options());
    let unsure: Vec<_> = plan.steps.iter().filter(|step| step.is_unsure).collect();
    let unsure: Vec<_> = unsure.iter().map(|step| step.id.to_string()).collect();
    assert_eq!(unsure, ["mesh/m/virtualRouter/r"]);
}

#[test]
fn what_is_adopted_is_the_mirrors_before_it_is_changed() {
    let there = [
        mesh(),
        node("n", &[80]),
        router(&[80]),
        route("x", Some(80), "n", None),
    ];
    let wanted = [
        mesh(),
        node("n", &[80]),
        router(&[90]),
        route("x", Some(90), "n", None),
    ];
    let adopt = Options {
        adopt: true,
        ..options()
    };
    let plan = plan(&source(&wanted), &target(&there), &adopt);
    let lines = lines(&plan);
    let of_router: Vec<&String> = lines.iter().filter(|line| line.contains(") r")).collect();
    assert_eq!(
        of_router,
        [
            "2 meanwhile (~ spec.listeners[0].portMapping.port: 80 → 90, + spec.listeners[1]: \
             {\"portMapping\":{\"port\":80,\"protocol\":\"http\"}}, + tags.outrigger:mirrored-from: \"source\") r",
            "4 adopt (- spec.listeners[1]: {\"portMapping\":{\"port\":80,\"protocol\":\"http\"}}) r after x",
        ],
        "{lines:#?}"
    );
}

/// A route that names no port is in the way while its router has two, and names one meanwhile, though only its tags differ.
#[test]
fn what_only_gets_the_mirrors_tag_can_have_interim_forms() {
    let there = [
        mesh(),
        node("n", &[80]),
        router(&[80]),
        route("x", None, "n", None),
        route("y", Some(80), "n", None),
    ];
    let wanted = [
        mesh(),
        node("n", &[80]),
        router(&[90]),
        route("x", None, "n", None),
        route("y", Some(90), "n", None),
    ];
    let adopt = Options {
        adopt: true,
        ..options()
    };
    let plan = plan(&source(&wanted), &target(&there), &adopt);
    let unsure: Vec<&Step> = plan.steps.iter().filter(|step| step.is_unsure).collect();
    assert_eq!(unsure, [&plan.steps[0]; 0], "{:#?}", lines(&plan));
}

/// The target has the last word on what its own node does not have, and whatever it says, `old` is in nobody's use then.
#[test]
fn what_the_last_resort_frees_is_deleted() {
    let there = [
        ours(mesh()),
        node("n", &[80]),
        ours(node("old", &[81])),
        ours(router(&[80])),
        ours(route("x", None, "old", Some(81))),
    ];
    let wanted = [
        mesh(),
        node("n", &[80, 81]),
        router(&[80]),
        route("x", None, "n", Some(81)),
    ];
    let prune = Options {
        prune: true,
        ..options()
    };
    let plan = plan(&source(&wanted), &target(&there), &prune);
    let last = lines(&plan);
    assert_eq!(last[1..], ["1 delete old after x"], "{last:?}");
    assert!(
        plan.steps[0].is_unsure && plan.orphaned.is_empty(),
        "{plan:?}"
    );
}

#[test]
fn tags_are_added_and_changed_and_never_removed() {
    let mut wanted = mesh();
    wanted["tags"] = json!({ "team": "new", "more": "x" });
    let mut there = ours(mesh());
    there["tags"]["team"] = json!("old");
    there["tags"]["theirs"] = json!("y");
    let plan = plan(&source(&[wanted]), &target(&[there]), &options());
    assert_eq!(
        lines(&plan),
        ["0 update (+ tags.more: \"x\", ~ tags.team: \"old\" → \"new\") m"]
    );
    let Action::Update {
        spec: None, tags, ..
    } = &plan.steps[0].action
    else {
        panic!("{plan:?}");
    };
    assert_eq!(tags.len(), 2);
}

/// Or a prune of `outrigger apply` at the target would delete what a set of the same name was applied to at the source.
#[test]
fn the_source_s_own_tags_stay_there() {
    let mut wanted = mesh();
    wanted["tags"] = json!({ "team": "x", "outrigger:applied-by": "default" });
    let plan = plan(&source(&[wanted]), &target(&[]), &options());
    let [
        Step {
            action: Action::Create { tags, .. },
            ..
        },
    ] = &plan.steps[..]
    else {
        panic!("{plan:?}");
    };
    assert_eq!(tags.keys().collect::<Vec<_>>(), [TAG, "team"]);
}

#[test]
fn what_the_service_fills_in_is_no_difference() {
    let check = json!({ "protocol": "http", "path": "/", "healthyThreshold": 2, "unhealthyThreshold": 2,
                        "timeoutMillis": 2000, "intervalMillis": 5000 });
    let mut wanted = node("n", &[80]);
    wanted["spec"]["listeners"][0]["healthCheck"] = check;
    wanted["spec"]["backends"] = json!([]);
    let mut there = wanted.clone();
    there["spec"]["listeners"][0]["healthCheck"]["port"] = json!(80);
    there["spec"].as_object_mut().unwrap().remove("backends");
    let plan = plan(
        &source(&[mesh(), wanted]),
        &target(&[ours(mesh()), ours(there)]),
        &options(),
    );
    assert_eq!((lines(&plan).len(), plan.unchanged), (0, 2));
}
