//! Plans as tables, and the laws that hold for all of them.

mod laws;

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
fn what_others_made_is_left_alone() {
    let others = {
        let mut node = node("n", &[81]);
        node["tags"][TAG] = json!("another");
        node
    };
    let there = target(&[mesh(), others, node("beside", &[80])]);
    let wanted = source(&[
        mesh(),
        node("n", &[80]),
        service(&json!({ "virtualNode": { "virtualNodeName": "n" } })),
    ]);
    let options = Options {
        prune: true,
        ..options()
    };
    let plan = plan(&wanted, &there, &options);
    // What stands on it can be made.
    assert_eq!(lines(&plan), ["0 create s"]);
    let foreign: Vec<_> = plan
        .foreign
        .iter()
        .map(|foreign| (foreign.id.name(), foreign.of.as_deref()))
        .collect();
    assert_eq!(
        foreign,
        [("m", None), ("beside", None), ("n", Some("another"))]
    );
    let states: Vec<_> = plan.foreign.iter().map(|foreign| &foreign.state).collect();
    assert!(
        matches!(states[..], [ForeignState::Same, ForeignState::Beside, ForeignState::Differs(changes)] if changes.len() == 1)
    );

    let adopt = super::plan(
        &wanted,
        &there,
        &Options {
            adopt: true,
            ..options
        },
    );
    assert_eq!(
        lines(&adopt),
        [
            "0 adopt (+ tags.outrigger:mirrored-from: \"source\") m",
            "1 adopt (~ spec.listeners[0].portMapping.port: 81 → 80, ~ tags.outrigger:mirrored-from: \"another\" → \
             \"source\") n",
            "2 create s after n",
        ]
    );
    assert_eq!(adopt.foreign.len(), 1, "{adopt:?}");
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
fn what_the_target_has_no_kind_for_is_not_mirrored() {
    let lacking = Target {
        lacks: [ResourceKind::VirtualService].into(),
        ..Target::default()
    };
    let known = Known::read(lacking, &Model::default());
    let service = service(&json!({ "virtualNode": { "virtualNodeName": "n" } }));
    let plan = plan(
        &source(&[mesh(), node("n", &[80]), service]),
        &known,
        &options(),
    );
    assert_eq!(lines(&plan), ["0 create m", "1 create n after m"]);
    let kind = ResourceKind::VirtualService;
    let left: Vec<&Why> = plan.not_mirrored.iter().map(|left| &left.why).collect();
    assert_eq!(left, [&Why::Unknown { kind }]);
}

#[test]
fn what_does_not_tell_its_tags_is_nobodys_to_change() {
    let mut known = target(&[ours(mesh())]);
    for (name, port) in [("alike", 80), ("n", 81), ("beside", 80)] {
        let (resource, tags) = read(&node(name, &[port]));
        let held = Held {
            spec: json(&resource.spec),
            tags,
            no_tags: Some(NoTags::Refused("ForbiddenException: no".to_owned())),
            metadata: Metadata::default(),
        };
        known.take_in(&resource.id, held, &Model::default());
    }
    let wanted = source(&[mesh(), node("alike", &[80]), node("n", &[80])]);
    for adopt in [false, true] {
        let options = Options {
            adopt,
            prune: true,
            ..options()
        };
        let plan = plan(&wanted, &known, &options);
        assert_eq!(lines(&plan), [""; 0], "{plan:?}");
        let left: Vec<String> = plan.foreign.iter().map(ToString::to_string).collect();
        assert_eq!(left.len(), 3, "{left:?}");
        let why = "its tags cannot be read, so it may be anybody's (ForbiddenException: no)";
        assert!(left.iter().all(|line| line.starts_with(why)), "{left:?}");
    }
}

#[test]
fn a_mesh_that_another_account_shares_is_no_target() {
    let shared = Known::read(
        Target {
            shared: [(MeshName::new("m"), ["210987654321".to_owned()].into())].into(),
            ..Target::default()
        },
        &Model::default(),
    );
    let adopt = Options {
        adopt: true,
        ..options()
    };
    let plan = plan(&source(&[mesh(), node("n", &[80])]), &shared, &adopt);
    assert_eq!(lines(&plan), [""; 0], "{plan:?}");
    let left: Vec<String> = plan
        .not_mirrored
        .iter()
        .map(|left| left.why.to_string())
        .collect();
    assert_eq!(
        left,
        [
            "account 210987654321 shares a mesh of that name with the target's account, and it is not the mirror's",
            "it needs `mesh/m`, which is not at the target",
        ]
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
fn what_is_gone_is_kept_without_prune_and_while_it_is_used() {
    let there = [mesh(), node("n", &[80]), router(&[80])].map(ours);
    // Made by somebody else.
    let user = route("x", None, "n", None);
    let there = target(&[there.as_slice(), &[user]].concat());
    let kept = plan(&source(&[]), &there, &options());
    assert_eq!(kept.steps, []);
    let why: Vec<&Kept> = kept.orphaned.iter().map(|orphan| &orphan.why).collect();
    assert_eq!(why, [&Kept::Unpruned; 3]);
    let pruned = plan(
        &source(&[]),
        &there,
        &Options {
            prune: true,
            ..options()
        },
    );
    assert_eq!(pruned.steps, []);
    let kept: Vec<String> = pruned
        .orphaned
        .iter()
        .map(|orphan| format!("{} {:?}", orphan.id, orphan.why))
        .collect();
    assert_eq!(kept.len(), 3, "{kept:?}");
    assert_eq!(
        kept[1],
        "mesh/m/virtualNode/n InUse { by: [Route(\"m\", \"r\", \"x\")] }"
    );
}

#[test]
fn what_cannot_be_mirrored_says_why() {
    let tagged = |mut document: Json, tags: Json| {
        document["tags"] = tags;
        document
    };
    let many: BTreeMap<String, String> = (0..50)
        .map(|index| (format!("t{index:02}"), String::new()))
        .collect();
    let documents = [
        mesh(),
        tagged(node("copy", &[80]), json!({ TAG: "target" })),
        tagged(node("many", &[80]), json!(many)),
        tagged(node("reserved", &[80]), json!({ "AWS:x": "y" })),
        router(&[80, 81]),
        route("x", None, "n", None),
        node("n", &[80]),
        service(&json!({ "virtualNode": { "virtualNodeName": "many" } })),
    ];
    let plan = plan(&source(&documents), &target(&[]), &options());
    let left: Vec<String> = plan
        .not_mirrored
        .iter()
        .map(|left| format!("{}: {}", left.id.name(), left.why))
        .collect();
    assert_eq!(
        left,
        [
            "copy: it was mirrored from the target",
            "many: it would have 51 tags with `outrigger:mirrored-from`, of 50 that a resource can have; remove some",
            "reserved: tags that start with `aws:` are AWS's own; remove `AWS:x`",
            "s: it needs `mesh/m/virtualNode/many`, which is not at the target",
            "x: App Mesh's service refuses it, since virtual router `r` has several listeners, so `port` must say which",
        ]
    );
    assert_eq!(
        lines(&plan),
        ["0 create m", "1 create n after m", "1 create r after m"]
    );
}

#[test]
fn a_copy_goes_back_when_that_is_asked_for_and_then_goes_on() {
    let copy = |document: Json, of: &str| {
        let mut document = document;
        document["tags"] = json!({ TAG: of });
        document
    };
    let here = [
        copy(mesh(), "target"),
        copy(node("a", &[81]), "target"),
        copy(node("b", &[81]), "target"),
    ];
    let there = [mesh(), node("a", &[80])];
    let cautious = plan(&source(&here), &target(&there), &options());
    assert_eq!(lines(&cautious), [""; 0]);
    assert_eq!(cautious.not_mirrored.len(), 3, "{cautious:?}");
    let adopting = Options {
        adopt: true,
        ..options()
    };
    let back = plan(&source(&here), &target(&there), &adopting);
    assert_eq!(back.not_mirrored, []);
    assert_eq!(back.steps.len(), 3, "{:?}", lines(&back));
    // Each side has the other's tag then, and whichever mirror runs is followed.
    let there = [ours(mesh()), ours(node("a", &[80])), ours(node("b", &[81]))];
    let after = plan(&source(&here), &target(&there), &options());
    let steps: Vec<String> = after.steps.iter().map(|step| step.id.to_string()).collect();
    assert_eq!(
        (steps, after.unchanged),
        (vec!["mesh/m/virtualNode/a".to_owned()], 2)
    );
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

#[test]
fn other_meshes_are_out_of_scope() {
    let other = json!({ "kind": "Mesh", "meshName": "other", "spec": {} });
    let options = Options {
        scope: Scope::Named([MeshName::new("m")].into()),
        ..options()
    };
    let plan = plan(&source(&[mesh(), other.clone()]), &target(&[]), &options);
    assert_eq!(lines(&plan), ["0 create m"]);
    let plan = super::plan(&source(&[]), &target(&[ours(other)]), &options);
    assert_eq!((plan.orphaned.len(), plan.foreign.len()), (0, 0));
}
