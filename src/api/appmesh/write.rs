//! Operations that change something: each becomes one write of the store.

use std::sync::Arc;

use axum::body::Bytes;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json;
use tracing::info;

use super::account::{addressed, check_mesh_owner};
use super::answer::{self, Status, data};
use super::body::{Body, Wanted};
use super::error::ApiError;
use super::operation::Writing;
use super::query::Query;
use super::{AppMesh, Call, Place};
use crate::api::body::PARSED_AT_ONCE;
use crate::api::off_thread::off_thread;
use crate::model::arn::Identity;
use crate::store::{Action, ClientToken, Trouble, Write, Written};
use crate::transport::Peer;

impl AppMesh {
    /// Does what a call asks for.
    pub(super) async fn write(
        &self,
        call: &Call<'_>,
        (operation, body): (Writing, Bytes),
        place: Place,
    ) -> Result<Response, ApiError> {
        let caller = call.caller();
        let mut write = self.wanted(operation, call.query()?, body).await?;
        if let Some(ClientToken { token, .. }) = &mut write.token {
            // Its caller's own: another's may have the same text. A token has no blanks, which end it here.
            *token = format!("{token} of {}", caller.name());
        }
        let mesh = write.action.id().mesh().as_str();
        if !caller.may_write(mesh) {
            return Err(ApiError::Denied {
                name: caller.name().to_owned(),
                mesh: mesh.to_owned(),
            });
        }
        let answered = match write.action {
            Action::Tag { .. } | Action::Untag { .. } => None,
            Action::Delete { .. } => Some(Status::Deleted),
            Action::Create { .. } | Action::Update { .. } => Some(Status::Active),
        };
        let caller = Author {
            name: caller.name().to_owned(),
            peer: call.peer().copied(),
            operation: call.operation.to_owned(),
            request_id: call.request_id.to_owned(),
        };
        let store = self.store.clone();
        // Who hangs up drops this call, and neither the write nor its line in the log.
        let writing = self.writes.spawn(async move {
            let written = store.write(write).await;
            if let Ok(written) = &written {
                caller.log(written);
            }
            drop(place);
            written
        });
        let written = writing
            .await
            .unwrap_or_else(|_| Err(Trouble::Stopping.into()));
        let written =
            written.map_err(|error| ApiError::of_write(error, &self.identity.account_id))?;
        let Written {
            id, spec, record, ..
        } = &written;
        let body = match answered {
            Some(status) => data(&self.identity, id, spec, record, status)?,
            None => json!({}),
        };
        answer::response(StatusCode::OK, &body)
    }

    /// Reads the body, a large one on a thread of its own.
    async fn wanted(
        &self,
        operation: Writing,
        query: Query,
        body: Bytes,
    ) -> Result<Write, ApiError> {
        let identity = Arc::clone(&self.identity);
        if body.len() <= PARSED_AT_ONCE {
            return wanted(&identity, operation, &query, &body);
        }
        let turn = Arc::clone(&self.large_bodies).acquire_owned().await;
        off_thread(move || {
            // Held as long as the work takes, whoever still waits for it.
            let _turn = turn;
            wanted(&identity, operation, &query, &body)
        })
        .await?
    }
}

/// The write that a call is.
fn wanted(
    identity: &Identity,
    operation: Writing,
    query: &Query,
    body: &[u8],
) -> Result<Write, ApiError> {
    let has_mesh_owner = operation.has_mesh_owner();
    let (action, token) = match operation {
        Writing::Create(collection) => {
            let Wanted {
                resource,
                tags,
                token,
            } = Body::read(body)?.create(&collection)?;
            (Action::Create { resource, tags }, token)
        }
        Writing::Update(id) => {
            let Wanted {
                resource, token, ..
            } = Body::read(body)?.update(&id)?;
            (Action::Update { resource }, token)
        }
        Writing::Delete(id) => (Action::Delete { id }, None),
        Writing::Tag => {
            let id = addressed(identity, query)?;
            let tags = Body::read(body)?.tags()?;
            (Action::Tag { id, tags }, None)
        }
        Writing::Untag => {
            let id = addressed(identity, query)?;
            let keys = Body::read(body)?.tag_keys()?;
            (Action::Untag { id, keys }, None)
        }
    };
    if has_mesh_owner {
        check_mesh_owner(identity, query, action.id())?;
    }
    Ok(Write { action, token })
}

/// Who changes something, for the log.
struct Author {
    name: String,
    peer: Option<Peer>,
    operation: String,
    request_id: String,
}

impl Author {
    /// Who has changed what.
    fn log(&self, written: &Written) {
        let Written {
            id,
            record,
            revision,
            ..
        } = written;
        info!(
            caller = self.name,
            peer = self.peer.map(tracing::field::display),
            operation = self.operation,
            resource = %id,
            version = record.version,
            %revision,
            request_id = self.request_id,
            "written"
        );
    }
}
