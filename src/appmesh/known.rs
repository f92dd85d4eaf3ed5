//! What a target is known to have: as it was read, and as it has been written since.
//!
//! A spec is held in the model's types, shared with the source where both say the same; the JSON itself is held only where
//! these types cannot say it exactly.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeSeed;
use serde_json::{Map, Value};

use super::client::{Held, Written};
use super::plan::{Action, Step};
use super::read::Target;
use crate::model::defaults::fill_defaults;
use crate::model::tags::Tags;
use crate::model::{MeshName, Model, Resource, ResourceId, ResourceKind, Spec};

/// The resources of a target.
#[derive(Clone, Debug, Default)]
pub struct Known {
    model: Model,
    entries: BTreeMap<ResourceId, Entry>,
    /// Kinds that the target does not know.
    lacks: BTreeSet<ResourceKind>,
    /// Meshes that other accounts share with the target's, and these accounts.
    shared: BTreeMap<MeshName, BTreeSet<String>>,
}

#[derive(Clone, Debug)]
struct Entry {
    arn: String,
    tags: Tags,
    /// Why its tags are not known.
    no_tags: Option<String>,
    /// The spec, if the model has no exact form of it.
    raw: Option<Value>,
}

/// One resource of a target.
#[derive(Clone, Debug)]
pub struct There<'a> {
    pub spec: Value,
    pub tags: &'a Tags,
    /// Why its tags are not known, so that it is nobody's to change.
    pub no_tags: Option<&'a str>,
}

impl Known {
    /// What was read of a target; what `source` says alike is shared with it.
    pub fn read(target: Target, source: &Model) -> Self {
        let mut known = Self {
            lacks: target.lacks,
            shared: target.shared,
            ..Self::default()
        };
        for (id, held) in target.resources {
            known.take_in(&id, held, source);
        }
        known
    }

    /// Takes note of what was read of a resource.
    pub fn take_in(&mut self, id: &ResourceId, held: Held, source: &Model) {
        let Held {
            spec,
            tags,
            no_tags,
            metadata,
        } = held;
        self.insert(id.clone(), metadata.arn, spec, tags, source);
        if let Some(entry) = self.entries.get_mut(id) {
            entry.no_tags = no_tags.map(|why| why.to_string());
        }
    }

    /// The accounts that share a mesh of this name with the target's.
    pub fn sharers(&self, mesh: &MeshName) -> impl Iterator<Item = &str> {
        let sharers = self.shared.get(mesh).into_iter().flatten();
        sharers.map(String::as_str)
    }

    /// Takes note of a step that is done, with what the target answered.
    pub fn wrote(&mut self, step: &Step, written: Option<&Written>, source: &Model) {
        let id = &step.id;
        let mut tags = self
            .entries
            .get(id)
            .map(|entry| entry.tags.clone())
            .unwrap_or_default();
        match &step.action {
            Action::Create { tags: new, .. } => tags = new.clone(),
            Action::Update { tags: new, .. } => tags.extend(new.clone()),
            Action::Delete => return self.remove(id),
        }
        match written {
            Some(Written { spec, metadata }) => {
                let arn = metadata.arn.clone();
                self.insert(id.clone(), arn, spec.clone(), tags, source);
            }
            None => {
                if let Some(entry) = self.entries.get_mut(id) {
                    entry.tags = tags;
                }
            }
        }
    }

    /// Whether the target does not know a kind.
    pub fn lacks(&self, kind: ResourceKind) -> bool {
        self.lacks.contains(&kind)
    }

    /// What of it the model's types can say.
    pub fn model(&self) -> &Model {
        &self.model
    }

    pub fn ids(&self) -> impl Iterator<Item = &ResourceId> {
        self.entries.keys()
    }

    pub fn contains(&self, id: &ResourceId) -> bool {
        self.entries.contains_key(id)
    }

    pub fn arn(&self, id: &ResourceId) -> Option<&str> {
        self.entries.get(id).map(|entry| &*entry.arn)
    }

