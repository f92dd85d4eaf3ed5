//! What a simulated Envoy has, and how it takes a response: warming, time-outs, and what it rejects.
//!
//! It is written from the protocol's rules and from measurements on Envoy 1.40, and knows nothing of the server.
//! A cluster that is new or changed warms until a load assignment comes after it, and the one before it serves meanwhile.
//! A listener warms until its routes are known. An unchanged one of either is left as it is. Clusters and listeners are
//! taken one by one; of load assignments and routes the first bad one ends the response; and a message that fails
//! validation is not taken at all.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::mesh::{Poison, poison_of, target_of};
use crate::snapshot::{Kind, Snapshot};
use crate::xds::testing::Received;

mod checks;

/// Envoy's default `initial_fetch_timeout`.
const INITIAL_FETCH: Duration = Duration::from_secs(15);
/// How long anything may warm: 3 s and what messages take on their way.
const WARM_LIMIT: Duration = Duration::from_secs(5);

#[derive(Clone, Debug)]
struct Cluster {
    content: String,
    endpoints: Option<String>,
}

#[derive(Clone, Debug)]
struct Warming<T> {
    of: T,
    since: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    Waiting { since: Duration },
    Missing,
    Config(String),
}

#[derive(Debug, Default)]
pub(super) struct Envoy {
    clusters: BTreeMap<String, Cluster>,
    warming: BTreeMap<String, Warming<Cluster>>,
    listeners: BTreeMap<String, String>,
    warming_listeners: BTreeMap<String, Warming<String>>,
    /// Routes and extensions that its listeners name.
    targets: BTreeMap<(Kind, String), Target>,
    /// What it rejected, until it uses what there is by then: what follows from that is no fault of the server's. Of routes
    /// and extensions, what it ever rejected.
    rejected: BTreeSet<(Kind, String)>,
    /// Clusters that state of the world could not keep for it when it came back.
    lost: BTreeSet<String>,
    /// Load assignments that nobody knows yet, which it has of an earlier stream.
    pub(super) kept: BTreeSet<String>,
    /// Clusters whose endpoints it was told to be gone, when it was in no need of them: no server knows that it kept them.
    kept_untold: BTreeSet<String>,
    /// Clusters whose load assignment came in a response that it rejected: they warm until it comes again.
    untaken: BTreeSet<String>,
    /// Clusters that came in a response of which it took nothing, until they are in use.
    untaken_clusters: BTreeSet<String>,
    /// Those of which it could not say so, because one warmed whose load assignment it rejects, or nobody knows.
    late_clusters: BTreeSet<String>,
    /// Routes that were sent before somebody knew the endpoints of these clusters, which have not been in use since.
    sent_early: BTreeMap<(Kind, String, String), Vec<String>>,
    /// It has heard of clusters from its present server, which it does not ask for while one warms.
    pub(super) has_heard: bool,
    /// It could not ask for clusters, because one warmed whose load assignment it rejects, or which nobody knows.
    is_held_up: bool,
    /// When it came to its present server, which is not late before its time.
    pub(super) connected: Duration,
    /// It has been configured, and takes traffic.
    serves: bool,
}

/// What became of a response.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) error: Option<String>,
    /// What was applied though the response was rejected.
    pub(super) applied: Vec<String>,
    /// Whether clusters ask for their load assignments.
    pub(super) asks_anew: bool,
}

impl Envoy {
    /// The names that it asks for.
    pub(super) fn interest(&self, kind: Kind) -> BTreeSet<String> {
        match kind {
            Kind::Endpoint => {
                let all = self.clusters.keys().chain(self.warming.keys());
                all.cloned().collect()
            }
            _ => {
                let targets = self.targets.keys().filter(|(of, _)| *of == kind);
                targets.map(|(_, name)| name.clone()).collect()
            }
        }
    }

    pub(super) fn is_warming(&self) -> bool {
        !self.warming.is_empty()
    }

    pub(super) fn has_rejected(&self, kind: Kind, name: &str) -> bool {
        self.rejected.contains(&(kind, name.to_owned()))
    }

    pub(super) fn lose(&mut self, names: impl Iterator<Item = String>) {
        self.lost.extend(names);
    }

