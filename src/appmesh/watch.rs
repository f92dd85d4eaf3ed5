//! Keeps a target as its source is.
//!
//! At the start, after trouble and every interval, all of the target is read. Otherwise only what changes at the source is
//! looked at, against what the target is known to have. What somebody else changes at the target is found at the next
//! reading, and repaired or reported.
//!
//! A target that is of no use is tried again after a wait that grows; a resource that it refuses likewise, by itself.
//! Nothing here keeps anybody else waiting, and what the source has never depends on it.

mod drift;
mod reading;
mod round;
mod unlike;

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::mem;
use std::time::Duration;

use imbl::ordmap::DiffItem;
use prometheus::Registry;
use thiserror::Error;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::client::{Client, TargetError, TargetOptions};
use super::known::Known;
use super::metrics::Metrics;
use super::plan::{Foreign, ForeignState, Options, Plan, plan, plan_of};
use super::read::{Scope, Target};
use super::status::{Mirror, Standing, State, Status};
use crate::back_off::BackOff;
use crate::model::ResourceId;
use crate::store::{Records, Stored};
use drift::Drifted;
use unlike::Unlike;

/// All of a target is not read more often than this.
pub const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);
/// The waits after a target was of no use.
const AFTER_TROUBLE: BackOff = BackOff::new(Duration::from_secs(1), Duration::from_mins(1));
/// And after a resource was refused.
const AFTER_REFUSAL: BackOff = BackOff::new(Duration::from_secs(5), Duration::from_mins(5));
/// Of what somebody else changed, so much is logged.
const LOGGED: usize = 16;

/// Reads how often all of a target is to be read, such as `5m`.
///
/// # Errors
/// When it is no time, or too short a one.
pub fn checked_interval(text: &str) -> Result<Duration, String> {
    let interval = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if interval < SHORTEST_INTERVAL {
        return Err("use 1s or more".to_owned());
    }
    Ok(interval)
}

/// What is mirrored where, and how.
#[derive(Clone, Debug)]
pub struct Settings {
    pub target: TargetOptions,
    /// The meshes that are mirrored.
    pub scope: Scope,
    /// Take over what the source declares and somebody else made at the target.
    pub adopt: bool,
    /// Delete what was mirrored and is no longer there.
    pub prune: bool,
    pub drift: Drift,
    /// How often all of the target is read.
    pub drift_interval: Duration,
}

/// What becomes of a resource that somebody else changed at the target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Drift {
    /// It is made as the source has it.
    #[default]
    Repair,
    /// It is left, and told of, until the source changes it.
    Report,
}

/// Why the target cannot be followed at present.
#[derive(Debug, Error)]
enum Trouble {
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error("the target {endpoint} is the source itself; name another")]
    Itself { endpoint: String },
}

/// The task that follows.
#[derive(Debug)]
pub struct Watch {
    settings: Settings,
    options: Options,
    source: watch::Receiver<Stored>,
    status: watch::Sender<Status>,
    metrics: Metrics,
    known: Known,
    /// What of the source was last looked at; `None` before the target was read.
    seen: Option<Records>,
    /// What the source has changed and the target is yet to be told.
    pending: BTreeSet<ResourceId>,
    /// What the target refused.
    failed: BTreeSet<ResourceId>,
    /// What waits for something else to be there.
    waiting: BTreeSet<ResourceId>,
    /// What the target has otherwise than it was told.
    unlike: Unlike,
    /// What was written, or looked at, since the target began to be read.
    touched: BTreeSet<ResourceId>,
    /// When what was refused is tried again, and how often it was.
    retry: Option<Instant>,
    retries: u32,
    drifted: Drifted,
    /// Meshes that are to be mirrored and that the source has not.
    absent: BTreeSet<ResourceId>,
}

impl Watch {
    /// Of a source with this id.
    ///
    /// # Errors
    /// When the registry has a mirror's metrics already.
    pub fn new(
        settings: Settings,
        id: String,
        source: watch::Receiver<Stored>,
        registry: &Registry,
    ) -> prometheus::Result<(Self, Mirror)> {
        let status = Status::new(settings.target.endpoint.clone());
        let status = watch::Sender::new(status);
        let mirror = Mirror {
            status: status.subscribe(),
            source: source.clone(),
        };
        let options = Options {
            mirror: id,
            target: None,
            adopt: settings.adopt,
            prune: settings.prune,
            scope: settings.scope.clone(),
        };
        let watch = Self {
            metrics: Metrics::register(registry, mirror.clone())?,
            settings,
            options,
            source,
            status,
            known: Known::default(),
            seen: None,
            pending: BTreeSet::new(),
            failed: BTreeSet::new(),
            waiting: BTreeSet::new(),
            unlike: Unlike::default(),
            touched: BTreeSet::new(),
            retry: None,
            retries: 0,
            drifted: Drifted::default(),
            absent: BTreeSet::new(),
        };
        Ok((watch, mirror))
    }

