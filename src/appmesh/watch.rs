//! Keeps a target as its source is.
//!
//! At the start, after trouble and every interval, all of the target is read. Otherwise only what changes at the source is
//! looked at, against what the target is known to have. What somebody else changes at the target is found at the next
//! reading, and repaired or reported.
//!
//! How each resource stands, and which are looked at when, is decided in [`ledger`], which is pure; here is what calls the
//! target. Whatever is waited for, the source's changes are noted at once.
//!
//! A target that is of no use is tried again after a wait that grows; a resource that it refuses likewise, by itself.
//! Nothing here keeps anybody else waiting, and what the source has never depends on it: a panic is trouble, too.

mod guard;
mod ledger;
mod reading;
mod round;
mod unlike;

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::ops::RangeInclusive;
use std::pin::pin;
use std::time::Duration;

use prometheus::Registry;
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::client::{Client, TargetError, TargetOptions};
use super::known::Known;
use super::metrics::Metrics;
use super::plan::Options;
use super::read::{Scope, read};
use super::status::{Mirror, State, Status};
use crate::back_off::BackOff;
use crate::model::ResourceId;
use crate::store::Stored;
use ledger::Ledger;
use unlike::Unlike;

/// How often all of a target may be read.
pub const INTERVALS: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_hours(365 * 24);
/// The waits after a target was of no use.
const AFTER_TROUBLE: BackOff = BackOff::new(Duration::from_secs(1), Duration::from_mins(1));
/// And after a resource was refused.
const AFTER_REFUSAL: BackOff = BackOff::new(Duration::from_secs(5), Duration::from_mins(5));
/// Of what somebody else changed, or the target refused, so much is logged at a time.
const LOGGED: usize = 16;

/// Reads how often all of a target is to be read, such as `5m`.
///
/// # Errors
/// When it is no time, or too short or too long a one.
pub fn checked_interval(text: &str) -> Result<Duration, String> {
    let interval = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if !INTERVALS.contains(&interval) {
        return Err("use 1s to 365d".to_owned());
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
    #[error(
        "the target {endpoint} is another server than before, with nothing of this mirror's and something of others; name \
         the one that is meant, or start the mirror anew to go on with this one"
    )]
    Another { endpoint: String },
    #[error("the mirror failed by a mistake of its own, which please report: {what}")]
    Panic { what: String },
}

/// The task that follows.
#[derive(Debug)]
pub struct Watch {
    settings: Settings,
    options: Options,
    source: watch::Receiver<Stored>,
    status: watch::Sender<Status>,
    metrics: Metrics,
    /// How often in a row the target was of no use.
    waits: u32,
    /// The target's own id, if it ever said one.
    server: Option<String>,
    memory: Memory,
    /// How often a test wants it to panic.
    #[cfg(test)]
    panics: u32,
}

