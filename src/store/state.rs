//! What the store holds, and what one write makes of it.
//!
//! **Invariant:** functions of values. A clone is cheap, so that a group of writes is tried on one and thrown away when it
//! cannot be kept.

use std::sync::Arc;

use imbl::OrdMap;

use super::feed::Feed;
use super::journal::{FileFact, Kept, Loaded, Remembered};
use super::record::{Owner, Record, Timestamp};
use super::tokens::Tokens;
use super::write::{Action, ClientToken, Write, WriteError, Written};
use super::{Records, Revision};
use crate::model::admission::{Change, Refusal, admit, missing};
use crate::model::defaults::fill_defaults;
use crate::model::problem::Problem;
use crate::model::quota::Quotas;
use crate::model::tags::{self, Tags};
use crate::model::{Model, Resource, ResourceId, Spec};

#[derive(Clone, Debug, Default)]
pub(super) struct State {
    pub(super) revision: Revision,
    /// What counts: the files' resources, and the API's that no file hides.
    pub(super) model: Model,
    pub(super) records: Records,
    /// Resources of the API of which a file declares the name too.
    pub(super) hidden: OrdMap<ResourceId, Kept>,
    /// What files declare.
    pub(super) files: Model,
    /// Of resources that files declared before the start; empty once files are loaded.
    pub(super) undeclared: OrdMap<ResourceId, FileFact>,
    pub(super) tokens: Tokens,
    pub(super) feed: Feed,
}

/// What a write is judged by, beside the state.
pub(super) struct Around<'a> {
    pub(super) now: Timestamp,
    pub(super) quotas: &'a Quotas,
    pub(super) new_uid: &'a mut dyn FnMut() -> String,
    /// The resource when the write was asked for.
    pub(super) seen: Option<Arc<Record>>,
}

/// What a write did.
#[derive(Debug)]
pub(super) struct Applied {
    pub(super) written: Written,
    pub(super) changed: bool,
    /// What is allowed and yet probably not meant.
    pub(super) problems: Vec<Problem>,
}

impl State {
    pub(super) fn new(loaded: Loaded) -> Self {
        let mut state = Self {
            revision: loaded.revision,
            feed: Feed::starting_at(loaded.revision),
            undeclared: loaded.files.into_iter().collect(),
            ..Self::default()
        };
        for (id, Kept { spec, record }) in loaded.resources {
            state.records.insert(id.clone(), record);
            state.model.insert(Resource { id, spec });
        }
        for (token, remembered) in loaded.tokens {
            state.tokens.insert(token, remembered);
        }
        state
    }

    /// Does what a write asks for; on an error, nothing.
    pub(super) fn apply(
        &mut self,
        write: Write,
        around: &mut Around<'_>,
    ) -> Result<Applied, WriteError> {
        let Write { action, token } = write;
        let token =
            token.filter(|_| matches!(action, Action::Create { .. } | Action::Update { .. }));
        if let Some(again) = self.again(&action, token.as_ref(), around.now)? {
            return Ok(unchanged(again));
        }
        self.check_owner(action.id())?;
        let applied = match action {
            Action::Create { resource, tags } => self.create(filled(resource), tags, around),
            Action::Update { resource } => self.update(filled(resource), around),
            Action::Delete { id } => self.delete(id, around),
            Action::Tag { id, tags } => self.retag(id, |all| all.extend(tags)),
            Action::Untag { id, keys } => {
                self.retag(id, |all| all.retain(|key, _| !keys.contains(key)))
            }
        }?;
        if let Some(ClientToken { token, digest }) = token {
            let remembered = Remembered {
                digest,
                at: around.now,
                record: Arc::clone(&applied.written.record),
                revision: applied.written.revision,
            };
            self.tokens.insert(token, remembered);
        }
        Ok(applied)
    }

    /// The answer of before to a write that is sent again.
    fn again(
        &self,
        action: &Action,
        token: Option<&ClientToken>,
        now: Timestamp,
    ) -> Result<Option<Written>, WriteError> {
        let Some(ClientToken { token, digest }) = token else {
            return Ok(None);
        };
        let (Action::Create { resource, .. } | Action::Update { resource }) = action else {
            return Ok(None);
        };
        match self.tokens.get(token, now) {
            None => Ok(None),
            Some(before) if before.digest != *digest => Err(WriteError::TokenReused {
                token: token.clone(),
            }),
            Some(before) => {
                let Resource { id, spec } = filled(resource.clone());
                // What was deleted since is not there, whatever the token was answered with.
                let now = self.records.get(&id);
                if now.is_none_or(|now| now.uid != before.record.uid) {
                    return Ok(None);
                }
                Ok(Some(Written {
                    id,
                    spec,
                    record: Arc::clone(&before.record),
                    revision: before.revision,
                }))
            }
        }
    }

    fn check_owner(&self, id: &ResourceId) -> Result<(), WriteError> {
        match self.records.get(id).map(|record| &record.owner) {
            Some(Owner::File { path, line }) => Err(WriteError::OwnedByFile {
                id: id.clone(),
                path: Arc::clone(path),
                line: *line,
            }),
            Some(Owner::Api) | None => Ok(()),
        }
    }

