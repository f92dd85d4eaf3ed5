//! The synthetic mesh's resources, the same in shape and size as those of the
//! control plane that the floor is compared with.

use envoy_types::pb::envoy::config::cluster::v3::circuit_breakers::Thresholds;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{
    ClusterDiscoveryType, DiscoveryType, EdsClusterConfig, LbPolicy,
};
use envoy_types::pb::envoy::config::cluster::v3::{CircuitBreakers, Cluster};
use envoy_types::pb::envoy::config::core::v3::config_source::ConfigSourceSpecifier;
use envoy_types::pb::envoy::config::core::v3::socket_address::PortSpecifier;
use envoy_types::pb::envoy::config::core::v3::{
    Address, AggregatedConfigSource, ApiVersion, ConfigSource, HealthStatus, Locality, SocketAddress, address,
};
use envoy_types::pb::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use envoy_types::pb::envoy::config::endpoint::v3::{
    ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints,
};
use envoy_types::pb::envoy::config::listener::v3::{Filter, FilterChain, Listener, filter};
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_action::ClusterSpecifier;
use envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier;
use envoy_types::pb::envoy::config::route::v3::{
    Route, RouteAction, RouteConfiguration, RouteMatch, VirtualHost,
};
use envoy_types::pb::envoy::extensions::filters::http::router::v3::Router;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::RouteSpecifier;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, HttpFilter, Rds, http_filter,
};
use envoy_types::pb::google::protobuf::{Any, Duration, UInt32Value};
use prost::Message;

pub(crate) fn service(k: usize) -> String {
    format!("svc-{k}")
}

pub(crate) fn listener_name(k: usize) -> String {
    format!("listener-{k}")
}

pub(crate) fn route_name(k: usize) -> String {
    format!("route-{k}")
}

fn ads() -> ConfigSource {
    ConfigSource {
        resource_api_version: ApiVersion::V3.into(),
        config_source_specifier: Some(ConfigSourceSpecifier::Ads(AggregatedConfigSource {})),
        ..Default::default()
    }
}

fn socket(address: String, port: u32) -> Address {
    Address {
        address: Some(address::Address::SocketAddress(SocketAddress {
            address,
            port_specifier: Some(PortSpecifier::PortValue(port)),
            ..Default::default()
        })),
    }
}

fn uint(value: u32) -> UInt32Value {
    UInt32Value { value }
}

pub(crate) fn cluster(k: usize) -> Vec<u8> {
    Cluster {
        name: service(k),
        connect_timeout: Some(Duration {
            seconds: 1,
            nanos: 0,
        }),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Eds.into())),
        eds_cluster_config: Some(EdsClusterConfig {
            eds_config: Some(ads()),
            ..Default::default()
        }),
        lb_policy: LbPolicy::LeastRequest.into(),
        circuit_breakers: Some(CircuitBreakers {
            thresholds: vec![Thresholds {
                max_connections: Some(uint(1024)),
                max_requests: Some(uint(1024)),
                max_pending_requests: Some(uint(1024)),
                ..Default::default()
            }],
            ..Default::default()
        }),
        ..Default::default()
    }
    .encode_to_vec()
}

/// Ten endpoints; `bump` changes the address of the first.
pub(crate) fn endpoints(k: usize, bump: usize) -> Vec<u8> {
    let endpoint = |e: usize| {
        let last = if e == 0 { 200 + bump % 50 } else { 100 + e };
        LbEndpoint {
            health_status: HealthStatus::Healthy.into(),
            load_balancing_weight: Some(uint(1)),
            host_identifier: Some(HostIdentifier::Endpoint(Endpoint {
                address: Some(socket(
                    format!("10.{}.{}.{last}", 100 + k / 256, k % 256),
                    8080,
                )),
                ..Default::default()
            })),
            ..Default::default()
        }
    };
    ClusterLoadAssignment {
        cluster_name: service(k),
        endpoints: vec![LocalityLbEndpoints {
            locality: Some(Locality {
                region: "eu-west-1".into(),
                zone: "eu-west-1a".into(),
                ..Default::default()
            }),
            load_balancing_weight: Some(uint(1)),
            lb_endpoints: (0..10).map(endpoint).collect(),
            ..Default::default()
        }],
        ..Default::default()
    }
    .encode_to_vec()
}

pub(crate) fn listener(k: usize) -> Vec<u8> {
    let router = Any {
        type_url: "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router".into(),
        value: Router::default().encode_to_vec(),
    };
    let manager = HttpConnectionManager {
        stat_prefix: service(k),
        route_specifier: Some(RouteSpecifier::Rds(Rds {
            config_source: Some(ads()),
            route_config_name: route_name(k),
        })),
        http_filters: vec![HttpFilter {
            name: "envoy.filters.http.router".into(),
            config_type: Some(http_filter::ConfigType::TypedConfig(router)),
            ..Default::default()
        }],
        ..Default::default()
    };
    let manager = Any {
        type_url: "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager".into(),
        value: manager.encode_to_vec(),
    };
    Listener {
        name: listener_name(k),
        address: Some(socket(
            "127.0.0.1".into(),
            10000 + u32::try_from(k).expect("service numbers are small"),
        )),
        filter_chains: vec![FilterChain {
            filters: vec![Filter {
                name: "envoy.filters.network.http_connection_manager".into(),
                config_type: Some(filter::ConfigType::TypedConfig(manager)),
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
    .encode_to_vec()
}

pub(crate) fn route(k: usize) -> Vec<u8> {
    let route = Route {
        r#match: Some(RouteMatch {
            path_specifier: Some(PathSpecifier::Prefix("/".into())),
            ..Default::default()
        }),
        action: Some(Action::Route(RouteAction {
            cluster_specifier: Some(ClusterSpecifier::Cluster(service(k))),
            timeout: Some(Duration {
                seconds: 15,
                nanos: 0,
            }),
            ..Default::default()
        })),
        ..Default::default()
    };
    RouteConfiguration {
        name: route_name(k),
        virtual_hosts: vec![VirtualHost {
            name: service(k),
            domains: vec![
                service(k),
                format!("{}:8080", service(k)),
                format!("{}.mesh.local", service(k)),
            ],
            routes: vec![route],
            ..Default::default()
        }],
        ..Default::default()
    }
    .encode_to_vec()
}
