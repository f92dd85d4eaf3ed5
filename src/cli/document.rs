//! A resource as a document of a mesh file, in the order in which people write one.

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Value, json};

use crate::model::ResourceId;
use crate::model::schema::kind_schema;
use crate::model::tags::Tags;

/// What tags begin with that are Outrigger's own.
const OWN_TAGS: &str = "outrigger:";

pub(super) struct Document<'a, S> {
    id: &'a ResourceId,
    tags: Vec<Value>,
    spec: &'a S,
}

impl<'a, S> Document<'a, S> {
    pub(super) fn new(
        id: &'a ResourceId,
        tags: impl IntoIterator<Item = (&'a String, &'a String)>,
        spec: &'a S,
    ) -> Self {
        let tags = tags.into_iter();
        Self {
            id,
            tags: tags
                .map(|(key, value)| json!({ "key": key, "value": value }))
                .collect(),
            spec,
        }
    }
}

/// The tags that are not Outrigger's own.
pub(super) fn others(tags: &Tags) -> impl Iterator<Item = (&String, &String)> {
    (tags.iter()).filter(|(key, _)| !key.starts_with(OWN_TAGS))
}

impl<S: Serialize> Serialize for Document<'_, S> {
    fn serialize<T: Serializer>(&self, serializer: T) -> Result<T::Ok, T::Error> {
        let schema = kind_schema(self.id.kind());
        let mut document = serializer.serialize_map(None)?;
        document.serialize_entry("kind", schema.kind.as_str())?;
        document.serialize_entry("meshName", self.id.mesh())?;
        if let (Some(member), Some(parent)) = (schema.parent, self.id.parent_name()) {
            document.serialize_entry(member, parent)?;
        }
        if !matches!(self.id, ResourceId::Mesh(_)) {
            document.serialize_entry(schema.name, self.id.name())?;
        }
        if !self.tags.is_empty() {
            document.serialize_entry("tags", &self.tags)?;
        }
        document.serialize_entry("spec", self.spec)?;
        document.end()
    }
}