    pub fn get(&self, id: &ResourceId) -> Option<There<'_>> {
        let entry = self.entries.get(id)?;
        let spec = if let Some(raw) = &entry.raw {
            raw.clone()
        } else {
            let mut spec = self.model.get(id)?;
            // Not every server does.
            fill_defaults(&mut spec);
            json(&spec)
        };
        Some(There {
            spec,
            tags: &entry.tags,
            no_tags: entry.no_tags.as_deref(),
        })
    }

    /// Takes note of a resource; what `source` says alike is shared with it.
    pub fn insert(&mut self, id: ResourceId, arn: String, spec: Value, tags: Tags, source: &Model) {
        // A mesh may be without a spec.
        let spec = if spec.is_null() {
            Value::Object(Map::new())
        } else {
            spec
        };
        let typed = typed(&id, &spec);
        let is_exact = typed.as_ref().is_some_and(|typed| json(typed) == spec);
        match typed {
            Some(typed) => {
                let shared = source.get(&id).filter(|spec| *spec == typed);
                self.model.insert(Resource {
                    id: id.clone(),
                    spec: shared.unwrap_or(typed),
                });
            }
            None => self.model.remove(&id),
        }
        let raw = (!is_exact).then_some(spec);
        let entry = Entry {
            arn,
            tags,
            no_tags: None,
            raw,
        };
        self.entries.insert(id, entry);
    }

    /// Holds a resource as another has it, or not at all.
    pub fn take_over(&mut self, id: ResourceId, other: &Self) {
        match (other.model.get(&id), other.entries.get(&id)) {
            (_, None) => self.remove(&id),
            (spec, Some(entry)) => {
                match spec {
                    Some(spec) => self.model.insert(Resource {
                        id: id.clone(),
                        spec,
                    }),
                    None => self.model.remove(&id),
                }
                self.entries.insert(id, entry.clone());
            }
        }
    }

    pub fn remove(&mut self, id: &ResourceId) {
        self.model.remove(id);
        self.entries.remove(id);
    }
}

/// A spec as the API has it.
pub(super) fn json(spec: &Spec) -> Value {
    // The specs are structs with names for keys, which always have a form in JSON.
    serde_json::to_value(spec).unwrap_or_default()
}

/// The same in the model's types, if they know all of it.
pub(super) fn typed(id: &ResourceId, spec: &Value) -> Option<Spec> {
    id.kind().deserialize(spec).ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;

    fn id(path: &str) -> ResourceId {
        ResourceId::parse(path).unwrap()
    }

    #[test]
    fn what_both_sides_say_is_held_once() {
        let node = id("mesh/m/virtualNode/n");
        let spec = json!({ "serviceDiscovery": { "dns": { "hostname": "n.local" } } });
        let declared = typed(&node, &spec).unwrap();
        let source = Model::from_resources([Resource {
            id: node.clone(),
            spec: declared,
        }]);
        let mut known = Known::default();
        known.insert(
            node.clone(),
            "arn".to_owned(),
            spec.clone(),
            Tags::new(),
            &source,
        );
        assert_eq!(known.get(&node).unwrap().spec, spec);
        let [Spec::VirtualNode(ours), Spec::VirtualNode(theirs)] =
            [&source, known.model()].map(|model| model.get(&node).unwrap())
        else {
            panic!("{known:?}");
        };
        assert!(Arc::ptr_eq(&ours, &theirs));
    }

    #[test]
    fn what_the_model_cannot_say_is_kept_as_it_came() {
        let mut known = Known::default();
        let mut insert = |path: &str, spec: &Value| {
            let none = Model::default();
            known.insert(id(path), "arn".to_owned(), spec.clone(), Tags::new(), &none);
        };
        let newer = json!({ "egressFilter": { "type": "ALLOW_ALL" }, "newer": 1 });
        // Said by the types, though not in these words.
        let null = json!({ "provider": null });
        insert("mesh/m", &newer);
        insert("mesh/m/virtualService/s", &null);
        assert_eq!(known.get(&id("mesh/m")).unwrap().spec, newer);
        assert!(!known.model().contains(&id("mesh/m")));
        let service = id("mesh/m/virtualService/s");
        assert_eq!(known.get(&service).unwrap().spec, null);
        assert!(known.model().contains(&service));
        known.remove(&service);
        assert!(!known.contains(&service) && !known.model().contains(&service));
    }

    #[test]
    fn what_another_knows_better_is_taken_over_whole() {
        let service = id("mesh/m/virtualService/s");
        let source = Model::default();
        let insert = |known: &mut Known, spec: Value, arn: &str| {
            known.insert(service.clone(), arn.to_owned(), spec, Tags::new(), &source);
        };
        let provider = json!({ "provider": { "virtualNode": { "virtualNodeName": "n" } } });
        let (mut read, mut written) = (Known::default(), Known::default());
        insert(&mut read, json!({}), "old");
        insert(&mut written, provider.clone(), "new");
        read.take_over(service.clone(), &written);
        let there = read.get(&service).unwrap();
        assert_eq!((there.spec, read.arn(&service)), (provider, Some("new")));
        read.take_over(service.clone(), &Known::default());
        assert!(!read.contains(&service) && !read.model().contains(&service));
        // What the types cannot say goes with it.
        insert(&mut written, json!({ "newer": 1 }), "newest");
        read.take_over(service.clone(), &written);
        assert_eq!(read.get(&service).unwrap().spec, json!({ "newer": 1 }));
    }
}
