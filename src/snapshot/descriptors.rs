//! Descriptors of Envoy's messages, for printing resources as JSON and for encoding them canonically.
//!
//! The file is the part of `envoy-types`' own descriptor set that the served messages reach; a test makes it anew and
//! compares (`tests/it/generated.rs`).

use std::sync::LazyLock;

use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};

static ENCODED: &[u8] = include_bytes!("../../proto/envoy-descriptors.binpb");

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    // The bytes are part of the program and a test decodes them; an empty pool would only print less.
    DescriptorPool::decode(ENCODED).unwrap_or_default()
});

/// The messages whose descriptors are kept, with all that they reach. `Any` hides the others, so each is named.
pub const ROOTS: &[&str] = &[
    "envoy.config.bootstrap.v3.Bootstrap",
    "envoy.config.cluster.v3.Cluster",
    "envoy.config.core.v3.TypedExtensionConfig",
    "envoy.config.endpoint.v3.ClusterLoadAssignment",
    "envoy.config.listener.v3.Listener",
    "envoy.config.route.v3.RouteConfiguration",
    "envoy.extensions.access_loggers.file.v3.FileAccessLog",
    "envoy.extensions.access_loggers.stream.v3.StderrAccessLog",
    "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
    "envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig",
    "envoy.extensions.filters.http.dynamic_forward_proxy.v3.FilterConfig",
    "envoy.extensions.filters.http.router.v3.Router",
    "envoy.extensions.filters.listener.original_dst.v3.OriginalDst",
    "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector",
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
    "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
    "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
    "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
    "envoy.extensions.transport_sockets.tls.v3.Secret",
    "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
    "envoy.service.discovery.v3.DeltaDiscoveryRequest",
    "envoy.service.discovery.v3.DeltaDiscoveryResponse",
    "envoy.service.discovery.v3.DiscoveryRequest",
    "envoy.service.discovery.v3.DiscoveryResponse",
];

/// The descriptor behind a type URL, if it is one of those kept.
pub fn message(type_url: &str) -> Option<MessageDescriptor> {
    let name = type_url.rsplit('/').next()?;
    POOL.get_message_by_name(name)
}

/// A message as protobuf JSON with every `Any` expanded; `None` if its type is not kept or the bytes are not of it.
pub fn to_json(type_url: &str, body: &[u8]) -> Option<serde_json::Value> {
    let message = DynamicMessage::decode(message(type_url)?, body).ok()?;
    let mut json = serde_json::to_value(&message).ok()?;
    if let serde_json::Value::Object(members) = &mut json {
        members.insert("@type".to_owned(), type_url.into());
    }
    Some(json)
}
