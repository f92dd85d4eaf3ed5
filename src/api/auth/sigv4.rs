//! AWS Signature Version 4, as every service but S3 has it: what is signed, the signing of it, and its verification.
//!
//! A request may carry its signature in the header `Authorization` or in its query (a presigned URL). Both are read into a
//! [`Claim`], which is then held against the request, the time and the key.
//!
//! **Invariant:** a pure function of the request, the key and the time. What comes back of a wrong signature holds the
//! caller's own request and nothing of the key; signatures and tokens are compared in constant time.
//!
//! Not here: which keys there are and what they may do (`credentials`, `permissions`), the reading of bodies (`layer`).

mod canonical;
mod claim;
mod key;

use std::time::{Duration, SystemTime};

use axum::http::header::InvalidHeaderValue;
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use thiserror::Error;

pub use claim::Claim;
pub use key::{Scope, Secret, SigningKey};

pub(crate) use canonical::encode;
pub(super) use canonical::{decode, pairs};

/// The service that everything on `--api-addr` is signed for.
pub const SERVICE: &str = "appmesh";
/// Stands in `x-amz-content-sha256` where a body is streamed and not signed.
pub const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";
/// How far the caller's clock may be off.
pub const MAX_SKEW: Duration = Duration::from_mins(5);

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const DATE: HeaderName = HeaderName::from_static("x-amz-date");
const TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");
/// The header that says what the body's hash is.
pub const CONTENT_SHA256: HeaderName = HeaderName::from_static("x-amz-content-sha256");

/// What of a request is signed, but for its body.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub method: &'a str,
    /// As it is sent, encoded once.
    pub path: &'a str,
    /// As it is sent, without the question mark.
    pub query: &'a str,
    pub headers: &'a HeaderMap,
    /// HTTP/2's `:authority`; the header `host` wins over it.
    pub authority: Option<&'a str>,
}

impl<'a> From<&'a Parts> for Request<'a> {
    fn from(parts: &'a Parts) -> Self {
        Self {
            method: parts.method.as_str(),
            path: parts.uri.path(),
            query: parts.uri.query().unwrap_or_default(),
            headers: &parts.headers,
            authority: parts.uri.authority().map(Authority::as_str),
        }
    }
}

/// Why a request is not taken for its key's.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SignatureError {
    /// It cannot even be checked.
    #[error("{what}; sign the request with AWS Signature Version 4 ({ALGORITHM})")]
    Incomplete { what: String },
    #[error(
        "credential should be scoped to {expected}, not `{found}`; correct the signer's settings"
    )]
    Scope { expected: String, found: String },
    #[error("the header `{header}` is not signed; add it to the signed headers")]
    Unsigned { header: String },
    #[error("signature expired: {at} is now earlier than {limit} ({now} - {allowed}); {advice}")]
    Expired {
        at: String,
        limit: String,
        now: String,
        allowed: &'static str,
        advice: &'static str,
    },
    #[error(
        "signature not yet current: {at} is still later than {limit} ({now} + 5 min.); \
         set the clock of the calling machine"
    )]
    NotYet {
        at: String,
        limit: String,
        now: String,
    },
    #[error(
        "`{CONTENT_SHA256}` is not the hash of the body that came; send the hex SHA-256 of the body, or leave the header out"
    )]
    Payload,
    #[error(
        "the request signature we calculated does not match the signature you provided; \
         check the secret access key, and that nothing between changes the host, the path or a signed header"
    )]
    Mismatch {
        /// What should have been signed, with security tokens left out.
        canonical: String,
        string_to_sign: String,
    },
}

impl Claim {
    /// Checks everything that needs neither the key nor the body.
    ///
    /// # Errors
    /// [`SignatureError`] when the signature is for another service, is too old or too new, or covers too little.
    pub fn check(&self, request: &Request<'_>, now: SystemTime) -> Result<(), SignatureError> {
        self.check_scope()?;
        self.check_time(now)?;
        let must = |name: &HeaderName| *name == header::HOST || name.as_str().starts_with("x-amz-");
        let present = request.headers.keys().filter(|name| must(name));
        let unsigned = std::iter::once(&header::HOST)
            .chain(present)
            .find(|name| !self.signed_headers.iter().any(|one| *one == name.as_str()));
        match unsigned {
            Some(name) => Err(SignatureError::Unsigned {
                header: name.to_string(),
            }),
            None => Ok(()),
        }
    }

    /// Checks the signature itself, over a body with this hash (or [`UNSIGNED_PAYLOAD`]).
    ///
    /// # Errors
    /// [`SignatureError`] when it is not what `key` gives.
    pub fn verify(
        &self,
        request: &Request<'_>,
        payload_hash: &str,
        key: &SigningKey,
    ) -> Result<(), SignatureError> {
        let said = request.headers.get_all(CONTENT_SHA256);
        if said.iter().any(|hash| hash != payload_hash) {
            return Err(SignatureError::Payload);
        }
        let canonical = canonical::request(request, &self.signed_headers, payload_hash);
        let string_to_sign = string_to_sign(&self.date, &self.scope, &canonical);
        if key.verify(&string_to_sign, &self.signature) {
            return Ok(());
        }
        Err(SignatureError::Mismatch {
            canonical: canonical::without_token(&canonical, self.token.as_deref()),
            string_to_sign,
        })
    }

    /// Whether the request's session token is the key's. One that is missing, or too much, is none.
    pub fn has_token(&self, expected: Option<&Secret>, key: &SigningKey) -> bool {
        match (expected, &self.token) {
            (None, None) => true,
            (Some(expected), Some(token)) => key.equal(expected.expose(), token),
            _ => false,
        }
    }

