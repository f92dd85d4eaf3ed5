//! The operating system's watches, and what they have told.
//!
//! Each folder is watched by itself, so that hidden folders (a repository's thousands) cost no watch, and a link's folder
//! is watched wherever it is. Without a watch, files are only looked at now and then.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{ErrorKind, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::super::find::Folders;
use super::POLL;

/// What the watches have told, shared with their thread.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub(super) changed: Notify,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last: Option<Instant>,
    /// Files that have been written to and not closed since, with the time of the last write.
    writing: BTreeMap<PathBuf, Instant>,
    /// A watched folder has been renamed or removed, and its watch with it.
    lost: bool,
    /// Which of the watchers counts; one that is being replaced may tell late.
    watcher: u64,
}

impl Heard {
    /// When something happened last.
    pub(super) fn last(&self) -> Option<Instant> {
        self.state().last
    }

    /// A file that is being written, and when it was written to last.
    pub(super) fn writing(&self) -> Option<(PathBuf, Instant)> {
        let state = self.state();
        let newest = state.writing.iter().max_by_key(|(_, at)| **at);
        newest.map(|(path, at)| (path.clone(), *at))
    }

    /// No longer waits for the file to be closed.
    pub(super) fn forget(&self, path: &Path) {
        self.state().writing.remove(path);
    }

    /// Has every folder watched anew at the next look.
    pub(super) fn lose(&self) {
        self.state().lost = true;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to listen to another watcher, which watches already.
    fn turn(&self) -> u64 {
        let mut state = self.state();
        state.watcher += 1;
        // The old one may have heard of a write, and would have heard of the end of it.
        state.writing.clear();
        state.watcher
    }

    fn hear(&self, event: notify::Result<Event>, folders: &Folders, watcher: u64) {
        if self.state().watcher > watcher {
            return;
        }
        match event {
            Ok(event) if event.need_rescan() => {
                // Events were lost: perhaps the one of a file being closed.
                self.state().writing.clear();
            }
            Ok(event) => {
                if !event
                    .paths
                    .iter()
                    .any(|path| self.take(&event, path, folders))
                {
                    return;
                }
            }
            // An error may stand for events that were lost.
            Err(_) => {}
        }
        self.state().last = Some(Instant::now());
        self.changed.notify_one();
    }

    /// Takes note of what happened at a path; returns whether it matters.
    fn take(&self, event: &Event, path: &Path, folders: &Folders) -> bool {
        let closed = EventKind::Access(AccessKind::Close(AccessMode::Write));
        if event.kind.is_access() && event.kind != closed {
            // Reading is an event too.
            return false;
        }
        let written = matches!(event.kind, EventKind::Modify(ModifyKind::Data(_)));
        let metadata = matches!(event.kind, EventKind::Modify(ModifyKind::Metadata(_)));
        let is_content = written || metadata || event.kind == closed;
        let mut state = self.state();
        if folders.contains_key(path) && !is_content {
            state.lost = true;
            return true;
        }
        let concerns = path
            .parent()
            .zip(path.file_name())
            .is_some_and(|(folder, name)| {
                let folder = folders.get(folder);
                folder.is_some_and(|folder| folder.concerns(name, is_content))
            });
        if !concerns {
            return false;
        }
        if written {
            state.writing.insert(path.into(), Instant::now());
        } else if !metadata {
            state.writing.remove(path);
        }
        true
    }
}

/// The watches.
#[derive(Debug, Default)]
pub(super) struct Watching {
    folders: Folders,
    watcher: Option<RecommendedWatcher>,
    /// How many there have been.
    watchers: u64,
    /// What was said last of watches that could not be had.
    complaint: Option<String>,
}

impl Watching {
    /// Watches these folders. Returns whether any of them was not watched before, so that something may have been missed.
    pub(super) fn follow(&mut self, folders: &Folders, heard: &Arc<Heard>) -> bool {
        let lost = std::mem::take(&mut heard.state().lost);
        if self.folders == *folders && !lost {
            return false;
        }
        self.folders.clone_from(folders);
        let (told, known, next) = (Arc::clone(heard), folders.clone(), self.watchers + 1);
        let watcher = notify::recommended_watcher(move |event| told.hear(event, &known, next));
        let (watcher, complaint) = match watcher {
            Ok(mut watcher) => {
                let complaint = watch(&mut watcher, folders);
                (Some(watcher), complaint)
            }
            Err(error) => {
                let complaint = format!(
                    "changes of mesh files are noticed within {POLL:?}, not at once: the system gives no watch ({error}); \
                     raise `fs.inotify.max_user_instances`"
                );
                (None, Some(complaint))
            }
        };
        self.watchers = heard.turn();
        self.watcher = watcher;
        if let Some(complaint) = complaint.as_ref().filter(|_| complaint != self.complaint) {
            tracing::warn!("{complaint}");
        }
        self.complaint = complaint;
        true
    }
}

/// Watches as many of the folders as the system lets; says what is wrong if those are not all.
fn watch(watcher: &mut RecommendedWatcher, folders: &Folders) -> Option<String> {
    for (watched, folder) in folders.keys().enumerate() {
        let Err(error) = watcher.watch(folder, RecursiveMode::NonRecursive) else {
            continue;
        };
        if matches!(error.kind, ErrorKind::MaxFilesWatch) {
            return Some(format!(
                "changes in {} of {} folders of mesh files are noticed within {POLL:?}, not at once: the system's watches \
                 are used up; raise `fs.inotify.max_user_watches`",
                folders.len() - watched,
                folders.len(),
            ));
        }
        // One that has gone is found when it comes again, by looking.
        tracing::debug!(%error, folder = %folder.display(), "no watch on the folder; changes are noticed within {POLL:?}");
    }
    None
}
