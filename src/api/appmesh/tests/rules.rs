//! Each rule of the service by its name, with the exception and the status that a client gets.

use axum::Router;
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Answer, collection, path, send, serve};
use crate::model::cases::{Case, Expected, Operation, all, parts};
use crate::model::quota::Quotas;
use crate::model::schema::kind_schema;
use crate::model::{ResourceId, ResourceKind};
use crate::store::journal::Memory;

/// The path of the resource that a document is, and the body of its create. Of a name that cannot be, a path all the same.
fn create(document: &Value) -> (String, Value) {
    let (kind, parent, body) = parts(document);
    let name = body[kind_schema(kind).name].as_str().unwrap_or("unnamed");
    let mesh = parent
        .as_ref()
        .map_or(name, |parent| parent.mesh().as_str());
    let parent = parent.as_ref().map(ResourceId::name);
    let id = ResourceId::named(kind, mesh, parent, name);
    let id = id.or_else(|_| ResourceId::named(kind, mesh, parent, "unnamed"));
    (path(&id.unwrap()), body)
}

async fn created(router: &mut Router, document: &Value) -> Answer {
    let (path, body) = create(document);
    send(router, Method::PUT, collection(&path), body.to_string()).await
}

async fn outcome(router: &mut Router, operation: &Operation) -> Answer {
    match operation {
        Operation::Create(document) => created(router, document).await,
        Operation::Update(document) => {
            let (path, mut body) = create(document);
            let (kind, ..) = parts(document);
            if kind != ResourceKind::Mesh || body.get("meshName").is_some() {
                body.as_object_mut().unwrap().remove(kind_schema(kind).name);
            }
            send(router, Method::PUT, &path, body.to_string()).await
        }
        Operation::Delete(id) => {
            let path = path(&ResourceId::parse(id).unwrap());
            send(router, Method::DELETE, &path, "").await
        }
    }
}

/// What is different from what a rule says; nothing if it holds.
fn difference(expected: &Expected, answer: &Answer) -> Option<String> {
    let (status, exception, parts): (_, _, Vec<String>) = match expected {
        Expected::Accepted(_) => (StatusCode::OK, "", Vec::new()),
        Expected::NotFound(id) => {
            let id = ResourceId::parse(id).unwrap();
            let part = format!("{} with name {} is not present", id.kind(), id.name());
            (StatusCode::NOT_FOUND, "NotFoundException", vec![part])
        }
        Expected::Invalid(path, part) => (
            StatusCode::BAD_REQUEST,
            "BadRequestException",
            vec![(*path).to_owned(), (*part).to_owned()],
        ),
        Expected::InUse(users) => (
            StatusCode::CONFLICT,
            "ResourceInUseException",
            users
                .iter()
                .take(5)
                .map(|user| (*user).to_owned())
                .collect(),
        ),
        Expected::Limit(quota) => (
            StatusCode::BAD_REQUEST,
            "LimitExceededException",
            vec![quota.to_string()],
        ),
    };
    let is_said = parts.iter().all(|part| answer.message().contains(part));
    let holds = answer.status == status && answer.exception == exception && is_said;
    (!holds).then(|| format!("{status} {exception} {parts:?}, not {answer:?}"))
}

async fn check(case: &Case) -> Option<String> {
    let journal = Memory::default();
    // What is there before may be more than a quota allows.
    serve(&journal, Quotas::default(), async |router| {
        let mesh = json!({ "kind": "Mesh", "meshName": "m" });
        for document in [mesh].iter().chain(&case.given) {
            let answer = created(router, document).await;
            assert_eq!(answer.status, StatusCode::OK, "{}: {answer:?}", case.rule);
        }
    })
    .await;
    let quotas = case.quotas.iter().copied().collect();
    let answer = serve(&journal, quotas, async |router| {
        outcome(router, &case.operation).await
    })
    .await;
    difference(&case.expected, &answer)
}

#[tokio::test]
async fn every_rule_has_its_exception() {
    let cases = all();
    assert!(cases.len() > 100, "{} cases are few", cases.len());
    let mut wrong = Vec::new();
    for case in &cases {
        if let Some(difference) = check(case).await {
            wrong.push(format!("{}: {difference}", case.rule));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
