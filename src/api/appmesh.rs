//! App Mesh's management API of 2019-01-25, all 38 operations, over one design for the seven kinds; and Outrigger's own
//! list of everything, with its changes.
//!
//! A method and a path are an operation ([`operation`]), a body is a document ([`body`]), a change goes to the store, and
//! what the store has is the answer ([`answer`]). What each kind has of its own is its paths ([`kind`]) and its schema.
//!
//! **Invariants:** every answer has a request id; every error has the name of one of App Mesh's exceptions; a client can
//! cause none of 500. What was answered with 200 is kept by the store. A read never waits for a write.
//!
//! Not here: authentication, which is around this and says whose call it is ([`Caller`]).

mod account;
mod answer;
mod body;
mod changes;
mod error;
mod everything;
mod kind;
mod lists;
mod metrics;
mod operation;
mod page;
mod query;
mod read;
mod sending;
#[cfg(test)]
mod tests;
mod write;

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use axum::routing::any;
use prometheus::Registry;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;
use tracing::error;
use uuid::Uuid;

use crate::api::auth::Caller;
use crate::api::body::Allowance;
use crate::api::{REQUEST_ID, is_of_web_page};
use crate::model::arn::Identity;
use crate::store::{Store, Stored};
use crate::transport::Peer;
use error::{ApiError, chain};
use lists::{LISTS_OF_A_KEY, Lists, OpenList};
use metrics::{Metrics, Open};
use operation::{Operation, Writing};
use query::Query;

/// Large bodies that are parsed at one time; others wait.
const LARGE_BODIES: usize = 2;
/// Lists of everything, or of what has changed, that are put together at one time, each of which may take 100 MB; others
/// wait.
const LARGE_ANSWERS: usize = 2;
/// Calls that are answered at one time, until a list of everything has been sent and a write is done; one more is told so.
const OPEN_CALLS: usize = 256;
/// Calls that wait for a change at one time, until it has been sent; one more is told so. They take nothing from the others.
const WAITING_CALLS: usize = 64;
/// Which Outrigger it is.
const SERVER_ID: HeaderName = HeaderName::from_static("x-outrigger-server");

/// What calls work on. A clone is cheap.
#[derive(Clone, Debug)]
pub struct AppMesh {
    store: Store,
    identity: Arc<Identity>,
    metrics: Metrics,
    open: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    large_bodies: Arc<Semaphore>,
    large_answers: Arc<Semaphore>,
    lists: Lists,
    /// In every answer, by which a mirror knows whose it is.
    server_id: HeaderValue,
    /// Writes, which go on to their line in the log when their caller leaves.
    writes: TaskTracker,
    /// What looks after large answers until they are sent.
    sending: TaskTracker,
}

/// Why the API cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("cannot register the `outrigger_api` metrics; are there others on this registry?")]
pub struct AppMeshError(#[from] prometheus::Error);

impl AppMesh {
    /// The API over a store, for one account and region.
    ///
    /// # Errors
    /// [`AppMeshError`] when its metrics are registered already.
    pub fn new(
        store: Store,
        identity: Identity,
        registry: &Registry,
    ) -> Result<Self, AppMeshError> {
        let server_id = HeaderValue::from_str(&store.server_id().to_string());
        Ok(Self {
            // An id is hexadecimal.
            server_id: server_id.unwrap_or_else(|_| HeaderValue::from_static("")),
            store,
            identity: Arc::new(identity),
            metrics: Metrics::register(registry)?,
            open: Arc::new(Semaphore::new(OPEN_CALLS)),
            waiting: Arc::new(Semaphore::new(WAITING_CALLS)),
            large_bodies: Arc::new(Semaphore::new(LARGE_BODIES)),
            large_answers: Arc::new(Semaphore::new(LARGE_ANSWERS)),
            lists: Lists::default(),
            writes: TaskTracker::new(),
            sending: TaskTracker::new(),
        })
    }

    /// Waits until every write is answered and logged, those too whose callers have left. By then no answer is being sent.
    pub async fn finish(&self) {
        for tasks in [&self.writes, &self.sending] {
            tasks.close();
            tasks.wait().await;
        }
    }
}

/// App Mesh's paths, the list of everything and its changes. What is not there is answered here too.
pub fn router(api: AppMesh) -> Router {
    Router::new()
        .route("/outrigger/v1/resources", any(list_everything))
        .route("/outrigger/v1/changes", any(list_changes))
        .fallback(call)
        .with_state(api)
}

async fn call(State(api): State<AppMesh>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let operation = Operation::read(&parts.method, parts.uri.path());
    api.answer(&parts, body, operation).await
}

async fn list_everything(State(api): State<AppMesh>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let operation = Operation::own_list(&parts.method, Operation::Everything);
    api.answer(&parts, body, operation).await
}

async fn list_changes(State(api): State<AppMesh>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let operation = Operation::own_list(&parts.method, Operation::Changes);
    api.answer(&parts, body, operation).await
}

/// A place among the calls that are answered at one time, until it is dropped.
#[derive(Debug)]
struct Place {
    _permit: OwnedSemaphorePermit,
    _list: Option<OpenList>,
    _open: Open,
}

/// One call, for whoever answers it.
#[derive(Debug)]
struct Call<'a> {
    parts: &'a Parts,
    request_id: &'a str,
    /// The operation's name.
    operation: &'a str,
}

