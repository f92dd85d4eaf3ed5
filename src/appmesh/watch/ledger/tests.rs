//! The ledger at work: a source, a target that refuses what it is told to, and what the mirror makes of both.

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::appmesh::client::{Metadata, Written};
use crate::appmesh::known::Known;
use crate::appmesh::plan::{Options, TAG, plan_of};
use crate::appmesh::watch::unlike::Unlike;
use crate::model::document::Located;
use crate::model::tags::Tags;
use crate::model::{MeshName, Model, schema};
use crate::store::{Owner, Timestamp};

const US: &str = "us";

struct World {
    source: Stored,
    target: Known,
    ledger: Ledger,
    unlike: Unlike,
    options: Options,
    refused: BTreeSet<ResourceId>,
    /// From here on the target is of no use.
    fails_after: Option<usize>,
    now: Instant,
    /// Whether drift is left.
    reports: bool,
    /// What was tried, round by round.
    tried: Vec<String>,
}

fn id(path: &str) -> ResourceId {
    ResourceId::parse(path).unwrap()
}

fn node(port: u16) -> Value {
    json!({ "kind": "VirtualNode", "meshName": "m", "virtualNodeName": "", "spec": {
        "serviceDiscovery": { "dns": { "hostname": "n.local" } },
        "listeners": [{ "portMapping": { "port": port, "protocol": "http" } }],
    } })
}

fn router(ports: &[u16]) -> Value {
    let listener = |port: &u16| json!({ "portMapping": { "port": port, "protocol": "http" } });
    let listeners: Value = ports.iter().map(listener).collect();
    json!({ "kind": "VirtualRouter", "meshName": "m", "virtualRouterName": "r", "spec": { "listeners": listeners } })
}

fn route(node: &str) -> Value {
    json!({ "kind": "Route", "meshName": "m", "virtualRouterName": "r", "routeName": "x", "spec": { "httpRoute": {
        "match": { "prefix": "/" },
        "action": { "weightedTargets": [{ "virtualNode": node, "weight": 1 }] },
    } } })
}

fn mesh() -> Value {
    json!({ "kind": "Mesh", "meshName": "m", "spec": {} })
}

fn named(name: &str, mut document: Value) -> Value {
    document["virtualNodeName"] = name.into();
    document
}

impl World {
    /// A source that has these, an empty target, and a mirror that has just begun.
    fn of(documents: &[Value]) -> Self {
        let mut world = Self {
            source: Stored::default(),
            target: Known::default(),
            ledger: Ledger::default(),
            unlike: Unlike::default(),
            options: Options {
                mirror: US.to_owned(),
                target: None,
                adopt: false,
                prune: true,
                scope: Scope::All,
            },
            refused: BTreeSet::new(),
            fails_after: None,
            now: Instant::now(),
            reports: false,
            tried: Vec::new(),
        };
        for document in documents {
            world.put(document);
        }
        world.ledger.begin(world.source.clone());
        world
    }

    /// In step with all of it.
    fn in_step(documents: &[Value]) -> Self {
        let mut world = Self::of(documents);
        world.compare();
        assert_eq!(world.others(), [""; 0]);
        world.tried.clear();
        world
    }

    fn change(&mut self, edit: impl FnOnce(&mut Stored)) {
        edit(&mut self.source);
        self.source.revision = Revision::new(self.source.revision.as_u64() + 1);
        self.source.changed_at = Some(Instant::now());
    }

    /// The source declares something.
    fn put(&mut self, document: &Value) {
        let read = schema::read(&Located::from(document.clone()));
        let resource = read.resource.unwrap();
        self.change(|source| {
            let before = source.records.get(&resource.id);
            let record = Record {
                uid: resource.id.to_string(),
                created_at: Timestamp::default(),
                updated_at: Timestamp::default(),
                version: before.map_or(1, |before| before.version + 1),
                tags: Tags::new(),
                owner: Owner::Api,
            };
            source.records.insert(resource.id.clone(), record.into());
            source.model.insert(resource);
        });
    }

