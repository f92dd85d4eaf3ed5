//! The last good records of a host, and when a denial makes them go. Pure.
//!
//! **Invariant:** a failure never removes a record; a denial removes records only once it has been repeated for the
//! whole grace, or when the host's other family answers (then nothing gets empty).

use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::answer::{Answer, Digest, HostAnswer};
use crate::model::spec::IpPreference;

/// Records that stay in use until a good answer replaces them.
#[derive(Debug)]
pub(super) struct Kept<T> {
    records: Vec<T>,
    found_at: Option<Instant>,
    denied_since: Option<Instant>,
}

/// When an answer came, and how long a denial must last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) now: Instant,
    pub(super) grace: Duration,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self {
            records: Vec::new(),
            found_at: None,
            denied_since: None,
        }
    }
}

impl<T: Ord> Kept<T> {
    /// `replaced`: something else serves in place of these records, so a denial counts at once.
    pub(super) fn take(&mut self, answer: Answer<T>, replaced: bool, moment: Moment) {
        match answer {
            Answer::Found { mut records, .. } => {
                records.sort();
                records.dedup();
                self.records = records;
                self.found_at = Some(moment.now);
                self.denied_since = None;
            }
            Answer::NoName { .. } | Answer::NoRecords { .. } => {
                let since = *self.denied_since.get_or_insert(moment.now);
                if replaced || moment.now >= since + moment.grace {
                    *self = Self::default();
                }
            }
            Answer::Failed(_) | Answer::NotAsked => {}
        }
    }

    pub(super) fn records(&self) -> &[T] {
        &self.records
    }

    /// When the records in use were last confirmed.
    pub(super) fn found_at(&self) -> Option<Instant> {
        self.found_at
    }

    /// When the records in use are given up, if they go on being denied.
    pub(super) fn grace_end(&self, grace: Duration) -> Option<Instant> {
        let since = self.denied_since.filter(|_| !self.records.is_empty());
        since.map(|since| since + grace)
    }
}

/// A host's addresses of both families.
#[derive(Debug, Default)]
pub(super) struct Host {
    v4: Kept<IpAddr>,
    v6: Kept<IpAddr>,
}

impl Host {
    pub(super) fn take(&mut self, answer: HostAnswer, moment: Moment, digest: &mut Digest) {
        let HostAnswer { mut v4, mut v6 } = answer;
        let found = v4.is_found() || v6.is_found();
        if !found && let Some(ttl) = no_name(&v4).or_else(|| no_name(&v6)) {
            // That the name does not exist is said of both families, even if one of the questions failed.
            v4 = Answer::NoName { ttl };
            v6 = Answer::NoName { ttl };
        }
        for answer in [&v4, &v6] {
            let denied = matches!(answer, Answer::NoName { .. } | Answer::NoRecords { .. });
            if !(found && denied) {
                digest.add(answer);
            }
        }
        for (kept, answer) in [(&mut self.v4, v4), (&mut self.v6, v6)] {
            kept.take(answer, found, moment);
            digest.grace_ends(kept.grace_end(moment.grace));
        }
    }

    /// The family in use: the preferred one if it has addresses, else the other.
    ///
    /// No preference is IPv4 first: where IPv6 was never set up, a name with both still leads somewhere.
    pub(super) fn addresses(&self, preference: Option<IpPreference>) -> &Kept<IpAddr> {
        let (first, second) = if prefers_v6(preference) {
            (&self.v6, &self.v4)
        } else {
            (&self.v4, &self.v6)
        };
        if first.records().is_empty() {
            second
        } else {
            first
        }
    }
}

/// Whether IPv6 addresses are used where both families have some.
pub(super) fn prefers_v6(preference: Option<IpPreference>) -> bool {
    match preference {
        Some(IpPreference::Ipv6Only | IpPreference::Ipv6Preferred) => true,
        Some(IpPreference::Ipv4Only | IpPreference::Ipv4Preferred) | None => false,
    }
}

fn no_name(answer: &Answer<IpAddr>) -> Option<Duration> {
    match answer {
        Answer::NoName { ttl } => Some(*ttl),
        _ => None,
    }
}
