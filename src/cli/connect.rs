//! The connection of client commands to a running `outrigger serve`.

use std::time::Duration;

use hyper::StatusCode;
use miette::Diagnostic;
use thiserror::Error;
use tonic::transport::Endpoint;
use tonic::{Code, Status};

use super::output::{CliError, Exit};
use super::sign::{SignedChannel, Signing};
use crate::api::operator::generated::operator_client::OperatorClient;
use crate::config::AwsEnvironment;

/// Where `outrigger serve` has its API unless told otherwise.
const DEFAULT_URL: &str = "http://127.0.0.1:9080";

/// Largest answer that is read: a sidecar with thousands of backends gets tens of megabytes.
const MAX_ANSWER: usize = 512 << 20;

/// The exceptions that say that the caller is not known, whatever it asked for.
pub(super) const NOT_KNOWN: [&str; 4] = [
    "MissingAuthenticationTokenException",
    "UnrecognizedClientException",
    "IncompleteSignatureException",
    "InvalidSignatureException",
];

/// What to do when the caller is not known.
pub(super) const KEY_HELP: &str = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to a key of the control plane's --api-credentials, and \
     AWS_SESSION_TOKEN only if it has one; AWS_REGION may be any region";

/// Which control plane to ask.
#[derive(Clone, Debug, clap::Args)]
pub struct ApiArgs {
    #[arg(
        long,
        env = "OUTRIGGER_API_URL",
        value_name = "URL",
        help = "URL of the API of `outrigger serve` [default: AWS_ENDPOINT_URL_APP_MESH, AWS_ENDPOINT_URL, or \
                http://127.0.0.1:9080]"
    )]
    pub api_url: Option<String>,
}

/// Why the API gave no answer that can be printed.
#[derive(Debug, Error, Diagnostic)]
pub enum ApiError {
    #[error("`{url}` is no URL of Outrigger's API")]
    #[diagnostic(help(
        "pass --api-url http://HOST:PORT, or set OUTRIGGER_API_URL; else it is taken from AWS_ENDPOINT_URL_APP_MESH or \
         AWS_ENDPOINT_URL"
    ))]
    Url {
        url: String,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("cannot reach Outrigger's API at {url}")]
    #[diagnostic(help(
        "is `outrigger serve` running? pass --api-url or OUTRIGGER_API_URL if it is somewhere else; AWS_ENDPOINT_URL \
         counts too"
    ))]
    Unreachable {
        url: String,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("the key in the environment holds what cannot be sent in a header")]
    #[diagnostic(help(
        "set AWS_ACCESS_KEY_ID, AWS_SESSION_TOKEN and AWS_REGION to printable ASCII without blanks"
    ))]
    Key,
    /// A refusal of Outrigger's own calls.
    #[error("{message}")]
    Refused { message: String, status: StatusCode },
    /// A refusal of App Mesh's API.
    #[error("{exception}: {message}")]
    Exception {
        exception: String,
        message: String,
        #[help]
        help: Option<&'static str>,
        status: StatusCode,
        /// How often the call was sent: of one that was sent twice, the first may have been done.
        tries: u32,
    },
    #[error("{url} does not let this call through: {message}")]
    #[diagnostic(help("{KEY_HELP}"))]
    Forbidden { url: String, message: String },
    #[error("{url} answered {code:?}: {message}")]
    #[diagnostic(help("is that the --api-addr of an `outrigger serve` of this version?"))]
    Failed {
        url: String,
        code: Code,
        message: String,
    },
    #[error("{url} answered {status}: {message}")]
    #[diagnostic(help("is that the --api-addr of an `outrigger serve` of this version?"))]
    Answered {
        url: String,
        status: StatusCode,
        message: String,
    },
}

impl From<ApiError> for CliError {
    fn from(error: ApiError) -> Self {
        let exit = match &error {
            error if error.may_pass() => Exit::Unable,
            // A caller that is not known gets no answer, as from the operators' calls.
            ApiError::Exception { exception, .. } if NOT_KNOWN.contains(&&**exception) => {
                Exit::Unable
            }
            ApiError::Exception { status, .. } | ApiError::Refused { status, .. }
                if status.is_client_error() =>
            {
                Exit::No
            }
            ApiError::Exception { .. }
            | ApiError::Refused { .. }
            | ApiError::Url { .. }
            | ApiError::Key
            | ApiError::Forbidden { .. }
            | ApiError::Unreachable { .. }
            | ApiError::Failed { .. }
            | ApiError::Answered { .. } => Exit::Unable,
        };
        Self {
            exit,
            report: error.into(),
        }
    }
}

impl ApiError {
    /// Whether the same call may succeed a little later.
    pub(super) fn may_pass(&self) -> bool {
        let passing = [
            StatusCode::TOO_MANY_REQUESTS,
            StatusCode::SERVICE_UNAVAILABLE,
        ];
        matches!(self, Self::Unreachable { .. })
            || self
                .status()
                .is_some_and(|status| passing.contains(&status))
    }

    /// Whether it is the trouble of the server, or of what stands before it, and not the call's: for whoever has all day.
    pub(super) fn is_of_server(&self) -> bool {
        self.may_pass() || self.status().is_some_and(|status| status.is_server_error())
    }

    fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Exception { status, .. }
            | Self::Refused { status, .. }
            | Self::Answered { status, .. } => Some(*status),
            Self::Unreachable { .. }
            | Self::Url { .. }
            | Self::Key
            | Self::Forbidden { .. }
            | Self::Failed { .. } => None,
        }
    }

    /// The error of a call that was sent again so often.
    pub(super) fn after(mut self, waits: u32) -> Self {
        if let Self::Exception { tries, .. } = &mut self {
            *tries += waits;
        }
        self
    }
}

impl ApiArgs {
    /// The URL that was typed, or that the environment has.
    pub fn url(&self) -> String {
        let typed = self.api_url.clone().filter(|url| !url.is_empty());
        let url = typed.or_else(|| AwsEnvironment::read().endpoint);
        url.unwrap_or_else(|| DEFAULT_URL.to_owned())
    }

    /// Opens a connection for the operator service.
    ///
    /// # Errors
    /// When the URL is none, or nobody answers there within five seconds.
    pub async fn connect(&self) -> Result<OperatorClient<SignedChannel>, ApiError> {
        let signing = Signing::from_environment()?;
        let url = || self.url();
        let endpoint = Endpoint::from_shared(url())
            .map_err(|source| ApiError::Url {
                url: url(),
                source: source.into(),
            })?
            .connect_timeout(Duration::from_secs(5))
            .timeout(Duration::from_secs(30));
        let target = endpoint.uri().clone();
        let channel = endpoint.connect().await;
        let channel = channel.map_err(|source| ApiError::Unreachable {
            url: url(),
            source: source.into(),
        })?;
        let channel = SignedChannel::new(channel, target, signing);
        Ok(OperatorClient::new(channel).max_decoding_message_size(MAX_ANSWER))
    }

    /// What a status of the service means for the command.
    pub fn error(&self, status: Status) -> ApiError {
        let url = self.url();
        let message = status.message().to_owned();
        let refused = |message, status| ApiError::Refused { message, status };
        match status.code() {
            Code::InvalidArgument => refused(message, StatusCode::BAD_REQUEST),
            Code::NotFound => refused(message, StatusCode::NOT_FOUND),
            Code::PermissionDenied => refused(message, StatusCode::FORBIDDEN),
            Code::Unauthenticated => ApiError::Forbidden { url, message },
            Code::Unavailable => ApiError::Unreachable {
                url,
                source: status.into(),
            },
            code => ApiError::Failed { url, code, message },
        }
    }
}
