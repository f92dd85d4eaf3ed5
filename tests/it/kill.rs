//! A process that writes to the store is killed a hundred times, in the middle of it: what it was told is kept is there,
//! whole, and nothing that was never asked for.
//!
//! The process is this test's own program, started again for [`writes_until_it_is_killed`] alone.

mod served;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use outrigger::model::tags::Tags;
use outrigger::model::{MeshName, NodeName, Resource, ResourceId, Spec};
use outrigger::store::journal::{Journal, Kept, Redb};
use outrigger::store::{Action, Options, STORE_FILE, Store, Write};
use prometheus::Registry;
use tokio_util::sync::CancellationToken;

const FOLDER: &str = "OUTRIGGER_TEST_KILLED_STORE";
const KILLS: usize = 100;
/// Each with resources of its own.
const WRITERS: usize = 4;
const RESOURCES: usize = 25;

fn id(writer: usize, resource: usize) -> ResourceId {
    let name = NodeName::new(format!("node-{writer}-{resource}"));
    ResourceId::VirtualNode(MeshName::new("m"), name)
}

/// A node whose content says which write it is.
fn resource(writer: usize, number: u64) -> Resource {
    let host = format!("write-{number}.local");
    let spec = format!(r#"{{"serviceDiscovery":{{"dns":{{"hostname":"{host}"}}}}}}"#);
    Resource {
        id: id(writer, usize::try_from(number).unwrap() % RESOURCES),
        spec: Spec::VirtualNode(serde_json::from_str(&spec).unwrap()),
    }
}

/// Which write a node says it is.
fn number(kept: &Kept) -> u64 {
    let json = serde_json::to_value(&kept.spec).unwrap();
    let host = json["serviceDiscovery"]["dns"]["hostname"]
        .as_str()
        .unwrap();
    let number = host.strip_prefix("write-").unwrap();
    number.strip_suffix(".local").unwrap().parse().unwrap()
}

/// Says each write before it is asked for, and again once it is answered.
fn say(word: &str, writer: usize, number: u64) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{word} {writer} {number}").unwrap();
    out.flush().unwrap();
}

/// What the killed process does. Run by itself, without the variable, it has nothing to write to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_until_it_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let journal = Redb::new(&Path::new(&folder).join(STORE_FILE));
    let (store, writer) =
        Store::new(Box::new(journal), Options::default(), &Registry::new()).unwrap();
    tokio::spawn(writer.run(CancellationToken::new()));
    let mesh = Action::Create {
        resource: Resource {
            id: ResourceId::Mesh(MeshName::new("m")),
            spec: Spec::Mesh(serde_json::from_str("{}").unwrap()),
        },
        tags: Tags::new(),
    };
    let write = Write {
        action: mesh,
        token: None,
    };
    store.write(write).await.unwrap();
    let writers = (0..WRITERS).map(|writer| tokio::spawn(write_on(store.clone(), writer)));
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
}

async fn write_on(store: Store, writer: usize) {
    // Goes on where the one before was.
    let newest = |stored: &outrigger::store::Stored| {
        let ids = (0..RESOURCES).map(|resource| id(writer, resource));
        let kept = ids.filter_map(|id| {
            let (spec, record) = (stored.model.get(&id)?, stored.records.get(&id).cloned()?);
            Some(number(&Kept { spec, record }))
        });
        kept.max()
    };
    let first = newest(&store.current()).map_or(0, |number| number + 1);
    for number in first.. {
        let resource = resource(writer, number);
        let exists = store.current().records.contains_key(&resource.id);
        let action = if exists {
            Action::Update { resource }
        } else {
            Action::Create {
                resource,
                tags: Tags::new(),
            }
        };
        say("asked", writer, number);
        let write = Write {
            action,
            token: None,
        };
        store.write(write).await.unwrap();
        say("kept", writer, number);
    }
}

fn start(folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::writes_until_it_is_killed", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// What a process said of each writer: the last number that it was answered, and the last that it asked for.
fn heard(lines: &[String]) -> BTreeMap<usize, (Option<u64>, u64)> {
    let mut heard = BTreeMap::new();
    for line in lines {
        let words: Vec<&str> = line.split(' ').collect();
        let [word, writer, number] = words[..] else {
            continue;
        };
        let (Ok(writer), Ok(number)) = (writer.parse(), number.parse()) else {
            continue;
        };
        let (kept, asked) = heard.entry(writer).or_insert((None, 0));
        match word {
            "kept" => *kept = Some(number),
            "asked" => *asked = number,
            _ => {}
        }
    }
    heard
}

#[test]
fn what_was_answered_survives_a_hundred_kills() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(STORE_FILE);
    let mut before: BTreeMap<ResourceId, u64> = BTreeMap::new();
    let (mut answered, mut revision) = (0, 0);
    for kill in 0..KILLS {
        let mut child = start(folder.path());
        let out = BufReader::new(child.stdout.take().unwrap());
        let mut lines = out.lines().map(Result::unwrap);
        // In the middle of writes, at another moment each time.
        let enough = 5 + kill * 7 % 60;
        let mut said: Vec<String> = Vec::new();
        while said.iter().filter(|line| line.starts_with("kept ")).count() < enough {
            said.push(lines.next().expect("the process writes until it is killed"));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        said.extend(lines);

        let loaded = Redb::new(&file).load().unwrap();
        assert!(loaded.revision.as_u64() > revision, "kill {kill}");
        revision = loaded.revision.as_u64();
        let heard = heard(&said);
        let mut now = BTreeMap::new();
        for (id, kept) in loaded.resources.iter().filter(|(id, _)| !is_mesh(id)) {
            now.insert(id.clone(), number(kept));
        }
        for writer in 0..WRITERS {
            let (kept, asked) = heard.get(&writer).copied().unwrap_or((None, 0));
            for resource in 0..RESOURCES {
                let id = id(writer, resource);
                let is_here = |number: &u64| number % RESOURCES as u64 == resource as u64;
                let first = asked.saturating_sub(RESOURCES as u64 - 1);
                // The newest that was answered, and at most the one that was asked for after it.
                let last_kept =
                    kept.and_then(|kept| (0..=kept).rev().take(RESOURCES).find(is_here));
                let last_asked = (first..=asked).rev().find(is_here);
                let least = last_kept.max(before.get(&id).copied());
                let found = now.get(&id).copied();
                assert!(
                    found >= least && found <= last_asked.max(least),
                    "kill {kill}: {id} is write {found:?}, answered {least:?}, asked for {last_asked:?}"
                );
            }
            answered += usize::from(kept.is_some());
        }
        before = now;
    }
    assert!(answered > KILLS, "{answered} writers were answered");
    assert_eq!(before.len(), WRITERS * RESOURCES);
}

fn is_mesh(id: &ResourceId) -> bool {
    matches!(id, ResourceId::Mesh(_))
}
