//! Health and metrics, on an address of their own so that it can be closed to everybody but the orchestrator and
//! Prometheus.

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus::{Registry, TextEncoder};

use crate::telemetry::Ready;

/// What the admin address shows.
#[derive(Clone, Debug)]
pub struct AdminState {
    pub registry: Registry,
    pub ready: Ready,
}

/// Everything on `--admin-addr`.
pub fn router(state: AdminState) -> Router {
    Router::new()
        .route("/healthz", get(health))
        .route("/readyz", get(readiness))
        .route("/metrics", get(metrics))
        .fallback(index)
        .with_state(state)
}

/// The process answers, so it is alive: restarting it would not help with anything that [`readiness`] reports.
async fn health() -> &'static str {
    "ok\n"
}

async fn readiness(State(state): State<AdminState>) -> Response {
    let report = state.ready.report();
    let status = if report.is_ready() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, report.to_string()).into_response()
}

async fn metrics(State(state): State<AdminState>) -> Response {
    match TextEncoder::new().encode_to_string(&state.registry.gather()) {
        Ok(text) => {
            let format = "text/plain; version=0.0.4; charset=utf-8";
            ([(header::CONTENT_TYPE, format)], text).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "metrics cannot be encoded");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn index() -> (StatusCode, &'static str) {
    (
        StatusCode::NOT_FOUND,
        "here are /healthz, /readyz and /metrics\n",
    )
}
