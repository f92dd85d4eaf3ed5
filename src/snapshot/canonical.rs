//! Canonical protobuf: the same message gives the same bytes, whatever order its maps are in.
//!
//! prost encodes a map in the order of its hash table, which differs from process to process. The encoded message is
//! walked along its descriptor, into nested messages and into `Any`s of known types, and the entries of each map are put
//! in the order of their bytes. Everything else stays as it was.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;
use prost::encoding::{
    DecodeContext, WireType, decode_key, decode_varint, encode_key, encode_varint, skip_field,
};
use prost_reflect::{Kind, MessageDescriptor};

use super::descriptors;

const ANY: &str = "google.protobuf.Any";
/// Nesting beyond which a message is left as it is; none that is built here comes near.
const MAX_DEPTH: usize = 60;

/// Encodes a message canonically. A type without a descriptor keeps prost's encoding.
pub fn encode(type_url: &str, message: &impl Message) -> Bytes {
    let encoded = Bytes::from(message.encode_to_vec());
    descriptors::message(type_url)
        .and_then(|descriptor| sort(&descriptor, &encoded, 0))
        .unwrap_or(encoded)
}

/// The message with its maps sorted; `None` if the bytes are not a message.
fn sort(descriptor: &MessageDescriptor, encoded: &Bytes, depth: usize) -> Option<Bytes> {
    if depth > MAX_DEPTH {
        return None;
    }
    if descriptor.full_name() == ANY {
        return sort_any(encoded, depth);
    }
    let mut fields = Vec::new();
    let mut rest = encoded.clone();
    while rest.has_remaining() {
        fields.push(Field::take(&mut rest)?);
    }
    for field in &mut fields {
        let Some(known) = descriptor.get_field(field.tag) else {
            continue;
        };
        if let (Kind::Message(nested), WireType::LengthDelimited) = (known.kind(), field.wire) {
            field.value = sort(&nested, &field.value, depth + 1)?;
            field.is_map_entry = known.is_map();
        }
    }
    // A stable sort that moves map entries only within the run that prost writes for one map.
    for run in fields.chunk_by_mut(|a, b| a.is_map_entry && b.is_map_entry && a.tag == b.tag) {
        if run.first().is_some_and(|field| field.is_map_entry) {
            run.sort_by(|a, b| a.value.cmp(&b.value));
        }
    }
    Some(join(&fields))
}

fn sort_any(encoded: &Bytes, depth: usize) -> Option<Bytes> {
    let mut fields = Vec::new();
    let mut rest = encoded.clone();
    while rest.has_remaining() {
        fields.push(Field::take(&mut rest)?);
    }
    let type_url = fields
        .iter()
        .find(|field| field.tag == 1)
        .map(|field| field.value.clone());
    let descriptor = type_url.and_then(|url| descriptors::message(std::str::from_utf8(&url).ok()?));
    if let Some(descriptor) = descriptor {
        for field in fields.iter_mut().filter(|field| field.tag == 2) {
            field.value = sort(&descriptor, &field.value, depth + 1)?;
        }
    }
    Some(join(&fields))
}

/// One field as it stands on the wire.
struct Field {
    tag: u32,
    wire: WireType,
    /// For a length-delimited field what the length covers; for any other the bytes after the key.
    value: Bytes,
    is_map_entry: bool,
}

impl Field {
    fn take(rest: &mut Bytes) -> Option<Self> {
        let (tag, wire) = decode_key(rest).ok()?;
        let value = if wire == WireType::LengthDelimited {
            let len = usize::try_from(decode_varint(rest).ok()?).ok()?;
            if len > rest.remaining() {
                return None;
            }
            rest.split_to(len)
        } else {
            let before = rest.clone();
            skip_field(wire, tag, rest, DecodeContext::default()).ok()?;
            before.slice(..before.len() - rest.len())
        };
        Some(Self {
            tag,
            wire,
            value,
            is_map_entry: false,
        })
    }
}

fn join(fields: &[Field]) -> Bytes {
    let mut out = BytesMut::new();
    for field in fields {
        encode_key(field.tag, field.wire, &mut out);
        if field.wire == WireType::LengthDelimited {
            encode_varint(field.value.len() as u64, &mut out);
        }
        out.put_slice(&field.value);
    }
    out.freeze()
}