    fn delete(&mut self, path: &str) {
        let id = id(path);
        self.change(|source| {
            source.records.remove(&id);
            source.model.remove(&id);
        });
    }

    /// Somebody has this at the target.
    fn there(&mut self, document: &Value, tags: &[(&str, &str)]) {
        let resource = schema::read(&Located::from(document.clone()))
            .resource
            .unwrap();
        let tags = tags
            .iter()
            .map(|(key, value)| ((*key).into(), (*value).into()));
        let spec = document["spec"].clone();
        let arn = resource.id.to_string();
        self.target
            .insert(resource.id, arn, spec, tags.collect(), &Model::default());
    }

    fn note(&mut self) {
        self.ledger.note(self.source.clone());
    }

    /// What [`super::super::Watch`] does with a change, or when something is due.
    fn round(&mut self) {
        self.note();
        let due = self.ledger.due(self.now);
        let (stored, mut ids) = self.ledger.take_up();
        ids.extend(self.ledger.left(&due));
        ids.extend(due);
        self.carry_out(&stored, &ids);
    }

    /// And with a reading of everything. Returns what has drifted.
    fn compare(&mut self) -> Vec<String> {
        self.note();
        let (stored, _) = self.ledger.take_up();
        let mut ids = self.ledger.everything(&self.target);
        let mut plan = plan_of(ids.clone(), &stored, &self.target, &self.options);
        self.unlike.set_aside(&mut plan, &self.target);
        let drifted = self.ledger.drifted(&plan);
        self.ledger.compared();
        let told = drifted
            .iter()
            .map(|(id, what)| format!("{}: {what}", id.name()));
        let told = told.collect();
        if self.reports {
            ids.retain(|id| !drifted.contains_key(id));
            self.ledger.leave(drifted);
        }
        self.carry_out(&stored, &ids);
        told
    }

    fn carry_out(&mut self, stored: &Stored, ids: &BTreeSet<ResourceId>) {
        let mut plan = plan_of(ids.clone(), stored, &self.target, &self.options);
        let aside = self.unlike.set_aside(&mut plan, &self.target);
        self.ledger.expect(ids, &plan, aside);
        let (mut failed, mut tried) = (BTreeSet::new(), Vec::new());
        for (number, step) in plan.steps.iter().enumerate() {
            if self.fails_after.is_some_and(|most| number >= most) {
                self.tried.push(tried.join(" "));
                return;
            }
            let mut needs = std::iter::once(&step.id).chain(&step.needs);
            if let Some(by) = needs.find(|id| failed.contains(*id)) {
                if *by != step.id {
                    self.ledger.blocked(&step.id, by);
                }
                failed.insert(step.id.clone());
                continue;
            }
            tried.push(step.id.name());
            if self.refused.contains(&step.id) {
                self.ledger.refused(&step.id, "no", self.now);
                failed.insert(step.id.clone());
                continue;
            }
            let written = match &step.action {
                Action::Create { spec, .. }
                | Action::Update {
                    spec: Some(spec), ..
                } => Some(Written {
                    spec: spec.clone(),
                    metadata: Metadata::default(),
                }),
                Action::Update { spec: None, .. } | Action::Delete => None,
            };
            self.target.wrote(step, written.as_ref(), &stored.model);
            let unlike = self.unlike.wrote(step, written.as_ref());
            if !is_interim(step) {
                self.ledger.done(&step.id, unlike);
            }
        }
        self.tried.push(tried.join(" "));
        self.ledger.settle();
    }

    fn others(&self) -> Vec<String> {
        let others = self.ledger.others().iter();
        others
            .map(|(id, standing)| format!("{} {}", id.name(), standing.as_str()))
            .collect()
    }

    fn in_step_count(&self) -> usize {
        let (declared, records) = self.ledger.declared().unwrap();
        let others = self.ledger.others().keys();
        declared - others.filter(|id| records.contains_key(*id)).count()
    }
}

