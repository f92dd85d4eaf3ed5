//! Why a request is not let through, and how that is said: the one place where a reason becomes an exception's name and a
//! status.
//!
//! The names are those that AWS's services of this protocol use, for SDKs act on them: they correct their clock after
//! `InvalidSignatureException`, by the answer's `Date`. App Mesh's own `ForbiddenException` was never what a missing
//! permission gave; that was IAM's `AccessDeniedException`.

use axum::Json;
use axum::body::Body;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;

use super::sigv4::{SERVICE, SignatureError};
use crate::api::body::BodyError;
use crate::api::off_thread::Lost;
use crate::api::{ERROR_TYPE, REQUEST_ID, retry_after};

/// Why a request is not let through.
#[derive(Debug, Error)]
pub(super) enum Refusal {
    #[error(
        "missing authentication token: the request is not signed; sign it with AWS Signature Version 4 for service \
         `{SERVICE}`, as every AWS SDK and Outrigger's commands do with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    )]
    Missing,
    #[error(
        "the access key id is not known here; name one of the control plane's --api-credentials"
    )]
    UnknownKey,
    #[error(
        "the session token is not the one of this key; pass the key's own, or none (AWS_SESSION_TOKEN) if it has none"
    )]
    WrongToken,
    #[error(transparent)]
    Signature(#[from] SignatureError),
    #[error(
        "the body of a gRPC call is streamed; sign it as `x-amz-content-sha256: UNSIGNED-PAYLOAD`"
    )]
    StreamedPayload,
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error(
        "the bodies of other requests are being read, as many as this control plane takes; try again in a moment"
    )]
    Busy,
    #[error(
        "key `{name}` is not authorized to {action} on {resource}; \
         use another key, or change its `readOnly` and `meshes` in the control plane's --api-credentials"
    )]
    Denied {
        name: String,
        action: String,
        resource: String,
    },
    #[error(transparent)]
    Lost(#[from] Lost),
}

