//! The endpoints that orchestrators register: `/outrigger/v1/meshes/M/virtualNodes/N/endpoints`.
//!
//! An error is answered as `{"error": …}`; of a list with wrong entries, `problems` has each.

mod answer;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::watch;

use super::auth::Caller;
use super::body::{Allowance, PARSED_AT_ONCE};
use super::off_thread::off_thread;
use super::{content_type, is_of_web_page};
use crate::endpoints::{Call, CallError, Done, Outcome, Registrations, read_list};
use crate::model::endpoint::{NodeKey, RegisteredSet};
use crate::model::{MeshName, NodeName};
use crate::store::Stored;
use answer::{Answer, ApiError, List, Registered};

/// Longest lease, in seconds: a year.
const LONGEST_LEASE: u64 = 366 * 24 * 60 * 60;

/// What the calls work on.
#[derive(Clone, Debug)]
pub struct EndpointsState {
    pub registrations: Registrations,
    /// The store, for which nodes there are.
    pub model: watch::Receiver<Stored>,
}

/// The calls for one node, and the lists of a mesh and of all.
pub(super) fn router(state: EndpointsState) -> Router {
    let node = get(read).put(replace).delete(forget).fallback(no_method);
    Router::new()
        .route(
            "/outrigger/v1/meshes/{mesh}/virtualNodes/{node}/endpoints",
            node,
        )
        .route(
            "/outrigger/v1/meshes/{mesh}/endpoints",
            get(list_mesh).fallback(no_method),
        )
        .route("/outrigger/v1/endpoints", get(list_all).fallback(no_method))
        .with_state(state)
}

/// The body of a PUT.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Wanted {
    endpoints: Vec<Value>,
    #[serde(default)]
    lease_seconds: Option<u64>,
}

async fn read(
    State(state): State<EndpointsState>,
    Path(node): Path<(MeshName, NodeName)>,
) -> Result<Response, ApiError> {
    let declared = state.listeners(&node);
    let Some(registration) = state.registrations.get(&node) else {
        declared?;
        return Err(ApiError::NotRegistered { node });
    };
    Ok(Registered::new(&node, &registration, declared.is_ok()).into_response())
}

async fn list_mesh(
    State(state): State<EndpointsState>,
    Path(mesh): Path<MeshName>,
) -> Result<Response, ApiError> {
    let of_mesh = state.registrations.of_mesh(&mesh);
    let model = state.loaded()?.model;
    if of_mesh.is_empty() && model.mesh(&mesh).is_none() {
        return Err(ApiError::NoMesh { mesh });
    }
    Ok(List::new(of_mesh, &model).into_response())
}

async fn list_all(
    State(state): State<EndpointsState>,
    caller: Caller,
) -> Result<Response, ApiError> {
    let model = state.loaded()?.model;
    let mut all = state.registrations.all();
    all.retain(|((mesh, _), _)| caller.may_read(mesh.as_str()));
    Ok(List::new(all, &model).into_response())
}

async fn replace(
    State(state): State<EndpointsState>,
    Path(node): Path<(MeshName, NodeName)>,
    request: Request,
) -> Result<Response, ApiError> {
    let registrations = state.registrations.clone();
    let answer = state.replace(node, request).await;
    registrations.count(
        Call::Put,
        outcome(answer.as_ref().map(|answer| answer.changed)),
    );
    Ok(answer?.into_response())
}

async fn forget(
    State(state): State<EndpointsState>,
    Path(node): Path<(MeshName, NodeName)>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let answer = state.forget(node, &headers).await;
    state.registrations.count(
        Call::Delete,
        outcome(answer.as_ref().map(|answer| answer.changed)),
    );
    Ok(answer?.into_response())
}

fn outcome(answer: Result<bool, &ApiError>) -> Outcome {
    match answer {
        Ok(true) => Outcome::Changed,
        Ok(false) => Outcome::Unchanged,
        Err(error) if error.status().is_server_error() => Outcome::Failed,
        Err(_) => Outcome::Refused,
    }
}

async fn no_method() -> ApiError {
    ApiError::NoMethod
}

impl EndpointsState {
    async fn replace(self, node: NodeKey, request: Request) -> Result<Answer, ApiError> {
        let (Parts { headers, .. }, body) = request.into_parts();
        if !content_type(&headers).eq_ignore_ascii_case("application/json") {
            return Err(ApiError::NotJson);
        }
        if is_of_web_page(&headers) {
            return Err(ApiError::WebPage);
        }
        let listeners = self.listeners(&node)?;
        let body = Allowance::ENDPOINTS.read(body).await?;
        let (endpoints, lease) = if body.len() > PARSED_AT_ONCE {
            off_thread(move || read_body(&body, &listeners)).await??
        } else {
            read_body(&body, &listeners)?
        };
        let count = endpoints.len();
        let done = self
            .registrations
            .put(node.clone(), endpoints, lease)
            .await?;
        Ok(Answer::new(&node, count, lease, &done))
    }

    async fn forget(&self, node: NodeKey, headers: &HeaderMap) -> Result<Answer, ApiError> {
        if is_of_web_page(headers) {
            return Err(ApiError::WebPage);
        }
        // What is registered can go, whether or not its node is still declared.
        if self.registrations.get(&node).is_none() {
            self.listeners(&node)?;
        }
        let done: Done = self.registrations.delete(node.clone()).await?;
        Ok(Answer::new(&node, 0, None, &done))
    }

    fn loaded(&self) -> Result<Stored, ApiError> {
        let stored = self.model.borrow().clone();
        if stored.changed_at.is_none() {
            return Err(ApiError::NotLoaded);
        }
        Ok(stored)
    }

    /// The ports of a node's listeners.
    ///
    /// # Errors
    /// When there is no such node.
    fn listeners(&self, node: &NodeKey) -> Result<Vec<u16>, ApiError> {
        let stored = self.loaded()?;
        let (mesh_name, name) = node;
        let mesh = stored
            .model
            .mesh(mesh_name)
            .filter(|mesh| mesh.spec.is_some());
        let mesh = mesh.ok_or_else(|| ApiError::NoMesh {
            mesh: mesh_name.clone(),
        })?;
        let spec = mesh
            .nodes
            .get(name)
            .ok_or_else(|| ApiError::NoNode { node: node.clone() })?;
        let mut ports: Vec<u16> = (spec.listeners().iter())
            .map(|listener| listener.port_mapping.port)
            .collect();
        ports.sort_unstable();
        ports.dedup();
        Ok(ports)
    }
}

fn read_body(
    body: &[u8],
    listeners: &[u16],
) -> Result<(RegisteredSet, Option<Duration>), ApiError> {
    let body: Wanted = serde_json::from_slice(body).map_err(|error| ApiError::NoList {
        problem: Arc::new(error),
    })?;
    let lease = match body.lease_seconds {
        Some(seconds) if !(1..=LONGEST_LEASE).contains(&seconds) => {
            return Err(ApiError::Lease { seconds });
        }
        seconds => seconds.map(Duration::from_secs),
    };
    let endpoints = read_list(body.endpoints, listeners)?;
    Ok((endpoints, lease))
}

impl From<CallError> for ApiError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Stopping => Self::Stopping,
            CallError::NotKept { .. } => Self::NotKept { source: error },
        }
    }
}
