//! Bodies of calls: how long they may be, how long they may take, and the reading of them. A signed call's body is read by
//! whoever checks the signature, any other's by whoever answers: by the same limits, and refused in the same words.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use thiserror::Error;
use tokio::time::timeout;

/// What is larger takes too long to be parsed on a thread of the runtime.
pub(super) const PARSED_AT_ONCE: usize = 64 << 10;

/// How long a body may be, in bytes, and how long it may take to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Allowance {
    pub(super) bytes: usize,
    within: Duration,
}

/// Why a body could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum BodyError {
    #[error("the body is longer than {limit} bytes, which no call needs; send less")]
    TooLarge { limit: usize },
    #[error("the body was cut off; send it again")]
    CutOff,
    #[error("the body did not come within {seconds} s; send it faster")]
    Late { seconds: u64 },
}

impl Allowance {
    /// Of App Mesh's API: a virtual node with ten thousand backends.
    pub(super) const APP_MESH: Self = Self {
        bytes: 2 << 20,
        within: Duration::from_secs(10),
    };

    /// Of lists of endpoints: a hundred thousand of them.
    pub(super) const ENDPOINTS: Self = Self {
        bytes: 16 << 20,
        within: Duration::from_secs(30),
    };

    /// What whoever answers at this path takes.
    pub(super) fn of(path: &str) -> Self {
        let path = path.strip_suffix('/').unwrap_or(path);
        if path.starts_with("/outrigger/v1/") && path.ends_with("/endpoints") {
            Self::ENDPOINTS
        } else {
            Self::APP_MESH
        }
    }

    /// The same for a body that is said to be as long as these headers say, if they do.
    ///
    /// # Errors
    /// [`BodyError::TooLarge`] when that is more than is allowed.
    pub(super) fn for_length(self, headers: &HeaderMap) -> Result<Self, BodyError> {
        let length = headers.get(header::CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
        let bytes = length.unwrap_or(self.bytes);
        if bytes > self.bytes {
            return Err(BodyError::TooLarge { limit: self.bytes });
        }
        Ok(Self { bytes, ..self })
    }

    /// Reads a body.
    ///
    /// # Errors
    /// [`BodyError`] when it is longer, takes longer, or ends too early.
    pub(super) async fn read(self, body: Body) -> Result<Bytes, BodyError> {
        let limit = self.bytes;
        let reading = timeout(self.within, Limited::new(body, limit).collect()).await;
        let read = reading.map_err(|_| BodyError::Late {
            seconds: self.within.as_secs(),
        })?;
        match read {
            Ok(read) => Ok(read.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Err(BodyError::TooLarge { limit }),
            Err(_) => Err(BodyError::CutOff),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[tokio::test]
    async fn a_body_may_be_as_long_as_the_call_allows() {
        let read =
            async |allowance: Allowance, length| allowance.read(vec![0; length].into()).await;
        let path = "/outrigger/v1/meshes/m/virtualNodes/n/endpoints";
        for (path, limit) in [("/v20190125/meshes", 2 << 20), (path, 16 << 20)] {
            let allowance = Allowance::of(path);
            assert_eq!(read(allowance, limit).await.unwrap().len(), limit);
            let refused = read(allowance, limit + 1).await;
            assert_eq!(refused, Err(BodyError::TooLarge { limit }));
        }
    }

    #[test]
    fn what_is_said_to_be_too_long_is_not_read() {
        let length =
            |text| HeaderMap::from_iter([(header::CONTENT_LENGTH, HeaderValue::from_static(text))]);
        let allowed = Allowance::APP_MESH;
        let bytes = |text| allowed.for_length(&length(text)).map(|one| one.bytes);
        assert_eq!(bytes("10"), Ok(10));
        assert_eq!(
            bytes("2097153"),
            Err(BodyError::TooLarge { limit: 2 << 20 })
        );
        assert_eq!(allowed.for_length(&HeaderMap::new()), Ok(allowed));
    }
}
