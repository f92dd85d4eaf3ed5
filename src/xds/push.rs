//! What a stream sends next, and in which order.
//!
//! A push goes from what is named to what names it: clusters, endpoints, secrets, listeners, routes, extensions, then
//! the removal of clusters (xDS protocol, "Eventual consistency considerations").
//!
//! **Invariant:** nothing waits for the ACK of its own type or of the type before it. Envoy withholds the ACK of
//! clusters while one of them warms, which it does until it is sent endpoints: newer clusters and their endpoints are
//! sent meanwhile, and Envoy applies them (measured on Envoy 1.40).
//!
//! The removal of clusters waits, and not for ACKs: Envoy accepts a listener before the listener is in use, and what
//! drains, or is tried again, still goes by the routes of before (measured on Envoy 1.40: 503).
//!
//! **Invariant:** the load assignment of a cluster has the cluster's name, and follows the cluster on the wire.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use super::ledger::{Batch, Has, Ledger, Nack, Sent};
use super::limits::Limits;
use super::names::NameSets;
use super::quarantine::shortened;
use crate::snapshot::{Kind, PerKind, ResourceName, Snapshot};
use crate::xds::traps::{self, Trap};
use crate::xds::{Event, Held, Step, StreamError, StreamStatus};

mod decision;
mod returned;
mod uncovered;

use decision::{Decision, Rules};
use uncovered::Uncovered;

/// The part of a stream that both variants share.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) limits: Limits,
    pub(super) names: Arc<NameSets>,
    /// The one type that the stream serves; `None` for all.
    pub(super) only: Option<Kind>,
    pub(super) seen: Arc<Snapshot>,
    pub(super) kinds: PerKind<Ledger>,
    /// A rejection left it open which version of its clusters the client has.
    pub(super) clusters_unsure: bool,
    /// Since when a client of state of the world that came back with clusters waits for its answer about them.
    pub(super) returned: Option<Duration>,
    /// As [`Self::clusters_are_due`] says, as long as one push takes.
    clusters_due: bool,
    uncovered: Uncovered,
    nonce: u64,
}

/// The kinds of resource that may name a cluster.
pub(super) const NAMING: [Kind; 3] = [Kind::Listener, Kind::Route, Kind::Extension];

impl Engine {
    pub(super) fn new(limits: Limits, names: Arc<NameSets>) -> Self {
        Self {
            limits,
            names,
            only: None,
            seen: Arc::default(),
            kinds: PerKind::default(),
            clusters_unsure: false,
            returned: None,
            clusters_due: false,
            uncovered: Uncovered::default(),
            nonce: 0,
        }
    }

    /// The type that a request is for; `None` if it is not served.
    pub(super) fn asked(&self, type_url: &str) -> Result<Option<Kind>, StreamError> {
        match self.only {
            Some(kind) if type_url.is_empty() || type_url == kind.type_url() => Ok(Some(kind)),
            Some(kind) => Err(StreamError::OtherType {
                type_url: shortened(type_url),
                served: kind.type_url(),
            }),
            None if type_url.is_empty() => Err(StreamError::NoTypeUrl),
            None => Ok(Kind::from_type_url(type_url)),
        }
    }

    /// # Errors
    /// When a client subscribes to more names of a type than one may, or comes back with more.
    pub(super) fn within_limit(&self, kind: Kind, names: usize) -> Result<(), StreamError> {
        let limit = self.limits.names;
        if names <= limit {
            return Ok(());
        }
        Err(StreamError::TooManyNames {
            type_url: kind.type_url().to_owned(),
            names,
            limit,
        })
    }

    /// Takes the newest snapshot.
    pub(super) fn observe(&mut self, now: Duration, snapshot: &Arc<Snapshot>) {
        if Arc::ptr_eq(&self.seen, snapshot) {
            return;
        }
        let old = mem::replace(&mut self.seen, Arc::clone(snapshot));
        for kind in Kind::ALL {
            self.kinds[kind].observe(kind, &old, snapshot, now);
        }
    }

    pub(super) fn next_nonce(&mut self) -> u64 {
        self.nonce += 1;
        self.nonce
    }

