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
mod metrics;
mod operation;
mod page;
mod query;
mod read;
#[cfg(test)]
mod tests;
mod write;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use axum::routing::any;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use prometheus::Registry;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use tracing::error;
use uuid::Uuid;

use crate::api::auth::Caller;
use crate::model::arn::Identity;
use crate::store::{Store, Stored};
use crate::transport::Peer;
use error::{ApiError, REQUEST_ID, SERVER_ID, chain};
use metrics::Metrics;
use operation::{Operation, Writing};
use query::Query;

/// Largest body that is read: a virtual node with ten thousand backends.
const LARGEST_BODY: usize = 2 << 20;
/// A body that is larger takes too long to be read on a thread of the runtime.
const READ_AT_ONCE: usize = 64 << 10;
/// Larger bodies that are read at one time; others wait.
const LARGE_BODIES: usize = 2;
/// Lists of everything, or of what has changed, that are put together at one time, each of which may take 100 MB; others
/// wait.
const LARGE_ANSWERS: usize = 2;
/// How long a body may take to come.
const BODY_WITHIN: Duration = Duration::from_secs(10);
/// Calls that are answered at one time; one more is told so.
const OPEN_CALLS: usize = 256;
/// Calls that wait for a change at one time; one more is told so. They take nothing from the others.
const WAITING_CALLS: usize = 64;

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
    /// In every answer, by which a mirror knows whose it is.
    server_id: HeaderValue,
    /// Writes, which go on to their line in the log when their caller leaves.
    writes: TaskTracker,
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
            writes: TaskTracker::new(),
        })
    }

    /// Waits until every write is answered and logged, those too whose callers have left.
    pub async fn finish(&self) {
        self.writes.close();
        self.writes.wait().await;
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
    api.answer(&parts, body, Endpoint::AppMesh).await
}

async fn list_everything(State(api): State<AppMesh>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    api.answer(&parts, body, Endpoint::Everything).await
}

async fn list_changes(State(api): State<AppMesh>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    api.answer(&parts, body, Endpoint::Changes).await
}

/// Which of those there are.
#[derive(Clone, Copy, Debug)]
enum Endpoint {
    AppMesh,
    Everything,
    Changes,
}

/// One call, for whoever answers it.
#[derive(Debug)]
struct Call<'a> {
    parts: &'a Parts,
    request_id: &'a str,
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
    async fn answer(&self, parts: &Parts, body: Body, endpoint: Endpoint) -> Response {
        let began = Instant::now();
        let open = self.metrics.open();
        let request_id = Uuid::new_v4().to_string();
        let call = Call {
            parts,
            request_id: &request_id,
        };
        let mut operation = "Unknown".to_owned();
        let (places, limit) = match endpoint {
            Endpoint::AppMesh | Endpoint::Everything => (&self.open, OPEN_CALLS),
            Endpoint::Changes => (&self.waiting, WAITING_CALLS),
        };
        let outcome = match Arc::clone(places).try_acquire_owned() {
            Err(_) => Err(ApiError::Busy { limit }),
            Ok(permit) => match endpoint {
                Endpoint::AppMesh => match Operation::read(&parts.method, parts.uri.path()) {
                    Err(error) => Err(error),
                    Ok(read) => {
                        operation = read.to_string();
                        self.run(&call, read, body, permit).await
                    }
                },
                Endpoint::Everything => {
                    "ListEverything".clone_into(&mut operation);
                    self.everything(&call).await
                }
                Endpoint::Changes => {
                    "ListChanges".clone_into(&mut operation);
                    self.changes(&call).await
                }
            },
        };
        let exception = outcome.as_ref().err().map(ApiError::exception);
        let mut response = match outcome {
            Ok(response) => response,
            Err(error) => {
                note(&error, &operation, &request_id);
                answer::error(&error)
            }
        };
        let headers = response.headers_mut();
        headers.insert(SERVER_ID, self.server_id.clone());
        if let Ok(id) = HeaderValue::from_str(&request_id) {
            headers.insert(REQUEST_ID, id);
        }
        open.answered(&operation, exception, began.elapsed());
        response
    }

    async fn run(
        &self,
        call: &Call<'_>,
        operation: Operation,
        body: Body,
        permit: OwnedSemaphorePermit,
    ) -> Result<Response, ApiError> {
        let name = operation.to_string();
        match operation {
            Operation::Options { allow } => Ok(answer::options(allow)),
            Operation::Read(reading) => self.read(call, &reading),
            Operation::Write(writing) => {
                check_origin(&call.parts.headers)?;
                self.loaded()?;
                let body = match writing {
                    Writing::Delete(_) => Bytes::new(),
                    _ => collect(body).await?,
                };
                self.write(call, name, (writing, body), permit).await
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

async fn collect(body: Body) -> Result<Bytes, ApiError> {
    let collecting = timeout(BODY_WITHIN, Limited::new(body, LARGEST_BODY).collect()).await;
    let collected = collecting.map_err(|_| ApiError::Late {
        seconds: BODY_WITHIN.as_secs(),
    })?;
    match collected {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(ApiError::TooLarge {
            limit: LARGEST_BODY,
        }),
        Err(_) => Err(ApiError::CutOff),
    }
}

/// Refuses what a page of somebody else's could make its visitor's browser send: forms, and scripts of pages that have
/// given themselves this address's name.
fn check_origin(headers: &HeaderMap) -> Result<(), ApiError> {
    const FORMS: [&str; 3] = [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
    ];
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    let is_form = FORMS.iter().any(|form| essence.eq_ignore_ascii_case(form));
    if is_form || headers.contains_key(header::ORIGIN) {
        return Err(ApiError::WebPage);
    }
    Ok(())
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
