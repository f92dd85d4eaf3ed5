//! The model: a small mesh, and the snapshot of it that each replica builds for itself.
//!
//! As translation does, a snapshot leaves out what it does not have: no route names a cluster that is not there, and no
//! listener a route. The version of a load assignment covers its cluster.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::snapshot::{Kind, PerKind, Resource, Snapshot, Version, Withheld};
use crate::xds::testing::Labelled;
use crate::xds::traps::{self, Trap};

pub(super) const CLUSTERS: usize = 4;
pub(super) const TARGETS: usize = 3;
pub(super) const LISTENERS: usize = 2;

/// All resources, type by type, as names and contents.
pub(super) type Contents = PerKind<BTreeMap<String, String>>;

/// What a client does with a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Poison {
    None,
    /// It rejects it, and says which it is.
    Named,
    /// It rejects the whole response, and does not say for which.
    Unnamed,
    /// It rejects the whole response, and repeats the first of these in its words.
    Repeated,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) label: usize,
    pub(super) poison: Poison,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoints {
    Known(Content),
    Awaited,
    Overdue,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Edit {
    Cluster(usize, Option<Content>),
    Endpoints(usize, Endpoints),
    /// Routes or an extension, and the clusters that it names as a set of bits.
    Target(usize, Option<(Content, usize)>),
    /// A listener and its target.
    Listener(usize, Option<(Content, usize)>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mesh {
    clusters: [Option<Content>; CLUSTERS],
    endpoints: [Endpoints; CLUSTERS],
    targets: [Option<(Content, usize)>; TARGETS],
    listeners: [Option<(Content, usize)>; LISTENERS],
}

impl Default for Mesh {
    fn default() -> Self {
        let content = Content {
            label: 0,
            poison: Poison::None,
        };
        Self {
            clusters: [None; CLUSTERS],
            endpoints: [Endpoints::Known(content); CLUSTERS],
            targets: [None; TARGETS],
            listeners: [None; LISTENERS],
        }
    }
}

pub(super) fn cluster_name(index: usize) -> String {
    format!("c{index}")
}

pub(super) fn target_name(index: usize) -> (Kind, String) {
    let kind = [Kind::Route, Kind::Route, Kind::Extension][index];
    (kind, format!("t{index}"))
}

/// How a client takes content that reads like this.
pub(super) fn poison_of(text: &str) -> Poison {
    match text.split_whitespace().next().unwrap_or_default() {
        label if label.ends_with("!n") => Poison::Named,
        label if label.ends_with("!u") => Poison::Unnamed,
        label if label.ends_with("!r") => Poison::Repeated,
        _ => Poison::None,
    }
}

/// What content that reads like this names.
pub(super) fn named_by(text: &str) -> impl Iterator<Item = &str> {
    text.split_whitespace().skip(1)
}

/// What a listener that reads like this takes its routes from.
pub(super) fn target_of(text: &str) -> (Kind, String) {
    let (kind, name) = named_by(text).next().unwrap().split_once('/').unwrap();
    (crate::xds::testing::kind(kind), name.to_owned())
}

fn text_of(content: Content, names: &[String]) -> String {
    let poison = match content.poison {
        Poison::None => "",
        Poison::Named => "!n",
        Poison::Unnamed => "!u",
        Poison::Repeated => "!r",
    };
    let mut text = format!("{}{poison}", content.label);
    for name in names {
        text.extend([" ", name]);
    }
    text
}

impl Mesh {
    pub(super) fn apply(&mut self, edit: Edit) {
        match edit {
            Edit::Cluster(index, cluster) => self.clusters[index] = cluster,
            Edit::Endpoints(index, endpoints) => self.endpoints[index] = endpoints,
            Edit::Target(index, target) => self.targets[index] = target,
            Edit::Listener(index, listener) => self.listeners[index] = listener,
        }
    }

    /// What clients are to have, as names and contents.
    pub(super) fn contents(&self) -> Contents {
        let mut contents = Contents::default();
        for (index, cluster) in self.clusters.iter().enumerate() {
            let Some(cluster) = cluster else { continue };
            let name = cluster_name(index);
            if let Endpoints::Known(endpoints) = self.endpoints[index] {
                contents[Kind::Endpoint].insert(name.clone(), text_of(endpoints, &[]));
            }
            contents[Kind::Cluster].insert(name, text_of(*cluster, &[]));
        }
        for (index, target) in self.targets.iter().enumerate() {
            let Some((content, named)) = target else {
                continue;
            };
            let named = (0..CLUSTERS).filter(|bit| named & (1 << bit) != 0);
            let named = named.filter(|cluster| self.clusters[*cluster].is_some());
            let named: Vec<_> = named.map(cluster_name).collect();
            let (kind, name) = target_name(index);
            contents[kind].insert(name, text_of(*content, &named));
        }
        for (index, listener) in self.listeners.iter().enumerate() {
            let Some((content, target)) = listener else {
                continue;
            };
            let (kind, name) = target_name(*target);
            if contents[kind].contains_key(&name) {
                let text = text_of(*content, &[format!("{kind}/{name}")]);
                contents[Kind::Listener].insert(format!("l{index}"), text);
            }
        }
        contents
    }

    /// What a replica makes of it. Replicas share no memory.
    pub(super) fn snapshot(&self, replica: usize) -> Snapshot {
        let contents = self.contents();
        let mut snapshot = Snapshot::default();
        for (kind, contents) in contents.iter().filter(|(kind, _)| *kind != Kind::Endpoint) {
            for (name, text) in contents {
                let mut text = text.clone();
                if traps::active(Trap::OrderOfIteration) && replica == 1 {
                    let mut words: Vec<_> = text.split_whitespace().collect();
                    words[1..].reverse();
                    text = words.join(" ");
                }
                snapshot.insert(build(replica, kind, name, &text, None));
            }
        }
        let all = Some(snapshot.version(Kind::Cluster));
        for (index, endpoints) in self.endpoints.iter().enumerate() {
            let name = cluster_name(index);
            let Some(cluster) = snapshot.get(Kind::Cluster, &name) else {
                continue;
            };
            let context = match Some(cluster.version()) {
                _ if traps::active(Trap::OneEndpointVersion) => all,
                _ if traps::active(Trap::EndpointsDoNotFollow) => None,
                own => own,
            };
            let withheld = match endpoints {
                Endpoints::Known(content) => {
                    let text = text_of(*content, &[]);
                    snapshot.insert(build(replica, Kind::Endpoint, &name, &text, context));
                    continue;
                }
                Endpoints::Awaited => Withheld::Awaited,
                Endpoints::Overdue => Withheld::Overdue,
            };
            snapshot.withhold(Kind::Endpoint, name.as_str().into(), withheld);
        }
        snapshot
    }
}

type Key = (usize, Kind, String, String, Option<Version>);

thread_local! {
    /// Each replica encodes a resource once.
    static BUILT: RefCell<HashMap<Key, Arc<Resource>>> = RefCell::default();
}

fn build(
    replica: usize,
    kind: Kind,
    name: &str,
    text: &str,
    mut context: Option<Version>,
) -> Arc<Resource> {
    if traps::active(Trap::VersionOfTheReplica) {
        context = Some(Version::from_hash(replica as u64));
    }
    let mut cached = text.to_owned();
    if traps::active(Trap::CacheKeyMissesAnInput) {
        cached = cached.chars().take(1).collect();
    }
    let label = if traps::active(Trap::BytesOfTheProcess) && replica == 1 {
        format!("{text} ")
    } else {
        text.to_owned()
    };
    let message = Labelled {
        name: name.to_owned(),
        label,
    };
    let encode = || Arc::new(Resource::new(kind, name.into(), &message, context));
    let key = (replica, kind, name.to_owned(), cached, context);
    BUILT.with_borrow_mut(|built| Arc::clone(built.entry(key).or_insert_with(encode)))
}

/// Ends what one schedule leaves to the next.
pub(super) fn forget_built() {
    BUILT.with_borrow_mut(HashMap::clear);
}
