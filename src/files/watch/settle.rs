//! What a state of the files may be: a change as it was meant, or a step on the way to one.
//!
//! Nothing tells for certain when a program has finished several files, so the answer is how long a state must have stood:
//! a saved file hardly at all, many changed files longer, and what takes something away a second.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::super::load::LoadError;
use super::super::read::Content;
use super::Outcome;
use crate::model::ResourceId;

/// A change is looked at once nothing more has happened for this long.
pub(super) const QUIET: Duration = Duration::from_millis(20);
/// For each further file that has changed, it must have been quiet for longer by this,
const QUIET_FOR_EACH: Duration = Duration::from_millis(5);
/// up to this.
const QUIET_AT_MOST: Duration = Duration::from_millis(500);
/// A file that is new, or has grown at its end, may be growing still.
const GROWING: Duration = Duration::from_millis(80);

/// What was handed on last.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) fingerprint: Option<u64>,
    contents: BTreeMap<PathBuf, Arc<Content>>,
    ids: BTreeSet<ResourceId>,
}

/// Why a state looks like a step on the way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Doubt {
    /// It has errors: half of a change may be missing.
    Failing,
    /// A path that was there is not, or a folder is suddenly empty.
    Missing(PathBuf),
    /// A resource is no longer declared: editors and deployments move files away, or empty them, before they write them.
    Gone(ResourceId),
    /// The file is the beginning of what it was.
    Cut(PathBuf),
}

impl Known {
    /// Remembers what is handed on. An outcome without files takes nothing away from what was known.
    pub(super) fn update(&mut self, contents: &[Arc<Content>], outcome: &Outcome) {
        self.fingerprint = None;
        if let Ok(loaded) = outcome {
            self.fingerprint = Some(loaded.fingerprint);
            self.ids.clone_from(&loaded.ids);
            let by_path = contents
                .iter()
                .map(|content| (content.path().to_path_buf(), Arc::clone(content)));
            self.contents = by_path.collect();
        }
    }

    pub(super) fn doubts(&self, contents: &[Arc<Content>], outcome: &Outcome) -> BTreeSet<Doubt> {
        let loaded = match outcome {
            Ok(loaded) => loaded,
            Err(
                LoadError::Missing { path }
                | LoadError::Empty { path }
                | LoadError::Unreadable { path, .. }
                | LoadError::NoFile { path, .. },
            ) => return [Doubt::Missing(path.clone())].into(),
        };
        let gone = self.ids.difference(&loaded.ids).cloned().map(Doubt::Gone);
        let cut = contents.iter().filter(|content| {
            self.contents
                .get(content.path())
                .is_some_and(|old| is_begin(content, old))
        });
        let cut = cut.map(|content| Doubt::Cut(content.path().into()));
        let failing = (loaded.errors() > 0).then_some(Doubt::Failing);
        gone.chain(cut).chain(failing).collect()
    }

    /// How long it must have been quiet before a state without doubts is taken.
    pub(super) fn rest(&self, contents: &[Arc<Content>]) -> Duration {
        let mut kept = 0;
        let mut changed = 0_usize;
        let mut is_growing = false;
        for content in contents {
            let Some(old) = self.contents.get(content.path()) else {
                changed += 1;
                is_growing = true;
                continue;
            };
            kept += 1;
            changed += usize::from(old.hash != content.hash);
            is_growing |= is_begin(old, content);
        }
        let gone = self.contents.len().saturating_sub(kept);
        let further = u32::try_from((changed + gone).saturating_sub(1)).unwrap_or(u32::MAX);
        let growing = if is_growing { GROWING } else { QUIET };
        QUIET_FOR_EACH
            .saturating_mul(further)
            .saturating_add(QUIET)
            .clamp(growing, QUIET_AT_MOST)
    }
}

/// Whether one text is the beginning of the other and not all of it.
fn is_begin(begin: &Content, whole: &Content) -> bool {
    let (begin, whole) = (begin.source.text(), whole.source.text());
    begin.len() < whole.len() && whole.starts_with(begin)
}
