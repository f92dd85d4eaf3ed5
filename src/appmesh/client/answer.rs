//! What a target answers: which error it is, and what is read out of it.

use aws_sdk_appmesh::config::http::HttpResponse;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use super::error::TargetError;
use super::held::{Metadata, Within, Written};
use super::secret::Secrets;
use crate::model::ResourceId;
use crate::model::schema::kind_schema;

/// Characters of a target's text that an error repeats.
const SHOWN: usize = 300;

/// The answer to one try, whatever it is.
#[derive(Clone, Debug)]
pub(super) struct Raw {
    pub(super) status: u16,
    /// App Mesh's name of the error.
    pub(super) exception: Option<String>,
    pub(super) body: Bytes,
}

/// An answer that is JSON, with the words for what it lacks.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) json: Value,
    pub(super) status: u16,
    pub(super) endpoint: String,
    pub(super) call: String,
    secrets: Secrets,
}

/// What an error is about.
#[derive(Clone, Debug)]
pub(super) struct About<'a> {
    pub(super) endpoint: &'a str,
    pub(super) call: &'a str,
    pub(super) has_credentials: bool,
    /// What was sent, and is not to be told.
    pub(super) secrets: Secrets,
}

impl Raw {
    /// `None`: its body has not come.
    pub(super) fn of(response: &HttpResponse) -> Option<Self> {
        let body = response.body().bytes()?;
        let status = response.status().as_u16();
        let header = response.headers().get("x-amzn-errortype");
        Some(Self {
            status,
            exception: exception(status, header, body),
            body: Bytes::copy_from_slice(body),
        })
    }

    /// The answer's JSON, or what the target has against the call.
    pub(super) fn read(&self, about: &About<'_>) -> Result<Answer, TargetError> {
        if !(200..300).contains(&self.status) {
            return Err(self.error(about));
        }
        let json = match &*self.body {
            [] => Ok(Value::Null),
            body => serde_json::from_slice(body),
        };
        match json {
            Ok(json) => Ok(Answer {
                json,
                status: self.status,
                endpoint: about.endpoint.to_owned(),
                call: about.call.to_owned(),
                secrets: about.secrets.clone(),
            }),
            Err(_) => Err(self.nonsense(about)),
        }
    }

    fn error(&self, about: &About<'_>) -> TargetError {
        let (endpoint, call) = (about.endpoint.to_owned(), about.call.to_owned());
        let status = self.status;
        match self.meaning() {
            Meaning::Credentials => TargetError::Credentials {
                endpoint,
                call,
                reason: self.words(about),
                help: if about.has_credentials {
                    "use credentials that it knows and its region, and set the clock if it is wrong"
                } else {
                    NO_CREDENTIALS
                },
            },
            Meaning::Throttled => TargetError::Throttled {
                endpoint,
                call,
                message: self.words(about),
            },
            Meaning::Lacking => TargetError::Lacking {
                endpoint,
                call,
                status,
                message: self.words(about),
            },
            Meaning::Failing => TargetError::Failing {
                endpoint,
                call,
                status,
                message: self.words(about),
            },
            Meaning::Refused => TargetError::Refused {
                endpoint,
                call,
                status,
                exception: self.name(about).unwrap_or_default(),
                message: self.message(about),
            },
            Meaning::Nonsense => self.nonsense(about),
        }
    }

    /// What an answer that is an error is about.
    pub(super) fn meaning(&self) -> Meaning {
        Meaning::of(self.status, self.exception.as_deref())
    }

    fn nonsense(&self, about: &About<'_>) -> TargetError {
        TargetError::Nonsense {
            endpoint: about.endpoint.to_owned(),
            call: about.call.to_owned(),
            status: self.status,
            shown: shown(&String::from_utf8_lossy(&self.body), &about.secrets),
        }
    }

    /// The target's own words, with the exception's name if there is one.
    fn words(&self, about: &About<'_>) -> String {
        match self.name(about) {
            Some(exception) => format!("{exception}: {}", self.message(about)),
            None => self.message(about),
        }
    }

    fn name(&self, about: &About<'_>) -> Option<String> {
        let name = self.exception.as_ref()?;
        Some(shown(name, &about.secrets))
    }

    fn message(&self, about: &About<'_>) -> String {
        let json: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let mut members = ["message", "Message", "error"].into_iter();
        match members.find_map(|member| json.get(member)?.as_str()) {
            Some(text) => shown(text, &about.secrets),
            None if self.body.is_empty() => "no reason given".to_owned(),
            None => shown(&String::from_utf8_lossy(&self.body), &about.secrets),
        }
    }
}

