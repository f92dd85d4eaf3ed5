//! What a client was sent of one type, and how that differs from the newest snapshot.
//!
//! A stream does not keep a list of what its client has: for all but a few names that is what the snapshot says, which
//! all streams share. Only the differences are kept.
//!
//! **Invariant:** a subscribed name that is not `behind` is, at the client, what the newest seen snapshot says of it.
//! "At the client" means sent; whether it was accepted is told by `in_flight`, which remembers what each unanswered
//! response replaced.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::quarantine::Quarantine;
use super::subscription::{Change, Subscription};
use super::traps::{self, Trap};
use crate::snapshot::{Kind, Resource, ResourceName, Snapshot, Version};
use crate::xds::{Event, KindStatus};

mod held;
mod rejection;

pub(super) use rejection::Nack;

/// Envoy withholds the ACKs of clusters while one warms, so responses pile up; of older ones only the count is known.
const IN_FLIGHT: usize = 32;

#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) subscription: Subscription,
    /// The client asked for the first time: whatever is subscribed is behind, each name as this says. It is written out
    /// name by name only if something happens before the answer is sent.
    fresh: Option<Behind>,
    pub(super) behind: BTreeMap<ResourceName, Behind>,
    pub(super) quarantine: Quarantine,
    /// The newest request must be answered even if there is nothing to send.
    pub(super) answer: bool,
    /// The client came with the version of an earlier stream, which does not say what it has of it.
    pub(super) may_have_unknown: bool,
    /// The client came with resources of an earlier stream, of which it may need none.
    pub(super) resumed: bool,
    /// Oldest first.
    in_flight: VecDeque<InFlight>,
    /// Resources of responses that were rejected without a name, in groups that are tried one after the other.
    suspects: VecDeque<Vec<ResourceName>>,
    /// Those of them that are about to be sent.
    on_trial: BTreeSet<ResourceName>,
    newest_nonce: Option<u64>,
    /// State of the world: the version that the client named last.
    pub(super) named: Option<Version>,
    /// How many of the subscribed names the newest seen snapshot has.
    present: usize,
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
    /// This version, from an earlier stream.
    Version(Version),
    Resource(Arc<Resource>),
}

impl Has {
    pub(super) fn is(&self, version: Version) -> bool {
        match self {
            Self::Resource(resource) => resource.version() == version,
            Self::Version(held) => *held == version,
            Self::Nothing | Self::Unknown => false,
        }
    }

    fn of(resource: Option<&Arc<Resource>>) -> Self {
        resource.map_or(Self::Nothing, |resource| {
            Self::Resource(Arc::clone(resource))
        })
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

/// What one response says.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) sent: Vec<Sent>,
    /// Names that the client has and is to lose, or asked for in vain, and what it has of them.
    pub(super) absent: Vec<(ResourceName, Has)>,
}

impl Batch {
    /// What the client had of a name before this response.
    fn prior_mut(&mut self, name: &str) -> Option<&mut Has> {
        let mut sent = self.sent.iter_mut();
        if let Some(sent) = sent.find(|sent| &**sent.resource.name() == name) {
            return Some(&mut sent.prior);
        }
        let mut absent = self.absent.iter_mut();
        absent
            .find(|(absent, _)| &**absent == name)
            .map(|(_, has)| has)
    }
}

#[derive(Debug)]
struct InFlight {
    nonce: u64,
    at: Duration,
    version: Version,
    /// It holds suspects of a rejected response.
    is_trial: bool,
    batch: Batch,
}

impl Ledger {
    /// Notes what a new snapshot changes. `old` is the one seen before.
    pub(super) fn observe(&mut self, kind: Kind, old: &Snapshot, new: &Snapshot, now: Duration) {
        if !self.subscription.is_asked() || new.same(old, kind) {
            return;
        }
        self.write_out(kind, old, |_| true);
        for name in new.changed_since(old, kind) {
            if !self.subscription.matches(&name) {
                continue;
            }
            if self.subscription.names().contains(&name) {
                let is_there =
                    |snapshot: &Snapshot| usize::from(snapshot.get(kind, &name).is_some());
                self.present = self.present + is_there(new) - is_there(old);
            }
            let was_rejected = self.quarantine.release(&name);
            let gone = new.get(kind, &name).is_none() && !new.is_withheld(kind, &name);
            let behind = self
                .behind
                .entry(Arc::clone(&name))
                .or_insert_with(|| Behind {
                    has: Has::of(old.get(kind, &name)),
                    owed: false,
                    since: now,
                    deferred: false,
                });
            behind.deferred = false;
            // It was left as it is, because there would be one; now the client must be told that there is none.
            if gone && old.is_withheld(kind, &name) && matches!(behind.has, Has::Unknown) {
                behind.owed = true;
            }
            // What a resource waited for as long as it was rejected does not count for its new content.
            if (gone || was_rejected) && !behind.owed {
                behind.since = now;
            }
        }
    }

