//! What is written in a credentials file, as YAML or JSON.
//!
//! **Invariant:** an error has the place and the member's name, and never a value: what stands in a wrong place may be a
//! secret.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};
use thiserror::Error;

use super::Key;
use crate::api::auth::permissions::{Caller, Permissions};
use crate::api::auth::sigv4::Secret;

/// The members of a key.
const MEMBERS: &str = "accessKeyId, secretAccessKey, sessionToken, name, readOnly, meshes";
/// What is shorter can be guessed from one request that was listened to.
const SHORTEST_SECRET: usize = 16;
const LONGEST_ID: usize = 128;

/// What is wrong with the file, and where: `3:5: …`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{line}:{column}: {problem}")]
pub struct FileError {
    pub line: u64,
    pub column: u64,
    pub problem: Problem,
}

/// What is wrong at one place.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Problem {
    #[error(
        "this is no valid YAML; mind indentation and quotes, and that no member is there twice"
    )]
    Syntax,
    #[error("this is no list of keys; begin each with `- accessKeyId: …`, with {MEMBERS}")]
    NoList,
    #[error("there is no key in this list, so nobody could call the API; add one")]
    Empty,
    #[error("this is no member of a key; use {MEMBERS}")]
    UnknownMember,
    #[error("`{member}` is missing; add it")]
    Missing { member: &'static str },
    #[error("`{member}` is not {expected}")]
    NotA {
        member: &'static str,
        expected: &'static str,
    },
    #[error(
        "`secretAccessKey` has fewer than {SHORTEST_SECRET} characters; make one with `openssl rand -base64 30`"
    )]
    ShortSecret,
    #[error("this `accessKeyId` is there twice; give each key its own")]
    Twice,
}

/// Reads the keys.
pub(super) fn parse(text: &str) -> Result<Vec<Key>, FileError> {
    let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
    let node: Spanned<Node> =
        serde_saphyr::from_str_with_options(text, options).map_err(|error| {
            let at = error.location().unwrap_or(Location::UNKNOWN);
            problem_at(&at, Problem::Syntax)
        })?;
    let Node::List(entries) = node.value else {
        return Err(problem_at(&node.defined, Problem::NoList));
    };
    if entries.is_empty() {
        return Err(problem_at(&node.defined, Problem::Empty));
    }
    let mut keys = Vec::<Key>::new();
    for entry in entries {
        let at = entry.defined;
        let key = Entry::new(entry)?.into_key()?;
        if keys
            .iter()
            .any(|one| one.access_key_id == key.access_key_id)
        {
            return Err(problem_at(&at, Problem::Twice));
        }
        keys.push(key);
    }
    Ok(keys)
}

/// One key, as it is written.
struct Entry {
    at: Location,
    members: BTreeMap<&'static str, Spanned<Node>>,
}

impl Entry {
    fn new(node: Spanned<Node>) -> Result<Self, FileError> {
        let at = node.defined;
        let Node::Map(written) = node.value else {
            return Err(problem_at(&at, Problem::NoList));
        };
        let mut members = BTreeMap::new();
        for (name, value) in written {
            let known = MEMBERS.split(", ").find(|known| *known == name.value);
            let known = known.ok_or_else(|| problem_at(&name.defined, Problem::UnknownMember))?;
            if members.insert(known, value).is_some() {
                return Err(problem_at(&name.defined, Problem::Syntax));
            }
        }
        Ok(Self { at, members })
    }

    fn into_key(mut self) -> Result<Key, FileError> {
        let id = self.need("accessKeyId")?;
        let is_id = |id: &str| {
            let known = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
            (1..=LONGEST_ID).contains(&id.len()) && id.bytes().all(known)
        };
        let access_key_id = check(
            id,
            "accessKeyId",
            "1 to 128 letters, digits, `_`, `.` and `-`",
            is_id,
        )?;
        let printable = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        let secret = self.need("secretAccessKey")?;
        let at = secret.1;
        let secret = check(
            secret,
            "secretAccessKey",
            "a text of printable ASCII without blanks",
            printable,
        )?;
        if secret.len() < SHORTEST_SECRET {
            return Err(problem_at(&at, Problem::ShortSecret));
        }
        let token = self.text("sessionToken")?.map(|token| {
            let expected = "a text of printable ASCII without blanks, or left out";
            let is_token = |text: &str| !text.is_empty() && printable(text);
            check(token, "sessionToken", expected, is_token)
        });
        let name = self.text("name")?.map(|(name, _)| name);
        let permissions = Permissions {
            read_only: self.flag("readOnly")?,
            meshes: self.meshes()?,
        };
        Ok(Key {
            secret: Secret::new(secret),
            session_token: token.transpose()?.map(Secret::new),
            caller: Caller::new(name.unwrap_or_else(|| access_key_id.clone()), permissions),
            access_key_id,
        })
    }

