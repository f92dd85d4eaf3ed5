//! Why a call is not answered as it was meant: the one place where a reason becomes an exception of App Mesh's.
//!
//! Clients act on the exception's name, people on the message; what failed inside is logged and not sent.

use std::fmt::{self, Write as _};

use axum::http::{Method, StatusCode};
use thiserror::Error;

use super::page::PageError;
use crate::api::body::BodyError;
use crate::api::off_thread::Lost;
use crate::model::admission::Refusal;
use crate::model::arn::{AccountId, ArnError, Region};
use crate::model::document::JsonError;
use crate::model::problem::{Problem, Severity};
use crate::model::{NameError, ResourceId};
use crate::store::{Trouble, WriteError};

/// Problems of a body that one message has.
const SHOWN_PROBLEMS: usize = 10;
/// Longest message, in characters: texts of a body may be any size, and are repeated in it.
const LONGEST_MESSAGE: usize = 4_000;

/// App Mesh's exceptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exception {
    BadRequest,
    Conflict,
    Forbidden,
    InternalServerError,
    LimitExceeded,
    NotFound,
    ResourceInUse,
    ServiceUnavailable,
    TooManyRequests,
    TooManyTags,
}

impl Exception {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::BadRequest => "BadRequestException",
            Self::Conflict => "ConflictException",
            Self::Forbidden => "ForbiddenException",
            Self::InternalServerError => "InternalServerErrorException",
            Self::LimitExceeded => "LimitExceededException",
            Self::NotFound => "NotFoundException",
            Self::ResourceInUse => "ResourceInUseException",
            Self::ServiceUnavailable => "ServiceUnavailableException",
            Self::TooManyRequests => "TooManyRequestsException",
            Self::TooManyTags => "TooManyTagsException",
        }
    }

    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::BadRequest | Self::LimitExceeded | Self::TooManyTags => StatusCode::BAD_REQUEST,
            Self::Conflict | Self::ResourceInUse => StatusCode::CONFLICT,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::InternalServerError => StatusCode::INTERNAL_SERVER_ERROR,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::ServiceUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
        }
    }
}

/// Why a call is not answered as it was meant.
#[derive(Debug, Error)]
pub(super) enum ApiError {
    #[error(
        "nothing answers {method} {path} here; App Mesh's API is under /v20190125/, health and metrics are on `--admin-addr`"
    )]
    UnknownPath { method: Method, path: String },
    #[error("{method} is no method of this path; it takes {allow}")]
    WrongMethod { method: Method, allow: &'static str },
    #[error("`{text}` is no percent-encoded UTF-8; encode what stands in a path or a query")]
    Encoding { text: String },
    #[error(transparent)]
    Name(#[from] NameError),
    #[error("`{name}` is in the query twice; give it once")]
    Repeated { name: &'static str },
    #[error(transparent)]
    Page(#[from] PageError),
    #[error("`{name}` is `{text}`; give {wanted}, or leave it out")]
    Number {
        name: &'static str,
        text: String,
        wanted: &'static str,
    },
    #[error("`meshOwner` is `{text}`, which is no account id; give 12 digits, or leave it out")]
    MeshOwner { text: String },
    #[error("`resourceArn` is missing in the query; give the ARN of a resource")]
    NoArn,
    #[error("`resourceArn`: {0}")]
    Arn(#[from] ArnError),
    #[error(
        "this is a call of a web page, which may change nothing here; call from a program, with `Content-Type: application/json`"
    )]
    WebPage,
    #[error("key `{name}` may not do this in mesh `{mesh}`")]
    Denied { name: String, mesh: String },
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error("{problem}{}", chain(problem))]
    NotJson { problem: JsonError },
    #[error("{}", Problems(problems))]
    Invalid { problems: Vec<Problem> },
    #[error("{}", Absent { id, account })]
    NotFound { id: ResourceId, account: AccountId },
    /// Something of another account's, of which there is none here.
    #[error(
        "{}, which is not this control plane's account {own}; see `serve --account-id`",
        Absent { id, account }
    )]
    OtherAccount {
        id: ResourceId,
        account: String,
        own: AccountId,
    },
    #[error(
        "{} in region {region}, which is not this control plane's region {own}; see `serve --region`",
        Absent { id, account }
    )]
    OtherRegion {
        id: ResourceId,
        account: AccountId,
        region: String,
        own: Region,
    },
    #[error("{count} tags are given, and a resource can have {limit}; none of them was applied")]
    TooManyTags { count: usize, limit: usize },
    #[error("{limit} requests are being answered already; try again")]
    Busy { limit: usize },
    #[error(
        "key `{name}` is being sent {limit} lists of everything or of changes already, as many as one key may be; try again"
    )]
    BusyKey { name: String, limit: usize },
    #[error(
        "what is declared is not loaded yet; try again, and see `/readyz` on `--admin-addr` if that does not help"
    )]
    NotLoaded,
    #[error("{}", Refused(error))]
    Write { error: WriteError },
    #[error(transparent)]
    Lost(#[from] Lost),
    #[error("the answer cannot be written; report this")]
    Internal { source: serde_json::Error },
}

