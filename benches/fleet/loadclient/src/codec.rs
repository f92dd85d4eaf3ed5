//! A tonic codec that also reports each message's size, and that decodes from
//! a contiguous `Bytes` so that `bytes` fields stay slices of it.

use bytes::Buf;
use prost::Message;
use std::marker::PhantomData;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// A decoded message and the length of its encoding.
pub(crate) struct Sized<T> {
    pub(crate) len: usize,
    pub(crate) message: T,
}

pub(crate) struct SizedCodec<Req, Resp>(PhantomData<fn() -> (Req, Resp)>);

impl<Req, Resp> Default for SizedCodec<Req, Resp> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<Req: Message + 'static, Resp: Message + Default + 'static> Codec for SizedCodec<Req, Resp> {
    type Encode = Req;
    type Decode = Sized<Resp>;
    type Encoder = ProstEncoder<Req>;
    type Decoder = SizedDecoder<Resp>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder(PhantomData)
    }

    fn decoder(&mut self) -> Self::Decoder {
        SizedDecoder(PhantomData)
    }
}

pub(crate) struct ProstEncoder<T>(PhantomData<fn() -> T>);

impl<T: Message> Encoder for ProstEncoder<T> {
    type Item = T;
    type Error = Status;

    fn encode(&mut self, item: T, dst: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.encode(dst)
            .map_err(|e| Status::internal(e.to_string()))
    }
}

pub(crate) struct SizedDecoder<T>(PhantomData<fn() -> T>);

impl<T: Message + Default> Decoder for SizedDecoder<T> {
    type Item = Sized<T>;
    type Error = Status;

    fn decode(&mut self, src: &mut DecodeBuf<'_>) -> Result<Option<Sized<T>>, Status> {
        let len = src.remaining();
        let bytes = src.copy_to_bytes(len);
        let message = T::decode(bytes).map_err(|e| Status::internal(e.to_string()))?;
        Ok(Some(Sized { len, message }))
    }
}