/// All that is known of the target, and of what is to be done there.
#[derive(Debug, Default)]
struct Memory {
    known: Known,
    ledger: Ledger,
    /// What the target has otherwise than it was told.
    unlike: Unlike,
    /// What was written, or looked at, since the target began to be read.
    touched: BTreeSet<ResourceId>,
    has_begun: bool,
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
            waits: 0,
            server: None,
            memory: Memory::default(),
            #[cfg(test)]
            panics: 0,
        };
        Ok((watch, mirror))
    }

    /// Follows until it is told to stop. What is under way then may have been done or not; the next start finds out.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            let followed = tokio::select! {
                () = stop.cancelled() => return,
                followed = guard::caught(Box::pin(self.follow())) => followed,
            };
            let trouble = match followed {
                Ok(Ok(never)) => match never {},
                Ok(Err(trouble)) => trouble,
                Err(what) => {
                    // Nobody knows what state it is in.
                    self.memory = Memory::default();
                    Trouble::Panic { what }
                }
            };
            let wait = self.give_up(&trouble);
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.beside_changes(after(wait)) => {}
            }
        }
    }

    /// Says what the trouble is, and returns after how long to try again.
    fn give_up(&mut self, trouble: &Trouble) -> Duration {
        let error = trouble.to_string();
        let (wait, state): (_, fn(_, _) -> State) = match trouble {
            Trouble::Target(_) | Trouble::Another { .. } | Trouble::Panic { .. } => {
                let wait = AFTER_TROUBLE.spread(self.waits);
                self.waits = self.waits.saturating_add(1);
                if matches!(trouble, Trouble::Panic { .. }) {
                    error!(?wait, "trying again: {error}");
                } else {
                    warn!(
                        ?wait,
                        "the mirror's target is of no use, trying again: {error}"
                    );
                }
                let state = |error, next_try| State::Unavailable { error, next_try };
                (wait, state)
            }
            // No waiting mends it, but a name may lead elsewhere one day.
            Trouble::Itself { .. } => {
                if !matches!(self.status.borrow().state, State::Refused { .. }) {
                    error!("nothing is mirrored: {error}");
                }
                let state = |error, next_try| State::Refused { error, next_try };
                (self.settings.drift_interval, state)
            }
        };
        let now = std::time::Instant::now();
        self.enter(state(error, now.checked_add(wait).unwrap_or(now)));
        self.publish();
        wait
    }

    /// Follows until there is trouble.
    async fn follow(&mut self) -> Result<Infallible, Trouble> {
        self.begin().await;
        #[cfg(test)]
        self.trip();
        let options = self.settings.target.clone();
        let client = self.beside_changes(Client::connect(options)).await?;
        let is_in_trouble = matches!(
            self.status.borrow().state,
            State::Unavailable { .. } | State::Refused { .. }
        );
        if !is_in_trouble {
            self.enter(State::Reading);
        }
        let reader = client.clone();
        let scope = self.settings.scope.clone();
        let reading = async || read(&reader, &scope, |_| ()).await;
        self.memory.touched.clear();
        let mut target = self.beside_changes(reading()).await;
        loop {
            let target_read = self.has_read(&client, target)?;
            self.compare(&client, target_read).await?;
            self.waits = 0;
            self.keep_up(&client, after(self.settings.drift_interval))
                .await?;
            self.memory.touched.clear();
            // At the pace of a target that is far away, it takes minutes.
            target = self.keep_up(&client, reading()).await?;
        }
    }

    /// Waits until the source has anything to say.
    async fn begin(&mut self) {
        if self.memory.has_begun {
            return;
        }
        let is_loaded = |stored: &Stored| stored.changed_at.is_some();
        let Ok(stored) = self.source.wait_for(is_loaded).await.map(|at| at.clone()) else {
            // It is about to end, and this with it.
            return std::future::pending().await;
        };
        self.memory.ledger = Ledger::new(self.settings.scope.clone());
        self.memory.ledger.begin(stored);
        self.memory.has_begun = true;
        self.publish();
    }

    /// Does something, and takes note of what the source changes meanwhile.
    async fn beside_changes<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = changed(&mut self.source) => self.note(),
            }
        }
    }

    /// Does something, and meanwhile tells the target what the source changes, and again what it refused.
    async fn keep_up<T>(
        &mut self,
        client: &Client,
        work: impl Future<Output = T>,
    ) -> Result<T, Trouble> {
        let mut work = pin!(work);
        loop {
            let ledger = &self.memory.ledger;
            let (has_news, due) = (ledger.has_news(), ledger.next_due());
            tokio::select! {
                done = &mut work => return Ok(done),
                () = std::future::ready(()), if has_news => {}
                () = changed(&mut self.source) => self.note(),
                () = sleep_until(due.map_or_else(Instant::now, Into::into)), if due.is_some() => {}
            }
            self.catch_up(client).await?;
        }
    }

    /// Takes note of what the source is now.
    fn note(&mut self) {
        let stored = self.source.borrow_and_update().clone();
        if !self.memory.has_begun {
            return;
        }
        self.memory.ledger.note(stored);
        let is_at_rest = matches!(
            self.status.borrow().state,
            State::InStep | State::Incomplete
        );
        if is_at_rest && self.memory.ledger.is_new() {
            self.enter(State::Writing);
        }
        self.publish();
    }

    fn enter(&self, state: State) {
        self.status.send_modify(|status| status.enter(state));
    }

    /// Shows how everything stands.
    fn publish(&self) {
        let ledger = &self.memory.ledger;
        self.status.send_modify(|status| {
            status.others = ledger.others().clone();
            status.declared = ledger.declared().map(|(count, of)| (count, of.clone()));
            status.mirrored = ledger.mirrored();
            status.behind_since = ledger.behind_since();
        });
    }

    #[cfg(test)]
    fn trip(&mut self) {
        if self.panics > 0 {
            self.panics -= 1;
            panic!("as a test wants it");
        }
    }
}

/// Waits so long, however long that is.
async fn after(wait: Duration) {
    match Instant::now().checked_add(wait) {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}

/// Waits until the source has changed. Cancel-safe.
async fn changed(source: &mut watch::Receiver<Stored>) {
    if source.changed().await.is_err() {
        // It is about to end, and this with it.
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests;
