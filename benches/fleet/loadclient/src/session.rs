//! One simulated sidecar's protocol state, free of any I/O.
//!
//! It follows Envoy's start-up: all clusters, then the endpoints they name,
//! then all listeners, then the routes they name. Every response is accepted.

use crate::protocol::{Incoming, Outgoing, Protocol, Versions};
use crate::wire::{Kind, dependents};
use anyhow::{Context, Result};
use bytes::Bytes;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::marker::PhantomData;
use std::sync::Arc;

/// Endpoint resources whose changes the run measures, by name.
pub(crate) type Targets = HashMap<Box<[u8]>, usize>;

/// What a response changed, for the caller to record.
#[derive(Debug, PartialEq)]
pub(crate) enum Event {
    /// The sidecar subscribed to this target and holds its first content, which has this hash.
    Tracking(usize, u64),
    /// The target's content changed, from the one hash to the other.
    Changed(usize, u64, u64),
    /// The sidecar holds all the configuration it asked for.
    Complete,
    /// So many resources came in the version that was held.
    Resent(u64),
    /// On a stream that replaces another, everything named has been answered.
    Answered,
}

/// What all sessions of a fleet have in common.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) targets: Targets,
    pub(crate) hasher: RandomState,
    /// Whether every request carries the node.
    pub(crate) is_node_repeated: bool,
    /// Whether streams that break come back.
    pub(crate) comes_back: bool,
    /// Whether versions are kept for the streams that come after this one.
    pub(crate) keeps_versions: bool,
}

pub(crate) struct Session<P> {
    node: Bytes,
    plan: Arc<Plan>,
    /// Whether this stream has told the node.
    is_introduced: bool,
    /// Content hash of each target held.
    held: HashMap<usize, u64>,
    clusters: Subscription,
    endpoints: Subscription,
    listeners: Subscription,
    routes: Subscription,
    complete: bool,
    /// Whether this stream replaces another, and has yet to be answered.
    is_resuming: bool,
    protocol: PhantomData<P>,
}

#[derive(Default)]
struct Subscription {
    requested: bool,
    answered: bool,
    version: String,
    nonce: String,
    /// Names subscribed to, sorted; empty for wildcard types.
    names: Vec<Bytes>,
    /// Subscribed names not received yet.
    missing: HashSet<Bytes>,
    /// For wildcard types: what each resource asks for next.
    dependents: HashMap<Box<[u8]>, Vec<Bytes>>,
    versions: Versions,
}

impl Subscription {
    fn is_complete(&self) -> bool {
        self.answered && self.missing.is_empty()
    }

    /// Moves to a new set of names and returns what was added and removed.
    fn rename(&mut self, mut names: Vec<Bytes>) -> (Vec<Bytes>, Vec<Bytes>) {
        names.sort_unstable();
        names.dedup();
        let lacks = |list: &[Bytes], name: &Bytes| list.binary_search(name).is_err();
        let added: Vec<_> = names
            .iter()
            .filter(|n| lacks(&self.names, n))
            .cloned()
            .collect();
        let removed: Vec<_> = self
            .names
            .iter()
            .filter(|n| lacks(&names, n))
            .cloned()
            .collect();
        self.missing.extend(added.iter().cloned());
        for name in &removed {
            self.missing.remove(name);
        }
        self.names = names;
        (added, removed)
    }
}

impl<P: Protocol> Session<P> {
    pub(crate) fn new(node: Bytes, plan: Arc<Plan>) -> Self {
        Self {
            node,
            plan,
            is_introduced: false,
            held: HashMap::new(),
            clusters: Subscription::default(),
            endpoints: Subscription::default(),
            listeners: Subscription::default(),
            routes: Subscription::default(),
            complete: false,
            is_resuming: false,
            protocol: PhantomData,
        }
    }

    /// The requests that open a stream: the first one's, or those of one that replaces another, which ask for
    /// everything at once and say what is held.
    pub(crate) fn start(&mut self) -> Vec<P::Request> {
        self.is_introduced = false;
        if !self.clusters.requested {
            return vec![self.subscribe(Kind::Cluster, &[], &[])];
        }
        self.is_resuming = true;
        let mut requests = Vec::new();
        for kind in Kind::ALL {
            let subscription = self.subscription(kind);
            let is_empty = !kind.is_wildcard() && subscription.names.is_empty();
            if !subscription.requested || is_empty {
                continue;
            }
            subscription.answered = false;
            subscription.nonce.clear();
            requests.push(self.resume(kind));
        }
        requests
    }

    /// The first request of a type on a stream that replaces another.
    fn resume(&mut self, kind: Kind) -> P::Request {
        let node = self.introduction();
        let subscription = self.subscription(kind);
        P::request(Outgoing {
            node,
            kind,
            names: &subscription.names,
            added: &subscription.names,
            removed: &[],
            held: Some(&subscription.versions),
            version: &subscription.version,
            nonce: "",
            is_ack: false,
        })
    }

    /// Takes a response; pushes the requests to send and the events to record.
    pub(crate) fn receive(
        &mut self,
        response: &Incoming,
        requests: &mut Vec<P::Request>,
        events: &mut Vec<Event>,
    ) -> Result<()> {
        let kind = Kind::from_type_url(&response.type_url)
            .with_context(|| format!("response of unrequested type {:?}", response.type_url))?;
        let subscription = self.subscription(kind);
        subscription.answered = true;
        subscription.version.clone_from(&response.version);
        subscription.nonce.clone_from(&response.nonce);
        if P::INCREMENTAL && self.plan.keeps_versions {
            let resent = self.keep_versions(kind, response);
            events.extend((resent > 0).then_some(Event::Resent(resent)));
        }
        if kind.is_wildcard() {
            self.receive_wildcard(kind, response, requests)?;
        } else {
            self.receive_named(kind, response, events);
            requests.push(self.ack(kind));
        }
        self.advance(requests, events);
        self.note_answers(events);
        Ok(())
    }

