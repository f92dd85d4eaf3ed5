//! The two variants of the ADS protocol behind one interface.

use crate::wire::{DeltaRequest, DeltaResponse, Kind, Resource, SotwRequest, SotwResponse};
use bytes::Bytes;
use prost::Message;
use std::collections::HashMap;

/// Versions of the resources held, by name.
pub(crate) type Versions = HashMap<String, String>;

/// A request in terms that both variants can be written from.
pub(crate) struct Outgoing<'a> {
    pub(crate) node: Option<Bytes>,
    pub(crate) kind: Kind,
    /// All names subscribed to; empty for a wildcard subscription.
    pub(crate) names: &'a [Bytes],
    /// Names newly subscribed to and newly dropped by this request.
    pub(crate) added: &'a [Bytes],
    pub(crate) removed: &'a [Bytes],
    /// What is held already, in the first request of a stream that replaces another.
    pub(crate) held: Option<&'a Versions>,
    /// The last accepted version of this type, and the nonce of the last response.
    pub(crate) version: &'a str,
    pub(crate) nonce: &'a str,
    /// Whether this request answers the response that carried `nonce`.
    pub(crate) is_ack: bool,
}

/// A response in terms that both variants can be read into.
pub(crate) struct Incoming {
    pub(crate) type_url: String,
    pub(crate) nonce: String,
    pub(crate) version: String,
    pub(crate) resources: Vec<Resource>,
    pub(crate) removed: Vec<Bytes>,
}

pub(crate) trait Protocol: Send + Sync + 'static {
    type Request: Message + 'static;
    type Response: Message + Default + Into<Incoming> + 'static;
    /// The gRPC method.
    const PATH: &'static str;
    /// Whether a response holds changes only, for every type.
    const INCREMENTAL: bool;

    fn request(out: Outgoing<'_>) -> Self::Request;
}

/// State of the world: `StreamAggregatedResources`.
pub(crate) struct Sotw;

impl Protocol for Sotw {
    type Request = SotwRequest;
    type Response = SotwResponse;
    const PATH: &'static str =
        "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources";
    const INCREMENTAL: bool = false;

    fn request(out: Outgoing<'_>) -> SotwRequest {
        SotwRequest {
            node: out.node,
            type_url: Bytes::from_static(out.kind.type_url().as_bytes()),
            resource_names: out.names.to_vec(),
            version_info: out.version.into(),
            response_nonce: out.nonce.into(),
        }
    }
}

impl From<SotwResponse> for Incoming {
    fn from(response: SotwResponse) -> Self {
        Incoming {
            type_url: response.type_url,
            nonce: response.nonce,
            version: response.version_info,
            resources: response
                .resources
                .into_iter()
                .map(|any| Resource::unnamed(any.value))
                .collect(),
            removed: Vec::new(),
        }
    }
}

/// Incremental: `DeltaAggregatedResources`.
pub(crate) struct Delta;

impl Protocol for Delta {
    type Request = DeltaRequest;
    type Response = DeltaResponse;
    const PATH: &'static str =
        "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";
    const INCREMENTAL: bool = true;

    fn request(out: Outgoing<'_>) -> DeltaRequest {
        DeltaRequest {
            node: out.node,
            type_url: Bytes::from_static(out.kind.type_url().as_bytes()),
            resource_names_subscribe: out.added.to_vec(),
            resource_names_unsubscribe: out.removed.to_vec(),
            initial_resource_versions: out.held.cloned().unwrap_or_default(),
            response_nonce: if out.is_ack {
                out.nonce.into()
            } else {
                String::new()
            },
        }
    }
}

impl From<DeltaResponse> for Incoming {
    fn from(response: DeltaResponse) -> Self {
        let resources = response.resources.into_iter().map(|resource| {
            let body = resource.resource.unwrap_or_default().value;
            Resource::named(resource.name, resource.version, body)
        });
        Incoming {
            type_url: response.type_url,
            nonce: response.nonce,
            version: String::new(),
            resources: resources.collect(),
            removed: response.removed_resources,
        }
    }
}
