//! Keeps what is loaded up with the files: reloads on every change, and hands on each result that differs.
//!
//! Changes are heard from the operating system, and looked for every two seconds as well: events are not sent for network
//! mounts, for files behind symbolic links, or once the system's watches are used up.
//!
//! Editors and deployments replace files by steps: a file that has gone, or is suddenly empty, counts only after a
//! second. A folder that has gone, or holds no mesh file any more, is an error and never an empty mesh.
//!
//! **Invariant:** the newest result waits in a `watch` channel; nothing queues up behind a slow reader.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::load::{LoadError, Loaded, find, load};

/// A change is taken up once nothing more happens for this long,
const QUIET: Duration = Duration::from_millis(20);
/// or after this long, if it never gets quiet.
const AT_MOST: Duration = Duration::from_millis(250);
/// How often files are looked at without being told.
const POLL: Duration = Duration::from_secs(2);
/// How long a file may be gone before that counts.
const GONE: Duration = Duration::from_secs(1);

/// What a reload gave. Errors in the files' content are in [`Loaded`].
pub type Outcome = Result<Loaded, LoadError>;

/// The mesh files of some paths.
#[derive(Debug)]
pub struct MeshFiles {
    paths: Arc<[PathBuf]>,
}

impl MeshFiles {
    /// `paths` are mesh files, and folders of them.
    pub fn new(paths: impl Into<Arc<[PathBuf]>>) -> Self {
        Self {
            paths: paths.into(),
        }
    }

    /// Reads the files now. Blocks; meant for start-up.
    ///
    /// # Errors
    /// As [`load`].
    pub fn load_once(&self) -> Outcome {
        load(&self.paths)
    }

    /// Watches the files until stopped. `latest` holds what was loaded last and gets each result that differs from it.
    pub async fn run(self, latest: watch::Sender<Arc<Outcome>>, stop: CancellationToken) {
        let changed = Arc::new(Notify::new());
        let mut watching = Watching::new(&self.paths, &changed);
        let mut known = latest
            .borrow()
            .as_ref()
            .as_ref()
            .map(Known::of)
            .unwrap_or_default();
        // What is changed before the first look is found by it.
        let mut seen = 0;
        let mut poll = interval(POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = changed.notified() => quiet(&changed).await,
                _ = poll.tick() => {
                    let now = signature(&self.paths).await;
                    if now == seen {
                        continue;
                    }
                    // Events may have been missed because a folder was replaced.
                    watching.renew(&self.paths, &changed);
                    seen = now;
                }
            }
            let outcome = tokio::select! {
                () = stop.cancelled() => return,
                outcome = reload(&self.paths, &known, &changed) => outcome,
            };
            if let Ok(loaded) = &outcome {
                known = Known::of(loaded);
            }
            publish(&latest, outcome);
        }
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
async fn quiet(changed: &Notify) {
    let end = Instant::now() + AT_MOST;
    while Instant::now() < end && timeout(QUIET, changed.notified()).await.is_ok() {}
}

/// The files with content that were there at the last reload that worked.
#[derive(Clone, Default)]
struct Known(BTreeSet<PathBuf>);

impl Known {
    fn of(loaded: &Loaded) -> Self {
        let filled = loaded
            .files
            .iter()
            .filter(|file| !loaded.blank.contains(*file));
        Self(filled.cloned().collect())
    }

    /// What was there and is no longer.
    fn gone(&self, outcome: &Outcome) -> BTreeSet<PathBuf> {
        match outcome {
            Ok(loaded) => &self.0 - &Self::of(loaded).0,
            Err(LoadError::Missing { path } | LoadError::Empty { path }) => [path.clone()].into(),
            Err(LoadError::Unreadable { .. }) => BTreeSet::new(),
        }
    }
}

/// Reads the files; while one that was there is gone, looks again until it is back or has been gone for long enough.
async fn reload(paths: &Arc<[PathBuf]>, known: &Known, changed: &Notify) -> Outcome {
    let mut gone_since: BTreeMap<PathBuf, Instant> = BTreeMap::new();
    loop {
        let outcome = load_blocking(paths).await;
        let now = Instant::now();
        let gone = known.gone(&outcome);
        gone_since.retain(|path, _| gone.contains(path));
        for path in gone {
            gone_since.entry(path).or_insert(now);
        }
        match gone_since.values().max() {
            Some(last) if now < *last + GONE => {
                if timeout_at(*last + GONE, changed.notified()).await.is_ok() {
                    quiet(changed).await;
                }
            }
            _ => return outcome,
        }
    }
}

async fn load_blocking(paths: &Arc<[PathBuf]>) -> Outcome {
    let paths = Arc::clone(paths);
    match tokio::task::spawn_blocking(move || load(&paths)).await {
        Ok(outcome) => outcome,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is shutting down, and this future with it.
            Err(_) => std::future::pending().await,
        },
    }
}

/// What the files look like from outside: which there are, where links lead, sizes and times.
async fn signature(paths: &Arc<[PathBuf]>) -> u64 {
    let paths = Arc::clone(paths);
    let look = move || {
        let mut hasher = DefaultHasher::new();
        match find(&paths) {
            Ok(files) => files.iter().for_each(|file| look_at(file, &mut hasher)),
            Err(error) => error.to_string().hash(&mut hasher),
        }
        hasher.finish()
    };
    // A look that fails counts as a change: reloading tells what is wrong.
    tokio::task::spawn_blocking(look).await.unwrap_or_default()
}

fn look_at(file: &Path, hasher: &mut DefaultHasher) {
    file.hash(hasher);
    fs::canonicalize(file).ok().hash(hasher);
    if let Ok(metadata) = fs::metadata(file) {
        metadata.len().hash(hasher);
        metadata.modified().ok().hash(hasher);
    }
}

/// The operating system's watches; without them files are only looked at now and then.
struct Watching(Option<RecommendedWatcher>);

impl Watching {
    fn new(paths: &[PathBuf], changed: &Arc<Notify>) -> Self {
        let told = Arc::clone(changed);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Reading is an event too; an error may stand for events that were lost.
            if !event.is_ok_and(|event| matches!(event.kind, EventKind::Access(_))) {
                told.notify_one();
            }
        });
        let mut watching = match watcher {
            Ok(watcher) => Self(Some(watcher)),
            Err(error) => {
                tracing::warn!(%error, "changes of mesh files are noticed within {POLL:?}, not at once: the system gives no watch");
                Self(None)
            }
        };
        watching.watch(paths);
        watching
    }

    /// Watches anew: a folder that was replaced is another one to the operating system.
    fn renew(&mut self, paths: &[PathBuf], changed: &Arc<Notify>) {
        *self = Self::new(paths, changed);
    }

    fn watch(&mut self, paths: &[PathBuf]) {
        let Some(watcher) = &mut self.0 else {
            return;
        };
        for path in paths {
            let (folder, mode) = if path.is_dir() {
                (path.as_path(), RecursiveMode::Recursive)
            } else {
                // A file is replaced by renaming, which only its folder hears of.
                (folder_of(path), RecursiveMode::NonRecursive)
            };
            // A path that is not there now is found when it comes, by looking.
            if let Err(error) = watcher.watch(folder, mode) {
                tracing::debug!(%error, folder = %folder.display(), "no watch on the folder; changes are noticed within {POLL:?}");
            }
        }
    }
}

fn folder_of(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}
