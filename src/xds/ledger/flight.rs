//! Responses between their being sent and their ACK or NACK, with what each replaced at the client.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::{Has, Ledger};
use crate::snapshot::{Kind, Resource, ResourceName, Version};
use crate::xds::Event;
use crate::xds::names::NameSet;

/// Envoy withholds the ACKs of clusters while one warms, so responses pile up; of older ones only the count is known.
const IN_FLIGHT: usize = 32;

/// A resource on its way to the client, and what the client has if it rejects it.
#[derive(Debug)]
pub(in crate::xds) struct Sent {
    pub(in crate::xds) resource: Arc<Resource>,
    pub(in crate::xds) prior: Has,
}

/// What one response says.
#[derive(Debug, Default)]
pub(in crate::xds) struct Batch {
    pub(in crate::xds) sent: Vec<Sent>,
    /// Names that the client has and is to lose, or asked for in vain, and what it has of them.
    pub(in crate::xds) absent: Vec<(ResourceName, Has)>,
}

impl Batch {
    /// What the client had of a name before this response.
    pub(super) fn prior_mut(&mut self, name: &str) -> Option<&mut Has> {
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

/// A response that awaits its ACK or NACK.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) nonce: u64,
    pub(super) at: Duration,
    version: Version,
    /// It holds suspects of a rejected response.
    pub(super) is_trial: bool,
    /// What the client is known to have taken of it, though it has not said so.
    taken: NameSet,
    pub(super) batch: Batch,
}

impl Ledger {
    /// Notes a response that is about to be sent.
    pub(in crate::xds) fn sending(
        &mut self,
        nonce: u64,
        version: Version,
        batch: Batch,
        now: Duration,
    ) {
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
            taken: NameSet::default(),
            batch,
        });
        (self.newest_nonce, self.sent, self.answer) = (Some(nonce), Some(version), false);
    }

    pub(in crate::xds) fn newest_nonce(&self) -> Option<u64> {
        self.newest_nonce
    }

    /// Whether a response awaits its ACK or NACK.
    pub(in crate::xds) fn awaits(&self, nonce: Option<u64>) -> bool {
        self.in_flight
            .iter()
            .any(|response| Some(response.nonce) == nonce)
    }

    /// Whether older responses than the newest are unanswered.
    pub(in crate::xds) fn awaits_several(&self) -> bool {
        self.in_flight.len() > 1
    }

    pub(in crate::xds) fn is_in_flight(&self) -> bool {
        !self.in_flight.is_empty()
    }

    /// Notes that a client without any of it before has taken what it was sent of these names, if it was sent all at once.
    pub(in crate::xds) fn takes(&mut self, names: &NameSet) {
        if let [only] = self.in_flight.make_contiguous() {
            only.taken = names.clone();
        }
    }

    /// The resources of responses that are unanswered, but for those that the client is known to have taken.
    pub(in crate::xds) fn unsettled_names(&self) -> BTreeSet<ResourceName> {
        let names = self.in_flight.iter().flat_map(|response| {
            let names = response.batch.sent.iter().map(|sent| sent.resource.name());
            names.filter(|name| !response.taken.contains(name))
        });
        names.map(Arc::clone).collect()
    }

    /// Whether the client names the version of the newest response, which it did not before, and which no other
    /// unanswered response has: it has accepted it.
    pub(in crate::xds) fn names_newest(&self, version: Option<Version>) -> bool {
        let mut newest_first = self.in_flight.iter().rev();
        let newest = newest_first.next().map(|newest| newest.version);
        newest.is_some()
            && newest == version
            && self.named != version
            && newest_first.all(|older| Some(older.version) != newest)
    }

    /// The response that the client says it has accepted when it rejects a later one: the oldest of the version that it
    /// names and did not name `before`.
    pub(in crate::xds) fn accepted_before(
        &self,
        nonce: Option<u64>,
        before: Option<Version>,
    ) -> Option<u64> {
        let is_news = self.named != before;
        let older = |response: &&InFlight| Some(response.nonce) < nonce;
        let mut older = self.in_flight.iter().take_while(older).filter(|_| is_news);
        let accepted = older.find(|response| Some(response.version) == self.named);
        accepted.map(|response| response.nonce)
    }

    /// Takes the ACK of a response, and with `cumulative` of all before it.
    pub(in crate::xds) fn acknowledge(
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

    /// Takes a response, and with `cumulative` all before it, out of what is in flight.
    pub(super) fn settle(&mut self, nonce: u64, cumulative: bool) -> Vec<InFlight> {
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
}
