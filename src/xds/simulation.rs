//! A model test of a stream's state: random schedules against a simulated Envoy, on a virtual clock.
//!
//! `schedule` draws what happens, `mesh` is the model and what each replica makes of it, `envoy` what the client has,
//! `mux` what it says, and `audit` what the server may and must say. This file lets them meet.
//!
//! The laws: once nothing is under way, the client has what the model says, apart from what it rejects; no message
//! without a cause; no cluster and no listener warms past its time; every request is answered within 3 s; what is
//! unchanged is not sent again, whichever replica the client comes back to; and at no time does a listener send to a
//! cluster that is not there.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::message::{DeltaRequest, SotwRequest};
use super::testing::{Received, Variant, error};
use super::{DeltaStream, Limits, Response, SotwStream};
use crate::snapshot::{Kind, PerKind, Snapshot};

mod audit;
mod envoy;
mod mesh;
mod mux;
mod schedule;
mod tests;
mod trapped;

use audit::Audit;
use envoy::Envoy;
use mesh::{CLUSTERS, Contents, Mesh, Poison, cluster_name, poison_of, target_name};
use mux::{Ask, Mux};
use schedule::{Random, Schedule, Step};

/// More than any schedule needs that comes to rest.
const EVENTS: usize = 5000;

/// One of the two variants, as a simulated client speaks it.
trait Side: Variant {
    /// Whether an answer about clusters or listeners is all that there is.
    const IS_WHOLE: bool;
    fn request(ask: Ask) -> Self::Request;
}

impl Side for SotwStream {
    const IS_WHOLE: bool = true;

    fn request(ask: Ask) -> SotwRequest {
        SotwRequest {
            version_info: ask.version,
            resource_names: ask.names,
            type_url: type_url(ask.kind),
            response_nonce: ask.nonce,
            error_detail: ask.error.as_deref().map(error),
            ..SotwRequest::default()
        }
    }
}

impl Side for DeltaStream {
    const IS_WHOLE: bool = false;

    fn request(ask: Ask) -> DeltaRequest {
        DeltaRequest {
            type_url: type_url(ask.kind),
            resource_names_subscribe: ask.subscribe,
            resource_names_unsubscribe: ask.unsubscribe,
            initial_resource_versions: ask.versions.into_iter().collect(),
            response_nonce: ask.nonce,
            error_detail: ask.error.as_deref().map(error),
            ..DeltaRequest::default()
        }
    }
}

fn type_url(kind: Option<Kind>) -> String {
    let unknown = "type.googleapis.com/envoy.service.runtime.v3.Runtime";
    kind.map_or(unknown, Kind::type_url).to_owned()
}

fn decode<V: Variant>(response: &Response) -> Received {
    V::decode(&response.encode())
}

struct Simulation<V: Side> {
    random: Random,
    now: Duration,
    mesh: Mesh,
    /// What was published, newest last.
    history: Vec<Mesh>,
    replica: usize,
    stream: V,
    opened: Duration,
    snapshot: Arc<Snapshot>,
    wake_at: Option<Duration>,
    to_server: VecDeque<(Duration, Ask)>,
    to_client: VecDeque<(Duration, Received)>,
    envoy: Envoy,
    mux: Mux,
    audit: Audit,
    events: usize,
    hears_all: bool,
    /// The client has accepted clusters on this stream.
    is_answered: bool,
    /// What happened, for the reader of a failure.
    trace: Option<Vec<String>>,
}

impl<V: Side> Simulation<V> {
    fn new(schedule: &Schedule) -> Self {
        mesh::forget_built();
        Self {
            random: Random(schedule.seed),
            now: Duration::ZERO,
            mesh: Mesh::default(),
            history: vec![Mesh::default()],
            replica: 0,
            stream: V::new(Limits::default()),
            opened: Duration::ZERO,
            snapshot: Arc::default(),
            wake_at: None,
            to_server: VecDeque::new(),
            to_client: VecDeque::new(),
            envoy: Envoy::default(),
            mux: Mux::new(V::IS_WHOLE),
            audit: Audit::new(V::IS_WHOLE),
            events: 0,
            hears_all: schedule.hears_all,
            is_answered: true,
            trace: None,
        }
    }

