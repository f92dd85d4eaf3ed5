//! Responses, encoded in pieces: a header of the stream's own, then entries that other streams send too.
//!
//! Protobuf reads fields in any order, so a message is the header's bytes followed by the entries' bytes, and no entry
//! is ever copied or encoded again.

use bytes::Bytes;
use prost::Message;

use super::stream::Response;
use crate::snapshot::{Kind, Resource, ResourceName};

/// What every response says of its sender. Envoy shows it in the statistic `control_plane.identifier`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct ControlPlane {
    #[prost(string, tag = "1")]
    pub(super) identifier: String,
}

impl ControlPlane {
    pub(super) fn outrigger() -> Self {
        Self {
            identifier: "outrigger".to_owned(),
        }
    }
}

/// `DiscoveryResponse` without its resources.
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct SotwHeader {
    #[prost(string, tag = "1")]
    version_info: String,
    #[prost(string, tag = "4")]
    type_url: String,
    #[prost(string, tag = "5")]
    nonce: String,
    #[prost(message, optional, tag = "6")]
    control_plane: Option<ControlPlane>,
}

/// `DeltaDiscoveryResponse` without its resources.
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct DeltaHeader {
    #[prost(string, tag = "1")]
    system_version_info: String,
    #[prost(string, tag = "4")]
    type_url: String,
    #[prost(string, tag = "5")]
    nonce: String,
    #[prost(string, repeated, tag = "6")]
    removed_resources: Vec<String>,
    #[prost(message, optional, tag = "7")]
    control_plane: Option<ControlPlane>,
}

/// What a response's header says.
#[derive(Debug)]
pub(super) struct Header<'a> {
    pub(super) type_url: &'a str,
    pub(super) version: String,
    pub(super) nonce: u64,
}

pub(super) fn sotw<'a>(
    header: Header<'_>,
    resources: impl Iterator<Item = &'a Resource>,
) -> Response {
    let encoded = SotwHeader {
        version_info: header.version,
        type_url: header.type_url.to_owned(),
        nonce: header.nonce.to_string(),
        control_plane: Some(ControlPlane::outrigger()),
    }
    .encode_to_vec();
    pieces(
        header.type_url,
        encoded,
        resources.map(Resource::sotw_entry),
    )
}

pub(super) fn delta<'a>(
    header: Header<'_>,
    resources: impl Iterator<Item = &'a Resource>,
    removed: impl Iterator<Item = &'a ResourceName>,
) -> Response {
    let encoded = DeltaHeader {
        system_version_info: header.version,
        type_url: header.type_url.to_owned(),
        nonce: header.nonce.to_string(),
        removed_resources: removed.map(|name| String::from(&**name)).collect(),
        control_plane: Some(ControlPlane::outrigger()),
    }
    .encode_to_vec();
    pieces(
        header.type_url,
        encoded,
        resources.map(Resource::delta_entry),
    )
}

fn pieces(type_url: &str, header: Vec<u8>, entries: impl Iterator<Item = Bytes>) -> Response {
    let mut pieces = Vec::with_capacity(1 + entries.size_hint().0);
    pieces.push(header.into());
    pieces.extend(entries);
    Response {
        kind: Kind::from_type_url(type_url),
        pieces,
    }
}
