//! What a simulated Envoy says: its subscriptions, ACKs and NACKs, and when it holds them back.
//!
//! It speaks both variants as Envoy's two clients do. In state of the world, there is one request a type, with the newest
//! nonce: what was held back becomes one verdict, and an error stays in it until it is sent. In delta, each response
//! has its own. Both hold back what they say of clusters as long as one warms.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::envoy::{Envoy, Outcome};
use crate::snapshot::{Kind, PerKind, Snapshot};
use crate::xds::testing::Received;

/// A request in terms of both variants.
#[derive(Clone, Debug, Default)]
pub(super) struct Ask {
    /// `None` for a type that nobody serves.
    pub(super) kind: Option<Kind>,
    /// State of the world: all that is wanted.
    pub(super) names: Vec<String>,
    pub(super) version: String,
    /// Delta: what is more or less wanted.
    pub(super) subscribe: Vec<String>,
    pub(super) unsubscribe: Vec<String>,
    pub(super) versions: BTreeMap<String, String>,
    pub(super) nonce: String,
    pub(super) error: Option<String>,
}

#[derive(Debug, Default)]
struct Type {
    /// It has been asked for, on this stream or an earlier one.
    is_known: bool,
    /// It has been asked for on this stream.
    is_asked: bool,
    nonce: String,
    /// State of the world: of the newest response that was accepted.
    version: String,
    error: Option<String>,
    /// The names that this stream's server was told.
    told: BTreeSet<String>,
    again: BTreeSet<String>,
    /// Delta: of each resource that was accepted.
    versions: BTreeMap<String, String>,
    verdicts: VecDeque<(String, Option<String>)>,
    /// Delta: what it has by a response that it rejected, and will not list.
    unlisted: BTreeSet<String>,
}

#[derive(Debug)]
pub(super) struct Mux {
    is_whole: bool,
    types: PerKind<Type>,
    /// Types that something is to be said of.
    pending: Vec<Kind>,
    /// In the order of their first requests.
    known: Vec<Kind>,
    /// Delta: what it has and no server can know that it has.
    leaked: BTreeSet<(Kind, String)>,
}

impl Mux {
    pub(super) fn new(is_whole: bool) -> Self {
        let mut mux = Self {
            is_whole,
            types: PerKind::default(),
            pending: Vec::new(),
            known: Vec::new(),
            leaked: BTreeSet::new(),
        };
        mux.say(Kind::Cluster);
        mux
    }

    /// Whether the server cannot know that the client has this.
    pub(super) fn is_leaked(&self, kind: Kind, name: &str) -> bool {
        self.leaked.contains(&(kind, name.to_owned()))
    }

    /// Whether it has accepted all that it asks for, and lists it.
    pub(super) fn is_even(&self, envoy: &Envoy, snapshot: &Snapshot) -> bool {
        Kind::ALL.into_iter().all(|kind| {
            let (wanted, known) = (envoy.interest(kind), &self.types[kind]);
            snapshot.resources(kind).all(|resource| {
                let is_wanted = kind.is_wildcard() || wanted.contains(&**resource.name());
                let listed = known.versions.get(&**resource.name());
                !is_wanted || listed == Some(&resource.version().to_string())
            })
        })
    }

    fn say(&mut self, kind: Kind) {
        if !self.types[kind].is_known {
            self.types[kind].is_known = true;
            self.known.push(kind);
        }
        if !self.pending.contains(&kind) {
            self.pending.push(kind);
        }
    }

    /// Delta: asks again for what it asked for.
    pub(super) fn forget(&mut self, kind: Kind, name: &str) {
        if !self.is_whole && self.types[kind].told.contains(name) {
            self.types[kind].again.insert(name.to_owned());
            self.say(kind);
        }
    }

