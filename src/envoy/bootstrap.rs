//! Envoy's bootstrap: who it is, where the control plane is, how traffic enters it. All else arrives over xDS.
//!
//! **Invariant:** the same options give the same bootstrap, and Envoy's `--mode validate` accepts it.

mod address;
mod grpc;
mod stats;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde_json::{Map, Value, json};
use thiserror::Error;

pub use address::{AddressError, XdsAddress, parse_application};
pub use grpc::grpc_bootstrap;

use crate::model::{Capture, EGRESS_PORT, NodeRef, metadata};

/// The static cluster by which Envoy reaches the control plane.
pub const XDS_CLUSTER: &str = "outrigger_xds";
/// Envoy's own HTTP interface: statistics, configuration, log levels.
pub const ADMIN_PORT: u16 = 9901;
/// Connections beyond this are refused, so that a flood cannot exhaust the sidecar's file descriptors and memory.
const MAX_DOWNSTREAM_CONNECTIONS: u64 = 50_000;

/// What a bootstrap is made from.
#[derive(Clone, Debug)]
pub struct BootstrapOptions {
    pub node: NodeRef,
    /// `node.cluster`; the node's id if absent, as App Mesh's sidecars have it.
    pub cluster: Option<String>,
    pub xds: XdsAddress,
    pub protocol: XdsProtocol,
    pub capture: Capture,
    /// If absent, port 9901 on 127.0.0.1, or on the bind address where that is a loopback address too.
    pub admin: Option<SocketAddr>,
    /// Where Prometheus finds `/stats/prometheus`, and an orchestrator `/ready`, without the rest of the admin interface.
    pub stats: Option<SocketAddr>,
}

/// Which variant of ADS Envoy asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum XdsProtocol {
    #[default]
    Delta,
    StateOfTheWorld,
}

/// Addresses with which a sidecar would talk to itself.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BootstrapError {
    #[error(
        "the sidecar binds {bind}, where the application is by default: it would forward to itself; \
             bind another address (any of 127.0.0.0/8 will do), or say where the application listens (`8080=127.0.0.1:18080`)"
    )]
    NoApplication { bind: IpAddr },
    #[error(
        "the application for port {port} is at {application}, which is the sidecar's own {purpose}; \
             have the application listen on another address or port"
    )]
    ApplicationIsSidecar {
        port: u16,
        application: SocketAddr,
        purpose: &'static str,
    },
    #[error(
        "port {port} is the sidecar's own {purpose} and cannot be a listener port; give the listener another one"
    )]
    PortTaken { port: u16, purpose: &'static str },
}

impl BootstrapOptions {
    /// Delta ADS, default addresses.
    pub fn new(node: NodeRef, xds: XdsAddress, capture: Capture) -> Self {
        Self {
            node,
            cluster: None,
            xds,
            protocol: XdsProtocol::default(),
            capture,
            admin: None,
            stats: None,
        }
    }

    /// Where Envoy's admin interface is. It asks for no password, so that by default it never leaves the machine.
    pub fn admin(&self) -> SocketAddr {
        self.admin.unwrap_or_else(|| {
            let ip = match &self.capture {
                Capture::Explicit { bind, .. } if bind.is_loopback() => *bind,
                _ => IpAddr::V4(Ipv4Addr::LOCALHOST),
            };
            SocketAddr::new(ip, ADMIN_PORT)
        })
    }
}

/// Writes the bootstrap.
///
/// # Errors
/// [`BootstrapError`] when the sidecar would forward to itself.
pub fn bootstrap(options: &BootstrapOptions) -> Result<Value, BootstrapError> {
    check(options)?;
    let id = options.node.to_string();
    Ok(json!({
        "node": {
            "id": id,
            "cluster": options.cluster.as_ref().unwrap_or(&id),
            "metadata": { metadata::OUTRIGGER: capture_metadata(&options.capture) },
        },
        "admin": {
            "address": socket_address(options.admin()),
            // Operators get in while applications are refused.
            "ignore_global_conn_limit": true,
        },
        "dynamic_resources": {
            "ads_config": ads(options.protocol),
            "cds_config": { "resource_api_version": "V3", "ads": {} },
            "lds_config": { "resource_api_version": "V3", "ads": {} },
        },
        "static_resources": static_resources(options),
        "layered_runtime": layered_runtime(),
        "stats_config": { "stats_tags": stats_tags(&options.node) },
        "overload_manager": overload_manager(),
    }))
}

fn static_resources(options: &BootstrapOptions) -> Value {
    let xds = xds_cluster(&options.xds);
    match options.stats {
        None => json!({ "clusters": [xds] }),
        Some(at) => json!({
            "clusters": [xds, stats::cluster(options.admin())],
            "listeners": [stats::listener(at)],
        }),
    }
}

/// App Mesh's limit for regular expressions. Envoy's own is 100, and `/v[0-9]+/[a-z0-9-]{1,63}/.*` is beyond that: it
/// would be rejected together with every route of the sidecar.
fn layered_runtime() -> Value {
    json!({ "layers": [
        { "name": "static", "static_layer": { "re2.max_program_size.error_level": 1000 } },
        // Envoy has it by itself only where no layer is named: it lets operators change the runtime.
        { "name": "admin", "admin_layer": {} },
    ] })
}

