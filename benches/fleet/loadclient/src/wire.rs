//! The part of the xDS wire format that a sidecar needs to stay subscribed.
//!
//! These lean messages stand in for the full Envoy types, which the tests check
//! them against. Resource bodies stay undecoded slices of the receive buffer, so
//! a large response costs the client little more than its copy out of the
//! socket. Strings that are only passed on are `Bytes`, the same on the wire.

use bytes::{Buf, Bytes};
use prost::Message;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use std::collections::HashMap;

const HCM: &str = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";

/// The four resource types that a sidecar subscribes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Cluster,
    Endpoints,
    Listener,
    Route,
}

impl Kind {
    pub(crate) const ALL: [Kind; 4] = [Kind::Cluster, Kind::Endpoints, Kind::Listener, Kind::Route];

    pub(crate) fn type_url(self) -> &'static str {
        match self {
            Kind::Cluster => "type.googleapis.com/envoy.config.cluster.v3.Cluster",
            Kind::Endpoints => "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
            Kind::Listener => "type.googleapis.com/envoy.config.listener.v3.Listener",
            Kind::Route => "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
        }
    }

    pub(crate) fn from_type_url(url: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.type_url() == url)
    }

    /// Whether Envoy subscribes to all resources of this type at once.
    pub(crate) fn is_wildcard(self) -> bool {
        matches!(self, Kind::Cluster | Kind::Listener)
    }
}

/// `envoy.service.discovery.v3.DiscoveryRequest`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct SotwRequest {
    #[prost(string, tag = "1")]
    pub(crate) version_info: String,
    /// Encoded beforehand.
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub(crate) node: Option<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "3")]
    pub(crate) resource_names: Vec<Bytes>,
    #[prost(bytes = "bytes", tag = "4")]
    pub(crate) type_url: Bytes,
    #[prost(string, tag = "5")]
    pub(crate) response_nonce: String,
}

/// `envoy.service.discovery.v3.DeltaDiscoveryRequest`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct DeltaRequest {
    /// Encoded beforehand.
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub(crate) node: Option<Bytes>,
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) type_url: Bytes,
    #[prost(bytes = "bytes", repeated, tag = "3")]
    pub(crate) resource_names_subscribe: Vec<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "4")]
    pub(crate) resource_names_unsubscribe: Vec<Bytes>,
    #[prost(map = "string, string", tag = "5")]
    pub(crate) initial_resource_versions: HashMap<String, String>,
    #[prost(string, tag = "6")]
    pub(crate) response_nonce: String,
}

/// `google.protobuf.Any` without its type URL.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Body {
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) value: Bytes,
}

/// `envoy.service.discovery.v3.DiscoveryResponse`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct SotwResponse {
    #[prost(string, tag = "1")]
    pub(crate) version_info: String,
    #[prost(message, repeated, tag = "2")]
    pub(crate) resources: Vec<Body>,
    #[prost(string, tag = "4")]
    pub(crate) type_url: String,
    #[prost(string, tag = "5")]
    pub(crate) nonce: String,
}

/// `envoy.service.discovery.v3.Resource`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct DeltaResource {
    #[prost(string, tag = "1")]
    pub(crate) version: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) resource: Option<Body>,
    #[prost(bytes = "bytes", tag = "3")]
    pub(crate) name: Bytes,
}

/// `envoy.service.discovery.v3.DeltaDiscoveryResponse`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct DeltaResponse {
    #[prost(message, repeated, tag = "2")]
    pub(crate) resources: Vec<DeltaResource>,
    #[prost(string, tag = "4")]
    pub(crate) type_url: String,
    #[prost(string, tag = "5")]
    pub(crate) nonce: String,
    #[prost(bytes = "bytes", repeated, tag = "6")]
    pub(crate) removed_resources: Vec<Bytes>,
}

/// A received resource: its body and, where the protocol gave them, its name and version.
#[derive(Clone, Debug)]
pub(crate) struct Resource {
    name: Option<Bytes>,
    /// Empty where versions are not of single resources.
    pub(crate) version: String,
    pub(crate) body: Bytes,
}

