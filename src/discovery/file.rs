//! The file of last good answers: read once at the start, replaced as a whole when they change.
//!
//! **Invariant:** the file is always whole: a new one is written beside it, brought to the disk, and renamed over it.
//! No trouble with it stops discovery.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{info, warn};

use super::saved::{self, SavedSource};
use crate::model::endpoint::EndpointSource;

/// Changed answers are written after this long.
const CHANGED_PACE: Duration = Duration::from_secs(5);
/// That unchanged answers were confirmed is written after this long; it only matters for their age.
const CONFIRMED_PACE: Duration = Duration::from_mins(5);
/// What is longer was not written by discovery. Ten thousand names take about 2 MB.
const LARGEST: u64 = 256 << 20;

/// What was in the file, by source.
pub(super) type Loaded = HashMap<EndpointSource, SavedSource>;

/// Reads the file. One that cannot be used is set aside and said to be.
pub(super) fn load(path: &Path) -> Loaded {
    let text = match read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Loaded::new(),
        Err(error) => {
            set_aside(path, &error);
            return Loaded::new();
        }
    };
    match saved::parse(&text) {
        Ok(sources) => {
            let file = path.display();
            info!(%file, names = sources.len(), "took over the last good DNS answers");
            sources.into_iter().map(|one| (one.source(), one)).collect()
        }
        Err(error) => {
            set_aside(path, &error);
            Loaded::new()
        }
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let read = File::open(path)?
        .take(LARGEST + 1)
        .read_to_string(&mut text)?;
    if u64::try_from(read).unwrap_or(u64::MAX) > LARGEST {
        return Err(io::Error::other(
            "it is larger than any file of DNS answers",
        ));
    }
    Ok(text)
}

fn set_aside(path: &Path, problem: &dyn std::error::Error) {
    let aside = beside(path, "unusable");
    let file = path.display();
    match fs::rename(path, &aside) {
        Ok(()) => warn!(
            "the last good DNS answers in {file} cannot be used: {problem}; the file is kept as {}, \
             and names that DNS does not answer for have no endpoints until it does",
            aside.display()
        ),
        Err(error) => warn!(
            "the last good DNS answers in {file} cannot be used ({problem}) nor set aside ({error}); \
             they will be overwritten"
        ),
    }
}

fn write(path: &Path, sources: &[SavedSource]) -> io::Result<()> {
    let new = beside(path, "new");
    let mut file = File::create(&new)?;
    file.write_all(saved::print(sources).as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    // The rename is on the disk once the folder is.
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}

/// Writes the file when it is time, one write at a time.
#[derive(Debug)]
pub(super) struct Saver {
    path: PathBuf,
    changed: bool,
    confirmed: bool,
    /// When the last write began.
    last: Instant,
    writes: JoinSet<io::Result<()>>,
}

impl Saver {
    pub(super) fn new(path: PathBuf, now: Instant) -> Self {
        Self {
            path,
            changed: false,
            confirmed: false,
            last: now,
            writes: JoinSet::new(),
        }
    }

    /// What is in use is no longer what the file says.
    pub(super) fn changed(&mut self) {
        self.changed = true;
    }

    /// What is in use was confirmed.
    pub(super) fn confirmed(&mut self) {
        self.confirmed = true;
    }

    /// When to write next, as things are.
    pub(super) fn due(&self) -> Option<Instant> {
        let pace = match (self.changed, self.confirmed) {
            (true, _) => CHANGED_PACE,
            (false, true) => CONFIRMED_PACE,
            (false, false) => return None,
        };
        self.writes.is_empty().then(|| self.last + pace)
    }

    /// Starts writing.
    pub(super) fn write(&mut self, sources: Vec<SavedSource>, now: Instant) {
        (self.changed, self.confirmed, self.last) = (false, false, now);
        let path = self.path.clone();
        self.writes.spawn_blocking(move || write(&path, &sources));
    }

    /// Waits until a write has ended. What could not be written is tried again in its time. Cancel-safe.
    pub(super) async fn written(&mut self) -> Result<(), String> {
        let Some(ended) = self.writes.join_next().await else {
            return std::future::pending().await;
        };
        let written = ended.unwrap_or_else(|error| Err(io::Error::other(error)));
        written.map_err(|error| {
            self.changed = true;
            format!("{} cannot be written: {error}", self.path.display())
        })
    }

    pub(super) fn is_writing(&self) -> bool {
        !self.writes.is_empty()
    }
}
