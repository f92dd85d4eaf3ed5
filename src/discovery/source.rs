//! The state of one source: what to publish and when to ask again, given an answer and the time. Pure.
//!
//! **Invariant:** a source is waited for no longer than [`Rules::unresolved_limit`] after it appeared, and once known it
//! never becomes unresolved again.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::answer::{Digest, Service, SourceAnswer};
use super::host::{Host, Kept, Moment};
use super::saved::{Clocks, SavedSource};
use crate::model::endpoint::{Endpoint, EndpointSet, EndpointSource};
use crate::model::spec::IpPreference;

/// A denied name is asked for again at least this often.
const DENIED_PACE: Duration = Duration::from_secs(3);
/// The first delay after a failure; it doubles with each further one.
const BACKOFF_FLOOR: Duration = Duration::from_millis(250);
const BACKOFF_CEILING: Duration = Duration::from_secs(10);
/// A refresh comes at most this much after the time to live.
const REFRESH_JITTER_CEILING: Duration = Duration::from_secs(1);

/// How long things last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) min_ttl: Duration,
    pub(super) max_ttl: Duration,
    pub(super) negative_grace: Duration,
    /// A source without an answer is no longer waited for after this long.
    pub(super) unresolved_limit: Duration,
}

/// One source, from its appearance to its end.
#[derive(Debug)]
pub(super) struct Source {
    preference: Option<IpPreference>,
    /// For names that are looked up as SRV.
    services: Option<Kept<Service>>,
    /// By name; a plain name is its own only host.
    hosts: BTreeMap<Arc<str>, Host>,
    endpoints: Arc<[Endpoint]>,
    known: bool,
    /// The last look-up brought what was needed, so that the next ones are spread already.
    settled: bool,
    failures: u32,
    error: Option<Arc<str>>,
    denied: bool,
    answered_at: Option<Instant>,
    /// `None` while a question is under way, and for addresses, which need none.
    next_query: Option<Instant>,
    /// `None` once it is no longer waited for.
    give_up_at: Option<Instant>,
}

/// What an answer changed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    /// The endpoint set is not what it was.
    pub(super) changed: bool,
    pub(super) event: Option<Event>,
}

/// How a source stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Nobody has said anything of it yet.
    Unresolved,
    /// What is in use is what DNS says.
    Known,
    /// DNS says that there is nothing, and nothing is in use.
    Empty,
    /// Look-ups fail, and the last good answer is in use.
    Stale,
    /// DNS says that there is nothing, and the last good answer is in use for the grace.
    Denied,
}

/// A change of state worth a line in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// There are endpoints where there were none.
    Resolved,
    /// There was no answer yet, and the first one denies the name.
    NotFound,
    /// No answer came in time.
    GivenUp,
    /// Look-ups began to fail; the last good answer stays.
    Failing,
    /// The name began to be denied; the last good answer stays for the grace.
    Denied,
    /// The grace is over: no endpoints are left.
    Lost,
    /// A good answer after failures or denials.
    Recovered,
}

impl Source {
    pub(super) fn new(source: &EndpointSource, rules: &Rules, now: Instant) -> Self {
        let EndpointSource::Dns {
            hostname,
            preference,
        } = source;
        let mut state = Self {
            preference: *preference,
            services: is_service(hostname).then(Kept::default),
            hosts: BTreeMap::new(),
            endpoints: Arc::new([]),
            known: false,
            settled: false,
            failures: 0,
            error: None,
            denied: false,
            answered_at: None,
            next_query: Some(now),
            give_up_at: Some(now + rules.unresolved_limit),
        };
        // An address is taken as it is, whatever the preference: its family was chosen by whoever wrote it.
        if let Ok(address) = hostname.parse::<IpAddr>() {
            state.endpoints = Arc::new([plain(address)]);
            state.known = true;
            state.next_query = None;
        }
        state
    }

    /// Takes over what an earlier process knew. It is used until DNS says something.
    pub(super) fn restore(&mut self, saved: SavedSource, clocks: Clocks) {
        if let (Some(services), Some(saved)) = (&mut self.services, saved.services) {
            *services = Kept::restored(Some(saved), clocks);
        }
        for host in saved.hosts {
            let name = Arc::clone(&host.name);
            self.hosts.insert(name, Host::restored(host, clocks));
        }
        self.endpoints = self.assemble();
        self.known |= !self.endpoints.is_empty();
        self.denied = self.hosts.values().any(Host::is_denied);
    }