    /// Says how many resources came in the version that was held.
    fn keep_versions(&mut self, kind: Kind, response: &Incoming) -> u64 {
        let name = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let versions = &mut self.subscription(kind).versions;
        let mut resent = 0;
        for resource in &response.resources {
            let held = versions.insert(name(resource.name()), resource.version.clone());
            resent += u64::from(held.as_ref() == Some(&resource.version));
        }
        for removed in &response.removed {
            versions.remove(&name(removed));
        }
        resent
    }

    /// Whether a stream that replaces another has what state of the world owes it. Who is up to date in delta is owed
    /// nothing, and an unchanged wildcard may be left out in either.
    fn note_answers(&mut self, events: &mut Vec<Event>) {
        let named = [&self.endpoints, &self.routes];
        if self.is_resuming && named.iter().all(|one| one.answered || one.names.is_empty()) {
            self.is_resuming = false;
            events.push(Event::Answered);
        }
    }

    fn receive_wildcard(
        &mut self,
        kind: Kind,
        response: &Incoming,
        requests: &mut Vec<P::Request>,
    ) -> Result<()> {
        let subscription = self.subscription(kind);
        if !P::INCREMENTAL {
            subscription.dependents.clear();
        }
        for resource in &response.resources {
            let names = dependents(kind, resource.body.clone()).context("undecodable resource")?;
            subscription
                .dependents
                .insert(resource.name().into(), names);
        }
        for name in &response.removed {
            subscription.dependents.remove(&name[..]);
        }
        let names = subscription
            .dependents
            .values()
            .flatten()
            .cloned()
            .collect();
        requests.push(self.ack(kind));
        let dependent_kind = match kind {
            Kind::Cluster => Kind::Endpoints,
            _ => Kind::Route,
        };
        let dependent = self.subscription(dependent_kind);
        let (added, removed) = dependent.rename(names);
        for name in &removed {
            dependent.versions.remove(&*String::from_utf8_lossy(name));
        }
        if !added.is_empty() || !removed.is_empty() {
            requests.push(self.subscribe(dependent_kind, &added, &removed));
        }
        Ok(())
    }

    fn receive_named(&mut self, kind: Kind, response: &Incoming, events: &mut Vec<Event>) {
        let subscription = self.subscription(kind);
        if !subscription.missing.is_empty() {
            for resource in &response.resources {
                subscription.missing.remove(resource.name());
            }
            // Envoy takes a removal as the answer to a name that does not exist.
            for name in &response.removed {
                subscription.missing.remove(name);
            }
        }
        if kind == Kind::Endpoints {
            self.track(response, events);
        }
    }

    fn track(&mut self, response: &Incoming, events: &mut Vec<Event>) {
        for resource in &response.resources {
            let Some(&target) = self.plan.targets.get(resource.name()) else {
                continue;
            };
            let hash = self.plan.hasher.hash_one(&resource.body[..]);
            match self.held.insert(target, hash) {
                None => events.push(Event::Tracking(target, hash)),
                Some(old) if old != hash => events.push(Event::Changed(target, old, hash)),
                Some(_) => {}
            }
        }
    }

    /// Goes on to the next step of the start-up once the last one is done.
    fn advance(&mut self, requests: &mut Vec<P::Request>, events: &mut Vec<Event>) {
        let held = |wildcard: &Subscription, named: &Subscription| {
            wildcard.is_complete() && (named.names.is_empty() || named.is_complete())
        };
        if !held(&self.clusters, &self.endpoints) {
            return;
        }
        if !self.listeners.requested {
            requests.push(self.subscribe(Kind::Listener, &[], &[]));
        }
        if held(&self.listeners, &self.routes) && !self.complete {
            self.complete = true;
            events.push(Event::Complete);
        }
    }

    fn subscribe(&mut self, kind: Kind, added: &[Bytes], removed: &[Bytes]) -> P::Request {
        self.subscription(kind).requested = true;
        self.request(kind, added, removed, false)
    }

    fn ack(&mut self, kind: Kind) -> P::Request {
        self.request(kind, &[], &[], true)
    }

    fn request(
        &mut self,
        kind: Kind,
        added: &[Bytes],
        removed: &[Bytes],
        is_ack: bool,
    ) -> P::Request {
        let node = self.introduction();
        let subscription = self.subscription(kind);
        P::request(Outgoing {
            node,
            kind,
            names: &subscription.names,
            added,
            removed,
            held: None,
            version: &subscription.version,
            nonce: &subscription.nonce,
            is_ack,
        })
    }

    /// The node, where this request is to carry it.
    fn introduction(&mut self) -> Option<Bytes> {
        let is_due = !self.is_introduced || self.plan.is_node_repeated;
        self.is_introduced = true;
        is_due.then(|| self.node.clone())
    }

    fn subscription(&mut self, kind: Kind) -> &mut Subscription {
        match kind {
            Kind::Cluster => &mut self.clusters,
            Kind::Endpoints => &mut self.endpoints,
            Kind::Listener => &mut self.listeners,
            Kind::Route => &mut self.routes,
        }
    }
}

#[cfg(test)]
mod tests;
