//! Clusters (CDS): other nodes, the node's own application, and hosts outside the mesh.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use envoy_types::pb::envoy::config::cluster::v3::circuit_breakers::Thresholds;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{
    ClusterDiscoveryType, CustomClusterType, DiscoveryType, DnsLookupFamily, EdsClusterConfig,
    LbPolicy,
};
use envoy_types::pb::envoy::config::cluster::v3::{
    CircuitBreakers, Cluster, OutlierDetection as EnvoyOutlierDetection,
};
use envoy_types::pb::envoy::config::core::v3::health_check::{
    GrpcHealthCheck, HealthChecker, HttpHealthCheck, TcpHealthCheck,
};
use envoy_types::pb::envoy::config::core::v3::{
    HealthCheck, Http1ProtocolOptions, Http2ProtocolOptions,
};
use envoy_types::pb::envoy::extensions::clusters::dynamic_forward_proxy::v3::{
    ClusterConfig, cluster_config::ClusterImplementationSpecifier,
};
use envoy_types::pb::envoy::extensions::common::dynamic_forward_proxy::v3::DnsCacheConfig;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::HttpProtocolOptions;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::http_protocol_options::explicit_http_config::ProtocolConfig;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::http_protocol_options::{
    ExplicitHttpConfig, UpstreamProtocolOptions, UseDownstreamHttpConfig,
};
use envoy_types::pb::envoy::r#type::v3::CodecClientType;
use envoy_types::pb::google::protobuf::Any;

use crate::model::spec::{
    ConnectionPool, HealthCheckPolicy, IpPreference, Listener, OutlierDetection, Protocol,
};
use crate::model::{MeshName, NodeName};

use super::{defaults, endpoint, names, proto};

const HTTP_OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// Where the hosts of another node's cluster come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Hosts<'a> {
    /// The control plane streams them.
    Eds,
    /// Envoy resolves the name of one load balancer.
    LoadBalancer {
        hostname: &'a str,
        preference: Option<IpPreference>,
    },
}

/// The cluster of one listener of another node. What the listener's owner says of its health holds for its clients.
pub(crate) fn egress(
    name: &str,
    port: u16,
    protocol: Protocol,
    hosts: &Hosts<'_>,
    listener: Option<&Listener>,
) -> Cluster {
    let health_check = listener.and_then(Listener::possible_health_check);
    let outliers = listener.and_then(|listener| listener.outlier_detection.as_ref());
    let mut cluster = Cluster {
        outlier_detection: outliers.map(outlier_detection),
        health_checks: health_check.map(active_health_check).into_iter().collect(),
        ignore_health_on_host_removal: health_check.is_some(),
        ..cluster(name, defaults::EGRESS_CONNECT_TIMEOUT, Some(protocol))
    };
    match hosts {
        Hosts::Eds => {
            cluster.cluster_discovery_type = Some(discovery(DiscoveryType::Eds));
            cluster.eds_cluster_config = Some(EdsClusterConfig {
                eds_config: Some(proto::ads()),
                ..Default::default()
            });
        }
        Hosts::LoadBalancer {
            hostname,
            preference,
        } => {
            cluster.cluster_discovery_type = Some(discovery(DiscoveryType::LogicalDns));
            cluster.dns_lookup_family = lookup_family(*preference).into();
            let address = proto::host_address((*hostname).to_owned(), port);
            cluster.load_assignment = Some(endpoint::single(name, address));
        }
    }
    cluster
}

/// The cluster of the node's own application, behind one of its listeners: one host, tried at one address after the other.
pub(crate) fn ingress(
    mesh: &MeshName,
    node: &NodeName,
    port: u16,
    protocol: Protocol,
    application: &[SocketAddr],
    pool: Option<&ConnectionPool>,
) -> Cluster {
    let name = names::ingress_cluster(mesh, node, protocol, port);
    Cluster {
        cluster_discovery_type: Some(discovery(DiscoveryType::Static)),
        load_assignment: Some(endpoint::one_host(&name, application)),
        circuit_breakers: Some(circuit_breakers(pool)),
        ..cluster(&name, defaults::INGRESS_CONNECT_TIMEOUT, Some(protocol))
    }
}

