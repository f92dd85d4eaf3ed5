//! Plans: from what there is and what is declared, in the form of mesh files, to the steps.

use serde_json::{Value, json};

use super::plan::{Options, Plan, Reach, SET_TAG, Wanted, plan};
use crate::cli::remote::Listing;
use crate::cli::step::{Action, Step};
use crate::files::parse;
use crate::model::tags::Tags;
use crate::model::{MeshName, ResourceId, schema};

const SMALL: &str = "
kind: GatewayRoute
meshName: m
virtualGatewayName: g
gatewayRouteName: x
spec: { httpRoute: { match: { prefix: / }, action: { target: { virtualService: { virtualServiceName: s } } } } }
---
kind: Route
meshName: m
virtualRouterName: r
routeName: x
spec: { httpRoute: { match: { prefix: / }, action: { weightedTargets: [{ virtualNode: n, weight: 1 }] } } }
---
kind: VirtualService
meshName: m
virtualServiceName: s
spec: { provider: { virtualRouter: { virtualRouterName: r } } }
---
kind: VirtualGateway
meshName: m
virtualGatewayName: g
spec: { listeners: [{ portMapping: { port: 80, protocol: http } }] }
---
kind: VirtualRouter
meshName: m
virtualRouterName: r
spec: { listeners: [{ portMapping: { port: 80, protocol: http } }] }
---
kind: VirtualNode
meshName: m
virtualNodeName: n
spec: { listeners: [{ portMapping: { port: 80, protocol: http } }], serviceDiscovery: { dns: { hostname: n } } }
---
kind: Mesh
meshName: m
";

const PRUNE: Options<'_> = Options {
    set: "default",
    prune: Some(Reach::Own),
    take_over: false,
};
const KEEP: Options<'_> = Options {
    prune: None,
    ..PRUNE
};

fn declared(yaml: &str) -> Vec<Wanted> {
    let (documents, problems) = parse(yaml);
    assert_eq!(problems, []);
    let wanted = documents.iter().map(|document| {
        let resource = schema::read(document).resource.unwrap();
        Wanted::new(resource, Tags::new())
    });
    wanted.collect()
}

/// What the server answers when all of it is applied by a set, or by nobody.
fn applied(yaml: &str, set: Option<&str>) -> Listing {
    let (documents, _) = parse(yaml);
    let entries: Vec<Value> = documents
        .iter()
        .map(|document| {
            let mut entry = document.to_json();
            if entry["spec"].is_null() {
                entry["spec"] = json!({});
            }
            entry["metadata"] =
                json!({ "arn": format!("arn:{}", entry["kind"].as_str().unwrap()) });
            entry["tags"] = set.map_or(json!({}), |set| json!({ SET_TAG: set }));
            entry["owner"] = json!({ "api": true });
            entry
        })
        .collect();
    Listing::read(json!({ "resources": entries })).unwrap()
}

fn lines(plan: &Plan) -> Vec<String> {
    let line = |step: &Step| {
        let (verb, id) = (step.action.verb().as_str(), &step.id);
        format!("{} {verb} {id}", step.phase())
    };
    plan.steps.iter().map(line).collect()
}

#[test]
fn what_is_named_comes_first_and_goes_last() {
    let created = plan(&Listing::default(), &declared(SMALL), KEEP);
    assert_eq!(
        lines(&created),
        [
            "0 create mesh/m",
            "1 create mesh/m/virtualNode/n",
            "1 create mesh/m/virtualRouter/r",
            "1 create mesh/m/virtualGateway/g",
            "2 create mesh/m/virtualService/s",
            "2 create mesh/m/virtualRouter/r/route/x",
            "3 create mesh/m/virtualGateway/g/gatewayRoute/x",
        ]
    );
    let deleted = plan(&applied(SMALL, Some("default")), &[], PRUNE);
    assert_eq!(
        lines(&deleted),
        [
            "4 delete mesh/m/virtualGateway/g/gatewayRoute/x",
            "5 delete mesh/m/virtualService/s",
            "5 delete mesh/m/virtualRouter/r/route/x",
            "6 delete mesh/m/virtualNode/n",
            "6 delete mesh/m/virtualRouter/r",
            "6 delete mesh/m/virtualGateway/g",
            "7 delete mesh/m",
        ]
    );
}

#[test]
fn what_does_not_differ_is_left_alone() {
    let plan = plan(&applied(SMALL, Some("default")), &declared(SMALL), PRUNE);
    assert_eq!(lines(&plan), [""; 0]);
    assert_eq!(plan.unchanged, 7);
}

