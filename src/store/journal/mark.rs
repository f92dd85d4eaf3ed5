//! The revision that a database has reached, in a file beside it: by it, a database that lost what it had is noticed, be it
//! that an older copy was put in its place or that it went back by a commit that it could not read.
//!
//! A hint: it is not synced, since it is written after what it tells of is on the disk. After a power cut it may tell of
//! less than that, and never of more.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::store::Revision;

/// As many as the largest revision has, so that no write leaves digits of another.
const DIGITS: usize = 20;

#[derive(Debug)]
pub(super) struct Mark {
    path: PathBuf,
    file: Option<File>,
}

impl Mark {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, file: None }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// `None` where it says nothing.
    pub(super) fn get(&self) -> io::Result<Option<u64>> {
        match fs::read(&self.path) {
            Ok(mark) => {
                let text = std::str::from_utf8(&mark).ok();
                Ok(text.and_then(|text| text.trim().parse().ok()))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// May fail without a word: damage is noticed by more than this.
    pub(super) fn set(&mut self, revision: Revision) {
        if self.file.is_none() {
            let options = File::options()
                .create(true)
                .truncate(false)
                .write(true)
                .open(&self.path);
            self.file = options.ok();
        }
        if let Some(file) = &self.file {
            let text = format!("{:0DIGITS$}\n", revision.as_u64());
            drop(file.write_all_at(text.as_bytes(), 0));
        }
    }
}
