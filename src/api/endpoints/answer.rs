//! What the calls answer, as JSON.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use thiserror::Error;

use super::LONGEST_LEASE;
use crate::api::body::BodyError;
use crate::api::off_thread::Lost;
use crate::api::retry_after;
use crate::endpoints::{CallError, Done, Entry, EntryProblem, Registration};
use crate::model::endpoint::NodeKey;
use crate::model::{MeshName, Model, NodeName};

/// Why a call is not answered as it was meant.
#[derive(Clone, Debug, Error)]
pub(super) enum ApiError {
    #[error(
        "no mesh is loaded yet; ask again, and see `/readyz` on `--admin-addr` if that does not help"
    )]
    NotLoaded,
    #[error("the control plane is stopping; ask again when it is back")]
    Stopping,
    #[error(transparent)]
    Lost(#[from] Lost),
    #[error("{source}")]
    NotKept { source: CallError },
    #[error(
        "there is no mesh `{mesh}`; declare it in a mesh file of `serve --mesh`, or correct the name"
    )]
    NoMesh { mesh: MeshName },
    #[error(
        "there is no virtual node `{}` in mesh `{}`; declare it in a mesh file of `serve --mesh`, or correct the name",
        node.1, node.0
    )]
    NoNode { node: NodeKey },
    #[error(
        "no endpoints are registered for mesh/{}/virtualNode/{}, so its discovery counts; register some with PUT",
        node.0, node.1
    )]
    NotRegistered { node: NodeKey },
    #[error("this path takes GET, and that of a virtual node PUT and DELETE, too")]
    NoMethod,
    #[error(
        "this is a call of a web page, which may change nothing here; call from a program, without the header `Origin`"
    )]
    WebPage,
    #[error("the body must be JSON and say so; send `Content-Type: application/json`")]
    NotJson,
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error(
        "the body is no list of endpoints: {problem}; send {{\"endpoints\": [{{\"address\": \"10.0.0.1\"}}], \"leaseSeconds\": 30}}, \
         the lease only if there is one"
    )]
    NoList { problem: Arc<serde_json::Error> },
    #[error(
        "`leaseSeconds` is {seconds}; give 1 to {LONGEST_LEASE}, or leave it out for endpoints that stay until they are deleted"
    )]
    Lease { seconds: u64 },
    #[error("{} of the endpoints cannot be taken, so none is, and what was registered before stays", problems.len())]
    Entries { problems: Vec<EntryProblem> },
}

impl ApiError {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::NotLoaded | Self::Stopping | Self::Lost(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::NotKept { .. } => StatusCode::INSUFFICIENT_STORAGE,
            Self::NoMesh { .. } | Self::NoNode { .. } | Self::NotRegistered { .. } => {
                StatusCode::NOT_FOUND
            }
            Self::WebPage => StatusCode::FORBIDDEN,
            Self::NoMethod => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotJson => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Body(BodyError::TooLarge { .. }) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Body(_) | Self::NoList { .. } | Self::Lease { .. } | Self::Entries { .. } => {
                StatusCode::BAD_REQUEST
            }
        }
    }
}

impl From<Vec<EntryProblem>> for ApiError {
    fn from(problems: Vec<EntryProblem>) -> Self {
        Self::Entries { problems }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        #[derive(Serialize)]
        struct Body {
            error: String,
            #[serde(skip_serializing_if = "Vec::is_empty")]
            problems: Vec<EntryProblem>,
        }
        let status = self.status();
        let error = self.to_string();
        let problems = match self {
            Self::Entries { problems } => problems,
            _ => Vec::new(),
        };
        let mut response = (status, Json(Body { error, problems })).into_response();
        response.headers_mut().extend(retry_after(status));
        response
    }
}

/// What a PUT or DELETE did.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answer {
    mesh_name: MeshName,
    virtual_node_name: NodeName,
    /// How many are registered now.
    endpoints: usize,
    /// Whether other endpoints are in use than before.
    pub(super) changed: bool,
    /// Whether a restart of the control plane keeps it.
    durable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    lease_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lease_ends_at: Option<String>,
}

