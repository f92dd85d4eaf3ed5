//! The task that owns all sources: their timers, the look-ups under way, and the table it publishes.
//!
//! **Invariants:** a source has at most one look-up under way. Answers that arrive within [`PUBLISH_PACE`] are published
//! together, so that no number of changing names makes a storm of pushes; one that comes alone is published at once.
//! At most [`LOOKUPS`] look-ups run at once; the others wait in the order in which they fell due.

mod upkeep;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use imbl::OrdSet;
use imbl::ordset::DiffItem;
use tokio::sync::watch;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::answer::{Answer, HostAnswer, SourceAnswer};
use super::file::{Loaded, Saver};
use super::metrics::Metrics;
use super::resolver::Resolver;
use super::saved::Clocks;
use super::source::{Event, Rules, Source};
use crate::model::endpoint::{EndpointSet, EndpointSource, EndpointTable};
use crate::telemetry::Ready;

/// Look-ups that run at the same time.
const LOOKUPS: usize = 64;
/// Time between two changes of the published table.
const PUBLISH_PACE: Duration = Duration::from_millis(100);
/// What an earlier process knew of a source that nobody wants is kept this long: at the start, the mesh may not be
/// loaded yet, or not be valid.
const FORGET_AFTER: Duration = Duration::from_hours(1);
/// How often all sources are counted, and the age of the oldest answer is measured.
const MEASURE_INTERVAL: Duration = Duration::from_secs(1);

/// One appearance of a source: when it goes and comes back, it is another.
type Appearance = u64;

pub(super) struct Owner {
    rules: Rules,
    resolver: Arc<Resolver>,
    metrics: Metrics,
    wanted: OrdSet<EndpointSource>,
    appearances: HashMap<EndpointSource, Appearance>,
    followed: HashMap<Appearance, Followed>,
    next_appearance: Appearance,
    alarms: BTreeSet<(Instant, Appearance)>,
    waiting: VecDeque<Appearance>,
    lookups: JoinSet<SourceAnswer>,
    running: HashMap<Id, Appearance>,
    /// What the table does not say yet; `None` removes.
    changes: BTreeMap<EndpointSource, Option<EndpointSet>>,
    publish_from: Instant,
    /// What an earlier process knew of sources that were not wanted yet.
    loaded: Loaded,
    forget_loaded_at: Instant,
    saver: Option<Saver>,
    ready: Ready,
    spread: RandomState,
    answers: u64,
}

struct Followed {
    source: EndpointSource,
    state: Source,
    alarm: Option<Instant>,
    lookup: Option<AbortHandle>,
}

impl Owner {
    pub(super) fn new(
        rules: Rules,
        resolver: Arc<Resolver>,
        metrics: Metrics,
        ready: Ready,
        (loaded, saver): (Loaded, Option<Saver>),
    ) -> Self {
        let now = Instant::now();
        Self {
            rules,
            resolver,
            metrics,
            wanted: OrdSet::new(),
            appearances: HashMap::new(),
            followed: HashMap::new(),
            next_appearance: 0,
            alarms: BTreeSet::new(),
            waiting: VecDeque::new(),
            lookups: JoinSet::new(),
            running: HashMap::new(),
            changes: BTreeMap::new(),
            publish_from: now,
            loaded,
            forget_loaded_at: now + FORGET_AFTER,
            saver,
            ready,
            spread: RandomState::new(),
            answers: 0,
        }
    }

