//! Outrigger's own list: every resource with all that is known of it, in one answer.

use std::sync::Arc;

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::answer::{self, Status, data};
use super::error::ApiError;
use super::sending::Sending;
use super::{AppMesh, Call, Place};
use crate::api::auth::Caller;
use crate::api::off_thread::off_thread;
use crate::model::{ResourceId, ResourceKind};
use crate::store::{Owner, Stored};
use crate::transport::Retired;

impl AppMesh {
    /// Every resource, or those of one mesh.
    pub(super) async fn everything(
        &self,
        call: &Call<'_>,
        place: Place,
    ) -> Result<Response, ApiError> {
        let (mesh, caller) = (call.query()?.mesh, call.caller());
        self.told(call, place, move |api| {
            let stored = api.loaded()?;
            let ids = all(&stored, mesh.as_deref());
            let readable = ids.filter(|id| caller.may_read(id.mesh().as_str()));
            let limited = if mesh.is_none() { limited(&caller) } else { "" };
            api.list_of(&stored, limited, readable)
        })
        .await
    }

    /// Puts a large answer together, when its turn comes, where it may block.
    pub(super) async fn told(
        &self,
        call: &Call<'_>,
        place: Place,
        tell: impl FnOnce(&Self) -> Result<Vec<u8>, ApiError> + Send + 'static,
    ) -> Result<Response, ApiError> {
        let turn = Arc::clone(&self.large_answers).acquire_owned().await;
        let api = self.clone();
        let telling = off_thread(move || {
            // Held as long as the work takes, whoever still waits for it.
            let _turn = turn;
            tell(&api)
        });
        let connection = call.parts.extensions.get::<Retired>().cloned();
        let (sending, watch) = Sending::new(telling.await??, place, || {
            if let Some(connection) = connection {
                connection.retire();
            }
        });
        self.sending.spawn(watch);
        Ok(answer::of_json(StatusCode::OK, Body::new(sending)))
    }

    /// These resources, as far as they are there, as JSON's text: a tree of them all takes much more memory. `members` stand
    /// before them, each with a comma behind it.
    pub(super) fn list_of<'a>(
        &self,
        stored: &Stored,
        members: &str,
        ids: impl Iterator<Item = &'a ResourceId>,
    ) -> Result<Vec<u8>, ApiError> {
        let (server, revision) = (self.store.server_id(), stored.revision);
        let head = format!(r#"{{"server":"{server}","revision":{revision},{members}"resources":["#);
        let mut body = head.into_bytes();
        let mut is_first = true;
        for id in ids {
            let Some((spec, record)) = stored.model.get(id).zip(stored.records.get(id)) else {
                continue;
            };
            let mut resource = data(&self.identity, id, &spec, record, Status::Active)?;
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
}

/// What a list says to whom some meshes may be hidden.
pub(super) fn limited(caller: &Caller) -> &'static str {
    if caller.is_limited() {
        r#""limited":true,"#
    } else {
        ""
    }
}

/// Every resource, or those of one mesh, by kind and name.
pub(super) fn all<'a>(
    stored: &'a Stored,
    mesh: Option<&'a str>,
) -> impl Iterator<Item = &'a ResourceId> {
    ResourceKind::ALL.into_iter().flat_map(move |kind| {
        let first = ResourceId::of_checked(kind, mesh.unwrap_or_default(), "", "");
        let of_kind = stored.records.range(first..).map(|(id, _)| id);
        of_kind.take_while(move |id| {
            id.kind() == kind && mesh.is_none_or(|mesh| id.mesh().as_str() == mesh)
        })
    })
}

fn owner(owner: &Owner) -> Value {
    match owner {
        Owner::Api => json!({ "api": true }),
        Owner::File { path, line } => json!({ "file": path.to_string_lossy(), "line": line }),
    }
}
