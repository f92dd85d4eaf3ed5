//! What both variants of a stream share: what a step yields, what happened in it, and how the stream stands.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::snapshot::{Kind, PerKind, Resource, ResourceName, Version};

/// What one step of a stream yields.
#[derive(Debug, Default)]
pub struct Step {
    /// To be sent in this order.
    pub responses: Vec<Response>,
    /// What happened, for logs and metrics.
    pub events: Vec<Event>,
    /// When to step again even if nothing comes in: since the stream was opened, as all times here.
    pub wake_at: Option<Duration>,
}

/// One message. It is encoded as it is sent (`wire`), by whichever stream is the first to send its like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// `None` for a type that is not served.
    pub kind: Option<Kind>,
    pub type_url: Cow<'static, str>,
    /// `None` for a type that is not served.
    pub version: Option<Version>,
    pub nonce: u64,
    pub entries: Entries,
}

/// What a response says, by variant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entries {
    Sotw(Vec<Arc<Resource>>),
    Delta {
        resources: Vec<Arc<Resource>>,
        removed: Vec<ResourceName>,
    },
}

impl Response {
    pub(super) fn of(kind: Kind, version: Version, nonce: u64, entries: Entries) -> Self {
        Self {
            kind: Some(kind),
            type_url: kind.type_url().into(),
            version: Some(version),
            nonce,
            entries,
        }
    }

    /// The answer about a type that is not served: there is nothing.
    pub(super) fn of_unknown(type_url: &str, nonce: u64, entries: Entries) -> Self {
        Self {
            kind: None,
            type_url: type_url.to_owned().into(),
            version: None,
            nonce,
            entries,
        }
    }
}

/// Something that happened on a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Sent {
        kind: Kind,
        resources: usize,
        removed: usize,
    },
    Acked {
        kind: Kind,
        /// From the response to its ACK.
        after: Duration,
    },
    Rejected {
        kind: Kind,
        nonce: String,
        /// The beginning of the client's own words.
        message: String,
        /// The resources that the message names, quarantined from now on; empty if it names none.
        resources: Vec<ResourceName>,
    },
}

/// How a stream stands, type by type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamStatus {
    pub kinds: PerKind<KindStatus>,
}

/// How a stream stands with one type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KindStatus {
    pub subscribed: bool,
    /// Resources that the client was sent and still has, as far as it is known.
    pub resources: usize,
    /// The version of the newest response, of all resources of the kind; what the client came with if it needed none.
    pub sent: Option<Version>,
    /// The version of the newest response that was acknowledged, or that the client came with.
    pub acked: Option<Version>,
    /// When the oldest response without an ACK or NACK was sent.
    pub pending_since: Option<Duration>,
    pub rejections: Vec<Rejection>,
}

/// A resource that the client rejected and that is held at its last good version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// `None` if the client's message names no resource.
    pub resource: Option<ResourceName>,
    /// The rejected version.
    pub version: Option<Version>,
    /// The client's own words, which all resources that they reject have in common.
    pub message: Arc<str>,
    pub since: Duration,
}

/// How a client stands with one resource that it asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    pub kind: Kind,
    pub name: ResourceName,
    /// As it is meant to be; `None` if it does not exist, or is withheld.
    pub resource: Option<Arc<Resource>>,
    pub state: HeldState,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeldState {
    /// The client accepted it as it is now.
    Current,
    /// It was sent, and neither accepted nor rejected yet.
    Unanswered,
    /// The client has another version: the new one, or the removal, waits.
    Older,
    NotSent,
    /// There is none.
    Absent,
    Rejected(Rejection),
}

/// A request that the stream cannot go on after.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StreamError {
    #[error(
        "the request has no `type_url`, which ADS needs; set it to the type of the resources asked for"
    )]
    NoTypeUrl,
    #[error(
        "the request asks for `{type_url}` of a service that has `{served}` only; open a stream of that type's service, or \
         use ADS"
    )]
    OtherType {
        type_url: String,
        served: &'static str,
    },
    #[error(
        "the request has {names} names of `{type_url}`, more than the {limit} that one stream may subscribe to or come back \
         with"
    )]
    TooManyNames {
        type_url: String,
        names: usize,
        limit: usize,
    },
}