    pub(super) async fn run(
        mut self,
        mut sources: watch::Receiver<OrdSet<EndpointSource>>,
        table: watch::Sender<EndpointTable>,
        stop: CancellationToken,
    ) {
        let mut measure = interval(MEASURE_INTERVAL);
        measure.set_missed_tick_behavior(MissedTickBehavior::Delay);
        sources.mark_changed();
        loop {
            self.start_lookups();
            self.publish(&table, Instant::now());
            let alarm = sleep_until_some(self.next_alarm());
            let written = async {
                match &mut self.saver {
                    Some(saver) => saver.written().await,
                    None => std::future::pending().await,
                }
            };
            // Every branch may be dropped unfinished: none holds anything.
            tokio::select! {
                () = stop.cancelled() => break,
                Ok(()) = sources.changed() => {
                    let wanted = sources.borrow_and_update().clone();
                    self.follow(&wanted, Instant::now());
                }
                Some(ended) = self.lookups.join_next_with_id() => {
                    let now = Instant::now();
                    self.take(ended, now);
                    while let Some(ended) = self.lookups.try_join_next_with_id() {
                        self.take(ended, now);
                    }
                }
                () = alarm => self.ring(Instant::now()),
                written = written => self.written(written),
                now = measure.tick() => self.measure(now),
            }
        }
        self.lookups.shutdown().await;
        self.save_all().await;
    }

    fn next_alarm(&self) -> Option<Instant> {
        let publish = (!self.changes.is_empty()).then_some(self.publish_from);
        let save = self.saver.as_ref().and_then(Saver::due);
        let source = self.alarms.first().map(|(at, _)| *at);
        source.into_iter().chain(publish).chain(save).min()
    }

    fn follow(&mut self, wanted: &OrdSet<EndpointSource>, now: Instant) {
        let before = std::mem::replace(&mut self.wanted, wanted.clone());
        for change in before.diff(wanted) {
            match change {
                DiffItem::Add(source) => self.add(source, now),
                DiffItem::Remove(source) => self.remove(source),
            }
        }
    }

    fn add(&mut self, source: &EndpointSource, now: Instant) {
        let appearance = self.next_appearance;
        self.next_appearance += 1;
        let mut followed = Followed {
            source: source.clone(),
            state: Source::new(source, &self.rules, now),
            alarm: None,
            lookup: None,
        };
        if let Some(saved) = self.loaded.remove(source) {
            followed.state.restore(saved, Clocks::now());
        }
        if let set @ EndpointSet::Known(_) = followed.state.set() {
            self.changes.insert(source.clone(), Some(set));
        }
        self.appearances.insert(source.clone(), appearance);
        self.followed.insert(appearance, followed);
        self.attend(appearance, now);
    }

    fn remove(&mut self, source: &EndpointSource) {
        let appearance = self.appearances.remove(source);
        let Some((appearance, followed)) =
            appearance.and_then(|one| self.followed.remove(&one).map(|followed| (one, followed)))
        else {
            return;
        };
        if let Some(alarm) = followed.alarm {
            self.alarms.remove(&(alarm, appearance));
        }
        if let Some(lookup) = followed.lookup {
            lookup.abort();
        }
        self.changes.insert(source.clone(), None);
        if let Some(saver) = &mut self.saver {
            saver.changed();
        }
    }

    /// Does what is due for a source and sets its alarm for what is next.
    fn attend(&mut self, appearance: Appearance, now: Instant) {
        let Some(followed) = self.followed.get_mut(&appearance) else {
            return;
        };
        if let Some(event) = followed.state.give_up(now) {
            log(&followed.source, &followed.state, event);
            let set = followed.state.set();
            self.changes.insert(followed.source.clone(), Some(set));
        }
        if followed.state.start_query(now) {
            self.waiting.push_back(appearance);
        }
        if let Some(alarm) = followed.alarm.take() {
            self.alarms.remove(&(alarm, appearance));
        }
        followed.alarm = followed.state.wake_at();
        self.alarms
            .extend(followed.alarm.map(|alarm| (alarm, appearance)));
    }

    fn ring(&mut self, now: Instant) {
        while let Some((_, appearance)) = self.alarms.first().filter(|(at, _)| *at <= now).copied()
        {
            self.attend(appearance, now);
        }
        let due = self.saver.as_ref().and_then(Saver::due);
        if due.is_some_and(|due| due <= now) {
            self.save(now);
        }
    }

