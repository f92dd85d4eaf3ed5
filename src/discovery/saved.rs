//! The form in which the last good answers are kept on disk: JSON lines, a head and then one line a source. Pure.
//!
//! **Invariant:** what is written is read back as it was, and a text that is not whole (cut off, of another program or a
//! later version) is refused as a whole: half of a mesh's endpoints are worse than none, for nobody would notice.

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::answer::Service;
use crate::model::endpoint::EndpointSource;
use crate::model::spec::IpPreference;

const FORMAT: &str = "outrigger-dns-answers";
const VERSION: u32 = 1;

/// The first line.
#[derive(Serialize, Deserialize)]
struct Head {
    format: String,
    version: u32,
    /// How many lines follow, so that a cut is seen wherever it is.
    sources: usize,
}

/// One source with what is in use of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SavedSource {
    pub(super) hostname: Arc<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) preference: Option<IpPreference>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) services: Option<SavedRecords<Service>>,
    pub(super) hosts: Vec<SavedHost>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SavedHost {
    pub(super) name: Arc<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) v4: Option<SavedRecords<IpAddr>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) v6: Option<SavedRecords<IpAddr>>,
}

/// Records of one type. Times are whole seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SavedRecords<T> {
    pub(super) records: Vec<T>,
    /// When they were last confirmed, since 1970.
    pub(super) found_at: u64,
    /// For how long they have been denied.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) denied_for: u64,
}

/// One moment on both clocks: the monotonic one that discovery counts on, and the one that outlives the process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clocks {
    pub(super) now: Instant,
    pub(super) wall: SystemTime,
}

/// Why a text is not taken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ReadError {
    #[error("it is empty")]
    Empty,
    #[error("line 1 is not the head of a file of DNS answers")]
    Foreign,
    #[error("it has version {0}, and this program knows version {VERSION}")]
    Version(u32),
    #[error("it is cut off: {found} of {expected} sources are there")]
    CutOff { found: usize, expected: usize },
    #[error("line {line}: {problem}")]
    Line { line: usize, problem: String },
}

impl SavedSource {
    pub(super) fn source(&self) -> EndpointSource {
        EndpointSource::Dns {
            hostname: Arc::clone(&self.hostname),
            preference: self.preference,
        }
    }
}

impl Clocks {
    pub(super) fn now() -> Self {
        Self {
            now: Instant::now(),
            wall: SystemTime::now(),
        }
    }

    pub(super) fn to_seconds(self, at: Instant) -> u64 {
        let age = self.now.saturating_duration_since(at);
        let since_1970 = self.wall.duration_since(SystemTime::UNIX_EPOCH);
        since_1970.unwrap_or_default().saturating_sub(age).as_secs()
    }

    /// A time that is still to come (the clock was set back) is now.
    pub(super) fn to_instant(self, seconds: u64) -> Instant {
        let since_1970 = self.wall.duration_since(SystemTime::UNIX_EPOCH);
        let age = since_1970
            .unwrap_or_default()
            .saturating_sub(Duration::from_secs(seconds));
        self.now.checked_sub(age).unwrap_or(self.now)
    }
}

pub(super) fn print(sources: &[SavedSource]) -> String {
    let head = Head {
        format: FORMAT.to_owned(),
        version: VERSION,
        sources: sources.len(),
    };
    let lines = sources.iter().map(serde_json::to_string);
    let lines = std::iter::once(serde_json::to_string(&head)).chain(lines);
    let mut text = String::new();
    // None of the types can fail to be printed: no map with other keys than texts, nothing that refuses.
    for line in lines.flatten() {
        text.push_str(&line);
        text.push('\n');
    }
    text
}

pub(super) fn parse(text: &str) -> Result<Vec<SavedSource>, ReadError> {
    let mut lines = text.lines();
    let head = lines.next().ok_or(ReadError::Empty)?;
    let head: Head = serde_json::from_str(head).map_err(|_| ReadError::Foreign)?;
    if head.format != FORMAT {
        return Err(ReadError::Foreign);
    }
    if head.version != VERSION {
        return Err(ReadError::Version(head.version));
    }
    let found = lines.clone().count();
    if found != head.sources || !text.ends_with('\n') {
        return Err(ReadError::CutOff {
            found: found.min(head.sources.saturating_sub(1)),
            expected: head.sources,
        });
    }
    let source = |(position, line)| {
        serde_json::from_str(line).map_err(|error| ReadError::Line {
            line: position + 2,
            problem: error.to_string(),
        })
    };
    lines.enumerate().map(source).collect()
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_zero(seconds: &u64) -> bool {
    *seconds == 0
}
