//! A stream's response body, which is also what drives its session: whenever HTTP/2 can take a frame, and whenever
//! something that the session waits for has come.
//!
//! The session has no task of its own, nor a queue between: a change or a request wakes one task, which steps and hands
//! over what the step says. A session is therefore left alone while HTTP/2 has a frame of it that the client does not
//! take yet, and it is dropped where it stands when its stream or connection is gone.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::Frame;

/// Where a session leaves frames for its body: those of one message, which are not taken back, or HTTP/2 would cut it.
#[derive(Clone, Debug, Default)]
pub(super) struct Outbox(Arc<Mutex<VecDeque<Frame<Bytes>>>>);

impl Outbox {
    /// Leaves a message's frames and waits until they are taken, the first as soon as the session waits.
    pub(super) async fn send(&self, frames: impl IntoIterator<Item = Frame<Bytes>>) {
        // A session that gives up what it was about has perhaps just left some.
        self.emptied().await;
        self.frames().extend(frames);
        self.emptied().await;
    }

    /// Nobody need be woken: the session is polled next when a frame of it has been taken.
    async fn emptied(&self) {
        poll_fn(|_| {
            if self.frames().is_empty() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }

    fn frames(&self) -> MutexGuard<'_, VecDeque<Frame<Bytes>>> {
        // Nothing can panic while it is locked, so what a poisoned lock guards is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The body. It ends with its session.
pub(super) struct SessionBody<F> {
    /// `None` once it has ended.
    session: Option<Pin<Box<F>>>,
    outbox: Outbox,
}

impl<F: Future<Output = ()>> SessionBody<F> {
    pub(super) fn new(session: F, outbox: Outbox) -> Self {
        Self {
            session: Some(Box::pin(session)),
            outbox,
        }
    }
}

impl<F: Future<Output = ()>> http_body::Body for SessionBody<F> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(session) = &mut self.session
            && session.as_mut().poll(context).is_ready()
        {
            self.session = None;
        }
        let frame = self.outbox.frames().pop_front();
        match frame {
            Some(frame) => Poll::Ready(Some(Ok(frame))),
            None if self.session.is_none() => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use tokio::sync::oneshot;

    use super::*;

    fn data(text: &'static str) -> Frame<Bytes> {
        Frame::data(Bytes::from_static(text.as_bytes()))
    }

    #[tokio::test]
    async fn frames_come_in_order_and_the_body_ends_with_its_session() {
        let outbox = Outbox::default();
        let session = {
            let outbox = outbox.clone();
            async move {
                outbox.send([data("a")]).await;
                tokio::task::yield_now().await;
                outbox.send([data("b")]).await;
                outbox.send([data("c")]).await;
            }
        };
        let body = SessionBody::new(session, outbox);
        assert_eq!(body.collect().await.unwrap().to_bytes(), "abc");
    }

    #[tokio::test]
    async fn a_message_that_was_begun_is_whole_before_the_last_words() {
        let outbox = Outbox::default();
        let session = {
            let outbox = outbox.clone();
            async move {
                tokio::select! {
                    biased;
                    () = outbox.send([data("a"), data("b")]) => {}
                    () = std::future::ready(()) => outbox.send([data("c")]).await,
                }
            }
        };
        let body = SessionBody::new(session, outbox);
        assert_eq!(body.collect().await.unwrap().to_bytes(), "abc");
    }

    #[tokio::test]
    async fn a_session_goes_on_only_after_its_frame_is_taken() {
        let outbox = Outbox::default();
        let (sender, mut went_on) = oneshot::channel();
        let session = {
            let outbox = outbox.clone();
            async move {
                outbox.send([data("a")]).await;
                sender.send(()).unwrap();
            }
        };
        let mut body = SessionBody::new(session, outbox);
        assert!(body.frame().await.is_some());
        assert!(went_on.try_recv().is_err());
        assert!(body.frame().await.is_none());
        went_on.await.unwrap();
    }
}