    fn note(&mut self, text: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:>9.3?} {}", self.now, text()));
        }
    }

    fn run(&mut self, schedule: &Schedule) -> Result<Contents, String> {
        self.speak();
        for step in &schedule.steps {
            self.note(|| format!("* {step:?}"));
            self.act(step)?;
        }
        self.settle()?;
        self.check_end()?;
        self.check_other_replica()?;
        if !self.is_poisoned() {
            self.check_silence()?;
        }
        Ok(self.agreed())
    }

    /// A client that has it all is sent nothing by another replica.
    fn check_other_replica(&mut self) -> Result<(), String> {
        let is_even = self.mux.is_even(&self.envoy, &self.snapshot);
        let before = self.audit.resources;
        self.act(&Step::Reconnect {
            replica: 1 - self.replica,
            behind: 0,
        })?;
        self.settle()?;
        if !V::IS_WHOLE && is_even && self.audit.resources != before {
            return Err("another replica sends it all again".to_owned());
        }
        self.check_end()
    }

    fn act(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Edit(edit) => self.mesh.apply(*edit),
            Step::Publish => {
                self.history.push(self.mesh.clone());
                self.serve(0);
                self.step(Vec::new())?;
            }
            Step::Wait(milliseconds) => self.advance(Duration::from_millis(*milliseconds))?,
            Step::Reconnect { replica, behind } => {
                self.replica = *replica;
                self.reconnect(*behind);
            }
            Step::Forget(index) => {
                let (kind, name) = match *index {
                    index if index < CLUSTERS => (Kind::Endpoint, cluster_name(index)),
                    index => target_name(index - CLUSTERS),
                };
                self.mux.forget(kind, &name);
                self.speak();
            }
            Step::AskUnknown => self.send(Ask::default()),
        }
        Ok(())
    }

    /// Takes the snapshot that the replica has.
    fn serve(&mut self, behind: usize) {
        let newest = self.history.len() - 1;
        let mesh = &self.history[newest.saturating_sub(behind)];
        self.snapshot = Arc::new(mesh.snapshot(self.replica));
        let text = |snapshot: &Snapshot| format!("snapshot {snapshot:?}");
        let snapshot = Arc::clone(&self.snapshot);
        self.note(|| text(&snapshot));
    }

    fn reconnect(&mut self, behind: usize) {
        self.stream = V::new(Limits::default());
        (self.opened, self.wake_at) = (self.now, None);
        self.to_server.clear();
        self.to_client.clear();
        self.serve(behind);
        self.audit.reconnect();
        self.mux.reconnect();
        let held = self.envoy.interest(Kind::Endpoint);
        self.envoy.kept = held;
        self.envoy.connected = self.now;
        self.envoy.has_heard = false;
        self.is_answered = self.envoy.kept.is_empty();
        self.speak();
    }

    /// Notes what state of the world cannot keep for a client that came back, before it has accepted any clusters.
    fn excuse(&mut self) {
        let held = self.envoy.interest(Kind::Endpoint);
        let snapshot = &self.snapshot;
        let clusters: Vec<_> = snapshot.resources(Kind::Cluster).collect();
        let is_any_new = clusters
            .iter()
            .any(|cluster| !held.contains(&**cluster.name()));
        // One that had listeners before it had clusters asks for them first, and nobody knows yet that it has clusters.
        let is_unknown =
            self.audit.is_asked(Kind::Listener) && !self.audit.is_asked(Kind::Endpoint);
        if is_any_new || is_unknown {
            // It is sent the new clusters before its routes, and with them the loss of others.
            let is_gone = |name: &String| snapshot.get(Kind::Cluster, name).is_none();
            self.envoy
                .lose(held.iter().filter(|name| is_gone(name)).cloned());
        }
        let is_bad = |text: &String| poison_of(text) == Poison::Unnamed;
        if self.mesh.contents()[Kind::Cluster].values().any(is_bad) {
            // Half of the clusters is tried without the others, and nobody knows what it has of those.
            self.envoy.lose(held.into_iter());
        }
    }

    fn delay(&mut self) -> Duration {
        let delays = [0, 1, 40, 300];
        Duration::from_millis(delays[self.random.below(delays.len())])
    }

    fn send(&mut self, ask: Ask) {
        let at = self.now + self.delay();
        let at = self
            .to_server
            .back()
            .map_or(at, |(before, _)| at.max(*before));
        self.to_server.push_back((at, ask));
    }

    fn speak(&mut self) {
        for ask in self.mux.speak(&self.envoy) {
            self.send(ask);
        }
    }

    /// Lets time pass.
    fn advance(&mut self, time: Duration) -> Result<(), String> {
        let until = self.now + time;
        loop {
            let wake_at = self.wake_at.map(|at| at + self.opened);
            let events = [
                self.to_server.front().map(|(at, _)| *at),
                self.to_client.front().map(|(at, _)| *at),
                wake_at,
                self.envoy.next_deadline(self.now),
                self.audit.next_due(self.now),
            ];
            let Some(at) = events.into_iter().flatten().min().filter(|at| *at <= until) else {
                break;
            };
            self.now = at.max(self.now);
            self.events += 1;
            if self.events > EVENTS {
                return Err("it never comes to rest".to_owned());
            }
            if events[0] == Some(at) {
                self.arrive()?;
            } else if events[1] == Some(at) {
                self.take()?;
            } else if wake_at == Some(at) {
                self.step(Vec::new())?;
            }
            if self.envoy.give_up(self.now) {
                self.speak();
            }
            self.envoy.check(self.now, &self.snapshot)?;
            self.audit.check(self.now, &self.snapshot)?;
        }
        self.now = until;
        Ok(())
    }

    /// Requests arrive at the server: all that are there.
    fn arrive(&mut self) -> Result<(), String> {
        let mut asks = Vec::new();
        while let Some((_, ask)) = self.to_server.pop_front_if(|(at, _)| *at <= self.now) {
            self.note(|| format!("> {ask:?}"));
            self.audit.request(&ask, self.now);
            asks.push(V::request(ask));
        }
        self.step(asks)
    }

    fn step(&mut self, requests: Vec<V::Request>) -> Result<(), String> {
        let step = self
            .stream
            .step(
                self.now.saturating_sub(self.opened),
                &self.snapshot,
                requests,
            )
            .map_err(|end| format!("the stream ends: {end}"))?;
        self.wake_at = step.wake_at;
        for response in &step.responses {
            let received = decode::<V>(response);
            self.note(|| format!("< {received:?}"));
            self.audit.response(&received, self.now, &self.snapshot)?;
            if let Some(kind) = received.kind() {
                self.envoy.note_sent(kind, &received, &self.snapshot);
            }
            if V::IS_WHOLE && received.kind() == Some(Kind::Cluster) && !self.is_answered {
                self.excuse();
            }
            let at = self.now + self.delay();
            let at = self
                .to_client
                .back()
                .map_or(at, |(before, _)| at.max(*before));
            self.to_client.push_back((at, received));
        }
        Ok(())
    }

    /// A response arrives at the client, or all that are there.
    fn take(&mut self) -> Result<(), String> {
        while let Some((_, response)) = self.to_client.pop_front_if(|(at, _)| *at <= self.now) {
            let kind = response.kind();
            if kind.is_some() {
                self.hear(&response)?;
            }
            // What a cluster or a listener no longer names is said before another names it again.
            if !self.hears_all || kind.is_some_and(Kind::is_wildcard) {
                break;
            }
        }
        self.speak();
        Ok(())
    }

    fn hear(&mut self, response: &Received) -> Result<(), String> {
        let outcome = self
            .envoy
            .take(response, V::IS_WHOLE, self.now, &self.snapshot)?;
        self.note(|| format!("  taken {} {outcome:?}", response.nonce));
        self.is_answered |= response.kind() == Some(Kind::Cluster) && outcome.error.is_none();
        self.mux.hear(response, &outcome, &self.envoy);
        Ok(())
    }

    /// Lets what is under way, held back or tried again come to an end.
    fn settle(&mut self) -> Result<(), String> {
        self.serve(0);
        self.step(Vec::new())?;
        self.advance(Duration::from_secs(if self.is_poisoned() {
            100
        } else {
            20
        }))?;
        // What it came with and nobody knows warms for as long as Envoy waits, and one after the other.
        for _ in 0..4 {
            if self.envoy.unfinished().is_some() {
                self.advance(Duration::from_secs(20))?;
            }
        }
        while !self.to_client.is_empty() || !self.to_server.is_empty() {
            self.advance(Duration::from_secs(1))?;
        }
        Ok(())
    }

    /// Whether the model has something that clients reject.
    fn is_poisoned(&self) -> bool {
        let contents = self.mesh.contents();
        let mut all = contents.iter().flat_map(|(_, contents)| contents.values());
        all.any(|text| poison_of(text) != Poison::None)
    }

    /// The client has what the model says, apart from what it rejects.
    fn check_end(&self) -> Result<(), String> {
        if let Some(name) = self.envoy.unfinished() {
            return Err(format!("{name} still warms"));
        }
        let contents = self.mesh.contents();
        for (kind, wants) in contents.iter() {
            let has = self.envoy.has(kind);
            let asked = self.envoy.interest(kind);
            for (name, content) in wants {
                let is_asked = kind.is_wildcard() || asked.contains(name);
                if is_asked && !self.is_excused(kind, name, wants) && has.get(name) != Some(content)
                {
                    let has = has.get(name);
                    return Err(format!(
                        "{kind}/{name} is {content}, the client has {has:?}"
                    ));
                }
            }
            for name in has.keys().filter(|name| !wants.contains_key(*name)) {
                if kind.is_wildcard() && !self.mux.is_leaked(kind, name) {
                    return Err(format!("{kind}/{name} is gone, the client has it"));
                }
            }
        }
        Ok(())
    }

    /// Whether the client may have something else.
    fn is_excused(&self, kind: Kind, name: &str, wanted: &BTreeMap<String, String>) -> bool {
        let is_bad = wanted
            .get(name)
            .is_none_or(|text| poison_of(text) != Poison::None);
        is_bad || self.mux.is_leaked(kind, name)
    }

    /// What the client of either variant has, apart from what it may have otherwise.
    fn agreed(&self) -> Contents {
        let contents = self.mesh.contents();
        PerKind::from_fn(|kind| {
            let mut has = self.envoy.has(kind);
            has.retain(|name, _| !self.is_excused(kind, name, &contents[kind]));
            has
        })
    }

    /// A client that is up to date is left alone.
    fn check_silence(&mut self) -> Result<(), String> {
        let before = self.audit.messages;
        self.snapshot = Arc::new(Snapshot::clone(&self.snapshot));
        self.step(Vec::new())?;
        self.advance(Duration::from_hours(1))?;
        match self.audit.messages - before {
            0 => Ok(()),
            more => Err(format!("{more} messages to a client that is up to date")),
        }
    }
}

