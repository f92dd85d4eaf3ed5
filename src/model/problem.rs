//! What is wrong with a resource: what, where, and how to fix it.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Bound::{Excluded, Included, Unbounded};

use imbl::OrdMap;

use super::document::{Path, Span};

/// Whether a problem keeps the model from being taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The model is not taken.
    Error,
    /// The model is taken; something in it does not do what was probably meant.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// One thing that is wrong in one document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub severity: Severity,
    /// What is wrong, in a line.
    pub what: String,
    /// The same in a few words, for the mark under the text.
    pub label: String,
    /// Where in the document.
    pub path: Path,
    /// Where in the text, if the document came from one.
    pub span: Option<Span>,
    /// How to fix it.
    pub help: String,
}

impl Problem {
    pub fn error(
        path: Path,
        what: impl Into<String>,
        label: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self {
            severity: Severity::Error,
            what: what.into(),
            label: label.into(),
            path,
            span: None,
            help: help.into(),
        }
    }

    pub fn warning(
        path: Path,
        what: impl Into<String>,
        label: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(path, what, label, help)
        }
    }

    #[must_use]
    pub fn at(mut self, span: Option<Span>) -> Self {
        self.span = span;
        self
    }
}

/// Bytes of the longest text for which a name is looked up that it was probably meant to be.
const LONGEST_COMPARED: usize = 100;

/// The known name that a mistyped one was probably meant to be.
pub(super) fn closest<'a>(
    written: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    // Nobody means a name with something that long, and the comparison would take its square in memory.
    let written = (written.len() <= LONGEST_COMPARED).then_some(written)?;
    let lower = written.to_lowercase();
    known
        .into_iter()
        .map(|name| (strsim::osa_distance(&lower, &name.to_lowercase()), name))
        .filter(|(distance, name)| {
            *distance <= 1.max(name.chars().count().max(lower.chars().count()) / 3)
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Help for a name that is not known: the probable one first, then all that are (or the first few).
pub(super) fn known_names<'a>(
    written: &str,
    noun: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let list = listed(noun, known.iter().copied(), known.len());
    with_closest(closest(written, known), list)
}

/// The same of a map's keys. In a large map the name is compared with those near it only, since a look at all of them
/// costs more than the change that has the mistake.
pub(super) fn known_in<K, V>(written: &str, noun: &str, known: &OrdMap<K, V>) -> String
where
    K: Ord + Borrow<str>,
{
    const NEAR: usize = 16;
    let list = listed(noun, known.keys().map(Borrow::borrow), known.len());
    let before = known.range::<_, str>((Unbounded, Excluded(written)));
    let after = known.range::<_, str>((Included(written), Unbounded));
    let near = before.rev().take(NEAR).chain(after.take(NEAR));
    with_closest(closest(written, near.map(|(name, _)| name.borrow())), list)
}

fn listed<'a>(noun: &str, known: impl Iterator<Item = &'a str>, count: usize) -> String {
    const SHOWN: usize = 20;
    let shown = known.take(SHOWN).collect::<Vec<_>>().join(", ");
    match count {
        0 => format!("no {noun} are known"),
        1..=SHOWN => format!("known {noun}: {shown}"),
        _ => format!("known {noun}: {shown} and {} more", count - SHOWN),
    }
}

fn with_closest(closest: Option<&str>, list: String) -> String {
    match closest {
        Some(name) => format!("did you mean `{name}`? {list}"),
        None => list,
    }
}
