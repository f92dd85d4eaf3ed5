//! One row of the database: a checksum, and what the row says as JSON.
//!
//! redb's own checksums cover pages, and are looked at when the file is opened; a row's covers its key and its place too, so
//! that a row that turns up where it does not belong is noticed, and damage has a name.

use std::sync::Arc;

use serde::de::DeserializeSeed;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use super::{FileFact, Kept, Remembered};
use crate::model::tags::Tags;
use crate::model::{ResourceId, ResourceKind};
use crate::store::Revision;
use crate::store::record::{Owner, Record, Timestamp};

/// Kind, mesh, router or gateway, and name; empty where the kind has none.
pub(crate) type Key<'a> = (&'a str, &'a str, &'a str, &'a str);

pub(crate) fn key(id: &ResourceId) -> Key<'_> {
    let name = match id {
        ResourceId::Mesh(_) => "",
        _ => id.name(),
    };
    let parent = id.parent_name().unwrap_or_default();
    (id.kind().as_str(), id.mesh().as_str(), parent, name)
}

pub(crate) fn id((kind, mesh, parent, name): Key<'_>) -> Option<ResourceId> {
    let kind = ResourceKind::from_name(kind)?;
    Some(ResourceId::of_checked(kind, mesh, parent, name))
}

/// What a row's checksum covers beside its body: table and key, each part ended by a byte that none contains.
pub(super) fn place(table: &str, key: &[&str]) -> Vec<u8> {
    let mut place = Vec::new();
    for part in std::iter::once(&table).chain(key) {
        place.extend_from_slice(part.as_bytes());
        place.push(0xff);
    }
    place
}

/// The same of a resource's row.
pub(super) fn place_of(table: &str, (kind, mesh, parent, name): Key<'_>) -> Vec<u8> {
    place(table, &[kind, mesh, parent, name])
}

/// A body with its checksum before it.
pub(super) fn seal(place: &[u8], body: &[u8]) -> Vec<u8> {
    let mut row = checksum(place, body).to_le_bytes().to_vec();
    row.extend_from_slice(body);
    row
}

/// A row's checksum and its body; `None`: it is damaged.
pub(super) fn unseal<'a>(place: &[u8], row: &'a [u8]) -> Option<(u64, &'a [u8])> {
    let (sum, body) = row.split_first_chunk()?;
    let sum = u64::from_le_bytes(*sum);
    (checksum(place, body) == sum).then_some((sum, body))
}

/// A row's checksum, unchecked.
pub(super) fn sum_of(row: &[u8]) -> u64 {
    row.first_chunk().copied().map_or(0, u64::from_le_bytes)
}

fn checksum(place: &[u8], body: &[u8]) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(place);
    hash.update(body);
    hash.digest()
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Metadata {
    uid: String,
    created_at: Timestamp,
    updated_at: Timestamp,
    version: u64,
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    tags: Tags,
}

impl From<&Record> for Metadata {
    fn from(record: &Record) -> Self {
        Self {
            uid: record.uid.clone(),
            created_at: record.created_at,
            updated_at: record.updated_at,
            version: record.version,
            tags: record.tags.clone(),
        }
    }
}

impl From<Metadata> for Arc<Record> {
    fn from(metadata: Metadata) -> Self {
        Self::new(Record {
            uid: metadata.uid,
            created_at: metadata.created_at,
            updated_at: metadata.updated_at,
            version: metadata.version,
            tags: metadata.tags,
            owner: Owner::Api,
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Fact {
    uid: String,
    created_at: Timestamp,
    updated_at: Timestamp,
    version: u64,
    /// In hexadecimal: JSON's numbers have not that many bits everywhere.
    digest: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Token {
    digest: String,
    at: Timestamp,
    revision: u64,
    record: Metadata,
}

/// The record and, on a line of its own, the spec: read in one pass each, whatever the kind.
pub(super) fn print_resource(kept: &Kept) -> Vec<u8> {
    let mut body = json(&Metadata::from(kept.record.as_ref()));
    body.push(b'\n');
    body.append(&mut json(&kept.spec));
    body
}

pub(super) fn read_resource(kind: ResourceKind, body: &[u8]) -> Option<Kept> {
    let end = body.iter().position(|byte| *byte == b'\n')?;
    let (metadata, spec) = body.split_at_checked(end)?;
    let metadata: Metadata = serde_json::from_slice(metadata).ok()?;
    let mut spec = serde_json::Deserializer::from_slice(spec);
    Some(Kept {
        spec: kind.deserialize(&mut spec).ok()?,
        record: metadata.into(),
    })
}

pub(super) fn print_fact(fact: &FileFact) -> Vec<u8> {
    json(&Fact {
        uid: fact.uid.clone(),
        created_at: fact.created_at,
        updated_at: fact.updated_at,
        version: fact.version,
        digest: format!("{:032x}", fact.digest),
    })
}

pub(super) fn read_fact(body: &[u8]) -> Option<FileFact> {
    let fact: Fact = serde_json::from_slice(body).ok()?;
    Some(FileFact {
        uid: fact.uid,
        created_at: fact.created_at,
        updated_at: fact.updated_at,
        version: fact.version,
        digest: u128::from_str_radix(&fact.digest, 16).ok()?,
    })
}

pub(super) fn print_token(token: &Remembered) -> Vec<u8> {
    json(&Token {
        digest: format!("{:032x}", token.digest),
        at: token.at,
        revision: token.revision.as_u64(),
        record: token.record.as_ref().into(),
    })
}

pub(super) fn read_token(body: &[u8]) -> Option<Remembered> {
    let token: Token = serde_json::from_slice(body).ok()?;
    Some(Remembered {
        digest: u128::from_str_radix(&token.digest, 16).ok()?,
        at: token.at,
        revision: Revision::new(token.revision),
        record: token.record.into(),
    })
}

fn json(value: &impl Serialize) -> Vec<u8> {
    // Texts, numbers and maps by text only: none of it can fail to be printed.
    serde_json::to_vec(value).unwrap_or_default()
}
