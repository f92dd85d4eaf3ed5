//! What the store knows of a resource beyond its spec.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::model::tags::Tags;

/// A time, in milliseconds since 1970.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    pub fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    pub fn as_millis(self) -> u64 {
        self.0
    }

    #[must_use]
    pub fn saturating_add(self, time: Duration) -> Self {
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(millis))
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(SystemTime::UNIX_EPOCH);
        let millis = since.unwrap_or_default().as_millis();
        Self(u64::try_from(millis).unwrap_or(u64::MAX))
    }
}

/// A resource's metadata, its tags and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Stays the same until the resource is deleted; one made anew under the same name has another.
    pub uid: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// 1 when it is created, one more with each update.
    pub version: u64,
    pub tags: Tags,
    pub owner: Owner,
}

impl Record {
    /// One version on.
    #[must_use]
    pub(super) fn next(&self, now: Timestamp) -> Self {
        Self {
            updated_at: now.max(self.updated_at),
            version: self.version + 1,
            ..self.clone()
        }
    }
}

/// Who may change a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Whoever calls the API.
    Api,
    /// The mesh file that declares it, and nobody else; the line is where the document begins, 0 if that is not known.
    File { path: Arc<Path>, line: u32 },
}
