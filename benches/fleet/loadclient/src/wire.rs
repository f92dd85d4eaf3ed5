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
mod tests {
    use super::*;
    use envoy_types::pb::envoy::config::cluster::v3 as cluster;
    use envoy_types::pb::envoy::config::listener::v3 as listener;
    use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3 as hcm;
    use envoy_types::pb::envoy::service::discovery::v3 as discovery;
    use envoy_types::pb::google::protobuf::Any;

    fn eds_cluster(name: &str, service_name: &str) -> cluster::Cluster {
        cluster::Cluster {
            name: name.into(),
            cluster_discovery_type: Some(cluster::cluster::ClusterDiscoveryType::Type(3)),
            eds_cluster_config: Some(cluster::cluster::EdsClusterConfig {
                service_name: service_name.into(),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    fn http_filter_chain(route: &str) -> listener::FilterChain {
        let manager = hcm::HttpConnectionManager {
            stat_prefix: "x".into(),
            route_specifier: Some(hcm::http_connection_manager::RouteSpecifier::Rds(
                hcm::Rds {
                    route_config_name: route.into(),
                    ..Default::default()
                },
            )),
            ..Default::default()
        };
        let any = Any {
            type_url: HCM.into(),
            value: manager.encode_to_vec(),
        };
        listener::FilterChain {
            filters: vec![listener::Filter {
                name: "http".into(),
                config_type: Some(listener::filter::ConfigType::TypedConfig(any)),
            }],
            ..Default::default()
        }
    }

    #[test]
    fn full_types_read_the_requests() {
        // A node with `user_agent_name` "u".
        let node = Bytes::from_static(b"\x32\x01u");
        let lean = SotwRequest {
            version_info: "7".into(),
            node: Some(node.clone()),
            resource_names: vec!["a".into(), "b".into()],
            type_url: "t".into(),
            response_nonce: "n".into(),
        };
        let full = discovery::DiscoveryRequest::decode(&lean.encode_to_vec()[..]).unwrap();
        assert_eq!(full.encode_to_vec(), lean.encode_to_vec());
        assert_eq!(full.node.unwrap().user_agent_name, "u");
        assert_eq!(
            (full.version_info.as_str(), full.response_nonce.as_str()),
            ("7", "n")
        );
        assert_eq!(
            (full.type_url.as_str(), &full.resource_names[..]),
            ("t", &["a".into(), "b".into()][..])
        );

        let lean = DeltaRequest {
            node: Some(node),
            type_url: "t".into(),
            resource_names_subscribe: vec!["a".into()],
            resource_names_unsubscribe: vec!["b".into()],
            initial_resource_versions: HashMap::from([("a".into(), "1".into())]),
            response_nonce: "n".into(),
        };
        let full = discovery::DeltaDiscoveryRequest::decode(&lean.encode_to_vec()[..]).unwrap();
        assert_eq!(full.encode_to_vec(), lean.encode_to_vec());
        assert_eq!(full.initial_resource_versions["a"], "1");
        assert_eq!(
            (
                full.resource_names_subscribe,
                full.resource_names_unsubscribe
            ),
            (vec!["a".into()], vec!["b".into()])
        );
    }

    #[test]
    fn reads_a_full_sotw_response() {
        let full = discovery::DiscoveryResponse {
            version_info: "7".into(),
            type_url: Kind::Cluster.type_url().into(),
            nonce: "n".into(),
            resources: vec![Any {
                type_url: Kind::Cluster.type_url().into(),
                value: eds_cluster("a", "").encode_to_vec(),
            }],
            ..Default::default()
        };
        let lean = SotwResponse::decode(Bytes::from(full.encode_to_vec())).unwrap();
        assert_eq!(
            (lean.version_info.as_str(), lean.nonce.as_str()),
            ("7", "n")
        );
        let resource = Resource::unnamed(lean.resources[0].value.clone());
        assert_eq!(resource.name(), b"a");
    }

    #[test]
    fn reads_a_full_delta_response() {
        let full = discovery::DeltaDiscoveryResponse {
            system_version_info: "7".into(),
            type_url: Kind::Cluster.type_url().into(),
            nonce: "n".into(),
            removed_resources: vec!["gone".into()],
            resources: vec![discovery::Resource {
                name: "a".into(),
                version: "1".into(),
                resource: Some(Any {
                    type_url: String::new(),
                    value: vec![1, 2, 3],
                }),
                ..Default::default()
            }],
            ..Default::default()
        };
        let lean = DeltaResponse::decode(Bytes::from(full.encode_to_vec())).unwrap();
        assert_eq!(lean.removed_resources, ["gone"]);
        assert_eq!(&lean.resources[0].name[..], b"a");
        assert_eq!(lean.resources[0].version, "1");
        assert_eq!(
            &lean.resources[0].resource.as_ref().unwrap().value[..],
            [1, 2, 3]
        );
    }

    #[test]
    fn cluster_asks_for_its_service_name_or_its_own() {
        let names =
            |c: cluster::Cluster| dependents(Kind::Cluster, c.encode_to_vec().into()).unwrap();
        assert_eq!(names(eds_cluster("a", "")), ["a"]);
        assert_eq!(names(eds_cluster("a", "b")), ["b"]);
        let fixed = cluster::Cluster {
            name: "a".into(),
            ..Default::default()
        };
        assert!(names(fixed).is_empty());
    }

    #[test]
    fn listener_asks_for_the_routes_of_all_its_chains() {
        let l = listener::Listener {
            name: "l".into(),
            filter_chains: vec![http_filter_chain("r1"), http_filter_chain("r2")],
            default_filter_chain: Some(http_filter_chain("r3")),
            ..Default::default()
        };
        let names = dependents(Kind::Listener, l.encode_to_vec().into()).unwrap();
        assert_eq!(names, ["r1", "r2", "r3"]);
    }

    #[test]
    fn name_is_found_behind_other_fields_and_absent_in_garbage() {
        // Field 2 (varint 5), then field 1 "ab".
        assert_eq!(
            first_string(&[0x10, 5, 0x0a, 2, b'a', b'b']),
            Some(&b"ab"[..])
        );
        assert_eq!(first_string(&[0x0a, 9, b'a']), None);
        assert_eq!(first_string(&[]), None);
    }
}
