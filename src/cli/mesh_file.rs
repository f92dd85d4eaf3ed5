//! A resource as a document of a mesh file, in the order in which people write one.

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Value, json};

use super::paths;
use crate::model::{ResourceId, schema};

/// What tags begin with that are Outrigger's own.
const OWN_TAGS: &str = "outrigger:";

pub(super) struct Document<'a, S> {
    pub(super) id: &'a ResourceId,
    pub(super) tags: Vec<Value>,
    pub(super) spec: &'a S,
}

/// Tags as documents have them, all of them.
pub(super) fn all_tags<'a>(tags: impl IntoIterator<Item = (&'a String, &'a String)>) -> Vec<Value> {
    tags.into_iter()
        .map(|(key, value)| json!({ "key": key, "value": value }))
        .collect()
}

/// Tags as documents have them, without Outrigger's own.
pub(super) fn tags<'a>(tags: impl IntoIterator<Item = (&'a String, &'a String)>) -> Vec<Value> {
    let tags = tags.into_iter();
    all_tags(tags.filter(|(key, _)| !key.starts_with(OWN_TAGS)))
}

impl<S: Serialize> Serialize for Document<'_, S> {
    fn serialize<T: Serializer>(&self, serializer: T) -> Result<T::Ok, T::Error> {
        let Self { id, tags, spec } = self;
        let schema = schema::kind_schema(id.kind());
        let mut document = serializer.serialize_map(None)?;
        document.serialize_entry("kind", schema.kind.as_str())?;
        document.serialize_entry("meshName", id.mesh())?;
        if let (Some(member), Some(parent)) = (schema.parent, paths::parent(id)) {
            document.serialize_entry(member, parent)?;
        }
        if !matches!(id, ResourceId::Mesh(_)) {
            document.serialize_entry(schema.name, id.name())?;
        }
        if !tags.is_empty() {
            document.serialize_entry("tags", tags)?;
        }
        document.serialize_entry("spec", spec)?;
        document.end()
    }
}
