//! The body of a large answer, whose call counts until the answer has been sent, or is not read.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Bytes, HttpBody};
use http_body::{Frame, SizeHint};
use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Place;

/// Bytes that are handed over at a time. Whoever sends asks for more when these are on their way: of one large piece, nobody
/// would know when it was.
const PIECE: usize = 64 << 10;
/// A client that has taken no piece for so long, and up to twice as long, does not read.
const UNREAD: Duration = Duration::from_secs(30);

/// An answer that is not read is given up from outside, for whoever sends it asks for no more then.
#[derive(Debug)]
pub(super) struct Sending {
    rest: Rest,
    _sent: DropGuard,
}

/// What is yet to be sent.
#[derive(Clone, Debug)]
struct Rest(Arc<Mutex<Unsent>>);

#[derive(Debug)]
struct Unsent {
    bytes: Bytes,
    /// Pieces that were handed over.
    pieces: usize,
    /// `None`: it is given up.
    place: Option<Place>,
}

/// Why an answer ends before its end.
#[derive(Debug, thiserror::Error)]
#[error("the client does not read its answer")]
pub(super) struct Unread;

impl Sending {
    /// An answer, and what has to run until it is sent; `unread` is what to do when it is given up.
    pub(super) fn new(
        body: Vec<u8>,
        place: Place,
        unread: impl FnOnce() + Send + 'static,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let rest = Rest(Arc::new(Mutex::new(Unsent {
            bytes: body.into(),
            pieces: 0,
            place: Some(place),
        })));
        let sent = CancellationToken::new();
        let watch = watch(rest.clone(), sent.clone(), unread);
        let sending = Self {
            rest,
            _sent: sent.drop_guard(),
        };
        (sending, watch)
    }
}

/// Gives the answer up if it is not read.
async fn watch(rest: Rest, sent: CancellationToken, unread: impl FnOnce()) {
    let mut seen = 0;
    loop {
        tokio::select! {
            () = sent.cancelled() => return,
            () = sleep(UNREAD) => {}
        }
        let mut unsent = rest.lock();
        if unsent.pieces == seen {
            unsent.give_up();
            break;
        }
        seen = unsent.pieces;
    }
    unread();
}

impl Rest {
    fn lock(&self) -> MutexGuard<'_, Unsent> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Unsent {
    fn give_up(&mut self) {
        self.bytes = Bytes::new();
        self.place = None;
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.rest.lock().give_up();
    }
}

impl HttpBody for Sending {
    type Data = Bytes;
    type Error = Unread;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Unread>>> {
        let mut unsent = self.rest.lock();
        if unsent.place.is_none() {
            return Poll::Ready(Some(Err(Unread)));
        }
        if unsent.bytes.is_empty() {
            return Poll::Ready(None);
        }
        unsent.pieces += 1;
        let length = PIECE.min(unsent.bytes.len());
        // A copy: a part would keep the whole until it is sent.
        let piece = Bytes::copy_from_slice(&unsent.bytes.split_to(length));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        let unsent = self.rest.lock();
        unsent.place.is_some() && unsent.bytes.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.lock().bytes.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use prometheus::Registry;
    use tokio::sync::{Semaphore, oneshot};
    use tokio::task::JoinSet;
    use tokio::time::advance;

    use super::super::metrics::Metrics;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_takes_little_is_waited_for_and_who_takes_nothing_is_not() {
        let places = Arc::new(Semaphore::new(1));
        let place = Place {
            _permit: Arc::clone(&places).try_acquire_owned().unwrap(),
            _list: None,
            _open: Metrics::register(&Registry::new()).unwrap().open(),
        };
        let (is_unread, unread) = oneshot::channel();
        let (mut sending, watch) = Sending::new(vec![0; 9 * PIECE], place, move || {
            is_unread.send(()).unwrap();
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(watch);
        for _ in 0..8 {
            assert!(sending.frame().await.unwrap().is_ok());
            advance(UNREAD * 9 / 10).await;
            tokio::task::yield_now().await;
        }
        assert_eq!((places.available_permits(), tasks.len()), (0, 1));
        unread.await.unwrap();
        assert_eq!(places.available_permits(), 1);
        assert!(!sending.is_end_stream());
        assert!(sending.frame().await.unwrap().is_err());
        tasks.join_next().await.unwrap().unwrap();
    }
}
