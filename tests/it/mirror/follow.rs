//! A mirror that runs by itself: inside `serve`, and as `outrigger sync watch`.

use std::time::{Duration, Instant};

use outrigger::envoy::child::ChildCommand;
use serde_json::{Value, json};

use super::pair::{Pair, create, delete, mesh, mirrored, tag, update};
use super::proxy::{Fate, Proxy};
use super::{every_kind, id, spec};
use crate::appmesh::served::Served;
use crate::world::{OUTRIGGER, PATIENCE, eventually};

pub(super) fn resource<'a>(status: &'a Value, id: &str) -> Option<&'a Value> {
    let resources = status["resources"].as_array().unwrap();
    resources.iter().find(|resource| resource["id"] == id)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_change_arrives_at_once() {
    let pair = Pair::mirroring(&["--mirror-prune"]).await;
    for (id, [spec, _]) in &every_kind() {
        assert_eq!(
            create(&pair.source, id, spec, &[("team", "a")]).await,
            200,
            "{id}"
        );
    }
    pair.equal().await;
    for (id, [_, spec]) in &every_kind() {
        assert_eq!(update(&pair.source, id, spec).await, 200, "{id}");
    }
    tag(&pair.source, &id("mesh/m"), "team", "b").await;
    pair.equal().await;
    let status = pair.state("in_step").await;
    assert_eq!(status["inStep"], every_kind().len());
    assert_eq!(status["mirroredRevision"], status["sourceRevision"]);
    assert_eq!(status["resources"], json!([]));
    assert_eq!(
        pair.source
            .metric("outrigger_mirror_resources{standing=\"in_step\"}")
            .await,
        7
    );
    assert_eq!(
        pair.source
            .metric("outrigger_mirror_state{state=\"in_step\"}")
            .await,
        1
    );
    // What changes is written, and all of the target is not read again.
    let reads = pair
        .source
        .metric("outrigger_mirror_reads_total{result=\"ok\"}")
        .await;
    assert_eq!(reads, 1);
    let before = pair.proxy.calls().len();
    let began = Instant::now();
    assert_eq!(
        create(
            &pair.source,
            &id("mesh/m/virtualNode/new"),
            &spec("a.invalid"),
            &[]
        )
        .await,
        200
    );
    pair.equal().await;
    println!("one change took {:?}", began.elapsed());
    assert_eq!(pair.proxy.calls().len() - before, 1);
    for (id, _) in every_kind().iter().rev() {
        delete(&pair.source, id).await;
    }
    delete(&pair.source, &id("mesh/m/virtualNode/new")).await;
    delete(&pair.source, &id("mesh/m")).await;
    pair.equal().await;
    assert!(mesh(&pair.target).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_changes_at_the_target_is_repaired() {
    let pair = Pair::mirroring(&["--mirror-prune", "--mirror-drift-interval", "1s"]).await;
    let node = id("mesh/m/virtualNode/n");
    create(&pair.source, &id("mesh/m"), &json!({}), &[]).await;
    create(&pair.source, &node, &spec("a.invalid"), &[]).await;
    pair.equal().await;
    assert_eq!(update(&pair.target, &node, &spec("b.invalid")).await, 200);
    pair.equal().await;
    assert_eq!(delete(&pair.target, &node).await, 200);
    pair.equal().await;
    let repaired = "outrigger_mirror_drift_total{handling=\"repaired\"}";
    assert_eq!(pair.source.metric(repaired).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_changes_at_the_target_may_only_be_reported() {
    let pair =
        Pair::mirroring(&["--mirror-drift", "report", "--mirror-drift-interval", "1s"]).await;
    let node = id("mesh/m/virtualNode/n");
    create(&pair.source, &id("mesh/m"), &json!({}), &[]).await;
    create(&pair.source, &node, &spec("a.invalid"), &[]).await;
    pair.equal().await;
    pair.state("in_step").await;
    assert_eq!(update(&pair.target, &node, &spec("b.invalid")).await, 200);
    let drifted = eventually("the drift is reported", PATIENCE, async || {
        let status = pair.status().await;
        let standing = resource(&status, "mesh/m/virtualNode/n")?.clone();
        (standing["standing"] == "drifted").then_some(standing)
    })
    .await;
    let detail = "~ spec.serviceDiscovery.dns.hostname: \"b.invalid\" → \"a.invalid\"";
    assert_eq!(drifted["detail"], detail);
    // It is left so, reading after reading, and others go on.
    let reads = "outrigger_mirror_reads_total{result=\"ok\"}";
    let before = pair.source.metric(reads).await;
    create(
        &pair.source,
        &id("mesh/m/virtualNode/o"),
        &spec("o.invalid"),
        &[],
    )
    .await;
    eventually("the target is read again", PATIENCE, async || {
        (pair.source.metric(reads).await > before + 1).then_some(())
    })
    .await;
    let there = mesh(&pair.target).await;
    assert_eq!(there[&node].0, spec("b.invalid"));
    assert!(there.contains_key(&id("mesh/m/virtualNode/o")));
    assert_eq!(
        pair.source
            .metric("outrigger_mirror_drift_total{handling=\"reported\"}")
            .await,
        1
    );
    // Until the source has something to say.
    assert_eq!(update(&pair.source, &node, &spec("c.invalid")).await, 200);
    pair.equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reading_of_the_target_keeps_no_change_waiting() {
    // At this pace a reading takes eight seconds, and the next begins a second later.
    let pair = Pair::mirroring(&["--mirror-rate", "40", "--mirror-drift-interval", "1s"]).await;
    create(&pair.source, &id("mesh/m"), &json!({}), &[]).await;
    for number in 0..150 {
        let node = id(&format!("mesh/m/virtualNode/n{number}"));
        create(&pair.source, &node, &spec("a.invalid"), &[]).await;
    }
    pair.equal().await;
    let reads = pair.proxy.calls().len();
    eventually("the target is being read", PATIENCE, async || {
        (pair.proxy.calls().len() > reads + 40).then_some(())
    })
    .await;
    let node = id("mesh/m/virtualNode/new");
    let began = Instant::now();
    create(&pair.source, &node, &spec("a.invalid"), &[]).await;
    eventually("the change is there", PATIENCE, async || {
        mesh(&pair.target).await.contains_key(&node).then_some(())
    })
    .await;
    let took = began.elapsed();
    println!("a change beside a reading took {took:?}");
    assert!(took < Duration::from_secs(3), "{took:?}");
    // What was read before it was made does not count.
    let ok = "outrigger_mirror_reads_total{result=\"ok\"}";
    let before = pair.source.metric(ok).await;
    eventually("that reading is over", PATIENCE, async || {
        (pair.source.metric(ok).await > before).then_some(())
    })
    .await;
    pair.state("in_step").await;
    let repaired = "outrigger_mirror_drift_total{handling=\"repaired\"}";
    assert_eq!(pair.source.metric(repaired).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_adds_to_what_it_is_told_is_not_told_for_ever() {
    let pair = Pair::mirroring(&["--mirror-drift-interval", "1s"]).await;
    pair.proxy.set(|_, _| Fate::Otherwise);
    create(&pair.source, &id("mesh/m"), &json!({}), &[]).await;
    let ok = "outrigger_mirror_reads_total{result=\"ok\"}";
    eventually("the target is read some times", PATIENCE, async || {
        (pair.source.metric(ok).await > 3).then_some(())
    })
    .await;
    let status = pair.state("in_step").await;
    let expected =
        json!({ "id": "mesh/m", "standing": "unlike", "detail": "- spec.serviceDiscovery: {}" });
    assert_eq!(status["resources"], json!([expected]));
    let repaired = "outrigger_mirror_drift_total{handling=\"repaired\"}";
    assert_eq!(
        (
            pair.source.metric(repaired).await,
            pair.proxy.writes().len()
        ),
        (0, 1)
    );
    // What the source changes is told, and somebody else's change is still noticed.
    let spec = json!({ "egressFilter": { "type": "ALLOW_ALL" } });
    assert_eq!(update(&pair.source, &id("mesh/m"), &spec).await, 200);
    pair.equal().await;
    assert_eq!(update(&pair.target, &id("mesh/m"), &json!({})).await, 200);
    pair.equal().await;
    assert_eq!(pair.source.metric(repaired).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mesh_does_not_notice_that_the_target_is_gone() {
    let mut pair = Pair::mirroring(&["--mirror-prune"]).await;
    create(&pair.source, &id("mesh/m"), &json!({}), &[]).await;
    pair.equal().await;
    pair.proxy.point_at(([127, 0, 0, 1], 1).into());
    let began = Instant::now();
    for number in 0..20 {
        let node = id(&format!("mesh/m/virtualNode/n{number}"));
        assert_eq!(
            create(&pair.source, &node, &spec("a.invalid"), &[]).await,
            200
        );
    }
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    let (ready, ..) = crate::http::get(&format!("http://{}", pair.source.admin), "/readyz").await;
    assert_eq!(ready, 200);
    let status = pair.state("unavailable").await;
    assert!(
        status["error"]
            .as_str()
            .unwrap()
            .contains("does not answer"),
        "{status}"
    );
    assert!(
        status["lagSeconds"].as_f64().unwrap() > 0.0 && status["nextTryInSeconds"].is_number(),
        "{status}"
    );
    // What is not there yet does not count as in step.
    let status = eventually("all is known to be missing", PATIENCE, async || {
        let status = pair.status().await;
        let resources = status["resources"].as_array().unwrap();
        let is_pending = |resource: &Value| resource["standing"] == "pending";
        let all = resources.len() == 20 && resources.iter().all(is_pending);
        all.then_some(status)
    })
    .await;
    assert_eq!(status["inStep"], 1, "{status}");
    let printed = pair.run(&["sync", "status"]).await;
    assert!(
        printed.out.contains("state         unavailable for"),
        "{}",
        printed.out
    );
    // A stop does not wait for it, nor does the start.
    let asked = Instant::now();
    let stopped = pair.source.process().stop(PATIENCE).await.unwrap();
    assert!(stopped.success(), "{stopped}");
    assert!(
        asked.elapsed() < Duration::from_secs(5),
        "{:?}",
        asked.elapsed()
    );
    pair.source.restart().await;
    pair.restart_target().await;
    pair.equal().await;
    pair.state("in_step").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_lost_everything_gets_it_anew() {
    let mut pair = Pair::mirroring(&["--mirror-drift-interval", "1s"]).await;
    for (id, [spec, _]) in &every_kind() {
        create(&pair.source, id, spec, &[]).await;
    }
    pair.equal().await;
    pair.target = Served::start(&[]).await;
    pair.proxy.point_at(pair.target.api);
    pair.equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_target_refuses_keeps_nothing_else() {
    let target = Served::start(&["--quota", "virtual-nodes-per-mesh=1"]).await;
    let pair = Pair::with(target, &["--mirror-prune"]).await;
    let (first, second) = (id("mesh/m/virtualNode/a"), id("mesh/m/virtualNode/b"));
    create(&pair.source, &id("mesh/m"), &json!({}), &[]).await;
    create(&pair.source, &first, &spec("a.invalid"), &[]).await;
    pair.equal().await;
    create(&pair.source, &second, &spec("b.invalid"), &[]).await;
    let provider = json!({ "provider": { "virtualNode": { "virtualNodeName": "b" } } });
    create(&pair.source, &id("mesh/m/virtualService/s"), &provider, &[]).await;
    create(&pair.source, &id("mesh/m/virtualRouter/r"), &json!({}), &[]).await;
    let status = eventually("the refusal is known", PATIENCE, async || {
        let status = pair.status().await;
        let is_said = status["state"] == "incomplete" && status["inStep"] == 3;
        is_said.then_some(status)
    })
    .await;
    let failed = resource(&status, "mesh/m/virtualNode/b").unwrap();
    assert_eq!(failed["standing"], "failed");
    assert!(
        failed["detail"]
            .as_str()
            .unwrap()
            .contains("LimitExceededException"),
        "{failed}"
    );
    assert_ne!(
        resource(&status, "mesh/m/virtualService/s"),
        None,
        "{status}"
    );
    // Room is made, and it is tried again.
    delete(&pair.source, &first).await;
    pair.equal().await;
    pair.state("in_step").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_follows_a_source_that_is_only_reached_over_its_api() {
    let mut pair = Pair::start().await;
    create(&pair.source, &id("mesh/m"), &json!({}), &[]).await;
    let log = pair.target.folder.path().join("watch.log");
    let source = Proxy::start(pair.source.api).await;
    let mut watch = ChildCommand::new(OUTRIGGER, OUTRIGGER)
        .args([
            "sync",
            "watch",
            "--prune",
            "--drift-interval",
            "1s",
            "--output",
            "json",
        ])
        .args(["--api-url", &source.url(), "--endpoint", &pair.proxy.url()])
        .spawn("sync watch", &log)
        .unwrap();
    pair.equal().await;
    create(
        &pair.source,
        &id("mesh/m/virtualNode/n"),
        &spec("a.invalid"),
        &[],
    )
    .await;
    pair.equal().await;
    // Neither of the two is always there.
    pair.proxy.set(|_, _| Fate::Refused(503));
    create(
        &pair.source,
        &id("mesh/m/virtualNode/o"),
        &spec("a.invalid"),
        &[],
    )
    .await;
    pair.source.restart().await;
    source.point_at(pair.source.api);
    delete(&pair.source, &id("mesh/m/virtualNode/n")).await;
    pair.proxy.set(|_, _| Fate::Passes);
    pair.equal().await;
    let there = mesh(&pair.target).await;
    assert_eq!(mirrored(&there).len(), 2);
    let last = eventually("it says so", PATIENCE, async || {
        let text = std::fs::read_to_string(&log).unwrap();
        let last: Value = serde_json::from_str(text.lines().last()?).ok()?;
        (last["state"] == "in_step" && last["inStep"] == 2).then_some(last)
    })
    .await;
    assert_eq!(last["resources"], json!([]));
    // Another server at the address is another source.
    let other = Served::start(&[]).await;
    source.point_at(other.api);
    let ended = eventually("it ends", Duration::from_mins(1), async || watch.ended()).await;
    assert_eq!(ended.code(), Some(2), "{:?}", watch.last_lines(5));
    assert_eq!(mirrored(&mesh(&pair.target).await), mirrored(&there));
}