#[test]
fn what_the_service_fills_in_is_no_difference() {
    let node = "{kind: VirtualNode, meshName: m, virtualNodeName: n, spec: {listeners: [{portMapping: {port: 80, protocol: \
                http}, healthCheck: {protocol: http, healthyThreshold: 2, unhealthyThreshold: 2, intervalMillis: 5000, \
                timeoutMillis: 2000, port: 80}}], serviceDiscovery: {dns: {hostname: n}}}}";
    let there = applied(node, Some("default"));
    let same = declared(&node.replace(", port: 80}}]", "}}]"));
    assert_eq!(lines(&plan(&there, &same, PRUNE)), [""; 0]);
}

#[test]
fn an_update_says_what_it_changes_and_keeps_the_tags_that_are_there() {
    let changed = SMALL.replace("weight: 1", "weight: 2");
    let updated = plan(&applied(SMALL, Some("default")), &declared(&changed), PRUNE);
    let [step] = updated.steps.as_slice() else {
        panic!("{updated:?}");
    };
    let Action::Update {
        spec,
        tags,
        changes,
        ..
    } = &step.action
    else {
        panic!("{step:?}");
    };
    assert!(spec.is_some());
    assert!(tags.is_empty(), "{tags:?}");
    let change = changes[0].to_string();
    let path = "spec.httpRoute.action.weightedTargets[0].weight";
    assert_eq!(change, format!("~ {path}: 1 → 2"));
}

#[test]
fn what_no_set_applied_is_taken_over_only_when_told_to() {
    let equal = plan(&applied(SMALL, None), &declared(SMALL), PRUNE);
    assert_eq!((equal.steps.len(), equal.unchanged), (0, 7));
    assert_eq!(equal.conflicts, []);
    let changed = declared(&SMALL.replace("weight: 1", "weight: 2"));
    let differs = plan(&applied(SMALL, None), &changed, PRUNE);
    let said: Vec<String> = differs.conflicts.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        ["mesh/m/virtualRouter/r/route/x was not applied by `outrigger apply`, and differs"]
    );
    let take_over = Options {
        take_over: true,
        ..PRUNE
    };
    let adopted = plan(&applied(SMALL, None), &declared(SMALL), take_over);
    assert_eq!(adopted.steps.len(), 7);
    for step in &adopted.steps {
        let Action::Update {
            arn,
            spec: None,
            tags,
            changes,
            takes_over,
        } = &step.action
        else {
            panic!("{step:?}");
        };
        assert_eq!(takes_over.as_deref(), Some("another tool"));
        assert!(arn.starts_with("arn:"));
        assert_eq!(tags[SET_TAG], "default");
        assert_eq!(
            changes[0].to_string(),
            "+ tags.outrigger:applied-by: \"default\""
        );
    }
}

#[test]
fn a_tag_of_the_file_is_added_or_changed_and_none_is_removed() {
    let mut wanted = declared("{kind: Mesh, meshName: m}");
    wanted[0].tags = Tags::from([("env".into(), "prod".into())]);
    let mut current = applied("{kind: Mesh, meshName: m}", Some("default"));
    let tags = |current: &Listing| {
        let steps = plan(current, &wanted, PRUNE).steps;
        steps
            .into_iter()
            .map(|step| match step.action {
                Action::Update { tags, .. } => tags,
                other => panic!("{other:?}"),
            })
            .next()
    };
    assert_eq!(tags(&current), Some(wanted[0].tags.clone()));
    let there = current.resources.values_mut().next().unwrap();
    there.tags.insert("env".into(), "prod".into());
    there.tags.insert("other".into(), "kept".into());
    assert_eq!(tags(&current), None);
}

#[test]
fn more_tags_than_a_resource_can_have_are_a_conflict() {
    let tags = |prefix: &str, count| -> Tags {
        let keys = (0..count).map(|index| format!("{prefix}{index}"));
        keys.map(|key| (key, String::new())).collect()
    };
    let mut wanted = declared("{kind: Mesh, meshName: m}");
    wanted[0].tags = tags("file", 49);
    let mut current = applied("{kind: Mesh, meshName: m}", Some("default"));
    let conflicts = |current: &Listing, wanted: &[Wanted]| plan(current, wanted, PRUNE).conflicts;
    assert_eq!(conflicts(&Listing::default(), &wanted), []);
    assert_eq!(conflicts(&current, &wanted), []);
    let there = current.resources.values_mut().next().unwrap();
    there.tags.insert("other".into(), String::new());
    let said = conflicts(&current, &wanted)[0].to_string();
    assert!(said.contains("would have 51 tags"), "{said}");
    wanted[0].tags = tags("file", 50);
    assert_eq!(conflicts(&Listing::default(), &wanted).len(), 1);
}

