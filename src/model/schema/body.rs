//! The bodies of the API's calls: what they may hold, and what they say.
//!
//! Unlike AWS, which passes over members that it does not know, a body with one is refused: what is left out without a word
//! would not be read back as it was written.

use super::check::Walk;
use super::read::{TAGS, build};
use super::{Check, KindSchema, Object, Rule, Type, kind_schema, required, rules, text};
use crate::model::document::{Located, Path};
use crate::model::names::{ResourceId, ResourceKind};
use crate::model::problem::{Problem, Severity};
use crate::model::registry::Resource;
use crate::model::tags::{self, Tags};

/// What the body of a create call says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateBody {
    pub resource: Resource,
    pub tags: Tags,
    pub client_token: Option<String>,
    /// Warnings.
    pub problems: Vec<Problem>,
}

/// What the body of an update call says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateBody {
    pub resource: Resource,
    pub client_token: Option<String>,
    /// Warnings.
    pub problems: Vec<Problem>,
}

/// Reads the body of a call that creates a resource of a kind in its parent; a mesh has none.
///
/// # Errors
/// Every problem, of which at least one is an error.
pub fn read_create(
    kind: ResourceKind,
    parent: Option<&ResourceId>,
    body: &Located,
) -> Result<CreateBody, Vec<Problem>> {
    let schema = kind_schema(kind);
    let problems = checked(schema.create, kind.as_str(), body)?;
    let id = named_in(schema, parent, body).map_err(|problem| vec![problem])?;
    Ok(CreateBody {
        resource: resource(id, body)?,
        tags: tags_of(body),
        client_token: client_token_of(body),
        problems,
    })
}

/// Reads the body of a call that replaces a resource's spec.
///
/// # Errors
/// Every problem, of which at least one is an error.
pub fn read_update(id: &ResourceId, body: &Located) -> Result<UpdateBody, Vec<Problem>> {
    let kind = id.kind();
    let problems = checked(kind_schema(kind).update, kind.as_str(), body)?;
    Ok(UpdateBody {
        resource: resource(id.clone(), body)?,
        client_token: client_token_of(body),
        problems,
    })
}

/// Reads the body of `TagResource`.
///
/// # Errors
/// Every problem, of which at least one is an error.
pub fn read_tags(body: &Located) -> Result<Tags, Vec<Problem>> {
    static TAG_RESOURCE: Object = Object {
        name: "TagResource",
        fields: &[required("tags", TAGS)],
        rules: &[Rule::Check(Check(rules::distinct_tags))],
    };
    checked(&TAG_RESOURCE, "TagResource", body)?;
    Ok(tags_of(body))
}

/// Reads the body of `UntagResource`.
///
/// # Errors
/// Every problem, of which at least one is an error.
pub fn read_tag_keys(body: &Located) -> Result<Vec<String>, Vec<Problem>> {
    static UNTAG_RESOURCE: Object = Object {
        name: "UntagResource",
        fields: &[required(
            "tagKeys",
            Type::List {
                item: &text(1, 128),
                min: 0,
                max: tags::MOST,
            },
        )],
        rules: &[],
    };
    checked(&UNTAG_RESOURCE, "UntagResource", body)?;
    let keys = body.get("tagKeys").map(Located::items).unwrap_or_default();
    let keys = keys.iter().filter_map(Located::as_str);
    Ok(keys.map(str::to_owned).collect())
}

/// The warnings.
fn checked(
    object: &'static Object,
    name: &str,
    body: &Located,
) -> Result<Vec<Problem>, Vec<Problem>> {
    let mut walk = Walk::default();
    walk.value(&Type::Object(object), name, body, body.span);
    let problems = walk.finish();
    let is_error = |problem: &Problem| problem.severity == Severity::Error;
    if problems.iter().any(is_error) {
        Err(problems)
    } else {
        Ok(problems)
    }
}

fn named_in(
    schema: &KindSchema,
    parent: Option<&ResourceId>,
    body: &Located,
) -> Result<ResourceId, Problem> {
    let own = body.get(schema.name).and_then(Located::as_str);
    let own = own.unwrap_or_default();
    let mesh = parent.map_or(own, |parent| parent.mesh().as_str());
    let id = ResourceId::named(schema.kind, mesh, parent.map(ResourceId::name), own);
    id.map_err(|error| {
        let what = error.to_string();
        Problem::error(Path::of(schema.name), what, "not allowed", error.wanted)
    })
}

fn resource(id: ResourceId, body: &Located) -> Result<Resource, Vec<Problem>> {
    let mut problems = Vec::new();
    build(id, body.get("spec"), &mut problems).ok_or(problems)
}

fn client_token_of(body: &Located) -> Option<String> {
    body.get("clientToken")?.as_str().map(str::to_owned)
}

fn tags_of(body: &Located) -> Tags {
    let tags = body.get("tags").map(Located::items).unwrap_or_default();
    let tag = |tag: &Located| {
        let text = |name| tag.get(name).and_then(Located::as_str);
        let value = text("value").unwrap_or_default();
        Some((text("key")?.to_owned(), value.to_owned()))
    };
    tags.iter().filter_map(tag).collect()
}
