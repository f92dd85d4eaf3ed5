//! What a NACK does to a ledger: the blamed resources are quarantined, the others sent again, applied or not.
//!
//! Where the client blames nothing (Envoy, of a message that fails validation), the blame is found by halves: one half
//! is sent by itself, the other waits for the verdict. A single resource needs no blame.

use std::collections::{HashMap, HashSet};
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use super::{Behind, Has, InFlight, Ledger, Sent};
use crate::snapshot::{Kind, Resource, ResourceName, Snapshot};
use crate::xds::names::NameSet;
use crate::xds::quarantine::{blamed, shortened};
use crate::xds::traps::{self, Trap};
use crate::xds::{Backoff, Event, wire};

/// What is said in a NACK.
#[derive(Debug)]
pub(in crate::xds) struct Nack<'a> {
    pub(in crate::xds) kind: Kind,
    /// `None` for a nonce that this stream never sent.
    pub(in crate::xds) nonce: Option<u64>,
    pub(in crate::xds) message: &'a str,
    /// Whether it is about the unanswered responses before it, too.
    pub(in crate::xds) cumulative: bool,
    pub(in crate::xds) backoff: Backoff,
}

impl Ledger {
    /// Takes a NACK. The client has of the blamed resources what it had before, and of the others that or what was sent.
    pub(in crate::xds) fn reject(
        &mut self,
        nack: &Nack<'_>,
        seen: &Snapshot,
        now: Duration,
    ) -> Event {
        self.write_out(nack.kind, seen);
        let responses = self.settle(nack.nonce.unwrap_or_default(), nack.cumulative);
        let (sent, absent) = merged(responses);
        let mut sent = self.take_back_restated(nack, sent, seen, now);
        if traps::active(Trap::RejectedCountsAsDelivered) {
            sent.clear();
        }
        let bad = self.blame(nack, &sent);
        let is_bad: HashSet<&ResourceName> = bad.iter().collect();
        if bad.is_empty() {
            self.quarantine.reject_unnamed(nack.message, now);
        }
        let message: Arc<str> = shortened(nack.message).into();
        let mut suspects = Vec::new();
        for sent in &sent {
            let (name, version) = (sent.resource.name(), sent.resource.version());
            if !self.subscription.matches(name) {
                continue;
            }
            if is_bad.contains(name) {
                let newest = seen.get(nack.kind, name).map(|newest| newest.version());
                self.quarantine
                    .reject(name, version, newest, &message, now, nack.backoff);
            }
            let is_open = !bad.is_empty() && !is_bad.contains(name);
            let prior = sent.prior.clone();
            let has = if is_open {
                prior.or(&sent.resource)
            } else {
                prior.but_for(version)
            };
            let is_newest = self.take_back(nack, &sent.resource, has, seen, now);
            // Not applied, or applied and listed as not accepted until they are (measured on Envoy 1.40). Of load
            // assignments, those after the first bad one are not applied either way, and a cluster warms until they come
            // again, though they be gone from the mesh.
            let is_wanted = !nack.kind.is_wildcard() || seen.get(nack.kind, name).is_some();
            if is_newest && is_open && is_wanted {
                self.owe_with(name, Has::default, now);
            } else if is_newest && bad.is_empty() {
                suspects.push(Arc::clone(name));
            }
        }
        self.defer_half(suspects, now);
        if !bad.is_empty() && self.in_flight.is_empty() && self.suspects.is_empty() {
            self.quarantine.all_settled();
        }
        // Nothing of this stream was ever accepted: what went before it came is gone only with an answer that is.
        let is_whole = nack.cumulative && nack.kind.is_wildcard();
        self.answer |= is_whole && !bad.is_empty() && self.acked.is_none();
        // What was said to be absent was not heard. A response of nothing else is not repeated, or it would be for ever.
        for (name, has) in absent.into_iter().filter(|_| !sent.is_empty()) {
            if self.subscription.matches(&name) {
                self.owe_with(&name, || has, now);
            }
        }
        Event::Rejected {
            kind: nack.kind,
            nonce: nack.nonce.map(wire::nonce).unwrap_or_default(),
            message: shortened(nack.message),
            resources: bad,
        }
    }

