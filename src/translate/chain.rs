//! Filter chains: what becomes of a connection, once it is known which port it is for.
//!
//! **Invariant:** a filter chain depends on its port, its protocol and its node only: routes, weights, endpoints and
//! other backends change without draining it (measured on Envoy 1.40: a chain that differs in a byte is drained).

use std::time::Duration;

use envoy_types::pb::envoy::config::accesslog::v3::AccessLog;
use envoy_types::pb::envoy::config::core::v3::{
    ExtensionConfigSource, Http2ProtocolOptions, TypedExtensionConfig,
};
use envoy_types::pb::envoy::config::listener::v3::{Filter, FilterChain, FilterChainMatch, filter};
use envoy_types::pb::envoy::extensions::common::dynamic_forward_proxy::v3::DnsCacheConfig;
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

use crate::model::spec::Protocol;

use super::service::TcpTraffic;
use super::{defaults, names, proto};

const HTTP_CONNECTION_MANAGER: &str = "envoy.filters.network.http_connection_manager";
const TCP_PROXY: &str = "envoy.filters.network.tcp_proxy";
const ROUTER: &str = "envoy.filters.http.router";
const DYNAMIC_FORWARD_PROXY: &str = "envoy.filters.http.dynamic_forward_proxy";

/// Takes calls to the node, for an HTTP-like listener of it.
pub(crate) fn http_ingress(port: u16, protocol: Protocol, log: &[AccessLog]) -> FilterChain {
    let manager = HttpManager {
        stat_prefix: names::ingress_stats(protocol, port),
        routes: names::ingress_routes(protocol, port),
        upgrades: &["websocket"],
        filters: vec![router()],
        log,
    };
    manager.chain(names::ingress_chain(protocol, port))
}

/// Takes connections to the node, for a TCP listener of it.
pub(crate) fn tcp_ingress(
    port: u16,
    cluster: String,
    idle_timeout: Duration,
    log: &[AccessLog],
) -> FilterChain {
    let stats = names::ingress_stats(Protocol::Tcp, port);
    let proxy = tcp_proxy(stats, idle_timeout, log, ClusterSpecifier::Cluster(cluster));
    chain(
        names::ingress_chain(Protocol::Tcp, port),
        TCP_PROXY,
        typed(proto::any(&proxy)),
    )
}

/// Takes requests of an application that dials its sidecar: all HTTP backends on one port, told apart by host.
///
/// With `forward` it also looks up hosts that are no backends, for the routes that allow them.
pub(crate) fn http_proxy(forward: Option<DnsCacheConfig>, log: &[AccessLog]) -> FilterChain {
    let forward = forward.map(dynamic_forward_proxy);
    let manager = HttpManager {
        stat_prefix: names::EGRESS_STATS.to_owned(),
        routes: names::EGRESS_ROUTES.to_owned(),
        upgrades: &["websocket", "CONNECT"],
        filters: forward.into_iter().chain([router()]).collect(),
        log,
    };
    manager.chain(names::EGRESS_CHAIN.to_owned())
}

/// Takes redirected requests to one port, of whatever HTTP backend.
pub(crate) fn http_egress(port: u16, protocol: Protocol, log: &[AccessLog]) -> FilterChain {
    let manager = HttpManager {
        stat_prefix: names::egress_stats(protocol, port),
        routes: names::egress_routes(protocol, port),
        upgrades: &["websocket"],
        filters: vec![router()],
        log,
    };
    manager.chain(names::egress_chain(protocol, port))
}

/// Takes the application's connections to a TCP backend. Where they go comes by ECDS, so that a change of weights cuts
/// none of them.
pub(crate) fn tcp_egress(port: u16, extension: &str) -> FilterChain {
    let discovery = ExtensionConfigSource {
        config_source: Some(proto::ads()),
        type_urls: vec![TcpProxy::type_url()],
        ..Default::default()
    };
    chain(
        names::egress_chain(Protocol::Tcp, port),
        extension,
        filter::ConfigType::ConfigDiscovery(discovery),
    )
}

/// Passes connections on to the address that the application dialled. Nothing is known of what they carry, so they may
/// be silent for ever.
pub(crate) fn pass(name: String, stats: &str, cluster: String, log: &[AccessLog]) -> FilterChain {
    let cluster = ClusterSpecifier::Cluster(cluster);
    let proxy = tcp_proxy(stats.to_owned(), defaults::NO_TIMEOUT, log, cluster);
    chain(name, TCP_PROXY, typed(proto::any(&proxy)))
}

/// The chain, for redirected connections that were made to a port.
pub(crate) fn on_port(port: u16, chain: FilterChain) -> FilterChain {
    let matched = FilterChainMatch {
        destination_port: Some(proto::uint(u32::from(port))),
        ..Default::default()
    };
    matching(matched, chain)
}

pub(crate) fn matching(matched: FilterChainMatch, chain: FilterChain) -> FilterChain {
    FilterChain {
        filter_chain_match: Some(matched),
        ..chain
    }
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
        names::egress_stats(Protocol::Tcp, port),
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
    fn chain(self, name: String) -> FilterChain {
        let config = typed(proto::any(&self.build()));
        chain(name, HTTP_CONNECTION_MANAGER, config)
    }

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

pub(crate) fn router() -> HttpFilter {
    http_filter(ROUTER, proto::any(&Router::default()))
}

fn dynamic_forward_proxy(cache: DnsCacheConfig) -> HttpFilter {
    let config = FilterConfig {
        implementation_specifier: Some(ImplementationSpecifier::DnsCacheConfig(cache)),
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
