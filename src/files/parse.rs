//! YAML into positioned trees, one for each document of a text. JSON is read as the YAML it is, if it is.
//!
//! The text is cut at its document markers before it is parsed, so that a syntax error in one document does not hide the
//! others. YAML forbids a line that starts with `---` or `...` everywhere else, in quoted and block scalars too.

use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;
use serde_saphyr::options::DuplicateKeyPolicy;

use super::json;
use crate::model::document::{Key, Located, Path, Span, Value};
use crate::model::problem::Problem;

/// Deepest nesting that is read; the deepest of App Mesh's specs has 12 levels.
const MAX_DEPTH: usize = 64;

/// A text's documents in order, without the empty ones, and its syntax errors. Spans count bytes of the whole text.
pub fn parse(text: &str) -> (Vec<Located>, Vec<Problem>) {
    let (documents, problems) = parse_ranges(text, document_ranges(text));
    if problems.is_empty() || !json::is_meant(text) {
        return (documents, problems);
    }
    let (ranges, broken) = json::documents(text);
    let (documents, problems) = parse_ranges(text, ranges);
    (documents, problems.into_iter().chain(broken).collect())
}

fn parse_ranges(text: &str, ranges: Vec<Range<usize>>) -> (Vec<Located>, Vec<Problem>) {
    let mut documents = Vec::new();
    let mut problems = Vec::new();
    for range in ranges {
        let Some(chunk) = text.get(range.clone()) else {
            continue;
        };
        match parse_document(chunk) {
            Ok(mut document) => {
                if document.value != Value::Null {
                    shift(&mut document, range.start);
                    documents.push(document);
                }
            }
            Err(error) => problems.push(syntax_problem(&error, chunk, range.start)),
        }
    }
    (documents, problems)
}

fn parse_document(chunk: &str) -> Result<Located, serde_saphyr::Error> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_depth: MAX_DEPTH },
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        strict_booleans: true,
        with_snippet: false,
    };
    let node: Spanned<Node> = serde_saphyr::from_str_with_options(chunk, options)?;
    Ok(located(node))
}

/// Where the documents of a text stand. Comments and directives belong to the document after them.
fn document_ranges(text: &str) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let mut start = text.len() - text.trim_start_matches('\u{feff}').len();
    let mut end = start;
    let mut has_content = false;
    for line in text.get(start..).unwrap_or_default().split_inclusive('\n') {
        if is_marker(line, "---") && has_content {
            ranges.push(start..end);
            start = end;
        }
        let begin_of_line = line.trim_start();
        let directive = !has_content && line.starts_with('%');
        has_content |= !begin_of_line.is_empty() && !begin_of_line.starts_with('#') && !directive;
        end += line.len();
        if is_marker(line, "...") {
            ranges.push(start..end);
            start = end;
            has_content = false;
        }
    }
    if has_content {
        ranges.push(start..end);
    }
    ranges
}

fn is_marker(line: &str, marker: &str) -> bool {
    line.strip_prefix(marker)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace))
}

fn syntax_problem(error: &serde_saphyr::Error, chunk: &str, offset: usize) -> Problem {
    let start = error.location().map_or(0, |location| {
        let line = usize::try_from(location.line()).unwrap_or(1);
        let column = usize::try_from(location.column()).unwrap_or(1);
        byte_of(chunk, line, column)
    });
    // The library repeats the place behind the message, counted from the document's begin.
    let message = error.to_string();
    let message = message
        .split(" at line ")
        .next()
        .unwrap_or_default()
        .trim_end_matches(['.', ':', ','])
        .replace('\n', " ");
    let message = message
        .strip_prefix("line ")
        .and_then(|rest| rest.split_once(": ").map(|(_, rest)| rest))
        .unwrap_or(&message);
    Problem::error(
        Path::default(),
        format!("the document is not valid YAML: {message}"),
        "here",
        "mind indentation, quotes and brackets; a text with `: ` or ` #` in it needs quotes",
    )
    .at(Some(Span {
        start: offset + start,
        len: chunk
            .get(start..)
            .and_then(|rest| rest.chars().next())
            .map_or(0, char::len_utf8),
    }))
}

/// The byte of a line and column, both counted from 1, the column in characters.
fn byte_of(text: &str, line: usize, column: usize) -> usize {
    let begin: usize = text
        .split_inclusive('\n')
        .take(line.saturating_sub(1))
        .map(str::len)
        .sum();
    let rest = text.get(begin..).unwrap_or_default();
    let within = rest
        .char_indices()
        .nth(column.saturating_sub(1))
        .map_or(rest.len(), |(at, _)| at);
    begin + within
}

fn shift(node: &mut Located, by: usize) {
    let shift_span = |span: &mut Option<Span>| {
        if let Some(span) = span {
            span.start += by;
        }
    };
    shift_span(&mut node.span);
    match &mut node.value {
        Value::List(items) => items.iter_mut().for_each(|item| shift(item, by)),
        Value::Map(members) => {
            for (key, value) in members {
                shift_span(&mut key.span);
                shift(value, by);
            }
        }
        _ => {}
    }
}

fn located(node: Spanned<Node>) -> Located {
    Located {
        span: span_of(&node.defined),
        value: node.value.0,
    }
}

fn span_of(location: &serde_saphyr::Location) -> Option<Span> {
    let span = location.span();
    Some(Span {
        start: usize::try_from(span.byte_offset()?).ok()?,
        len: usize::try_from(span.byte_len()?).ok()?,
    })
}

/// A value whose children know their places.
struct Node(Value);

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor).map(Self)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map, a list, text, a number, true, false or null")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Int(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Int(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Float(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(text.into()))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::String(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element::<Spanned<Node>>()? {
            list.push(located(item));
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut members = Vec::new();
        while let Some(key) = entries.next_key::<Spanned<String>>()? {
            let value = entries.next_value::<Spanned<Node>>()?;
            members.push((
                Key {
                    span: span_of(&key.defined),
                    name: key.value,
                },
                located(value),
            ));
        }
        Ok(Value::Map(members))
    }
}