    /// Follows until it is told to stop. What is under way then may have been done or not; the next start finds out.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut waits = 0;
        loop {
            let followed = tokio::select! {
                () = stop.cancelled() => return,
                followed = self.follow(&mut waits) => followed,
            };
            let trouble = match followed {
                Ok(never) => match never {},
                Err(trouble) => trouble,
            };
            let wait = self.give_up(&trouble, &mut waits);
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.wait_out(wait) => {}
            }
        }
    }

    /// Says what the trouble is, and returns after how long to try again.
    fn give_up(&self, trouble: &Trouble, waits: &mut u32) -> Duration {
        let error = trouble.to_string();
        let now = std::time::Instant::now();
        match trouble {
            Trouble::Target(_) => {
                let wait = AFTER_TROUBLE.spread(*waits);
                *waits = waits.saturating_add(1);
                warn!(
                    ?wait,
                    "the mirror's target is of no use, trying again: {error}"
                );
                let next_try = now + wait;
                self.enter(State::Unavailable { error, next_try });
                wait
            }
            // No waiting mends it, but a name may lead elsewhere one day.
            Trouble::Itself { .. } => {
                if !matches!(self.status.borrow().state, State::Refused { .. }) {
                    error!("nothing is mirrored: {error}");
                }
                let wait = self.settings.drift_interval;
                let next_try = now + wait;
                self.enter(State::Refused { error, next_try });
                wait
            }
        }
    }

    /// Waits, and takes note of what the source changes meanwhile.
    async fn wait_out(&mut self, wait: Duration) {
        let until = Instant::now() + wait;
        loop {
            tokio::select! {
                () = sleep_until(until) => return,
                () = changed(&mut self.source) => self.note_changes(),
            }
        }
    }

    fn note_changes(&mut self) {
        // Before the target was read once, nobody knows what it lacks.
        if self.seen.is_none() {
            return;
        }
        let stored = self.take_changes();
        self.status.send_modify(|status| {
            for id in &self.pending {
                status.others.insert(id.clone(), Standing::Pending);
            }
        });
        self.count(&stored);
    }

    /// Follows until there is trouble.
    async fn follow(&mut self, waits: &mut u32) -> Result<Infallible, Trouble> {
        self.loaded().await;
        let client = Client::connect(self.settings.target.clone()).await?;
        let is_in_trouble = matches!(
            self.status.borrow().state,
            State::Unavailable { .. } | State::Refused { .. }
        );
        if !is_in_trouble {
            self.enter(State::Reading);
        }
        let mut target = self.read(&client).await?;
        loop {
            self.compare(&client, target).await?;
            *waits = 0;
            let until = Instant::now() + self.settings.drift_interval;
            while self.has_to_do(until).await {
                self.catch_up(&client).await?;
            }
            target = self.read_beside_changes(&client).await?;
        }
    }

    /// Waits until the source has anything to say.
    async fn loaded(&mut self) {
        let is_loaded = |stored: &Stored| stored.changed_at.is_some();
        if self.source.wait_for(is_loaded).await.is_err() {
            // The source is about to end, and this with it.
            std::future::pending::<()>().await;
        }
    }

    /// Waits until there is something to do. No: it is time to read all of the target.
    async fn has_to_do(&mut self, until: Instant) -> bool {
        tokio::select! {
            () = self.has_news() => true,
            () = sleep_until(until) => false,
        }
    }

    /// Waits until the source has changed, or what was refused is to be tried again. Cancel-safe.
    async fn has_news(&mut self) {
        let retry = self.retry;
        tokio::select! {
            () = changed(&mut self.source) => {}
            () = sleep_until(retry.unwrap_or_else(Instant::now)), if retry.is_some() => {}
        }
    }

    /// Compares all of the target with the source, and does what there is to do.
    async fn compare(&mut self, client: &Client, target: Target) -> Result<(), Trouble> {
        let is_first = self.seen.is_none();
        let stored = self.take_changes();
        let (source, options) = (stored.clone(), self.options.clone());
        let (before, touched) = (mem::take(&mut self.known), mem::take(&mut self.touched));
        // Of a large mesh it takes longer than a runtime thread is to be kept.
        let compared = spawn_blocking(move || {
            let mut known = Known::read(target, &source.model);
            // What was written while the target was read is newer than what was read of it.
            for id in touched {
                known.take_over(id, &before);
            }
            let plan = plan(&source, &known, &options);
            (known, plan)
        });
        let (known, mut plan) = compared
            .await
            .unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
        self.known = known;
        let is_beside = |foreign: &&Foreign| foreign.state == ForeignState::Beside;
        let beside = plan.foreign.iter().filter(is_beside).count();
        self.status.send_modify(|status| {
            status.last_read = Some(std::time::Instant::now());
            status.beside = beside;
        });
        let mut ids: BTreeSet<ResourceId> = stored.records.keys().cloned().collect();
        ids.extend(self.known.ids().cloned());
        if is_first {
            let steps = plan.steps.iter();
            self.pending.extend(steps.map(|step| step.id.clone()));
        }
        self.set_aside(&mut plan);
        if self.find_drift(&plan) && self.settings.drift == Drift::Report {
            ids.retain(|id| !self.drifted.contains(id));
            plan = plan_of(ids.clone(), &stored, &self.known, &self.options);
            self.set_aside(&mut plan);
        }
        self.status.send_modify(|status| status.others.clear());
        self.failed.clear();
        self.waiting.clear();
        self.carry_out(client, &stored, &ids, plan).await
    }

    /// Takes note of what somebody else changed at the target. Returns whether there is any of it.
    fn find_drift(&mut self, plan: &Plan) -> bool {
        let is_expected = |id: &ResourceId| {
            self.pending.contains(id) || self.failed.contains(id) || self.waiting.contains(id)
        };
        let found = Drifted::in_plan(plan, is_expected);
        let new = found.since(&self.drifted);
        let is_repaired = self.settings.drift == Drift::Repair;
        for (id, what) in new.iter().take(LOGGED) {
            let done = if is_repaired { "repaired" } else { "left so" };
            warn!("`{id}` was changed at the mirror's target, and is {done}: {what}");
        }
        self.metrics.drifted(new.len(), is_repaired);
        // What is repaired is no longer different.
        self.drifted = if is_repaired {
            Drifted::default()
        } else {
            found
        };
        !self.drifted.is_empty()
    }

    /// Does what the source's changes ask for, and what is to be tried again.
    async fn catch_up(&mut self, client: &Client) -> Result<(), Trouble> {
        let stored = self.take_changes();
        let mut ids = self.pending.clone();
        ids.extend(self.waiting.iter().cloned());
        if self.retry.is_some_and(|retry| retry <= Instant::now()) {
            ids.extend(self.failed.iter().cloned());
        }
        ids.retain(|id| !self.drifted.contains(id));
        let again: Vec<ResourceId> = ids.intersection(&self.failed).cloned().collect();
        // What it is known to be may be why it was refused.
        self.look_at(client, again, &stored).await?;
        let mut plan = plan_of(ids.clone(), &stored, &self.known, &self.options);
        self.set_aside(&mut plan);
        self.carry_out(client, &stored, &ids, plan).await
    }

    /// Takes note of what has changed at the source, which is what it is now.
    fn take_changes(&mut self) -> Stored {
        let stored = self.source.borrow_and_update().clone();
        let before = self.seen.get_or_insert_default();
        for item in before.diff(&stored.records) {
            let (DiffItem::Add(id, _)
            | DiffItem::Remove(id, _)
            | DiffItem::Update { new: (id, _), .. }) = item;
            if self.options.scope.includes(id.mesh()) {
                self.pending.insert(id.clone());
                self.drifted.forget(id);
            }
        }
        *before = stored.records.clone();
        self.status.send_if_modified(|status| {
            let is_behind = status.mirrored != Some(stored.revision);
            if is_behind && status.behind_since.is_none() {
                status.behind_since = stored.changed_at;
            }
            is_behind
        });
        stored
    }

    fn enter(&self, state: State) {
        self.status.send_modify(|status| status.enter(state));
    }
}

/// Waits until the source has changed. Cancel-safe.
async fn changed(source: &mut watch::Receiver<Stored>) {
    if source.changed().await.is_err() {
        // It is about to end, and this with it.
        std::future::pending::<()>().await;
    }
}
