//! The table of cases, from a body to the model.

use serde_json::{Value as Json, json};

use super::{Change, Refusal, admit, admit_strictly};
use crate::model::cases::{self, Case, Expected, Operation};
use crate::model::defaults::fill_defaults;
use crate::model::document::Located;
use crate::model::names::ResourceId;
use crate::model::problem::{Problem, Severity};
use crate::model::quota::Quotas;
use crate::model::registry::{Model, Resource};
use crate::model::schema;

/// The resource that a body says, and what is to be reported of it.
fn body_of(document: &Json) -> Result<(Resource, Vec<Problem>), Refusal> {
    let (kind, parent, body) = cases::parts(document);
    let body = Located::from_json(body.to_string().as_bytes()).unwrap();
    let read = schema::read_create(kind, parent.as_ref(), &body);
    let mut body = read.map_err(|problems| Refusal::Invalid { problems })?;
    fill_defaults(&mut body.resource.spec);
    Ok((body.resource, body.problems))
}

fn model(documents: &[Json]) -> Model {
    let mut model = Model::default();
    let mesh = json!({ "kind": "Mesh", "meshName": "m" });
    for document in [mesh].iter().chain(documents) {
        let (resource, _) =
            body_of(document).unwrap_or_else(|refusal| panic!("{document}: {refusal}"));
        let admitted = admit(&model, Change::Create(&resource), &Quotas::default());
        admitted.unwrap_or_else(|refusal| panic!("{document}: {refusal}"));
        model.insert(resource);
    }
    model
}

fn outcome(case: &Case, model: &Model) -> Result<Vec<Problem>, Refusal> {
    let quotas: Quotas = case.quotas.iter().copied().collect();
    let (document, is_new) = match &case.operation {
        Operation::Create(document) => (document, true),
        Operation::Update(document) => (document, false),
        Operation::Delete(id) => {
            let id = ResourceId::parse(id).unwrap();
            return admit(model, Change::Delete(&id), &quotas);
        }
    };
    let (resource, mut problems) = body_of(document)?;
    let change = if is_new {
        Change::Create(&resource)
    } else {
        Change::Update(&resource)
    };
    problems.extend(admit(model, change, &quotas)?);
    Ok(problems)
}

fn holds(expected: &Expected, outcome: &Result<Vec<Problem>, Refusal>) -> bool {
    match (expected, outcome) {
        (Expected::Accepted(reported), Ok(problems)) => {
            reported.len() == problems.len()
                && problems.iter().zip(*reported).all(|(problem, part)| {
                    problem.severity == Severity::Warning && problem.what.contains(part)
                })
        }
        (Expected::NotFound(expected), Err(Refusal::NotFound { id })) => {
            id.to_string() == *expected
        }
        (Expected::Invalid(path, part), Err(Refusal::Invalid { problems })) => {
            let mut errors = problems
                .iter()
                .filter(|problem| problem.severity == Severity::Error);
            errors.any(|problem| problem.path.to_string() == *path && problem.what.contains(part))
        }
        (Expected::InUse(expected), Err(Refusal::InUse { by, .. })) => by
            .iter()
            .map(ResourceId::to_string)
            .eq(expected.iter().map(|id| (*id).to_owned())),
        (Expected::Limit(expected), Err(Refusal::Limit { quota, .. })) => quota == expected,
        _ => false,
    }
}

