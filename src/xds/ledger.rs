//! What a client was sent of one type, and how that differs from the newest snapshot.
//!
//! A stream does not keep a list of what its client has: for all but a few names that is what the snapshot says, which
//! all streams share. Only the differences are kept.
//!
//! **Invariant:** a subscribed name that is not `behind` is, at the client, what the newest seen snapshot says of it.
//! "At the client" means sent; whether it was accepted is told by `in_flight`, which remembers what each unanswered
//! response replaced.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::quarantine::{Quarantine, blamed};
use super::subscription::{Change, Subscription};
use crate::snapshot::{Kind, Resource, ResourceName, Snapshot, Version};
use crate::xds::{Backoff, Event, KindStatus};

/// Envoy withholds the ACKs of clusters while one warms, so responses pile up; of older ones only the count is known.
const IN_FLIGHT: usize = 32;

#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) subscription: Subscription,
    pub(super) behind: BTreeMap<ResourceName, Behind>,
    pub(super) quarantine: Quarantine,
    /// The newest request must be answered even if there is nothing to send.
    pub(super) answer: bool,
    /// The client came with resources of an earlier stream.
    pub(super) reconnected: bool,
    /// Oldest first.
    in_flight: VecDeque<InFlight>,
    /// Resources of responses that were rejected without a name, in groups that are tried one after the other.
    suspects: VecDeque<Vec<ResourceName>>,
    newest_nonce: Option<u64>,
    sent: Option<Version>,
    acked: Option<Version>,
}

/// What a client has of one name.
#[derive(Clone, Debug, Default)]
pub(super) enum Has {
    #[default]
    Nothing,
    /// Something from an earlier stream, that is not what the snapshot has.
    Unknown,
    Resource(Arc<Resource>),
}

impl Has {
    pub(super) fn is(&self, version: Version) -> bool {
        matches!(self, Self::Resource(resource) if resource.version() == version)
    }

    fn of(resource: Option<&Arc<Resource>>) -> Self {
        resource.map_or(Self::Nothing, |resource| Self::Resource(resource.clone()))
    }
}

/// A name of which the client has something else than the snapshot, or waits for an answer.
#[derive(Clone, Debug)]
pub(super) struct Behind {
    pub(super) has: Has,
    /// It is to be sent, or said to be absent, even if the client has it.
    pub(super) owed: bool,
    pub(super) since: Duration,
    /// It waits until others of a rejected response have been tried.
    pub(super) deferred: bool,
}

/// A resource on its way to the client, and what the client has if it rejects it.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) resource: Arc<Resource>,
    pub(super) prior: Has,
}

#[derive(Debug)]
struct InFlight {
    nonce: u64,
    at: Duration,
    version: Version,
    sent: Vec<Sent>,
}

impl Ledger {
    /// Notes what a new snapshot changes. `old` is the one seen before.
    pub(super) fn observe(&mut self, kind: Kind, old: &Snapshot, new: &Snapshot, now: Duration) {
        if !self.subscription.is_asked() || new.same(old, kind) {
            return;
        }
        for name in new.changed_since(old, kind) {
            if !self.subscription.matches(&name) {
                continue;
            }
            self.quarantine.release(&name);
            let gone = new.get(kind, &name).is_none() && !new.is_withheld(kind, &name);
            let behind = self.behind.entry(name).or_insert_with_key(|name| Behind {
                has: Has::of(old.get(kind, name)),
                owed: false,
                since: now,
                deferred: false,
            });
            behind.deferred = false;
            if gone && !behind.owed {
                behind.since = now;
            }
        }
    }

    /// Notes that a subscribed name is to be sent even if the client has it.
    pub(super) fn owe(&mut self, kind: Kind, name: &ResourceName, seen: &Snapshot, now: Duration) {
        let has = || Has::of(seen.get(kind, name));
        self.owe_with(name, has, now);
    }

    fn owe_with(&mut self, name: &ResourceName, has: impl FnOnce() -> Has, now: Duration) {
        let behind = self.behind.entry(name.clone()).or_insert_with(|| Behind {
            has: has(),
            owed: false,
            since: now,
            deferred: false,
        });
        if !behind.owed {
            (behind.owed, behind.since) = (true, now);
        }
        behind.deferred = false;
    }