    fn check_scope(&self) -> Result<(), SignatureError> {
        let wrong = |expected: &str, found: &str| {
            Err(SignatureError::Scope {
                expected: expected.to_owned(),
                found: found.to_owned(),
            })
        };
        let day = self.date.get(..8).unwrap_or_default();
        if self.scope.date != day {
            return wrong(&format!("the day of the request, {day}"), &self.scope.date);
        }
        if self.scope.service != SERVICE {
            return wrong(&format!("service `{SERVICE}`"), &self.scope.service);
        }
        Ok(())
    }

    fn check_time(&self, now: SystemTime) -> Result<(), SignatureError> {
        if self.at > now + MAX_SKEW {
            return Err(SignatureError::NotYet {
                at: self.date.clone(),
                limit: timestamp(now + MAX_SKEW),
                now: timestamp(now),
            });
        }
        let (valid_for, allowed, advice) = match self.expires {
            Some(expires) => (
                expires,
                "X-Amz-Expires",
                "make a new URL, or have it expire later",
            ),
            None => (
                MAX_SKEW,
                "5 min.",
                "set the clock of the calling machine, and send the request as soon as it is signed",
            ),
        };
        if self.at + valid_for < now {
            return Err(SignatureError::Expired {
                at: self.date.clone(),
                limit: timestamp(now.checked_sub(valid_for).unwrap_or(now)),
                now: timestamp(now),
                allowed,
                advice,
            });
        }
        Ok(())
    }
}

/// Who signs, as the client commands do.
#[derive(Clone, Debug)]
pub struct Signer {
    pub access_key_id: String,
    pub secret_access_key: Secret,
    pub session_token: Option<Secret>,
    pub region: String,
}

/// The body of a request that is to be signed.
#[derive(Clone, Copy, Debug)]
pub enum Payload<'a> {
    Bytes(&'a [u8]),
    /// Streamed, as gRPC's are.
    Unsigned,
}

impl Signer {
    /// The headers that sign a request: all of its own headers are signed, and those that are added.
    ///
    /// # Errors
    /// When the key or the token holds what no header can.
    pub fn sign(
        &self,
        request: &Request<'_>,
        payload: Payload<'_>,
        now: SystemTime,
    ) -> Result<HeaderMap, InvalidHeaderValue> {
        let date = timestamp(now);
        let mut added = HeaderMap::new();
        added.insert(DATE, HeaderValue::from_str(&date)?);
        if let Some(token) = &self.session_token {
            let mut token = HeaderValue::from_str(token.expose())?;
            token.set_sensitive(true);
            added.insert(TOKEN, token);
        }
        let hash = match payload {
            Payload::Bytes(body) => payload_hash(body),
            Payload::Unsigned => {
                let unsigned = HeaderValue::from_static(UNSIGNED_PAYLOAD);
                added.insert(CONTENT_SHA256, unsigned);
                UNSIGNED_PAYLOAD.to_owned()
            }
        };
        let mut headers = request.headers.clone();
        headers.extend(added.clone());
        let mut names: Vec<String> = headers.keys().map(ToString::to_string).collect();
        names.push(header::HOST.to_string());
        names.sort();
        names.dedup();
        let whole = Request {
            headers: &headers,
            ..*request
        };
        let scope = Scope::new(date.get(..8).unwrap_or_default(), &self.region, SERVICE);
        let canonical = canonical::request(&whole, &names, &hash);
        let key = SigningKey::derive(&self.secret_access_key, &scope);
        let signature = key.sign(&string_to_sign(&date, &scope, &canonical));
        let authorization = format!(
            "{ALGORITHM} Credential={}/{scope}, SignedHeaders={}, Signature={signature}",
            self.access_key_id,
            names.join(";")
        );
        added.insert(
            header::AUTHORIZATION,
            HeaderValue::from_str(&authorization)?,
        );
        Ok(added)
    }
}

/// The hash of a body, as it is signed.
pub fn payload_hash(body: &[u8]) -> String {
    key::hex_digest(body)
}

fn string_to_sign(date: &str, scope: &Scope, canonical: &[u8]) -> String {
    format!(
        "{ALGORITHM}\n{date}\n{scope}\n{}",
        key::hex_digest(canonical)
    )
}

/// `20150830T123600Z`.
fn timestamp(time: SystemTime) -> String {
    let time = time.max(SystemTime::UNIX_EPOCH);
    let text = humantime::format_rfc3339_seconds(time).to_string();
    text.replace(['-', ':'], "")
}

/// Reads what [`timestamp`] writes.
fn parse_timestamp(text: &str) -> Option<SystemTime> {
    let bytes = text.as_bytes();
    let is_form = bytes.len() == 16
        && (bytes.iter().enumerate()).all(|(at, byte)| match at {
            8 => *byte == b'T',
            15 => *byte == b'Z',
            _ => byte.is_ascii_digit(),
        });
    if !is_form {
        return None;
    }
    let (date, time) = text.split_at_checked(8)?;
    let (year, day) = date.split_at_checked(4)?;
    let (month, day) = day.split_at_checked(2)?;
    let (hour, minute) = time.get(1..)?.split_at_checked(2)?;
    let (minute, second) = minute.split_at_checked(2)?;
    humantime::parse_rfc3339(&format!("{year}-{month}-{day}T{hour}:{minute}:{second}")).ok()
}

#[cfg(test)]
mod tests;
