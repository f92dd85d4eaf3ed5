//! What mesh files declare, and how it goes into the state.
//!
//! A file's resource wins over the API's of the same name while it is there; the API's is put aside and comes back after.
//! It is one resource all the time: the uid stays, and the version goes on.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_128;

use super::Revision;
use super::journal::{FileFact, Kept};
use super::record::{Owner, Record, Timestamp};
use super::state::State;
use crate::model::admission::missing;
use crate::model::tags::Tags;
use crate::model::{Model, Resource, ResourceId, Spec};

/// Everything that mesh files declare.
#[derive(Clone, Debug, Default)]
pub struct Files {
    pub model: Model,
    /// Where each resource is declared.
    pub places: BTreeMap<ResourceId, Place>,
    /// Of those that have any.
    pub tags: BTreeMap<ResourceId, Tags>,
}

/// Where a resource is declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub path: Arc<Path>,
    /// Where the document begins; 0 if that is not known.
    pub line: u32,
}

/// Declared in no file that has a name.
impl From<Model> for Files {
    fn from(model: Model) -> Self {
        Self {
            model,
            places: BTreeMap::new(),
            tags: BTreeMap::new(),
        }
    }
}

impl From<Place> for Owner {
    fn from(Place { path, line }: Place) -> Self {
        Self::File { path, line }
    }
}

/// What a new set of files did to the state.
#[derive(Clone, Debug, Default)]
pub(super) struct Replaced {
    /// `None`: nothing but places differs from what was declared before, also before a restart.
    pub(super) revision: Option<Revision>,
    /// What was declared anew, changed or withdrawn, so that its fact is to be kept or forgotten.
    pub(super) facts: Vec<ResourceId>,
    /// Resources of the API that a file's now hides.
    pub(super) hidden: Vec<ResourceId>,
    /// Those that a file's hid until now, whose records go on from the file's.
    pub(super) shown: Vec<ResourceId>,
    /// Resources of the API whose mesh, router or gateway is no longer declared, if one was withdrawn.
    pub(super) orphans: Vec<ResourceId>,
}

impl State {
    /// Takes what files declare now in place of what they declared before.
    pub(super) fn replace_files(
        &mut self,
        files: &Files,
        now: Timestamp,
        new_uid: &mut dyn FnMut() -> String,
    ) -> Replaced {
        let mut replaced = Replaced::default();
        // Files that are read anew share nothing with what was read before. From here on all that is equal is shared, so
        // that every later comparison costs what changed.
        let changed = files.model.changes_since(&self.files);
        for id in &changed {
            if let Some(spec) = files.model.get(id) {
                let place = files.places.get(id).cloned();
                let owner = place.unwrap_or_else(nowhere).into();
                let tags = files.tags.get(id).cloned().unwrap_or_default();
                if self.declare(id, &spec, (owner, tags), now, new_uid) {
                    replaced.facts.push(id.clone());
                }
                if self.hidden.contains_key(id) {
                    replaced.hidden.push(id.clone());
                }
            } else {
                if self.withdraw(id, now) {
                    replaced.shown.push(id.clone());
                }
                replaced.facts.push(id.clone());
            }
        }
        // What files declared before the last stop, and do no longer.
        for (gone, fact) in std::mem::take(&mut self.undeclared) {
            if let Some((spec, record)) = self.get(&gone)
                && record.version <= fact.version
            {
                let is_same = fact.digest == digest(&spec, &record.tags);
                self.show(&gone, Kept { spec, record }, (fact.into(), is_same), now);
                replaced.shown.push(gone.clone());
            }
            replaced.facts.push(gone);
        }
        replaced.facts.extend(self.move_places(files));
        replaced.orphans = self.orphans(&replaced.facts);
        if !replaced.facts.is_empty() {
            replaced.revision = Some(self.advance(replaced.facts.clone()));
        }
        replaced
    }

    /// Returns whether its fact is not what is kept.
    fn declare(
        &mut self,
        id: &ResourceId,
        spec: &Spec,
        (owner, tags): (Owner, Tags),
        now: Timestamp,
        new_uid: &mut dyn FnMut() -> String,
    ) -> bool {
        let before = self.get(id);
        if let Some((spec, record)) = before.clone()
            && record.owner == Owner::Api
        {
            self.hidden.insert(id.clone(), Kept { spec, record });
        }
        // What it goes on from, whether it says the same, and whether that is kept.
        let (last, is_same, is_kept) = match (self.undeclared.remove(id), before) {
            // The API has changed it while no file was served.
            (Some(fact), Some((other, last)))
                if last.uid == fact.uid && last.version > fact.version =>
            {
                (last.as_ref().clone(), other == *spec, false)
            }
            (Some(fact), _) => {
                let is_same = fact.digest == digest(spec, &tags);
                (Record::from(fact), is_same, is_same)
            }
            (None, Some((other, last))) => (last.as_ref().clone(), other == *spec, false),
            (None, None) => {
                let new = Record {
                    uid: new_uid(),
                    created_at: now,
                    updated_at: now,
                    version: 1,
                    tags: Tags::new(),
                    owner: Owner::Api,
                };
                (new, true, false)
            }
        };
        let next = if is_same { last } else { last.next(now) };
        let record = Record {
            tags,
            owner,
            ..next
        };
        let resource = Resource {
            id: id.clone(),
            spec: spec.clone(),
        };
        self.files.insert(resource.clone());
        self.model.insert(resource);
        self.records.insert(id.clone(), Arc::new(record));
        !is_kept
    }

