//! Responses as bytes: the body, which replicas share, and the nonce, which is the stream's own.
//!
//! Protobuf reads fields in any order, so a message is a header, the entries as they were encoded once and for all, and
//! the nonce at the end. The nonce is as long in every response, so that gRPC's prefix, which says how long the message
//! is, belongs to the body too.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::{BufMut, Bytes};
use prost::Message;

use super::stream::{Entries, Response};
use crate::snapshot::Resource;

/// What every response says of its sender. Envoy shows it in the statistic `control_plane.identifier`.
const IDENTIFIER: &str = "outrigger";
/// The key and the length of the nonce's field, which is number 5 in both variants.
const NONCE_FIELD: [u8; 2] = [5 << 3 | 2, NONCE_DIGITS];
const NONCE_DIGITS: u8 = 16;
const NONCE_LEN: usize = NONCE_FIELD.len() + NONCE_DIGITS as usize;
/// gRPC: a flag for compression, and four bytes of length.
const PREFIX: usize = 5;
/// Bodies of so many bytes are shared. A smaller one is copied sooner than found.
const SHARED_BODY: usize = 16 << 10;

/// `core.v3.ControlPlane`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct ControlPlane {
    #[prost(string, tag = "1")]
    identifier: String,
}

/// `DiscoveryResponse` without its resources and its nonce.
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct SotwHeader {
    #[prost(string, tag = "1")]
    version_info: String,
    #[prost(string, tag = "4")]
    type_url: String,
    #[prost(message, optional, tag = "6")]
    control_plane: Option<ControlPlane>,
}

/// `DeltaDiscoveryResponse` without its resources and its nonce.
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct DeltaHeader {
    #[prost(string, tag = "1")]
    system_version_info: String,
    #[prost(string, tag = "4")]
    type_url: String,
    #[prost(string, repeated, tag = "6")]
    removed_resources: Vec<String>,
    #[prost(message, optional, tag = "7")]
    control_plane: Option<ControlPlane>,
}

/// A nonce as it is sent: always of the same length.
pub(super) fn nonce(number: u64) -> String {
    format!("{number:016x}")
}

/// Reads what [`nonce`] prints; `None` for what no stream ever sent.
pub(super) fn parse_nonce(text: &str) -> Option<u64> {
    let number = u64::from_str_radix(text, 16).ok()?;
    (nonce(number) == text).then_some(number)
}

/// How many bodies, and of how many bytes together, are kept though nobody is being sent them: of each type one, for the
/// next client of a storm.
const RECENT: usize = 4;
const RECENT_BYTES: usize = 4 << 20;

/// The bodies that are on their way to some client, or were lately.
#[derive(Debug, Default)]
pub(super) struct Bodies {
    /// Drawn anew in each process, so that no client can make two responses look the same.
    key: RandomState,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    bodies: HashMap<u64, Weak<Vec<u8>>>,
    /// Entries at which the dead ones are swept out.
    sweep_at: usize,
    recent: VecDeque<Arc<Vec<u8>>>,
}

impl Known {
    fn keep(&mut self, body: &Arc<Vec<u8>>) {
        self.recent.push_front(Arc::clone(body));
        self.recent.truncate(RECENT);
        let mut bytes = 0;
        self.recent.retain(|body| {
            bytes += body.len();
            bytes <= RECENT_BYTES
        });
    }
}

/// A body that several responses are sent from.
struct Shared(Arc<Vec<u8>>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Bodies {
    /// A response with gRPC's prefix, as the data of one or two HTTP/2 frames.
    pub(super) fn frames(&self, response: &Response) -> [Bytes; 2] {
        let mut nonce = Vec::with_capacity(NONCE_LEN);
        put_nonce(response, &mut nonce);
        if response.entries_len() < SHARED_BODY {
            let mut message = body(response);
            message.extend(nonce);
            return [message.into(), Bytes::new()];
        }
        [
            Bytes::from_owner(Shared(self.shared(response))),
            nonce.into(),
        ]
    }

    /// Everything that a response's body depends on.
    fn fingerprint(&self, response: &Response) -> u64 {
        let mut hash = self.key.build_hasher();
        (&response.type_url, response.version).hash(&mut hash);
        let (resources, removed) = match &response.entries {
            Entries::Sotw(resources) => (resources, None),
            Entries::Delta { resources, removed } => (resources, Some(removed)),
        };
        for resource in resources {
            resource.fingerprint().hash(&mut hash);
        }
        (resources.len(), removed).hash(&mut hash);
        hash.finish()
    }

    fn shared(&self, response: &Response) -> Arc<Vec<u8>> {
        let key = self.fingerprint(response);
        let lock = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(body) = lock().bodies.get(&key).and_then(Weak::upgrade) {
            return body;
        }
        // Not under the lock: two streams may each encode it once, and nobody waits.
        let body = Arc::new(body(response));
        let mut known = lock();
        known.keep(&body);
        if known.bodies.len() >= known.sweep_at {
            known.bodies.retain(|_, body| body.strong_count() > 0);
            known.sweep_at = (known.bodies.len() * 2).max(64);
        }
        known.bodies.insert(key, Arc::downgrade(&body));
        body
    }
}

/// gRPC's prefix and the message without its nonce.
fn body(response: &Response) -> Vec<u8> {
    let control_plane = Some(ControlPlane {
        identifier: IDENTIFIER.to_owned(),
    });
    let version = response
        .version
        .map(|version| version.to_string())
        .unwrap_or_default();
    let type_url = String::from(&*response.type_url);
    let header = match &response.entries {
        Entries::Sotw(_) => SotwHeader {
            version_info: version,
            type_url,
            control_plane,
        }
        .encode_to_vec(),
        Entries::Delta { removed, .. } => DeltaHeader {
            system_version_info: version,
            type_url,
            removed_resources: removed.iter().map(|name| String::from(&**name)).collect(),
            control_plane,
        }
        .encode_to_vec(),
    };
    let len = header.len() + response.entries_len() + NONCE_LEN;
    let mut body = Vec::with_capacity(PREFIX + len);
    body.put_u8(0);
    body.put_u32(u32::try_from(len).unwrap_or(u32::MAX));
    body.put_slice(&header);
    for entry in response.entries() {
        body.put_slice(entry);
    }
    body
}

fn put_nonce(response: &Response, out: &mut Vec<u8>) {
    out.put_slice(&NONCE_FIELD);
    out.put_slice(nonce(response.nonce).as_bytes());
}

impl Response {
    /// The whole message, without gRPC's prefix.
    pub fn encode(&self) -> Vec<u8> {
        let mut message = body(self).split_off(PREFIX);
        put_nonce(self, &mut message);
        message
    }

    fn entries(&self) -> impl Iterator<Item = &[u8]> {
        let (resources, entry): (_, fn(&Resource) -> &[u8]) = match &self.entries {
            Entries::Sotw(resources) => (resources, Resource::sotw_entry),
            Entries::Delta { resources, .. } => (resources, Resource::delta_entry),
        };
        resources.iter().map(move |resource| entry(resource))
    }

    fn entries_len(&self) -> usize {
        self.entries().map(<[u8]>::len).sum()
    }
}

#[cfg(test)]
mod tests;