    /// Sends what can be sent now. `respond` encodes a batch as responses of its variant.
    pub(super) fn push(
        &mut self,
        now: Duration,
        step: &mut Step,
        respond: impl Fn(&mut Self, Kind, Batch, &mut Step),
    ) {
        self.clusters_due = self.clusters_are_due();
        for kind in Kind::ALL {
            // Envoy asks for the load assignments of clusters that it takes, and says nothing of the clusters themselves
            // while one of them warms.
            let is_searching = kind == Kind::Cluster && self.kinds[kind].has_suspects();
            let asked = self.kinds[Kind::Endpoint].subscription.names();
            let taken = is_searching.then(|| asked.clone());
            self.kinds[kind].release_suspects(taken.as_ref());
            if traps::active(Trap::NextTypeWaitsForAck)
                && kind != Kind::Cluster
                && self.kinds[Kind::Cluster].is_in_flight()
            {
                continue;
            }
            if let Some(batch) = self.plan(kind, now, step) {
                self.follow(kind, &batch, now);
                respond(self, kind, batch, step);
            }
        }
        // Listeners and routes may have turned out to have nothing to say.
        for kind in [Kind::Cluster, Kind::Endpoint] {
            if let Some(batch) = self.plan(kind, now, step) {
                self.follow(kind, &batch, now);
                respond(self, kind, batch, step);
            }
        }
        debug_assert!(step.wake_at.is_none_or(|wake| wake > now), "time goes on");
    }