    /// Takes what a request changed in the subscription.
    pub(super) fn resubscribe(
        &mut self,
        kind: Kind,
        change: &Change,
        seen: &Snapshot,
        now: Duration,
    ) {
        if change.narrowed {
            let subscription = &self.subscription;
            self.behind.retain(|name, _| subscription.matches(name));
        }
        for name in &change.dropped {
            if self.subscription.is_wildcard() {
                // The client forgets what it may still have by the wildcard (xDS protocol, "Unsubscribing").
                self.owe(kind, name, seen, now);
            } else {
                self.behind.remove(name);
                self.quarantine.release(name);
            }
        }
        if change.wildcard {
            self.answer = true;
            let names = &change.added;
            let had = |name: &ResourceName| {
                self.subscription.names().contains(name) && !names.contains(name)
            };
            let all: Vec<_> = seen
                .resources(kind)
                .filter(|resource| !had(resource.name()))
                .map(|resource| resource.name().clone())
                .collect();
            if self.behind.is_empty() {
                self.behind = all
                    .into_iter()
                    .map(|name| (name, Behind::owed(now)))
                    .collect();
            } else {
                all.iter()
                    .for_each(|name| self.owe_with(name, Has::default, now));
            }
        }
        change
            .added
            .iter()
            .for_each(|name| self.owe_with(name, Has::default, now));
        change
            .repeated
            .iter()
            .for_each(|name| self.owe(kind, name, seen, now));
    }

    /// Marks everything that is subscribed as to be sent again.
    pub(super) fn owe_all(&mut self, kind: Kind, seen: &Snapshot, now: Duration) {
        self.answer = true;
        let mut names: Vec<_> = self.subscription.names().iter().cloned().collect();
        if self.subscription.is_wildcard() {
            names.extend(seen.resources(kind).map(|resource| resource.name().clone()));
        }
        names
            .iter()
            .for_each(|name| self.owe(kind, name, seen, now));
    }

    /// Notes a response that is about to be sent.
    pub(super) fn sending(&mut self, nonce: u64, version: Version, sent: Vec<Sent>, now: Duration) {
        if self.in_flight.len() >= IN_FLIGHT {
            self.in_flight.pop_front();
        }
        self.in_flight.push_back(InFlight {
            nonce,
            at: now,
            version,
            sent,
        });
        (self.newest_nonce, self.sent, self.answer) = (Some(nonce), Some(version), false);
    }

    pub(super) fn newest_nonce(&self) -> Option<u64> {
        self.newest_nonce
    }

    /// Whether a response awaits its ACK or NACK.
    pub(super) fn awaits(&self, nonce: Option<u64>) -> bool {
        self.in_flight
            .iter()
            .any(|response| Some(response.nonce) == nonce)
    }

    pub(super) fn is_in_flight(&self) -> bool {
        !self.in_flight.is_empty()
    }

    /// Takes the ACK of a response, and with `cumulative` of all before it.
    pub(super) fn acknowledge(
        &mut self,
        kind: Kind,
        nonce: u64,
        cumulative: bool,
        now: Duration,
    ) -> Option<Event> {
        let responses = self.settle(nonce, cumulative);
        let newest = responses.last()?;
        self.acked = Some(newest.version);
        let after = now.saturating_sub(newest.at);
        for sent in responses.iter().flat_map(|response| &response.sent) {
            self.quarantine
                .accept(sent.resource.name(), sent.resource.version());
        }
        if self.in_flight.is_empty() && self.suspects.is_empty() {
            self.quarantine.all_settled();
        }
        Some(Event::Acked { kind, after })
    }

    /// Takes a response, and with `cumulative` all before it, out of what is in flight.
    fn settle(&mut self, nonce: u64, cumulative: bool) -> Vec<InFlight> {
        let Ok(place) = self
            .in_flight
            .binary_search_by_key(&nonce, |response| response.nonce)
        else {
            return Vec::new();
        };
        if cumulative {
            self.in_flight.drain(..=place).collect()
        } else {
            self.in_flight.remove(place).into_iter().collect()
        }
    }

    /// Takes a NACK. The client has of the response's resources what it had before.
    pub(super) fn reject(&mut self, nack: &Nack<'_>, seen: &Snapshot, now: Duration) -> Event {
        let responses = self.settle(nack.nonce.unwrap_or_default(), nack.cumulative);
        let sent = merged(responses);
        let names: Vec<_> = sent
            .iter()
            .map(|sent| sent.resource.name().clone())
            .collect();
        let bad = match names.as_slice() {
            [only] => vec![only.clone()],
            _ => blamed(nack.message, &names),
        };
        if bad.is_empty() {
            self.quarantine.reject_unnamed(nack.message, now);
        }
        let mut suspects = Vec::new();
        for sent in &sent {
            let (name, version) = (sent.resource.name(), sent.resource.version());
            if !self.subscription.matches(name) {
                continue;
            }
            if bad.contains(name) {
                self.quarantine
                    .reject(name, version, nack.message, now, nack.backoff);
            }
            if !self.take_back(nack.kind, sent, seen, now) {
                continue;
            }
            if bad.is_empty() {
                suspects.push(name.clone());
            } else if !bad.contains(name) {
                // Envoy applies them, but lists them as not accepted until they are (measured on Envoy 1.40).
                self.owe(nack.kind, name, seen, now);
            }
        }
        self.defer_half(suspects, now);
        Event::Rejected {
            kind: nack.kind,
            nonce: nack
                .nonce
                .map(|nonce| nonce.to_string())
                .unwrap_or_default(),
            message: nack.message.to_owned(),
            resources: bad,
        }
    }

