//! A document as it was written: a tree of values, each with its place in the text if it came from one.
//!
//! What is checked against the schema is this tree and not the typed spec, because a problem is worth little without
//! its place, and because one mistake must not hide the next.

mod json;

use std::fmt;

pub use json::JsonError;

/// A place in a text, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    pub start: usize,
    pub len: usize,
}

/// A value and where it stands; bodies of API requests have no places.
#[derive(Clone, Debug, PartialEq)]
pub struct Located {
    pub value: Value,
    pub span: Option<Span>,
}

/// A member's name and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    pub name: String,
    pub span: Option<Span>,
}

/// One member of a map.
pub type Member = (Key, Located);

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    /// Wide enough for every `i64` and `u64`.
    Int(i128),
    Float(f64),
    String(String),
    List(Vec<Located>),
    /// In the order written; a name that is repeated stands here twice.
    Map(Vec<Member>),
}

/// Which value of a document: `spec.listeners[0].portMapping.port`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path(Vec<Step>);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Field(String),
    Index(usize),
}

impl Path {
    #[must_use]
    pub fn field(mut self, name: impl Into<String>) -> Self {
        self.push_field(name);
        self
    }

    #[must_use]
    pub fn index(mut self, index: usize) -> Self {
        self.push_index(index);
        self
    }

    /// The path of fields that a dotted text names, such as `spec.provider`.
    pub fn of(fields: &str) -> Self {
        Self(
            fields
                .split('.')
                .map(|name| Step::Field(name.into()))
                .collect(),
        )
    }

    pub(super) fn push_field(&mut self, name: impl Into<String>) {
        self.0.push(Step::Field(name.into()));
    }

    pub(super) fn push_index(&mut self, index: usize) {
        self.0.push(Step::Index(index));
    }

    pub(super) fn pop(&mut self) {
        self.0.pop();
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Field(name) if position == 0 => f.write_str(name)?,
                Step::Field(name) => write!(f, ".{name}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

impl Located {
    /// A value that came from no text.
    pub fn unplaced(value: Value) -> Self {
        Self { value, span: None }
    }

    /// The members, if this is a map.
    pub fn members(&self) -> Option<&[Member]> {
        match &self.value {
            Value::Map(members) => Some(members),
            _ => None,
        }
    }

    /// A member by name. Null counts as absent, as everywhere in App Mesh's JSON.
    pub fn get(&self, name: &str) -> Option<&Self> {
        member(self.members()?, name).map(|(_, value)| value)
    }

    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    pub fn as_int(&self) -> Option<i128> {
        match self.value {
            Value::Int(number) => Some(number),
            _ => None,
        }
    }

    pub fn items(&self) -> &[Self] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// Where to point at for this value: a container is shown by its first member, since its own span is its whole text.
    pub fn pointer(&self) -> Option<Span> {
        match &self.value {
            Value::Map(members) => members.first().and_then(|(key, _)| key.span).or(self.span),
            Value::List(items) => items.first().and_then(Self::pointer).or(self.span),
            _ => self.span,
        }
    }

    /// Where to point at for the value on a path, or for the nearest ancestor that exists.
    pub fn locate(&self, path: &Path) -> Option<Span> {
        let mut node = self;
        let mut found = self.pointer();
        for step in &path.0 {
            match step {
                Step::Field(name) => {
                    let Some((key, value)) = node.members().and_then(|all| member(all, name))
                    else {
                        return found;
                    };
                    node = value;
                    found = match value.value {
                        Value::Map(_) | Value::List(_) | Value::Null => key.span,
                        _ => value.span,
                    }
                    .or(found);
                }
                Step::Index(index) => {
                    let Some(item) = node.items().get(*index) else {
                        return found;
                    };
                    node = item;
                    found = item.pointer().or(found);
                }
            }
        }
        found
    }

    /// The same as JSON: members that are null are left out, and of a repeated name the last counts.
    pub fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => (*value).into(),
            Value::Int(number) => json_number(*number),
            Value::Float(number) => (*number).into(),
            Value::String(text) => text.as_str().into(),
            Value::List(items) => items.iter().map(Self::to_json).collect(),
            Value::Map(members) => members
                .iter()
                .filter(|(_, value)| value.value != Value::Null)
                .map(|(key, value)| (key.name.clone(), value.to_json()))
                .collect(),
        }
    }
}

/// A member by name, unless it is null.
pub(super) fn member<'a>(members: &'a [Member], name: &str) -> Option<&'a Member> {
    members
        .iter()
        .find(|(key, value)| key.name == name && value.value != Value::Null)
}

fn json_number(number: i128) -> serde_json::Value {
    if let Ok(number) = u64::try_from(number) {
        number.into()
    } else if let Ok(number) = i64::try_from(number) {
        number.into()
    } else {
        serde_json::Value::Null
    }
}

impl From<serde_json::Value> for Located {
    fn from(json: serde_json::Value) -> Self {
        Self::unplaced(match json {
            serde_json::Value::Null => Value::Null,
            serde_json::Value::Bool(value) => Value::Bool(value),
            serde_json::Value::Number(number) => {
                if let Some(number) = number.as_u64() {
                    Value::Int(number.into())
                } else if let Some(number) = number.as_i64() {
                    Value::Int(number.into())
                } else {
                    Value::Float(number.as_f64().unwrap_or(f64::NAN))
                }
            }
            serde_json::Value::String(text) => Value::String(text),
            serde_json::Value::Array(items) => {
                Value::List(items.into_iter().map(Self::from).collect())
            }
            serde_json::Value::Object(members) => Value::Map(
                members
                    .into_iter()
                    .map(|(name, value)| (Key { name, span: None }, Self::from(value)))
                    .collect(),
            ),
        })
    }
}
