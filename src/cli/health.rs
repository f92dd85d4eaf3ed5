//! `outrigger health [URL]`: whether somebody answers, as an exit code.
//!
//! For the health checks of containers and supervisors: the image has no shell and no `curl`.

use std::time::Duration;

use axum::http::{StatusCode, Uri};
use miette::Diagnostic;
use thiserror::Error;

use super::output::CliError;
use crate::envoy::http::{self, BoxError};

/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Ask whether a control plane, or any HTTP server, is well: exit 0 if it answers 2xx, else 1
#[derive(Debug, clap::Args)]
pub struct HealthArgs {
    /// What to ask
    #[arg(default_value = "http://127.0.0.1:9081/readyz")]
    url: Uri,
}

#[derive(Debug, Error, Diagnostic)]
enum HealthError {
    #[error("{url} does not answer")]
    #[diagnostic(help(
        "is `outrigger serve` running? pass the URL of its --admin-addr if that is not the default"
    ))]
    Unreachable {
        url: Uri,
        #[source]
        source: BoxError,
    },
    #[error("{url} answers {status}: {}", body.trim_end())]
    Unwell {
        url: Uri,
        status: StatusCode,
        body: String,
    },
}

/// The answer's text, when it is a good one.
///
/// # Errors
/// When there is no answer within five seconds, or another than 2xx.
pub async fn run(args: HealthArgs) -> Result<String, CliError> {
    let answer = tokio::time::timeout(ANSWER_WITHIN, http::get_url(&args.url)).await;
    let answer = answer.unwrap_or_else(|elapsed| Err(elapsed.into()));
    let url = args.url;
    let (status, body) = match answer {
        Ok(answer) => answer,
        Err(source) => return Err(CliError::no(HealthError::Unreachable { url, source })),
    };
    let body = String::from_utf8_lossy(&body).into_owned();
    if status.is_success() {
        Ok(body)
    } else {
        Err(CliError::no(HealthError::Unwell { url, status, body }))
    }
}
