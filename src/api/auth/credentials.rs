//! The keys with which the API may be called: a file, read again when it changes.
//!
//! **Invariant:** there is always a good set of keys. A file that cannot be used keeps `serve` from starting; later on, the
//! keys that were read before stay, and the log, readiness and a metric say so.

mod file;

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus::Registry;
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::metrics::Metrics;
use super::permissions::Caller;
use super::sigv4::{Scope, Secret, SigningKey};
use crate::api::off_thread::{Lost, off_thread};
use crate::telemetry::Ready;

pub use file::{FileError, Problem};

/// How often the file is looked at. Looking is one system call, works on every mount, and a key that is taken away is
/// refused within this time.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Largest file that is read: some ten thousand keys.
const LARGEST: u64 = 1 << 20;
/// Signing keys that are kept ready; each is good for a day and a region of one key.
const KEPT: usize = 1024;
/// Permission bits that let others read the file, or a group or others change it.
const TOO_OPEN: u32 = 0o027;
/// What readiness calls the file.
const WHAT: &str = "API credentials";

/// Why a credentials file cannot be used. Never says what is in it.
#[derive(Debug, Error)]
pub enum CredentialsError {
    #[error("cannot read credentials file `{}`; name one that exists with --api-credentials", path.display())]
    Unreadable {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error(
        "credentials file `{}` has mode {mode:04o}, with which more than its user and group can read it, or its group can \
         change it; run `chmod 0600 {}` (or 0640)",
        path.display(), path.display()
    )]
    TooOpen { path: PathBuf, mode: u32 },
    #[error("credentials file `{}` is longer than {LARGEST} bytes, or is no file; correct --api-credentials", path.display())]
    TooLong { path: PathBuf },
    #[error("{}:{error}", path.display())]
    Invalid { path: PathBuf, error: FileError },
    #[error("cannot set up metrics")]
    Metrics(#[from] prometheus::Error),
}

/// One key.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) access_key_id: String,
    secret: Secret,
    pub(super) session_token: Option<Secret>,
    pub(super) caller: Caller,
}

/// The keys as they were read at one time.
#[derive(Debug, Default)]
pub(super) struct Credentials {
    keys: HashMap<String, Key>,
    /// Goes with the keys, so that a changed secret leaves nothing behind.
    signing: Mutex<HashMap<(String, Scope), SigningKey>>,
}

impl Credentials {
    fn new(keys: Vec<Key>) -> Self {
        let keys = keys.into_iter().map(|key| (key.access_key_id.clone(), key));
        Self {
            keys: keys.collect(),
            signing: Mutex::default(),
        }
    }

    pub(super) fn key(&self, access_key_id: &str) -> Option<&Key> {
        self.keys.get(access_key_id)
    }

    /// The signing key for a scope, kept if it is asked for again. Only [`Credentials::keep`] keeps one, so that strangers
    /// cannot fill this with scopes of their own.
    pub(super) fn signing_key(&self, key: &Key, scope: &Scope) -> SigningKey {
        let kept = self.signing.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = kept
            .get(&(key.access_key_id.clone(), scope.clone()))
            .cloned();
        kept.unwrap_or_else(|| SigningKey::derive(&key.secret, scope))
    }

    /// Keeps a signing key that has proved right.
    pub(super) fn keep(&self, key: &Key, scope: &Scope, signing: SigningKey) {
        let place = (key.access_key_id.clone(), scope.clone());
        let mut kept = self.signing.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT && !kept.contains_key(&place) {
            kept.clear();
        }
        kept.insert(place, signing);
    }
}

/// The file, followed.
#[derive(Debug)]
pub struct CredentialsFile {
    path: PathBuf,
    /// The file that was read last; `None` if it could not be, and is to be tried again.
    seen: Option<Seen>,
    /// Why it was not taken, so that the same is told once.
    failed: Option<String>,
    current: watch::Sender<Arc<Credentials>>,
    pub(super) metrics: Metrics,
}