#[test]
fn what_was_left_for_a_reason_is_no_drift_once_that_is_gone() {
    for reports in [false, true] {
        let mut world = World::of(&[mesh(), named("theirs", node(80)), named("used", node(80))]);
        world.reports = reports;
        world.there(&named("theirs", node(81)), &[("by", "terraform")]);
        world.compare();
        assert_eq!(world.others(), ["theirs foreign"]);
        // Somebody else's router and route use what the source then deletes.
        world.there(&router(&[80]), &[]);
        world.there(&route("used"), &[]);
        world.compare();
        world.delete("mesh/m/virtualNode/used");
        world.round();
        assert_eq!(world.others(), ["theirs foreign", "used orphaned"]);
        for gone in [
            "mesh/m/virtualNode/theirs",
            "mesh/m/virtualRouter/r/route/x",
            "mesh/m/virtualRouter/r",
        ] {
            world.target.remove(&id(gone));
        }
        assert_eq!(world.compare(), [""; 0]);
        assert_eq!(world.others(), [""; 0]);
        assert!(world.target.contains(&id("mesh/m/virtualNode/theirs")));
        assert!(!world.target.contains(&id("mesh/m/virtualNode/used")));
    }
}

#[test]
fn drift_is_what_was_in_step() {
    let mut world = World::in_step(&[mesh(), named("a", node(80)), named("b", node(80))]);
    world.reports = true;
    world.target.remove(&id("mesh/m/virtualNode/a"));
    world.there(&named("b", node(81)), &[(TAG, US)]);
    world.there(&named("c", node(80)), &[(TAG, US)]);
    let drifted = world.compare();
    assert_eq!(drifted.len(), 3, "{drifted:?}");
    assert_eq!(
        (drifted[0].as_str(), drifted[2].as_str()),
        ("a: it was deleted", "c: it is there again")
    );
    assert_eq!(world.others(), ["a drifted", "b drifted", "c drifted"]);
    assert_eq!(world.in_step_count(), 1);
    // It is known then, and stays until the source changes it.
    let id = id("mesh/m/virtualNode/a");
    assert!(world.ledger.is_told(&id, "it was deleted"));
    assert_eq!(world.compare().len(), 3);
    world.put(&named("a", node(82)));
    world.round();
    assert_eq!(world.others(), ["b drifted", "c drifted"]);
    // Somebody may take it back.
    world.there(&named("b", node(80)), &[(TAG, US)]);
    assert_eq!(world.compare().len(), 1);
    assert_eq!(world.others(), ["c drifted"]);
}

#[test]
fn a_document_that_only_moved_is_no_change() {
    let mut world = World::in_step(&[mesh(), named("a", node(80))]);
    world.reports = true;
    world.target.remove(&id("mesh/m/virtualNode/a"));
    world.compare();
    let node = id("mesh/m/virtualNode/a");
    world.change(|source| {
        let mut record = Record::clone(&source.records[&node]);
        record.owner = Owner::File {
            path: std::path::Path::new("mesh.yaml").into(),
            line: 7,
        };
        source.records.insert(node.clone(), record.into());
    });
    world.round();
    assert_eq!(world.others(), ["a drifted"]);
    assert!(!world.target.contains(&node));
    world.change(|source| {
        let mut record = Record::clone(&source.records[&node]);
        record.tags.insert("team".to_owned(), "a".to_owned());
        source.records.insert(node.clone(), record.into());
    });
    world.round();
    assert_eq!(world.others(), [""; 0]);
    assert!(world.target.contains(&node));
}

#[test]
fn what_trouble_cut_off_is_pending_and_no_drift() {
    let mut world = World::in_step(&[mesh(), named("a", node(80)), router(&[80]), route("a")]);
    // A listener more asks for an interim form of a route that is to stay as it is.
    world.put(&router(&[80, 81]));
    world.note();
    let (stored, ids) = world.ledger.take_up();
    let plan = plan_of(ids.clone(), &stored, &world.target, &world.options);
    let interim = plan.steps.iter().position(is_interim);
    assert_eq!(plan.restored.len(), 1, "{plan:#?}");
    world.fails_after = Some(interim.unwrap() + 1);
    world.carry_out(&stored, &ids);
    assert_eq!(world.others(), ["r pending", "x pending"]);
    assert_eq!(world.in_step_count(), 2);
    world.fails_after = None;
    assert_eq!(world.compare(), [""; 0]);
    // A repair, likewise.
    world.target.remove(&id("mesh/m/virtualNode/a"));
    world.fails_after = Some(0);
    assert_eq!(world.compare().len(), 1);
    assert_eq!(world.compare(), [""; 0]);
}