    fn start_lookups(&mut self) {
        while self.running.len() < LOOKUPS
            && let Some(appearance) = self.waiting.pop_front()
        {
            // Gone while it waited.
            let Some(followed) = self.followed.get_mut(&appearance) else {
                continue;
            };
            let lookup = Arc::clone(&self.resolver).look_up(followed.source.clone());
            let handle = self.lookups.spawn(lookup);
            self.running.insert(handle.id(), appearance);
            followed.lookup = Some(handle);
        }
    }

    fn take(&mut self, ended: Result<(Id, SourceAnswer), JoinError>, now: Instant) {
        let id = match &ended {
            Ok((id, _)) => *id,
            Err(error) => error.id(),
        };
        let Some(appearance) = self.running.remove(&id) else {
            return;
        };
        let Some(followed) = self.followed.get_mut(&appearance) else {
            return;
        };
        followed.lookup = None;
        let answer = match ended {
            Ok((_, answer)) => answer,
            Err(error) => ended_early(&followed.source, &error),
        };
        // The same random number for the same name each time would keep names together that met once.
        self.answers += 1;
        let jitter = unit(self.spread.hash_one((&followed.source, self.answers)));
        let outcome = followed.state.answered(answer, &self.rules, now, jitter);
        if let Some(event) = outcome.event {
            log(&followed.source, &followed.state, event);
        }
        if let Some(saver) = &mut self.saver {
            if outcome.changed || matches!(outcome.event, Some(Event::Denied | Event::Recovered)) {
                saver.changed();
            } else {
                saver.confirmed();
            }
        }
        if outcome.changed {
            let set = followed.state.set();
            self.changes.insert(followed.source.clone(), Some(set));
        }
        self.attend(appearance, now);
    }

    fn publish(&mut self, table: &watch::Sender<EndpointTable>, now: Instant) {
        if self.changes.is_empty() || now < self.publish_from {
            return;
        }
        self.publish_from = now + PUBLISH_PACE;
        let changes = std::mem::take(&mut self.changes);
        table.send_if_modified(|table| {
            let mut modified = false;
            for (source, set) in changes {
                modified |= table.get(&source) != set.as_ref();
                match set {
                    Some(set) => table.insert(source, set),
                    None => table.remove(&source),
                };
            }
            modified
        });
    }
}

async fn sleep_until_some(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// The answer of a look-up that ended without one, which only a bug can cause: it is retried like any failure.
fn ended_early(source: &EndpointSource, error: &JoinError) -> SourceAnswer {
    let EndpointSource::Dns { hostname, .. } = source;
    let failed: Arc<str> = format!("the look-up ended early: {error}").into();
    let answer = HostAnswer {
        v4: Answer::Failed(Arc::clone(&failed)),
        v6: Answer::Failed(failed),
    };
    SourceAnswer {
        services: None,
        hosts: vec![(Arc::clone(hostname), answer)],
    }
}

/// A number from 0 to 1 out of a hash.
fn unit(hash: u64) -> f64 {
    let upper = u32::try_from(hash >> 32).unwrap_or(u32::MAX);
    f64::from(upper) / f64::from(u32::MAX)
}

fn log(source: &EndpointSource, state: &Source, event: Event) {
    let EndpointSource::Dns { hostname, .. } = source;
    let hostname = hostname.as_ref();
    let error = state.error();
    match event {
        Event::Resolved => info!(hostname, "found endpoints"),
        Event::Recovered => info!(hostname, "look-ups succeed again"),
        Event::NotFound => warn!(
            hostname,
            "the name does not exist or has no addresses; its virtual nodes have no endpoints"
        ),
        Event::GivenUp => warn!(
            hostname,
            error,
            "no answer yet; sidecars that know endpoints of its virtual nodes keep them, others have none until one comes"
        ),
        Event::Failing => warn!(
            hostname,
            error, "look-ups fail; what was known before stays in use"
        ),
        Event::Denied => warn!(
            hostname,
            "the name is gone; its last good answer stays in use for the grace period"
        ),
        Event::Lost => warn!(
            hostname,
            "the name stayed gone; its virtual nodes have no endpoints any more"
        ),
    }
}