    /// Takes back what was said again of what the client had accepted, which is not to blame; the rest is returned.
    fn take_back_restated(
        &mut self,
        nack: &Nack<'_>,
        sent: Vec<Sent>,
        seen: &Snapshot,
        now: Duration,
    ) -> Vec<Sent> {
        let is_restated = |sent: &Sent| {
            let newest = seen.get(nack.kind, sent.resource.name());
            let is_newest = newest.is_some_and(|it| it.version() == sent.resource.version());
            nack.kind.is_wildcard() && !is_newest && sent.prior.was(&sent.resource)
        };
        let (restated, rest): (Vec<_>, Vec<_>) = sent.into_iter().partition(is_restated);
        for Sent { resource, prior } in restated {
            self.take_back(nack, &resource, prior, seen, now);
        }
        rest
    }

    /// Which of what was sent a NACK is about.
    fn blame(&self, nack: &Nack<'_>, sent: &[Sent]) -> Vec<ResourceName> {
        let name = |sent: &Sent| Arc::clone(sent.resource.name());
        let names: Vec<_> = sent.iter().map(name).collect();
        let bad = match names.as_slice() {
            [only] => vec![Arc::clone(only)],
            _ => blamed(nack.message, &names),
        };
        if !bad.is_empty() {
            return bad;
        }
        // What it rejected before needs no words.
        let is_known = |sent: &&Sent| {
            let version = sent.resource.version();
            let known = self.quarantine.until(sent.resource.name(), version);
            known.is_some()
        };
        sent.iter().filter(is_known).map(name).collect()
    }

    /// Whether it is certain that the client has nothing of a name that it rejected.
    pub(in crate::xds) fn lacks(&self, name: &str) -> bool {
        let behind = self.behind.get(name);
        behind.is_some_and(|behind| behind.has.is_nothing())
    }

    /// What waits until others have been tried, and the client does not have, sorted.
    pub(in crate::xds) fn deferred_and_missing(&self) -> Vec<ResourceName> {
        let deferred = self.behind.iter().filter(|(_, behind)| behind.deferred);
        let missing = deferred.filter(|(_, behind)| behind.has.is_nothing());
        missing.map(|(name, _)| Arc::clone(name)).collect()
    }

    /// What a whole response says of names of which it was open what the client has: it has that now.
    pub(in crate::xds) fn restate(&mut self) -> Vec<Sent> {
        let waiting = self.behind.values_mut().filter(|behind| !behind.deferred);
        let open = waiting.filter(|behind| matches!(behind.has, Has::Either(_)));
        let restated = open.filter_map(|behind| {
            let resource = Arc::clone(behind.has.fallback()?);
            let prior = mem::replace(&mut behind.has, Has::Resource(Arc::clone(&resource)));
            Some(Sent { resource, prior })
        });
        restated.collect()
    }

    /// Whether what a response sent of a name is the newest that was sent of it.
    fn is_newest(&self, nack: &Nack<'_>, resource: &Resource, seen: &Snapshot) -> bool {
        let (name, version) = (resource.name(), resource.version());
        let mut later = self
            .in_flight
            .iter()
            .filter(|later| Some(later.nonce) > nack.nonce);
        !later.any(|later| {
            later
                .batch
                .sent
                .iter()
                .any(|sent| sent.resource.name() == name)
        }) && match self.behind.get(name) {
            Some(behind) => behind.has.is(version),
            None => seen
                .get(nack.kind, name)
                .is_some_and(|now| now.version() == version),
        }
    }

