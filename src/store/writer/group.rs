//! One group of requests, as far as it has been gone through.

use std::collections::BTreeSet;
use std::time::Instant;

use super::Answer;
use crate::model::ResourceId;
use crate::store::Revision;
use crate::store::files::Replaced;
use crate::store::journal::Batch;
use crate::store::state::{Applied, State};
use crate::store::write::{WriteError, Written};

/// What of the state is to be brought to the journal.
#[derive(Clone, Debug, Default)]
pub(super) struct Touched {
    pub(super) resources: BTreeSet<ResourceId>,
    pub(super) files: BTreeSet<ResourceId>,
    pub(super) tokens: BTreeSet<String>,
}

impl Touched {
    pub(super) fn is_empty(&self) -> bool {
        self.resources.is_empty() && self.files.is_empty() && self.tokens.is_empty()
    }

    /// As all of it is in a state.
    pub(super) fn batch(&self, state: &State) -> Batch {
        let resources = self.resources.iter();
        let files = self.files.iter();
        let tokens = self.tokens.iter();
        Batch {
            revision: state.revision,
            resources: resources.map(|id| (id.clone(), state.kept(id))).collect(),
            files: files.map(|id| (id.clone(), state.fact(id))).collect(),
            tokens: tokens
                .map(|token| (token.clone(), state.tokens.get_any(token).cloned()))
                .collect(),
        }
    }
}

/// A group of requests under way.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) writes: u32,
    /// Whether the state that the next request is judged by has something that is not kept yet.
    pub(super) is_tentative: bool,
    pub(super) touched: Touched,
    /// When the first change of files in it was seen.
    pub(super) seen_at: Option<Instant>,
    pub(super) answers: Vec<Answered>,
}

/// An outcome that is told once the group is kept.
#[derive(Debug)]
pub(super) enum Answered {
    Write {
        action: &'static str,
        outcome: Result<Applied, WriteError>,
        /// Whether it was judged by a state that is not kept unless the group is.
        is_tentative: bool,
        answer: Answer<Written>,
    },
    Files {
        replaced: Replaced,
        answer: Answer<Option<Revision>>,
    },
}
