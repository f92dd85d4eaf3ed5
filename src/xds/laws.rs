//! Laws of both variants: whatever happens in between, a client ends up with what it asked for.
//!
//! The client is modelled on what Envoy does: it applies responses in the order of the wire, tells its verdict later,
//! rejects some content by name (and applies the rest of the response) or without one (and applies nothing), asks for
//! the load assignments of its clusters when it likes, and comes back with what it had.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use proptest::prelude::*;

use super::message::{DeltaRequest, SotwRequest};
use super::testing::{Client, Received, Variant, error, snapshot};
use super::{DeltaStream, SotwStream};
use crate::snapshot::{Kind, PerKind, Snapshot};

const KINDS: [Kind; 4] = [Kind::Cluster, Kind::Endpoint, Kind::Listener, Kind::Route];
const NAMES: [&str; 3] = ["a", "a.b", "c"];
/// Content that every client rejects, by name or without.
const BAD: [&str; 2] = ["bad", "worse"];
const OWED: Duration = Duration::from_secs(3);

#[derive(Clone, Debug)]
enum Action {
    /// A snapshot as text.
    Publish(String),
    /// Subscribe to exactly these.
    Ask(Kind, Vec<&'static str>),
    /// Apply the oldest response.
    Apply,
    /// Tell the verdict about the oldest response of the type that was applied.
    Verdict(Kind),
    Wait(u64),
    Reconnect,
}

fn snapshots() -> impl Strategy<Value = String> {
    let content = prop_oneof![
        3 => Just(None),
        3 => Just(Some("1")),
        3 => Just(Some("2")),
        1 => Just(Some(BAD[0])),
        1 => Just(Some(BAD[1])),
        1 => Just(Some("?")),
        1 => Just(Some("!")),
    ];
    let entries = prop::collection::vec(content, KINDS.len() * NAMES.len());
    entries.prop_map(|entries| {
        let mut text = String::new();
        for (kind, entries) in KINDS.iter().zip(entries.chunks(NAMES.len())) {
            text.extend([kind.as_str(), " "]);
            for (name, content) in NAMES.iter().zip(entries) {
                // Only endpoints are ever awaited.
                let content =
                    content.filter(|text| !["?", "!"].contains(text) || *kind == Kind::Endpoint);
                text.extend(content.map(|content| format!("{name}={content} ")));
            }
            text.push(';');
        }
        text
    })
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let named = prop::sample::select(vec![Kind::Endpoint, Kind::Route]);
    let names = prop::sample::subsequence(NAMES.to_vec(), 0..=NAMES.len());
    let action = prop_oneof![
        4 => snapshots().prop_map(Action::Publish),
        4 => (named, names).prop_map(|(kind, names)| Action::Ask(kind, names)),
        6 => Just(Action::Apply),
        6 => prop::sample::select(KINDS.to_vec()).prop_map(Action::Verdict),
        2 => (0_u64..4000).prop_map(Action::Wait),
        1 => Just(Action::Reconnect),
    ];
    prop::collection::vec(action, 1..40)
}

/// A request in terms of both variants.
struct Ask<'a> {
    all: &'a BTreeSet<String>,
    add: Vec<String>,
    drop: Vec<String>,
    version: String,
    versions: BTreeMap<String, String>,
    nonce: String,
    error: Option<String>,
}

trait Model: Variant {
    /// Whether an answer about a type replaces what the client has of it.
    fn is_whole(kind: Kind) -> bool;
    /// Whether a request about an older response means nothing.
    fn ignores_stale() -> bool;
    fn request(kind: Kind, ask: Ask<'_>) -> Self::Request;
}

impl Model for SotwStream {
    fn is_whole(kind: Kind) -> bool {
        kind.is_wildcard()
    }

    fn ignores_stale() -> bool {
        true
    }

    fn request(kind: Kind, ask: Ask<'_>) -> SotwRequest {
        SotwRequest {
            version_info: ask.version,
            resource_names: ask.all.iter().cloned().collect(),
            type_url: kind.type_url().to_owned(),
            response_nonce: ask.nonce,
            error_detail: ask.error.as_deref().map(error),
            ..SotwRequest::default()
        }
    }
}

impl Model for DeltaStream {
    fn is_whole(_: Kind) -> bool {
        false
    }

    fn ignores_stale() -> bool {
        false
    }