    /// Notes that the client has this of the name of a resource whose response it rejected. Says whether nothing newer
    /// was sent.
    fn take_back(
        &mut self,
        nack: &Nack<'_>,
        resource: &Resource,
        has: Has,
        seen: &Snapshot,
        now: Duration,
    ) -> bool {
        let name = resource.name();
        let is_newest = self.is_newest(nack, resource, seen);
        let mut later = self
            .in_flight
            .iter_mut()
            .filter(|later| Some(later.nonce) > nack.nonce);
        // What replaced the rejected one has replaced what was there before.
        let replaced = later.find_map(|later| later.batch.prior_mut(name));
        if let Some(prior) = replaced.filter(|prior| prior.is(resource.version())) {
            prior.clone_from(&has);
        }
        if is_newest {
            let behind = self
                .behind
                .entry(Arc::clone(name))
                .or_insert_with(|| Behind {
                    has: Has::Nothing,
                    owed: false,
                    since: now,
                    deferred: false,
                });
            behind.has = has;
        }
        is_newest
    }

    /// A rejection that blames nothing is narrowed down by halves: one is sent by itself, the other waits.
    fn defer_half(&mut self, mut suspects: Vec<ResourceName>, now: Duration) {
        if suspects.is_empty() {
            return;
        }
        let later = suspects.split_off(suspects.len().div_ceil(2));
        for name in &later {
            if let Some(behind) = self.behind.get_mut(name) {
                behind.deferred = true;
            }
        }
        if !later.is_empty() {
            self.suspects.push_front(later);
        }
        for name in &suspects {
            self.owe_with(name, Has::default, now);
        }
        self.on_trial.extend(suspects);
    }

    /// Whether some resources of a rejected response are yet to be tried.
    pub(in crate::xds) fn has_suspects(&self) -> bool {
        !self.suspects.is_empty()
    }

    /// Lets the next group of suspects be tried once the verdict on the one before is known, or that the client has
    /// `taken` what is in it. Nothing else holds it up.
    pub(in crate::xds) fn release_suspects(&mut self, taken: Option<&NameSet>) {
        if self.suspects.is_empty() {
            self.on_trial.clear();
            return;
        }
        let behind = &self.behind;
        let is_due = |name: &ResourceName| {
            let behind = behind.get(name);
            behind.is_some_and(|behind| behind.owed && !behind.deferred)
        };
        self.on_trial.retain(is_due);
        let is_taken = |name: &str| taken.is_some_and(|taken| taken.contains(name));
        let is_open = |sent: &Sent| !(sent.prior.is_nothing() && is_taken(sent.resource.name()));
        let mut on_trial = self.in_flight.iter().filter(|response| response.is_trial);
        let is_on_trial = on_trial.any(|response| response.batch.sent.iter().any(is_open));
        while self.on_trial.is_empty() && !is_on_trial {
            let Some(group) = self.suspects.pop_front() else {
                return;
            };
            for name in group {
                if let Some(behind) = self.behind.get_mut(&name).filter(|behind| behind.deferred) {
                    (behind.deferred, behind.owed) = (false, true);
                    self.on_trial.insert(name);
                }
            }
        }
    }
}

/// The newest of each resource, with what the client had before the oldest, and what was absent.
fn merged(responses: Vec<InFlight>) -> (Vec<Sent>, Vec<(ResourceName, Has)>) {
    let mut places: HashMap<ResourceName, usize> = HashMap::new();
    let (mut all, mut absent): (Vec<Sent>, _) = (Vec::new(), Vec::new());
    let several = responses.len() > 1;
    for batch in responses.into_iter().map(|response| response.batch) {
        absent.extend(batch.absent);
        if !several {
            return (batch.sent, absent);
        }
        for sent in batch.sent {
            let name = Arc::clone(sent.resource.name());
            let place = *places.entry(name).or_insert(all.len());
            match all.get_mut(place) {
                Some(known) => {
                    // The client may have applied the older one, as part of a response that it rejected for another.
                    if known.resource.version() != sent.resource.version() {
                        known.prior = mem::take(&mut known.prior).or(&known.resource);
                    }
                    known.resource = sent.resource;
                }
                None => all.push(sent),
            }
        }
    }
    (all, absent)
}