    /// Takes a response; `whole` if what it does not have is gone.
    pub(super) fn take(
        &mut self,
        response: &Received,
        whole: bool,
        now: Duration,
        snapshot: &Snapshot,
    ) -> Result<Outcome, String> {
        let kind = response.kind().unwrap();
        self.has_heard |= kind == Kind::Cluster;
        let wanted = self.interest(kind);
        let mut resources: Vec<_> = response
            .resources
            .iter()
            .filter(|(name, ..)| kind.is_wildcard() || wanted.contains(name))
            .collect();
        resources.sort();
        if let Some(error) = self.reject(kind, &resources) {
            return Ok(Outcome {
                error: Some(error),
                ..Outcome::default()
            });
        }
        let named = resources
            .iter()
            .filter(|(_, text, _)| poison_of(text) == Poison::Named);
        let named: Vec<_> = named.map(|(name, ..)| name.clone()).collect();
        let before_the_first_bad = match (kind, named.first()) {
            (Kind::Cluster | Kind::Listener, _) | (_, None) => resources.len(),
            (_, Some(first)) => resources
                .iter()
                .position(|(name, ..)| name == first)
                .unwrap(),
        };
        let good = resources.iter().take(before_the_first_bad);
        let good = good.filter(|(_, text, _)| poison_of(text) == Poison::None);
        let good: Vec<_> = good
            .map(|(name, text, _)| (name.as_str(), text.as_str()))
            .collect();
        let is_good = named.is_empty();
        let removed = removed_by(response, whole && kind.is_wildcard(), self.known(kind));
        let removed = if is_good || kind.is_wildcard() {
            removed
        } else {
            Vec::new()
        };
        let mut outcome = Outcome::default();
        match kind {
            Kind::Cluster => outcome.asks_anew = self.take_clusters(&good, &removed, now),
            Kind::Endpoint => {
                self.check_removal(&removed, snapshot)?;
                self.take_endpoints(&good, &removed);
            }
            Kind::Listener => self.take_listeners(&good, &removed, now),
            _ => self.take_targets(kind, &good, &removed),
        }
        if !is_good {
            let named: Vec<_> = named.iter().map(|name| format!("{name}: no")).collect();
            outcome.error = Some(format!("Error adding/updating {}", named.join(", ")));
            outcome.applied = good.iter().map(|(name, _)| (*name).to_owned()).collect();
        }
        self.finish_listeners();
        Ok(outcome)
    }

    /// Notes what is bad in a response. `Some` says why nothing of it is taken.
    fn reject(&mut self, kind: Kind, resources: &[&(String, String, String)]) -> Option<String> {
        let all_bad = resources
            .iter()
            .filter(|(_, text, _)| poison_of(text) != Poison::None);
        let all_bad: Vec<_> = all_bad.map(|(name, ..)| (kind, name.clone())).collect();
        if kind == Kind::Endpoint && !all_bad.is_empty() {
            let names = resources.iter().map(|(name, ..)| name.clone());
            self.untaken.extend(names);
        }
        self.rejected.extend(all_bad);
        let mut words = resources
            .iter()
            .filter_map(|(name, text, _)| match poison_of(text) {
                Poison::Unnamed => Some("Invalid duration: Expected positive duration".to_owned()),
                Poison::Repeated => Some(format!(
                    "name: \"{name}\" Proto constraint validation failed"
                )),
                Poison::None | Poison::Named => None,
            });
        let error = words.next()?;
        if kind == Kind::Cluster {
            let names = resources.iter().map(|(name, ..)| name.clone());
            self.untaken_clusters.extend(names);
        }
        Some(error)
    }

    fn known(&self, kind: Kind) -> BTreeSet<String> {
        let mut known = BTreeSet::new();
        if kind == Kind::Cluster {
            known.extend(self.clusters.keys().chain(self.warming.keys()).cloned());
        } else if kind == Kind::Listener {
            let warming = self.warming_listeners.keys();
            known.extend(self.listeners.keys().chain(warming).cloned());
        }
        known
    }

    fn take_clusters(&mut self, good: &[(&str, &str)], removed: &[String], now: Duration) -> bool {
        let mut asks_anew = false;
        for (name, content) in good {
            let warming = self.warming.get(*name).map(|warming| &warming.of);
            let newest = warming.or_else(|| self.clusters.get(*name));
            if newest.is_some_and(|newest| newest.content == *content) {
                continue;
            }
            let of = Cluster {
                content: (*content).to_owned(),
                endpoints: None,
            };
            self.warming
                .insert((*name).to_owned(), Warming { of, since: now });
            asks_anew = true;
        }
        for name in removed {
            self.clusters.remove(name);
            self.warming.remove(name);
        }
        asks_anew
    }

    fn take_endpoints(&mut self, good: &[(&str, &str)], removed: &[String]) {
        for (name, text) in good {
            self.kept.remove(*name);
            self.kept_untold.remove(*name);
            self.untaken.remove(*name);
            if let Some(cluster) = self.clusters.get_mut(*name) {
                cluster.endpoints = Some((*text).to_owned());
            }
            if let Some(mut warming) = self.warming.remove(*name) {
                warming.of.endpoints = Some((*text).to_owned());
                self.put_to_use(name, warming.of);
            }
        }
        for name in removed {
            self.untaken.remove(name);
            match self.warming.remove(name) {
                Some(warming) => {
                    self.put_to_use(name, warming.of);
                }
                None => {
                    self.kept_untold.insert(name.clone());
                }
            }
        }
    }

    fn put_to_use(&mut self, name: &str, cluster: Cluster) {
        self.untaken_clusters.remove(name);
        self.late_clusters.remove(name);
        self.lost.remove(name);
        for unknown in self.sent_early.values_mut() {
            unknown.retain(|unknown| unknown != name);
        }
        self.clusters.insert(name.to_owned(), cluster);
    }