impl Refusal {
    /// The exception's name.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Missing => "MissingAuthenticationTokenException",
            Self::UnknownKey | Self::WrongToken => "UnrecognizedClientException",
            Self::Signature(SignatureError::Incomplete { .. }) => "IncompleteSignatureException",
            Self::Signature(
                SignatureError::Scope { .. }
                | SignatureError::Unsigned { .. }
                | SignatureError::Expired { .. }
                | SignatureError::NotYet { .. }
                | SignatureError::Payload
                | SignatureError::Mismatch { .. },
            )
            | Self::StreamedPayload => "InvalidSignatureException",
            Self::Body(_) => "BadRequestException",
            Self::Busy => "TooManyRequestsException",
            Self::Denied { .. } => "AccessDeniedException",
            Self::Lost(_) => "ServiceUnavailableException",
        }
    }

    /// Every name that [`Refusal::name`] gives, for the metric.
    pub(super) const NAMES: [&'static str; 8] = [
        "MissingAuthenticationTokenException",
        "UnrecognizedClientException",
        "IncompleteSignatureException",
        "InvalidSignatureException",
        "BadRequestException",
        "TooManyRequestsException",
        "AccessDeniedException",
        "ServiceUnavailableException",
    ];

    fn status(&self) -> StatusCode {
        match self {
            Self::Body(BodyError::TooLarge { .. }) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Signature(SignatureError::Incomplete { .. }) | Self::Body(_) => {
                StatusCode::BAD_REQUEST
            }
            Self::Signature(_)
            | Self::Missing
            | Self::UnknownKey
            | Self::WrongToken
            | Self::StreamedPayload
            | Self::Denied { .. } => StatusCode::FORBIDDEN,
            Self::Busy => StatusCode::TOO_MANY_REQUESTS,
            Self::Lost(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// For a call of App Mesh's API, or of Outrigger's own, whose errors have a name of their own.
    pub(super) fn into_rest(self, path: &str) -> Response {
        let message = match &self {
            Self::Signature(SignatureError::Mismatch {
                canonical,
                string_to_sign,
            }) => format!(
                "{self}\n\nThe Canonical String for this request should have been\n'{canonical}'\n\n\
                 The String-to-Sign should have been\n'{string_to_sign}'\n"
            ),
            _ => self.to_string(),
        };
        let is_own = path.starts_with("/outrigger/");
        let member = if is_own { "error" } else { "message" };
        let status = match self.status() {
            // App Mesh has one status for each exception.
            StatusCode::PAYLOAD_TOO_LARGE if !is_own => StatusCode::BAD_REQUEST,
            status => status,
        };
        let mut response = (status, Json(json!({ member: message }))).into_response();
        let headers = response.headers_mut();
        headers.insert(ERROR_TYPE, HeaderValue::from_static(self.name()));
        headers.insert(REQUEST_ID, request_id());
        headers.extend(retry_after(status));
        response
    }

    /// For a gRPC call, whose errors are short: they travel in a header.
    pub(super) fn into_grpc(self) -> Response {
        let message = format!("{}: {self}", self.name());
        let status = match self {
            Self::Denied { .. } => Status::permission_denied(message),
            Self::Busy | Self::Lost(_) => Status::unavailable(message),
            _ => Status::unauthenticated(message),
        };
        let mut response = status.into_http::<Body>();
        response.headers_mut().insert(REQUEST_ID, request_id());
        response
    }
}

fn request_id() -> HeaderValue {
    let id = Uuid::new_v4().to_string();
    HeaderValue::from_str(&id).unwrap_or(HeaderValue::from_static("-"))
}

#[cfg(test)]
mod tests {
    use axum::http::header;

    use super::*;

    /// The same as of a call that nobody has to sign.
    #[test]
    fn a_body_that_is_too_large_has_the_status_of_whoever_answers() {
        let endpoints = "/outrigger/v1/meshes/m/virtualNodes/n/endpoints";
        for (path, status) in [("/v20190125/meshes", 400), (endpoints, 413)] {
            let refusal = Refusal::from(BodyError::TooLarge { limit: 1 });
            assert_eq!(refusal.into_rest(path).status(), status, "{path}");
        }
    }

    #[test]
    fn what_may_pass_says_when_to_come_back() {
        for (refusal, expected) in [
            (Refusal::Busy, true),
            (Lost.into(), true),
            (Refusal::Missing, false),
        ] {
            let response = refusal.into_rest("/v20190125/meshes");
            let has = response.headers().contains_key(header::RETRY_AFTER);
            assert_eq!(has, expected, "{response:?}");
        }
    }

    /// The refusal after this one, so that a new one has to be put somewhere, and is then among them all.
    fn next(refusal: &Refusal) -> Option<Refusal> {
        let text = String::new;
        Some(match refusal {
            Refusal::Missing => Refusal::UnknownKey,
            Refusal::UnknownKey => Refusal::WrongToken,
            Refusal::WrongToken => Refusal::StreamedPayload,
            Refusal::StreamedPayload => SignatureError::Incomplete { what: text() }.into(),
            Refusal::Signature(error) => match error {
                SignatureError::Incomplete { .. } => SignatureError::Scope {
                    expected: text(),
                    found: text(),
                },
                SignatureError::Scope { .. } => SignatureError::Unsigned { header: text() },
                SignatureError::Unsigned { .. } => SignatureError::Expired {
                    at: text(),
                    limit: text(),
                    now: text(),
                    allowed: "",
                    advice: "",
                },
                SignatureError::Expired { .. } => SignatureError::NotYet {
                    at: text(),
                    limit: text(),
                    now: text(),
                },
                SignatureError::NotYet { .. } => SignatureError::Payload,
                SignatureError::Payload => SignatureError::Mismatch {
                    canonical: text(),
                    string_to_sign: text(),
                },
                SignatureError::Mismatch { .. } => {
                    return Some(BodyError::TooLarge { limit: 1 }.into());
                }
            }
            .into(),
            Refusal::Body(error) => match error {
                BodyError::TooLarge { .. } => BodyError::CutOff.into(),
                BodyError::CutOff => BodyError::Late { seconds: 1 }.into(),
                BodyError::Late { .. } => Refusal::Busy,
            },
            Refusal::Busy => Refusal::Denied {
                name: text(),
                action: text(),
                resource: text(),
            },
            Refusal::Denied { .. } => Lost.into(),
            Refusal::Lost(_) => return None,
        })
    }

    #[test]
    fn every_refusal_has_a_name_that_is_counted() {
        let all: Vec<Refusal> = std::iter::successors(Some(Refusal::Missing), next).collect();
        let mut names: Vec<&str> = all.iter().map(Refusal::name).collect();
        names.sort_unstable();
        names.dedup();
        let mut counted = Refusal::NAMES;
        counted.sort_unstable();
        assert_eq!(names, counted);
        let statuses: Vec<u16> = all.iter().map(|one| one.status().as_u16()).collect();
        assert_eq!(
            statuses,
            [
                403, 403, 403, 403, 400, 403, 403, 403, 403, 403, 403, 413, 400, 400, 429, 403, 503
            ]
        );
    }
}
