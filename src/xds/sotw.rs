//! State of the world: each request lists all that the client wants, each answer about clusters or listeners all that
//! there is.
//!
//! Answers about other types hold only what is new. A name that does not exist cannot be told as such: an asked-for load
//! assignment is sent empty, which ends a cluster's warming (measured on Envoy 1.40); of the rest, the answer lacks it.

use std::collections::BTreeSet;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;

use super::ledger::{Batch, Ledger, Nack};
use super::limits::Limits;
use super::message::SotwRequest;
use super::names::NameSets;
use super::push::Engine;
use super::quarantine::shortened;
use super::stream::{Entries, Response};
use super::traps::{self, Trap};
use super::{Event, Held, Step, StreamError, StreamStatus, wire};
use crate::snapshot::{Kind, Resource, ResourceName, Snapshot, Version};

/// How many types that are not served a stream remembers having been asked for.
const UNKNOWN_TYPES: usize = 32;

/// The protocol state of one state-of-the-world stream.
#[derive(Debug)]
pub struct SotwStream {
    engine: Engine,
    unknown: BTreeSet<String>,
}

impl SotwStream {
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
        requests: Vec<SotwRequest>,
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
        request: &SotwRequest,
        now: Duration,
        step: &mut Step,
    ) -> Result<(), StreamError> {
        let engine = &mut self.engine;
        engine.within_limit(kind, request.resource_names.len())?;
        let first = !engine.kinds[kind].subscription.is_asked();
        let is_verdict = !first && !request.response_nonce.is_empty();
        if is_verdict && hear_verdict(engine, kind, request, now, step) == Heard::Stale {
            let subscription = &mut engine.kinds[kind].subscription;
            subscription.leave_out(&request.resource_names);
            return Ok(());
        }
        let ledger = &mut engine.kinds[kind];
        ledger.write_out(kind, &engine.seen);
        let mut change =
            ledger
                .subscription
                .replace(kind, &request.resource_names, &engine.seen, &engine.names);
        if !first {
            // "Nothing": some clients name an empty string when they unsubscribe from all.
            change.added.retain(|name| !name.is_empty());
        }
        ledger.resubscribe(kind, &change, &engine.seen, now);
        if first {
            // It may have any of them from an earlier stream. The version that it names does not tell: Envoy applies the
            // good part of a response whose rest it rejects, and goes on naming the version before it, or none.
            ledger.may_have_any();
            ledger.may_have_unknown = !request.version_info.is_empty();
            ledger.named = Version::parse(&request.version_info);
            if kind == Kind::Cluster && engine.only.is_none() && !request.version_info.is_empty() {
                engine.returned = Some(now);
            }
        }
        if !first && request.response_nonce.is_empty() {
            ledger.owe_all(kind, &engine.seen, now);
        }
        let starts = first && request.version_info.is_empty();
        if kind == Kind::Endpoint && starts && !engine.kinds[Kind::Cluster].may_have_unknown {
            // It asks for those of clusters that it has taken, which it says of the clusters themselves only when none of
            // them warms any more.
            let names = engine.kinds[kind].subscription.names().clone();
            engine.kinds[Kind::Cluster].takes(&names);
        }
        Ok(())
    }

    fn take_unknown(&mut self, request: &SotwRequest, step: &mut Step) {
        let first =
            self.unknown.len() < UNKNOWN_TYPES && self.unknown.insert(shortened(&request.type_url));
        // There is no way to say that a name does not exist, and "everything" is nothing.
        if first && request.resource_names.is_empty() {
            let nonce = self.engine.next_nonce();
            let nothing = Entries::Sotw(Vec::new());
            (step.responses).push(Response::of_unknown(&request.type_url, nonce, nothing));
        }
    }
}

/// Which response a verdict is about.
#[derive(PartialEq, Eq)]
enum Heard {
    Newest,
    /// An older one, or none of this type: the names of the request are not what is wanted from now on.
    Stale,
}

