//! A target that is gone, refuses, or becomes another one, under a mirror that runs by itself.

use std::time::{Duration, Instant};

use outrigger::envoy::bootstrap::XdsProtocol;
use outrigger::model::ResourceId;
use serde_json::{Value, json};

use super::double::{Double, Reply};
use super::pair::{Pair, create, delete, mesh, update};
use super::proxy::{Fate, Proxy};
use super::{id, spec};
use crate::appmesh::served::Served;
use crate::world::{Application, PATIENCE, World, eventually};

const READS: &str = "outrigger_mirror_reads_total{result=\"ok\"}";

fn node(name: &str) -> ResourceId {
    id(&format!("mesh/m/virtualNode/{name}"))
}

/// How each resource stands that is not in step.
fn standings(status: &Value) -> Vec<(String, String)> {
    let text = |one: &Value, member: &str| one[member].as_str().unwrap_or_default().to_owned();
    let resources = status["resources"].as_array().unwrap().iter();
    let both = resources.map(|one| {
        let name = text(one, "id").rsplit('/').next().unwrap().to_owned();
        (name, text(one, "standing"))
    });
    both.collect()
}

/// Waits until so much, and nothing else, is not in step.
async fn stand(pair: &Pair, expected: &[(&str, &str)]) -> Value {
    let what = format!("there is {expected:?}");
    eventually(&what, PATIENCE, async || {
        let status = pair.status().await;
        let standings = standings(&status);
        let found = standings
            .iter()
            .map(|(id, standing)| (id.as_str(), standing.as_str()));
        let is_at_rest = ["in_step", "incomplete"].contains(&status["state"].as_str()?);
        (is_at_rest && found.eq(expected.iter().copied())).then_some(status)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn sidecars_readiness_and_a_stop_do_not_wait_for_the_target() {
    let mesh = include_str!("../../../config/minimal/mesh.yaml");
    let target = Proxy::start(([127, 0, 0, 1], 1).into()).await;
    target.set(|_, _| Fate::Swallowed);
    let mut world = World::new().await;
    for (name, host) in [("a", 2), ("b", 3), ("c", 4)] {
        let name = format!("service-{name}.local");
        world
            .zone
            .set(&name, Duration::from_secs(1), vec![world.ip(host)]);
    }
    let data = world.folder.path().join("data");
    world.serve_args = [
        "--data-dir",
        data.to_str().unwrap(),
        "--mirror-endpoint",
        &target.url(),
    ]
    .map(str::to_owned)
    .into();
    world.serve(mesh).await;
    let _applications = [
        Application::start(world.application(3), "b").await,
        Application::start(world.application(4), "c").await,
    ];
    let of = |name: &str| format!("mesh/appMesh/virtualNode/service{name}Node");
    let _sidecars = [
        world.sidecar(&of("A"), 2, XdsProtocol::Delta).await,
        world
            .sidecar(&of("B"), 3, XdsProtocol::StateOfTheWorld)
            .await,
        world.sidecar(&of("B"), 4, XdsProtocol::Delta).await,
    ];
    assert_eq!(
        world.call(2, "service-b.local", "/").await,
        (200, "b".to_owned())
    );
    let elsewhere = mesh.replace("hostname: service-b.local", "hostname: service-c.local");
    assert_ne!(elsewhere, mesh);
    let began = Instant::now();
    world.write_mesh(&elsewhere);
    eventually("the change is there", PATIENCE, async || {
        let answer = world.call(2, "service-b.local", "/").await;
        (answer == (200, "c".to_owned())).then_some(())
    })
    .await;
    println!("a change took {:?} to a sidecar", began.elapsed());
    assert!(!target.calls().is_empty(), "the target is being waited for");
    let ready = world.get(world.at(1, 9081), "ignored", "/readyz").await;
    assert_eq!(ready.unwrap().0, 200);
    let (status, took) = world.stop_control_plane().await;
    println!("a stop took {took:?}");
    assert!(status.success(), "{status}");
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_during_an_outage_is_counted_from_its_first_change() {
    // The target may be waited for, or to be tried again: nothing comes of calls, or they are refused at once.
    for fate in [Fate::Swallowed, Fate::Refused(503)] {
        let pair = Pair::mirroring(&[]).await;
        create(&pair.source, &id("mesh/m"), &json!({}), &[]).await;
        create(&pair.source, &node("old"), &spec("a.invalid"), &[]).await;
        pair.equal().await;
        let before = pair.state("in_step").await;
        pair.proxy.set(move |_, _| fate);
        let began = Instant::now();
        let mut changes = 0;
        while began.elapsed() < Duration::from_secs(4) {
            let name = format!("n{changes:02}");
            create(&pair.source, &node(&name), &spec("a.invalid"), &[]).await;
            changes += 1;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let status = pair.status().await;
        let lag = status["lagSeconds"].as_u64().unwrap();
        let longest = began.elapsed().as_secs() + 1;
        assert!((4..=longest).contains(&lag), "{changes} changes: {status}");
        let standings = standings(&status);
        assert_eq!(standings.len(), changes, "{status}");
        assert!(standings.iter().all(|(_, standing)| standing == "pending"));
        assert_eq!(status["inStep"], 2, "{status}");
        assert_eq!(
            status["mirroredRevision"], before["mirroredRevision"],
            "{status}"
        );
        pair.proxy.set(|_, _| Fate::Passes);
        if fate != Fate::Swallowed {
            pair.equal().await;
            let status = pair.state("in_step").await;
            assert_eq!(status["lagSeconds"], 0, "{status}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_refuses_the_key_or_is_no_app_mesh_is_waited_for() {
    let pair = Pair::mirroring(&["--mirror-drift-interval", "1s"]).await;
    create(&pair.source, &id("mesh/m"), &json!({}), &[]).await;
    pair.equal().await;
    for (fate, words) in [
        (Fate::Refused(403), "set AWS_ACCESS_KEY_ID"),
        (Fate::Refused(404), "what App Mesh's API does not"),
    ] {
        pair.proxy.set(move |_, _| fate);
        let name = format!("{fate:?}").replace(['(', ')'], "-");
        create(&pair.source, &node(&name), &spec("a.invalid"), &[]).await;
        let status = pair.state("unavailable").await;
        let error = status["error"].as_str().unwrap();
        assert!(error.contains(words), "{error}");
        let (ready, ..) =
            crate::http::get(&format!("http://{}", pair.source.admin), "/readyz").await;
        assert_eq!(ready, 200);
        pair.proxy.set(|_, _| Fate::Passes);
        pair.equal().await;
        pair.state("in_step").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resource_that_the_target_fails_over_stops_nothing_else() {
    let pair = Pair::mirroring(&["--mirror-prune"]).await;
    create(&pair.source, &id("mesh/m"), &json!({}), &[]).await;
    for name in ["bad", "good", "old"] {
        create(&pair.source, &node(name), &spec("a.invalid"), &[]).await;
    }
    pair.equal().await;
    pair.state("in_step").await;
    let reads = pair.source.metric(READS).await;
    pair.proxy.set(|_, line| {
        if line.starts_with("PUT ") && line.contains("/virtualNodes/bad") {
            Fate::Refused(500)
        } else {
            Fate::Passes
        }
    });
    // By itself, so that it cannot be told by others which whose failure it is.
    update(&pair.source, &node("bad"), &spec("b.invalid")).await;
    let status = stand(&pair, &[("bad", "failed")]).await;
    let detail = status["resources"][0]["detail"].as_str().unwrap();
    assert!(detail.contains("fails with 500 (told so)"), "{detail}");
    update(&pair.source, &node("good"), &spec("b.invalid")).await;
    create(&pair.source, &node("new"), &spec("a.invalid"), &[]).await;
    delete(&pair.source, &node("old")).await;
    eventually("all else is there", PATIENCE, async || {
        let there = mesh(&pair.target).await;
        let is_there = there[&node("good")].0 == spec("b.invalid");
        (is_there && there.contains_key(&node("new")) && !there.contains_key(&node("old")))
            .then_some(())
    })
    .await;
    stand(&pair, &[("bad", "failed")]).await;
    // It was not read again for that.
    assert_eq!(pair.source.metric(READS).await, reads);
    pair.proxy.set(|_, _| Fate::Passes);
    pair.equal().await;
    pair.state("in_step").await;
    // Several are no resource's own failure, even if it can be read all the while.
    pair.proxy.set(|_, line| {
        if line.starts_with("GET ") {
            Fate::Passes
        } else {
            Fate::Refused(500)
        }
    });
    for name in ["bad", "good", "new", "n1", "n2", "n3", "n4"] {
        create(&pair.source, &node(name), &spec("a.invalid"), &[]).await;
        update(&pair.source, &node(name), &spec("c.invalid")).await;
    }
    eventually("the target is to blame", PATIENCE, async || {
        let status = pair.status().await;
        (status["state"] == "unavailable").then_some(())
    })
    .await;
    pair.proxy.set(|_, _| Fate::Passes);
    pair.equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_becomes_another_accounts_is_not_written_to() {
    let [ours, other] = ["111111111111", "222222222222"];
    let target = Served::start(&["--account-id", ours]).await;
    let pair = Pair::with(target, &["--mirror-prune", "--mirror-drift-interval", "1s"]).await;
    create(&pair.source, &id("mesh/m"), &json!({}), &[]).await;
    for name in ["a", "b", "c"] {
        create(&pair.source, &node(name), &spec("a.invalid"), &[]).await;
    }
    pair.equal().await;
    pair.state("in_step").await;
    // With something of others, and without anything that would say whose it is.
    let full = Served::start(&["--account-id", other]).await;
    create(&full, &id("mesh/theirs"), &json!({}), &[]).await;
    let empty = Served::start(&["--account-id", other]).await;
    for (another, most) in [(&full, 1), (&empty, 1)] {
        pair.proxy.point_at(another.api);
        let words = [
            &format!("belongs to account {other}"),
            &format!("goes to account {ours}"),
            "--mirror-account",
        ];
        // At first it may only be known that it is another server.
        eventually("it is said whose it is", PATIENCE, async || {
            let status = pair.state("unavailable").await;
            let error = status["error"].as_str()?;
            words
                .iter()
                .all(|words| error.contains(*words))
                .then_some(())
        })
        .await;
        delete(&pair.source, &node("c")).await;
        create(&pair.source, &node("c"), &spec("c.invalid"), &[]).await;
        // Tried again, and found out again.
        let reads = pair.source.metric(READS).await;
        eventually("it is tried again", PATIENCE, async || {
            (pair.source.metric(READS).await > reads).then_some(())
        })
        .await;
        let there = mesh(another).await.len();
        assert!(there <= most, "{there} resources");
        pair.proxy.point_at(pair.target.api);
        pair.equal().await;
        pair.state("in_step").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_may_be_named_in_advance() {
    let account = "222222222222";
    let target = Served::start(&["--account-id", account]).await;
    create(&target, &id("mesh/theirs"), &json!({}), &[]).await;
    let pair = Pair::with(target, &["--mirror-account", "111111111111"]).await;
    create(&pair.source, &id("mesh/m"), &json!({}), &[]).await;
    let status = pair.state("unavailable").await;
    assert!(
        status["error"].as_str().unwrap().contains(account),
        "{status}"
    );
    for command in ["plan", "apply"] {
        let wrong = pair
            .run(&["sync", command, "--account", "111111111111"])
            .await;
        wrong.fails(2, &["belongs to account 222222222222", "--account"]);
    }
    assert_eq!(pair.proxy.writes(), [""; 0]);
    let right = pair.run(&["sync", "apply", "--account", account]).await;
    assert_eq!(right.code, Some(0), "{right:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_server_with_what_others_made_is_not_written_to() {
    let pair = Pair::mirroring(&["--mirror-drift-interval", "1s"]).await;
    create(&pair.source, &id("mesh/m"), &json!({}), &[]).await;
    pair.equal().await;
    let other = Served::start(&[]).await;
    create(&other, &id("mesh/theirs"), &json!({}), &[]).await;
    pair.proxy.point_at(other.api);
    let status = pair.state("unavailable").await;
    let error = status["error"].as_str().unwrap();
    assert!(error.contains("another server than before"), "{error}");
    assert_eq!(mesh(&other).await.len(), 1);
    pair.proxy.point_at(pair.target.api);
    pair.state("in_step").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_left_for_others_is_written_once_they_are_gone() {
    let args = [
        "--mirror-prune",
        "--mirror-drift",
        "report",
        "--mirror-drift-interval",
        "1s",
    ];
    let pair = Pair::mirroring(&args).await;
    create(&pair.target, &id("mesh/m"), &json!({}), &[]).await;
    create(&pair.target, &node("theirs"), &spec("b.invalid"), &[]).await;
    for document in [&id("mesh/m"), &node("theirs"), &node("used")] {
        let spec = match document {
            ResourceId::Mesh(_) => json!({}),
            _ => spec("a.invalid"),
        };
        create(&pair.source, document, &spec, &[]).await;
    }
    stand(&pair, &[("m", "foreign_alike"), ("theirs", "foreign")]).await;
    let provider = json!({ "provider": { "virtualNode": { "virtualNodeName": "used" } } });
    let service = id("mesh/m/virtualService/theirs");
    create(&pair.target, &service, &provider, &[]).await;
    let reads = pair.source.metric(READS).await;
    eventually("that is read", PATIENCE, async || {
        (pair.source.metric(READS).await > reads + 1).then_some(())
    })
    .await;
    delete(&pair.source, &node("used")).await;
    stand(
        &pair,
        &[
            ("m", "foreign_alike"),
            ("theirs", "foreign"),
            ("used", "orphaned"),
        ],
    )
    .await;
    delete(&pair.target, &service).await;
    delete(&pair.target, &node("theirs")).await;
    stand(&pair, &[("m", "foreign_alike")]).await;
    let there = mesh(&pair.target).await;
    assert_eq!(there[&node("theirs")].0, spec("a.invalid"));
    assert!(!there.contains_key(&node("used")));
    let reported = "outrigger_mirror_drift_total{handling=\"reported\"}";
    assert_eq!(pair.source.metric(reported).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_refusals_are_a_few_lines_and_keep_nothing_new_waiting() {
    let target = Served::start(&["--quota", "virtual-nodes-per-mesh=1"]).await;
    // At this pace all of them take twelve seconds.
    let pair = Pair::with(target, &["--mirror-rate", "10"]).await;
    create(&pair.source, &id("mesh/m"), &json!({}), &[]).await;
    create(&pair.source, &node("first"), &spec("a.invalid"), &[]).await;
    pair.equal().await;
    for number in 0..40 {
        let name = format!("n{number:02}");
        create(&pair.source, &node(&name), &spec("a.invalid"), &[]).await;
    }
    let failed = "outrigger_mirror_steps_total{action=\"create\",outcome=\"failed\"}";
    eventually("all are refused", PATIENCE, async || {
        (pair.source.metric(failed).await >= 40).then_some(())
    })
    .await;
    eventually("some are tried again", PATIENCE, async || {
        (pair.source.metric(failed).await >= 45).then_some(())
    })
    .await;
    let began = Instant::now();
    let service = id("mesh/m/virtualService/new");
    create(&pair.source, &service, &json!({}), &[]).await;
    eventually("what is new is there", PATIENCE, async || {
        mesh(&pair.target)
            .await
            .contains_key(&service)
            .then_some(())
    })
    .await;
    let took = began.elapsed();
    println!("a change beside refusals took {took:?}");
    assert!(took < Duration::from_secs(6), "{took:?}");
    let log = std::fs::read_to_string(pair.source.log()).unwrap();
    let lines = log.matches("the mirror's target refused a change").count();
    println!("{lines} lines");
    assert!(lines <= 40, "{lines} lines");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_target_sends_back_of_a_call_is_not_repeated() {
    let pair = Pair::start().await;
    create(&pair.source, &id("mesh/m"), &json!({}), &[]).await;
    for status in [400, 403, 503, 200] {
        let double = Double::start(vec![Reply::Echo(status)]).await;
        let url = double.url();
        let token = "session-token/with+much=in-it-that-is-long-enough";
        let mut command = pair.command(&["sync", "plan", "--endpoint", &url]);
        command
            .env("AWS_ACCESS_KEY_ID", "AKID")
            .env("AWS_SECRET_ACCESS_KEY", "secret-of-enough-characters")
            .env("AWS_SESSION_TOKEN", token);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap());
        let output = output.await.unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_ne!(output.status.code(), Some(0), "{text}");
        assert!(text.contains("(hidden)"), "{status}: {text}");
        assert!(!text.contains("session-token"), "{status}: {text}");
        let digits = text.split(|c: char| !c.is_ascii_hexdigit());
        assert!(digits.map(str::len).max() < Some(64), "{status}: {text}");
    }
}
