//! What all streams write to while the run measures them.
//!
//! Streams only touch atomics here, so recording costs far less than the messages that are being recorded.

use crate::session::Event;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

const IDLE: usize = usize::MAX;

/// How often it is looked whether the fleet is quiet.
const GLANCE: Duration = Duration::from_millis(20);

pub(crate) struct Recorder {
    epoch: Instant,
    messages: AtomicU64,
    bytes: AtomicU64,
    resources: AtomicU64,
    /// When the last message or the last stream's headers came.
    last_sign: AtomicU64,
    /// Whether changes come that no bump is waited for.
    is_open_loop: AtomicBool,
    /// Changes received in that time.
    delivered: AtomicU64,
    /// Changes that nothing explains.
    pub(crate) unexpected: AtomicU64,
    pub(crate) failures: AtomicU64,
    /// Streams that broke and came back, and resources that came in the version that was held.
    pub(crate) broken: AtomicU64,
    pub(crate) resent: AtomicU64,
    pub(crate) first_failure: Mutex<Option<String>>,
    /// Per stream: when it opened, and when it held all its configuration.
    opened: Vec<AtomicU64>,
    completed: Vec<AtomicU64>,
    incomplete: AtomicUsize,
    /// Streams that the server has accepted, and those that it has answered, since the last generation began.
    attached: AtomicUsize,
    answered: AtomicUsize,
    targets: Vec<Target>,
    /// The target of the bump under way, who has yet to see it, when each first did, and when each last saw a change.
    bumped: AtomicUsize,
    unseen: AtomicUsize,
    seen: Vec<AtomicU64>,
    latest: Vec<AtomicU64>,
    progress: Notify,
}

/// What the streams hold of one target.
#[derive(Default)]
struct Target {
    subscribers: AtomicUsize,
    /// Sum of the hashes of the content that each holds, so that two fleets can be compared.
    content: AtomicU64,
}

/// Counters of traffic received since the start of the run.
#[derive(Clone, Copy)]
pub(crate) struct Traffic {
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    pub(crate) resources: u64,
}

impl Recorder {
    pub(crate) fn new(streams: usize, targets: usize) -> Self {
        let zeros = |n| {
            std::iter::repeat_with(|| AtomicU64::new(0))
                .take(n)
                .collect()
        };
        Self {
            epoch: Instant::now(),
            messages: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            resources: AtomicU64::new(0),
            last_sign: AtomicU64::new(0),
            is_open_loop: AtomicBool::new(false),
            delivered: AtomicU64::new(0),
            unexpected: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            broken: AtomicU64::new(0),
            resent: AtomicU64::new(0),
            first_failure: Mutex::new(None),
            opened: zeros(streams),
            completed: zeros(streams),
            incomplete: AtomicUsize::new(streams),
            attached: AtomicUsize::new(0),
            answered: AtomicUsize::new(0),
            targets: std::iter::repeat_with(Target::default)
                .take(targets)
                .collect(),
            bumped: AtomicUsize::new(IDLE),
            unseen: AtomicUsize::new(0),
            seen: zeros(streams),
            latest: zeros(streams),
            progress: Notify::new(),
        }
    }