/// The cluster of whatever host a request names, looked up as it comes.
pub(crate) fn looked_up(name: &str, cache: DnsCacheConfig) -> Cluster {
    let config = ClusterConfig {
        cluster_implementation_specifier: Some(ClusterImplementationSpecifier::DnsCacheConfig(
            cache,
        )),
        ..Default::default()
    };
    Cluster {
        lb_policy: LbPolicy::ClusterProvided.into(),
        cluster_discovery_type: Some(ClusterDiscoveryType::ClusterType(CustomClusterType {
            name: "envoy.clusters.dynamic_forward_proxy".to_owned(),
            typed_config: Some(proto::any(&config)),
        })),
        ..cluster(name, defaults::OUTSIDE_CONNECT_TIMEOUT, None)
    }
}

/// The cluster of whatever address a redirected connection was made to. Requests keep the client's protocol.
pub(crate) fn original_destination(name: &str) -> Cluster {
    let options = HttpProtocolOptions {
        upstream_protocol_options: Some(UpstreamProtocolOptions::UseDownstreamProtocolConfig(
            UseDownstreamHttpConfig {
                http_protocol_options: Some(Http1ProtocolOptions::default()),
                http2_protocol_options: Some(Http2ProtocolOptions::default()),
                ..Default::default()
            },
        )),
        ..Default::default()
    };
    Cluster {
        lb_policy: LbPolicy::ClusterProvided.into(),
        cluster_discovery_type: Some(discovery(DiscoveryType::OriginalDst)),
        typed_extension_protocol_options: HashMap::from([(
            HTTP_OPTIONS.to_owned(),
            proto::any(&options),
        )]),
        ..cluster(name, defaults::OUTSIDE_CONNECT_TIMEOUT, None)
    }
}

/// The cache behind the dynamic forward proxy. Its filter and its cluster must say the same, so both take it from here.
pub(crate) fn dns_cache(preference: Option<IpPreference>) -> DnsCacheConfig {
    DnsCacheConfig {
        name: names::DNS_CACHE.to_owned(),
        dns_lookup_family: lookup_family(preference).into(),
        ..Default::default()
    }
}

/// A cluster that has no endpoints and never will: connections to it are closed.
pub(crate) fn empty(mesh: &MeshName) -> Cluster {
    Cluster {
        cluster_discovery_type: Some(discovery(DiscoveryType::Static)),
        ..cluster(
            &names::empty_cluster(mesh),
            defaults::EGRESS_CONNECT_TIMEOUT,
            None,
        )
    }
}

fn cluster(name: &str, connect_timeout: Duration, protocol: Option<Protocol>) -> Cluster {
    Cluster {
        name: name.to_owned(),
        connect_timeout: Some(proto::duration(connect_timeout)),
        lb_policy: LbPolicy::RoundRobin.into(),
        circuit_breakers: Some(circuit_breakers(None)),
        typed_extension_protocol_options: protocol.map(protocol_options).unwrap_or_default(),
        ..Default::default()
    }
}

fn discovery(kind: DiscoveryType) -> ClusterDiscoveryType {
    ClusterDiscoveryType::Type(kind.into())
}

/// The protocol that the cluster's hosts speak; Envoy's own choice would follow the client's (measured on Envoy 1.40: 502).
fn protocol_options(protocol: Protocol) -> HashMap<String, Any> {
    let config = match protocol {
        Protocol::Tcp => return HashMap::new(),
        Protocol::Http => ProtocolConfig::HttpProtocolOptions(Http1ProtocolOptions::default()),
        Protocol::Http2 | Protocol::Grpc => {
            ProtocolConfig::Http2ProtocolOptions(Http2ProtocolOptions::default())
        }
    };
    let options = HttpProtocolOptions {
        upstream_protocol_options: Some(UpstreamProtocolOptions::ExplicitHttpConfig(
            ExplicitHttpConfig {
                protocol_config: Some(config),
            },
        )),
        ..Default::default()
    };
    HashMap::from([(HTTP_OPTIONS.to_owned(), proto::any(&options))])
}

