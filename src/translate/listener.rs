//! Listeners (LDS).
//!
//! **Invariant:** a filter chain depends on its port, its protocol and its node only, and nothing outside the chains
//! varies: routes, weights, endpoints and other backends change without draining a listener (measured on Envoy 1.40: any
//! byte that differs outside the chains drains all of them).

use std::net::SocketAddr;
use std::time::Duration;

use envoy_types::pb::envoy::config::accesslog::v3::AccessLog;
use envoy_types::pb::envoy::config::core::v3::{
    ExtensionConfigSource, Http2ProtocolOptions, TrafficDirection, TypedExtensionConfig,
};
use envoy_types::pb::envoy::config::listener::v3::{Filter, FilterChain, Listener, filter};
use envoy_types::pb::envoy::extensions::filters::http::dynamic_forward_proxy::v3::{
    FilterConfig, filter_config::ImplementationSpecifier,
};
use envoy_types::pb::envoy::extensions::filters::http::router::v3::Router;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::{
    CodecType, PathWithEscapedSlashesAction, RouteSpecifier, Tracing, UpgradeConfig,
};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, HttpFilter, Rds, http_filter,
};
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3::tcp_proxy::weighted_cluster::ClusterWeight;
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3::tcp_proxy::{
    ClusterSpecifier, WeightedCluster,
};
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3::TcpProxy;
use envoy_types::pb::google::protobuf::Any;
use prost::Name;

use crate::model::spec::{IpPreference, Protocol};

use super::service::TcpTraffic;
use super::{cluster, names, proto};

const HTTP_CONNECTION_MANAGER: &str = "envoy.filters.network.http_connection_manager";
const TCP_PROXY: &str = "envoy.filters.network.tcp_proxy";
const ROUTER: &str = "envoy.filters.http.router";
const DYNAMIC_FORWARD_PROXY: &str = "envoy.filters.http.dynamic_forward_proxy";

/// Takes calls to the node, for an HTTP-like listener of it.
pub(crate) fn http_ingress(at: SocketAddr, protocol: Protocol, log: &[AccessLog]) -> Listener {
    let manager = HttpManager {
        stat_prefix: names::ingress_stats(protocol, at.port()),
        routes: names::ingress_routes(protocol, at.port()),
        upgrades: &["websocket"],
        filters: vec![router()],
        log,
    };
    let chain = chain(
        names::ingress_chain(protocol, at.port()),
        HTTP_CONNECTION_MANAGER,
        typed(proto::any(&manager.build())),
    );
    listener(
        names::ingress_listener(at),
        at,
        TrafficDirection::Inbound,
        chain,
    )
}

/// Takes connections to the node, for a TCP listener of it.
pub(crate) fn tcp_ingress(
    at: SocketAddr,
    cluster: String,
    idle_timeout: Duration,
    log: &[AccessLog],
) -> Listener {
    let stats = names::ingress_stats(Protocol::Tcp, at.port());
    let proxy = tcp_proxy(stats, idle_timeout, log, ClusterSpecifier::Cluster(cluster));
    let chain = chain(
        names::ingress_chain(Protocol::Tcp, at.port()),
        TCP_PROXY,
        typed(proto::any(&proxy)),
    );
    listener(
        names::ingress_listener(at),
        at,
        TrafficDirection::Inbound,
        chain,
    )
}

/// Whether the egress listener serves hosts outside the mesh, and how it looks them up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outside {
    Dropped,
    Allowed(Option<IpPreference>),
}

/// Takes the application's requests, all HTTP backends on one port.
pub(crate) fn http_egress(at: SocketAddr, outside: Outside, log: &[AccessLog]) -> Listener {
    let mut filters = Vec::new();
    if let Outside::Allowed(preference) = outside {
        filters.push(dynamic_forward_proxy(preference));
    }
    filters.push(router());
    let manager = HttpManager {
        stat_prefix: names::EGRESS_STATS.to_owned(),
        routes: names::EGRESS_ROUTES.to_owned(),
        upgrades: &["websocket", "CONNECT"],
        filters,
        log,
    };
    let chain = chain(
        names::EGRESS_CHAIN.to_owned(),
        HTTP_CONNECTION_MANAGER,
        typed(proto::any(&manager.build())),
    );
    listener(
        names::egress_listener(at.ip(), at.port()),
        at,
        TrafficDirection::Outbound,
        chain,
    )
}

