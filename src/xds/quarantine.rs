//! What a client rejected, and which resource its words blame.
//!
//! **Invariant:** a rejected version of a resource is not sent again before its back-off is over, so a NACK never
//! starts a loop. Other content under the same name is free at once; when the rejected content comes back, it waits for
//! the rest of its back-off. Of rejected content that nobody wants any more, only the newest is remembered.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::limits::Backoff;
use super::stream::Rejection;
use super::traps::{self, Trap};
use crate::snapshot::{ResourceName, Version};

/// Clients send their whole trouble; the beginning of it is kept.
const MESSAGE_LEN: usize = 4096;

/// How much of it is searched for names: each name is looked for in all of it.
const SEARCHED_LEN: usize = 64 << 10;

/// How many rejected versions are remembered that are not the newest of their names.
const PAST: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Quarantine {
    /// What was rejected of the newest content.
    rejected: BTreeMap<ResourceName, Rejected>,
    /// What was rejected of content that has changed or gone, oldest first.
    past: VecDeque<(ResourceName, Rejected)>,
    /// The newest rejection that blames nothing in particular.
    unnamed: Option<Rejection>,
}

#[derive(Debug)]
struct Rejected {
    version: Version,
    message: Arc<str>,
    since: Duration,
    attempts: u32,
    retry_at: Duration,
}

impl Quarantine {
    /// Until when this version of a resource is not to be sent.
    pub(super) fn until(&self, name: &str, version: Version) -> Option<Duration> {
        let rejected = self.rejected.get(name)?;
        if traps::active(Trap::RejectedIsSentAtOnce) {
            return None;
        }
        (rejected.version == version).then_some(rejected.retry_at)
    }

    /// Notes the rejection of a version; `newest` is what there is of the name.
    pub(super) fn reject(
        &mut self,
        name: &ResourceName,
        version: Version,
        newest: Option<Version>,
        message: &Arc<str>,
        now: Duration,
        backoff: Backoff,
    ) {
        let (since, attempts) = match self.rejected.get(name) {
            Some(known) if known.version == version => {
                (known.since, known.attempts.saturating_add(1))
            }
            _ => (now, 0),
        };
        let rejected = Rejected {
            version,
            message: Arc::clone(message),
            since,
            attempts,
            retry_at: now.saturating_add(backoff.delay(attempts)),
        };
        if newest == Some(version) {
            self.rejected.insert(Arc::clone(name), rejected);
        } else {
            self.remember(name, rejected);
        }
    }

    fn remember(&mut self, name: &ResourceName, rejected: Rejected) {
        if self.past.len() >= PAST {
            self.past.pop_front();
        }
        self.past.push_back((Arc::clone(name), rejected));
    }

    pub(super) fn reject_unnamed(&mut self, message: &str, now: Duration) {
        self.unnamed = Some(Rejection {
            resource: None,
            version: None,
            message: shortened(message).into(),
            since: now,
        });
    }

    /// Notes what there is of a name from now on. Says whether what there was before was rejected.
    pub(super) fn change(&mut self, name: &ResourceName, newest: Option<Version>) -> bool {
        let returns = |(known, rejected): &(ResourceName, Rejected)| {
            known == name && Some(rejected.version) == newest
        };
        let place = self.past.iter().position(returns);
        let returned = place.and_then(|place| self.past.remove(place));
        let before = match returned {
            Some((name, rejected)) => self.rejected.insert(name, rejected),
            None if self.rejected.is_empty() => None,
            None => self.rejected.remove(name),
        };
        let was_rejected = before.is_some();
        if let Some(rejected) = before {
            self.remember(name, rejected);
        }
        was_rejected
    }

    /// Nobody asks for it any more.
    pub(super) fn forget(&mut self, name: &str) {
        self.rejected.remove(name);
        self.past.retain(|(known, _)| **known != *name);
    }

    /// Nothing is rejected that could be accepted.
    pub(super) fn is_empty(&self) -> bool {
        self.rejected.is_empty()
    }

    pub(super) fn accept(&mut self, name: &str, version: Version) {
        if self.until(name, version).is_some() {
            self.rejected.remove(name);
        }
    }

    /// The client accepted a response and owes no verdict on another.
    pub(super) fn all_settled(&mut self) {
        self.unnamed = None;
    }

    pub(super) fn rejections(&self) -> Vec<Rejection> {
        let named = self.rejected.iter().map(|(name, rejected)| Rejection {
            resource: Some(Arc::clone(name)),
            version: Some(rejected.version),
            message: Arc::clone(&rejected.message),
            since: rejected.since,
        });
        named.chain(self.unnamed.clone()).collect()
    }
}

/// The beginning of a client's words.
pub(super) fn shortened(message: &str) -> String {
    beginning(message, MESSAGE_LEN).to_owned()
}

/// So many bytes, or one character less.
fn beginning(message: &str, len: usize) -> &str {
    let mut end = message.len().min(len);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    message.get(..end).unwrap_or_default()
}

/// Which of a response's resources a NACK's message blames.
///
/// Envoy and gRPC write `NAME: what is wrong`. Where no name is followed by a colon, one that stands by itself counts.
/// A name inside a longer one is not that resource's. Of a message that is very long, the beginning is searched.
pub(super) fn blamed(message: &str, names: &[ResourceName]) -> Vec<ResourceName> {
    let message = beginning(message, SEARCHED_LEN);
    let mut found = Vec::new();
    for (index, name) in names
        .iter()
        .enumerate()
        .filter(|(_, name)| !name.is_empty())
    {
        for (start, _) in message.match_indices(&**name) {
            found.push((start, start + name.len(), index));
        }
    }
    // The longest at a place hides what it covers.
    found.sort_by_key(|(start, end, _)| (*start, std::cmp::Reverse(*end)));
    let mut covered = 0;
    found.retain(|(start, end, _)| {
        let stands_alone = is_delimited(message, *start, *end) && *end > covered;
        covered = if stands_alone { *end } else { covered };
        stands_alone
    });
    let colon = |end: usize| message.get(end..).is_some_and(|rest| rest.starts_with(':'));
    if found.iter().any(|(_, end, _)| colon(*end)) {
        found.retain(|(_, end, _)| colon(*end));
    }
    let mut blamed: Vec<_> = found.iter().map(|(_, _, index)| *index).collect();
    blamed.sort_unstable();
    blamed.dedup();
    blamed
        .iter()
        .filter_map(|index| names.get(*index).cloned())
        .collect()
}

fn is_delimited(message: &str, start: usize, end: usize) -> bool {
    let before = message
        .get(..start)
        .and_then(|text| text.chars().next_back());
    let mut after = message.get(end..).unwrap_or_default().chars();
    let ends = match after.next() {
        // Punctuation, unless a name goes on after it.
        Some('.' | ':') => after.next().is_none_or(|next| !is_of_name(next)),
        Some(next) => !is_of_name(next),
        None => true,
    };
    ends && before.is_none_or(|before| !is_of_name(before) && before != '.')
}

fn is_of_name(char: char) -> bool {
    char.is_alphanumeric() || matches!(char, '_' | '-' | '/' | '*' | '@' | '~')
}

#[cfg(test)]
mod tests;