    /// Notes that a subscribed name is to be sent even if the client has it.
    pub(super) fn owe(&mut self, kind: Kind, name: &ResourceName, seen: &Snapshot, now: Duration) {
        self.write_out(kind, seen, |_| true);
        let has = || Has::of(seen.get(kind, name));
        self.owe_with(name, has, now);
    }

    fn owe_with(&mut self, name: &ResourceName, has: impl FnOnce() -> Has, now: Duration) {
        let behind = self
            .behind
            .entry(Arc::clone(name))
            .or_insert_with(|| Behind {
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

    /// Takes what a request changed in the subscription. What was behind before must be written out ([`Self::write_out`]).
    pub(super) fn resubscribe(
        &mut self,
        kind: Kind,
        change: &Change,
        seen: &Snapshot,
        now: Duration,
    ) {
        self.count_present(kind, change, seen);
        if change.first {
            self.answer |= change.wildcard;
            self.fresh = Some(Behind::owed(now));
            return;
        }
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
            let named = self.subscription.names().clone();
            let had = |name: &ResourceName| named.contains(name) && !names.contains(name);
            let current = seen.resources(kind).map(|resource| resource.name());
            for name in current.filter(|name| !had(name)) {
                self.owe_with(name, Has::default, now);
            }
        }
        for name in &change.added {
            self.owe_with(name, Has::default, now);
        }
        let is_heard = |_: &&ResourceName| !traps::active(Trap::RepeatedNameIsNotAnswered);
        for name in change.repeated.iter().filter(is_heard) {
            self.owe(kind, name, seen, now);
        }
    }

    /// Notes that a client that asks for the first time may have anything of it from an earlier stream.
    pub(super) fn may_have_any(&mut self) {
        if let Some(fresh) = &mut self.fresh {
            fresh.has = Has::Unknown;
        }
    }

    /// Begins the answer to a first request: what there is, sorted. What there is not is left behind, name by name.
    pub(super) fn start(&mut self, kind: Kind, seen: &Snapshot) -> Vec<Sent> {
        let Some(fresh) = self.fresh.take() else {
            return Vec::new();
        };
        let send = |resource: &Arc<Resource>| Sent {
            resource: Arc::clone(resource),
            prior: fresh.has.clone(),
        };
        let names = self.subscription.names();
        let mut resources = seen.in_order(kind, names.len());
        let mut sent = Vec::new();
        for name in names.iter() {
            match resources.get(name) {
                Some(resource) => sent.push(send(resource)),
                None => drop(self.behind.insert(Arc::clone(name), fresh.clone())),
            }
        }
        if self.subscription.is_wildcard() {
            sent = seen.resources(kind).map(send).collect();
        }
        sent
    }

    /// Writes out name by name that what is subscribed is behind: those names of which `is_behind` says so.
    pub(super) fn write_out(
        &mut self,
        kind: Kind,
        seen: &Snapshot,
        is_behind: impl Fn(&str) -> bool,
    ) {
        let Some(fresh) = self.fresh.take() else {
            return;
        };
        let everything = self
            .subscription
            .is_wildcard()
            .then(|| seen.resources(kind));
        let everything = everything.into_iter().flatten();
        let current = everything.map(|resource| resource.name());
        let names = self.subscription.names().iter().chain(current);
        let names = names.filter(|name| is_behind(name));
        self.behind = names
            .map(|name| (Arc::clone(name), fresh.clone()))
            .collect();
    }

    pub(super) fn is_behind(&self) -> bool {
        self.fresh.is_some() || !self.behind.is_empty()
    }

    /// Whether the client lacks anything among the names of which `counts` says so.
    pub(super) fn is_any_behind(&self, counts: impl Fn(&str) -> bool) -> bool {
        if self.fresh.is_some() {
            return self.subscription.is_wildcard()
                || self.subscription.names().iter().any(|name| counts(name));
        }
        self.behind.keys().any(|name| counts(name))
    }

    /// Marks everything that is subscribed as to be sent again.
    pub(super) fn owe_all(&mut self, kind: Kind, seen: &Snapshot, now: Duration) {
        self.answer = true;
        let mut names: Vec<_> = self.subscription.names().iter().cloned().collect();
        if self.subscription.is_wildcard() {
            names.extend(
                seen.resources(kind)
                    .map(|resource| Arc::clone(resource.name())),
            );
        }
        for name in &names {
            self.owe(kind, name, seen, now);
        }
    }

    /// Notes a response that is about to be sent.
    pub(super) fn sending(&mut self, nonce: u64, version: Version, batch: Batch, now: Duration) {
        if self.in_flight.len() >= IN_FLIGHT {
            self.in_flight.pop_front();
        }
        let mut is_trial = false;
        if !self.on_trial.is_empty() {
            for sent in &batch.sent {
                is_trial |= self.on_trial.remove(sent.resource.name());
            }
        }
        self.in_flight.push_back(InFlight {
            nonce,
            at: now,
            version,
            is_trial,
            batch,
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

    /// Whether older responses than the newest are unanswered.
    pub(super) fn awaits_several(&self) -> bool {
        self.in_flight.len() > 1
    }

    pub(super) fn is_in_flight(&self) -> bool {
        !self.in_flight.is_empty()
    }

    /// The resources of responses that are unanswered.
    pub(super) fn in_flight_names(&self) -> BTreeSet<ResourceName> {
        let sent = self
            .in_flight
            .iter()
            .flat_map(|response| &response.batch.sent);
        sent.map(|sent| Arc::clone(sent.resource.name())).collect()
    }

    /// Whether the client names the version of the newest response, which it did not before, and which no other
    /// unanswered response has: it has accepted it.
    pub(super) fn names_newest(&self, version: Option<Version>) -> bool {
        let mut newest_first = self.in_flight.iter().rev();
        let newest = newest_first.next().map(|newest| newest.version);
        newest.is_some()
            && newest == version
            && self.named != version
            && newest_first.all(|older| Some(older.version) != newest)
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
        if !self.quarantine.is_empty() {
            for sent in responses.iter().flat_map(|response| &response.batch.sent) {
                let resource = &sent.resource;
                self.quarantine.accept(resource.name(), resource.version());
            }
        }
        if self.in_flight.is_empty() && self.suspects.is_empty() {
            self.quarantine.all_settled();
        }
        Some(Event::Acked { kind, after })
    }

    /// Takes it that what was sent before a response was accepted.
    pub(super) fn acknowledge_before(
        &mut self,
        kind: Kind,
        nonce: u64,
        now: Duration,
    ) -> Option<Event> {
        let mut older = self.in_flight.iter().rev().map(|response| response.nonce);
        let older = older.find(|older| *older < nonce)?;
        self.acknowledge(kind, older, true, now)
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

    /// Keeps count of the subscribed names that there are.
    fn count_present(&mut self, kind: Kind, change: &Change, seen: &Snapshot) {
        let present = |names: &[ResourceName]| {
            let mut seen = seen.in_order(kind, names.len());
            let is_there = |name: &&ResourceName| seen.get(name).is_some();
            names.iter().filter(is_there).count()
        };
        self.present = if change.repeated.is_empty() {
            self.present + present(&change.added) - present(&change.dropped)
        } else {
            // Those among them that are new are not told apart.
            present(self.subscription.names().as_slice())
        };
    }

    /// How the stream stands with the type.
    pub(super) fn status(&self, kind: Kind, seen: &Snapshot) -> KindStatus {
        let wildcard = self.subscription.is_wildcard();
        // A client that came back with everything was sent nothing, and is up to date.
        let is_even = self.behind.is_empty() && self.fresh.is_none();
        let came_with = (self.resumed && is_even).then(|| seen.version(kind));
        KindStatus {
            subscribed: wildcard || !self.subscription.names().is_empty(),
            resources: self.resources(kind, seen),
            sent: self.sent.or(came_with),
            acked: self.acked.or(came_with.filter(|_| self.sent.is_none())),
            pending_since: self.in_flight.front().map(|response| response.at),
            rejections: self.quarantine.rejections(),
        }
    }

    /// How many resources the client has. Costs a look at what is behind only: this is asked after each step.
    fn resources(&self, kind: Kind, seen: &Snapshot) -> usize {
        if self.fresh.is_some() {
            return 0;
        }
        let mut count = if self.subscription.is_wildcard() {
            seen.len(kind)
        } else {
            self.present
        };
        for (name, behind) in &self.behind {
            match (&behind.has, seen.get(kind, name)) {
                (Has::Nothing, Some(_)) => count = count.saturating_sub(1),
                (Has::Nothing, None) | (_, Some(_)) => {}
                (_, None) => count += 1,
            }
        }
        #[cfg(test)]
        assert_eq!(count, self.resources_one_by_one(kind, seen));
        count
    }

    #[cfg(test)]
    fn resources_one_by_one(&self, kind: Kind, seen: &Snapshot) -> usize {
        let names = self.subscription.names().iter();
        let wanted: BTreeSet<_> = if self.subscription.is_wildcard() {
            let current = seen.resources(kind).map(|resource| resource.name());
            current.chain(self.behind.keys()).collect()
        } else {
            names.collect()
        };
        let has = |name: &&ResourceName| match self.behind.get(&***name) {
            Some(behind) => !matches!(behind.has, Has::Nothing),
            None => seen.get(kind, name).is_some(),
        };
        wanted.iter().copied().filter(has).count()
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
}

#[cfg(test)]
#[expect(clippy::match_bool, reason = "accepted or not reads best as a table")]
mod tests;
