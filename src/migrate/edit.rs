//! Changes to a YAML or JSON text that leave the rest of it as it was written: order, comments, layout.
//!
//! What is new is written as its surroundings are: in lines of its own where they are, in brackets where those are.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::ops::Range;

use super::new::New;
use crate::model::document::{Key, Located, Member, Value};

/// A text and the changes to it so far. A change is asked for by where the value stands in the text before all changes.
pub(super) struct Editor<'t> {
    text: &'t str,
    edits: Vec<Edit>,
    /// Maps and lists in brackets that were empty and no longer are, by where they begin.
    begun: Vec<usize>,
    /// Whether a place was not found, so that the text must not be used.
    is_lost: bool,
}

/// What comes in place of a part of the text.
struct Edit {
    range: Range<usize>,
    text: String,
    /// How deep that is, for lines that are added behind one and the same line: the deepest come first.
    depth: usize,
}

impl<'t> Editor<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self {
            text,
            edits: Vec::new(),
            begun: Vec::new(),
            is_lost: false,
        }
    }

    /// Gives a map's member a value, in place of the one that it has.
    pub(super) fn set(&mut self, map: &Located, name: &str, new: &New) {
        match written_member(map, name) {
            Some((key, value)) => self.replace(map, key, value, new),
            None => self.append(map, Some(name), new),
        }
    }

    /// Adds items to the list that is a map's member, which may be absent, null or empty.
    pub(super) fn push(&mut self, map: &Located, name: &str, items: Vec<New>) {
        if items.is_empty() {
            return;
        }
        match map.get(name) {
            Some(list) if !list.items().is_empty() => {
                for item in &items {
                    self.append(list, None, item);
                }
            }
            _ => self.set(map, name, &New::List(items)),
        }
    }

    /// Sets members of the map that is a map's member, which may be absent, null or empty.
    pub(super) fn put(&mut self, map: &Located, name: &str, members: Vec<(String, New)>) {
        if members.is_empty() {
            return;
        }
        match map.get(name) {
            Some(inner) if inner.members().is_some_and(|all| !all.is_empty()) => {
                for (name, new) in &members {
                    self.set(inner, name, new);
                }
            }
            _ => self.set(map, name, &New::Map(members)),
        }
    }

    /// Puts another map in place of one that is an item of a list.
    pub(super) fn replace_item(&mut self, list: &Located, item: &Located, new: &New) {
        let start = item.span.map_or(0, |span| span.start);
        let text = if self.in_brackets(list) {
            let (indent, unit) = self.layout(list, start);
            new.json(&indent.unwrap_or_default(), &unit)
        } else {
            new.yaml_at(&" ".repeat(self.column(start)))
        };
        self.rewrite(start..self.end(item), text);
    }

    /// Puts something else in a place.
    pub(super) fn rewrite(&mut self, place: Range<usize>, text: String) {
        self.edits.push(Edit {
            range: place,
            text,
            depth: 0,
        });
    }

    /// The text with its changes, unless one of them had no place.
    pub(super) fn finish(mut self) -> Option<String> {
        // A stable sort: what was added at one place stays in the order in which it was added, and stands before what is
        // replaced there.
        (self.edits).sort_by_key(|edit| (edit.range.start, edit.range.end, Reverse(edit.depth)));
        let mut text = String::new();
        let mut at = 0;
        for edit in &self.edits {
            text += self.text.get(at..edit.range.start)?;
            text += &with_line_ends_of(self.text, &edit.text);
            at = edit.range.end;
        }
        text += self.text.get(at..)?;
        (!self.is_lost).then_some(text)
    }

    fn replace(&mut self, map: &Located, key: &Key, value: &Located, new: &New) {
        let after_key = self.key_end(key);
        let end = self.member_end(key, value);
        let start = value.span.map_or(after_key, |span| span.start);
        // Where nothing but a colon stands between the two, so that no `|` or tag is left behind.
        let is_bare = self.get(after_key..start).trim() == ":";
        if is_scalar(value) && is_bare && start < end && new.is_scalar() {
            let text = if self.in_brackets(map) {
                new.json("", "")
            } else {
                new.yaml_scalar()
            };
            self.rewrite(start..end, text);
            return;
        }
        let text = if self.in_brackets(map) {
            let (indent, unit) = self.layout(map, key.span.map_or(0, |span| span.start));
            format!(": {}", new.json(&indent.unwrap_or_default(), &unit))
        } else {
            let indent = self.column(key.span.map_or(0, |span| span.start));
            new.yaml_member("", &" ".repeat(indent))
        };
        self.rewrite(after_key..end, text);
    }

    /// Adds a member to a map, or an item to a list.
    fn append(&mut self, container: &Located, name: Option<&str>, new: &New) {
        if self.in_brackets(container) {
            self.append_in_brackets(container, name, new);
            return;
        }
        let first = match &container.value {
            Value::Map(members) => members.first().and_then(|(key, _)| key.span),
            Value::List(items) => items.first().and_then(|item| item.span),
            _ => None,
        };
        let Some(first) = first else {
            self.is_lost = true;
            return;
        };
        let end = self.end(container);
        let at = end
            + self
                .get(end..self.text.len())
                .find('\n')
                .unwrap_or(self.text.len() - end);
        let at = at - usize::from(self.get(end..at).ends_with('\r'));
        let begin = match name {
            Some(_) => Some(first.start),
            None => self.dash_before(first.start),
        };
        let Some(column) = begin.map(|begin| self.column(begin)) else {
            self.is_lost = true;
            return;
        };
        let indent = " ".repeat(column);
        let text = match name {
            Some(name) => new.yaml_member(name, &indent),
            None => new.yaml_item(&indent),
        };
        self.edits.push(Edit {
            range: at..at,
            text: format!("\n{indent}{text}"),
            // The dashes of a list may stand below its name.
            depth: 2 * column + usize::from(name.is_none()),
        });
    }

    fn append_in_brackets(&mut self, container: &Located, name: Option<&str>, new: &New) {
        let last = match &container.value {
            Value::Map(members) => members.last().map(|(key, value)| {
                let start = key.span.map_or(0, |span| span.start);
                (start, self.member_end(key, value))
            }),
            Value::List(items) => items
                .last()
                .map(|item| (item.span.map_or(0, |span| span.start), self.end(item))),
            _ => None,
        };
        let opened = container.span.map_or(0, |span| span.start);
        let key = name.map(|name| format!("{}: ", New::text(name).json("", "")));
        let key = key.unwrap_or_default();
        let Some((start, end)) = last else {
            let separator = if self.begun.contains(&opened) {
                ", "
            } else {
                ""
            };
            self.begun.push(opened);
            let text = format!("{separator}{key}{}", new.json("", ""));
            self.rewrite(opened + 1..opened + 1, text);
            return;
        };
        let (indent, unit) = self.layout(container, start);
        let text = match indent {
            Some(indent) => format!(",\n{indent}{key}{}", new.json(&indent, &unit)),
            None => format!(", {key}{}", new.json("", "")),
        };
        self.rewrite(end..end, text);
    }

    /// Whether a map or list is written in brackets, as all of JSON is.
    fn in_brackets(&self, container: &Located) -> bool {
        let start = container.span.map_or(0, |span| span.start);
        let begins_with = |bracket| self.get(start..self.text.len()).starts_with(bracket);
        match &container.value {
            Value::Map(_) => begins_with('{'),
            // A list in lines may begin where its first item does, and with that one's bracket.
            Value::List(items) => {
                let first = items.first().and_then(|item| item.span);
                begins_with('[') && first.is_none_or(|first| first.start != start)
            }
            _ => false,
        }
    }

    /// For what is written in brackets: the white space before a child that begins its line, and what one more level is
    /// indented by.
    fn layout(&self, container: &Located, child: usize) -> (Option<String>, String) {
        let before = |at: usize| {
            let line = self.get(0..at).rfind('\n').map_or(0, |newline| newline + 1);
            let head = self.get(line..at);
            let blank = head.len() - head.trim_start().len();
            (
                head.get(..blank).unwrap_or_default().to_owned(),
                blank == head.len(),
            )
        };
        let (indent, begins_line) = before(child);
        if !begins_line {
            return (None, String::new());
        }
        let (outer, _) = before(container.span.map_or(0, |span| span.start));
        let unit = indent.strip_prefix(&outer).filter(|unit| !unit.is_empty());
        let unit = unit.unwrap_or("  ").to_owned();
        (Some(indent), unit)
    }

    /// Where the `-` of a list's first item stands.
    fn dash_before(&self, item: usize) -> Option<usize> {
        let mut head = self.get(0..item);
        loop {
            head = head.trim_end();
            if head.ends_with('-') {
                return Some(head.len() - 1);
            }
            let line = head.rfind('\n').map_or(0, |newline| newline + 1);
            // Between a dash and its item there may be comments.
            let comment = head.get(line..)?.find('#')?;
            head = head.get(..line + comment)?;
        }
    }

    /// Where a value ends, with all that is in it.
    fn end(&self, value: &Located) -> usize {
        let span = value
            .span
            .map_or(0..0, |span| span.start..span.start + span.len);
        match &value.value {
            Value::Map(members) => {
                let last = members.last();
                let inner = last.map(|(key, value)| self.member_end(key, value));
                self.container_end(value, span.start, inner)
            }
            Value::List(items) => {
                let inner = items.last().map(|item| self.end(item));
                self.container_end(value, span.start, inner)
            }
            Value::String(text) => {
                let end = span.start + self.get(span.clone()).trim_end().len();
                self.with_blank_lines(end, text)
            }
            _ => span.start + self.get(span.clone()).trim_end().len(),
        }
    }

    /// The end of a text that keeps the blank lines behind it (`|+`).
    fn with_blank_lines(&self, end: usize, text: &str) -> usize {
        let kept = text.len() - text.trim_end_matches('\n').len();
        let is_quoted = self.get(0..end).ends_with(['"', '\'']);
        if kept < 2 || is_quoted {
            return end;
        }
        let lines = self.get(end..self.text.len()).match_indices('\n');
        let last = lines.map(|(at, _)| end + at).nth(kept - 1);
        last.unwrap_or(self.text.len())
    }

    fn container_end(&self, container: &Located, start: usize, inner: Option<usize>) -> usize {
        if !self.in_brackets(container) {
            return inner.unwrap_or(start);
        }
        let mut at = inner.unwrap_or(start + 1);
        loop {
            let rest = self.get(at..self.text.len());
            let blank = rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n', ',']).len();
            at += blank;
            match self.get(at..self.text.len()).chars().next() {
                Some('#') => {
                    let rest = self.get(at..self.text.len());
                    at += rest.find('\n').unwrap_or(rest.len());
                }
                Some('}' | ']') => return at + 1,
                _ => return at,
            }
        }
    }

    fn member_end(&self, key: &Key, value: &Located) -> usize {
        let after_key = self.key_end(key);
        if matches!(value.value, Value::Null) && value.span.is_none_or(|span| span.len == 0) {
            let rest = self.get(after_key..self.text.len());
            return after_key + rest.find(':').map_or(0, |colon| colon + 1);
        }
        self.end(value)
    }

    fn key_end(&self, key: &Key) -> usize {
        let span = key
            .span
            .map_or(0..0, |span| span.start..span.start + span.len);
        span.start + self.get(span.clone()).trim_end().len()
    }

    /// How far a place is from the begin of its line, in characters.
    fn column(&self, at: usize) -> usize {
        let head = self.get(0..at);
        let line = head.rfind('\n').map_or(0, |newline| newline + 1);
        head.get(line..).unwrap_or_default().chars().count()
    }

    fn get(&self, range: Range<usize>) -> &'t str {
        self.text.get(range).unwrap_or_default()
    }
}

