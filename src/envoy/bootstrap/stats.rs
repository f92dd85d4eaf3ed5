//! A listener for Prometheus: the two pages of the admin interface that harm nobody.
//!
//! The admin interface itself can end Envoy and shows its whole configuration, so it stays where strangers are not. What
//! scrapes it and what asks whether it is ready come from elsewhere; this listener hands them on, and refuses the rest.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde_json::{Value, json};

/// The static cluster that is Envoy's own admin interface.
const ADMIN_CLUSTER: &str = "outrigger_admin";
const LISTENER: &str = "outrigger_stats";
/// All that is handed on, and only to `GET`.
const PAGES: [&str; 2] = ["/ready", "/stats/prometheus"];

pub(super) fn listener(at: SocketAddr) -> Value {
    let routes = PAGES.map(|page| {
        let get = json!({ "name": ":method", "string_match": { "exact": "GET" } });
        json!({
            "match": { "path": page, "headers": [get] },
            "route": { "cluster": ADMIN_CLUSTER },
        })
    });
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": LISTENER,
        "route_config": {
            "name": LISTENER,
            "virtual_hosts": [{ "name": LISTENER, "domains": ["*"], "routes": routes }],
        },
        "http_filters": [{
            "name": "envoy.filters.http.router",
            "typed_config": { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" },
        }],
    });
    json!({
        "name": LISTENER,
        "address": super::socket_address(at),
        // A flood of applications' connections is seen, not hidden.
        "ignore_global_conn_limit": true,
        "filter_chains": [{ "filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": manager,
        }] }],
    })
}

pub(super) fn cluster(admin: SocketAddr) -> Value {
    // An interface that binds every address is dialled at one.
    let ip = match admin.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
    };
    let address = super::socket_address(SocketAddr::new(ip, admin.port()));
    json!({
        "name": ADMIN_CLUSTER,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": ADMIN_CLUSTER,
            "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": address } }] }],
        },
    })
}