    fn take_listeners(&mut self, good: &[(&str, &str)], removed: &[String], now: Duration) {
        for (name, content) in good {
            let warming = self.warming_listeners.get(*name).map(|warming| &warming.of);
            if warming.or_else(|| self.listeners.get(*name)) == Some(&(*content).to_owned()) {
                continue;
            }
            self.targets
                .entry(target_of(content))
                .or_insert(Target::Waiting { since: now });
            let of = (*content).to_owned();
            self.warming_listeners
                .insert((*name).to_owned(), Warming { of, since: now });
        }
        for name in removed {
            self.listeners.remove(name);
            self.warming_listeners.remove(name);
        }
    }

    fn take_targets(&mut self, kind: Kind, good: &[(&str, &str)], removed: &[String]) {
        for (name, text) in good {
            let key = (kind, (*name).to_owned());
            self.targets.insert(key, Target::Config((*text).to_owned()));
        }
        for name in removed {
            if let Some(target) = self.targets.get_mut(&(kind, name.clone()))
                && matches!(target, Target::Waiting { .. })
            {
                *target = Target::Missing;
            }
        }
    }

    /// Puts listeners to use whose routes are known, and forgets routes that no listener names.
    fn finish_listeners(&mut self) {
        let targets = &self.targets;
        let is_ready = |warming: &Warming<String>| {
            !matches!(targets[&target_of(&warming.of)], Target::Waiting { .. })
        };
        let ready: Vec<_> = self
            .warming_listeners
            .iter()
            .filter(|(_, warming)| is_ready(warming))
            .map(|(name, warming)| (name.clone(), warming.of.clone()))
            .collect();
        for (name, content) in ready {
            self.warming_listeners.remove(&name);
            self.listeners.insert(name, content);
        }
        let warming = self.warming_listeners.values().map(|warming| &warming.of);
        let named = self.listeners.values().chain(warming);
        let named: BTreeSet<_> = named.map(|content| target_of(content)).collect();
        self.targets.retain(|target, _| named.contains(target));
    }

    /// When it stops waiting, or has waited for too long.
    pub(super) fn next_deadline(&self, now: Duration) -> Option<Duration> {
        let clusters = self.warming.values().map(|warming| warming.since);
        let targets = self.targets.values().filter_map(|target| match target {
            Target::Waiting { since } => Some(*since),
            _ => None,
        });
        let since = clusters.chain(targets);
        let connected = self.connected;
        let deadlines =
            since.flat_map(|since| [since.max(connected) + WARM_LIMIT, since + INITIAL_FETCH]);
        deadlines.filter(|deadline| *deadline > now).min()
    }

    /// Gives up on what has not come within the time for it. Says whether there is any.
    pub(super) fn give_up(&mut self, now: Duration) -> bool {
        let is_late = |since: Duration| since + INITIAL_FETCH <= now;
        let waiting = self.targets.values().filter_map(|target| match target {
            Target::Waiting { since } => Some(*since),
            _ => None,
        });
        let warming = self.warming.values().map(|warming| warming.since);
        if !warming.chain(waiting).any(is_late) {
            return false;
        }
        let late = self.warming.iter();
        let late: Vec<_> = late
            .filter(|(_, warming)| is_late(warming.since))
            .map(|(name, _)| name.clone())
            .collect();
        self.take_endpoints(&[], &late);
        for target in self.targets.values_mut() {
            if matches!(target, Target::Waiting { since } if is_late(*since)) {
                *target = Target::Missing;
            }
        }
        self.finish_listeners();
        true
    }

    /// All that it has of a type and uses, as name and content.
    pub(super) fn has(&self, kind: Kind) -> BTreeMap<String, String> {
        match kind {
            Kind::Cluster => {
                let clusters = self.clusters.iter();
                let content =
                    |(name, cluster): (&String, &Cluster)| (name.clone(), cluster.content.clone());
                clusters.map(content).collect()
            }
            Kind::Endpoint => {
                let clusters = self.clusters.iter();
                let endpoints = clusters
                    .filter_map(|(name, cluster)| Some((name.clone(), cluster.endpoints.clone()?)));
                endpoints.collect()
            }
            Kind::Listener => self.listeners.clone(),
            _ => {
                let targets = self.targets.iter().filter(|((of, _), _)| *of == kind);
                let config = targets.filter_map(|((_, name), target)| match target {
                    Target::Config(text) => Some((name.clone(), text.clone())),
                    Target::Waiting { .. } | Target::Missing => None,
                });
                config.collect()
            }
        }
    }

    /// What is on its way into use.
    pub(super) fn unfinished(&self) -> Option<String> {
        let mut warming = self.warming.keys().chain(self.warming_listeners.keys());
        warming.next().cloned()
    }
}

fn removed_by(response: &Received, whole: bool, known: BTreeSet<String>) -> Vec<String> {
    if !whole {
        return response.removed.clone();
    }
    let names: BTreeSet<_> = response.resources.iter().map(|(name, ..)| name).collect();
    known
        .into_iter()
        .filter(|name| !names.contains(name))
        .collect()
}