    fn create(
        &mut self,
        resource: Resource,
        tags: Tags,
        around: &mut Around<'_>,
    ) -> Result<Applied, WriteError> {
        if let Some((spec, record)) = self.get(&resource.id) {
            let is_same = spec == resource.spec && record.tags == tags;
            return if is_same {
                Ok(unchanged(self.written(resource, record)))
            } else {
                Err(WriteError::Exists { id: resource.id })
            };
        }
        check_tags(&resource.id, &tags)?;
        let problems = admit(&self.model, Change::Create(&resource), around.quotas)?;
        let record = Record {
            uid: (around.new_uid)(),
            created_at: around.now,
            updated_at: around.now,
            version: 1,
            tags,
            owner: Owner::Api,
        };
        Ok(self.put(resource, record, problems))
    }

    fn update(
        &mut self,
        resource: Resource,
        around: &mut Around<'_>,
    ) -> Result<Applied, WriteError> {
        let Some((spec, record)) = self.get(&resource.id) else {
            return Err(self.not_found(resource.id));
        };
        if spec == resource.spec {
            return Ok(unchanged(self.written(resource, record)));
        }
        check_race(&resource.id, &record, around.seen.as_deref())?;
        let problems = admit(&self.model, Change::Update(&resource), around.quotas)?;
        Ok(self.put(resource, record.next(around.now), problems))
    }

    fn delete(&mut self, id: ResourceId, around: &mut Around<'_>) -> Result<Applied, WriteError> {
        let Some((spec, record)) = self.get(&id) else {
            return Err(self.not_found(id));
        };
        check_race(&id, &record, around.seen.as_deref())?;
        let problems = admit(&self.model, Change::Delete(&id), around.quotas)?;
        self.model.remove(&id);
        self.records.remove(&id);
        self.advance(vec![id.clone()]);
        let last = Arc::new(record.next(around.now));
        Ok(Applied {
            written: self.written(Resource { id, spec }, last),
            changed: true,
            problems,
        })
    }

    /// Tags are no part of what a version counts.
    fn retag(
        &mut self,
        id: ResourceId,
        edit: impl FnOnce(&mut Tags),
    ) -> Result<Applied, WriteError> {
        let Some((spec, record)) = self.get(&id) else {
            return Err(self.not_found(id));
        };
        let mut tags = record.tags.clone();
        edit(&mut tags);
        let resource = Resource { id, spec };
        if tags == record.tags {
            return Ok(unchanged(self.written(resource, record)));
        }
        check_tags(&resource.id, &tags)?;
        let record = Record {
            tags,
            ..record.as_ref().clone()
        };
        Ok(self.put(resource, record, Vec::new()))
    }

    fn put(&mut self, resource: Resource, record: Record, problems: Vec<Problem>) -> Applied {
        let record = Arc::new(record);
        self.records
            .insert(resource.id.clone(), Arc::clone(&record));
        self.model.insert(resource.clone());
        self.advance(vec![resource.id.clone()]);
        Applied {
            written: self.written(resource, record),
            changed: true,
            problems,
        }
    }

    /// The next revision, which changes these.
    pub(super) fn advance(&mut self, changed: Vec<ResourceId>) -> Revision {
        self.revision = self.revision.next();
        self.feed.push(self.revision, changed.into());
        self.revision
    }

    pub(super) fn get(&self, id: &ResourceId) -> Option<(Spec, Arc<Record>)> {
        self.model.get(id).zip(self.records.get(id).cloned())
    }

    /// Why a change of what is not there is refused: what it would stand in may be what is missing.
    fn not_found(&self, id: ResourceId) -> WriteError {
        let id = missing(&self.model, &id).unwrap_or(id);
        Refusal::NotFound { id }.into()
    }

    fn written(&self, resource: Resource, record: Arc<Record>) -> Written {
        Written {
            id: resource.id,
            spec: resource.spec,
            record,
            revision: self.revision,
        }
    }

    /// What is to be kept of a resource of the API; `None`: it is gone.
    pub(super) fn kept(&self, id: &ResourceId) -> Option<Kept> {
        let hidden = self.hidden.get(id).cloned();
        hidden.or_else(|| {
            let (spec, record) = self.get(id)?;
            (record.owner == Owner::Api).then_some(Kept { spec, record })
        })
    }
}

/// The resource as it is stored.
fn filled(mut resource: Resource) -> Resource {
    fill_defaults(&mut resource.spec);
    resource
}

fn unchanged(written: Written) -> Applied {
    Applied {
        written,
        changed: false,
        problems: Vec::new(),
    }
}

/// Whoever asked to change a resource that another changed meanwhile has not seen what it would overwrite.
fn check_race(id: &ResourceId, now: &Record, seen: Option<&Record>) -> Result<(), WriteError> {
    let of = |record: &Record| (record.uid.clone(), record.version);
    match seen {
        Some(seen) if of(seen) != of(now) => Err(WriteError::Raced { id: id.clone() }),
        Some(_) | None => Ok(()),
    }
}

fn check_tags(id: &ResourceId, tags: &Tags) -> Result<(), WriteError> {
    if tags.len() <= tags::MOST {
        return Ok(());
    }
    Err(WriteError::TooManyTags {
        id: id.clone(),
        count: tags.len(),
        limit: tags::MOST,
    })
}