    fn request(kind: Kind, ask: Ask<'_>) -> DeltaRequest {
        DeltaRequest {
            type_url: kind.type_url().to_owned(),
            resource_names_subscribe: ask.add,
            resource_names_unsubscribe: ask.drop,
            initial_resource_versions: ask.versions.into_iter().collect(),
            response_nonce: ask.nonce,
            error_detail: ask.error.as_deref().map(error),
            ..DeltaRequest::default()
        }
    }
}

/// What a client knows of one type.
#[derive(Clone, Debug, Default)]
struct Known {
    asked: bool,
    names: BTreeSet<String>,
    /// Name to content.
    has: BTreeMap<String, String>,
    /// Name to version, of what it accepted.
    versions: BTreeMap<String, String>,
    /// What it has without having accepted it: the good part of responses that it rejected.
    unlisted: BTreeSet<String>,
    /// Of the newest response it accepted (SotW).
    version: String,
    /// Nonces and errors of responses that were applied, without a verdict sent.
    verdicts: VecDeque<(String, Option<String>)>,
    /// The nonce that the next request is about.
    nonce: String,
}

struct Proxy<V> {
    link: Client<V>,
    /// Whether its NACKs name what they blame.
    names_blame: bool,
    inbox: VecDeque<Received>,
    known: PerKind<Known>,
    /// What was asked for, by when an answer is due.
    owed: BTreeMap<(Kind, String), Duration>,
    /// What it has without the next server being able to know: applied, but not accepted, when the stream ended.
    leaked: BTreeSet<(Kind, String)>,
    /// Clusters that were applied on this stream, and whether their load assignments followed.
    followed: BTreeMap<String, bool>,
    /// Load assignments that it may have of an earlier stream, as far as state of the world can tell: while they are
    /// withheld, nothing is said of them. `None` before the first request for any.
    kept: Option<BTreeSet<String>>,
}

impl<V: Model> Proxy<V> {
    fn new(names_blame: bool) -> Self {
        let mut proxy = Self {
            link: Client::new(""),
            names_blame,
            inbox: VecDeque::new(),
            known: PerKind::default(),
            owed: BTreeMap::new(),
            leaked: BTreeSet::new(),
            followed: BTreeMap::new(),
            kept: None,
        };
        proxy.known[Kind::Cluster].asked = true;
        proxy.known[Kind::Listener].asked = true;
        proxy.reconnect();
        proxy
    }

    fn act(&mut self, action: &Action) {
        match action {
            Action::Publish(text) => {
                self.link.snapshot = snapshot(text).into();
                self.step(Vec::new());
            }
            Action::Ask(kind, names) => self.ask(*kind, names),
            Action::Apply => self.apply(),
            Action::Verdict(kind) => self.verdict(*kind),
            Action::Wait(milliseconds) => self.wait(Duration::from_millis(*milliseconds)),
            Action::Reconnect => {
                self.reconnect();
            }
        }
    }

    fn step(&mut self, requests: Vec<V::Request>) -> bool {
        let received = self.link.step(requests);
        let is_quiet = received.is_empty();
        for response in received {
            self.note(&response);
            self.inbox.push_back(response);
        }
        is_quiet
    }

    /// Strikes off what a response answers.
    fn note(&mut self, response: &Received) {
        let kind = response.kind().unwrap();
        let named = response.resources.iter().map(|(name, ..)| name);
        let mut named: BTreeSet<_> = named.chain(&response.removed).cloned().collect();
        if kind == Kind::Route {
            // Of what does not exist, state of the world can only say nothing.
            let absent = |name: &&String| self.link.snapshot.get(kind, name).is_none();
            named.extend(self.known[kind].names.iter().filter(absent).cloned());
        }
        self.owed
            .retain(|(of, name), _| *of != kind || !named.contains(name));
    }

    /// Notes what the first request for load assignments leaves open.
    fn note_kept(&mut self, kind: Kind) {
        if kind == Kind::Endpoint && self.kept.is_none() {
            let known = &self.known[kind];
            let is_open = V::ignores_stale() && !known.version.is_empty();
            self.kept = Some(if is_open {
                known.names.clone()
            } else {
                BTreeSet::new()
            });
        }
    }

    fn is_kept(&self, kind: Kind, name: &str) -> bool {
        let kept = self.kept.as_ref().is_some_and(|kept| kept.contains(name));
        kind == Kind::Endpoint && kept && self.link.snapshot.is_withheld(kind, name)
    }

