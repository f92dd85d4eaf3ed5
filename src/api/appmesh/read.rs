//! Operations that read: describe, list, tags.

use std::ops::Bound;

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;

use super::account::{addressed, check_mesh_owner};
use super::answer::{self, Status, data, reference};
use super::error::ApiError;
use super::kind::{Collection, KindPaths};
use super::operation::Reading;
use super::page::Page;
use super::query::Query;
use super::{AppMesh, Call};
use crate::api::auth::Caller;
use crate::model::admission::missing;
use crate::model::{ResourceId, Spec};
use crate::store::{Record, Stored};

impl AppMesh {
    pub(super) fn read(&self, call: &Call<'_>, operation: &Reading) -> Result<Response, ApiError> {
        let (query, caller) = (call.query()?, call.caller());
        if let Some(id) = operation.owned() {
            check_mesh_owner(&self.identity, &query, id)?;
            check_reader(&caller, id)?;
        }
        let body = match operation {
            Reading::Describe(id) => self.describe(id)?,
            Reading::List(collection) => self.list(collection, &query, &caller)?,
            Reading::ListTags => self.list_tags(&query, &caller)?,
        };
        answer::response(StatusCode::OK, &body)
    }

    fn describe(&self, id: &ResourceId) -> Result<Value, ApiError> {
        let stored = self.loaded()?;
        let (spec, record) = self.find(&stored, id)?;
        data(&self.identity, id, &spec, record, Status::Active)
    }

    fn list(
        &self,
        collection: &Collection,
        query: &Query,
        caller: &Caller,
    ) -> Result<Value, ApiError> {
        let kind = KindPaths::of(collection.kind);
        let name = match &collection.within {
            Some(within) => format!("{within}/{}", kind.collection),
            None => kind.collection.to_owned(),
        };
        let (limit, token) = (query.limit.as_deref(), query.next_token.as_deref());
        let page = Page::of_items(name, limit, token)?;
        let stored = self.loaded()?;
        if let Some(within) = &collection.within {
            self.find(&stored, within)?;
        }
        let begin = match &page.after {
            Some(name) => Bound::Excluded(collection.place(name)),
            None => Bound::Included(collection.place("")),
        };
        let records = stored.records.range((begin, Bound::Unbounded));
        let of_collection = records.take_while(|(id, _)| collection.contains(id));
        let readable = of_collection.filter(|(id, _)| caller.may_read(id.mesh().as_str()));
        let (taken, next) = page.take(readable, |(id, _)| id.name());
        let references = taken
            .into_iter()
            .map(|(id, record)| reference(&self.identity, id, record))
            .collect();
        Ok(answer::list(kind.collection, references, next))
    }

    fn list_tags(&self, query: &Query, caller: &Caller) -> Result<Value, ApiError> {
        let id = addressed(&self.identity, query)?;
        check_reader(caller, &id)?;
        let (limit, token) = (query.limit.as_deref(), query.next_token.as_deref());
        let page = Page::of_tags(format!("{id}/tags"), limit, token)?;
        let stored = self.loaded()?;
        let (_, record) = self.find(&stored, &id)?;
        let begin = match &page.after {
            Some(key) => Bound::Excluded(key.as_str()),
            None => Bound::Unbounded,
        };
        let tags = record.tags.range::<str, _>((begin, Bound::Unbounded));
        let (taken, next) = page.take(tags, |(key, _)| key.as_str());
        let tags = taken.into_iter();
        let tags = tags.map(|(key, value)| answer::tag(key, value)).collect();
        Ok(answer::list("tags", tags, next))
    }

    /// A resource, or which is the outermost that is missing on the path to it.
    fn find<'a>(
        &self,
        stored: &'a Stored,
        id: &ResourceId,
    ) -> Result<(Spec, &'a Record), ApiError> {
        let found = stored.model.get(id).zip(stored.records.get(id));
        if let Some((spec, record)) = found {
            return Ok((spec, record));
        }
        Err(ApiError::NotFound {
            id: missing(&stored.model, id).unwrap_or_else(|| id.clone()),
            account: self.identity.account_id.clone(),
        })
    }
}

fn check_reader(caller: &Caller, id: &ResourceId) -> Result<(), ApiError> {
    let mesh = id.mesh().as_str();
    if caller.may_read(mesh) {
        return Ok(());
    }
    Err(ApiError::Denied {
        name: caller.name().to_owned(),
        mesh: mesh.to_owned(),
    })
}
