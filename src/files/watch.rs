//! Keeps what is loaded up with the files: reloads on every change, and hands on each result that differs.
//!
//! Changes are heard from the operating system, and looked for every two seconds as well: events are not sent for network
//! mounts, for what is mounted over a folder, or once the system's watches are used up.
//!
//! A reload reads one state of all files: it waits for programs that are still writing and for git, looks before and after
//! it reads, and starts again if anything has moved. What takes something away (a file, a resource, the end of a file), and
//! what has errors, counts only once it has stood for a second; [`settle`] holds the rules. A folder that has gone, or
//! holds no mesh file any more, is an error and never an empty mesh.
//!
//! **Invariant:** the newest result waits in a `watch` channel; nothing queues up behind a slow reader.

mod git;
mod heard;
mod settle;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::find::{Odd, find};
use super::load::{LoadError, Loaded, assemble, fingerprint};
use super::read::{Content, Reader};
use git::{Lock, locks};
use heard::{Heard, Watching};
use settle::{Doubt, Known, QUIET};

/// How often files are looked at without being told,
const POLL: Duration = Duration::from_secs(2);
/// or as much more rarely as keeps looking below a hundredth of the time.
const POLL_SHARE: u32 = 100;
/// A change is looked at after this long even if it never gets quiet.
const QUIET_AT_MOST: Duration = Duration::from_millis(250);
/// How long what looks like a step on the way must stand before it counts.
const DOUBTED: Duration = Duration::from_secs(1);
/// How long files may keep on changing before they are taken as they are.
const RESTLESS: Duration = Duration::from_secs(5);
/// How long a file that a program has open is waited for after it has written the last time,
const WRITING: Duration = Duration::from_secs(10);
/// and in all.
const WRITING_AT_MOST: Duration = Duration::from_mins(1);
/// How long git is waited for, and after that as long as files keep on changing.
const LOCKED: Duration = Duration::from_secs(10);

/// What a reload gave. Errors in the files' content are in [`Loaded`].
pub type Outcome = Result<Loaded, LoadError>;

/// The mesh files of some paths.
#[derive(Debug)]
pub struct MeshFiles {
    paths: Arc<[PathBuf]>,
    heard: Arc<Heard>,
    /// Handed to the thread that reads, and back.
    eyes: Option<Eyes>,
    known: Known,
    /// Locks that a crashed git seems to have left.
    stale: BTreeSet<Lock>,
    /// What the files looked like when they were looked at last, and how long that took.
    seen: (u64, Duration),
}

/// What looking needs, and keeps from one look to the next.
#[derive(Debug, Default)]
struct Eyes {
    reader: Reader,
    watching: Watching,
    repositories: BTreeSet<PathBuf>,
}

/// One look at the files.
struct Look {
    seen: (u64, Duration),
    /// Whether all that was read was there at one time.
    is_one_state: bool,
    /// Whether git has begun to change files meanwhile.
    is_locked: bool,
    contents: Vec<Arc<Content>>,
    /// `None` if the files are those handed on last.
    outcome: Option<Outcome>,
}

impl MeshFiles {
    /// `paths` are mesh files, and folders of them.
    pub fn new(paths: impl Into<Arc<[PathBuf]>>) -> Self {
        Self {
            paths: paths.into(),
            heard: Arc::default(),
            eyes: Some(Eyes::default()),
            known: Known::default(),
            stale: BTreeSet::new(),
            seen: (0, Duration::ZERO),
        }
    }

    /// Reads the files now, or once git has finished with them.
    pub async fn load_once(&mut self) -> Outcome {
        let begun = Instant::now();
        loop {
            self.git().await;
            let look = self.look().await;
            if let Some(outcome) = look.outcome
                && !look.is_locked
                && (look.is_one_state || begun.elapsed() > RESTLESS)
            {
                self.known.update(&look.contents, &outcome);
                return outcome;
            }
            quiet(&self.heard).await;
        }
    }

