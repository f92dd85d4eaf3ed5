//! `outrigger sync watch`, whose source is only reached over its API: what becomes of it when that is not as it was.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::pair::{KeysFile, Pair, create, delete, mesh, mirrored, update};
use super::proxy::{Fate, Proxy};
use super::{id, spec};
use crate::apply::Printed;
use crate::appmesh::served::Served;
use crate::world::{PATIENCE, eventually};

/// A command that mirrors a pair, past something that may stand before the source. Dropped, it is killed.
struct Watching {
    process: Child,
    log: PathBuf,
    /// What it asks for its source.
    source: Proxy,
}

impl Watching {
    async fn start(pair: &Pair, arguments: &[&str]) -> Self {
        Self::start_as(pair, None, arguments).await
    }

    async fn start_as(pair: &Pair, key: Option<&str>, arguments: &[&str]) -> Self {
        let log = pair.target.folder.path().join("watch.log");
        let output = File::create(&log).unwrap();
        let source = Proxy::start(pair.source.api).await;
        let mut command = pair.command(&["sync", "watch", "--api-url", &source.url()]);
        command.args(arguments);
        if let Some(key) = key {
            KeysFile::sign(&mut command, key);
        }
        command.stderr(output.try_clone().unwrap()).stdout(output);
        let process = Command::from(command).kill_on_drop(true).spawn().unwrap();
        Self {
            process,
            log,
            source,
        }
    }

