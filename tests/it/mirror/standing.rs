//! How a mirror says that it stands: to whom, of what is in nobody's power to mirror, and of itself.

use outrigger::appmesh::plan::TAG;
use outrigger::model::{ResourceId, ResourceKind};
use serde_json::{Value, json};

use super::follow::resource;
use super::pair::{KeysFile, Pair, create, delete, mesh, update};
use super::proxy::{Fate, Proxy};
use super::{id, spec};
use crate::appmesh::served::Served;
use crate::world::{PATIENCE, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_key_for_some_meshes_sees_what_stands_in_these() {
    let keys = KeysFile::new(&[("ALL", ""), ("SOME", ", meshes: [m]")]);
    let target = Served::start(&["--quota", "virtual-nodes-per-mesh=1"]).await;
    let args = [
        "--api-auth",
        "sigv4",
        "--api-credentials",
        keys.path(),
        "--mirror-prune",
    ];
    let pair = Pair::with(target, &args).await;
    let files = pair.source.folder.path().join("mesh.yaml");
    let node = |mesh: &str, name: &str| {
        format!("---\nkind: VirtualNode\nmeshName: {mesh}\nvirtualNodeName: {name}\nspec: {{}}\n")
    };
    let of = |mesh: &str| {
        format!(
            "---\nkind: Mesh\nmeshName: {mesh}\n{}{}",
            node(mesh, "a"),
            node(mesh, "b")
        )
    };
    std::fs::write(&files, of("m") + &of("other")).unwrap();
    let applied = keys
        .run(&pair, "ALL", &["apply", files.to_str().unwrap()])
        .await;
    assert_eq!(applied.code, Some(0), "{applied:?}");
    let resources = async |key: &str| {
        let printed = keys
            .run(&pair, key, &["sync", "status", "--output", "json"])
            .await;
        let status: Value = serde_json::from_str(&printed.out).unwrap();
        let all = status["resources"].as_array().unwrap().iter();
        let failed = all.filter(|resource| resource["standing"] == "failed");
        let failed = failed.map(|resource| resource["id"].as_str().unwrap().to_owned());
        failed.collect::<Vec<_>>()
    };
    let all = eventually("two are refused", PATIENCE, async || {
        let all = resources("ALL").await;
        (all.len() == 2).then_some(all)
    })
    .await;
    let some = resources("SOME").await;
    assert_eq!((some.len(), &some[0]), (1, &all[0]), "{all:?}");
    assert!(some[0].starts_with("mesh/m/"), "{some:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_for_some_meshes_is_not_told_of_others() {
    let keys = KeysFile::new(&[("ALL", ""), ("SOME", ", meshes: [m]")]);
    let auth = ["--api-auth", "sigv4", "--api-credentials", keys.path()];
    let interval = ["--mirror-drift-interval", "1s"];
    let pair = Pair::mirroring(&[auth.as_slice(), &interval].concat()).await;
    let files = pair.source.folder.path().join("mesh.yaml");
    std::fs::write(&files, "kind: Mesh\nmeshName: others\n").unwrap();
    let applied = keys
        .run(&pair, "ALL", &["apply", files.to_str().unwrap()])
        .await;
    assert_eq!(applied.code, Some(0), "{applied:?}");
    pair.proxy.set(|_, line| {
        if line.contains("/others/") {
            Fate::Refused(302)
        } else {
            Fate::Passes
        }
    });
    let error = async |key: &str| {
        let arguments = ["sync", "status", "--output", "json"];
        let printed = keys.run(&pair, key, &arguments).await;
        let status: Value = serde_json::from_str(&printed.out).unwrap();
        let error = status["error"].as_str().unwrap_or_default().to_owned();
        (error, printed.out)
    };
    eventually("there is trouble", PATIENCE, async || {
        error("ALL").await.0.contains("others").then_some(())
    })
    .await;
    let (told, status) = error("SOME").await;
    assert!(told.contains("a key for all meshes is told why"), "{told}");
    assert!(!status.contains("others"), "{status}");
}

/// A source whose target's address leads to itself.
async fn to_itself(args: &[&str]) -> Pair {
    let target = Served::start(&[]).await;
    let proxy = Proxy::start(([127, 0, 0, 1], 1).into()).await;
    let endpoint = proxy.url();
    let all = [args, &["--mirror-endpoint", &endpoint, "--mirror-prune"]].concat();
    let source = Served::start(&all).await;
    create(&source, &id("mesh/m"), &json!({}), &[]).await;
    proxy.point_at(source.api);
    Pair {
        source,
        target,
        proxy,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_of_itself_is_refused_and_waits() {
    let pair = to_itself(&["--mirror-adopt"]).await;
    let status = pair.state("refused").await;
    let error = status["error"].as_str().unwrap();
    assert!(
        error.contains("is the source itself; name another"),
        "{error}"
    );
    // As long as between two readings of a target.
    assert!(
        status["nextTryInSeconds"].as_u64().unwrap() > 200,
        "{status}"
    );
    assert!(!mesh(&pair.source).await[&id("mesh/m")].1.contains_key(TAG));
    assert_eq!(pair.proxy.writes().len(), 0);
    let series = "outrigger_mirror_state{state=\"refused\"}";
    assert_eq!(pair.source.metric(series).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_of_itself_is_told_of_once_and_may_end() {
    let pair = to_itself(&["--mirror-drift-interval", "1s"]).await;
    let reads = "outrigger_mirror_reads_total{result=\"ok\"}";
    eventually("it is found some times", PATIENCE, async || {
        (pair.source.metric(reads).await > 2).then_some(())
    })
    .await;
    let log = std::fs::read_to_string(pair.source.log()).unwrap();
    assert_eq!(log.matches("is the source itself").count(), 1, "{log}");
    pair.proxy.point_at(pair.target.api);
    pair.equal().await;
    pair.state("in_step").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_mirrors_to_the_source_ends() {
    let pair = Pair::start().await;
    pair.proxy.point_at(pair.source.api);
    let refused = pair.run(&["sync", "watch"]).await;
    refused.fails(2, &["is the source itself; name another"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mesh_that_is_not_there_is_said_so_and_waited_for() {
    let pair = Pair::mirroring(&["--mirror-prune", "--mirror-mesh", "later"]).await;
    create(&pair.source, &id("mesh/m"), &json!({}), &[]).await;
    let status = pair.state("incomplete").await;
    let detail = "the source has no mesh of this name; it is waited for";
    let absent = json!([{ "id": "mesh/later", "standing": "absent", "detail": detail }]);
    assert_eq!(status["resources"], absent);
    assert_eq!(status.get("lastSuccess"), None, "{status}");
    let printed = pair.run(&["sync", "status"]).await;
    assert!(printed.out.contains("0 in step, 1 absent"), "{printed:?}");
    let log = std::fs::read_to_string(pair.source.log()).unwrap();
    assert_eq!(log.matches("has no `mesh/later`").count(), 1, "{log}");
    create(&pair.source, &id("mesh/later"), &json!({}), &[]).await;
    let status = pair.state("in_step").await;
    assert_eq!(
        (&status["resources"], &status["inStep"]),
        (&json!([]), &json!(1))
    );
    // What it had goes with it, and nothing else.
    delete(&pair.source, &id("mesh/later")).await;
    let status = pair.state("incomplete").await;
    assert_eq!(status["resources"], absent);
    assert!(mesh(&pair.target).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_have_otherwise_is_not_in_step() {
    let pair = Pair::mirroring(&["--mirror-drift-interval", "1s"]).await;
    let [same, other] = [
        id("mesh/m/virtualNode/same"),
        id("mesh/m/virtualNode/other"),
    ];
    create(&pair.target, &id("mesh/m"), &json!({}), &[]).await;
    create(&pair.target, &same, &spec("a.invalid"), &[]).await;
    create(&pair.target, &other, &spec("b.invalid"), &[]).await;
    for node in [&id("mesh/m"), &same, &other, &id("mesh/m/virtualNode/n")] {
        let spec = match node.kind() {
            ResourceKind::Mesh => json!({}),
            _ => spec("a.invalid"),
        };
        create(&pair.source, node, &spec, &[]).await;
    }
    let status = eventually("it is told", PATIENCE, async || {
        let status = pair.state("incomplete").await;
        (status["inStep"] == 1).then_some(status)
    })
    .await;
    let standing =
        |id: &ResourceId| resource(&status, &id.to_string()).unwrap()["standing"].clone();
    assert_eq!(
        [&id("mesh/m"), &same, &other].map(standing),
        ["foreign_alike", "foreign_alike", "foreign"]
    );
    assert_eq!(status["mirroredRevision"], status["sourceRevision"]);
    assert_eq!(status["lagSeconds"], 0);
    let series = "outrigger_mirror_resources{standing=\"foreign\"}";
    assert_eq!(pair.source.metric(series).await, 1);
    // Made alike, it is in nobody's way.
    update(&pair.target, &other, &spec("a.invalid")).await;
    pair.state("in_step").await;
    let printed = pair.run(&["sync", "status"]).await;
    assert!(
        printed.out.contains("1 in step, 3 foreign alike"),
        "{printed:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_not_mirrored_back() {
    let pair = Pair::mirroring(&["--mirror-prune"]).await;
    create(&pair.source, &id("mesh/m"), &json!({}), &[]).await;
    pair.equal().await;
    // The other way round, to the source itself.
    let back = [
        "sync",
        "apply",
        "--prune",
        "--endpoint",
        &pair.source.url(),
        "--api-url",
        &pair.target.url(),
    ];
    let before = mesh(&pair.source).await;
    let printed = pair.run(&back).await;
    assert_eq!(printed.code, Some(0), "{printed:?}");
    assert!(
        printed
            .out
            .contains("does not mirror mesh/m: it was mirrored from the target"),
        "{printed:?}"
    );
    assert_eq!(mesh(&pair.source).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_without_a_mirror_says_so() {
    let pair = Pair::start().await;
    pair.run(&["sync", "status"])
        .await
        .fails(1, &["mirrors nothing", "--mirror-endpoint"]);
}