#[test]
fn a_prune_takes_what_the_set_applied_and_nothing_else() {
    let mut current = applied(SMALL, Some("default"));
    let foreign = applied(
        &SMALL.replace("meshName: m", "meshName: theirs"),
        Some("theirs"),
    );
    let unapplied = applied(&SMALL.replace("meshName: m", "meshName: manual"), None);
    let mut owned = applied(
        &SMALL.replace("meshName: m", "meshName: file"),
        Some("default"),
    );
    for remote in owned.resources.values_mut() {
        remote.owner = crate::cli::remote::Owner::File {
            path: "a.yaml".into(),
            line: 1,
        };
    }
    for other in [foreign, unapplied, owned] {
        current.resources.extend(other.resources);
    }
    assert_eq!(current.resources.len(), 28);
    let kept = declared("{kind: Mesh, meshName: m}");
    let pruned = plan(&current, &kept, PRUNE);
    assert_eq!(pruned.steps.len(), 6, "{:?}", lines(&pruned));
    assert!(
        lines(&pruned)
            .iter()
            .all(|line| line.contains(" delete mesh/m/"))
    );
    assert_eq!(lines(&plan(&current, &kept, KEEP)), [""; 0]);
}

/// Two folders that are both applied without a name keep out of each other's meshes.
#[test]
fn a_prune_reaches_the_meshes_that_are_named() {
    let mut current = applied(SMALL, Some("default"));
    let theirs = SMALL.replace("meshName: m", "meshName: theirs");
    current
        .resources
        .extend(applied(&theirs, Some("default")).resources);
    // A mesh of somebody else, of which the set has a part.
    let shared = SMALL.replace("meshName: m", "meshName: shared");
    let mut shared = applied(&shared, Some("default")).resources;
    let mesh = shared.get_mut(&ResourceId::Mesh(MeshName::new("shared")));
    mesh.unwrap().tags.clear();
    current.resources.extend(shared);
    let deletes = |declared: &[Wanted], reach| {
        let options = Options {
            prune: Some(reach),
            ..PRUNE
        };
        lines(&plan(&current, declared, options)).len()
    };
    let mesh = declared("{kind: Mesh, meshName: m}");
    assert_eq!(deletes(&mesh, Reach::Named), 6);
    assert_eq!(deletes(&mesh, Reach::Own), 6 + 7);
    assert_eq!(deletes(&[], Reach::Named), 0);
    assert_eq!(deletes(&[], Reach::Everywhere), 7 + 7 + 6);
}

#[test]
fn what_belongs_to_others_is_a_conflict() {
    let mut current = applied(SMALL, Some("theirs"));
    let conflicts = |current: &Listing, options| {
        let plan = plan(
            current,
            &declared(&SMALL.replace("weight: 1", "weight: 2")),
            options,
        );
        let conflicts = plan.conflicts.iter().map(ToString::to_string);
        (conflicts.collect::<Vec<_>>(), plan.steps.len())
    };
    let (lines, steps) = conflicts(&current, PRUNE);
    assert_eq!((lines.len(), steps), (7, 0));
    assert_eq!(
        lines[0],
        "mesh/m/virtualGateway/g/gatewayRoute/x was applied as part of set `theirs`"
    );
    let take_over = Options {
        take_over: true,
        ..PRUNE
    };
    assert_eq!(conflicts(&current, take_over), (Vec::new(), 7));
    for remote in current.resources.values_mut() {
        remote.owner = crate::cli::remote::Owner::File {
            path: "a.yaml".into(),
            line: 3,
        };
    }
    let (lines, steps) = conflicts(&current, take_over);
    assert_eq!(
        lines,
        [
            "mesh/m/virtualRouter/r/route/x belongs to a.yaml:3, a file of the server, and differs from it"
        ]
    );
    assert_eq!(steps, 0, "what is as the file has it is fine");
}

#[test]
fn a_token_is_the_same_in_one_run_and_another_in_the_next() {
    let steps = plan(&Listing::default(), &declared(SMALL), KEEP).steps;
    let tokens = |run| -> Vec<String> {
        let calls = steps.iter().flat_map(|step| step.calls(run));
        calls
            .map(|call| {
                call.body.unwrap()["clientToken"]
                    .as_str()
                    .unwrap()
                    .to_owned()
            })
            .collect()
    };
    assert_eq!(tokens(1), tokens(1));
    let mut all = [tokens(1), tokens(2)].concat();
    assert!(all.iter().all(|token| token.len() == 32));
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 14);
}

#[test]
fn a_create_sends_name_spec_and_tags() {
    let steps = plan(&Listing::default(), &declared(SMALL), KEEP).steps;
    let call = &steps[5].calls(1)[0];
    assert_eq!(
        (call.method.as_str(), call.path.as_str()),
        ("PUT", "/v20190125/meshes/m/virtualRouter/r/routes")
    );
    let body = call.body.as_ref().unwrap();
    assert_eq!(body["routeName"], "x");
    assert_eq!(
        body["tags"],
        json!([{ "key": SET_TAG, "value": "default" }])
    );
    assert_eq!(body["spec"]["httpRoute"]["match"], json!({ "prefix": "/" }));
    assert_eq!(
        steps[0].calls(1)[0].body.as_ref().unwrap()["spec"],
        json!({})
    );
}
