//! `outrigger sync plan` and `apply`, as they are typed, between two real control planes.

use std::process::Stdio;
use std::time::Instant;

use outrigger::appmesh::plan::TAG;
use serde_json::{Value, json};

use super::pair::{KeysFile, Pair, create, delete, mesh, mirrored, tag, update};
use super::proxy::Fate;
use super::{every_kind, id};
use crate::appmesh::served::Served;
use crate::world::{PATIENCE, eventually};

/// One resource of each kind at the source.
async fn fill(served: &Served) {
    for (id, [spec, _]) in &every_kind() {
        assert_eq!(
            create(served, id, spec, &[("team", "a")]).await,
            200,
            "{id}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_changes_nothing_and_an_apply_makes_the_target_the_source() {
    let pair = Pair::start().await;
    fill(&pair.source).await;
    let kinds = every_kind().len();
    let planned = pair.run(&["sync", "plan"]).await;
    assert_eq!(planned.code, Some(0), "{planned:?}");
    assert!(
        planned.out.starts_with("create mesh/m\n"),
        "{}",
        planned.out
    );
    let end = format!("{kinds} to create\nnothing was written; `outrigger sync apply` does it\n");
    assert!(planned.out.ends_with(&end), "{}", planned.out);
    assert!(mesh(&pair.target).await.is_empty());
    assert_eq!(pair.proxy.writes(), [""; 0]);

    let applied = pair.run(&["sync", "apply"]).await;
    assert_eq!(applied.code, Some(0), "{applied:?}");
    assert!(
        applied.out.ends_with(&format!("{kinds} created\n")),
        "{}",
        applied.out
    );
    let (source, target) = (mesh(&pair.source).await, mesh(&pair.target).await);
    assert_eq!(mirrored(&target), source);
    let server = pair.source.get("/outrigger/v1/resources").await.ok()["server"].clone();
    assert!(
        target
            .values()
            .all(|(_, tags)| tags[TAG] == server.as_str().unwrap())
    );

    let unchanged = format!("nothing differs: {kinds} resources unchanged");
    let again = pair.run(&["sync", "apply"]).await;
    again.prints(0, &[&*unchanged]);
    for (id, [_, spec]) in &every_kind() {
        assert_eq!(update(&pair.source, id, spec).await, 200, "{id}");
    }
    tag(&pair.source, &id("mesh/m"), "team", "b").await;
    let planned = pair.run(&["sync", "plan", "--output", "json"]).await;
    let planned: Value = serde_json::from_str(&planned.out).unwrap();
    assert_eq!(
        (&planned["updated"], &planned["created"]),
        (&json!(kinds), &json!(0))
    );
    let changes = planned["resources"][0]["changes"].clone();
    assert_eq!(
        changes[1],
        json!({ "path": "tags.team", "before": "a", "after": "b" })
    );
    assert_eq!(planned["source"]["server"], server);
    assert!(
        pair.run(&["sync", "apply"])
            .await
            .out
            .ends_with(&format!("{kinds} updated\n"))
    );
    assert_eq!(
        mirrored(&mesh(&pair.target).await),
        mesh(&pair.source).await
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_app_mesh_has_nothing_like_is_said_and_is_no_failure() {
    let pair = Pair::start().await;
    fill(&pair.source).await;
    pair.run(&["sync", "apply"]).await;
    let registered = "/outrigger/v1/meshes/m/virtualNodes/n/endpoints";
    let endpoints = json!({ "endpoints": [{ "address": "10.0.0.7" }] });
    pair.source.put(registered, &endpoints).await.ok();
    let unlike = "does not mirror mesh/m/virtualNode/n: App Mesh has nothing like its 1 registered endpoints; the target goes \
                  by its discovery";
    let unchanged = format!(
        "nothing differs: {} resources unchanged",
        every_kind().len()
    );
    let again = pair.run(&["sync", "apply"]).await;
    again.prints(0, &[unlike, &unchanged]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_gone_is_deleted_when_that_is_asked_for() {
    let pair = Pair::start().await;
    fill(&pair.source).await;
    pair.run(&["sync", "apply"]).await;
    for (id, _) in every_kind().iter().rev() {
        assert_eq!(delete(&pair.source, id).await, 200, "{id}");
    }
    let kinds = every_kind().len();
    let kept = pair.run(&["sync", "apply"]).await;
    assert_eq!(kept.code, Some(0), "{kept:?}");
    assert_eq!(
        kept.out.matches("and nothing is pruned").count(),
        kinds,
        "{}",
        kept.out
    );
    assert_eq!(mesh(&pair.target).await.len(), kinds);
    let pruned = pair.run(&["sync", "apply", "--prune"]).await;
    assert!(
        pruned.out.ends_with(&format!("{kinds} deleted\n")),
        "{pruned:?}"
    );
    assert!(mesh(&pair.target).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_made_is_left_alone_until_it_is_adopted() {
    let pair = Pair::start().await;
    fill(&pair.source).await;
    let [(mesh_id, [_, other]), (node, [_, spec]), ..] = &every_kind()[..] else {
        panic!("no kinds");
    };
    for (id, spec) in [
        (mesh_id, other),
        (node, spec),
        (&id("mesh/m/virtualNode/theirs"), spec),
    ] {
        assert_eq!(
            create(&pair.target, id, spec, &[("by", "terraform")]).await,
            200
        );
    }
    let before = mesh(&pair.target).await;
    let applied = pair.run(&["sync", "apply", "--prune"]).await;
    // Not all of the source is there.
    assert_eq!(applied.code, Some(1), "{applied:?}");
    assert!(
        applied.out.contains(
            "leaves alone mesh/m/virtualNode/n: somebody else made it; it differs: ~ spec"
        ),
        "{}",
        applied.out
    );
    assert!(
        applied
            .out
            .contains("left alone besides: 1 of others, of names that the source has not"),
        "{}",
        applied.out
    );
    let after = mesh(&pair.target).await;
    assert_eq!(after.len(), every_kind().len() + 1);
    for (id, there) in &before {
        assert_eq!(&after[id], there, "{id}");
    }
    let adopted = pair.run(&["sync", "apply", "--adopt", "--prune"]).await;
    assert_eq!(adopted.code, Some(0), "{adopted:?}");
    assert!(
        adopted.out.contains("takes over what somebody else made"),
        "{}",
        adopted.out
    );
    let after = mesh(&pair.target).await;
    let theirs = id("mesh/m/virtualNode/theirs");
    assert_eq!(after[&theirs], before[&theirs]);
    assert_eq!(after[node].0, mesh(&pair.source).await[node].0);
    assert_eq!(after[node].1["by"], "terraform");
    assert!(after[node].1.contains_key(TAG) && !after[&theirs].1.contains_key(TAG));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_is_not_called_alike() {
    let pair = Pair::start().await;
    let node = |name: &str| id(&format!("mesh/m/virtualNode/{name}"));
    let spec = |host: &str| json!({ "serviceDiscovery": { "dns": { "hostname": host } } });
    create(&pair.source, &id("mesh/m"), &json!({}), &[]).await;
    for name in ["gone", "theirs"] {
        create(&pair.source, &node(name), &spec("a.invalid"), &[]).await;
    }
    create(&pair.target, &id("mesh/m"), &json!({}), &[]).await;
    create(&pair.target, &node("theirs"), &spec("b.invalid"), &[]).await;
    let applied = pair.run(&["sync", "apply"]).await;
    assert_eq!(applied.code, Some(1), "{applied:?}");
    assert_eq!(
        applied.out.lines().last(),
        Some("1 created; 1 kept: 1 foreign (--adopt)")
    );
    delete(&pair.source, &node("gone")).await;
    for command in ["plan", "apply"] {
        let kept = pair.run(&["sync", command]).await;
        let alike = "left alone besides: 1 of others, as the source has them, which do not follow it (--adopt)";
        assert!(kept.out.contains(alike), "{kept:?}");
        assert_eq!(
            kept.out.lines().last(),
            Some(
                "nothing to do: 0 resources unchanged; 2 kept: 1 foreign (--adopt), 1 not in the source (--prune)"
            )
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_at_the_standby_comes_back() {
    let pair = Pair::start().await;
    fill(&pair.source).await;
    assert_eq!(pair.run(&["sync", "apply"]).await.code, Some(0));
    let [(mesh_id, _), (node, [_, written]), ..] = &every_kind()[..] else {
        panic!("no kinds");
    };
    // The source is lost.
    let new = id("mesh/m/virtualNode/new");
    update(&pair.target, node, written).await;
    create(&pair.target, &new, written, &[]).await;
    let (target, source) = (pair.target.url(), pair.source.url());
    let back = [
        "sync",
        "apply",
        "--api-url",
        &target,
        "--endpoint",
        &source,
        "--adopt",
    ];
    let back = pair.run(&back).await;
    assert_eq!(back.code, Some(0), "{back:?}");
    assert_eq!(
        back.out.lines().last(),
        Some("1 created, 7 updated"),
        "{back:?}"
    );
    let there = mesh(&pair.source).await;
    assert_eq!((&there[node].0, &there[&new].0), (written, written));
    // From then on it is as it was.
    let again = pair.run(&["sync", "apply", "--adopt"]).await;
    assert_eq!(again.code, Some(0), "{again:?}");
    let none = json!({ "egressFilter": { "type": "ALLOW_ALL" } });
    update(&pair.source, mesh_id, &none).await;
    let again = pair.run(&["sync", "apply"]).await;
    assert_eq!(
        again.out.lines().last(),
        Some("1 updated, 7 unchanged"),
        "{again:?}"
    );
    assert_eq!(mesh(&pair.target).await[mesh_id].0, none);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mesh_that_neither_side_has_is_a_mistake() {
    let pair = Pair::start().await;
    create(&pair.target, &id("mesh/theirs"), &json!({}), &[]).await;
    let nothing = pair.run(&["sync", "plan", "--mesh", "theirs"]).await;
    nothing.fails(
        2,
        &["has no mesh `theirs`", "it has no mesh at all", "--api-url"],
    );
    for mesh in ["m", "n"] {
        create(&pair.source, &id(&format!("mesh/{mesh}")), &json!({}), &[]).await;
    }
    for command in ["plan", "apply"] {
        let typo = pair
            .run(&["sync", command, "--mesh", "m", "--mesh", "typo"])
            .await;
        let url = pair.source.url();
        typo.fails(2, &[&url, "has no mesh `typo`,", "--mesh: `m`, `n`"]);
    }
    assert_eq!(pair.proxy.writes(), [""; 0]);
    // One that was mirrored and is deleted is no mistake, and goes when that is asked for.
    let named = ["sync", "apply", "--mesh", "m"];
    assert_eq!(pair.run(&named).await.code, Some(0));
    delete(&pair.source, &id("mesh/m")).await;
    let kept = pair.run(&named).await;
    assert_eq!(kept.code, Some(0), "{kept:?}");
    assert!(
        kept.out
            .ends_with("1 kept: 1 not in the source (--prune)\n"),
        "{kept:?}"
    );
    let pruned = pair.run(&[&named[..], &["--prune"]].concat()).await;
    pruned.prints(0, &["deleted mesh/m", "1 deleted"]);
    pair.run(&named).await.fails(2, &["has no mesh `m`"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_source_is_no_target() {
    let pair = Pair::start().await;
    pair.proxy.point_at(pair.source.api);
    fill(&pair.source).await;
    let before = mesh(&pair.source).await;
    for command in ["plan", "apply"] {
        let refused = pair.run(&["sync", command, "--adopt"]).await;
        refused.fails(2, &["is the source itself", "--endpoint"]);
    }
    assert_eq!(mesh(&pair.source).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_of_no_use_is_said_so() {
    let pair = Pair::start().await;
    let nobody = pair
        .run(&["sync", "plan", "--endpoint", "http://127.0.0.1:1"])
        .await;
    nobody.fails(2, &["http://127.0.0.1:1 does not answer"]);
    pair.proxy.set(|_, _| Fate::Refused(404));
    let nonsense = pair.run(&["sync", "plan"]).await;
    nonsense.fails(2, &[&pair.proxy.url(), "what App Mesh's API does not"]);
    let nowhere = pair
        .command(&["sync", "plan"])
        .env_remove("OUTRIGGER_SYNC_ENDPOINT")
        .output()
        .unwrap();
    // The environment's endpoint names the source, and never the target.
    assert_eq!(nowhere.status.code(), Some(2), "{nowhere:?}");
    assert!(
        String::from_utf8_lossy(&nowhere.stderr).contains("--endpoint"),
        "{nowhere:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_for_some_meshes_does_not_prune_the_others() {
    let keys = KeysFile::new(&[("ALL", ""), ("SOME", ", meshes: [m]")]);
    let source = Served::start(&["--api-auth", "sigv4", "--api-credentials", keys.path()]).await;
    let target = Served::start(&[]).await;
    let pair = Pair::between(source, target).await;
    let files = pair.source.folder.path().join("meshes.yaml");
    std::fs::write(
        &files,
        "kind: Mesh\nmeshName: m\n---\nkind: Mesh\nmeshName: other\n",
    )
    .unwrap();
    let run = async |key: &str, arguments: &[&str]| keys.run(&pair, key, arguments).await;
    assert_eq!(
        run("ALL", &["apply", files.to_str().unwrap()]).await.code,
        Some(0)
    );
    assert_eq!(
        run("ALL", &["sync", "apply", "--prune"]).await.code,
        Some(0)
    );
    let refused = run("SOME", &["sync", "apply", "--prune"]).await;
    refused.fails(1, &["would delete the others", "--mesh"]);
    let named = run("SOME", &["sync", "apply", "--prune", "--mesh", "m"]).await;
    named.prints(0, &["nothing differs: 1 resource unchanged"]);
    let unreadable = run("SOME", &["sync", "apply", "--prune", "--mesh", "other"]).await;
    assert_ne!(unreadable.code, Some(0), "{unreadable:?}");
    assert_eq!(mesh(&pair.target).await.len(), 2);
}

/// Nodes enough for some seconds.
async fn many(served: &Served, count: usize) {
    let mesh = id("mesh/m");
    assert_eq!(create(served, &mesh, &json!({}), &[]).await, 200);
    let spec = json!({ "serviceDiscovery": { "dns": { "hostname": "a.invalid" } }, "listeners": [
        { "portMapping": { "port": 8080, "protocol": "http" } },
    ] });
    for number in 1..count {
        let node = id(&format!("mesh/m/virtualNode/n{number:04}"));
        assert_eq!(create(served, &node, &spec, &[]).await, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_in_the_middle_is_gone_on_from() {
    let pair = Pair::start().await;
    many(&pair.source, 300).await;
    let mut killed = pair
        .command(&["sync", "apply", "--rate", "100"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    eventually("some of it is written", PATIENCE, async || {
        (pair.proxy.writes().len() > 50).then_some(())
    })
    .await;
    killed.kill().unwrap();
    killed.wait().unwrap();
    let there = mesh(&pair.target).await.len();
    // Of those that were sent, some were under way.
    assert!((1..300).contains(&there), "{there}");
    let rest = pair.run(&["sync", "apply"]).await;
    assert_eq!(rest.code, Some(0), "{rest:?}");
    assert_eq!(
        mirrored(&mesh(&pair.target).await),
        mesh(&pair.source).await
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_resources_take_seconds() {
    let pair = Pair::start().await;
    many(&pair.source, 1_000).await;
    let began = Instant::now();
    let created = pair.run(&["sync", "apply", "--rate", "0"]).await;
    let took = began.elapsed();
    println!("1,000 creates: {took:?}");
    assert!(created.out.ends_with("1000 created\n"), "{}", created.err);
    assert!(took.as_secs() < 30, "{took:?}");
    let began = Instant::now();
    let planned = pair.run(&["sync", "plan"]).await;
    let took = began.elapsed();
    println!("a plan of 1,000: {took:?}");
    planned.prints(0, &["nothing differs: 1000 resources unchanged"]);
    // A debug build, beside other tests; a release build takes a fifth.
    assert!(took.as_secs() < 20, "{took:?}");
}