    /// Nanoseconds since the start of the run, never 0.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a run is shorter than 500 years"
    )]
    pub(crate) fn now(&self) -> u64 {
        self.epoch.elapsed().as_nanos() as u64 + 1
    }

    pub(crate) fn opened(&self, stream: usize) {
        self.opened[stream].store(self.now(), Relaxed);
    }

    pub(crate) fn attached(&self) {
        self.last_sign.store(self.now(), Relaxed);
        self.attached.fetch_add(1, SeqCst);
    }

    pub(crate) fn detached(&self) {
        self.attached.fetch_sub(1, SeqCst);
    }

    pub(crate) fn failed(&self, error: &anyhow::Error) {
        self.failures.fetch_add(1, SeqCst);
        if let Ok(mut first) = self.first_failure.lock() {
            first.get_or_insert_with(|| format!("{error:#}"));
        }
        self.progress.notify_one();
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failures.load(SeqCst) > 0
    }

    pub(crate) fn received(&self, bytes: usize, resources: usize, now: u64) {
        self.messages.fetch_add(1, Relaxed);
        self.bytes.fetch_add(bytes as u64, Relaxed);
        self.resources.fetch_add(resources as u64, Relaxed);
        self.last_sign.store(now, Relaxed);
    }

    pub(crate) fn event(&self, stream: usize, event: &Event, now: u64) {
        match *event {
            Event::Tracking(target, hash) => {
                self.targets[target].subscribers.fetch_add(1, Relaxed);
                self.targets[target].content.fetch_add(hash, Relaxed);
            }
            Event::Changed(target, old, new) => {
                self.targets[target]
                    .content
                    .fetch_add(new.wrapping_sub(old), Relaxed);
                self.changed(stream, target, now);
            }
            Event::Complete => {
                self.completed[stream].store(now, Relaxed);
                if self.incomplete.fetch_sub(1, SeqCst) == 1 {
                    self.progress.notify_one();
                }
            }
            Event::Answered => {
                self.answered.fetch_add(1, SeqCst);
            }
            Event::Resent(resources) => {
                self.resent.fetch_add(resources, SeqCst);
            }
        }
    }

    fn changed(&self, stream: usize, target: usize, now: u64) {
        let is_bumped = self.bumped.load(SeqCst) == target;
        if is_bumped {
            self.latest[stream].store(now, Relaxed);
        }
        let is_first = is_bumped
            && self.seen[stream]
                .compare_exchange(0, now, SeqCst, SeqCst)
                .is_ok();
        if self.is_open_loop.load(SeqCst) {
            self.delivered.fetch_add(1, Relaxed);
        } else if !is_first {
            self.unexpected.fetch_add(1, Relaxed);
        }
        if is_first && self.unseen.fetch_sub(1, SeqCst) == 1 {
            self.progress.notify_one();
        }
    }

    pub(crate) fn traffic(&self) -> Traffic {
        Traffic {
            messages: self.messages.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            resources: self.resources.load(Relaxed),
        }
    }

    pub(crate) fn incomplete(&self) -> usize {
        self.incomplete.load(SeqCst)
    }

    pub(crate) fn subscribers(&self, target: usize) -> usize {
        self.targets[target].subscribers.load(Relaxed)
    }

    /// Milliseconds from the start of the run, and from each stream's own opening, to its full configuration. Streams
    /// that lack it are left out.
    pub(crate) fn completion_ms(&self) -> (Vec<f64>, Vec<f64>) {
        let both = self.opened.iter().zip(&self.completed);
        both.map(|(opened, completed)| (opened.load(Relaxed), completed.load(Relaxed)))
            .filter(|&(_, completed)| completed != 0)
            .map(|(opened, completed)| (millis(completed), millis(completed - opened)))
            .unzip()
    }

    /// Waits until every stream is configured, a stream fails, or time is up.
    pub(crate) async fn wait_complete(&self, limit: Duration) {
        self.wait(limit, || self.incomplete() == 0 || self.has_failed())
            .await;
    }

    /// Starts to expect a change of `target` on every stream subscribed to it. Returns the time from which latencies
    /// count.
    pub(crate) fn begin_bump(&self, target: usize) -> u64 {
        for slot in self.seen.iter().chain(&self.latest) {
            slot.store(0, Relaxed);
        }
        self.unseen.store(self.subscribers(target), SeqCst);
        self.bumped.store(target, SeqCst);
        self.now()
    }

    /// Waits until the bump has reached every stream it affects, or time is up.
    pub(crate) async fn wait_bump(&self, limit: Duration) {
        self.wait(limit, || self.unseen.load(SeqCst) == 0 || self.has_failed())
            .await;
    }

    /// Ends the bump; returns when it reached each stream that saw it, in milliseconds after `start`.
    pub(crate) fn end_bump(&self, start: u64) -> Vec<f64> {
        self.bumped.store(IDLE, SeqCst);
        after(start, &self.seen)
    }

    /// As [`Self::end_bump`], with the last change that each stream saw instead of the first: the one that counts
    /// where earlier bumps of the same target were still under way.
    pub(crate) fn end_last_bump(&self, start: u64) -> Vec<f64> {
        self.bumped.store(IDLE, SeqCst);
        after(start, &self.latest)
    }

    /// Changes are explained from here on, until [`Self::end_open_loop`] says how many came.
    pub(crate) fn begin_open_loop(&self) {
        self.delivered.store(0, SeqCst);
        self.is_open_loop.store(true, SeqCst);
    }

    pub(crate) fn end_open_loop(&self) -> u64 {
        self.is_open_loop.store(false, SeqCst);
        self.delivered.load(SeqCst)
    }

    /// A new generation of streams begins.
    pub(crate) fn begin_generation(&self) {
        self.attached.store(0, SeqCst);
        self.answered.store(0, SeqCst);
    }

    /// Streams accepted, and those of them answered in full, in this generation.
    pub(crate) fn generation(&self) -> (usize, usize) {
        (self.attached.load(SeqCst), self.answered.load(SeqCst))
    }

    /// Waits until `streams` of this generation were accepted, a stream fails, or time is up.
    pub(crate) async fn wait_attached(&self, streams: usize, limit: Duration) {
        let wait = async {
            while self.attached.load(SeqCst) < streams && !self.has_failed() {
                tokio::time::sleep(GLANCE).await;
            }
        };
        let _ = tokio::time::timeout(limit, wait).await;
    }

    /// Waits until nothing was received for a while, or time is up; says when the last thing was.
    pub(crate) async fn wait_quiet(&self, quiet: Duration, limit: Duration) -> u64 {
        let is_quiet = || {
            let silence = self.now().saturating_sub(self.last_sign.load(Relaxed));
            u128::from(silence) >= quiet.as_nanos()
        };
        let wait = async {
            while !is_quiet() && !self.has_failed() {
                tokio::time::sleep(GLANCE).await;
            }
        };
        let _ = tokio::time::timeout(limit, wait).await;
        self.last_sign.load(Relaxed)
    }

    /// How many targets both fleets hold, and how many of them differ in content. `newest` is a fleet that has just
    /// joined, and so holds what the server would send anew.
    pub(crate) fn compare(&self, newest: &Recorder) -> (usize, usize) {
        let (mut compared, mut stale) = (0, 0);
        for (own, new) in self.targets.iter().zip(&newest.targets) {
            let held = |target: &Target| {
                let subscribers = target.subscribers.load(Relaxed) as u64;
                (subscribers, target.content.load(Relaxed))
            };
            let ((own_count, own_sum), (new_count, new_sum)) = (held(own), held(new));
            if own_count > 0 && new_count > 0 {
                compared += 1;
                let is_equal = own_sum.wrapping_mul(new_count) == new_sum.wrapping_mul(own_count);
                stale += usize::from(!is_equal);
            }
        }
        (compared, stale)
    }

    async fn wait(&self, limit: Duration, done: impl Fn() -> bool) {
        let wait = async {
            while !done() {
                self.progress.notified().await;
            }
        };
        // Running out of time shows in what the caller reads next.
        let _ = tokio::time::timeout(limit, wait).await;
    }
}

/// The times that were noted, in milliseconds after `start`.
fn after(start: u64, slots: &[AtomicU64]) -> Vec<f64> {
    let times = slots
        .iter()
        .map(|slot| slot.load(Relaxed))
        .filter(|&time| time != 0);
    times
        .map(|time| millis(time.saturating_sub(start)))
        .collect()
}

pub(crate) fn millis(nanos: u64) -> f64 {
    nanos as f64 / 1e6
}

#[cfg(test)]
mod tests;