    fn ask(&mut self, kind: Kind, names: &[&str]) {
        let names: BTreeSet<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let known = &mut self.known[kind];
        if !known.asked && names.is_empty() {
            return;
        }
        // In state of the world, a request about an older response means nothing: clients repeat it with the newest.
        let is_under_way = |response: &Received| response.kind() == Some(kind);
        let is_stale = !known.verdicts.is_empty() || self.inbox.iter().any(is_under_way);
        if V::ignores_stale() && is_stale {
            return;
        }
        let add: Vec<_> = names.difference(&known.names).cloned().collect();
        let drop: Vec<_> = known.names.difference(&names).cloned().collect();
        for name in &drop {
            known.has.remove(name);
            known.versions.remove(name);
            self.owed.remove(&(kind, name.clone()));
        }
        (known.asked, known.names) = (true, names);
        if add.is_empty() && drop.is_empty() {
            return;
        }
        self.note_kept(kind);
        let known = &self.known[kind];
        for name in &add {
            self.owed.insert((kind, name.clone()), self.link.now + OWED);
        }
        let ask = Ask {
            all: &known.names,
            add,
            drop,
            version: known.version.clone(),
            nonce: known.nonce.clone(),
            ..Ask::empty(&known.names)
        };
        let request = V::request(kind, ask);
        self.step(vec![request]);
    }

    fn apply(&mut self) {
        let Some(response) = self.inbox.pop_front() else {
            return;
        };
        let kind = response.kind().unwrap();
        let known = &mut self.known[kind];
        let is_bad = |(_, content, _): &&(String, String, String)| BAD.contains(&content.as_str());
        let bad: Vec<_> = response.resources.iter().filter(is_bad).collect();
        let blamed: Vec<_> = bad.iter().map(|(name, ..)| format!("{name}: no")).collect();
        let error = match self.names_blame {
            _ if bad.is_empty() => None,
            true => Some(format!("Error adding/updating: {}", blamed.join(", "))),
            false => Some("Invalid duration".to_owned()),
        };
        if let (None, Kind::Endpoint, Some(kept)) = (&error, kind, &mut self.kept) {
            for (name, ..) in &response.resources {
                kept.remove(name);
            }
        }
        if error.is_none() || self.names_blame {
            if V::is_whole(kind) {
                let names: BTreeSet<_> = response.resources.iter().map(|(name, ..)| name).collect();
                known.has.retain(|name, _| names.contains(name));
                self.leaked.retain(|(of, _)| *of != kind);
            }
            for (name, content, version) in &response.resources {
                if kind == Kind::Cluster
                    && (!V::is_whole(kind) || known.has.get(name) != Some(content))
                {
                    self.followed.insert(name.clone(), false);
                }
                let wanted = kind.is_wildcard() || known.names.contains(name);
                if wanted && !BAD.contains(&content.as_str()) {
                    known.has.insert(name.clone(), content.clone());
                    if error.is_none() {
                        known.versions.insert(name.clone(), version.clone());
                        known.unlisted.remove(name);
                        self.leaked.remove(&(kind, name.clone()));
                    } else {
                        known.unlisted.insert(name.clone());
                    }
                }
            }
            for name in &response.removed {
                known.versions.remove(name);
                if kind.is_wildcard() {
                    known.has.remove(name);
                }
            }
        }
        if kind == Kind::Endpoint {
            let named = response.resources.into_iter().map(|(name, ..)| name);
            let named = named.chain(response.removed);
            self.followed.extend(named.map(|name| (name, true)));
        }
        if error.is_none() {
            known.version = response.version;
        }
        known.verdicts.push_back((response.nonce, error));
    }

    fn verdict(&mut self, kind: Kind) {
        let known = &mut self.known[kind];
        let Some((nonce, error)) = known.verdicts.pop_front() else {
            return;
        };
        known.nonce.clone_from(&nonce);
        let ask = Ask {
            version: known.version.clone(),
            nonce,
            error,
            ..Ask::empty(&known.names)
        };
        let request = V::request(kind, ask);
        self.step(vec![request]);
    }

    fn wait(&mut self, time: Duration) {
        let until = self.link.now + time;
        while let Some(at) = self.link.wake_at.filter(|at| *at <= until) {
            self.link.now = at;
            self.step(Vec::new());
            self.check_owed();
        }
        self.link.now = until;
        self.step(Vec::new());
        self.check_owed();
    }