    fn need(&mut self, member: &'static str) -> Result<(String, Location), FileError> {
        let text = self.text(member)?;
        text.ok_or_else(|| problem_at(&self.at, Problem::Missing { member }))
    }

    fn text(&mut self, member: &'static str) -> Result<Option<(String, Location)>, FileError> {
        let Some(node) = self.members.remove(member) else {
            return Ok(None);
        };
        match node.value {
            Node::Text(text) => Ok(Some((text, node.defined))),
            _ => Err(not_a(&node.defined, member, "a text; put it in quotes")),
        }
    }

    fn flag(&mut self, member: &'static str) -> Result<bool, FileError> {
        match self.members.remove(member) {
            None => Ok(false),
            Some(node) => match node.value {
                Node::Bool(flag) => Ok(flag),
                _ => Err(not_a(&node.defined, member, "true or false")),
            },
        }
    }

    /// `None` if the key is for all meshes.
    fn meshes(&mut self) -> Result<Option<Vec<String>>, FileError> {
        const EXPECTED: &str = "a list of names of meshes, in which `*` stands for anything";
        let Some(node) = self.members.remove("meshes") else {
            return Ok(None);
        };
        let Node::List(items) = node.value else {
            return Err(not_a(&node.defined, "meshes", EXPECTED));
        };
        let names = items.into_iter().map(|item| match item.value {
            Node::Text(name) => Ok(name),
            _ => Err(not_a(&item.defined, "meshes", EXPECTED)),
        });
        names.collect::<Result<_, _>>().map(Some)
    }
}

fn check(
    (text, at): (String, Location),
    member: &'static str,
    expected: &'static str,
    is_right: impl Fn(&str) -> bool,
) -> Result<String, FileError> {
    if is_right(&text) {
        Ok(text)
    } else {
        Err(not_a(&at, member, expected))
    }
}

fn not_a(at: &Location, member: &'static str, expected: &'static str) -> FileError {
    problem_at(at, Problem::NotA { member, expected })
}

fn problem_at(at: &Location, problem: Problem) -> FileError {
    // A file without a word in it has no place.
    FileError {
        line: at.line().max(1),
        column: at.column().max(1),
        problem,
    }
}

/// A value whose children know their places.
enum Node {
    Text(String),
    Bool(bool),
    List(Vec<Spanned<Node>>),
    Map(Vec<(Spanned<String>, Spanned<Node>)>),
    /// Nothing that a key is made of.
    Other,
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of keys")
    }

    fn visit_str<E>(self, text: &str) -> Result<Node, E> {
        Ok(Node::Text(text.to_owned()))
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Node, E> {
        Ok(Node::Bool(flag))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Node, E> {
        Ok(Node::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Node, E> {
        Ok(Node::Other)
    }

    fn visit_i128<E>(self, _: i128) -> Result<Node, E> {
        Ok(Node::Other)
    }

    fn visit_u128<E>(self, _: u128) -> Result<Node, E> {
        Ok(Node::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
        Ok(Node::Other)
    }

    fn visit_bytes<E>(self, _: &[u8]) -> Result<Node, E> {
        Ok(Node::Other)
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Other)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Node, A::Error> {
        let mut map = Vec::new();
        while let Some(name) = members.next_key()? {
            map.push((name, members.next_value()?));
        }
        Ok(Node::Map(map))
    }

    fn visit_enum<A: serde::de::EnumAccess<'de>>(self, data: A) -> Result<Node, A::Error> {
        let (IgnoredAny, _) = data.variant()?;
        Ok(Node::Other)
    }
}

#[cfg(test)]
mod tests;
