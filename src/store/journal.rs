//! Where the store keeps what it holds: one trait, and what crosses it.

mod facts;
mod mark;
mod memory;
mod redb;
mod row;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;

use super::record::{Record, Timestamp};
use super::{Revision, ServerId};
use crate::model::{ResourceId, Spec};

pub use self::redb::Redb;
pub use memory::Memory;
pub(crate) use row::{id as id_of, key as names_of};

/// Keeps what the store's one writer hands over. Calls block.
///
/// **What every implementation promises:** after [`Journal::commit`] has returned `Ok`, [`Journal::load`] finds the batch,
/// however the process or the machine ended. After an `Err`, and when the process ended during the call, it finds all of it
/// or nothing. No part of a batch is ever found, and no batch without those before it.
pub trait Journal: std::fmt::Debug + Send {
    /// Everything that is kept.
    ///
    /// # Errors
    /// [`LoadError`] when that is not exactly what was committed; it is left as it is.
    fn load(&mut self) -> Result<Loaded, LoadError>;

    /// The id of the server whose journal this is, once it is loaded; made with the first call.
    ///
    /// # Errors
    /// [`LoadError`] when it cannot be read, or there is none and it cannot be kept.
    fn server_id(&mut self) -> Result<ServerId, LoadError>;

    /// Keeps all of a batch, or none of it.
    ///
    /// # Errors
    /// [`CommitError`]: whether it is kept is not known (a disk may fail after it has written), and the next batch that works
    /// is to say again what there is.
    fn commit(&mut self, batch: &Batch) -> Result<(), CommitError>;
}

/// What one group of writes leaves behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// The store's revision after it.
    pub revision: Revision,
    /// Resources that the API owns; `None`: it is there no longer.
    pub resources: Vec<(ResourceId, Option<Kept>)>,
    /// Resources that files own; `None`: no file declares it any longer.
    pub files: Vec<(ResourceId, Option<FileFact>)>,
    /// Client tokens; `None`: it is forgotten.
    pub tokens: Vec<(String, Option<Remembered>)>,
}

impl Batch {
    pub fn is_empty(&self) -> bool {
        self.resources.is_empty() && self.files.is_empty() && self.tokens.is_empty()
    }
}

/// Everything that is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    pub revision: Revision,
    pub resources: Vec<(ResourceId, Kept)>,
    pub files: Vec<(ResourceId, FileFact)>,
    pub tokens: Vec<(String, Remembered)>,
}

/// A resource that the API owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    pub spec: Spec,
    pub record: Arc<Record>,
}

/// What a mesh file cannot hold of its resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileFact {
    pub uid: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub version: u64,
    /// Of the spec and the tags, to notice what changed while nobody watched.
    pub digest: u128,
}

/// What a client token was used for, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    pub digest: u128,
    pub at: Timestamp,
    /// The answer's; its spec is that of the same change sent again.
    pub record: Arc<Record>,
    pub revision: Revision,
}

/// Why a batch is not kept.
#[derive(Debug, Error)]
#[error("cannot write `{}`; make room for it and let this user write there", path.display())]
pub struct CommitError {
    pub path: PathBuf,
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// Why what is kept cannot be used. It is left as it is.
#[derive(Debug, Error)]
pub enum LoadError {
    #[error("cannot read `{}`; {WAY_OUT}", path.display())]
    Unreadable {
        path: PathBuf,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("`{}` is empty, and was not left so by an Outrigger; {WAY_OUT}", path.display())]
    Empty { path: PathBuf },
    #[error("`{}` is damaged: {what}; {WAY_OUT}", path.display())]
    Damaged { path: PathBuf, what: String },
    #[error(
        "`{}` has format {found}, and this program knows format {known}; start the program that wrote it, or export with that \
         and import with this",
        path.display()
    )]
    Format {
        path: PathBuf,
        found: u64,
        known: u64,
    },
}

/// What to do with a file that cannot be used.
const WAY_OUT: &str = "bring back a copy of it, or move all `mesh.*` files of the data folder away and import an export \
                       (`outrigger store import`) or start with nothing that the API was told";
