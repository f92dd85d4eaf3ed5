//! The reading of signed bodies. Where the signature covers a body that nobody has said the hash of, it can only be judged
//! afterwards: the body is a stranger's until then.
//!
//! **Invariant:** what is kept of strangers' bodies is bounded, all together and each by size and time. Callers whose
//! signature has been judged do not wait for strangers.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::request::Parts;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::refusal::Refusal;
use crate::api::body::Allowance;

/// By how many bytes bodies are counted.
const UNIT: usize = 64 << 10;
/// How many units are read or judged at one time: 64 MiB.
const UNITS: usize = 1024;
/// How long a body waits for its turn.
const TURN_WITHIN: Duration = Duration::from_secs(1);

/// The bodies that are being read. A clone counts with the others.
#[derive(Clone, Debug)]
pub(super) struct Bodies {
    strangers: Arc<Semaphore>,
    callers: Arc<Semaphore>,
}

impl Default for Bodies {
    fn default() -> Self {
        let units = || Arc::new(Semaphore::new(UNITS));
        Self {
            strangers: units(),
            callers: units(),
        }
    }
}

/// Who sends a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sender {
    /// Who says to be somebody.
    Stranger,
    /// Whose signature is right, if the body has the hash that is signed.
    Caller,
}

/// A body that was read. It counts until it is dropped.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) bytes: Bytes,
    _counted: Option<OwnedSemaphorePermit>,
}

impl Bodies {
    /// Reads the body of a REST call.
    pub(super) async fn read(
        &self,
        parts: &Parts,
        body: Body,
        sender: Sender,
    ) -> Result<Read, Refusal> {
        if body.is_end_stream() {
            return Ok(Read {
                bytes: Bytes::new(),
                _counted: None,
            });
        }
        let allowance = Allowance::of(parts.uri.path()).for_length(&parts.headers)?;
        let counted = self.turn(sender, allowance.bytes).await?;
        Ok(Read {
            bytes: allowance.read(body).await?,
            _counted: Some(counted),
        })
    }

    async fn turn(&self, sender: Sender, bytes: usize) -> Result<OwnedSemaphorePermit, Refusal> {
        let all = match sender {
            Sender::Stranger => &self.strangers,
            Sender::Caller => &self.callers,
        };
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX);
        let turn = timeout(TURN_WITHIN, Arc::clone(all).acquire_many_owned(units)).await;
        // The semaphore is never closed.
        turn.ok().and_then(Result::ok).ok_or(Refusal::Busy)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use http_body::Frame;

    use super::*;
    use crate::api::body::BodyError;

    const MESHES: &str = "/v20190125/meshes";

    /// A body that never comes.
    struct Never;

    impl HttpBody for Never {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Pending
        }
    }

    async fn read(
        bodies: &Bodies,
        path: &str,
        body: impl Into<Body>,
        sender: Sender,
    ) -> Result<Read, Refusal> {
        let (parts, ()) = Request::put(path).body(()).unwrap().into_parts();
        bodies.read(&parts, body.into(), sender).await
    }

    #[tokio::test(start_paused = true)]
    async fn bodies_that_are_too_many_are_refused_but_for_callers() {
        let bodies = Bodies::default();
        let mut unjudged = Vec::new();
        // Of these, the length is not said.
        for _ in 0..UNITS * UNIT / (2 << 20) {
            let body = read(&bodies, MESHES, "{}", Sender::Stranger).await;
            unjudged.push(body.unwrap());
        }
        let refused = read(&bodies, MESHES, "{}", Sender::Stranger).await;
        assert_eq!(refused.unwrap_err().name(), "TooManyRequestsException");
        let caller = read(&bodies, MESHES, "{}", Sender::Caller).await;
        assert_eq!(caller.unwrap().bytes, "{}");
        let none = read(&bodies, MESHES, Body::empty(), Sender::Stranger).await;
        assert_eq!(none.unwrap().bytes, "");
        unjudged.pop();
        let next = read(&bodies, MESHES, "{}", Sender::Stranger).await;
        assert_eq!(next.unwrap().bytes, "{}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_given_up() {
        let bodies = Bodies::default();
        let refused = read(&bodies, MESHES, Body::new(Never), Sender::Stranger).await;
        let refused = refused.unwrap_err();
        assert!(
            matches!(refused, Refusal::Body(BodyError::Late { seconds: 10 })),
            "{refused}"
        );
        assert_eq!(bodies.strangers.available_permits(), UNITS);
    }
}
