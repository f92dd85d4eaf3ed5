//! Asks an Envoy's admin interface.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;
use serde_json::Value;
use thiserror::Error;

use super::http::{self, BoxError};

/// How long one answer may take; a large configuration dump needs a second or two.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// The admin interface of one Envoy. Each question is a connection of its own.
#[derive(Clone, Copy, Debug)]
pub struct Admin {
    address: SocketAddr,
}

#[derive(Debug, Error)]
pub enum AdminError {
    #[error("Envoy's admin interface at {address} does not answer `{path}`")]
    Unreachable {
        address: SocketAddr,
        path: String,
        #[source]
        source: BoxError,
    },
    #[error("Envoy's admin interface at {address} answers `{path}` with {status}")]
    Status {
        address: SocketAddr,
        path: String,
        status: StatusCode,
    },
    #[error("Envoy's admin interface at {address} answers `{path}` with what is not JSON")]
    Json {
        address: SocketAddr,
        path: String,
        #[source]
        source: serde_json::Error,
    },
}

impl Admin {
    pub fn new(address: SocketAddr) -> Self {
        Self { address }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether Envoy has its first configuration and serves.
    pub async fn is_ready(&self) -> bool {
        self.get("/ready").await.is_ok()
    }

    /// The text at a path, like `/stats/prometheus`.
    ///
    /// # Errors
    /// [`AdminError`] when there is no answer, or another than 200.
    pub async fn get(&self, path: &str) -> Result<Bytes, AdminError> {
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, self.ask(path)).await;
        let unreachable = |source| AdminError::Unreachable {
            address: self.address,
            path: path.to_owned(),
            source,
        };
        let (status, body) = match answer {
            Ok(answer) => answer.map_err(unreachable)?,
            Err(elapsed) => return Err(unreachable(elapsed.into())),
        };
        if status != StatusCode::OK {
            return Err(AdminError::Status {
                address: self.address,
                path: path.to_owned(),
                status,
            });
        }
        Ok(body)
    }

    /// The JSON at a path, like `/config_dump` or `/clusters?format=json`.
    ///
    /// # Errors
    /// [`AdminError`] when there is no answer, another than 200, or no JSON.
    pub async fn get_json(&self, path: &str) -> Result<Value, AdminError> {
        let body = self.get(path).await?;
        serde_json::from_slice(&body).map_err(|source| AdminError::Json {
            address: self.address,
            path: path.to_owned(),
            source,
        })
    }

    async fn ask(&self, path: &str) -> Result<(StatusCode, Bytes), BoxError> {
        http::get(self.address, &path.parse()?).await
    }
}
