//! Walks a document along the table and collects every problem.

use super::text::HTTP_RETRY_EVENTS;
use super::{Field, Form, Object, Rule, Type};
use crate::model::document::{Key, Located, Member, Path, Span, Value, member};
use crate::model::names::shown as shown_text;
use crate::model::problem::{Problem, known_names};

/// Errors and warnings that are kept of a document: enough to mend it by, and no more however large it is.
const MOST_PROBLEMS: usize = 100;

/// Members beyond any that an object of the table could have.
const MOST_MEMBERS: usize = 256;

/// Where the walk stands, and what it has found.
#[derive(Debug, Default)]
pub(super) struct Walk {
    path: Path,
    problems: Vec<Problem>,
    /// Those found, kept or not.
    errors: usize,
    warnings: usize,
}

/// An object's members, as rules see them: null counts as absent.
pub(super) struct Members<'a> {
    all: &'a [Member],
    /// Where to point at for what is missing.
    pub(super) span: Option<Span>,
}

impl<'a> Members<'a> {
    pub(super) fn get(&self, name: &str) -> Option<&'a Located> {
        member(self.all, name).map(|(_, value)| value)
    }

    fn key(&self, name: &str) -> Option<&'a Key> {
        member(self.all, name).map(|(key, _)| key)
    }

    pub(super) fn key_span(&self, name: &str) -> Option<Span> {
        self.key(name).and_then(|key| key.span).or(self.span)
    }

    /// A member of a member: `text("portMapping", "protocol")`.
    pub(super) fn inner(&self, outer: &str, inner: &str) -> Option<&'a Located> {
        self.get(outer)?.get(inner)
    }
}

impl Walk {
    /// What was found. There is an error among it if there was one at all.
    pub(super) fn finish(mut self) -> Vec<Problem> {
        if self.errors > MOST_PROBLEMS {
            self.problems.push(Problem::error(
                Path::default(),
                format!("more than {MOST_PROBLEMS} errors; the rest is not shown"),
                "and more",
                "mend the others first",
            ));
        }
        self.problems
    }

    pub(super) fn error(
        &mut self,
        span: Option<Span>,
        what: impl Into<String>,
        label: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.errors += 1;
        if self.errors <= MOST_PROBLEMS {
            let problem = Problem::error(self.path.clone(), what, label, help).at(span);
            self.problems.push(problem);
        }
    }

    pub(super) fn warning(
        &mut self,
        span: Option<Span>,
        what: impl Into<String>,
        label: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.warnings += 1;
        if self.warnings <= MOST_PROBLEMS {
            let problem = Problem::warning(self.path.clone(), what, label, help).at(span);
            self.problems.push(problem);
        }
    }

    pub(super) fn in_field<T>(&mut self, name: &str, walk: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push_field(name);
        let result = walk(self);
        self.path.pop();
        result
    }

    pub(super) fn in_item<T>(&mut self, index: usize, walk: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push_index(index);
        let result = walk(self);
        self.path.pop();
        result
    }

    /// Checks a value. `name` is its member's, `at` where that stands.
    pub(super) fn value(&mut self, r#type: &Type, name: &str, node: &Located, at: Option<Span>) {
        if self.errors > MOST_PROBLEMS {
            return;
        }
        match (r#type, &node.value) {
            (Type::Bool, Value::Bool(_)) => {}
            (Type::Int { min, max }, Value::Int(number)) => {
                self.number(*number, (*min, *max), name, node.span);
            }
            (Type::Text { min, max, form }, Value::String(text)) => {
                self.length(
                    text.chars().count(),
                    (*min, *max),
                    name,
                    "characters",
                    node.span,
                );
                if *form == Form::HttpRetryEvent {
                    self.http_retry_event(text, node.span);
                } else if let (false, Err(wanted)) = (text.is_empty(), form.check(text)) {
                    self.error(
                        node.span,
                        format!("`{name}` cannot be `{}`", shown_text(text)),
                        "not allowed",
                        wanted,
                    );
                }
            }
            (Type::Enum(values), Value::String(text)) => self.choice(text, values, name, node.span),
            (Type::List { item, min, max }, Value::List(items)) => {
                self.length(items.len(), (*min, *max), name, "items", at);
                for (index, value) in items.iter().enumerate() {
                    let at = value.pointer().or(at);
                    self.in_item(index, |walk| walk.value(item, name, value, at));
                }
            }
            (Type::Object(object), Value::Map(members)) => {
                self.object(object, name, members, at.or(node.span));
            }
            (wanted, found) => self.wrong_type(wanted, found, name, node.pointer().or(at)),
        }
    }