/// Whether a part of the document is written elsewhere and only referred to, so that it cannot be changed by itself.
pub(super) fn has_references(document: &Located) -> bool {
    fn goes_on(node: &Located, reached: &mut usize) -> bool {
        let start = match &node.value {
            Value::Null => return true,
            _ => node.span.map_or(0, |span| span.start),
        };
        if start < *reached {
            return false;
        }
        *reached = start;
        match &node.value {
            Value::Map(members) => members.iter().all(|(key, value)| {
                let start = key.span.map_or(0, |span| span.start);
                let is_next = start >= *reached;
                *reached = start.max(*reached);
                is_next && goes_on(value, reached)
            }),
            Value::List(items) => items.iter().all(|item| goes_on(item, reached)),
            _ => true,
        }
    }
    !goes_on(document, &mut 0)
}

/// What is new, with its lines ended as those of a text are.
pub(super) fn with_line_ends_of<'n>(text: &str, new: &'n str) -> Cow<'n, str> {
    if text.contains("\r\n") {
        new.replace('\n', "\r\n").into()
    } else {
        new.into()
    }
}

/// A member by name, null included.
fn written_member<'d>(map: &'d Located, name: &str) -> Option<&'d Member> {
    let mut members = map.members().unwrap_or_default().iter();
    members.find(|(key, _)| key.name == name)
}

fn is_scalar(value: &Located) -> bool {
    !matches!(value.value, Value::Map(_) | Value::List(_))
}

#[cfg(test)]
pub(super) mod tests;