    /// Notes what became of a response.
    pub(super) fn hear(&mut self, response: &Received, outcome: &Outcome, envoy: &Envoy) {
        let kind = response.kind().unwrap();
        let wanted = envoy.interest(kind);
        let is_unwatched = self.is_whole && !kind.is_wildcard() && wanted.is_empty();
        let known = &mut self.types[kind];
        known.nonce.clone_from(&response.nonce);
        if is_unwatched && response.resources.is_empty() {
            known.version.clone_from(&response.version);
            return;
        }
        if outcome.error.is_some() {
            known.error.clone_from(&outcome.error);
            known.unlisted.extend(outcome.applied.iter().cloned());
        } else if !is_unwatched {
            known.version.clone_from(&response.version);
            for (name, _, version) in &response.resources {
                if kind.is_wildcard() || wanted.contains(name) {
                    known.versions.insert(name.clone(), version.clone());
                    known.unlisted.remove(name);
                    self.leaked.remove(&(kind, name.clone()));
                }
            }
            for name in &response.removed {
                known.versions.remove(name);
                self.leaked.remove(&(kind, name.clone()));
            }
        }
        let verdict = (response.nonce.clone(), outcome.error.clone());
        known.verdicts.push_back(verdict);
        if outcome.asks_anew {
            // A cluster that warms asks for its load assignment, though the name is none that is new: in delta that is
            // not heard, in state of the world it reads like one more ACK.
            if self.types[Kind::Endpoint].is_known {
                self.say(Kind::Endpoint);
            }
        }
        self.say(kind);
    }

    /// What it says now.
    pub(super) fn speak(&mut self, envoy: &Envoy) -> Vec<Ask> {
        let clusters = &self.types[Kind::Cluster];
        let is_started = !clusters.version.is_empty() || !clusters.versions.is_empty();
        let has_answer = is_started || !clusters.nonce.is_empty();
        if has_answer && !envoy.is_warming() && !self.types[Kind::Listener].is_known {
            self.say(Kind::Listener);
        }
        for kind in Kind::ALL.into_iter().filter(|kind| !kind.is_wildcard()) {
            if self.types[kind].told != envoy.interest(kind) && !self.pending.contains(&kind) {
                self.say(kind);
            }
        }
        let mut said = Vec::new();
        for kind in std::mem::take(&mut self.pending) {
            if kind == Kind::Cluster && envoy.is_warming() {
                self.pending.push(kind);
            } else if self.is_whole {
                said.push(self.whole(kind, envoy));
            } else {
                self.delta(kind, envoy, &mut said);
            }
        }
        said
    }

    fn whole(&mut self, kind: Kind, envoy: &Envoy) -> Ask {
        let known = &mut self.types[kind];
        known.verdicts.clear();
        if !kind.is_wildcard() {
            known.told = envoy.interest(kind);
        }
        let names = known.told.iter().cloned().collect();
        Ask {
            kind: Some(kind),
            names,
            version: known.version.clone(),
            nonce: known.nonce.clone(),
            error: known.error.take(),
            ..Ask::default()
        }
    }

    fn delta(&mut self, kind: Kind, envoy: &Envoy, said: &mut Vec<Ask>) {
        let wanted = match kind.is_wildcard() {
            true => BTreeSet::new(),
            false => envoy.interest(kind),
        };
        let known = &mut self.types[kind];
        if !kind.is_wildcard() {
            known.versions.retain(|name, _| wanted.contains(name));
        }
        loop {
            let mut ask = Ask {
                kind: Some(kind),
                ..Ask::default()
            };
            let verdict = known.verdicts.pop_front();
            let is_verdict = verdict.is_some();
            (ask.nonce, ask.error) = verdict.unwrap_or_default();
            let again = std::mem::take(&mut known.again);
            let again = again.intersection(&wanted);
            let new = wanted.difference(&known.told);
            ask.subscribe = new.chain(again).cloned().collect();
            ask.unsubscribe = known.told.difference(&wanted).cloned().collect();
            let is_first = !known.is_asked && (kind.is_wildcard() || !wanted.is_empty());
            if is_first {
                ask.versions.clone_from(&known.versions);
            }
            let is_news = !ask.subscribe.is_empty() || !ask.unsubscribe.is_empty();
            if !is_verdict && !is_news && !is_first {
                return;
            }
            known.is_asked = true;
            known.told.clone_from(&wanted);
            said.push(ask);
        }
    }

    /// The stream broke: on the next one it restates all that it wants.
    pub(super) fn reconnect(&mut self) {
        for kind in Kind::ALL {
            let known = &mut self.types[kind];
            known.is_asked = false;
            known.nonce.clear();
            known.told.clear();
            known.again.clear();
            known.verdicts.clear();
            let unlisted = std::mem::take(&mut known.unlisted);
            if !self.is_whole {
                self.leaked
                    .extend(unlisted.into_iter().map(|name| (kind, name)));
            }
        }
        self.pending.clone_from(&self.known);
    }
}
