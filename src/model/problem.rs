//! What is wrong with a resource: what, where, and how to fix it.

use std::fmt;

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

/// The known name that a mistyped one was probably meant to be.
pub(super) fn closest<'a>(
    written: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let lower = written.to_lowercase();
    known
        .into_iter()
        .map(|name| {
            (
                strsim::damerau_levenshtein(&lower, &name.to_lowercase()),
                name,
            )
        })
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
    const SHOWN: usize = 20;
    let known: Vec<&str> = known.into_iter().collect();
    let list = match known.len() {
        0 => format!("no {noun} are known"),
        1..=SHOWN => format!("known {noun}: {}", known.join(", ")),
        count => format!(
            "known {noun}: {} and {} more",
            known
                .iter()
                .take(SHOWN)
                .copied()
                .collect::<Vec<_>>()
                .join(", "),
            count - SHOWN
        ),
    };
    match closest(written, known) {
        Some(name) => format!("did you mean `{name}`? {list}"),
        None => list,
    }
}
