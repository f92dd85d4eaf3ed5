//! JSON as such, for texts that are no YAML: several documents one after another, and what is wrong with broken ones.
//!
//! A single sound JSON document is sound YAML and does not come here.

use std::ops::Range;

use serde::de::IgnoredAny;

use crate::model::document::{Path, Span};
use crate::model::problem::Problem;

/// Whether a text is meant as JSON: YAML that begins in this way is rare, and gets no worse an answer.
pub(super) fn is_meant(text: &str) -> bool {
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let rest = text.strip_prefix(['{', '[']).map(str::trim_start);
    rest.is_some_and(|rest| rest.starts_with(['"', '{', '}', ']']) || rest.is_empty())
}

/// Where the documents of a text stand, up to the first error.
pub(super) fn documents(text: &str) -> (Vec<Range<usize>>, Option<Problem>) {
    let begin = text.len() - text.trim_start_matches('\u{feff}').len();
    let body = text.get(begin..).unwrap_or_default();
    let mut values = serde_json::Deserializer::from_str(body).into_iter::<IgnoredAny>();
    let mut ranges = Vec::new();
    let mut start = begin;
    while let Some(value) = values.next() {
        if let Err(error) = value {
            return (ranges, Some(problem(&error, text, begin)));
        }
        let end = begin + values.byte_offset();
        ranges.push(start..end);
        start = end;
    }
    (ranges, None)
}

fn problem(error: &serde_json::Error, text: &str, begin: usize) -> Problem {
    let message = error.to_string();
    let message = message.split(" at line ").next().unwrap_or_default();
    let body = text.get(begin..).unwrap_or_default();
    // Columns count bytes, the first of them as 1, and 0 is the line's begin.
    let line: usize = body
        .split_inclusive('\n')
        .take(error.line().saturating_sub(1))
        .map(str::len)
        .sum();
    let at = begin + line + error.column().saturating_sub(1);
    let at = text.floor_char_boundary(at.min(text.len()));
    let len = text.get(at..).and_then(|rest| rest.chars().next());
    Problem::error(
        Path::default(),
        format!("the document is not valid JSON: {message}"),
        "here",
        "mind commas, quotes and brackets; JSON has no comments, and no comma behind the last member",
    )
    .at(Some(Span {
        start: at,
        len: len.map_or(0, char::len_utf8),
    }))
}