    fn check_owed(&self) {
        let mut late = self.owed.iter().filter(|(_, due)| **due <= self.link.now);
        let late = late.find(|((kind, name), _)| !self.is_kept(*kind, name));
        assert_eq!(late, None, "every owed answer comes within 3 s");
    }

    /// Comes back on a new stream. Says whether it was sent any resource.
    fn reconnect(&mut self) -> bool {
        let snapshot = std::sync::Arc::clone(&self.link.snapshot);
        self.link = Client::new("");
        self.link.snapshot = snapshot;
        self.inbox.clear();
        self.owed.clear();
        self.followed.clear();
        self.kept = None;
        let mut requests = Vec::new();
        for kind in KINDS {
            let known = &mut self.known[kind];
            known.verdicts.clear();
            known.nonce.clear();
            if !known.asked || !kind.is_wildcard() && known.names.is_empty() {
                known.asked = kind.is_wildcard();
                continue;
            }
            self.note_kept(kind);
            let known = &mut self.known[kind];
            let unlisted = std::mem::take(&mut known.unlisted).into_iter();
            self.leaked.extend(unlisted.map(|name| (kind, name)));
            if V::is_whole(kind) {
                // No server can tell, until a whole response is accepted.
                let has = known.has.keys().cloned();
                self.leaked.extend(has.map(|name| (kind, name)));
            }
            let ask = Ask {
                add: known.names.iter().cloned().collect(),
                version: known.version.clone(),
                versions: known.versions.clone(),
                ..Ask::empty(&known.names)
            };
            requests.push(V::request(kind, ask));
        }
        self.step(requests);
        self.inbox
            .iter()
            .any(|response| !response.resources.is_empty())
    }

    /// Lets everything that is under way come to an end.
    fn settle(&mut self) {
        for _ in 0..200 {
            let mut is_quiet = self.inbox.is_empty();
            while !self.inbox.is_empty() {
                self.apply();
            }
            for kind in KINDS {
                is_quiet &= self.known[kind].verdicts.is_empty();
                while !self.known[kind].verdicts.is_empty() {
                    self.verdict(kind);
                }
            }
            if is_quiet {
                let before = self.link.received.len();
                self.wait(Duration::from_secs(6));
                if self.link.received.len() == before {
                    return;
                }
            }
        }
        panic!(
            "it never comes to rest: {:?}",
            self.link.received.iter().rev().take(9)
        );
    }

    fn check(&self) {
        let snapshot: &Snapshot = &self.link.snapshot;
        let is_leaked = |kind, name: &str| self.leaked.contains(&(kind, name.to_owned()));
        for kind in KINDS {
            let known = &self.known[kind];
            for resource in snapshot.resources(kind) {
                let name = &**resource.name();
                let content = content_of(snapshot, kind, name);
                let is_excused = !V::is_whole(kind) && is_leaked(kind, name);
                if !kind.is_wildcard() && !known.names.contains(name) {
                    assert!(
                        !known.has.contains_key(name),
                        "{kind}/{name} was never asked for"
                    );
                } else if !BAD.contains(&content.as_str()) && !is_excused {
                    assert_eq!(known.has.get(name), Some(&content), "{kind}/{name}");
                }
            }
            if kind.is_wildcard() {
                let mut has = known.has.keys().filter(|name| !is_leaked(kind, name));
                let extra = has.find(|name| snapshot.get(kind, name).is_none());
                assert_eq!(extra, None, "{kind}: to be removed");
            }
        }
        let endpoints = &self.known[Kind::Endpoint];
        for (name, is_followed) in &self.followed {
            let must =
                endpoints.names.contains(name) && snapshot.get(Kind::Cluster, name).is_some();
            let is_kept = self.is_kept(Kind::Endpoint, name);
            assert!(
                *is_followed || !must || is_kept,
                "no load assignment follows `{name}`"
            );
        }
    }

