//! One resource, encoded as it goes over the wire, and its version.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Weak};

use bytes::{Bytes, BytesMut};
use prost::Message;
use prost::encoding::{encoded_len_varint, key_len};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::canonical::{self, put_field, put_field_header};
use super::{Kind, ResourceName};

/// A version: a hash of content, printed in 11 characters so that a reconnecting client's list of them stays small.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(u64);

impl Version {
    pub const fn from_hash(hash: u64) -> Self {
        Self(hash)
    }

    /// Reads what [`fmt::Display`] prints; `None` for what no version prints.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != VERSION_LEN {
            return None;
        }
        let mut hash: u64 = 0;
        for byte in text.bytes() {
            let digit = VERSION_DIGITS.iter().position(|known| *known == byte)?;
            hash = hash.checked_mul(64)?.checked_add(digit as u64)?;
        }
        Some(Self(hash))
    }
}

/// The digits of base 64 in ASCII order, so that versions sort as their hashes do.
const VERSION_DIGITS: &[u8; 64] =
    b"-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz";
const VERSION_LEN: usize = 11;

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for place in (0..VERSION_LEN).rev() {
            let place = (self.0 >> (6 * place)) & 63;
            let digit = usize::try_from(place)
                .ok()
                .and_then(|place| VERSION_DIGITS.get(place));
            write!(f, "{}", char::from(*digit.unwrap_or(&b'-')))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A resource in its wire form, shared by every view and stream that has it.
///
/// Field 2 of `DiscoveryResponse` (an `Any`) and field 2 of the delta protocol's `Resource` (the same `Any`) have equal
/// bytes, so one buffer holds both: the delta entry, and inside it the SotW entry.
pub struct Resource {
    kind: Kind,
    name: ResourceName,
    version: Version,
    fingerprint: u64,
    delta_entry: Bytes,
    /// Where in `delta_entry` the SotW entry begins.
    sotw_at: usize,
    /// Where in it the message begins.
    body_at: usize,
}

impl Resource {
    /// Encodes a resource. `context` is mixed into the version: what else must make a client take the resource anew
    /// (the cluster of a load assignment, xDS protocol "Resource warming").
    pub fn new(
        kind: Kind,
        name: ResourceName,
        message: &impl Message,
        context: Option<Version>,
    ) -> Self {
        let body = canonical::encode(kind.type_url(), message);
        Self::of_canonical(kind, name, &body, context)
    }

    /// The same from a message that is encoded canonically, as of pieces that were each encoded so ([`canonical`]).
    pub fn of_canonical(
        kind: Kind,
        name: ResourceName,
        body: &[u8],
        context: Option<Version>,
    ) -> Self {
        let mut hash = Xxh3::new();
        hash.update(body);
        if let Some(Version(context)) = context {
            hash.update(&context.to_le_bytes());
        }
        Self::from_body(kind, name, Version(hash.digest()), body)
    }

    fn from_body(kind: Kind, name: ResourceName, version: Version, body: &[u8]) -> Self {
        let type_url = kind.type_url();
        let any_len = field_len(1, type_url.len()) + field_len(2, body.len());
        let version_text = version.to_string();
        let sotw_len = field_len(2, any_len);
        let resource_len = field_len(3, name.len()) + field_len(1, version_text.len()) + sotw_len;
        let mut wire = BytesMut::with_capacity(field_len(2, resource_len));
        put_field_header(2, resource_len, &mut wire);
        put_field(3, name.as_bytes(), &mut wire);
        put_field(1, version_text.as_bytes(), &mut wire);
        put_field_header(2, any_len, &mut wire);
        put_field(1, type_url.as_bytes(), &mut wire);
        put_field(2, body, &mut wire);
        let delta_entry = wire.freeze();
        let mut fingerprint = Xxh3::with_seed(version.0);
        fingerprint.update(name.as_bytes());
        Self {
            kind,
            fingerprint: fingerprint.digest(),
            name,
            version,
            sotw_at: delta_entry.len() - sotw_len,
            body_at: delta_entry.len() - body.len(),
            delta_entry,
        }
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    pub fn name(&self) -> &ResourceName {
        &self.name
    }

    pub fn version(&self) -> Version {
        self.version
    }

    /// The encoded message, without its type.
    pub fn body(&self) -> &[u8] {
        self.delta_entry.get(self.body_at..).unwrap_or_default()
    }

    /// The resource as one entry of a `DeltaDiscoveryResponse`, key and length included.
    pub fn delta_entry(&self) -> &[u8] {
        &self.delta_entry
    }

    /// The resource as one entry of a `DiscoveryResponse`, key and length included.
    pub fn sotw_entry(&self) -> &[u8] {
        self.delta_entry.get(self.sotw_at..).unwrap_or_default()
    }

    /// A hash of name and version, to be added up over a set.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }
}

impl PartialEq for Resource {
    fn eq(&self, other: &Self) -> bool {
        self.version == other.version
            && self.kind == other.kind
            && self.delta_entry == other.delta_entry
    }
}

impl Eq for Resource {}

impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}@{}", self.kind, self.name, self.version)
    }
}

fn field_len(tag: u32, len: usize) -> usize {
    key_len(tag) + encoded_len_varint(len as u64) + len
}

/// Keeps one copy of equal resources: what a thousand views share exists once.
#[derive(Debug, Default)]
pub struct Interner {
    known: HashMap<u64, Weak<Resource>>,
    /// Entries at which the dead ones are swept out; doubles with what stays alive.
    sweep_at: usize,
}

impl Interner {
    /// The resource that equals this one, if some view still holds it; else this one.
    pub fn intern(&mut self, resource: Resource) -> Arc<Resource> {
        let key = xxh3_64(&resource.delta_entry) ^ resource.kind as u64;
        if let Some(known) = self.known.get(&key).and_then(Weak::upgrade)
            && *known == resource
        {
            return known;
        }
        let resource = Arc::new(resource);
        self.known.insert(key, Arc::downgrade(&resource));
        if self.known.len() > self.sweep_at {
            self.known.retain(|_, resource| resource.strong_count() > 0);
            self.sweep_at = (self.known.len() * 2).max(1024);
        }
        resource
    }
}