impl Resource {
    pub(crate) fn named(name: Bytes, version: String, body: Bytes) -> Self {
        Self {
            name: Some(name),
            version,
            body,
        }
    }

    pub(crate) fn unnamed(body: Bytes) -> Self {
        Self {
            name: None,
            version: String::new(),
            body,
        }
    }

    /// The resource's name. Every type in [`Kind`] holds its name in field 1,
    /// which serializers write first, so this reads only a few bytes.
    pub(crate) fn name(&self) -> &[u8] {
        match &self.name {
            Some(name) => name,
            None => first_string(&self.body).unwrap_or_default(),
        }
    }
}

/// The bytes of field 1 of a serialized message, if it is length-delimited.
fn first_string(mut message: &[u8]) -> Option<&[u8]> {
    while message.has_remaining() {
        let (tag, wire_type) = decode_key(&mut message).ok()?;
        if tag == 1 && wire_type == WireType::LengthDelimited {
            let len = usize::try_from(decode_varint(&mut message).ok()?).ok()?;
            return message.get(..len);
        }
        skip_field(wire_type, tag, &mut message, DecodeContext::default()).ok()?;
    }
    None
}

/// What a resource of this type makes Envoy ask for next: EDS names for a
/// cluster, RDS names for a listener.
pub(crate) fn dependents(kind: Kind, body: Bytes) -> Result<Vec<Bytes>, prost::DecodeError> {
    match kind {
        Kind::Cluster => cluster_dependents(body),
        Kind::Listener => listener_dependents(body),
        Kind::Endpoints | Kind::Route => Ok(Vec::new()),
    }
}

#[derive(Clone, PartialEq, Message)]
struct Cluster {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(int32, tag = "2")]
    discovery_type: i32,
    #[prost(message, optional, tag = "3")]
    eds_cluster_config: Option<EdsClusterConfig>,
}

#[derive(Clone, PartialEq, Message)]
struct EdsClusterConfig {
    #[prost(string, tag = "2")]
    service_name: String,
}

fn cluster_dependents(body: Bytes) -> Result<Vec<Bytes>, prost::DecodeError> {
    const EDS: i32 = 3;
    let cluster = Cluster::decode(body)?;
    if cluster.discovery_type != EDS {
        return Ok(Vec::new());
    }
    let service = cluster.eds_cluster_config.map(|config| config.service_name);
    Ok(vec![
        service
            .filter(|name| !name.is_empty())
            .unwrap_or(cluster.name)
            .into(),
    ])
}

#[derive(Clone, PartialEq, Message)]
struct Listener {
    #[prost(message, repeated, tag = "3")]
    filter_chains: Vec<FilterChain>,
    #[prost(message, optional, tag = "25")]
    default_filter_chain: Option<FilterChain>,
}

#[derive(Clone, PartialEq, Message)]
struct FilterChain {
    #[prost(message, repeated, tag = "3")]
    filters: Vec<Filter>,
}

#[derive(Clone, PartialEq, Message)]
struct Filter {
    #[prost(message, optional, tag = "4")]
    typed_config: Option<TypedConfig>,
}

#[derive(Clone, PartialEq, Message)]
struct TypedConfig {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
}

#[derive(Clone, PartialEq, Message)]
struct HttpConnectionManager {
    #[prost(message, optional, tag = "3")]
    rds: Option<Rds>,
}

#[derive(Clone, PartialEq, Message)]
struct Rds {
    #[prost(string, tag = "2")]
    route_config_name: String,
}

fn listener_dependents(body: Bytes) -> Result<Vec<Bytes>, prost::DecodeError> {
    let listener = Listener::decode(body)?;
    let chains = listener
        .filter_chains
        .into_iter()
        .chain(listener.default_filter_chain);
    let configs = chains
        .flat_map(|chain| chain.filters)
        .filter_map(|filter| filter.typed_config);
    let mut routes = Vec::new();
    for config in configs.filter(|config| config.type_url == HCM) {
        if let Some(rds) = HttpConnectionManager::decode(config.value)?.rds {
            routes.push(rds.route_config_name.into());
        }
    }
    Ok(routes)
}

#[cfg(test)]
mod tests;
