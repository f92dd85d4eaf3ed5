//! A service that answers few calls at a time, each until the last of its answer has been handed to the connection: what a
//! slow reader has yet to take is not forgotten.
//!
//! A streaming call has many answers and may ask for none: it counts with each answer ([`Turns`]). Streams that are open
//! have a limit of their own.

use std::convert::Infallible;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::server::NamedService;
use tower_service::Service;

/// The inner service, for a limited number of calls. A clone has the same limits.
#[derive(Clone, Debug)]
pub(in crate::xds) struct Few<S> {
    inner: S,
    answers: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    /// How the paths of streaming calls end.
    streaming: &'static str,
}

impl<S> Few<S> {
    pub(super) fn new(inner: S, answers: usize, streams: usize, streaming: &'static str) -> Self {
        Self {
            inner,
            answers: Arc::new(Semaphore::new(answers)),
            streams: Arc::new(Semaphore::new(streams)),
            streaming,
        }
    }
}

impl<S: NamedService> NamedService for Few<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for Few<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let turns = Turns {
            answers: Arc::clone(&self.answers),
            handed: Arc::default(),
        };
        let permit = if request.uri().path().ends_with(self.streaming) {
            let message = "as many streams are open as this service takes; retry later";
            permit(&self.streams, message)
        } else {
            turns.take()
        };
        let permit = match permit {
            Ok(permit) => permit,
            Err(refused) => return Box::pin(std::future::ready(Ok(refused.into_http()))),
        };
        request.extensions_mut().insert(turns.clone());
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await?;
            Ok(answer.map(|body| {
                Body::new(Counted {
                    body,
                    permit: Some(permit),
                    turns,
                })
            }))
        })
    }
}

fn permit(permits: &Arc<Semaphore>, refusal: &str) -> Result<OwnedSemaphorePermit, Status> {
    let permit = Arc::clone(permits).try_acquire_owned();
    permit.map_err(|_| Status::resource_exhausted(refusal))
}

/// How the answers of one call count. It is among the extensions of the call's request.
#[derive(Clone, Debug)]
pub(super) struct Turns {
    answers: Arc<Semaphore>,
    /// Those of answers that the body has, or had in the frame before.
    handed: Arc<Mutex<Vec<OwnedSemaphorePermit>>>,
}

impl Turns {
    /// The turn for an answer, before it is put together.
    pub(super) fn take(&self) -> Result<OwnedSemaphorePermit, Status> {
        let message = "others are being answered, as many as this service takes; retry later";
        permit(&self.answers, message)
    }

    /// Counts an answer that the body takes now, until the connection has it.
    pub(super) fn hand(&self, permit: OwnedSemaphorePermit) {
        let mut handed = self.handed.lock().unwrap_or_else(PoisonError::into_inner);
        handed.push(permit);
    }

    fn release(&self) {
        let mut handed = self.handed.lock().unwrap_or_else(PoisonError::into_inner);
        drop(mem::take(&mut *handed));
    }
}

/// An answer that counts until its end.
struct Counted {
    body: Body,
    permit: Option<OwnedSemaphorePermit>,
    turns: Turns,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.turns.release();
    }
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        // The connection asks for more only when it has taken what it got.
        self.turns.release();
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if frame.is_none() {
            self.permit = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
