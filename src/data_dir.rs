//! The folder for what must outlive the process (`--data-dir`), and the lock that keeps it to one process.
//!
//! **Invariant:** while a [`DataDir`] lives, no other process has one for the same folder. The kernel frees the lock with
//! the process, however it ends, so that a crash leaves nothing to clean up.

#[cfg(test)]
mod tests;

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Holds the lock.
const LOCK: &str = "lock";

/// A folder of this process alone.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

/// Brings a file's name to the disk: a new file, or one that was renamed, is there after a power cut only once its folder
/// is synced.
///
/// # Errors
/// When the folder cannot be opened or synced.
pub fn sync_folder(file: &Path) -> io::Result<()> {
    match file.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    #[error(
        "cannot make the data folder `{}`; name another with --data-dir, or make it yourself",
        path.display()
    )]
    Missing { path: PathBuf, source: io::Error },
    #[error(
        "cannot write in the data folder `{}`; let this user write there, or name another with --data-dir",
        path.display()
    )]
    Unwritable { path: PathBuf, source: io::Error },
    #[error(
        "the data folder `{}` is in use by another process ({holder}); stop it, or name another with --data-dir",
        path.display()
    )]
    InUse { path: PathBuf, holder: String },
}

impl DataDir {
    /// Makes the folder if it is not there, and takes it.
    ///
    /// # Errors
    /// [`DataDirError`] when it cannot be written, or another process has it.
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.map_err(|source| DataDirError::Missing {
            path: path.to_owned(),
            source,
        })?;
        let unwritable = |source| DataDirError::Unwritable {
            path: path.to_owned(),
            source,
        };
        let lock_path = path.join(LOCK);
        let mut lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .map_err(unwritable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = fs::read_to_string(&lock_path).unwrap_or_default();
                return Err(DataDirError::InUse {
                    path: path.to_owned(),
                    holder: holder.trim().to_owned(),
                });
            }
            Err(TryLockError::Error(source)) => return Err(unwritable(source)),
        }
        let holder = format!("process {}\n", std::process::id());
        lock.set_len(0)
            .and_then(|()| lock.write_all(holder.as_bytes()))
            .map_err(unwritable)?;
        Ok(Self {
            path: path.to_owned(),
            _lock: lock,
        })
    }

    /// A file in the folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}