#[test]
fn every_rule_lets_pass_and_refuses_what_it_says() {
    let mut wrong = Vec::new();
    for case in cases::all() {
        let outcome = outcome(&case, &model(&case.given));
        if !holds(&case.expected, &outcome) {
            wrong.push(format!(
                "{}: expected {:?}, got {outcome:#?}",
                case.rule, case.expected
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_rule_has_one_name() {
    let mut rules: Vec<_> = cases::all().iter().map(|case| case.rule).collect();
    let all = rules.len();
    rules.sort_unstable();
    rules.dedup();
    assert_eq!(rules.len(), all);
}

/// What is accepted is what is read back, but for the health check's port.
#[test]
fn what_is_accepted_is_echoed() {
    for case in cases::all() {
        let (Operation::Create(document) | Operation::Update(document), Expected::Accepted(_)) =
            (&case.operation, &case.expected)
        else {
            continue;
        };
        let mut resource = schema::read(&Located::from(document.clone()))
            .resource
            .unwrap();
        let printed = serde_json::to_value(&resource.spec).unwrap();
        let mut sent = document.get("spec").cloned().unwrap_or(json!({}));
        schema::tests::remove_nulls(&mut sent);
        assert_eq!(printed, sent, "{}", case.rule);
        fill_defaults(&mut resource.spec);
        let printed = serde_json::to_value(&resource.spec).unwrap();
        let health_check = &printed["listeners"][0]["healthCheck"];
        if !health_check.is_null() {
            assert_eq!(health_check["port"], json!(80), "{}", case.rule);
        }
    }
}

/// Outrigger takes a second listener before the routes say ports, and AWS's service did not.
#[test]
fn what_leaves_others_with_errors_is_only_taken_here() {
    let router = |ports: &[u16]| {
        let listener = |port| json!({ "portMapping": { "port": port, "protocol": "http" } });
        let listeners: Json = ports.iter().map(listener).collect();
        json!({ "kind": "VirtualRouter", "meshName": "m", "virtualRouterName": "r", "spec": { "listeners": listeners } })
    };
    let route = |port: Option<u16>| {
        let action = json!({ "weightedTargets": [{ "virtualNode": "n", "weight": 1 }] });
        let r#match = port.map_or(json!({}), |port| json!({ "port": port }));
        json!({ "kind": "Route", "meshName": "m", "virtualRouterName": "r", "routeName": "x",
                "spec": { "tcpRoute": { "match": r#match, "action": action } } })
    };
    let text = |document: Json| document.to_string().replace("\"http\"", "\"tcp\"");
    let tcp = |document| serde_json::from_str::<Json>(&text(document)).unwrap();
    let node =
        json!({ "kind": "VirtualNode", "meshName": "m", "virtualNodeName": "n", "spec": {} });
    let (second, _) = body_of(&tcp(router(&[80, 81]))).unwrap();
    let change = Change::Update(&second);
    for (port, is_taken_by_aws) in [(None, false), (Some(80), true)] {
        let model = model(&[node.clone(), tcp(router(&[80])), route(port)]);
        assert!(admit(&model, change, &Quotas::default()).is_ok());
        assert_eq!(admit_strictly(&model, change), is_taken_by_aws, "{port:?}");
    }
}

#[test]
fn refusals_say_what_and_how_to_fix_it() {
    let cases = cases::all();
    let text = |rule: &str| {
        let case = cases.iter().find(|case| case.rule == rule).unwrap();
        outcome(case, &model(&case.given)).unwrap_err().to_string()
    };
    insta::assert_snapshot!(
        [
            "a route needs its router",
            "a route says its router's port",
            "a mesh holds its routers and routes",
            "routes per virtual router",
            "a provider node must be there",
            "names have 255 characters at most",
        ]
        .map(text)
        .join("\n")
    );
}

#[test]
fn a_crowd_of_users_is_named_in_part() {
    let names: Vec<String> = (0..30).map(|n| format!("s{n:02}")).collect();
    let node =
        json!({ "kind": "VirtualNode", "meshName": "m", "virtualNodeName": "n", "spec": {} });
    let service = |name: &String| {
        json!({ "kind": "VirtualService", "meshName": "m", "virtualServiceName": name, "spec": {
            "provider": { "virtualNode": { "virtualNodeName": "n" } },
        } })
    };
    let documents: Vec<Json> = [node]
        .into_iter()
        .chain(names.iter().map(service))
        .collect();
    let id = ResourceId::parse("mesh/m/virtualNode/n").unwrap();
    let refusal = admit(&model(&documents), Change::Delete(&id), &Quotas::default()).unwrap_err();
    let text = refusal.to_string();
    assert!(text.contains("s04` and others"), "{text}");
    assert!(!text.contains("s05"), "{text}");
}