    /// What a later process could use; `None` if there is nothing, or nothing that DNS said.
    pub(super) fn saved(&self, source: &EndpointSource, clocks: Clocks) -> Option<SavedSource> {
        let EndpointSource::Dns {
            hostname,
            preference,
        } = source;
        if self.endpoints.is_empty() || self.hosts.is_empty() {
            return None;
        }
        let hosts = self.hosts.iter();
        Some(SavedSource {
            hostname: Arc::clone(hostname),
            preference: *preference,
            services: self.services.as_ref().and_then(|kept| kept.saved(clocks)),
            hosts: hosts.map(|(name, host)| host.saved(name, clocks)).collect(),
        })
    }

    pub(super) fn set(&self) -> EndpointSet {
        match (self.known, self.give_up_at) {
            (true, _) => EndpointSet::Known(Arc::clone(&self.endpoints)),
            (false, Some(_)) => EndpointSet::Unresolved,
            (false, None) => EndpointSet::Unanswered,
        }
    }

    pub(super) fn is_known(&self) -> bool {
        self.known
    }

    /// How the source stands.
    pub(super) fn state(&self) -> State {
        let confirmed = self.oldest().is_none_or(|at| Some(at) == self.answered_at);
        match (self.known, &self.error) {
            (false, _) => State::Unresolved,
            (true, _) if self.denied => State::Denied,
            (true, Some(_)) if !confirmed => State::Stale,
            (true, _) if self.endpoints.is_empty() => State::Empty,
            (true, _) => State::Known,
        }
    }

