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
use crate::snapshot::{Kind, ResourceName, Snapshot, Version};
use crate::xds::KindStatus;

mod flight;
mod fresh;
mod has;
mod held;
mod rejection;

use flight::InFlight;
pub(super) use flight::{Batch, Sent};
pub(super) use has::Has;
pub(super) use rejection::Nack;

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
    /// The client came with what it has of an earlier stream, and may have what is not known.
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

impl Ledger {
    /// Notes what a new snapshot changes. `old` is the one seen before.
    pub(super) fn observe(&mut self, kind: Kind, old: &Snapshot, new: &Snapshot, now: Duration) {
        if !self.subscription.is_asked() || new.same(old, kind) {
            return;
        }
        self.write_out(kind, old);
        for name in new.changed_since(old, kind) {
            if !self.subscription.matches(&name) {
                continue;
            }
            if self.subscription.names().contains(&name) {
                let is_there =
                    |snapshot: &Snapshot| usize::from(snapshot.get(kind, &name).is_some());
                self.present = self.present + is_there(new) - is_there(old);
            }
            let newest = new.get(kind, &name).map(|resource| resource.version());
            let was_rejected = self.quarantine.change(&name, newest);
            let gone = newest.is_none() && !new.is_withheld(kind, &name);
            let behind = self
                .behind
                .entry(Arc::clone(&name))
                .or_insert_with(|| Behind {
                    has: Has::of(old.get(kind, &name)),
                    owed: false,
                    since: now,
                    deferred: false,
                });
            if behind.deferred {
                // The client was sent it, and took nothing: who asked for it still waits for an answer.
                behind.deferred = false;
                (behind.owed, behind.since) = (!kind.is_wildcard(), now);
            }
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

    /// Notes that a subscribed name is to be sent even if the client has it, which may have forgotten what it had: what is
    /// gone is not sent to it any more.
    pub(super) fn owe(&mut self, kind: Kind, name: &ResourceName, seen: &Snapshot, now: Duration) {
        self.write_out(kind, seen);
        let behind = self.owe_with(name, || Has::of(seen.get(kind, name)), now);
        if seen.get(kind, name).is_none() && !seen.is_withheld(kind, name) {
            behind.has = Has::Nothing;
        }
    }

    /// The same for one that has forgotten nothing; `has` is what it has of a name that is not behind.
    fn owe_with(
        &mut self,
        name: &ResourceName,
        has: impl FnOnce() -> Has,
        now: Duration,
    ) -> &mut Behind {
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
        behind
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
                self.quarantine.forget(name);
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
            match (behind.has.is_nothing(), seen.get(kind, name)) {
                (true, Some(_)) => count = count.saturating_sub(1),
                (true, None) | (false, Some(_)) => {}
                (false, None) => count += 1,
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
            Some(behind) => !behind.has.is_nothing(),
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