/// What to do where none are found.
pub(super) const NO_CREDENTIALS: &str = "no credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or \
                                         name a profile";

/// What an answer that is an error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    Credentials,
    Throttled,
    Lacking,
    Failing,
    Refused,
    Nonsense,
}

impl Meaning {
    fn of(status: u16, exception: Option<&str>) -> Self {
        match exception {
            Some(
                "ExpiredToken"
                | "ExpiredTokenException"
                | "IncompleteSignature"
                | "IncompleteSignatureException"
                | "InvalidClientTokenId"
                | "InvalidSignatureException"
                | "MissingAuthenticationToken"
                | "MissingAuthenticationTokenException"
                | "NotAuthorized"
                | "OptInRequired"
                | "RequestExpired"
                | "RequestTimeTooSkewed"
                | "SignatureDoesNotMatch"
                | "UnrecognizedClientException",
            ) => Self::Credentials,
            Some(
                "RequestLimitExceeded"
                | "RequestThrottled"
                | "SlowDown"
                | "Throttling"
                | "ThrottlingException"
                | "TooManyRequestsException",
            ) => Self::Throttled,
            Some(
                "NotImplemented"
                | "NotImplementedException"
                | "UnknownOperation"
                | "UnknownOperationException",
            ) => Self::Lacking,
            _ => match (status, exception) {
                (401, _) | (403, None) => Self::Credentials,
                (429, _) => Self::Throttled,
                (501, _) | (404 | 405, None) => Self::Lacking,
                (500.., _) => Self::Failing,
                (_, Some(_)) => Self::Refused,
                (_, None) => Self::Nonsense,
            },
        }
    }
}

/// App Mesh's name of an error, without the URI behind it and the name space before it.
fn exception(status: u16, header: Option<&str>, body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Typed {
        #[serde(rename = "__type")]
        typed: Option<String>,
        code: Option<String>,
    }
    if (200..300).contains(&status) {
        return None;
    }
    let typed = || {
        let typed: Typed = serde_json::from_slice(body).ok()?;
        typed.typed.or(typed.code)
    };
    let name = header.map(str::to_owned).or_else(typed)?;
    let name = name.split(':').next().unwrap_or_default();
    let name = name.rsplit('#').next().unwrap_or_default().trim();
    (!name.is_empty()).then(|| name.to_owned())
}

/// A stranger's text, fit for an error or the log.
fn shown(text: &str, secrets: &Secrets) -> String {
    let text = secrets.hide(text.trim());
    let mut shown: String = text
        .chars()
        .take(SHOWN)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

impl Answer {
    /// The items of a list.
    pub(super) fn array(&self, member: &str) -> Result<&[Value], TargetError> {
        let items = self.json.get(member).and_then(Value::as_array);
        items.map(Vec::as_slice).ok_or_else(|| self.nonsense())
    }

    /// The resource that an item of a list is.
    pub(super) fn item(&self, within: &Within, item: &Value) -> Result<ResourceId, TargetError> {
        let member = kind_schema(within.kind()).name;
        let name = item.get(member).and_then(Value::as_str);
        match name.filter(|name| !name.is_empty()) {
            Some(name) => Ok(within.named(name)),
            None => Err(self.nonsense()),
        }
    }

    /// The token of the next page, if there is one.
    pub(super) fn next_token(&self) -> Option<&str> {
        let token = self.json.get("nextToken")?.as_str()?;
        Some(token).filter(|token| !token.is_empty())
    }

    pub(super) fn is_deleted(&self) -> bool {
        let status = self.json.pointer("/status/status");
        status.and_then(Value::as_str) == Some("DELETED")
    }

    /// The resource that was asked for, or made.
    pub(super) fn resource(mut self) -> Result<Written, TargetError> {
        let metadata = self.json.get("metadata").map(Metadata::deserialize);
        match metadata {
            Some(Ok(metadata)) if !metadata.arn.is_empty() => Ok(Written {
                spec: self.json.get_mut("spec").map_or(Value::Null, Value::take),
                metadata,
            }),
            _ => Err(self.nonsense()),
        }
    }

    /// That the answer is none of App Mesh's.
    pub(super) fn nonsense(&self) -> TargetError {
        TargetError::Nonsense {
            endpoint: self.endpoint.clone(),
            call: self.call.clone(),
            status: self.status,
            shown: shown(&self.json.to_string(), &self.secrets),
        }
    }
}

#[cfg(test)]
mod tests;