fn circuit_breakers(pool: Option<&ConnectionPool>) -> CircuitBreakers {
    let (connections, pending, requests) = match pool {
        None => (None, None, None),
        Some(ConnectionPool::Http(pool)) => {
            (Some(pool.max_connections), pool.max_pending_requests, None)
        }
        Some(ConnectionPool::Http2(pool) | ConnectionPool::Grpc(pool)) => {
            (None, None, Some(pool.max_requests))
        }
        Some(ConnectionPool::Tcp(pool)) => (Some(pool.max_connections), None, None),
    };
    let limit = |value: Option<u32>| Some(proto::uint(value.unwrap_or(defaults::NO_LIMIT)));
    CircuitBreakers {
        thresholds: vec![Thresholds {
            max_connections: limit(connections),
            max_pending_requests: limit(pending),
            max_requests: limit(requests),
            max_retries: limit(None),
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// Only what the model can say ejects a host: Envoy's success-rate ejection, on by default, is switched off.
fn outlier_detection(policy: &OutlierDetection) -> EnvoyOutlierDetection {
    let errors = u32::try_from(policy.max_server_errors).unwrap_or(u32::MAX);
    let at_least_a_moment =
        |time: Duration| Some(proto::duration(time.max(Duration::from_millis(1))));
    EnvoyOutlierDetection {
        consecutive_5xx: Some(proto::uint(errors.max(1))),
        interval: at_least_a_moment(policy.interval.to_duration()),
        base_ejection_time: at_least_a_moment(policy.base_ejection_duration.to_duration()),
        max_ejection_percent: Some(proto::uint(
            policy.max_ejection_percent.unwrap_or(0).min(100),
        )),
        // App Mesh ejected one host whatever the percentage; Envoy no longer does by itself.
        always_eject_one_host: Some(proto::yes()),
        enforcing_consecutive_5xx: Some(proto::uint(100)),
        enforcing_consecutive_gateway_failure: Some(proto::uint(0)),
        enforcing_success_rate: Some(proto::uint(0)),
        ..Default::default()
    }
}

fn active_health_check(policy: &HealthCheckPolicy) -> HealthCheck {
    let time = |millis: u64| Some(proto::duration(Duration::from_millis(millis.max(1))));
    HealthCheck {
        timeout: time(policy.timeout_millis),
        interval: time(policy.interval_millis),
        healthy_threshold: Some(proto::uint(policy.healthy_threshold)),
        unhealthy_threshold: Some(proto::uint(policy.unhealthy_threshold)),
        health_checker: Some(health_checker(policy)),
        ..Default::default()
    }
}

fn health_checker(policy: &HealthCheckPolicy) -> HealthChecker {
    let http = |codec: CodecClientType| {
        let path = policy.path.as_deref().filter(|path| !path.is_empty());
        HealthChecker::HttpHealthCheck(HttpHealthCheck {
            path: path.unwrap_or("/").to_owned(),
            codec_client_type: codec.into(),
            ..Default::default()
        })
    };
    match policy.protocol {
        Protocol::Http => http(CodecClientType::Http1),
        Protocol::Http2 => http(CodecClientType::Http2),
        Protocol::Grpc => HealthChecker::GrpcHealthCheck(GrpcHealthCheck::default()),
        Protocol::Tcp => HealthChecker::TcpHealthCheck(TcpHealthCheck::default()),
    }
}

/// As App Mesh had it: `IPv6_PREFERRED` is Envoy's `AUTO`, which asks for IPv6 first.
fn lookup_family(preference: Option<IpPreference>) -> DnsLookupFamily {
    match preference {
        None | Some(IpPreference::Ipv6Preferred) => DnsLookupFamily::Auto,
        Some(IpPreference::Ipv4Preferred) => DnsLookupFamily::V4Preferred,
        Some(IpPreference::Ipv4Only) => DnsLookupFamily::V4Only,
        Some(IpPreference::Ipv6Only) => DnsLookupFamily::V6Only,
    }
}
