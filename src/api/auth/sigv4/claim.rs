//! A request's word on who sent it, out of its header `Authorization` or its query.

use std::time::{Duration, SystemTime};

use axum::http::{HeaderMap, HeaderName, header};

use super::canonical::{SIGNATURE, pairs};
use super::key::parse_signature;
use super::{ALGORITHM, DATE, Request, Scope, SignatureError, TOKEN, parse_timestamp};

/// Longest time for which a presigned URL may be good: seven days.
const LONGEST_EXPIRY: u64 = 604_800;

/// What a request says of itself; nothing of it is proved yet.
#[derive(Clone, PartialEq, Eq)]
pub struct Claim {
    pub access_key_id: String,
    pub scope: Scope,
    /// In lower case and sorted.
    pub(super) signed_headers: Vec<String>,
    pub(super) signature: Vec<u8>,
    /// As it is signed.
    pub(super) date: String,
    pub(super) at: SystemTime,
    /// Of a presigned URL: how long it is good.
    pub(super) expires: Option<Duration>,
    pub(super) token: Option<String>,
}

impl std::fmt::Debug for Claim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Neither the token nor the signature, which is good for five minutes.
        f.debug_struct("Claim")
            .field("access_key_id", &self.access_key_id)
            .field("scope", &self.scope)
            .field("date", &self.date)
            .finish_non_exhaustive()
    }
}

impl Claim {
    /// Reads a request's signature; `None` if it has none.
    ///
    /// # Errors
    /// [`SignatureError::Incomplete`] when there is one that cannot be checked.
    pub fn read(request: &Request<'_>) -> Result<Option<Self>, SignatureError> {
        let authorization = only(request.headers, &header::AUTHORIZATION)?;
        let query = Query::read(request.query)?;
        match (authorization, query) {
            (None, None) => Ok(None),
            (Some(_), Some(_)) => Err(incomplete(
                "the request is signed in its header and in its query; sign it once",
            )),
            (Some(text), None) => Self::of_header(&text, request.headers).map(Some),
            (None, Some(query)) => query.into_claim().map(Some),
        }
    }

    fn of_header(authorization: &str, headers: &HeaderMap) -> Result<Self, SignatureError> {
        let parts = authorization
            .strip_prefix(ALGORITHM)
            .filter(|rest| rest.starts_with(' '))
            .ok_or_else(|| {
                incomplete(&format!(
                    "the header `authorization` does not begin with `{ALGORITHM} `"
                ))
            })?;
        let (mut credential, mut signed_headers, mut signature) = (None, None, None);
        for part in parts.split(',') {
            let (name, value) = part.trim().split_once('=').unwrap_or((part.trim(), ""));
            let slot = match name {
                "Credential" => &mut credential,
                "SignedHeaders" => &mut signed_headers,
                "Signature" => &mut signature,
                _ => return Err(incomplete("the header `authorization` has an unknown part")),
            };
            if slot.replace(value).is_some() {
                return Err(incomplete(&format!(
                    "the header `authorization` has two parts `{name}`"
                )));
            }
        }
        let missing = |name| incomplete(&format!("the header `authorization` has no `{name}`"));
        let date = only(headers, &DATE)?;
        let date = date.ok_or_else(|| incomplete("there is no header `x-amz-date`"))?;
        Self::new(Words {
            credential: credential.ok_or_else(|| missing("Credential"))?,
            signed_headers: signed_headers.ok_or_else(|| missing("SignedHeaders"))?,
            signature: signature.ok_or_else(|| missing("Signature"))?,
            date,
            expires: None,
            token: only(headers, &TOKEN)?,
        })
    }

