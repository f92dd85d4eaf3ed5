//! Why a call to a target is not answered as it was meant.

use thiserror::Error;

/// Why a call to a target is not answered as it was meant.
#[derive(Debug, Error)]
pub enum TargetError {
    #[error("{what}; {help}")]
    Options { what: String, help: String },
    #[error(
        "{endpoint} does not answer: {reason}; check the address, and that a server of App Mesh's API runs there"
    )]
    Unreachable { endpoint: String, reason: String },
    /// None are found, or the target refuses those that are.
    #[error("cannot {call} at {endpoint}: {reason}; {help}")]
    Credentials {
        endpoint: String,
        call: String,
        reason: String,
        help: &'static str,
    },
    #[error("cannot {call} at {endpoint}, which throttles ({message}); wait, or call less often")]
    Throttled {
        endpoint: String,
        call: String,
        message: String,
    },
    /// It answers for another account than the one that is meant.
    #[error(
        "{endpoint} belongs to account {found}, and what is mirrored goes to account {account}; use the key, the role and \
         the address of that one, or name the other with --account (--mirror-account of `serve`)"
    )]
    Account {
        endpoint: String,
        account: String,
        found: String,
    },
    /// The target's own trouble.
    #[error("cannot {call} at {endpoint}, which fails with {status} ({message}); see its log")]
    Failing {
        endpoint: String,
        call: String,
        status: u16,
        message: String,
    },
    /// The target has something against this call, in its own words.
    #[error("cannot {call} at {endpoint}: {exception}: {message}")]
    Refused {
        endpoint: String,
        call: String,
        status: u16,
        exception: String,
        message: String,
    },
    /// Nothing of what was read there is known of the server that answers now.
    #[error(
        "another server than before answers at {endpoint}; nothing is written before it is read"
    )]
    Another { endpoint: String },
    /// Somebody else has it now, by the mirror's tag that it no longer carries.
    #[error("`{id}` at {endpoint} is no longer the mirror's, and is left alone")]
    Taken { endpoint: String, id: String },
    /// The target speaks App Mesh's API, though not all of it.
    #[error("cannot {call} at {endpoint}, which does not know that ({status}: {message})")]
    Lacking {
        endpoint: String,
        call: String,
        status: u16,
        message: String,
    },
    #[error(
        "{endpoint} answers what App Mesh's API does not when asked to {call}: {status}, `{shown}`; name a server of that API"
    )]
    Nonsense {
        endpoint: String,
        call: String,
        status: u16,
        /// How its answer begins.
        shown: String,
    },
}

impl TargetError {
    /// Whether it concerns the whole target, and not only one resource.
    pub fn is_of_target(&self) -> bool {
        match self {
            Self::Options { .. }
            | Self::Unreachable { .. }
            | Self::Credentials { .. }
            | Self::Throttled { .. }
            | Self::Account { .. }
            | Self::Failing { .. }
            | Self::Another { .. }
            | Self::Nonsense { .. } => true,
            Self::Refused { .. } | Self::Taken { .. } | Self::Lacking { .. } => false,
        }
    }

    /// Whether, though it sounds like the whole target, it may be this one call that is answered so: a server may fail over
    /// one resource for ever, and a gateway before it may refuse one body.
    pub fn may_be_of_one(&self) -> bool {
        match self {
            Self::Credentials { .. } | Self::Failing { .. } | Self::Nonsense { .. } => true,
            Self::Options { .. }
            | Self::Unreachable { .. }
            | Self::Throttled { .. }
            | Self::Account { .. }
            | Self::Another { .. }
            | Self::Taken { .. }
            | Self::Refused { .. }
            | Self::Lacking { .. } => false,
        }
    }

    /// That what lacks an operation is no target at all, nor is what answers it by an absence; any other error as it is.
    pub(in crate::appmesh) fn or_nonsense(self) -> Self {
        let is_absence = self.is_absence();
        match self {
            Self::Lacking {
                endpoint,
                call,
                status,
                message,
            } => Self::Nonsense {
                endpoint,
                call,
                status,
                shown: message,
            },
            Self::Refused {
                endpoint,
                call,
                status,
                exception,
                message,
            } if is_absence => Self::Nonsense {
                endpoint,
                call,
                status,
                shown: format!("{exception}: {message}"),
            },
            error => error,
        }
    }

    /// Whether what the call is about is not there. App Mesh's name for that is `NotFoundException`; doubles have others, such
    /// as `MeshNotFound`.
    pub fn is_absence(&self) -> bool {
        let Self::Refused { exception, .. } = self else {
            return false;
        };
        let name = exception.strip_suffix("Exception").unwrap_or(exception);
        name.ends_with("NotFound")
    }
}
