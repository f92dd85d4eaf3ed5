//! Delta: requests say what the client wants more or less of, answers what changed and what is gone.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::ledger::{Batch, Behind, Has, Nack};
use super::limits::Limits;
use super::message::DeltaRequest;
use super::names::NameSets;
use super::push::{Engine, NAMING};
use super::quarantine::shortened;
use super::stream::{Entries, Response};
use super::subscription::WILDCARD;
use super::traps::{self, Trap};
use super::{Event, Held, Step, StreamError, StreamStatus, wire};
use crate::snapshot::{Kind, ResourceName, Snapshot, Version};

/// How many types that are not served a stream remembers having been asked for.
const UNKNOWN_TYPES: usize = 32;

/// The protocol state of one delta stream.
#[derive(Debug)]
pub struct DeltaStream {
    engine: Engine,
    unknown: BTreeSet<String>,
}

impl DeltaStream {
    /// A stream of its own; see [`Self::sharing`].
    pub fn new(limits: Limits) -> Self {
        Self::sharing(limits, Arc::default())
    }

    /// A stream that shares its lists of names with all that are given the same sets.
    pub fn sharing(limits: Limits, names: Arc<NameSets>) -> Self {
        Self {
            engine: Engine::new(limits, names),
            unknown: BTreeSet::new(),
        }
    }

    /// The same for a stream of one type, which its requests need not name.
    #[must_use]
    pub fn only(mut self, kind: Option<Kind>) -> Self {
        self.engine.only = kind;
        self
    }

    /// Takes all requests that have come in, the newest snapshot and the time since the stream was opened.
    pub fn step(
        &mut self,
        now: Duration,
        snapshot: &Arc<Snapshot>,
        requests: Vec<DeltaRequest>,
    ) -> Result<Step, StreamError> {
        let mut step = Step::default();
        self.engine.observe(now, snapshot);
        for request in requests {
            match self.engine.asked(&request.type_url)? {
                Some(kind) => self.take(kind, &request, now, &mut step)?,
                None if traps::active(Trap::UnknownTypeEndsTheStream) => {
                    return Err(StreamError::NoTypeUrl);
                }
                None => self.take_unknown(&request, &mut step),
            }
        }
        self.engine
            .push(now, &mut step, |engine, kind, batch, step| {
                respond(engine, kind, batch, now, step);
            });
        Ok(step)
    }

    /// How the client stands with each resource that it asked for. Costs a look at each.
    pub fn held(&self) -> Vec<Held> {
        self.engine.held()
    }

    /// How the stream stands. Costs a look at each name that is behind.
    pub fn status(&self) -> StreamStatus {
        self.engine.status()
    }

    fn take(
        &mut self,
        kind: Kind,
        request: &DeltaRequest,
        now: Duration,
        step: &mut Step,
    ) -> Result<(), StreamError> {
        let engine = &mut self.engine;
        // Before anything is made of them.
        engine.within_limit(kind, request.resource_names_subscribe.len())?;
        engine.within_limit(kind, request.initial_resource_versions.len())?;
        // The nonce says which response is meant; what is (un)subscribed counts whichever it is.
        let nonce = wire::parse_nonce(&request.response_nonce);
        if let Some(error) = &request.error_detail {
            let nack = Nack {
                kind,
                nonce,
                message: &error.message,
                cumulative: false,
                backoff: engine.limits.retry_rejected,
            };
            step.events.push(engine.reject(&nack, now));
        } else if let Some(nonce) = nonce {
            let acked = engine.kinds[kind].acknowledge(kind, nonce, false, now);
            step.events.extend(acked);
        }
        let ledger = &mut engine.kinds[kind];
        let is_stale = nonce.is_some() && nonce != ledger.newest_nonce();
        if traps::active(Trap::StaleNamesAreIgnored) && is_stale {
            return Ok(());
        }
        ledger.write_out(kind, &engine.seen);
        let change = ledger.subscription.update(
            kind,
            &request.resource_names_subscribe,
            &request.resource_names_unsubscribe,
            &engine.seen,
            &engine.names,
        );
        let names = ledger.subscription.names().len();
        engine.within_limit(kind, names)?;
        let ledger = &mut engine.kinds[kind];
        ledger.resubscribe(kind, &change, &engine.seen, now);
        let ignores = traps::active(Trap::InitialVersionsIgnored);
        if change.first && !request.initial_resource_versions.is_empty() && !ignores {
            reconnect(engine, kind, &request.initial_resource_versions, now);
        }
        Ok(())
    }