/// Looks for a sidecar that forwards to itself. Which ports the node has is the model's business, and not known here.
fn check(options: &BootstrapOptions) -> Result<(), BootstrapError> {
    let (NodeRef::VirtualNode(..), Capture::Explicit { bind, applications }) =
        (&options.node, &options.capture)
    else {
        return Ok(());
    };
    let default = IpAddr::V4(Ipv4Addr::LOCALHOST);
    if applications.is_empty() && covers(*bind, default) {
        return Err(BootstrapError::NoApplication { bind: *bind });
    }
    let egress = (SocketAddr::new(*bind, EGRESS_PORT), "egress listener");
    let admin = (options.admin(), "admin interface");
    let stats = options.stats.map(|stats| (stats, "metrics"));
    let fixed = || [egress, admin].into_iter().chain(stats);
    for (&port, &application) in applications {
        for (taken, purpose) in fixed() {
            if taken.port() == port && covers(*bind, taken.ip()) {
                return Err(BootstrapError::PortTaken { port, purpose });
            }
        }
        let listeners = applications
            .keys()
            .map(|&port| (SocketAddr::new(*bind, port), "listener"));
        for (own, purpose) in listeners.chain(fixed()) {
            if own.port() == application.port() && covers(own.ip(), application.ip()) {
                return Err(BootstrapError::ApplicationIsSidecar {
                    port,
                    application,
                    purpose,
                });
            }
        }
    }
    Ok(())
}

/// Whether a listener on `bind` takes what is sent to `ip` on this machine.
fn covers(bind: IpAddr, ip: IpAddr) -> bool {
    bind == ip || bind.is_unspecified() && (ip.is_loopback() || ip.is_unspecified())
}

fn capture_metadata(capture: &Capture) -> Value {
    match capture {
        Capture::Redirect => json!({ metadata::CAPTURE: metadata::REDIRECT }),
        Capture::Explicit { bind, applications } => json!({
            metadata::CAPTURE: metadata::EXPLICIT,
            metadata::BIND: bind.to_string(),
            metadata::APPLICATIONS: application_metadata(applications),
        }),
    }
}

fn application_metadata(applications: &BTreeMap<u16, SocketAddr>) -> Map<String, Value> {
    applications
        .iter()
        .map(|(port, application)| (port.to_string(), Value::String(application.to_string())))
        .collect()
}

fn ads(protocol: XdsProtocol) -> Value {
    let api_type = match protocol {
        XdsProtocol::Delta => "DELTA_GRPC",
        XdsProtocol::StateOfTheWorld => "GRPC",
    };
    json!({
        "api_type": api_type,
        "transport_api_version": "V3",
        // Envoy's node is 60 KB: every ACK would carry it.
        "set_node_on_first_message_only": true,
        "grpc_services": [{ "envoy_grpc": {
            "cluster_name": XDS_CLUSTER,
            // Envoy's own pauses grow to 30 s: as long after an outage some sidecars would still be unsteered.
            "retry_policy": { "retry_back_off": { "base_interval": "0.5s", "max_interval": "5s" } },
        } }],
    })
}

/// A control plane that vanished without a word is noticed within 35 s, and another replica tried.
fn xds_cluster(xds: &XdsAddress) -> Value {
    let discovery = match xds {
        XdsAddress::Ip(_) | XdsAddress::Unix(_) => "STATIC",
        XdsAddress::Name { .. } => "STRICT_DNS",
    };
    let connection = match xds {
        XdsAddress::Unix(_) => json!({}),
        XdsAddress::Ip(_) | XdsAddress::Name { .. } => json!({
            "tcp_keepalive": { "keepalive_probes": 3, "keepalive_time": 30, "keepalive_interval": 5 },
        }),
    };
    json!({
        "name": XDS_CLUSTER,
        "type": discovery,
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": XDS_CLUSTER,
            "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": xds.envoy_address() } }] }],
        },
        "upstream_connection_options": connection,
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {
                    "http2_protocol_options": {
                        "connection_keepalive": { "interval": "30s", "timeout": "5s" },
                    },
                },
            },
        },
    })
}

/// The tags that App Mesh's sidecars put on every metric, so that dashboards keep working. The patterns take the
/// listener's protocol and port out of `http.ingress.http.8080.downstream_rq_total`.
fn stats_tags(node: &NodeRef) -> Value {
    let (resource, name) = match node {
        NodeRef::VirtualNode(_, name) => ("appmesh.virtual_node", name.as_str()),
        NodeRef::VirtualGateway(_, name) => ("appmesh.virtual_gateway", name.as_str()),
    };
    json!([
        { "tag_name": "appmesh.mesh", "fixed_value": node.mesh().as_str() },
        { "tag_name": resource, "fixed_value": name },
        {
            "tag_name": "appmesh.listener_protocol",
            "regex": r"^(?:http|tcp)\.(?:ingress|egress)\.((http|http2|grpc|tcp)\.)\d+\.",
        },
        {
            "tag_name": "appmesh.listener_port",
            "regex": r"^(?:http|tcp)\.(?:ingress|egress)\.(?:http|http2|grpc|tcp)\.((\d+)\.)",
        },
    ])
}

fn overload_manager() -> Value {
    json!({
        "resource_monitors": [{
            "name": "envoy.resource_monitors.global_downstream_max_connections",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
                "max_active_downstream_connections": MAX_DOWNSTREAM_CONNECTIONS,
            },
        }],
    })
}

fn socket_address(address: SocketAddr) -> Value {
    json!({ "socket_address": { "address": address.ip().to_string(), "port_value": address.port() } })
}

#[cfg(test)]
mod tests;
