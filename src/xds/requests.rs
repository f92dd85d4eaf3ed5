//! Requests, read from the frames of HTTP/2 as gRPC lays them out: a flag, a length, the message.
//!
//! Most requests come in one frame and are read where they lie. Only one that does not is put together, in a buffer that
//! goes with it: a stream that waits holds none.

use std::marker::PhantomData;

use bytes::{Buf, Bytes, BytesMut};
use http_body_util::BodyExt;
use prost::Message;
use tonic::Status;
use tonic::body::Body;

/// A flag for compression, and four bytes of length.
const PREFIX: usize = 5;

/// The requests of one stream.
pub(super) struct Requests<R> {
    body: Body,
    /// What has come in and is not read yet.
    frame: Bytes,
    /// The beginning of a message whose end has not come in yet.
    begun: BytesMut,
    /// Bytes that one message may have.
    limit: usize,
    request: PhantomData<fn() -> R>,
}

impl<R: Message + Default> Requests<R> {
    pub(super) fn new(body: Body, limit: usize) -> Self {
        Self {
            body,
            frame: Bytes::new(),
            begun: BytesMut::new(),
            limit,
            request: PhantomData,
        }
    }

    /// The next request; `None` when the client has said its last. Cancel-safe.
    ///
    /// # Errors
    /// What the connection broke, or what the client sent is no request.
    pub(super) async fn message(&mut self) -> Result<Option<R>, Status> {
        loop {
            if let Some(message) = self.read()? {
                let decoded = R::decode(message).map(Some);
                return decoded.map_err(|error| {
                    Status::invalid_argument(format!(
                        "the request is no discovery request of this variant: {error}"
                    ))
                });
            }
            match self.body.frame().await {
                None if self.begun.is_empty() => return Ok(None),
                None => {
                    return Err(Status::invalid_argument(
                        "the stream ends in the middle of a request",
                    ));
                }
                Some(frame) => self.frame = frame?.into_data().unwrap_or_default(),
            }
        }
    }

    /// Takes a whole message out of what has come in.
    fn read(&mut self) -> Result<Option<Bytes>, Status> {
        if self.begun.is_empty()
            && let Some(len) = self.message_len(&self.frame)?
            && self.frame.len() - PREFIX >= len
        {
            self.frame.advance(PREFIX);
            return Ok(Some(self.frame.split_to(len)));
        }
        self.take_up_to(PREFIX);
        let Some(len) = self.message_len(&self.begun)? else {
            return Ok(None);
        };
        self.take_up_to(PREFIX + len);
        if self.begun.len() < PREFIX + len {
            return Ok(None);
        }
        let mut message = std::mem::take(&mut self.begun);
        message.advance(PREFIX);
        Ok(Some(message.freeze()))
    }

    /// Moves from the frame what the begun message lacks to so many bytes.
    fn take_up_to(&mut self, len: usize) {
        let missing = len.saturating_sub(self.begun.len()).min(self.frame.len());
        self.begun.extend_from_slice(&self.frame.split_to(missing));
    }

    /// The length that a message's prefix names, once it is all there.
    fn message_len(&self, begun: &[u8]) -> Result<Option<usize>, Status> {
        let Some((&[flag, ref len @ ..], _)) = begun.split_first_chunk::<PREFIX>() else {
            return Ok(None);
        };
        if flag != 0 {
            return Err(Status::unimplemented(
                "the request is compressed, which this server does not read; send it as it is",
            ));
        }
        let len = usize::try_from(u32::from_be_bytes(*len)).unwrap_or(usize::MAX);
        if len > self.limit {
            return Err(Status::out_of_range(format!(
                "the request is too large: {len} bytes, where one may have {}",
                self.limit
            )));
        }
        Ok(Some(len))
    }
}

#[cfg(test)]
mod tests {
    use http_body::Frame;
    use http_body_util::StreamBody;

    use super::*;
    use crate::xds::message::SotwRequest;

    fn requests(bytes: &[u8], frame: usize) -> Requests<SotwRequest> {
        let frames: Vec<_> = bytes
            .chunks(frame)
            .map(|chunk| Ok::<_, Status>(Frame::data(Bytes::copy_from_slice(chunk))))
            .collect();
        let body = Body::new(StreamBody::new(tokio_stream::iter(frames)));
        Requests::new(body, 20_000)
    }

    fn framed(request: &SotwRequest) -> Vec<u8> {
        let message = request.encode_to_vec();
        let len = u32::try_from(message.len()).unwrap().to_be_bytes();
        [&[0][..], &len, &message].concat()
    }

    #[tokio::test]
    async fn requests_are_read_however_they_are_cut_into_frames() {
        let sent: Vec<SotwRequest> = [0, 1, 300, 5000]
            .map(|len| SotwRequest {
                type_url: "x".repeat(len),
                node: Some(vec![7; len].into()),
                ..SotwRequest::default()
            })
            .into();
        let bytes: Vec<u8> = sent.iter().flat_map(framed).collect();
        for frame in [1, 2, 3, 4, 5, 6, 7, 100, 4096, bytes.len()] {
            let mut requests = requests(&bytes, frame);
            for request in &sent {
                assert_eq!(requests.message().await.unwrap().as_ref(), Some(request));
            }
            assert_eq!(requests.message().await.unwrap(), None);
            assert_eq!(requests.begun.capacity(), 0, "frames of {frame}");
        }
    }

    #[tokio::test]
    async fn what_is_no_request_is_an_error() {
        let good = framed(&SotwRequest::default());
        for (bytes, error) in [
            (&good[..3], "the stream ends in the middle"),
            (&[1, 0, 0, 0, 0], "compressed"),
            (&[0, 0, 1, 0, 0], "too large"),
            (&[0, 0, 0, 0, 1, 0xff], "no discovery request"),
        ] {
            let error_seen = requests(bytes, 2).message().await.unwrap_err();
            assert!(error_seen.message().contains(error), "{error_seen}");
        }
    }
}