impl ApiError {
    pub(super) fn of_write(error: WriteError, account: &AccountId) -> Self {
        match error {
            WriteError::Refused(Refusal::NotFound { id }) => Self::NotFound {
                id,
                account: account.clone(),
            },
            WriteError::Refused(Refusal::Invalid { problems }) => Self::Invalid { problems },
            WriteError::NotLoaded => Self::NotLoaded,
            error => Self::Write { error },
        }
    }

    pub(super) fn exception(&self) -> Exception {
        match self {
            // Not `NotFound`: a client with a wrong address would take its resources for deleted.
            Self::UnknownPath { .. }
            | Self::WrongMethod { .. }
            | Self::Encoding { .. }
            | Self::Name(_)
            | Self::Repeated { .. }
            | Self::Page(_)
            | Self::Number { .. }
            | Self::MeshOwner { .. }
            | Self::NoArn
            | Self::Arn(_)
            | Self::Body(_)
            | Self::NotJson { .. }
            | Self::Invalid { .. } => Exception::BadRequest,
            Self::NotFound { .. } | Self::OtherAccount { .. } | Self::OtherRegion { .. } => {
                Exception::NotFound
            }
            Self::WebPage | Self::Denied { .. } => Exception::Forbidden,
            Self::TooManyTags { .. } => Exception::TooManyTags,
            Self::Busy { .. } | Self::BusyKey { .. } => Exception::TooManyRequests,
            Self::NotLoaded | Self::Lost(_) => Exception::ServiceUnavailable,
            Self::Write { error } => of_write(error),
            Self::Internal { .. } => Exception::InternalServerError,
        }
    }

    /// What a client is told.
    pub(super) fn message(&self) -> String {
        let message = self.to_string();
        match message.char_indices().nth(LONGEST_MESSAGE) {
            Some((end, _)) => format!("{}…", message.get(..end).unwrap_or_default()),
            None => message,
        }
    }

    /// The methods that the path takes.
    pub(super) fn allow(&self) -> Option<&'static str> {
        match self {
            Self::WrongMethod { allow, .. } => Some(allow),
            _ => None,
        }
    }
}

fn of_write(error: &WriteError) -> Exception {
    match error {
        WriteError::Refused(Refusal::NotFound { .. }) => Exception::NotFound,
        WriteError::Refused(Refusal::Invalid { .. }) => Exception::BadRequest,
        WriteError::Refused(Refusal::InUse { .. }) => Exception::ResourceInUse,
        WriteError::Refused(Refusal::Limit { .. }) => Exception::LimitExceeded,
        WriteError::Exists { .. }
        | WriteError::Raced { .. }
        | WriteError::TokenReused { .. }
        | WriteError::OwnedByFile { .. } => Exception::Conflict,
        WriteError::TooManyTags { .. } => Exception::TooManyTags,
        WriteError::Unavailable { source } => match **source {
            Trouble::Full => Exception::TooManyRequests,
            Trouble::NotKept { .. } | Trouble::InDoubt { .. } | Trouble::Stopping => {
                Exception::ServiceUnavailable
            }
        },
        WriteError::NotLoaded => Exception::ServiceUnavailable,
    }
}

/// What an error does not say itself: its sources.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(error.source(), |error| error.source());
    sources.fold(String::new(), |chain, source| format!("{chain}: {source}"))
}

