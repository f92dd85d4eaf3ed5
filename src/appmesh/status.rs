//! How a mirror stands: with the target as a whole, and with each resource that is not there as the source has it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::watch;

use super::plan::{Foreign, Kept, Why};
use crate::model::ResourceId;
use crate::store::{Revision, Stored};

/// How a mirror stands, as it last said.
#[derive(Clone, Debug)]
pub struct Status {
    /// The target's address.
    pub endpoint: String,
    pub state: State,
    /// Since when it is in this state.
    pub since: Instant,
    /// Up to which revision of the source the target follows; `None` before it does.
    pub mirrored: Option<Revision>,
    /// When the source's first change after that was made.
    pub behind_since: Option<Instant>,
    /// When the target was last known to be as the source has it.
    pub last_success: Option<SystemTime>,
    /// When the target was last read as a whole.
    pub last_read: Option<Instant>,
    /// Resources that are at the target as the source has them.
    pub in_step: usize,
    /// Resources at the target that somebody else made, of names that the source has not.
    pub beside: usize,
    /// All others.
    pub others: BTreeMap<ResourceId, Standing>,
}

/// What a mirror is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// The source is not loaded yet.
    Waiting,
    /// All of the target is read.
    Reading,
    Writing,
    /// The target is as the source has it, but for what it is said of why not.
    InStep,
    /// The target refused some of it, and is asked again later.
    Incomplete,
    /// The target is of no use at present.
    Unavailable {
        /// Why, in the target's words where it has some.
        error: String,
        /// When it is tried again.
        next_try: Instant,
    },
}

/// Why a resource is not at the target as the source has it.
#[derive(Clone, Debug, PartialEq)]
pub enum Standing {
    /// It is to be written.
    Pending,
    /// The target refused it, with these words.
    Failed {
        error: String,
    },
    /// It needs what has failed.
    Blocked {
        by: ResourceId,
    },
    NotMirrored(Why),
    /// Somebody else made it, and the source has it too.
    Foreign(Foreign),
    /// The source no longer has it.
    Orphaned(Kept),
    /// The target has it otherwise than it was told.
    Unlike {
        what: String,
    },
    /// Somebody changed it at the target, and it is left so.
    Drifted {
        what: String,
    },
}

impl State {
    /// The name in metrics and on the command line.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Reading => "reading",
            Self::Writing => "writing",
            Self::InStep => "in_step",
            Self::Incomplete => "incomplete",
            Self::Unavailable { .. } => "unavailable",
        }
    }

    pub(super) const NAMES: [&str; 6] = [
        "waiting",
        "reading",
        "writing",
        "in_step",
        "incomplete",
        "unavailable",
    ];
}

impl Standing {
    /// The name in metrics and on the command line.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Failed { .. } => "failed",
            Self::Blocked { .. } => "blocked",
            Self::NotMirrored(_) => "not_mirrored",
            Self::Foreign(_) => "foreign",
            Self::Orphaned(_) => "orphaned",
            Self::Unlike { .. } => "unlike",
            Self::Drifted { .. } => "drifted",
        }
    }

    pub(super) const NAMES: [&str; 8] = [
        "pending",
        "failed",
        "blocked",
        "not_mirrored",
        "foreign",
        "orphaned",
        "unlike",
        "drifted",
    ];

    /// What there is to say of it; may be empty.
    pub fn detail(&self) -> String {
        match self {
            Self::Pending => String::new(),
            Self::Failed { error } => error.clone(),
            Self::Blocked { by } => format!("needs `{by}`, which failed"),
            Self::NotMirrored(why) => why.to_string(),
            Self::Foreign(foreign) => foreign.to_string(),
            Self::Orphaned(kept) => kept.to_string(),
            Self::Unlike { what } | Self::Drifted { what } => what.clone(),
        }
    }
}

impl Status {
    pub(super) fn new(endpoint: String) -> Self {
        Self {
            endpoint,
            state: State::Waiting,
            since: Instant::now(),
            mirrored: None,
            behind_since: None,
            last_success: None,
            last_read: None,
            in_step: 0,
            beside: 0,
            others: BTreeMap::new(),
        }
    }

    pub(super) fn enter(&mut self, state: State) {
        if self.state.as_str() != state.as_str() {
            self.since = Instant::now();
        }
        self.state = state;
    }

    /// How many resources stand in a way.
    pub fn count(&self, standing: &str) -> usize {
        let others = self.others.values();
        others.filter(|other| other.as_str() == standing).count()
    }
}

/// A mirror, for those who look at it.
#[derive(Clone, Debug)]
pub struct Mirror {
    pub(super) status: watch::Receiver<Status>,
    pub(super) source: watch::Receiver<Stored>,
}

impl Mirror {
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// Waits until the status differs from the one that was seen. Returns `false` when the mirror has ended.
    pub async fn changed(&mut self) -> bool {
        self.status.changed().await.is_ok()
    }

    /// The source's revision now.
    pub fn source_revision(&self) -> Revision {
        self.source.borrow().revision
    }

    /// For how long the target has been behind; zero if it is not.
    pub fn lag(&self) -> Duration {
        let (mirrored, since) = {
            let status = self.status.borrow();
            (status.mirrored, status.behind_since)
        };
        let source = self.source.borrow();
        if mirrored == Some(source.revision) {
            return Duration::ZERO;
        }
        let since = since.or(source.changed_at);
        since.map_or(Duration::ZERO, |since| since.elapsed())
    }
}