#[test]
fn what_is_in_step_and_moved_for_others_is_no_drift() {
    let mut world = World::in_step(&[mesh(), named("a", node(80)), router(&[80]), route("a")]);
    world.there(&router(&[80, 81]), &[(TAG, US)]);
    let drifted = world.compare();
    assert_eq!(drifted.len(), 1, "{drifted:?}");
    assert!(drifted[0].starts_with("r: "), "{drifted:?}");
}

#[test]
fn what_is_left_out_is_looked_at_again_when_the_cause_goes() {
    let mut world = World::in_step(&[mesh(), named("a", node(80)), router(&[80, 81])]);
    // Which port it means is open, as the source lets others' changes lead to.
    world.put(&route("a"));
    world.round();
    assert_eq!(world.others(), ["x not_mirrored"]);
    world.put(&router(&[80]));
    world.round();
    assert_eq!(world.others(), [""; 0]);
    assert!(world.target.contains(&id("mesh/m/virtualRouter/r/route/x")));
}

#[test]
fn what_is_in_use_goes_once_the_user_has_changed() {
    let mut world = World::in_step(&[
        mesh(),
        named("a", node(80)),
        named("b", node(80)),
        router(&[80]),
        route("a"),
    ]);
    let x = id("mesh/m/virtualRouter/r/route/x");
    world.refused.insert(x.clone());
    world.put(&route("b"));
    world.delete("mesh/m/virtualNode/a");
    world.round();
    assert_eq!(world.others(), ["a blocked", "x failed"]);
    // Something else does not help it.
    world.put(&named("c", node(80)));
    world.round();
    assert_eq!(world.others(), ["a blocked", "x failed"]);
    world.refused.clear();
    world.now = world.ledger.next_due().unwrap();
    world.round();
    assert_eq!(world.others(), [""; 0]);
    assert!(!world.target.contains(&id("mesh/m/virtualNode/a")));
}

#[test]
fn each_resource_is_tried_again_in_its_own_time() {
    let mut world = World::in_step(&[mesh()]);
    world.refused.insert(id("mesh/m/virtualNode/always"));
    world.put(&named("always", node(80)));
    world.round();
    for wait in [5, 10, 20, 40] {
        let due = world.ledger.next_due().unwrap();
        assert_eq!(due - world.now, Duration::from_secs(wait));
        world.now = due;
        world.round();
    }
    world.refused.insert(id("mesh/m/virtualNode/once"));
    world.put(&named("once", node(80)));
    world.round();
    world.refused.remove(&id("mesh/m/virtualNode/once"));
    world.now += Duration::from_secs(5);
    assert_eq!(world.ledger.next_due(), Some(world.now));
    world.round();
    assert_eq!(world.others(), ["always failed"]);
    // A reading tries nothing before its time.
    world.tried.clear();
    world.compare();
    assert_eq!(world.tried, [""]);
    // What the source changes of it is tried at once, and waits begin anew.
    world.put(&named("always", node(81)));
    world.round();
    assert_eq!(world.tried[1], "always");
    let due = world.ledger.next_due().unwrap();
    assert_eq!(due - world.now, Duration::from_secs(5));
}

#[test]
fn words_are_new_once() {
    let mut ledger = Ledger::default();
    let (node, now) = (id("mesh/m/virtualNode/n"), Instant::now());
    assert!(ledger.refused(&node, "no", now));
    assert!(!ledger.refused(&node, "no", now));
    assert!(ledger.refused(&node, "never", now));
    ledger.done(&node, None);
    assert!(ledger.refused(&node, "never", now));
}