    /// Whether the client has, for all that is known, what it had before a resource that it rejected.
    fn take_back(&mut self, kind: Kind, sent: &Sent, seen: &Snapshot, now: Duration) -> bool {
        let (name, version) = (sent.resource.name(), sent.resource.version());
        for later in self.in_flight.iter_mut().flat_map(|later| &mut later.sent) {
            if later.resource.name() == name && later.prior.is(version) {
                later.prior = sent.prior.clone();
            }
        }
        if let Some(behind) = self.behind.get_mut(name) {
            let is_newest = behind.has.is(version);
            if is_newest {
                behind.has = sent.prior.clone();
            }
            return is_newest;
        }
        let is_newest = seen
            .get(kind, name)
            .is_some_and(|current| current.version() == version);
        if is_newest {
            let behind = Behind {
                has: sent.prior.clone(),
                owed: false,
                since: now,
                deferred: false,
            };
            self.behind.insert(name.clone(), behind);
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
    }

    /// Lets the next group of suspects be tried once nothing else is under trial.
    pub(super) fn release_suspects(&mut self) {
        while self.in_flight.is_empty() && !self.behind.values().any(Behind::is_trial) {
            let Some(group) = self.suspects.pop_front() else {
                return;
            };
            for name in group {
                if let Some(behind) = self.behind.get_mut(&name).filter(|behind| behind.deferred) {
                    (behind.deferred, behind.owed) = (false, true);
                }
            }
        }
    }

    /// How the stream stands with the type. Costs a look at each subscribed name.
    pub(super) fn status(&self, kind: Kind, seen: &Snapshot) -> KindStatus {
        let has = |name: &str| match self.behind.get(name) {
            Some(behind) => !matches!(behind.has, Has::Nothing),
            None => seen.get(kind, name).is_some(),
        };
        let wildcard = self.subscription.is_wildcard();
        let current = seen.resources(kind).filter(|_| wildcard);
        let past = self
            .behind
            .keys()
            .filter(|name| wildcard && seen.get(kind, name).is_none());
        let named = self.subscription.names().iter().filter(|_| !wildcard);
        let names = current
            .map(|resource| resource.name())
            .chain(past)
            .chain(named);
        KindStatus {
            subscribed: wildcard || !self.subscription.names().is_empty(),
            resources: names.filter(|name| has(name)).count(),
            sent: self.sent,
            acked: self.acked,
            pending_since: self.in_flight.front().map(|response| response.at),
            rejections: self.quarantine.rejections(),
        }
    }
}

impl Behind {
    fn owed(since: Duration) -> Self {
        Self {
            has: Has::Nothing,
            owed: true,
            since,
            deferred: false,
        }
    }

    /// It is about to be sent.
    fn is_trial(&self) -> bool {
        self.owed && !self.deferred
    }
}

/// What is said in a NACK.
#[derive(Debug)]
pub(super) struct Nack<'a> {
    pub(super) kind: Kind,
    /// `None` for a nonce that this stream never sent.
    pub(super) nonce: Option<u64>,
    pub(super) message: &'a str,
    /// Whether the response held all that the ones before it did.
    pub(super) cumulative: bool,
    pub(super) backoff: Backoff,
}

/// The newest of each resource, with what the client had before the oldest.
fn merged(responses: Vec<InFlight>) -> Vec<Sent> {
    let mut places: HashMap<ResourceName, usize> = HashMap::new();
    let mut all: Vec<Sent> = Vec::new();
    let several = responses.len() > 1;
    for sent in responses.into_iter().flat_map(|response| response.sent) {
        if !several {
            all.push(sent);
            continue;
        }
        let place = *places
            .entry(sent.resource.name().clone())
            .or_insert(all.len());
        match all.get_mut(place) {
            Some(known) => known.resource = sent.resource,
            None => all.push(sent),
        }
    }
    all
}
