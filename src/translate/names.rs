//! The names of Envoy's resources: App Mesh's own, so that dashboards, alarms and log queries keep working.
//!
//! **Invariant:** a name tells what it names from every other thing of its kind in one mesh; no other file spells one.

use std::net::{IpAddr, SocketAddr};

use crate::model::spec::Protocol;
use crate::model::{MeshName, NodeName, ServiceName};

/// The route configuration behind [`crate::model::EGRESS_PORT`], for applications that dial the sidecar.
pub(crate) const EGRESS_ROUTES: &str = "rds_egress_http_15001";
pub(crate) const EGRESS_CHAIN: &str = "egress_http_15001";
pub(crate) const EGRESS_STATS: &str = "egress.http.15001";
/// Stops requests for the sidecar's own address from being forwarded to itself without end.
pub(crate) const NO_LOOP_HOST: &str = "no_loop";
pub(crate) const ALLOW_ALL_HOST: &str = "allow_all";
pub(crate) const AWS_HOST: &str = "amazonaws";
/// Connections to hosts outside the mesh.
pub(crate) const ALLOW_ALL_CHAIN: &str = "egress_allow_all";
pub(crate) const ALLOW_ALL_STATS: &str = "egress.allow_all";
pub(crate) const AWS_CHAIN: &str = "egress_amazonaws";
pub(crate) const AWS_STATS: &str = "egress.amazonaws";
/// The stat prefixes of the redirected listeners, whatever addresses they bind.
pub(crate) const REDIRECTED_INGRESS_STATS: &str = "0.0.0.0_15000";
pub(crate) const REDIRECTED_EGRESS_STATS: &str = "0.0.0.0_15001";
/// The cache that the dynamic forward proxy's filter and cluster share.
pub(crate) const DNS_CACHE: &str = "egress_allow_all";
/// Where endpoints are that name no zone. gRPC clients need a locality.
pub(crate) const ZONE: &str = "default";

pub(crate) fn egress_cluster(
    mesh: &MeshName,
    node: &NodeName,
    protocol: Protocol,
    port: u16,
) -> String {
    format!("cds_egress_{mesh}_{node}_{}_{port}", protocol.as_str())
}

pub(crate) fn ingress_cluster(
    mesh: &MeshName,
    node: &NodeName,
    protocol: Protocol,
    port: u16,
) -> String {
    format!("cds_ingress_{mesh}_{node}_{}_{port}", protocol.as_str())
}

/// Where calls go that name no backend, in a mesh that allows them.
pub(crate) fn allow_all_cluster(mesh: &MeshName) -> String {
    format!("cds_egress_{mesh}_mesh-allow-all")
}

/// Where calls to AWS go, in a mesh that drops what names no backend.
pub(crate) fn aws_cluster(mesh: &MeshName) -> String {
    format!("cds_egress_{mesh}_amazonaws")
}

/// A cluster without endpoints, for connections that have no target.
pub(crate) fn empty_cluster(mesh: &MeshName) -> String {
    format!("cds_egress_{mesh}_mesh-no-endpoints")
}

pub(crate) fn ingress_listener(at: SocketAddr) -> String {
    format!("lds_ingress_{}_{}", at.ip(), at.port())
}

pub(crate) fn egress_listener(bind: IpAddr, port: u16) -> String {
    format!("lds_egress_{bind}_{port}")
}

pub(crate) fn ingress_routes(protocol: Protocol, port: u16) -> String {
    format!("rds_ingress_{}_{port}", protocol.as_str())
}

pub(crate) fn ingress_chain(protocol: Protocol, port: u16) -> String {
    format!("ingress_{}_{port}", protocol.as_str())
}

pub(crate) fn ingress_stats(protocol: Protocol, port: u16) -> String {
    format!("ingress.{}.{port}", protocol.as_str())
}

/// The routes of one port, where the kernel redirects calls.
pub(crate) fn egress_routes(protocol: Protocol, port: u16) -> String {
    format!("rds_egress_{}_{port}", protocol.as_str())
}

pub(crate) fn egress_chain(protocol: Protocol, port: u16) -> String {
    format!("egress_{}_{port}", protocol.as_str())
}

pub(crate) fn egress_stats(protocol: Protocol, port: u16) -> String {
    format!("egress.{}.{port}", protocol.as_str())
}

/// What a gRPC channel is given to call one port of a service: its listener's name.
pub(crate) fn target(service: &ServiceName, port: u16) -> String {
    format!("{service}:{port}")
}

/// The routes of one port of a service, for clients that route their calls themselves.
pub(crate) fn service_routes(service: &ServiceName, port: u16) -> String {
    format!("rds_egress_{service}_{port}")
}

/// A chain for connections out of the mesh on a port that has a chain of its own.
pub(crate) fn chain_on(chain: &str, port: u16) -> String {
    format!("{chain}_{port}")
}

/// The `tcp_proxy` configuration of a TCP port, which changes without its listener.
pub(crate) fn tcp_egress(mesh: &MeshName, port: u16) -> String {
    format!("tcp_egress_{mesh}_{port}")
}