    fn printed(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    async fn prints(&self, words: &str) {
        eventually(&format!("it prints {words}"), PATIENCE, async || {
            self.printed().contains(words).then_some(())
        })
        .await;
    }

    async fn ended(&mut self) -> ExitStatus {
        let ended = timeout(Duration::from_mins(1), self.process.wait()).await;
        ended.expect("it ends").unwrap()
    }
}

/// Copies a folder.
fn copy(from: &Path, to: &Path) {
    let mut copy = std::process::Command::new("cp");
    let copied = copy.arg("-r").arg(from).arg(to).status();
    assert!(copied.unwrap().success());
}

/// Waits until the target has the source's mesh.
async fn has(pair: &Pair, source: &Served) {
    eventually("the target is what the source is", PATIENCE, async || {
        let (source, target) = (mesh(source).await, mesh(&pair.target).await);
        (mirrored(&target) == source).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_loses_the_mesh_deletes_nothing() {
    let keys = KeysFile::new(&[("ALL", ""), ("ONE", ", meshes: [m]")]);
    let auth = ["--api-auth", "sigv4", "--api-credentials", keys.path()];
    let mut pair = Pair::between(Served::start(&auth).await, Served::start(&[]).await).await;
    let files = pair.source.folder.path().join("mesh.yaml");
    let apply = async |pair: &Pair, nodes: &[&str]| {
        let node = |name: &&str| {
            format!("---\nkind: VirtualNode\nmeshName: m\nvirtualNodeName: {name}\nspec: {{}}\n")
        };
        let nodes: String = nodes.iter().map(node).collect();
        std::fs::write(&files, format!("---\nkind: Mesh\nmeshName: m\n{nodes}")).unwrap();
        let arguments = ["apply", files.to_str().unwrap()];
        let applied = keys.run(pair, "ALL", &arguments).await;
        assert_eq!(applied.code, Some(0), "{applied:?}");
    };
    apply(&pair, &["a"]).await;
    let mut watching = Watching::start_as(&pair, Some("ONE"), &["--mesh", "m", "--prune"]).await;
    watching.prints("in step: revision 2 of 2").await;
    // What was asked before that is still answered, and nothing after it.
    watching.source.set(|_, _| Fate::Refused(503));
    apply(&pair, &["a", "b"]).await;
    let there = eventually("the last answer is taken", PATIENCE, async || {
        let there = mesh(&pair.target).await;
        (there.len() == 3).then_some(there)
    })
    .await;
    // Between two questions, the source changes and restarts, so that it answers with all that the key may read.
    apply(&pair, &["a", "b", "c"]).await;
    keys.set(&[("ALL", ""), ("ONE", ", meshes: [other]")]);
    pair.source.restart().await;
    watching.source.point_at(pair.source.api);
    watching.source.set(|_, _| Fate::Passes);
    let ended = watching.ended().await;
    assert_eq!(ended.code(), Some(1), "{}", watching.printed());
    let printed = watching.printed();
    assert!(printed.contains("is not authorized"), "{printed}");
    assert_eq!(mesh(&pair.target).await, there);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_was_put_back_is_read_anew() {
    let mut pair = Pair::start().await;
    create(&pair.source, &id("mesh/m"), &json!({}), &[]).await;
    for node in ["mesh/m/virtualNode/a", "mesh/m/virtualNode/b"] {
        assert_eq!(
            create(&pair.source, &id(node), &spec("old"), &[]).await,
            200
        );
    }
    // A copy of its folder, which another process serves: nobody notices but by what it has.
    let other = tempfile::tempdir().unwrap();
    pair.source.process().kill().await.unwrap();
    copy(&pair.source.folder.path().join("data"), other.path());
    pair.source.restart().await;
    let other = Served::start_in(other, &[]).await;
    let watching = Watching::start(&pair, &["--prune", "--drift-interval", "1s"]).await;
    let a = id("mesh/m/virtualNode/a");
    assert_eq!(update(&pair.source, &a, &spec("new")).await, 200);
    has(&pair, &pair.source).await;
    // It has had as many changes, and one more.
    let [b, c] = ["b", "c"].map(|name| id(&format!("mesh/m/virtualNode/{name}")));
    assert_eq!(delete(&other, &b).await, 200);
    assert_eq!(create(&other, &c, &spec("c"), &[]).await, 200);
    watching.source.point_at(other.api);
    has(&pair, &other).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_comes_back_is_read_anew() {
    let mut pair = Pair::start().await;
    create(&pair.source, &id("mesh/m"), &json!({}), &[]).await;
    let data = pair.source.folder.path().join("data");
    let kept = pair.source.folder.path().join("kept");
    pair.source.process().kill().await.unwrap();
    copy(&data, &kept);
    pair.source.restart().await;
    let watching = Watching::start(&pair, &["--prune"]).await;
    create(&pair.source, &id("mesh/m/virtualNode/a"), &spec("a"), &[]).await;
    has(&pair, &pair.source).await;
    watching.source.set(|_, _| Fate::Refused(503));
    pair.source.process().kill().await.unwrap();
    std::fs::remove_dir_all(&data).unwrap();
    copy(&kept, &data);
    pair.source.restart().await;
    create(&pair.source, &id("mesh/m/virtualNode/b"), &spec("b"), &[]).await;
    create(&pair.source, &id("mesh/m/virtualNode/c"), &spec("c"), &[]).await;
    watching.source.point_at(pair.source.api);
    watching.source.set(|_, _| Fate::Passes);
    has(&pair, &pair.source).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_does_not_answer_is_told_of_each_time() {
    let pair = Pair::start().await;
    create(&pair.source, &id("mesh/m"), &json!({}), &[]).await;
    let mut watching = Watching::start(&pair, &[]).await;
    watching
        .prints("in step: revision 1 of 1; 1 in step\n")
        .await;
    let outages = [
        (Fate::Refused(502), "answered 502 Bad Gateway"),
        (Fate::Refused(500), "answered 500"),
        (Fate::Refused(504), "answered 504"),
        (Fate::Passes, "cannot reach Outrigger's API at http://"),
    ];
    for (number, (fate, words)) in (1..).zip(outages) {
        watching.source.set(move |_, _| fate);
        watching.source.point_at(([127, 0, 0, 1], 1).into());
        // What was asked before that is answered now.
        let node = id(&format!("mesh/m/virtualNode/n{number}"));
        create(&pair.source, &node, &spec("a"), &[]).await;
        eventually(words, PATIENCE, async || {
            let printed = watching.printed();
            let (_, last) = printed.rsplit_once("source unreachable: revision ")?;
            (last.contains("  since 20") && last.contains(words)).then_some(())
        })
        .await;
        watching.source.set(|_, _| Fate::Passes);
        watching.source.point_at(pair.source.api);
        has(&pair, &pair.source).await;
        eventually("it says that it is back", PATIENCE, async || {
            let printed = watching.printed();
            let back = printed.matches("source reached again after ").count();
            let (_, last) = printed.rsplit_once("source reached again after ")?;
            (back == number && last.contains("\nin step: ")).then_some(())
        })
        .await;
    }
    assert!(watching.process.try_wait().unwrap().is_none());
    assert!(!watching.printed().contains("trying again for"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_cannot_be_called_is_refused_at_once() {
    let pair = Pair::start().await;
    for (endpoint, words) in [
        ("standby:9080", "write `http://HOST:PORT`"),
        ("http://user:secret@standby", "has a user in it"),
        ("", "write `http://HOST:PORT`"),
    ] {
        let command = pair.command(&["sync", "watch", "--endpoint", endpoint]);
        let mut command = Command::from(command);
        let refused = timeout(PATIENCE, command.kill_on_drop(true).output());
        let refused = Printed::of(refused.await.expect("it ends").unwrap());
        refused.fails(2, &[words]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn output_that_nobody_reads_keeps_nothing_waiting() {
    let pair = Pair::start().await;
    create(&pair.source, &id("mesh/m"), &json!({}), &[]).await;
    for signal in [Signal::TERM, Signal::INT] {
        // A pipe that is full already.
        let (_unread, mut pipe) = std::io::pipe().unwrap();
        pipe.write_all(" ".repeat(64 << 10).as_bytes()).unwrap();
        let mut command = pair.command(&["sync", "watch", "--prune", "--output", "json"]);
        command.stdout(Stdio::from(pipe));
        let mut process = Command::from(command).kill_on_drop(true).spawn().unwrap();
        for number in 0..5 {
            let node = id(&format!("mesh/m/virtualNode/n{number}"));
            create(&pair.source, &node, &spec("a.invalid"), &[]).await;
            has(&pair, &pair.source).await;
            delete(&pair.source, &node).await;
            has(&pair, &pair.source).await;
        }
        let pid = i32::try_from(process.id().unwrap()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
        let began = Instant::now();
        let ended = timeout(PATIENCE, process.wait()).await.expect("it ends");
        assert_eq!(ended.unwrap().code(), Some(0));
        assert!(began.elapsed() < Duration::from_secs(2));
    }
}
