//! The window of the last changes: which resources each of the last revisions changed.

use std::collections::BTreeSet;
use std::sync::Arc;

use imbl::OrdMap;

use super::{Revision, Stored};
use crate::model::ResourceId;

/// Revisions that the window reaches back. They are held as names only; what a resource is now stands in the model.
const WINDOW: usize = 4096;
/// Names that the window holds at most, whatever the number of revisions: one of a whole mesh may have ten thousand.
const NAMES: usize = 65_536;

/// The last changes, persistent: a clone is cheap.
#[derive(Clone, Debug, Default)]
pub struct Feed {
    changes: OrdMap<Revision, Arc<[ResourceId]>>,
    names: usize,
    /// The newest revision that is not in the window: who has seen it, and all after it, can be told what changed.
    before: Revision,
}

/// What changed since a revision.
#[derive(Clone, Debug)]
pub enum Changes {
    /// These resources, up to what is stored now; one that is not there any longer was deleted.
    Since {
        changed: BTreeSet<ResourceId>,
        stored: Stored,
    },
    /// Too long ago to say, or never a revision of this store: all is to be read anew.
    Full { stored: Stored },
}

impl Feed {
    /// Nothing is known of what led to this revision.
    pub(super) fn starting_at(revision: Revision) -> Self {
        Self {
            before: revision,
            ..Self::default()
        }
    }

    pub(super) fn push(&mut self, revision: Revision, changed: Arc<[ResourceId]>) {
        self.names += changed.len();
        self.changes.insert(revision, changed);
        while self.changes.len() > WINDOW || self.names > NAMES {
            let Some((oldest, ids)) = self.changes.get_min().cloned() else {
                return;
            };
            self.changes.remove(&oldest);
            self.names -= ids.len();
            self.before = oldest;
        }
    }
}

impl Stored {
    /// What changed since a revision that the caller has seen.
    pub fn changes_since(self, revision: Revision) -> Changes {
        if revision < self.feed.before || revision > self.revision {
            return Changes::Full { stored: self };
        }
        let later = self.feed.changes.range(revision.next()..);
        let changed = later.flat_map(|(_, ids)| ids.iter().cloned()).collect();
        Changes::Since {
            changed,
            stored: self,
        }
    }
}