    fn wrong_type(&mut self, wanted: &Type, found: &Value, name: &str, span: Option<Span>) {
        let help = match (wanted, found) {
            (Type::Int { .. }, Value::String(text)) if text.trim().parse::<i64>().is_ok() => {
                format!("write {} without quotes", text.trim())
            }
            (Type::Bool, Value::String(text)) if matches!(text.as_str(), "true" | "false") => {
                format!("write {text} without quotes")
            }
            (
                Type::Text { .. } | Type::Enum(_),
                Value::Int(_) | Value::Float(_) | Value::Bool(_),
            ) => "put it in quotes".into(),
            (Type::List { .. }, Value::Map(_)) => {
                "make it a list: start each item with `- `".into()
            }
            (wanted, _) => format!("write {}", describe(wanted)),
        };
        self.error(
            span,
            format!("`{name}` must be {}, not {}", noun(wanted), shown(found)),
            format!("not {}", noun(wanted)),
            help,
        );
    }

    fn number(&mut self, number: i128, (min, max): (i64, i64), name: &str, span: Option<Span>) {
        if (i128::from(min)..=i128::from(max)).contains(&number) {
            return;
        }
        let bounds = bounds(min, max);
        self.error(
            span,
            format!("`{name}` is {number}, but must be {bounds}"),
            "out of range",
            format!("use a whole number, {bounds}"),
        );
    }

    /// The API takes any text here, so an unknown event must not keep a mesh from being taken; but it does nothing.
    fn http_retry_event(&mut self, event: &str, at: Option<Span>) {
        if !HTTP_RETRY_EVENTS.contains(&event) {
            self.warning(
                at,
                format!(
                    "`{}` is no HTTP retry event, so nothing is retried on it",
                    shown_text(event)
                ),
                "no such event",
                known_names(event, "events", HTTP_RETRY_EVENTS),
            );
        }
    }

    fn length(
        &mut self,
        length: usize,
        (min, max): (usize, usize),
        name: &str,
        unit: &str,
        span: Option<Span>,
    ) {
        // No minimum is above 1.
        if length < min {
            self.error(
                span,
                format!("`{name}` is empty"),
                "empty",
                format!("give it a value, or leave `{name}` out if it is optional"),
            );
        } else if length > max {
            self.error(
                span,
                format!("`{name}` has {length} {unit}, but may have {max} at most"),
                "too long",
                format!("shorten it to at most {max} {unit}"),
            );
        }
    }

    fn choice(&mut self, text: &str, values: &[&str], name: &str, span: Option<Span>) {
        if !values.contains(&text) {
            self.error(
                span,
                format!("`{name}` cannot be `{}`", shown_text(text)),
                "not one of its values",
                known_names(text, "values", values.iter().copied()),
            );
        }
    }

