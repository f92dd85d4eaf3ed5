//! When a call is tried again: as AWS's SDK does by itself, in its adaptive mode, which sends less where it is throttled.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_sdk_appmesh::config::interceptors::InterceptorContext;
use aws_sdk_appmesh::config::retry::{
    ClassifyRetry, ClientRateLimiter, RetryAction, RetryPartition, TokenBucket,
};
use http_body_util::LengthLimitError;

use super::answer::{Meaning, Raw};
use super::words::find;

/// Tries of one call at most; the patience may end before.
pub(super) const TRIES: u32 = 8;
/// The longest wait before the second try; each later one may be twice as long, and is a random part of that.
pub(super) const FIRST_WAIT: Duration = Duration::from_millis(100);
/// The longest wait before any. It is also what one that was throttled waits.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// What is learned of one target, and of no other: how much it can take, and how many calls may be tried again.
pub(super) fn partition(endpoint: &str) -> RetryPartition {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    RetryPartition::custom(endpoint.to_owned())
        .token_bucket(TokenBucket::default())
        .client_rate_limiter(ClientRateLimiter::new(
            now.unwrap_or_default().as_secs_f64(),
        ))
        .build()
}

/// Mends what the SDK makes of two answers: App Mesh's `LimitExceededException` is a quota that no waiting lifts, and a
/// server before the target may throttle without an exception's name.
#[derive(Debug)]
pub(super) struct Classifier;

impl ClassifyRetry for Classifier {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let error = context.output_or_error().and_then(Result::err);
        if error.is_some_and(|error| find::<LengthLimitError>(error).is_some()) {
            return RetryAction::RetryForbidden;
        }
        let Some(answer) = context.response().and_then(Raw::of) else {
            return RetryAction::NoActionIndicated;
        };
        match &answer.exception {
            Some(exception) if exception == "LimitExceededException" => RetryAction::RetryForbidden,
            _ if answer.meaning() == Meaning::Throttled => RetryAction::throttling_error(),
            _ => RetryAction::NoActionIndicated,
        }
    }

    fn name(&self) -> &'static str {
        "App Mesh"
    }
}