    fn new(words: Words<'_>) -> Result<Self, SignatureError> {
        let (access_key_id, scope) = Scope::parse(words.credential)?;
        let at = parse_timestamp(&words.date)
            .ok_or_else(|| incomplete("the date is not of the form `YYYYMMDD'T'HHMMSS'Z'`"))?;
        let signature = parse_signature(words.signature)
            .ok_or_else(|| incomplete("the signature is no 64 hexadecimal digits in lower case"))?;
        let names = words.signed_headers.split(';').map(str::to_owned);
        let signed_headers: Vec<String> = names.collect();
        let is_sorted = signed_headers.is_sorted_by(|one, next| one < next);
        let is_lower =
            |name: &String| !name.is_empty() && !name.bytes().any(|byte| byte.is_ascii_uppercase());
        if !is_sorted || !signed_headers.iter().all(is_lower) {
            return Err(incomplete(
                "the signed headers are not in lower case, sorted, each once",
            ));
        }
        Ok(Self {
            access_key_id,
            scope,
            signed_headers,
            signature,
            date: words.date,
            at,
            expires: words.expires,
            token: words.token,
        })
    }
}

/// The parts of a claim as they were written.
struct Words<'a> {
    credential: &'a str,
    signed_headers: &'a str,
    signature: &'a str,
    date: String,
    expires: Option<Duration>,
    token: Option<String>,
}

/// What signs a presigned URL.
#[derive(Default)]
struct Query {
    algorithm: Option<String>,
    credential: Option<String>,
    date: Option<String>,
    expires: Option<String>,
    signed_headers: Option<String>,
    signature: Option<String>,
    token: Option<String>,
}

impl Query {
    /// `None` if nothing in the query is a signature's.
    fn read(query: &str) -> Result<Option<Self>, SignatureError> {
        let mut found = Self::default();
        for (name, value) in pairs(query) {
            let slot = match name.as_slice() {
                b"X-Amz-Algorithm" => &mut found.algorithm,
                b"X-Amz-Credential" => &mut found.credential,
                b"X-Amz-Date" => &mut found.date,
                b"X-Amz-Expires" => &mut found.expires,
                b"X-Amz-SignedHeaders" => &mut found.signed_headers,
                b"X-Amz-Security-Token" => &mut found.token,
                name if name == SIGNATURE.as_bytes() => &mut found.signature,
                _ => continue,
            };
            let name = String::from_utf8_lossy(&name);
            let value = String::from_utf8(value)
                .map_err(|_| incomplete(&format!("`{name}` in the query is no text")))?;
            if slot.replace(value).is_some() {
                return Err(incomplete(&format!("`{name}` is twice in the query")));
            }
        }
        let is_signed = found.algorithm.is_some() || found.signature.is_some();
        Ok(is_signed.then_some(found))
    }

    fn into_claim(self) -> Result<Claim, SignatureError> {
        let need = |value: Option<String>, name: &str| {
            value.ok_or_else(|| incomplete(&format!("there is no `{name}` in the query")))
        };
        if need(self.algorithm, "X-Amz-Algorithm")? != ALGORITHM {
            return Err(incomplete(&format!(
                "`X-Amz-Algorithm` is not `{ALGORITHM}`"
            )));
        }
        let expires = need(self.expires, "X-Amz-Expires")?;
        let is_number = expires.bytes().all(|byte| byte.is_ascii_digit());
        let expires = expires.parse().ok().filter(|_| is_number);
        let expires = expires.filter(|seconds| (1..=LONGEST_EXPIRY).contains(seconds));
        let expires = expires.ok_or_else(|| {
            incomplete(&format!(
                "`X-Amz-Expires` is no number of seconds from 1 to {LONGEST_EXPIRY}"
            ))
        })?;
        Claim::new(Words {
            credential: &need(self.credential, "X-Amz-Credential")?,
            signed_headers: &need(self.signed_headers, "X-Amz-SignedHeaders")?,
            signature: &need(self.signature, SIGNATURE)?,
            date: need(self.date, "X-Amz-Date")?,
            expires: Some(Duration::from_secs(expires)),
            token: self.token,
        })
    }
}

/// The one value of a header; `None` if it is not there.
fn only(headers: &HeaderMap, name: &HeaderName) -> Result<Option<String>, SignatureError> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let text = value.to_str().ok().filter(|_| values.next().is_none());
    match text {
        Some(text) => Ok(Some(text.trim().to_owned())),
        None => Err(incomplete(&format!(
            "the header `{name}` is there twice, or is no text"
        ))),
    }
}

fn incomplete(what: &str) -> SignatureError {
    SignatureError::Incomplete {
        what: what.to_owned(),
    }
}
