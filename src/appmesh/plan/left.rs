//! What a plan leaves as it is, and why.

use std::fmt;

use super::TAG;
use crate::model::difference::Change;
use crate::model::tags::MOST;
use crate::model::{ResourceId, ResourceKind};

/// A resource of the target that the mirror did not make, and leaves alone.
#[derive(Clone, Debug, PartialEq)]
pub struct Foreign {
    pub id: ResourceId,
    /// The other mirror that made it, by the id of its source.
    pub of: Option<String>,
    /// Why its tags cannot be read, so that nobody knows whose it is.
    pub no_tags: Option<String>,
    pub state: ForeignState,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ForeignState {
    /// The source has no such resource.
    Beside,
    /// It is as the source has it.
    Same,
    /// It is in the way.
    Differs(Vec<Change>),
}

/// A resource that was mirrored, and that the source no longer has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orphan {
    pub id: ResourceId,
    pub why: Kept,
}

/// Why it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Nothing is pruned.
    Unpruned,
    /// It is in use at the target.
    InUse { by: Vec<ResourceId> },
}

/// A resource of the source that does not go to the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotMirrored {
    pub id: ResourceId,
    pub why: Why,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// It is a copy of the target's.
    FromTarget,
    /// The target knows no such kind, as test doubles do not know all.
    Unknown {
        kind: ResourceKind,
    },
    /// Another account has a mesh of that name, and shares it with the target's.
    Shared {
        owner: String,
    },
    ReservedTag {
        key: String,
    },
    TooManyTags {
        count: usize,
    },
    /// The virtual node is, and the endpoints that are registered for it are nothing that App Mesh has.
    Endpoints {
        count: usize,
    },
    /// As it is, the service refuses it.
    Invalid {
        problem: String,
    },
    /// It needs what is not at the target and does not get there either.
    Needs {
        id: ResourceId,
    },
}

impl Foreign {
    /// Whether the source has none of that name.
    pub fn is_beside(&self) -> bool {
        self.state == ForeignState::Beside
    }

    /// Whether the target would be otherwise without it.
    pub fn is_in_the_way(&self) -> bool {
        matches!(self.state, ForeignState::Differs(_))
    }
}

impl Why {
    /// Whether something is not at the target that could be there.
    pub fn is_lack(&self) -> bool {
        !matches!(self, Self::FromTarget | Self::Endpoints { .. })
    }
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.of, &self.no_tags) {
            (_, Some(why)) => write!(f, "its tags cannot be read, so it may be anybody's ({why})")?,
            (Some(of), None) => write!(f, "the mirror of `{of}` made it")?,
            (None, None) => f.write_str("somebody else made it")?,
        }
        match &self.state {
            ForeignState::Beside => f.write_str("; the source has none of that name"),
            ForeignState::Same => f.write_str("; it is as the source has it"),
            ForeignState::Differs(changes) => {
                let changes: Vec<String> = changes.iter().map(ToString::to_string).collect();
                write!(f, "; it differs: {}", changes.join(", "))
            }
        }
    }
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unpruned => f.write_str("the source no longer has it, and nothing is pruned"),
            Self::InUse { by } => {
                let by: Vec<String> = by.iter().map(|id| format!("`{id}`")).collect();
                let by = by.join(", ");
                write!(f, "the source no longer has it, and it is in use by {by}")
            }
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FromTarget => f.write_str("it was mirrored from the target"),
            Self::Unknown { kind } => write!(f, "the target does not know the kind `{kind}`"),
            Self::Shared { owner } => write!(
                f,
                "account {owner} shares a mesh of that name with the target's account, and it is not the mirror's"
            ),
            Self::ReservedTag { key } => write!(
                f,
                "tags that start with `aws:` are AWS's own; remove `{key}`"
            ),
            Self::TooManyTags { count } => write!(
                f,
                "it would have {count} tags with `{TAG}`, of {MOST} that a resource can have; remove some"
            ),
            Self::Endpoints { count } => write!(
                f,
                "App Mesh has nothing like its {count} registered endpoints; the target goes by its discovery"
            ),
            Self::Invalid { problem } => {
                write!(f, "App Mesh's service refuses it, since {problem}")
            }
            Self::Needs { id } => write!(f, "it needs `{id}`, which is not at the target"),
        }
    }
}
