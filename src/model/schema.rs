//! Every field of the seven kinds, once, as data: names, types, bounds and rules, and the check of a document against them.
//!
//! The check finds every problem of a document and never stops at the first. The typed specs in [`super::spec`] are built
//! only from a document without errors, so they need no checks of their own.
//!
//! **Invariant:** the table and the typed specs agree; a test prints, for each kind, documents with every member and reads
//! them back.
//!
//! Looser than the API's own model where its clients are: Terraform leaves out zeros, so a duration without `value`, a
//! range without `start` and an outlier detection without `maxEjectionPercent` are accepted.

#[cfg(test)]
mod audit;
mod body;
mod check;
#[cfg(test)]
pub(crate) mod echo;
mod gateway;
mod node;
mod read;
mod route;
mod rules;
#[cfg(test)]
pub(super) mod tests;
mod text;
mod tls;

pub use body::{
    CreateBody, UpdateBody, read_create, read_tag_keys, read_tags, read_update, tags_of,
};
pub use read::{Read, check_spec, kind_schema, read};
pub use text::Form;

use super::names::{LONGEST_NAME, ResourceKind};
use check::Walk;

/// A kind of resource: where its names stand, and what its document holds.
#[derive(Debug)]
pub struct KindSchema {
    pub kind: ResourceKind,
    /// The member with the resource's own name.
    pub name: &'static str,
    /// The member with the name of the router or gateway that a route belongs to.
    pub parent: Option<&'static str>,
    /// The whole document, `kind` included.
    pub document: &'static Object,
    /// The body of the API's create call.
    pub create: &'static Object,
    /// The body of the API's update call.
    pub update: &'static Object,
    pub spec: &'static Object,
}

/// An object: its members and what holds between them.
#[derive(Debug)]
pub struct Object {
    /// App Mesh's name of the type.
    pub name: &'static str,
    pub fields: &'static [Field],
    pub rules: &'static [Rule],
}

#[derive(Debug)]
pub struct Field {
    pub name: &'static str,
    pub required: bool,
    pub r#type: Type,
}

/// What a value may be.
#[derive(Debug)]
pub enum Type {
    Bool,
    Int {
        min: i64,
        max: i64,
    },
    /// Lengths in characters.
    Text {
        min: usize,
        max: usize,
        form: Form,
    },
    Enum(&'static [&'static str]),
    List {
        item: &'static Self,
        min: usize,
        max: usize,
    },
    Object(&'static Object),
}

/// What holds between an object's members.
#[derive(Debug)]
pub enum Rule {
    ExactlyOne(&'static [&'static str]),
    AtLeastOne(&'static [&'static str]),
    AtMostOne(&'static [&'static str]),
    /// The first is given only together with the second.
    Requires(&'static str, &'static str),
    /// Anything else.
    Check(Check),
}

/// A rule that needs code; it sees the object's members.
pub struct Check(fn(&check::Members<'_>, &mut Walk));

impl std::fmt::Debug for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Check")
    }
}

const fn required(name: &'static str, r#type: Type) -> Field {
    Field {
        name,
        required: true,
        r#type,
    }
}

const fn optional(name: &'static str, r#type: Type) -> Field {
    Field {
        name,
        required: false,
        r#type,
    }
}

/// Text of any length and form.
const TEXT: Type = text(0, usize::MAX);
/// A name of a resource in the documents and in references.
const NAME: Type = Type::Text {
    min: 1,
    max: LONGEST_NAME,
    form: Form::Name,
};
const SERVICE_NAME: Type = Type::Text {
    min: 1,
    max: LONGEST_NAME,
    form: Form::ServiceName,
};
const PORT: Type = Type::Int {
    min: 1,
    max: 65_535,
};
/// A count as the API's `integer` has it.
const COUNT: Type = Type::Int {
    min: 1,
    max: i32::MAX as i64,
};

const fn text(min: usize, max: usize) -> Type {
    Type::Text {
        min,
        max,
        form: Form::Any,
    }
}

const fn list(item: &'static Type) -> Type {
    Type::List {
        item,
        min: 0,
        max: usize::MAX,
    }
}

/// Duration: both members optional, since Terraform leaves out a zero `value`.
static DURATION: Object = Object {
    name: "Duration",
    fields: &[
        optional("unit", Type::Enum(&["s", "ms"])),
        optional(
            "value",
            Type::Int {
                min: 0,
                max: i64::MAX,
            },
        ),
    ],
    rules: &[],
};

const IP_PREFERENCES: Type =
    Type::Enum(&["IPv6_PREFERRED", "IPv4_PREFERRED", "IPv4_ONLY", "IPv6_ONLY"]);