    /// What it has that another client must have too: of names that both want, and that neither rejects nor leaked.
    fn comparable<W>(&self, kind: Kind, other: &Proxy<W>) -> BTreeMap<String, String> {
        let snapshot: &Snapshot = &self.link.snapshot;
        let leaked = |name: &String| {
            let key = (kind, name.clone());
            self.leaked.contains(&key) || other.leaked.contains(&key)
        };
        let wanted = |name: &String| kind.is_wildcard() || other.known[kind].names.contains(name);
        let known = self.known[kind].has.iter();
        known
            .filter(|(name, _)| wanted(name) && !leaked(name))
            .filter(|(name, _)| {
                snapshot.get(kind, name).is_some()
                    && !BAD.contains(&content_of(snapshot, kind, name).as_str())
            })
            .map(|(name, content)| (name.clone(), content.clone()))
            .collect()
    }

    /// A client that is up to date is left alone, on this stream and on the next.
    fn check_silence(&mut self) {
        let snapshot: &Snapshot = &self.link.snapshot;
        let is_bad = KINDS.iter().any(|kind| {
            let mut all = snapshot.resources(*kind);
            all.any(|one| BAD.contains(&content_of(snapshot, *kind, one.name()).as_str()))
        });
        if is_bad {
            return;
        }
        self.link.snapshot = std::sync::Arc::new(snapshot.clone());
        assert!(self.step(Vec::new()));
        let before = self.link.received.len();
        self.wait(Duration::from_hours(1));
        assert_eq!(self.link.received.len(), before, "nothing to say");
        assert_eq!(self.link.wake_at, None);
    }
}

impl<'a> Ask<'a> {
    fn empty(all: &'a BTreeSet<String>) -> Self {
        Self {
            all,
            add: Vec::new(),
            drop: Vec::new(),
            version: String::new(),
            versions: BTreeMap::new(),
            nonce: String::new(),
            error: None,
        }
    }
}

fn content_of(snapshot: &Snapshot, kind: Kind, name: &str) -> String {
    let resource = snapshot.get(kind, name).unwrap();
    let labelled: super::testing::Labelled = prost::Message::decode(resource.body()).unwrap();
    labelled.label
}

fn run<V: Model>(actions: &[Action], names_blame: bool) -> Proxy<V> {
    let mut proxy = Proxy::new(names_blame);
    for action in actions {
        proxy.act(action);
    }
    proxy.settle();
    proxy.check();
    proxy.check_silence();
    proxy
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn delta_converges(actions in actions(), names_blame: bool) {
        let mut proxy = run::<DeltaStream>(&actions, names_blame);
        // What it accepted it is not sent again.
        let has = proxy.known.clone();
        let is_rejecting = KINDS.iter().any(|kind| has[*kind].has.len() != has[*kind].versions.len());
        let snapshot = std::sync::Arc::clone(&proxy.link.snapshot);
        let differs = KINDS.iter().any(|kind| snapshot.resources(*kind).any(|resource| {
            let version = resource.version().to_string();
            let wanted = kind.is_wildcard() || has[*kind].names.contains(&**resource.name());
            wanted && has[*kind].versions.get(&**resource.name()) != Some(&version)
        }));
        if !is_rejecting && !differs {
            prop_assert!(!proxy.reconnect(), "{:?}", proxy.inbox);
        }
    }

    #[test]
    fn state_of_the_world_converges(actions in actions(), names_blame: bool) {
        run::<SotwStream>(&actions, names_blame);
    }

    /// Both variants bring a client to the same state. What a client rejects is left out of the comparison: it keeps the
    /// last good content that it happened to be sent.
    #[test]
    fn the_variants_agree(actions in actions(), names_blame: bool) {
        let delta = run::<DeltaStream>(&actions, names_blame);
        let sotw = run::<SotwStream>(&actions, names_blame);
        for kind in KINDS {
            prop_assert_eq!(delta.comparable(kind, &sotw), sotw.comparable(kind, &delta), "{}", kind);
        }
    }
}

/// An interleaving that random ones rarely find: a client that applied the good part of a response, lost the stream
/// before it could say so, and named no version when it came back.
#[test]
fn what_was_applied_and_never_accepted_is_taken_away_in_the_end() {
    let publish = |text: &str| Action::Publish(text.to_owned());
    let actions = [
        publish("cds a=bad c=1 ;eds ;lds ;rds ;"),
        Action::Reconnect,
        publish("cds a=bad a.b=bad c=bad ;eds ;lds ;rds ;"),
        Action::Apply,
        Action::Reconnect,
        publish("cds ;eds ;lds ;rds ;"),
    ];
    run::<SotwStream>(&actions, true);
}