impl Call<'_> {
    fn peer(&self) -> Option<&Peer> {
        self.parts.extensions.get()
    }

    /// Whose call it is.
    fn caller(&self) -> Caller {
        Caller::of(&self.parts.extensions)
    }

    fn query(&self) -> Result<Query, ApiError> {
        Query::read(self.parts.uri.query().unwrap_or_default())
    }
}

impl AppMesh {
    async fn answer(
        &self,
        parts: &Parts,
        body: Body,
        operation: Result<Operation, ApiError>,
    ) -> Response {
        let began = Instant::now();
        let request_id = Uuid::new_v4().to_string();
        let name = operation.as_ref().map(ToString::to_string);
        let name = name.unwrap_or_else(|_| "Unknown".to_owned());
        let call = Call {
            parts,
            request_id: &request_id,
            operation: &name,
        };
        let outcome = match (self.place(&call, operation.as_ref().ok()), operation) {
            (Err(error), _) | (Ok(_), Err(error)) => Err(error),
            (Ok(place), Ok(operation)) => self.run(&call, operation, body, place).await,
        };
        let exception = outcome.as_ref().err().map(ApiError::exception);
        let mut response = match outcome {
            Ok(response) => response,
            Err(error) => {
                note(&error, &name, &request_id);
                answer::error(&error)
            }
        };
        let headers = response.headers_mut();
        headers.insert(SERVER_ID, self.server_id.clone());
        if let Ok(id) = HeaderValue::from_str(&request_id) {
            headers.insert(REQUEST_ID, id);
        }
        self.metrics.answered(&name, exception, began.elapsed());
        response
    }

    fn place(&self, call: &Call<'_>, operation: Option<&Operation>) -> Result<Place, ApiError> {
        let (places, limit) = match operation {
            Some(Operation::Changes) => (&self.waiting, WAITING_CALLS),
            _ => (&self.open, OPEN_CALLS),
        };
        let list = match operation {
            Some(Operation::Changes | Operation::Everything) => self.open_list(&call.caller())?,
            _ => None,
        };
        let permit = Arc::clone(places).try_acquire_owned();
        Ok(Place {
            _permit: permit.map_err(|_| ApiError::Busy { limit })?,
            _list: list,
            _open: self.metrics.open(),
        })
    }

    /// Counts another list for a key. Where there are none, all callers are one.
    fn open_list(&self, caller: &Caller) -> Result<Option<OpenList>, ApiError> {
        let Some(key) = caller.key() else {
            return Ok(None);
        };
        let list = self.lists.open(key);
        list.map(Some).ok_or_else(|| ApiError::BusyKey {
            name: key.to_owned(),
            limit: LISTS_OF_A_KEY,
        })
    }

    async fn run(
        &self,
        call: &Call<'_>,
        operation: Operation,
        body: Body,
        place: Place,
    ) -> Result<Response, ApiError> {
        match operation {
            Operation::Options { allow } => Ok(answer::options(allow)),
            Operation::Everything => self.everything(call, place).await,
            Operation::Changes => self.changes(call, place).await,
            Operation::Read(reading) => self.read(call, &reading),
            Operation::Write(writing) => {
                if is_of_web_page(&call.parts.headers) {
                    return Err(ApiError::WebPage);
                }
                self.loaded()?;
                let body = match writing {
                    Writing::Delete(_) => Bytes::new(),
                    _ => Allowance::APP_MESH.read(body).await?,
                };
                self.write(call, (writing, body), place).await
            }
        }
    }

    /// What the store has, once it has loaded.
    fn loaded(&self) -> Result<Stored, ApiError> {
        let stored = self.store.current();
        if stored.changed_at.is_none() {
            return Err(ApiError::NotLoaded);
        }
        Ok(stored)
    }
}

/// A line for each error that is not the client's.
fn note(error: &ApiError, operation: &str, request_id: &str) {
    match error {
        ApiError::Internal { source } => {
            error!(operation, request_id, "call failed: {error}: {source}");
        }
        ApiError::Write {
            error: crate::store::WriteError::Unavailable { source },
        } => {
            let source = chain(&**source);
            error!(operation, request_id, "call failed: {error}{source}");
        }
        _ => {}
    }
}