impl CredentialsFile {
    /// Reads the file.
    ///
    /// # Errors
    /// [`CredentialsError`] when it cannot be used as it is.
    pub fn open(path: &Path, registry: &Registry) -> Result<Self, CredentialsError> {
        let metrics = Metrics::register(registry)?;
        let (seen, credentials) = read(path)?;
        metrics.keys(credentials.keys.len());
        Ok(Self {
            path: path.to_owned(),
            seen: Some(seen),
            failed: None,
            current: watch::Sender::new(Arc::new(credentials)),
            metrics,
        })
    }

    /// The keys, as they change.
    pub(super) fn watch(&self) -> watch::Receiver<Arc<Credentials>> {
        self.current.subscribe()
    }

    /// Follows the file until stopped.
    pub async fn run(mut self, mut ready: Ready, stop: CancellationToken) {
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = looks.tick() => {}
            }
            let looking = off_thread(move || {
                self.look(&ready);
                (self, ready)
            });
            match looking.await {
                Ok(returned) => (self, ready) = returned,
                Err(Lost) => return,
            }
        }
    }

    /// Reads the file again if it is another one than before.
    fn look(&mut self, ready: &Ready) {
        let seen = std::fs::metadata(&self.path).ok().map(Seen::from);
        if seen == self.seen {
            return;
        }
        self.seen = seen;
        match read(&self.path) {
            Ok((seen, credentials)) => {
                self.seen = Some(seen);
                self.failed = None;
                let keys = credentials.keys.len();
                self.metrics.keys(keys);
                self.current.send_replace(Arc::new(credentials));
                info!(keys, "API credentials loaded");
                self.metrics.reloaded(true);
                ready.set_degraded(WHAT, None);
            }
            Err(error) => {
                if matches!(error, CredentialsError::Unreadable { .. }) {
                    // Perhaps for a reason that passes without a change of the file.
                    self.seen = None;
                }
                let source = std::error::Error::source(&error);
                let cause = source.map(|source| format!(": {source}"));
                let problem = format!(
                    "not taken, the old keys stay: {error}{}",
                    cause.unwrap_or_default()
                );
                if self.failed.as_ref() == Some(&problem) && self.seen.is_none() {
                    return;
                }
                error!("API credentials {problem}");
                self.metrics.reloaded(false);
                ready.set_degraded(WHAT, Some(problem.clone()));
                self.failed = Some(problem);
            }
        }
    }
}

/// By what a file is told from another, or from itself before a change.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    device: u64,
    inode: u64,
    mode: u32,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl From<Metadata> for Seen {
    fn from(file: Metadata) -> Self {
        Self {
            device: file.dev(),
            inode: file.ino(),
            mode: file.mode(),
            length: file.len(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        }
    }
}

fn read(path: &Path) -> Result<(Seen, Credentials), CredentialsError> {
    let unreadable = |source| CredentialsError::Unreadable {
        path: path.to_owned(),
        source,
    };
    // Looked at before it is opened: to open a pipe would wait for whoever writes it.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(CredentialsError::TooLong {
            path: path.to_owned(),
        });
    }
    let file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    let mode = metadata.mode() & 0o7777;
    if mode & TOO_OPEN != 0 {
        return Err(CredentialsError::TooOpen {
            path: path.to_owned(),
            mode,
        });
    }
    if metadata.len() > LARGEST {
        return Err(CredentialsError::TooLong {
            path: path.to_owned(),
        });
    }
    let mut text = String::new();
    file.take(LARGEST)
        .read_to_string(&mut text)
        .map_err(unreadable)?;
    let keys = file::parse(&text).map_err(|error| CredentialsError::Invalid {
        path: path.to_owned(),
        error,
    })?;
    Ok((Seen::from(metadata), Credentials::new(keys)))
}

#[cfg(test)]
mod tests;
