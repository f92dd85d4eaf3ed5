//! The demo's services: small HTTP servers that say who they are, and call others through their sidecar.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use super::Signals;
use super::layout::LISTENER_PORT;
use crate::envoy::http;

/// How long a call to another service may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// The most calls that one request can ask for.
const MOST_CALLS: u32 = 1000;

/// Who a service is; the hidden subcommand `demo-service` takes the same.
#[derive(Clone, Debug, clap::Args)]
pub struct ServiceOptions {
    /// Name of the service.
    #[arg(long)]
    pub name: String,
    /// Version of the service.
    #[arg(long)]
    pub version: String,
    /// Where it listens.
    #[arg(long)]
    pub listen: SocketAddr,
    /// Its sidecar's egress: the HTTP proxy through which it calls others. Without, it dials them by their names, and
    /// the kernel takes that to the sidecar.
    #[arg(long)]
    pub proxy: Option<SocketAddr>,
}

impl ServiceOptions {
    /// The hidden subcommand that starts a service.
    pub const SUBCOMMAND: &str = "demo-service";

    /// The arguments that say the same.
    pub(super) fn arguments(&self) -> Vec<String> {
        let listen = self.listen.to_string();
        let proxy = self.proxy.map(|proxy| proxy.to_string());
        let mut arguments = vec![Self::SUBCOMMAND, "--name", &self.name];
        arguments.extend(["--version", &self.version, "--listen", &listen]);
        if let Some(proxy) = &proxy {
            arguments.extend(["--proxy", proxy]);
        }
        arguments.into_iter().map(str::to_owned).collect()
    }
}

/// What `GET /` answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    pub(super) service: String,
    pub(super) version: String,
    pub(super) replica: SocketAddr,
    /// The host that the caller asked for.
    pub(super) host: String,
}

/// What `GET /call` answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Calls {
    pub(super) to: String,
    /// From who answered, or from what went wrong, to how often.
    pub(super) answers: BTreeMap<String, u32>,
    pub(super) failed: u32,
}

#[derive(Debug, Deserialize)]
struct CallQuery {
    to: String,
    #[serde(default = "one")]
    n: u32,
}

fn one() -> u32 {
    1
}

/// Serves until Ctrl-C or SIGTERM. In a container it is the first process, which no signal ends that it does not take.
///
/// # Errors
/// When the address cannot be bound.
pub async fn run(options: ServiceOptions) -> io::Result<()> {
    let mut signals = Signals::new()?;
    let listener = TcpListener::bind(options.listen).await?;
    tokio::select! {
        served = axum::serve(listener, router(options)).into_future() => served,
        () = signals.received() => Ok(()),
    }
}

fn router(options: ServiceOptions) -> Router {
    Router::new()
        .route("/", get(identity))
        .route("/call", get(call))
        .route("/health", get(async || "ok\n"))
        .with_state(Arc::new(options))
}

async fn identity(State(service): State<Arc<ServiceOptions>>, headers: HeaderMap) -> Response {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    line(&Identity {
        service: service.name.clone(),
        version: service.version.clone(),
        replica: service.listen,
        host: host.unwrap_or_default().to_owned(),
    })
}

async fn call(
    State(service): State<Arc<ServiceOptions>>,
    Query(query): Query<CallQuery>,
) -> Response {
    let uri = match format!("http://{}:{LISTENER_PORT}/", query.to).parse::<Uri>() {
        Ok(uri) if query.n <= MOST_CALLS => uri,
        Ok(_) => return refuse(&format!("`n` may be {MOST_CALLS} at most\n")),
        Err(_) => return refuse("`to` is no host name\n"),
    };
    let mut calls = Calls {
        to: query.to,
        answers: BTreeMap::new(),
        failed: 0,
    };
    for _ in 0..query.n {
        let (answer, failed) = match call_once(service.proxy, &uri).await {
            Ok(answer) => (answer, 0),
            Err(error) => (error, 1),
        };
        *calls.answers.entry(answer).or_default() += 1;
        calls.failed += failed;
    }
    line(&calls)
}

/// Who answered, or what went wrong.
async fn call_once(proxy: Option<SocketAddr>, uri: &Uri) -> Result<String, String> {
    let answer = tokio::time::timeout(CALL_TIMEOUT, send(proxy, uri)).await;
    let answer = answer.map_err(|_| format!("no answer within {} s", CALL_TIMEOUT.as_secs()))?;
    let (status, body) = answer?;
    if status != StatusCode::OK {
        return Err(format!("{status}: {}", String::from_utf8_lossy(&body)));
    }
    let identity: Identity =
        serde_json::from_slice(&body).map_err(|_| "an answer of somebody else".to_owned())?;
    Ok(format!(
        "{} {} at {}",
        identity.service, identity.version, identity.replica
    ))
}

/// Through the proxy, or straight to whom the name says.
async fn send(proxy: Option<SocketAddr>, uri: &Uri) -> Result<(StatusCode, Bytes), String> {
    match proxy {
        Some(proxy) => (http::get(proxy, uri).await)
            .map_err(|error| format!("the sidecar at {proxy} does not answer: {error}")),
        None => (http::get_url(uri).await).map_err(|error| {
            format!(
                "{} does not answer: {error}",
                uri.host().unwrap_or_default()
            )
        }),
    }
}

fn refuse(text: &str) -> Response {
    (StatusCode::BAD_REQUEST, text.to_owned()).into_response()
}

/// JSON with an end of line, for a terminal.
fn line(value: &impl Serialize) -> Response {
    match serde_json::to_string(value) {
        Ok(text) => {
            let kind = [(header::CONTENT_TYPE, "application/json")];
            (kind, format!("{text}\n")).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, Json(error.to_string())).into_response(),
    }
}

#[cfg(test)]
mod tests;
