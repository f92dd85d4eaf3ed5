//! Canonical protobuf: the same message gives the same bytes, whatever order its maps are in.
//!
//! prost encodes a map in the order of its hash table, which differs from process to process. The encoded message is
//! walked along its descriptor, into nested messages and into `Any`s of known types, and the entries of each map are put
//! in the order of their bytes. Everything else stays as it was.

use bytes::{BufMut, Bytes};
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
    let mut encoded = message.encode_to_vec();
    if let Some(descriptor) = descriptors::message(type_url) {
        // Only what is not a message is not sorted, and prost has just written one.
        let _is_message = sort(&descriptor, &mut encoded, 0);
    }
    encoded.into()
}

/// Writes a field that has a length: a text, bytes or a message, encoded.
pub(crate) fn put_field(tag: u32, value: &[u8], out: &mut impl BufMut) {
    put_field_header(tag, value.len(), out);
    out.put_slice(value);
}

/// Writes what comes before the value of such a field.
pub(crate) fn put_field_header(tag: u32, len: usize, out: &mut impl BufMut) {
    encode_key(tag, WireType::LengthDelimited, out);
    encode_varint(len as u64, out);
}

/// Sorts a message's maps where they stand: the lengths of what is around them stay. `None` if it is not a message.
fn sort(descriptor: &MessageDescriptor, encoded: &mut [u8], depth: usize) -> Option<()> {
    if depth > MAX_DEPTH {
        return None;
    }
    if descriptor.full_name() == ANY {
        return sort_any(encoded, depth);
    }
    // The entries of one map, as prost writes them: side by side.
    let mut run: Vec<Field> = Vec::new();
    let mut at = 0;
    while at < encoded.len() {
        let field = Field::read(encoded, at)?;
        at = field.end;
        if run.first().is_some_and(|first| first.tag != field.tag) {
            sort_run(encoded, &mut run)?;
        }
        if field.wire != WireType::LengthDelimited {
            continue;
        }
        let known = descriptor.get_field(field.tag);
        if let Some((Kind::Message(nested), known)) = known.map(|known| (known.kind(), known)) {
            sort(&nested, field.value(encoded)?, depth + 1)?;
            if known.is_map() {
                run.push(field);
            }
        }
    }
    sort_run(encoded, &mut run)
}

fn sort_any(encoded: &mut [u8], depth: usize) -> Option<()> {
    let (mut type_url, mut values) = (None, Vec::new());
    let mut at = 0;
    while at < encoded.len() {
        let field = Field::read(encoded, at)?;
        at = field.end;
        match field.tag {
            1 => type_url = Some(field),
            2 => values.push(field),
            _ => {}
        }
    }
    let descriptor = type_url.and_then(|url| {
        let url = std::str::from_utf8(url.value(encoded)?).ok()?;
        descriptors::message(url)
    });
    if let Some(descriptor) = descriptor {
        for value in values {
            sort(&descriptor, value.value(encoded)?, depth + 1)?;
        }
    }
    Some(())
}

/// Puts the entries of a map in the order of their bytes, and ends the run.
fn sort_run(encoded: &mut [u8], run: &mut Vec<Field>) -> Option<()> {
    let run = std::mem::take(run);
    let (Some(first), Some(last)) = (run.first(), run.last()) else {
        return Some(());
    };
    let place = first.start..last.end;
    let mut entries: Vec<(&[u8], &[u8])> = Vec::with_capacity(run.len());
    for field in &run {
        entries.push((
            encoded.get(field.value..field.end)?,
            encoded.get(field.start..field.end)?,
        ));
    }
    if entries.is_sorted_by(|(a, _), (b, _)| a <= b) {
        return Some(());
    }
    entries.sort_by_key(|(value, _)| *value);
    let sorted: Vec<u8> = entries
        .iter()
        .flat_map(|(_, entry)| *entry)
        .copied()
        .collect();
    encoded.get_mut(place)?.copy_from_slice(&sorted);
    Some(())
}

/// Where one field stands.
struct Field {
    tag: u32,
    wire: WireType,
    start: usize,
    /// Where what the length covers begins; of any other field, what follows the key.
    value: usize,
    end: usize,
}

impl Field {
    fn read(encoded: &[u8], start: usize) -> Option<Self> {
        let mut rest = encoded.get(start..)?;
        let (tag, wire) = decode_key(&mut rest).ok()?;
        let (value, end);
        if wire == WireType::LengthDelimited {
            let len = usize::try_from(decode_varint(&mut rest).ok()?).ok()?;
            value = encoded.len() - rest.len();
            end = value.checked_add(len).filter(|end| *end <= encoded.len())?;
        } else {
            value = encoded.len() - rest.len();
            skip_field(wire, tag, &mut rest, DecodeContext::default()).ok()?;
            end = encoded.len() - rest.len();
        }
        Some(Self {
            tag,
            wire,
            start,
            value,
            end,
        })
    }

    fn value<'a>(&self, encoded: &'a mut [u8]) -> Option<&'a mut [u8]> {
        encoded.get_mut(self.value..self.end)
    }
}