/// Takes the application's connections to a TCP backend. Where they go comes by ECDS, so that a change of weights cuts
/// none of them.
pub(crate) fn tcp_egress(at: SocketAddr, extension: &str) -> Listener {
    let discovery = ExtensionConfigSource {
        config_source: Some(proto::ads()),
        type_urls: vec![TcpProxy::type_url()],
        ..Default::default()
    };
    let chain = chain(
        names::tcp_egress_chain(at.port()),
        extension,
        filter::ConfigType::ConfigDiscovery(discovery),
    );
    listener(
        names::egress_listener(at.ip(), at.port()),
        at,
        TrafficDirection::Outbound,
        chain,
    )
}

/// What [`tcp_egress`] gets by ECDS.
pub(crate) fn tcp_extension(
    name: &str,
    port: u16,
    traffic: &TcpTraffic,
    log: &[AccessLog],
) -> TypedExtensionConfig {
    let clusters = match traffic.targets.as_slice() {
        [only] => ClusterSpecifier::Cluster(only.cluster.as_ref().to_owned()),
        targets => ClusterSpecifier::WeightedClusters(WeightedCluster {
            clusters: targets
                .iter()
                .map(|target| ClusterWeight {
                    name: target.cluster.as_ref().to_owned(),
                    weight: target.weight,
                    ..Default::default()
                })
                .collect(),
        }),
    };
    let proxy = tcp_proxy(
        names::tcp_egress_stats(port),
        traffic.idle_timeout,
        log,
        clusters,
    );
    TypedExtensionConfig {
        name: name.to_owned(),
        typed_config: Some(proto::any(&proxy)),
    }
}

fn tcp_proxy(
    stat_prefix: String,
    idle_timeout: Duration,
    log: &[AccessLog],
    clusters: ClusterSpecifier,
) -> TcpProxy {
    TcpProxy {
        stat_prefix,
        idle_timeout: Some(proto::duration(idle_timeout)),
        access_log: log.to_vec(),
        cluster_specifier: Some(clusters),
        ..Default::default()
    }
}

fn listener(
    name: String,
    at: SocketAddr,
    direction: TrafficDirection,
    chain: FilterChain,
) -> Listener {
    Listener {
        name,
        address: Some(proto::address(at)),
        traffic_direction: direction.into(),
        filter_chains: vec![chain],
        ..Default::default()
    }
}

fn chain(name: String, filter: &str, config: filter::ConfigType) -> FilterChain {
    FilterChain {
        name,
        filters: vec![Filter {
            name: filter.to_owned(),
            config_type: Some(config),
        }],
        ..Default::default()
    }
}

fn typed(config: Any) -> filter::ConfigType {
    filter::ConfigType::TypedConfig(config)
}

/// What differs between the connection managers.
struct HttpManager<'a> {
    stat_prefix: String,
    routes: String,
    upgrades: &'a [&'a str],
    filters: Vec<HttpFilter>,
    log: &'a [AccessLog],
}

impl HttpManager<'_> {
    fn build(self) -> HttpConnectionManager {
        let upgrade = |kind: &&str| UpgradeConfig {
            upgrade_type: (*kind).to_owned(),
            ..Default::default()
        };
        HttpConnectionManager {
            codec_type: CodecType::Auto.into(),
            stat_prefix: self.stat_prefix,
            http_filters: self.filters,
            upgrade_configs: self.upgrades.iter().map(upgrade).collect(),
            // Without it one WebSocket over a shared HTTP/2 connection resets all its streams (measured on Envoy 1.40).
            http2_protocol_options: Some(Http2ProtocolOptions {
                allow_connect: true,
                ..Default::default()
            }),
            normalize_path: Some(proto::yes()),
            merge_slashes: true,
            path_with_escaped_slashes_action: PathWithEscapedSlashesAction::KeepUnchanged.into(),
            access_log: self.log.to_vec(),
            // Spans go to whichever tracer the sidecar's own bootstrap has, as App Mesh had it; to none without one.
            tracing: Some(Tracing::default()),
            route_specifier: Some(RouteSpecifier::Rds(Rds {
                config_source: Some(proto::ads()),
                route_config_name: self.routes,
            })),
            ..Default::default()
        }
    }
}

fn router() -> HttpFilter {
    http_filter(ROUTER, proto::any(&Router::default()))
}

fn dynamic_forward_proxy(preference: Option<IpPreference>) -> HttpFilter {
    let config = FilterConfig {
        implementation_specifier: Some(ImplementationSpecifier::DnsCacheConfig(
            cluster::dns_cache(preference),
        )),
        ..Default::default()
    };
    http_filter(DYNAMIC_FORWARD_PROXY, proto::any(&config))
}

fn http_filter(name: &str, config: Any) -> HttpFilter {
    HttpFilter {
        name: name.to_owned(),
        config_type: Some(http_filter::ConfigType::TypedConfig(config)),
        ..Default::default()
    }
}
