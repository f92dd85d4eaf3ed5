//! Operations that read: describe, list, tags, and the list of everything.

use std::ops::Bound;
use std::sync::Arc;

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::account::{addressed, check_mesh_owner};
use super::answer::{self, Status, data, reference};
use super::error::ApiError;
use super::kind::{Collection, KindPaths};
use super::operation::Reading;
use super::page::Page;
use super::query::Query;
use super::sending::Sending;
use super::{AppMesh, Call, Place};
use crate::api::auth::Caller;
use crate::api::off_thread::off_thread;
use crate::model::admission::missing;
use crate::model::arn::Identity;
use crate::model::{ResourceId, ResourceKind, Spec};
use crate::store::{Owner, Record, Stored};

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

    /// Every resource, or those of one mesh, with all that is known of it.
    pub(super) async fn everything(
        &self,
        call: &Call<'_>,
        place: Place,
    ) -> Result<Response, ApiError> {
        let mesh = call.query()?.mesh;
        let turn = Arc::clone(&self.everything).acquire_owned().await;
        let stored = self.loaded()?;
        let (identity, caller) = (Arc::clone(&self.identity), call.caller());
        let telling = off_thread(move || {
            // Held as long as the work takes, whoever still waits for it.
            let _turn = turn;
            everything(&identity, &stored, mesh.as_deref(), &caller)
        });
        let body = Body::new(Sending::new(telling.await??, place));
        Ok(answer::of_json(StatusCode::OK, body))
    }
}

fn everything(
    identity: &Identity,
    stored: &Stored,
    mesh: Option<&str>,
    caller: &Caller,
) -> Result<Vec<u8>, ApiError> {
    let revision = stored.revision.as_u64();
    // Resource by resource: a tree of them all takes much more memory than its text.
    let mut body = format!(r#"{{"revision":{revision},"resources":["#).into_bytes();
    let mut is_first = true;
    let wanted = ResourceKind::ALL.into_iter().flat_map(|kind| {
        let first = ResourceId::of_checked(kind, mesh.unwrap_or_default(), "", "");
        let of_kind = stored.records.range(first..);
        of_kind.take_while(move |(id, _)| {
            id.kind() == kind && mesh.is_none_or(|mesh| id.mesh().as_str() == mesh)
        })
    });
    for (id, record) in wanted.filter(|(id, _)| caller.may_read(id.mesh().as_str())) {
        let Some(spec) = stored.model.get(id) else {
            continue;
        };
        let mut resource = data(identity, id, &spec, record, Status::Active)?;
        if let Value::Object(members) = &mut resource {
            members.insert("kind".into(), id.kind().as_str().into());
            members.insert("tags".into(), answer::tag_map(&record.tags));
            members.insert("owner".into(), owner(&record.owner));
        }
        if !std::mem::take(&mut is_first) {
            body.push(b',');
        }
        serde_json::to_writer(&mut body, &resource)
            .map_err(|source| ApiError::Internal { source })?;
    }
    body.extend_from_slice(b"]}");
    Ok(body)
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

fn owner(owner: &Owner) -> Value {
    match owner {
        Owner::Api => json!({ "api": true }),
        Owner::File { path, line } => json!({ "file": path.to_string_lossy(), "line": line }),
    }
}