/// Runs a schedule against one variant.
fn run<V: Side>(schedule: &Schedule) -> Result<Contents, String> {
    Simulation::<V>::new(schedule).run(schedule)
}

/// Runs a schedule against both variants. `Err` says what went wrong.
fn check(schedule: &Schedule) -> Result<(), String> {
    let delta = run::<DeltaStream>(schedule).map_err(|why| format!("delta: {why}"))?;
    let whole = run::<SotwStream>(schedule).map_err(|why| format!("state of the world: {why}"))?;
    for (kind, delta) in delta.iter() {
        // What only one of them could not know is no difference.
        let differs = |(name, text): (&String, &String)| {
            whole[kind].get(name).is_some_and(|other| other != text)
        };
        if delta.iter().any(differs) {
            return Err(format!("{kind}: delta {delta:?}, whole {:?}", whole[kind]));
        }
    }
    Ok(())
}

/// What happens in a schedule, for the reader of a failure.
fn trace<V: Side>(schedule: &Schedule) -> String {
    let mut simulation = Simulation::<V>::new(schedule);
    simulation.trace = Some(Vec::new());
    let result = simulation.run(schedule).map(drop);
    let lines = simulation.trace.unwrap_or_default();
    format!("{}\n{result:?}", lines.join("\n"))
}