    /// A file's resource is no longer declared. Returns whether the API's of that name counts again.
    fn withdraw(&mut self, id: &ResourceId, now: Timestamp) -> bool {
        self.files.remove(id);
        let last = self.get(id);
        let Some((hidden, (other, last))) = self.hidden.remove(id).zip(last) else {
            self.records.remove(id);
            self.model.remove(id);
            return false;
        };
        let is_same = other == hidden.spec;
        self.show(id, hidden, (last.as_ref().clone(), is_same), now);
        true
    }

    /// The API's resource counts again, and goes on from the last that stood in its place; with it, whether that said the
    /// same.
    fn show(
        &mut self,
        id: &ResourceId,
        Kept { spec, record }: Kept,
        (last, is_same): (Record, bool),
        now: Timestamp,
    ) {
        // Of two uids it has been since before a file's resource went on from the API's.
        let record = if last.uid == record.uid {
            let next = if is_same { last } else { last.next(now) };
            Arc::new(Record {
                tags: record.tags.clone(),
                owner: Owner::Api,
                ..next
            })
        } else {
            record
        };
        self.records.insert(id.clone(), record);
        self.model.insert(Resource {
            id: id.clone(),
            spec,
        });
    }

    /// Resources of the API that stand in something that is not there, if any of these is gone.
    fn orphans(&self, changed: &[ResourceId]) -> Vec<ResourceId> {
        let is_gone = |id: &ResourceId| !self.model.contains(id);
        if !changed.iter().any(is_gone) {
            return Vec::new();
        }
        let records = self.records.iter();
        let of_api = records.filter(|(_, record)| record.owner == Owner::Api);
        let orphans = of_api.filter(|(id, _)| {
            let parent = id.parent();
            parent.is_some_and(|parent| missing(&self.model, &parent).is_some())
        });
        orphans.map(|(id, _)| id.clone()).collect()
    }

    /// A resource that stays the same may stand on another line, or in another file, or have other tags; returns the last.
    fn move_places(&mut self, files: &Files) -> Vec<ResourceId> {
        let (mut retagged, none) = (Vec::new(), Tags::new());
        for (id, place) in &files.places {
            let Some(record) = self.records.get(id) else {
                continue;
            };
            let owner = Owner::from(place.clone());
            let tags = files.tags.get(id).unwrap_or(&none);
            let is_retagged = record.tags != *tags;
            if record.owner == Owner::Api || (record.owner == owner && !is_retagged) {
                continue;
            }
            let moved = Record {
                owner,
                tags: tags.clone(),
                ..record.as_ref().clone()
            };
            self.records.insert(id.clone(), Arc::new(moved));
            if is_retagged {
                retagged.push(id.clone());
            }
        }
        retagged
    }

    /// What is to be kept of a file's resource; before files are loaded, what was.
    pub(super) fn fact(&self, id: &ResourceId) -> Option<FileFact> {
        let Some(spec) = self.files.get(id) else {
            return self.undeclared.get(id).cloned();
        };
        let record = self.records.get(id)?;
        Some(FileFact {
            uid: record.uid.clone(),
            created_at: record.created_at,
            updated_at: record.updated_at,
            version: record.version,
            digest: digest(&spec, &record.tags),
        })
    }
}

/// Without tags, and the API's: neither is known.
impl From<FileFact> for Record {
    fn from(fact: FileFact) -> Self {
        Self {
            uid: fact.uid,
            created_at: fact.created_at,
            updated_at: fact.updated_at,
            version: fact.version,
            tags: Tags::new(),
            owner: Owner::Api,
        }
    }
}

fn nowhere() -> Place {
    Place {
        path: Arc::from(Path::new("")),
        line: 0,
    }
}

/// Equal for equal specs with equal tags, whatever process computes it. What changed while nobody watched counts as a
/// version, be it the tags alone.
fn digest(spec: &Spec, tags: &Tags) -> u128 {
    // A spec has neither maps with other keys than texts nor numbers that JSON lacks.
    let mut text = serde_json::to_vec(spec).unwrap_or_default();
    if !tags.is_empty() {
        text.append(&mut serde_json::to_vec(tags).unwrap_or_default());
    }
    xxh3_128(&text)
}