    /// What a type has to say now. What it will have to say later stays behind, and sets when to look again.
    #[expect(
        clippy::too_many_lines,
        reason = "one decision a name, and what follows from it"
    )]
    fn plan(&mut self, kind: Kind, now: Duration, step: &mut Step) -> Option<Batch> {
        if kind == Kind::Cluster && self.clusters_wait(now, step) {
            return None;
        }
        let ledger = &self.kinds[kind];
        if traps::active(Trap::AnswerWaitsForAllNames) && kind == Kind::Endpoint {
            let mut all = self.seen.resources(kind);
            if all.any(|resource| !ledger.subscription.matches(resource.name())) {
                return None;
            }
        }
        let answers = ledger.answer && !traps::active(Trap::EmptyAnswerIsNotSent);
        if !ledger.is_behind() {
            return answers.then(Batch::default);
        }
        let rules = Rules::of(self, kind, now);
        let ledger = &mut self.kinds[kind];
        if rules.asked_until.is_some() {
            ledger.write_out(kind, &self.seen);
        }
        let mut batch = Batch {
            sent: ledger.start(kind, &self.seen),
            absent: Vec::new(),
        };
        if ledger.behind.is_empty() {
            return (answers || !batch.sent.is_empty()).then_some(batch);
        }
        let mut answer = ledger.answer;
        let mut kept = Vec::new();
        let mut retry = None;
        let mut resources = self.seen.in_order(kind, ledger.behind.len());
        for (name, mut behind) in mem::take(&mut ledger.behind) {
            let resource = resources.get(&name);
            match rules.decide(&name, resource, &behind, ledger, &self.seen) {
                Decision::Even => {}
                Decision::Wait(until) => {
                    if let Some(until) = until {
                        wake(step, until);
                    }
                    kept.push((name, behind));
                }
                Decision::Retry(resource) => {
                    retry = retry.or(Some((resource, behind.has.clone())));
                    kept.push((name, behind));
                }
                Decision::Send(resource) => batch.sent.push(Sent {
                    resource,
                    prior: behind.has,
                }),
                Decision::SendOld(resource) => {
                    behind.owed = false;
                    let has = Has::Resource(Arc::clone(&resource));
                    let prior = mem::replace(&mut behind.has, has);
                    batch.sent.push(Sent { resource, prior });
                    kept.push((name, behind));
                    answer = true;
                }
                Decision::LeftAsItIs => {
                    // Whatever turns out to be there is its answer, also what it may have had.
                    (behind.owed, behind.has) = (false, Has::Unknown);
                    kept.push((name, behind));
                }
                Decision::Absent => batch.absent.push((name, behind.has)),
                Decision::AbsentForNow => {
                    behind.owed = false;
                    let has = mem::take(&mut behind.has);
                    batch.absent.push((Arc::clone(&name), has));
                    kept.push((name, behind));
                }
            }
        }
        ledger.behind = kept.into_iter().collect();
        if batch.sent.is_empty() && batch.absent.is_empty() && !answer {
            // A rejected resource is tried again by itself, so that it takes no other down with it.
            let (resource, prior) = retry.filter(|_| !ledger.is_in_flight())?;
            ledger.behind.remove(resource.name());
            batch.sent.push(Sent { resource, prior });
        }
        Some(batch)
    }

    /// What follows from a batch for other types: a cluster that is sent is followed by its load assignment.
    fn follow(&mut self, kind: Kind, batch: &Batch, now: Duration) {
        if traps::active(Trap::RemovalUnsubscribes) {
            let absent = batch.absent.iter().map(|(name, _)| name.to_string());
            let absent: Vec<_> = absent.collect();
            let subscription = &mut self.kinds[kind].subscription;
            drop(subscription.update(kind, &[], &absent, &self.seen, &self.names));
        }
        let absent = batch.absent.iter().map(|(name, _)| name);
        match kind {
            Kind::Cluster => {
                self.uncover(batch.sent.iter().map(|sent| sent.resource.name()), now);
                self.uncovered.remove_all(absent);
            }
            Kind::Endpoint if !self.uncovered.is_empty() => {
                let sent = batch.sent.iter().map(|sent| sent.resource.name());
                self.uncovered.remove_all(sent);
                self.uncovered.remove_all(absent);
            }
            _ => {}
        }
    }

    /// Takes a NACK. A new cluster that is rejected for itself is not there, and no load assignment follows it; one that
    /// is yet to be tried again will be there, whatever has been sent of its endpoints.
    pub(super) fn reject(&mut self, nack: &Nack<'_>, now: Duration) -> Event {
        let ledger = &mut self.kinds[nack.kind];
        let event = ledger.reject(nack, &self.seen, now);
        if let (Kind::Cluster, Event::Rejected { resources, .. }) = (nack.kind, &event) {
            let mut missing: Vec<_> = resources.iter().filter(|name| ledger.lacks(name)).collect();
            missing.sort_unstable();
            self.uncovered.remove_all(missing.into_iter());
            let deferred = ledger.deferred_and_missing();
            self.add_uncovered(deferred.iter(), now);
        }
        event
    }

    /// Notes that a load assignment is to follow each of these clusters, which are sorted.
    pub(super) fn uncover<'a>(
        &mut self,
        clusters: impl ExactSizeIterator<Item = &'a ResourceName> + Clone,
        now: Duration,
    ) {
        if traps::active(Trap::EndpointsDoNotFollow) {
            return;
        }
        self.add_uncovered(clusters.clone(), now);
        let (kind, seen) = (Kind::Endpoint, &self.seen);
        let endpoints = &mut self.kinds[kind];
        if endpoints.subscription.is_asked() {
            for name in clusters {
                // One that is gone from the mesh is in use until it goes, with the endpoints that it has.
                let is_there = seen.get(Kind::Cluster, name).is_some();
                if is_there && endpoints.subscription.matches(name) {
                    endpoints.owe(kind, name, seen, now);
                }
            }
        }
    }

    /// Adds those of these clusters, which are sorted, that a load assignment can follow.
    fn add_uncovered<'a>(
        &mut self,
        clusters: impl ExactSizeIterator<Item = &'a ResourceName>,
        now: Duration,
    ) {
        let (kind, seen) = (Kind::Endpoint, &self.seen);
        let mut assignments = seen.in_order(kind, clusters.len());
        let can_follow =
            |name: &&ResourceName| assignments.get(name).is_some() || seen.is_withheld(kind, name);
        // Where clusters are the only type, none of them ever follows.
        if self.only.is_none() {
            self.uncovered.add(clusters.filter(can_follow), now);
        }
    }

    /// Notes that every load assignment is to be sent again.
    pub(super) fn uncover_all(&mut self, now: Duration) {
        let clusters = self.seen.resources(Kind::Cluster);
        let names: Vec<_> = clusters.map(|cluster| Arc::clone(cluster.name())).collect();
        self.uncover(names.iter(), now);
    }

    /// Whether a cluster was sent on this stream and its load assignment not after it.
    pub(super) fn is_uncovered(&self, name: &str) -> bool {
        self.uncovered.contains(name)
    }

    pub(super) fn held(&self) -> Vec<Held> {
        let kinds = self.kinds.iter();
        kinds
            .flat_map(|(kind, ledger)| ledger.held(kind, &self.seen))
            .collect()
    }

    pub(super) fn status(&self) -> StreamStatus {
        let mut status = StreamStatus::default();
        for (kind, ledger) in self.kinds.iter() {
            status.kinds[kind] = ledger.status(kind, &self.seen);
        }
        status
    }
}

fn wake(step: &mut Step, at: Duration) {
    step.wake_at = Some(step.wake_at.map_or(at, |known| known.min(at)));
}