    fn take_unknown(&mut self, request: &DeltaRequest, step: &mut Step) {
        let first =
            self.unknown.len() < UNKNOWN_TYPES && self.unknown.insert(shortened(&request.type_url));
        let names = request.resource_names_subscribe.iter();
        let names: BTreeSet<ResourceName> = names
            .filter(|name| *name != WILDCARD)
            .map(|name| name.as_str().into())
            .collect();
        // "There is none" lets a client that waits for it go on at once.
        if first || !names.is_empty() {
            let nonce = self.engine.next_nonce();
            let entries = Entries::Delta {
                resources: Vec::new(),
                removed: names.into_iter().collect(),
            };
            (step.responses).push(Response::of_unknown(&request.type_url, nonce, entries));
        }
    }
}

/// Takes what a client still has from an earlier stream, perhaps to another server.
fn reconnect(engine: &mut Engine, kind: Kind, versions: &HashMap<String, String>, now: Duration) {
    // Who asks for load assignments before clusters has one that warms (measured on Envoy 1.40), does not say which, and
    // says nothing of clusters before it has a load assignment of this stream.
    let is_any_warm = kind == Kind::Endpoint
        && engine.only.is_none()
        && !engine.kinds[Kind::Cluster].subscription.is_asked();
    let mut even: HashSet<&str> = HashSet::new();
    let mut has: Vec<(&str, Behind)> = Vec::new();
    for (name, version) in versions {
        let version = Version::parse(version);
        let current = engine.seen.get(kind, name).map(|current| current.version());
        let is_current = current.is_some() && current == version;
        // A cluster sent on this stream warms until its load assignment follows, however well the client knows it.
        let must_follow = is_any_warm || kind == Kind::Endpoint && engine.is_uncovered(name);
        if is_current && !must_follow {
            even.insert(name);
        } else {
            // What is withheld may turn out to be what the client has: until then it is not asking. Nor is it in a hurry
            // for newer routes than it has: these may name clusters that are only on their way.
            let may_wait = engine.seen.is_withheld(kind, name) && !must_follow
                || NAMING.contains(&kind) && current.is_some();
            let behind = Behind {
                has: version.map_or(Has::Unknown, Has::Version),
                owed: !may_wait,
                since: now,
                deferred: false,
            };
            has.push((name, behind));
        }
    }
    let ledger = &mut engine.kinds[kind];
    (ledger.resumed, ledger.may_have_unknown) = (true, true);
    ledger.write_out_those(kind, &engine.seen, |name| !even.contains(name));
    for (name, mut behind) in has {
        if !ledger.subscription.matches(name) {
            continue;
        }
        let named = ledger.subscription.names().get(name);
        behind.owed &= named.is_some() || engine.seen.get(kind, name).is_some();
        let name = named.cloned().unwrap_or_else(|| name.into());
        ledger.behind.insert(name, behind);
    }
}

fn respond(engine: &mut Engine, kind: Kind, batch: Batch, now: Duration, step: &mut Step) {
    let nonce = engine.next_nonce();
    let version = engine.seen.version(kind);
    let removed = batch.absent.iter().map(|(name, _)| Arc::clone(name));
    let resources = batch.sent.iter().map(|sent| Arc::clone(&sent.resource));
    let entries = Entries::Delta {
        resources: resources.collect(),
        removed: removed.collect(),
    };
    (step.responses).push(Response::of(kind, version, nonce, entries));
    step.events.push(Event::Sent {
        kind,
        resources: batch.sent.len(),
        removed: batch.absent.len(),
    });
    engine.kinds[kind].sending(nonce, version, batch, now);
}

#[cfg(test)]
mod tests;