/// That there is no such resource, in App Mesh's words.
struct Absent<'a, A> {
    id: &'a ResourceId,
    account: &'a A,
}

impl<A: fmt::Display> fmt::Display for Absent<'_, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, account } = self;
        write!(f, "{} with name {} is not present", id.kind(), id.name())?;
        match id.parent() {
            None => {}
            Some(ResourceId::Mesh(mesh)) => write!(f, " under mesh {mesh}")?,
            Some(parent) => write!(
                f,
                " under {} {} of mesh {}",
                parent.kind(),
                parent.name(),
                parent.mesh()
            )?,
        }
        write!(f, " for account {account}")
    }
}

/// All errors in one line: where, what, and what to do.
struct Problems<'a>(&'a [Problem]);

impl fmt::Display for Problems<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let errors = self.0.iter();
        let errors = errors.filter(|problem| problem.severity == Severity::Error);
        let problems: Vec<&Problem> = errors.collect();
        for (position, problem) in problems.iter().take(SHOWN_PROBLEMS).enumerate() {
            if position > 0 {
                f.write_char(' ')?;
            }
            if problems.len() > 1 {
                write!(f, "({}) ", position + 1)?;
            }
            let path = problem.path.to_string();
            if !path.is_empty() {
                write!(f, "{path}: ")?;
            }
            write!(f, "{}; {}", problem.what, problem.help)?;
        }
        if problems.len() > SHOWN_PROBLEMS {
            write!(f, " ({} more)", problems.len() - SHOWN_PROBLEMS)?;
        }
        Ok(())
    }
}

/// The words for a write that did nothing.
struct Refused<'a>(&'a WriteError);

impl fmt::Display for Refused<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            error @ WriteError::Unavailable { source } => write!(f, "{error}: {source}"),
            error => error.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::document::Path;

    fn id(path: &str) -> ResourceId {
        ResourceId::parse(path).unwrap()
    }

    fn absent(path: &str) -> String {
        let error = ApiError::NotFound {
            id: id(path),
            account: "123456789012".parse().unwrap(),
        };
        error.message()
    }

    #[test]
    fn what_is_absent_is_said_in_app_meshs_words() {
        assert_eq!(
            absent("mesh/m/virtualNode/n"),
            "VirtualNode with name n is not present under mesh m for account 123456789012"
        );
        assert_eq!(
            absent("mesh/m"),
            "Mesh with name m is not present for account 123456789012"
        );
        assert_eq!(
            absent("mesh/m/virtualRouter/r/route/x"),
            "Route with name x is not present under VirtualRouter r of mesh m for account 123456789012"
        );
    }

    #[test]
    fn a_message_has_every_problem_with_its_place_up_to_a_length() {
        let problem = |what: &str| Problem::error(Path::of("spec.a"), what, "", "fix it");
        let one = ApiError::Invalid {
            problems: vec![problem("`a` is 0")],
        };
        assert_eq!(one.message(), "spec.a: `a` is 0; fix it");
        let many = ApiError::Invalid {
            problems: vec![problem("bad"); 12],
        };
        let many = many.message();
        assert!(
            many.starts_with("(1) spec.a: bad; fix it (2) ") && many.ends_with(" (2 more)"),
            "{many}"
        );
        let long = ApiError::Invalid {
            problems: vec![problem(&"ä".repeat(100_000))],
        };
        assert_eq!(long.message().chars().count(), LONGEST_MESSAGE + 1);
    }

    #[test]
    fn a_call_that_is_lost_may_be_sent_again() {
        let lost = ApiError::from(Lost).exception();
        assert_eq!(lost, Exception::ServiceUnavailable);
    }

    #[test]
    fn in_use_names_the_users() {
        let by = vec![
            id("mesh/m/virtualService/s"),
            id("mesh/m/virtualRouter/r/route/x"),
        ];
        let refusal = Refusal::InUse {
            id: id("mesh/m/virtualNode/n"),
            by,
        };
        let error = ApiError::Write {
            error: refusal.into(),
        };
        assert_eq!(error.exception(), Exception::ResourceInUse);
        assert_eq!(
            error.message(),
            "`mesh/m/virtualNode/n` is in use by `mesh/m/virtualService/s`, `mesh/m/virtualRouter/r/route/x`; \
             delete these first, or let them use another"
        );
    }
}