    pub(super) fn object(
        &mut self,
        object: &'static Object,
        name: &str,
        members: &[Member],
        span: Option<Span>,
    ) {
        if members.len() > MOST_MEMBERS {
            self.error(
                span,
                format!("`{name}` has {} fields", members.len()),
                "too many fields",
                format!("write {}", describe(&Type::Object(object))),
            );
            return;
        }
        self.unknown_and_repeated(object, members);
        let present = Members { all: members, span };
        for field in object.fields {
            match member(members, field.name) {
                Some((key, value)) => {
                    let at = key.span.or(span);
                    self.in_field(field.name, |walk| {
                        walk.value(&field.r#type, field.name, value, at);
                    });
                }
                None if field.required => self.missing(field, name, span),
                None => {}
            }
        }
        for rule in object.rules {
            self.rule(rule, name, &present);
        }
    }

    fn unknown_and_repeated(&mut self, object: &Object, members: &[Member]) {
        let names = || object.fields.iter().map(|field| field.name);
        for (position, (key, value)) in members.iter().enumerate() {
            let first = members
                .iter()
                .take(position)
                .any(|(earlier, _)| earlier.name == key.name);
            if first {
                self.in_field(&shown_text(&key.name), |walk| {
                    walk.error(
                        key.span,
                        format!("`{}` is given twice", shown_text(&key.name)),
                        "given before",
                        "keep one of the two",
                    );
                });
            }
            if !names().any(|name| name == key.name) && value.value != Value::Null {
                self.in_field(&shown_text(&key.name), |walk| {
                    walk.error(
                        key.span,
                        format!("unknown field `{}`", shown_text(&key.name)),
                        format!("not a field of {}", object.name),
                        known_names(&key.name, "fields", names()),
                    );
                });
            }
        }
    }

    fn missing(&mut self, field: &Field, parent: &str, span: Option<Span>) {
        self.error(
            span,
            format!("`{parent}` lacks `{}`", field.name),
            format!("lacks `{}`", field.name),
            format!("add `{}`: {}", field.name, describe(&field.r#type)),
        );
    }

    fn rule(&mut self, rule: &Rule, name: &str, members: &Members<'_>) {
        let present = |names: &'static [&'static str]| -> Vec<&'static str> {
            names
                .iter()
                .copied()
                .filter(|name| members.get(name).is_some())
                .collect()
        };
        match rule {
            Rule::ExactlyOne(names) => match present(names).as_slice() {
                [] => self.none_of(name, names, "exactly", members.span),
                [_] => {}
                [_, second, ..] => self.too_many(name, &present(names), members.key_span(second)),
            },
            Rule::AtLeastOne(names) if present(names).is_empty() => {
                self.none_of(name, names, "at least", members.span);
            }
            Rule::AtMostOne(names) => {
                if let [_, second, ..] = present(names).as_slice() {
                    self.too_many(name, &present(names), members.key_span(second));
                }
            }
            Rule::Requires(field, other)
                if members.get(field).is_some() && members.get(other).is_none() =>
            {
                self.error(
                    members.key_span(field),
                    format!("`{field}` needs `{other}` beside it"),
                    format!("no `{other}`"),
                    format!("add `{other}`, or leave out `{field}`"),
                );
            }
            Rule::AtLeastOne(_) | Rule::Requires(..) => {}
            Rule::Check(check) => (check.0)(members, self),
        }
    }

    fn none_of(&mut self, name: &str, names: &[&str], count: &str, span: Option<Span>) {
        self.error(
            span,
            match names {
                [only] => format!("`{name}` lacks `{only}`"),
                _ => format!("`{name}` has none of {}", quoted(names)),
            },
            "incomplete",
            match names {
                [only] => format!("add `{only}`"),
                _ => format!("give {count} one of {}", quoted(names)),
            },
        );
    }

    fn too_many(&mut self, name: &str, present: &[&str], span: Option<Span>) {
        self.error(
            span,
            format!(
                "`{name}` has {}, but may have only one of them",
                quoted(present)
            ),
            "one too many",
            format!("keep one of {}", quoted(present)),
        );
    }
}

fn quoted(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => format!("`{one}`"),
        [first @ .., last] => {
            let first: Vec<String> = first.iter().map(|name| format!("`{name}`")).collect();
            format!("{} and `{last}`", first.join(", "))
        }
    }
}

fn bounds(min: i64, max: i64) -> String {
    match (min, max) {
        (i64::MIN, _) => "of 64 bits".into(),
        (min, i64::MAX) => format!("at least {min}"),
        (min, max) => format!("from {min} to {max}"),
    }
}

fn noun(r#type: &Type) -> &'static str {
    match r#type {
        Type::Bool => "true or false",
        Type::Int { .. } => "a whole number",
        Type::Text { .. } | Type::Enum(_) => "text",
        Type::List { .. } => "a list",
        Type::Object(_) => "a map of fields",
    }
}

/// What to write for a value of the type.
fn describe(r#type: &Type) -> String {
    match r#type {
        Type::Int { min, max } => {
            format!("a whole number, {}", bounds(*min, *max))
        }
        Type::Enum(values) => format!("one of {}", values.join(", ")),
        Type::List { item, .. } => format!("a list, each item {}", noun(item)),
        Type::Object(object) => {
            let names: Vec<&str> = object.fields.iter().map(|field| field.name).collect();
            format!("a map with fields of {}: {}", object.name, names.join(", "))
        }
        Type::Bool | Type::Text { .. } => noun(r#type).into(),
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(value) => value.to_string(),
        Value::Int(number) => number.to_string(),
        // With its point, which is what is wrong with it.
        Value::Float(number) => format!("{number:?}"),
        Value::String(text) => format!("the text \"{}\"", shown_text(text)),
        Value::List(_) => "a list".into(),
        Value::Map(_) => "a map".into(),
    }
}
