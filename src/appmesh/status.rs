//! How a mirror stands: with the target as a whole, and with each resource that is not there as the source has it.

use std::time::{Duration, Instant, SystemTime};

use imbl::OrdMap;
use tokio::sync::watch;

use super::plan::{Foreign, Kept, Why};
use crate::model::ResourceId;
use crate::store::{Records, Revision, Stored};

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
    /// What the source has, as this status knows it: how much is to be mirrored, and all of it; `None` before the target was
    /// compared with it.
    pub(super) declared: Option<(usize, Records)>,
    /// Resources at the target that somebody else made, of names that the source has not.
    pub beside: usize,
    /// All that is not at the target as the source has it.
    pub others: OrdMap<ResourceId, Standing>,
}

/// What a mirror is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// The source is not loaded yet.
    Waiting,
    /// All of the target is read.
    Reading,
    Writing,
    /// All that the source has is at the target.
    InStep,
    /// Some of it is not, or not as the source has it. What the target refused it is asked again later.
    Incomplete,
    /// The target is of no use at present.
    Unavailable {
        /// Why, in the target's words where it has some.
        error: String,
        /// When it is tried again.
        next_try: Instant,
    },
    /// What is asked for makes no sense: somebody has to change the settings, or where the target's name leads.
    Refused {
        error: String,
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
    /// The source has no such mesh, though it is one of those to be mirrored.
    Absent,
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
            Self::Refused { .. } => "refused",
        }
    }

    pub(super) const NAMES: [&str; 7] = [
        "waiting",
        "reading",
        "writing",
        "in_step",
        "incomplete",
        "unavailable",
        "refused",
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
            Self::Absent => "absent",
            Self::Foreign(foreign) if foreign.is_in_the_way() => "foreign",
            Self::Foreign(_) => "foreign_alike",
            Self::Orphaned(_) => "orphaned",
            Self::Unlike { .. } => "unlike",
            Self::Drifted { .. } => "drifted",
        }
    }

    pub(super) const NAMES: [&str; 10] = [
        "pending",
        "failed",
        "blocked",
        "not_mirrored",
        "absent",
        "foreign",
        "foreign_alike",
        "orphaned",
        "unlike",
        "drifted",
    ];

    /// Whether something of the source is not at the target as it is meant to be there.
    pub(super) fn is_lack(&self) -> bool {
        match self {
            Self::Pending
            | Self::Failed { .. }
            | Self::Blocked { .. }
            | Self::Absent
            | Self::Drifted { .. } => true,
            Self::NotMirrored(why) => why.is_lack(),
            Self::Foreign(foreign) => foreign.is_in_the_way(),
            Self::Orphaned(_) | Self::Unlike { .. } => false,
        }
    }

    /// What there is to say of it; may be empty.
    pub fn detail(&self) -> String {
        match self {
            Self::Pending => String::new(),
            Self::Failed { error } => error.clone(),
            Self::Blocked { by } => format!("needs `{by}`, which failed"),
            Self::NotMirrored(why) => why.to_string(),
            Self::Absent => "the source has no mesh of this name; it is waited for".to_owned(),
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
            declared: None,
            beside: 0,
            others: OrdMap::new(),
        }
    }

    pub(super) fn enter(&mut self, state: State) {
        if self.state.as_str() != state.as_str() {
            self.since = Instant::now();
        }
        self.state = state;
    }

    /// How many resources are at the target as the source has them.
    pub fn in_step(&self) -> usize {
        let Some((declared, records)) = &self.declared else {
            return 0;
        };
        let others = self.others.keys().filter(|id| records.contains_key(*id));
        declared.saturating_sub(others.count())
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

    /// What it is about, without what it costs to say how each resource stands.
    pub fn state(&self) -> State {
        self.status.borrow().state.clone()
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
