//! The last good records of a host, and when a denial makes them go. Pure.
//!
//! **Invariant:** a failure never removes a record; a denial removes records only once it has been repeated for the
//! whole grace, or when the host's other family answers (then nothing gets empty). Time in which nobody answered, or in
//! which this process did not run, is no part of the grace.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::answer::{Answer, Digest, HostAnswer};
use super::saved::{Clocks, SavedHost, SavedRecords};
use crate::model::spec::IpPreference;

/// Records that stay in use until a good answer replaces them.
#[derive(Debug)]
pub(super) struct Kept<T> {
    records: Vec<T>,
    found_at: Option<Instant>,
    denied: Option<Denied>,
}

/// A denial that goes on.
#[derive(Clone, Copy, Debug)]
struct Denied {
    lasted: Duration,
    repeated_at: Instant,
}

/// When an answer came, and how long a denial must last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) now: Instant,
    pub(super) grace: Duration,
    /// Between two denials, no more than this counts.
    pub(super) longest_gap: Duration,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self {
            records: Vec::new(),
            found_at: None,
            denied: None,
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
                self.denied = None;
            }
            Answer::NoName { .. } | Answer::NoRecords { .. } => {
                let denied = self.denied.get_or_insert(Denied {
                    lasted: Duration::ZERO,
                    repeated_at: moment.now,
                });
                let gap = moment.now.saturating_duration_since(denied.repeated_at);
                denied.lasted += gap.min(moment.longest_gap);
                denied.repeated_at = moment.now;
                if replaced || denied.lasted >= moment.grace {
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
        let denied = self.denied.filter(|_| !self.records.is_empty())?;
        Some(denied.repeated_at + grace.saturating_sub(denied.lasted))
    }
}

impl<T: Clone> Kept<T> {
    pub(super) fn saved(&self, clocks: Clocks) -> Option<SavedRecords<T>> {
        Some(SavedRecords {
            found_at: clocks.to_seconds(self.found_at?),
            denied_for: self.denied.map_or(0, |denied| denied.lasted.as_secs()),
            records: self.records.clone(),
        })
    }

    pub(super) fn restored(saved: Option<SavedRecords<T>>, clocks: Clocks) -> Self {
        let Some(saved) = saved else {
            return Self::default();
        };
        let lasted = Duration::from_secs(saved.denied_for);
        Self {
            records: saved.records,
            found_at: Some(clocks.to_instant(saved.found_at)),
            denied: (!lasted.is_zero()).then_some(Denied {
                lasted,
                repeated_at: clocks.now,
            }),
        }
    }
}

/// A host's addresses of both families.
#[derive(Debug, Default)]
pub(super) struct Host {
    v4: Kept<IpAddr>,
    v6: Kept<IpAddr>,
}

impl Host {
    pub(super) fn take(
        &mut self,
        answer: HostAnswer,
        preference: Option<IpPreference>,
        moment: Moment,
        digest: &mut Digest,
    ) {
        let HostAnswer { mut v4, mut v6 } = answer;
        let found = v4.is_found() || v6.is_found();
        if !found && let Some(ttl) = no_name(&v4).or_else(|| no_name(&v6)) {
            // That the name does not exist is said of both families, even if one of the questions failed.
            v4 = Answer::NoName { ttl };
            v6 = Answer::NoName { ttl };
        }
        let (preferred, other) = if prefers_v6(preference) {
            (&v6, &v4)
        } else {
            (&v4, &v6)
        };
        for answer in [preferred, other] {
            let needed = match answer {
                Answer::NoName { .. } | Answer::NoRecords { .. } => !found,
                // A server that cannot say anything of the other family is none the worse for it.
                Answer::Failed(_) => !preferred.is_found(),
                Answer::Found { .. } | Answer::NotAsked => true,
            };
            if needed {
                digest.add(answer);
            }
        }
        for (kept, answer) in [(&mut self.v4, v4), (&mut self.v6, v6)] {
            kept.take(answer, found, moment);
            digest.grace_ends(kept.grace_end(moment.grace));
        }
    }

    pub(super) fn saved(&self, name: &Arc<str>, clocks: Clocks) -> SavedHost {
        SavedHost {
            name: Arc::clone(name),
            v4: self.v4.saved(clocks),
            v6: self.v6.saved(clocks),
        }
    }

    pub(super) fn restored(saved: SavedHost, clocks: Clocks) -> Self {
        Self {
            v4: Kept::restored(saved.v4, clocks),
            v6: Kept::restored(saved.v6, clocks),
        }
    }

    /// Whether records in use are being denied.
    pub(super) fn is_denied(&self) -> bool {
        let denied = |kept: &Kept<IpAddr>| kept.denied.is_some() && !kept.records.is_empty();
        denied(&self.v4) || denied(&self.v6)
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
