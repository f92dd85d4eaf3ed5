//! What a look-up brings back, free of the DNS library's types. Pure.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// The answer to one question: a name and a record type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer<T> {
    Found {
        records: Vec<T>,
        ttl: Duration,
    },
    /// The name does not exist, whatever the type. The time to live is `Duration::MAX` where the server gave none.
    NoName {
        ttl: Duration,
    },
    /// The name exists without records of this type.
    NoRecords {
        ttl: Duration,
    },
    /// Nobody could say; the text tells why.
    Failed(Arc<str>),
    NotAsked,
}

/// A host's addresses, by family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HostAnswer {
    pub(super) v4: Answer<IpAddr>,
    pub(super) v6: Answer<IpAddr>,
}

/// One SRV record of the lowest priority.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Service {
    pub(super) target: Arc<str>,
    pub(super) port: u16,
    pub(super) weight: u16,
}

/// All of one look-up. A plain name is its own only host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SourceAnswer {
    /// For names that are looked up as SRV.
    pub(super) services: Option<Answer<Service>>,
    pub(super) hosts: Vec<(Arc<str>, HostAnswer)>,
}

impl<T> Answer<T> {
    pub(super) fn is_found(&self) -> bool {
        matches!(self, Self::Found { .. })
    }
}

/// What the answers of one look-up mean for the time of the next.
#[derive(Debug, Default)]
pub(super) struct Digest {
    /// The shortest time to live of what was found.
    pub(super) ttl: Option<Duration>,
    /// The shortest time to live of what was denied.
    pub(super) denied: Option<Duration>,
    /// When the first of the denied records that are still in use will be given up.
    pub(super) grace_end: Option<Instant>,
    /// The first failure.
    pub(super) error: Option<Arc<str>>,
}

impl Digest {
    pub(super) fn add<T>(&mut self, answer: &Answer<T>) {
        match answer {
            Answer::Found { ttl, .. } => self.ttl = self.ttl.into_iter().chain([*ttl]).min(),
            Answer::NoName { ttl } | Answer::NoRecords { ttl } => {
                self.denied = self.denied.into_iter().chain([*ttl]).min();
            }
            Answer::Failed(error) => {
                self.error.get_or_insert_with(|| Arc::clone(error));
            }
            Answer::NotAsked => {}
        }
    }

    pub(super) fn grace_ends(&mut self, at: Option<Instant>) {
        self.grace_end = self.grace_end.into_iter().chain(at).min();
    }
}
