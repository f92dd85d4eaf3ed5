//! What is the mirror's, and at which server: asked right before each write.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use outrigger::appmesh::client::{Client, TargetError, TargetOptions, Within};
use outrigger::appmesh::plan::{Action, Existing, How, Step, TAG};
use outrigger::appmesh::read::{Scope, read};
use outrigger::appmesh::sync::{Outcome, run};
use outrigger::model::ResourceId;
use outrigger::model::tags::Tags;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::double::{Double, Reply};
use super::pair::{Pair, create, delete, mesh, update};
use super::proxy::Proxy;
use super::{client, id, spec};
use crate::appmesh::served::Served;
use crate::world::{PATIENCE, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_made_anew_is_theirs_at_once() {
    let pair = Pair::mirroring(&["--mirror-prune"]).await;
    let [changed, deleted] = ["a", "b"].map(|node| id(&format!("mesh/m/virtualNode/{node}")));
    create(&pair.source, &id("mesh/m"), &json!({}), &[]).await;
    for node in [&changed, &deleted] {
        create(&pair.source, node, &spec("a.invalid"), &[]).await;
    }
    pair.equal().await;
    // Long before the next reading.
    for node in [&changed, &deleted] {
        assert_eq!(delete(&pair.target, node).await, 200);
        let theirs = spec("theirs.invalid");
        assert_eq!(
            create(&pair.target, node, &theirs, &[("by", "terraform")]).await,
            200
        );
    }
    let before = mesh(&pair.target).await;
    assert_eq!(
        update(&pair.source, &changed, &spec("b.invalid")).await,
        200
    );
    assert_eq!(delete(&pair.source, &deleted).await, 200);
    eventually("both are known to be theirs", PATIENCE, async || {
        let status = pair.status().await;
        let resources = status["resources"].as_array().unwrap();
        let is_it = resources.len() == 1
            && resources[0]["id"] == changed.to_string()
            && resources[0]["standing"] == "foreign";
        is_it.then_some(())
    })
    .await;
    assert_eq!(mesh(&pair.target).await, before);
    assert_eq!(pair.proxy.writes().len(), 3, "{:?}", pair.proxy.writes());
}

fn step(path: &str, action: Action, needs: &[&str]) -> Step {
    let is_adopted = matches!(
        action,
        Action::Update {
            how: How::Adopt,
            ..
        }
    );
    Step {
        id: id(path),
        there: Some(Existing {
            arn: format!("arn:aws:appmesh:us-east-1:000000000000:{path}"),
            of: (!is_adopted).then(|| "us".to_owned()),
        }),
        action,
        phase: needs.len(),
        needs: needs.iter().map(|path| id(path)).collect(),
        is_unsure: false,
    }
}

fn ours() -> Tags {
    [(TAG.to_owned(), "us".to_owned())].into()
}

fn update_to(spec: Value, tags: Tags, how: How) -> Action {
    Action::Update {
        spec: Some(spec),
        tags,
        changes: Vec::new(),
        how,
    }
}

async fn done(client: &Client, steps: Vec<Step>) -> Vec<Outcome> {
    let stop = CancellationToken::new();
    let outcomes = run(client, steps, &stop, |_, _| {}).await;
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

/// The other one looks just the same, as one does that was made out of a copy.
#[tokio::test(flavor = "multi_thread")]
async fn another_server_at_the_address_is_not_written_to() {
    let (first, other) = (Served::start(&[]).await, Served::start(&[]).await);
    let nodes = ["mesh/m/virtualNode/a", "mesh/m/virtualNode/b"];
    for served in [&first, &other] {
        create(served, &id("mesh/m"), &json!({}), &[(TAG, "us")]).await;
        for node in nodes {
            create(served, &id(node), &spec("a.invalid"), &[(TAG, "us")]).await;
        }
    }
    let before = mesh(&other).await;
    let proxy = Proxy::start(first.api).await;
    let client = client(&proxy.url()).await;
    read(&client, &Scope::All, |_| {}).await.unwrap();
    proxy.point_at(other.api);
    let new = spec("b.invalid");
    let steps = vec![
        step(
            nodes[0],
            update_to(new.clone(), Tags::new(), How::Follow),
            &[],
        ),
        step("mesh/m", update_to(json!({}), ours(), How::Adopt), &[]),
        step(nodes[1], Action::Delete, &[]),
    ];
    for outcome in done(&client, steps.clone()).await {
        assert!(
            matches!(outcome, Outcome::Unavailable(TargetError::Another { .. })),
            "{outcome:?}"
        );
    }
    assert_eq!(mesh(&other).await, before);
    assert_eq!(proxy.writes(), [""; 0]);
    // Nor does this client write again, whoever answers, or ask at all.
    proxy.point_at(first.api);
    let calls = proxy.calls().len();
    for outcome in done(&client, steps).await {
        assert!(
            matches!(outcome, Outcome::Unavailable(_) | Outcome::NotTried),
            "{outcome:?}"
        );
    }
    let listed = client.list(&Within::Meshes).await;
    assert!(
        matches!(listed, Err(TargetError::Another { .. })),
        "{listed:?}"
    );
    assert_eq!(proxy.calls().len(), calls);
}

/// A target of which one node is refused.
async fn refusing(name: &'static str) -> Double {
    Double::by(move |asked| {
        if asked.body.contains(name) {
            let body = r#"{"message": "told"}"#.to_owned();
            return Reply::Answer(409, Some("ConflictException"), body);
        }
        let metadata = json!({ "arn": "arn:aws:appmesh:r:1:mesh/m" });
        Reply::Answer(
            200,
            None,
            json!({ "spec": {}, "metadata": metadata }).to_string(),
        )
    })
    .await
}

fn creates(paths: &[(&str, &[&str])]) -> Vec<Step> {
    let create = |(path, needs): &(&str, &[&str])| {
        let (spec, tags) = (json!({}), ours());
        step(path, Action::Create { spec, tags }, needs)
    };
    paths.iter().map(create).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_fails_takes_down_those_that_need_it_and_no_others() {
    let double = refusing("bad").await;
    let client = client(&double.url()).await;
    let (bad, good) = ("mesh/m/virtualNode/bad", "mesh/m/virtualNode/good");
    let needs_bad = "mesh/m/virtualService/s";
    let steps = creates(&[
        (bad, &[]),
        (good, &[]),
        (needs_bad, &[bad]),
        ("mesh/m/virtualService/t", &[good]),
        ("mesh/m/virtualGateway/g", &[needs_bad, good]),
    ]);
    let stop = CancellationToken::new();
    let outcomes = run(&client, steps, &stop, |_, _| {}).await;
    let said = |outcome: &Outcome| match outcome {
        Outcome::Done(_) => "done".to_owned(),
        Outcome::Failed(error) => format!("failed: {}", error.is_of_target()),
        Outcome::Unavailable(error) => format!("unavailable: {error}"),
        Outcome::Blocked { by } => format!("blocked by {}", by.name()),
        Outcome::NotTried => "not tried".to_owned(),
    };
    let mut said: Vec<String> = outcomes
        .iter()
        .map(|(step, outcome)| format!("{}: {}", step.id.name(), said(outcome)))
        .collect();
    said.sort();
    let expected = [
        "bad: failed: false",
        "g: blocked by s",
        "good: done",
        "s: blocked by bad",
        "t: done",
    ];
    assert_eq!(said, expected);
}

/// A target that takes two calls a second, for calls that may take three.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_throttled_for_longer_than_a_call_may_take_is_done_in_its_turn() {
    let taken = Mutex::new(VecDeque::<Instant>::new());
    let double = Double::by(move |_| {
        let mut taken = taken.lock().unwrap();
        taken.retain(|at| at.elapsed() < Duration::from_secs(1));
        if taken.len() == 2 {
            let body = r#"{"message": "slower"}"#.to_owned();
            return Reply::Answer(429, Some("TooManyRequestsException"), body);
        }
        taken.push_back(Instant::now());
        let metadata = json!({ "arn": "arn:aws:appmesh:r:1:mesh/m" });
        Reply::Answer(
            200,
            None,
            json!({ "spec": {}, "metadata": metadata }).to_string(),
        )
    })
    .await;
    let mut options = TargetOptions::new(double.url());
    options.patience = Duration::from_secs(3);
    let client = Client::connect(options).await.unwrap();
    let paths: Vec<String> = (0..20)
        .map(|node| format!("mesh/m/virtualNode/n{node}"))
        .collect();
    let paths: Vec<(&str, &[&str])> = paths.iter().map(|path| (path.as_str(), &[][..])).collect();
    let outcomes = done(&client, creates(&paths)).await;
    let is_done = |outcome: &&Outcome| matches!(outcome, Outcome::Done(_));
    assert_eq!(outcomes.iter().filter(is_done).count(), 20, "{outcomes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_wants_to_stop_is_not_kept() {
    let double = refusing("bad").await;
    let client = client(&double.url()).await;
    let stop = CancellationToken::new();
    stop.cancel();
    let steps = creates(&[("mesh/m/virtualNode/good", &[])]);
    let outcomes = run(&client, steps, &stop, |_, _| {}).await;
    let ids: Vec<&ResourceId> = outcomes.iter().map(|(step, _)| &step.id).collect();
    assert_eq!(ids, [&id("mesh/m/virtualNode/good")]);
    assert!(matches!(outcomes[0].1, Outcome::NotTried), "{outcomes:?}");
    assert_eq!(double.asked(), []);
}
