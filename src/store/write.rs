//! Changes that callers ask the store for, and the answers.

use std::path::Path;
use std::sync::Arc;

use thiserror::Error;

use super::Revision;
use super::journal::CommitError;
use super::record::Record;
use crate::model::admission::Refusal;
use crate::model::tags::Tags;
use crate::model::{Resource, ResourceId, Spec};

/// One change.
#[derive(Clone, Debug)]
pub struct Write {
    pub action: Action,
    /// Makes a create or an update that is sent again have no second effect; of no meaning for other actions.
    pub token: Option<ClientToken>,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    Create { resource: Resource, tags: Tags },
    Update { resource: Resource },
    Delete { id: ResourceId },
    Tag { id: ResourceId, tags: Tags },
    Untag { id: ResourceId, keys: Vec<String> },
}

impl Action {
    /// The resource that it is about.
    pub fn id(&self) -> &ResourceId {
        match self {
            Self::Create { resource, .. } | Self::Update { resource } => &resource.id,
            Self::Delete { id } | Self::Tag { id, .. } | Self::Untag { id, .. } => id,
        }
    }
}

/// A caller's name for one change. It is remembered for an hour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientToken {
    pub token: String,
    /// Of operation, path and body: equal for the same change only.
    pub digest: u128,
}

/// What a write led to, or found already there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    pub id: ResourceId,
    /// Of a resource that was deleted: its last.
    pub spec: Spec,
    /// Of a resource that was deleted: one version on, and updated when it was deleted.
    pub record: Arc<Record>,
    /// The store's, with the write in it.
    pub revision: Revision,
}

/// Why a write did nothing.
#[derive(Clone, Debug, Error)]
pub enum WriteError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Of the same name, with another spec or other tags.
    #[error("`{id}` exists already and is not the same; update it, or choose another name")]
    Exists { id: ResourceId },
    #[error("`{id}` was changed by somebody else at the same time; read it again and retry")]
    Raced { id: ResourceId },
    #[error(
        "the client token `{token}` was used for another change within the last hour; use a new one for each change"
    )]
    TokenReused { token: String },
    #[error(
        "`{id}` belongs to the mesh file `{}`, line {line}; change it there, or remove it from the file first",
        path.display()
    )]
    OwnedByFile {
        id: ResourceId,
        path: Arc<Path>,
        line: u32,
    },
    #[error("`{id}` would have {count} tags, and may have {limit} at most; remove some first")]
    TooManyTags {
        id: ResourceId,
        count: usize,
        limit: usize,
    },
    /// Nothing is changed that anybody sees. The same write may work later.
    #[error("{}", source.outcome())]
    Unavailable { source: Arc<Trouble> },
    #[error("the mesh files are not loaded yet; retry when the control plane is ready")]
    NotLoaded,
}

/// Why writes do not work at present.
#[derive(Debug, Error)]
pub enum Trouble {
    #[error("what is written cannot be kept")]
    NotKept { source: CommitError },
    /// The disk failed during the commit, perhaps after it had written.
    #[error("what is written may be kept or not")]
    InDoubt { source: CommitError },
    #[error("too many writes wait already; retry in a while")]
    Full,
    #[error("the control plane is stopping; retry when it is back")]
    Stopping,
}

impl Trouble {
    /// What is known of the write.
    pub fn outcome(&self) -> &'static str {
        match self {
            Self::InDoubt { .. } => {
                "nothing is changed now, but after a restart it may be; read again before you retry"
            }
            Self::Stopping => {
                "whether anything is changed is not known; read again before you retry"
            }
            Self::NotKept { .. } | Self::Full => "nothing is changed",
        }
    }
}

impl From<Trouble> for WriteError {
    fn from(trouble: Trouble) -> Self {
        Self::Unavailable {
            source: Arc::new(trouble),
        }
    }
}
