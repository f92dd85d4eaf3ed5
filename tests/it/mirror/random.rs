//! Random edits, while both sides die and the network does what it likes: in the end the target is the source, and what
//! others made is as it was.

use std::time::{Duration, Instant};

use outrigger::model::ResourceId;
use serde_json::{Value, json};

use super::id;
use super::pair::{Pair, create, delete, mesh, mirrored, tag, update};
use super::proxy::Fate;
use crate::world::{PATIENCE, eventually};

/// How long edits go on.
const EDITS: Duration = Duration::from_secs(20);

/// Numbers that look random, and are the same for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// Any resource of a small mesh, and a spec that it may have.
fn any(dice: &mut Dice) -> (ResourceId, Value) {
    let mesh = if dice.roll(2) == 0 { "m" } else { "n" };
    let listener = |port: u64| json!([{ "portMapping": { "port": port, "protocol": "http" } }]);
    let (name, other, number) = (dice.roll(4), dice.roll(4), dice.roll(3));
    let (path, spec) = match dice.roll(7) {
        0 => (
            String::new(),
            json!({ "egressFilter": { "type": if number == 0 { "ALLOW_ALL" } else { "DROP_ALL" } } }),
        ),
        1 | 2 => (
            format!("/virtualNode/n{name}"),
            json!({ "serviceDiscovery": { "dns": { "hostname": format!("h{number}.invalid") } }, "listeners": listener(80 + number) }),
        ),
        3 => (
            format!("/virtualRouter/r{name}"),
            json!({ "listeners": listener(80 + number) }),
        ),
        4 => {
            let targets = json!([{ "virtualNode": format!("n{number}"), "weight": number + 1 }]);
            let route =
                json!({ "match": { "prefix": "/" }, "action": { "weightedTargets": targets } });
            (
                format!("/virtualRouter/r{name}/route/x{other}"),
                json!({ "httpRoute": route }),
            )
        }
        5 => (
            format!("/virtualService/s{name}"),
            json!({ "provider": { "virtualRouter": { "virtualRouterName": format!("r{other}") } } }),
        ),
        _ => (
            format!("/virtualService/s{name}"),
            json!({ "provider": { "virtualNode": { "virtualNodeName": format!("n{other}") } } }),
        ),
    };
    (id(&format!("mesh/{mesh}{path}")), spec)
}

/// One edit. Returns whether the source took it.
async fn edit(pair: &Pair, dice: &mut Dice) -> bool {
    let (id, spec) = any(dice);
    let status = match dice.roll(10) {
        0..5 => create(&pair.source, &id, &spec, &[("edit", "1")]).await,
        5..8 => update(&pair.source, &id, &spec).await,
        8 => delete(&pair.source, &id).await,
        _ => tag(&pair.source, &id, "edit", &dice.roll(9).to_string()).await,
    };
    status == 200
}

fn fate(number: u64) -> Fate {
    match number % 120 {
        0 | 1 => Fate::Refused(429),
        2 | 3 => Fate::Refused(500),
        4 => Fate::Refused(503),
        5 | 6 => Fate::Unanswered,
        7 | 8 => Fate::CutOff,
        9..12 => Fate::Late,
        _ => Fate::Passes,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_the_target_becomes_the_source() {
    let seed = 0x9e37_79b9_7f4a_7c15 ^ u64::from(std::process::id());
    println!("seed {seed}");
    let mut dice = Dice(seed);
    let mut pair = Pair::mirroring(&["--mirror-prune", "--mirror-drift-interval", "2s"]).await;
    // Of a mesh of its own, and among what is mirrored.
    let theirs = [
        id("mesh/theirs"),
        id("mesh/theirs/virtualNode/n0"),
        id("mesh/m"),
        id("mesh/m/virtualNode/n3"),
    ];
    for (id, by) in theirs.iter().zip(["a", "b", "c", "d"]) {
        assert_eq!(
            create(&pair.target, id, &json!({}), &[("by", by)]).await,
            200
        );
    }
    let before = mesh(&pair.target).await;
    pair.proxy.set(move |before, line| {
        let number = before as u64 ^ line.len() as u64;
        fate(number.wrapping_mul(seed | 1) >> 17)
    });
    let began = Instant::now();
    let (mut edits, mut kills) = (0, 0);
    while began.elapsed() < EDITS {
        for _ in 0..=dice.roll(40) {
            edits += u32::from(edit(&pair, &mut dice).await);
        }
        match dice.roll(24) {
            0 => pair.source.restart().await,
            1 => pair.restart_target().await,
            _ => continue,
        }
        kills += 1;
    }
    let (calls, writes) = (pair.proxy.calls().len(), pair.proxy.writes().len());
    println!("{edits} edits, {kills} kills, {calls} calls, {writes} writes");
    assert!(edits > 50 && kills > 0 && writes > 50);
    pair.proxy.set(|_, _| Fate::Passes);
    eventually(
        "the target is the source",
        Duration::from_secs(90),
        async || {
            let (source, target) = (mesh(&pair.source).await, mesh(&pair.target).await);
            let mut wanted = source;
            wanted.retain(|id, _| !theirs.contains(id));
            (mirrored(&target) == wanted).then_some(())
        },
    )
    .await;
    let after = mesh(&pair.target).await;
    for id in &theirs {
        assert_eq!(after[id], before[id], "{id}");
    }
    says_so(&pair).await;
}

/// The mirror says how it stands: in step, but for what others made otherwise.
async fn says_so(pair: &Pair) {
    let status = eventually("the mirror has nothing to do", PATIENCE, async || {
        let status = pair.status().await;
        let is_idle = ["in_step", "incomplete"].contains(&status["state"].as_str()?);
        (is_idle && status["sourceRevision"] == status["mirroredRevision"]).then_some(status)
    })
    .await;
    // What others made is all that may be otherwise.
    let others = status["resources"].as_array().unwrap();
    let is_theirs = |other: &Value| other["standing"].as_str().unwrap().starts_with("foreign");
    assert!(others.iter().all(is_theirs), "{status}");
    let is_in_the_way = |other: &Value| other["standing"] == "foreign";
    let differs = others.iter().any(is_in_the_way);
    assert_eq!(status["state"] == "incomplete", differs, "{status}");
}
