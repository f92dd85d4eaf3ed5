//! The body of a large answer, whose call counts until the answer has been sent.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Bytes, HttpBody};
use http_body::{Frame, SizeHint};

use super::Place;

/// Bytes that are handed over at a time. Whoever sends asks for more when these are on their way: of one large piece, nobody
/// would know when it was.
const PIECE: usize = 64 << 10;

#[derive(Debug)]
pub(super) struct Sending {
    rest: Bytes,
    _place: Place,
}

impl Sending {
    pub(super) fn new(body: Vec<u8>, place: Place) -> Self {
        Self {
            rest: body.into(),
            _place: place,
        }
    }
}

impl HttpBody for Sending {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let length = PIECE.min(self.rest.len());
        let piece = self.rest.split_to(length);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}