impl Answer {
    pub(super) fn new(
        node: &NodeKey,
        endpoints: usize,
        lease: Option<Duration>,
        done: &Done,
    ) -> Self {
        let ends_at = |lease| humantime::format_rfc3339_millis(SystemTime::now() + lease);
        Self {
            mesh_name: node.0.clone(),
            virtual_node_name: node.1.clone(),
            endpoints,
            changed: done.changed,
            durable: done.durable,
            lease_seconds: lease.map(|lease| lease.as_secs()),
            lease_ends_at: lease.map(|lease| ends_at(lease).to_string()),
        }
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        Json(self).into_response()
    }
}

/// When a registration was renewed, and how long it lasts.
#[derive(Debug, Serialize)]
struct Times {
    /// Since the last PUT.
    #[serde(rename = "ageSeconds")]
    age: f64,
    #[serde(rename = "leaseSeconds", skip_serializing_if = "Option::is_none")]
    lease: Option<u64>,
    #[serde(
        rename = "leaseRemainingSeconds",
        skip_serializing_if = "Option::is_none"
    )]
    remaining: Option<f64>,
}

impl Times {
    fn new(registration: &Registration) -> Self {
        let age = registration.renewed_at.elapsed();
        let rest = |lease: Duration| lease.saturating_sub(age).as_secs_f64();
        Self {
            age: age.as_secs_f64(),
            lease: registration.lease.map(|lease| lease.as_secs()),
            remaining: registration.lease.map(rest),
        }
    }
}

/// What is registered for one node.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Registered {
    mesh_name: MeshName,
    virtual_node_name: NodeName,
    /// Whether there is such a node.
    declared: bool,
    #[serde(flatten)]
    times: Times,
    endpoints: Vec<Entry>,
}

impl Registered {
    pub(super) fn new(node: &NodeKey, registration: &Registration, declared: bool) -> Self {
        Self {
            mesh_name: node.0.clone(),
            virtual_node_name: node.1.clone(),
            declared,
            times: Times::new(registration),
            endpoints: registration.endpoints.iter().map(Entry::from).collect(),
        }
    }
}

impl IntoResponse for Registered {
    fn into_response(self) -> Response {
        Json(self).into_response()
    }
}

/// Which nodes have endpoints registered, and how many.
#[derive(Debug, Serialize)]
pub(super) struct List {
    registrations: Vec<Summary>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    mesh_name: MeshName,
    virtual_node_name: NodeName,
    endpoints: usize,
    declared: bool,
    #[serde(flatten)]
    times: Times,
}

impl List {
    pub(super) fn new(registrations: Vec<(NodeKey, Registration)>, model: &Model) -> Self {
        let summary = |(node, one): (NodeKey, Registration)| {
            let mesh = model.mesh(&node.0).filter(|mesh| mesh.spec.is_some());
            Summary {
                endpoints: one.endpoints.len(),
                declared: mesh.is_some_and(|mesh| mesh.nodes.contains_key(&node.1)),
                times: Times::new(&one),
                mesh_name: node.0,
                virtual_node_name: node.1,
            }
        };
        Self {
            registrations: registrations.into_iter().map(summary).collect(),
        }
    }
}

impl IntoResponse for List {
    fn into_response(self) -> Response {
        Json(self).into_response()
    }
}

#[cfg(test)]
mod tests {
    use axum::http::header;

    use super::*;

    #[test]
    fn what_may_pass_says_when_to_come_back() {
        for (error, retry_after) in [
            (ApiError::NotLoaded, true),
            (Lost.into(), true),
            (ApiError::WebPage, false),
        ] {
            let response = error.clone().into_response();
            let has = response.headers().contains_key(header::RETRY_AFTER);
            let is_unavailable = response.status() == StatusCode::SERVICE_UNAVAILABLE;
            assert_eq!((has, is_unavailable), (retry_after, retry_after), "{error}");
        }
    }
}