    /// When this source next needs attention without an answer having come.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        let give_up_at = self.give_up_at.filter(|_| !self.known);
        self.next_query.into_iter().chain(give_up_at).min()
    }

    /// Whether to ask now; if so, the question counts as being under way until [`answered`](Self::answered).
    pub(super) fn start_query(&mut self, now: Instant) -> bool {
        self.next_query.take_if(|at| *at <= now).is_some()
    }

    /// Stops waiting for a first answer, if it is time.
    pub(super) fn give_up(&mut self, now: Instant) -> Option<Event> {
        self.give_up_at.take_if(|at| !self.known && *at <= now)?;
        Some(Event::GivenUp)
    }

    /// Takes in a look-up's result. `jitter` is from 0 to 1.
    pub(super) fn answered(
        &mut self,
        answer: SourceAnswer,
        rules: &Rules,
        now: Instant,
        jitter: f64,
    ) -> Outcome {
        let digest = self.take(answer, rules, now);
        let (was_known, before) = (self.known, Arc::clone(&self.endpoints));
        self.endpoints = self.assemble();
        // With every question answered and nothing found, the answer is that there is nothing.
        self.known |= !self.endpoints.is_empty() || digest.error.is_none();
        let event = self.event(&digest, was_known, !before.is_empty());
        self.denied = digest.grace_end.is_some();
        self.failures = match digest.error {
            Some(_) => self.failures.saturating_add(1),
            None => 0,
        };
        self.next_query = Some(self.next_query(&digest, rules, now, jitter));
        self.settled = digest.error.is_none();
        self.error = digest.error;
        self.answered_at = Some(now);
        Outcome {
            changed: self.known != was_known || self.endpoints != before,
            event,
        }
    }

    /// Why the last look-up failed.
    pub(super) fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// When the oldest of the records in use was last confirmed.
    pub(super) fn oldest(&self) -> Option<Instant> {
        if self.endpoints.is_empty() {
            return None;
        }
        let hosts = self.hosts.values();
        let hosts = hosts.filter_map(|host| host.addresses(self.preference).found_at());
        let services = self.services.as_ref().and_then(Kept::found_at);
        hosts.chain(services).min()
    }

    fn take(&mut self, answer: SourceAnswer, rules: &Rules, now: Instant) -> Digest {
        let moment = Moment {
            now,
            grace: rules.negative_grace,
            longest_gap: BACKOFF_CEILING.max(rules.min_ttl),
        };
        let mut digest = Digest::default();
        for (name, answer) in answer.hosts {
            let host = self.hosts.entry(name).or_default();
            host.take(answer, self.preference, moment, &mut digest);
        }
        if let (Some(kept), Some(answer)) = (&mut self.services, answer.services) {
            digest.add(&answer);
            kept.take(answer, false, moment);
            digest.grace_ends(kept.grace_end(moment.grace));
            let targets: BTreeSet<_> = kept.records().iter().map(|one| &one.target).collect();
            self.hosts.retain(|name, _| targets.contains(name));
        }
        digest
    }

    fn assemble(&self) -> Arc<[Endpoint]> {
        let addresses = |host: &Host| host.addresses(self.preference).records().to_vec();
        let Some(services) = &self.services else {
            let hosts = self.hosts.values();
            return hosts.flat_map(addresses).map(plain).collect();
        };
        // Two targets may share an address; Envoy wants each endpoint once, so their weights add up.
        let mut weights: BTreeMap<(IpAddr, u16), u32> = BTreeMap::new();
        for service in services.records() {
            let host = self.hosts.get(&service.target);
            for address in host.map(addresses).unwrap_or_default() {
                let weight = weights.entry((address, service.port)).or_default();
                *weight = weight.saturating_add(u32::from(service.weight.max(1)));
            }
        }
        let endpoint = |((address, port), weight)| Endpoint {
            address,
            port: Some(port),
            weight,
        };
        weights.into_iter().map(endpoint).collect()
    }

    fn event(&self, digest: &Digest, was_known: bool, had: bool) -> Option<Event> {
        let has = !self.endpoints.is_empty();
        let failing = digest.error.is_some();
        let denied = digest.grace_end.is_some();
        match (had, has) {
            (false, true) => Some(Event::Resolved),
            (true, false) => Some(Event::Lost),
            _ if !was_known && self.known => Some(Event::NotFound),
            _ if failing && self.failures == 0 => Some(Event::Failing),
            _ if denied && !self.denied => Some(Event::Denied),
            _ if !failing && !denied && (self.failures > 0 || self.denied) => {
                Some(Event::Recovered)
            }
            _ => None,
        }
    }

    /// `failures` counts the look-up just taken in.
    fn next_query(&self, digest: &Digest, rules: &Rules, now: Instant, jitter: f64) -> Instant {
        let refresh = digest.ttl.map(|ttl| {
            let ttl = ttl.min(rules.max_ttl).max(rules.min_ttl);
            if self.settled {
                return now + ttl + (ttl / 10).min(REFRESH_JITTER_CEILING).mul_f64(jitter);
            }
            // Many names are answered at once at the start and after an outage. They are spread over the whole time to
            // live, or they would stay together for ever.
            let room = ttl.saturating_sub(rules.min_ttl);
            now + ttl.saturating_sub(room.mul_f64(jitter))
        });
        let denied = digest.denied.map(|ttl| {
            let pace = ttl.min(DENIED_PACE).mul_f64(1.0 - jitter / 4.0);
            let at = now + pace.max(rules.min_ttl);
            // The end of the grace is not overslept.
            digest
                .grace_end
                .map_or(at, |end| at.min(end.max(now + rules.min_ttl)))
        });
        let retry = digest.error.as_ref().map(|_| {
            let doublings = self.failures.saturating_sub(1).min(16);
            let delay = BACKOFF_FLOOR * 2_u32.pow(doublings);
            now + delay.min(BACKOFF_CEILING).mul_f64(0.5 + jitter / 2.0)
        });
        let next = refresh.into_iter().chain(denied).chain(retry).min();
        next.unwrap_or(now + rules.max_ttl)
    }
}

/// Whether a name is looked up as SRV: `_service._proto.name`.
pub(super) fn is_service(hostname: &str) -> bool {
    let mut labels = hostname.split('.');
    let mut underscored = || labels.next().is_some_and(|label| label.starts_with('_'));
    underscored() && underscored()
}

fn plain(address: IpAddr) -> Endpoint {
    Endpoint {
        address,
        port: None,
        weight: 1,
    }
}