#[test]
fn what_is_new_does_not_wait_for_what_was_refused() {
    let mut world = World::in_step(&[mesh()]);
    for number in 0..30 {
        let name = format!("n{number:02}");
        world
            .refused
            .insert(id(&format!("mesh/m/virtualNode/{name}")));
        world.put(&named(&name, node(80)));
    }
    world.round();
    world.now += Duration::from_mins(10);
    world.tried.clear();
    world.put(&named("new", node(80)));
    world.round();
    assert_eq!(world.tried, ["new"]);
    // In pieces, and what keeps changing does not put it off for ever.
    for number in 0..2 {
        world.put(&named(&format!("newer{number}"), node(80)));
        world.round();
    }
    world.round();
    let counts = world.tried.iter().map(|tried| tried.split(' ').count());
    assert_eq!(counts.collect::<Vec<_>>(), [1, PIECE + 1, 1, PIECE]);
}

#[test]
fn what_waits_for_one_that_was_refused_is_tried_with_it() {
    let mut world = World::of(&[mesh(), named("a", node(80)), router(&[80]), route("a")]);
    world.refused.insert(id("mesh/m/virtualRouter/r"));
    world.compare();
    assert_eq!(world.others(), ["r failed", "x blocked"]);
    assert_eq!(world.in_step_count(), 2);
    world.compare();
    assert_eq!(world.others(), ["r failed", "x blocked"]);
    world.refused.clear();
    world.now += Duration::from_secs(5);
    world.tried.clear();
    world.round();
    assert_eq!(world.tried, ["r x"]);
    assert_eq!(world.others(), [""; 0]);
}

#[test]
fn what_changes_meanwhile_is_not_called_done() {
    let mut world = World::in_step(&[mesh(), named("a", node(80))]);
    world.put(&named("a", node(81)));
    world.note();
    let (stored, ids) = world.ledger.take_up();
    world.put(&named("a", node(82)));
    world.note();
    assert!(world.ledger.is_new());
    world.carry_out(&stored, &ids);
    assert_eq!(world.others(), ["a pending"]);
    assert_eq!(world.ledger.mirrored(), Some(stored.revision));
    assert!(world.ledger.behind_since().is_some());
    world.round();
    assert_eq!(world.others(), [""; 0]);
    assert_eq!(world.ledger.mirrored(), Some(world.source.revision));
    assert_eq!(world.ledger.behind_since(), None);
}

#[test]
fn an_outage_is_counted_from_the_first_change() {
    let mut world = World::in_step(&[mesh(), named("a", node(80))]);
    let mirrored = world.ledger.mirrored();
    world.put(&named("a", node(81)));
    let first = world.source.changed_at;
    world.note();
    for port in 82..90 {
        world.put(&named("a", node(port)));
        world.put(&named(&format!("n{port}"), node(80)));
        world.note();
    }
    assert_eq!(world.others().len(), 9);
    assert_eq!(world.in_step_count(), 1);
    assert_eq!(world.ledger.behind_since(), first);
    assert_eq!(world.ledger.mirrored(), mirrored);
}

#[test]
fn before_the_first_comparison_only_changes_are_pending() {
    let mut world = World::of(&[mesh(), named("a", node(80))]);
    let begun = world.source.changed_at;
    assert_eq!((world.others().len(), world.ledger.declared()), (0, None));
    world.put(&named("b", node(80)));
    world.note();
    assert_eq!(world.others(), ["b pending"]);
    assert_eq!(world.ledger.behind_since(), begun);
}

#[test]
fn what_a_target_makes_something_else_of_is_not_in_step() {
    let mut world = World::in_step(&[mesh(), named("a", node(80))]);
    let node = id("mesh/m/virtualNode/a");
    world.ledger.done(&node, Some("- spec.more".to_owned()));
    assert_eq!(world.others(), ["a unlike"]);
    assert_eq!(world.in_step_count(), 1);
}

#[test]
fn a_mesh_that_is_not_there_is_new_once() {
    let mut ledger = Ledger::new(Scope::Named([MeshName::new("later")].into()));
    assert_eq!(ledger.find_absent(), [id("mesh/later")]);
    assert!(ledger.find_absent().is_empty() && ledger.has_lacks());
}