    /// Watches the files until stopped. `latest` holds what was loaded last and gets each result that differs from it.
    pub async fn run(mut self, latest: watch::Sender<Arc<Outcome>>, stop: CancellationToken) {
        let follow = async {
            // What was changed before the first look is found by it.
            let mut poll_at = Instant::now();
            loop {
                tokio::select! {
                    () = self.heard.changed.notified() => {}
                    () = sleep_until(poll_at) => {
                        let (signature, took) = self.glance().await;
                        poll_at = Instant::now() + POLL.max(took * POLL_SHARE);
                        if signature == self.seen.0 {
                            continue;
                        }
                        // What no event told of may have become another folder or mount.
                        self.heard.lose();
                    }
                }
                if let Some(outcome) = self.settle().await {
                    publish(&latest, outcome);
                }
                poll_at = Instant::now() + POLL.max(self.seen.1 * POLL_SHARE);
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = follow => {}
        }
    }

    /// Waits until the files have come to rest, and returns what they are if that is news.
    async fn settle(&mut self) -> Option<Outcome> {
        let mut begun = Instant::now();
        let mut seen = (self.seen.0, begun);
        let mut doubted: BTreeMap<Doubt, Instant> = BTreeMap::new();
        loop {
            quiet(&self.heard).await;
            let waiting = Instant::now();
            self.writers().await;
            self.git().await;
            begun += waiting.elapsed();
            let look = self.look().await;
            let now = Instant::now();
            if look.seen.0 != seen.0 {
                seen = (look.seen.0, now);
            }
            if look.is_locked || !look.is_one_state && now < begun + RESTLESS {
                continue;
            }
            let outcome = look.outcome?;
            let doubts = self.known.doubts(&look.contents, &outcome);
            doubted.retain(|doubt, _| doubts.contains(doubt));
            for doubt in doubts {
                doubted.entry(doubt).or_insert(now);
            }
            // Where an event told of the change, it did so before the look.
            let heard = self.heard.last();
            let changed = heard
                .filter(|last| *last + DOUBTED > seen.1)
                .unwrap_or(seen.1);
            let rested = changed + self.known.rest(&look.contents);
            let trusted = doubted.values().max().map(|since| *since + DOUBTED);
            let until = rested.min(begun + RESTLESS).max(trusted.unwrap_or(begun));
            if now >= until {
                self.known.update(&look.contents, &outcome);
                return Some(outcome);
            }
            // Either way the files are looked at again.
            let _ = timeout_at(until, self.heard.changed.notified()).await;
        }
    }

    /// Waits while programs have files open that they have written to.
    async fn writers(&self) {
        let begun = Instant::now();
        while let Some((path, last)) = self.heard.writing() {
            let until = (last + WRITING).min(begun + WRITING_AT_MOST);
            if Instant::now() >= until {
                tracing::info!(file = %path.display(), "the file is still open for writing; it is taken as it is");
                self.heard.forget(&path);
            } else {
                let _ = timeout_at(until, self.heard.changed.notified()).await;
            }
        }
    }

    /// Waits while git changes files.
    async fn git(&mut self) {
        let begun = Instant::now();
        loop {
            let (paths, eyes) = (Arc::clone(&self.paths), self.eyes.take());
            let (eyes, mut locks) = blocking(move || {
                let locks = eyes.as_ref().map(|eyes| locks(&paths, &eyes.repositories));
                (eyes, locks.unwrap_or_default())
            })
            .await;
            self.eyes = eyes;
            locks.retain(|lock| !self.stale.contains(lock));
            let Some(lock) = locks.first() else {
                return;
            };
            let last = self.heard.last().unwrap_or(begun).max(begun);
            if begun.elapsed() > LOCKED && last.elapsed() > DOUBTED {
                let lock = lock.path.display();
                tracing::warn!(
                    "`{lock}` has been there for {LOCKED:?}; if no git is running, remove it: the mesh files are taken as they are"
                );
                self.stale = locks;
                return;
            }
            sleep(QUIET).await;
        }
    }

    async fn look(&mut self) -> Look {
        let (paths, heard) = (Arc::clone(&self.paths), Arc::clone(&self.heard));
        let (mut eyes, known) = (self.eyes.take().unwrap_or_default(), self.known.fingerprint);
        let stale = self.stale.clone();
        let look = move || (eyes.look(&paths, &heard, known, &stale), eyes);
        let (look, eyes) = blocking(look).await;
        self.eyes = Some(eyes);
        self.seen = look.seen;
        look
    }

    /// What the files look like from outside, and how long that took.
    async fn glance(&self) -> (u64, Duration) {
        let paths = Arc::clone(&self.paths);
        let glance = move || {
            let begun = std::time::Instant::now();
            (find(&paths).signature(), begun.elapsed())
        };
        blocking(glance).await
    }
}

impl Eyes {
    fn look(
        &mut self,
        paths: &[PathBuf],
        heard: &Arc<Heard>,
        known: Option<u64>,
        stale: &BTreeSet<Lock>,
    ) -> Look {
        let mut found = find(paths);
        if self.watching.follow(&found.folders, heard) {
            found = find(paths);
        }
        self.repositories.clone_from(&found.repositories);
        let signature = found.signature();
        let (contents, outcome) = match found.error {
            Some(error) => (Vec::new(), Some(Err(error))),
            None => self.read(&found.files, &found.odd, known),
        };
        let begun = std::time::Instant::now();
        let is_same = find(paths).signature() == signature;
        let took = begun.elapsed();
        let is_locked = !locks(paths, &self.repositories).is_subset(stale);
        Look {
            seen: (signature, took),
            is_one_state: is_same,
            is_locked,
            contents,
            outcome,
        }
    }

    fn read(
        &mut self,
        files: &[super::find::File],
        odd: &[Odd],
        known: Option<u64>,
    ) -> (Vec<Arc<Content>>, Option<Outcome>) {
        let contents = self.reader.read(files);
        let is_known = known == Some(fingerprint(&contents, odd));
        let outcome = (!is_known).then(|| Ok(assemble(&contents, odd)));
        (contents, outcome)
    }
}

fn publish(latest: &watch::Sender<Arc<Outcome>>, outcome: Outcome) {
    latest.send_if_modified(|current| {
        let same = match (&**current, &outcome) {
            (Ok(old), Ok(new)) => old.fingerprint == new.fingerprint,
            (Err(old), Err(new)) => old.to_string() == new.to_string(),
            _ => false,
        };
        if !same {
            *current = Arc::new(outcome);
        }
        !same
    });
}

/// Waits until changes have stopped coming, or have come for long enough.
async fn quiet(heard: &Heard) {
    let end = Instant::now() + QUIET_AT_MOST;
    while Instant::now() < end && timeout(QUIET, heard.changed.notified()).await.is_ok() {}
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is shutting down, and this future with it.
            Err(_) => std::future::pending().await,
        },
    }
}