/// Takes the ACK or NACK of a response.
fn hear_verdict(
    engine: &mut Engine,
    kind: Kind,
    request: &SotwRequest,
    now: Duration,
    step: &mut Step,
) -> Heard {
    let ledger = &mut engine.kinds[kind];
    let nonce = wire::parse_nonce(&request.response_nonce);
    let version = Version::parse(&request.version_info);
    let stale = nonce != ledger.newest_nonce();
    let is_of_older = !stale && kind.is_wildcard() && ledger.names_newest(version);
    let named_before = mem::replace(&mut ledger.named, version);
    if request.error_detail.is_some() && !stale && kind.is_wildcard() && !is_of_older {
        // With the NACK of one response comes the version of the last that was accepted.
        let older = ledger.accepted_before(nonce, named_before);
        let acked = older.and_then(|older| ledger.acknowledge(kind, older, true, now));
        step.events.extend(acked);
    }
    let is_unsure = request.error_detail.is_some() && (stale || ledger.awaits_several());
    if let (Some(error), Some(nonce), true) = (&request.error_detail, nonce, is_of_older) {
        // Envoy has one request a type: the error of a response stays in it when the next one is accepted.
        step.events.push(Event::Rejected {
            kind,
            nonce: wire::nonce(nonce),
            message: shortened(&error.message),
            resources: Vec::new(),
        });
        step.events
            .extend(ledger.acknowledge(kind, nonce, true, now));
    } else if let Some(error) = &request.error_detail {
        // Of a type whose answers are partial, each one's NACK is news, though a newer answer is on its way.
        if !stale || !kind.is_wildcard() && ledger.awaits(nonce) {
            let nack = Nack {
                kind,
                nonce,
                message: &error.message,
                // Of several that it heard before it said anything, Envoy says one thing, with the newest nonce and the
                // last error.
                cumulative: true,
                backoff: engine.limits.retry_rejected,
            };
            step.events.push(engine.reject(&nack, now));
        }
    } else if let Some(nonce) = nonce {
        // An older one's ACK is news too: what the client falls back to if it rejects the newest.
        let acked = ledger.acknowledge(kind, nonce, true, now);
        step.events.extend(acked);
    }
    if kind == Kind::Cluster && is_unsure {
        // It is not known which of several responses the client's clusters are from, and so which the next response
        // changes. Until one is accepted, every load assignment follows.
        engine.clusters_unsure = true;
        engine.uncover_all(now);
    } else if kind == Kind::Cluster && request.error_detail.is_none() && !stale {
        engine.clusters_unsure = false;
    }
    if stale && !traps::active(Trap::StaleRequestIsTaken) {
        Heard::Stale
    } else {
        Heard::Newest
    }
}

fn respond(engine: &mut Engine, kind: Kind, mut batch: Batch, now: Duration, step: &mut Step) {
    let nonce = engine.next_nonce();
    let (ledger, seen) = (&mut engine.kinds[kind], &engine.seen);
    let version = seen.version(kind);
    let mut restated = Vec::new();
    let entries: Vec<Arc<Resource>> = if kind.is_wildcard() {
        let open = ledger.restate();
        restated.extend(open.iter().map(|sent| Arc::clone(sent.resource.name())));
        batch.sent.extend(open);
        full_set(kind, ledger, seen)
    } else {
        let sent = batch.sent.iter().map(|sent| Arc::clone(&sent.resource));
        let absent = batch.absent.iter().map(|(name, _)| name);
        let named = absent.filter(|name| !name.is_empty());
        let empty = named
            .filter(|_| kind == Kind::Endpoint)
            .map(without_endpoints);
        sent.chain(empty).collect()
    };
    step.events.push(Event::Sent {
        kind,
        resources: entries.len(),
        removed: 0,
    });
    let response = Response::of(kind, version, nonce, Entries::Sotw(entries));
    step.responses.push(response);
    if !kind.is_wildcard() && kind != Kind::Endpoint {
        // The response does not say so, and nothing of that is to be said again if it is rejected.
        batch.absent.clear();
    }
    ledger.sending(nonce, version, batch, now);
    if kind != Kind::Cluster {
        return;
    }
    if engine.clusters_unsure {
        engine.uncover_all(now);
    } else if ledger.awaits_several() {
        // If it rejects those before, it is this one that changes its clusters, and what went before does not count.
        let unsettled = ledger.unsettled_names();
        engine.uncover(unsettled.iter(), now);
    } else {
        engine.uncover(restated.iter(), now);
    }
}

/// All that the client is to have: what is new, what it keeps because the new was rejected or waits, what it is to lose
/// only later.
fn full_set(kind: Kind, ledger: &Ledger, seen: &Snapshot) -> Vec<Arc<Resource>> {
    let subscription = &ledger.subscription;
    let is_even = ledger.behind.is_empty();
    let even = |resource: &&Arc<Resource>| is_even || !ledger.behind.contains_key(resource.name());
    let current: Vec<_> = if subscription.is_wildcard() {
        seen.resources(kind).filter(even).cloned().collect()
    } else {
        let named = subscription.names().iter();
        named
            .filter_map(|name| seen.get(kind, name))
            .filter(even)
            .cloned()
            .collect()
    };
    let kept = ledger.behind.values();
    let kept = kept.filter_map(|behind| behind.has.accepted().cloned());
    current.into_iter().chain(kept).collect()
}

fn without_endpoints(name: &ResourceName) -> Arc<Resource> {
    let message = ClusterLoadAssignment {
        cluster_name: String::from(&**name),
        ..ClusterLoadAssignment::default()
    };
    Arc::new(Resource::new(
        Kind::Endpoint,
        Arc::clone(name),
        &message,
        None,
    ))
}

#[cfg(test)]
mod tests;
