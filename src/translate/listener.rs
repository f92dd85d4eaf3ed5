//! Listeners (LDS).
//!
//! **Invariant:** nothing outside the filter chains varies with routes, weights, endpoints or HTTP backends (measured on
//! Envoy 1.40: any byte that differs there drains every connection of the listener). One thing does, and is told in
//! [`redirected_egress`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use envoy_types::pb::envoy::config::core::v3::socket_address::PortSpecifier;
use envoy_types::pb::envoy::config::core::v3::{Address, SocketAddress, TrafficDirection, address};
use envoy_types::pb::envoy::config::listener::v3::listener_filter::ConfigType;
use envoy_types::pb::envoy::config::listener::v3::listener_filter_chain_match_predicate::{
    MatchSet, Rule,
};
use envoy_types::pb::envoy::config::listener::v3::{
    AdditionalAddress, FilterChain, Listener, ListenerFilter, ListenerFilterChainMatchPredicate,
};
use envoy_types::pb::envoy::extensions::filters::listener::original_dst::v3::OriginalDst;
use envoy_types::pb::envoy::extensions::filters::listener::tls_inspector::v3::TlsInspector;
use envoy_types::pb::envoy::r#type::v3::Int32Range;

use crate::model::{EGRESS_PORT, INGRESS_PORT};

use super::{defaults, names, proto};

const ORIGINAL_DST: &str = "envoy.filters.listener.original_dst";
const TLS_INSPECTOR: &str = "envoy.filters.listener.tls_inspector";

/// A listener that takes calls to the node on one port.
pub(crate) fn ingress(at: SocketAddr, chain: FilterChain) -> Listener {
    Listener {
        name: names::ingress_listener(at),
        address: Some(proto::address(at)),
        traffic_direction: TrafficDirection::Inbound.into(),
        filter_chains: vec![chain],
        ..Default::default()
    }
}

/// A listener that takes the application's calls on one port.
pub(crate) fn egress(at: SocketAddr, chain: FilterChain) -> Listener {
    Listener {
        name: names::egress_listener(at.ip(), at.port()),
        address: Some(proto::address(at)),
        traffic_direction: TrafficDirection::Outbound.into(),
        filter_chains: vec![chain],
        ..Default::default()
    }
}

/// Takes redirected calls to the node. It has no default chain: a connection made to it directly is closed.
///
/// The kernel redirects what comes from outside to the address of the interface that it came by, so all are bound.
pub(crate) fn redirected_ingress(chains: Vec<FilterChain>, dual_stack: bool) -> Listener {
    let at = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), INGRESS_PORT);
    let address = if dual_stack {
        let socket = SocketAddress {
            address: Ipv6Addr::UNSPECIFIED.to_string(),
            port_specifier: Some(PortSpecifier::PortValue(u32::from(INGRESS_PORT))),
            ipv4_compat: true,
            ..Default::default()
        };
        Address {
            address: Some(address::Address::SocketAddress(socket)),
        }
    } else {
        proto::address(at)
    };
    Listener {
        name: names::ingress_listener(at),
        address: Some(address),
        stat_prefix: names::REDIRECTED_INGRESS_STATS.to_owned(),
        traffic_direction: TrafficDirection::Inbound.into(),
        listener_filters: vec![original_dst()],
        filter_chains: chains,
        ..Default::default()
    }
}

/// Where the redirected egress listener looks for the name in a TLS handshake.
///
/// Looking costs: a client that waits for the server to speak first is kept waiting ([`defaults::INSPECTION_TIMEOUT`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Inspection {
    Nowhere,
    /// On these ports.
    Only(Vec<u16>),
    /// On all ports but these. They are part of the listener: when they change, its connections are drained.
    Except(Vec<u16>),
}

/// Takes the application's redirected connections.
///
/// The kernel redirects what the host itself sends to loopback, so nothing else is bound: from elsewhere nobody can use
/// the node's way out.
pub(crate) fn redirected_egress(
    chains: Vec<FilterChain>,
    default: Option<FilterChain>,
    inspection: &Inspection,
    dual_stack: bool,
) -> Listener {
    let at = |ip: IpAddr| proto::address(SocketAddr::new(ip, EGRESS_PORT));
    let also = AdditionalAddress {
        address: Some(at(Ipv6Addr::LOCALHOST.into())),
        ..Default::default()
    };
    Listener {
        name: names::egress_listener(Ipv4Addr::UNSPECIFIED.into(), EGRESS_PORT),
        address: Some(at(Ipv4Addr::LOCALHOST.into())),
        additional_addresses: if dual_stack { vec![also] } else { Vec::new() },
        stat_prefix: names::REDIRECTED_EGRESS_STATS.to_owned(),
        traffic_direction: TrafficDirection::Outbound.into(),
        listener_filters_timeout: Some(proto::duration(defaults::INSPECTION_TIMEOUT)),
        continue_on_listener_filters_timeout: true,
        // The order matters: the inspector's predicate sees the port that the first filter restores.
        listener_filters: [Some(original_dst()), tls_inspector(inspection)]
            .into_iter()
            .flatten()
            .collect(),
        filter_chains: chains,
        default_filter_chain: default,
        ..Default::default()
    }
}

fn original_dst() -> ListenerFilter {
    ListenerFilter {
        name: ORIGINAL_DST.to_owned(),
        config_type: Some(ConfigType::TypedConfig(proto::any(&OriginalDst::default()))),
        ..Default::default()
    }
}

fn tls_inspector(inspection: &Inspection) -> Option<ListenerFilter> {
    let disabled = match inspection {
        Inspection::Nowhere => return None,
        Inspection::Only(ports) => Some(predicate(Rule::NotMatch(Box::new(any_of(ports)?)))),
        Inspection::Except(ports) => any_of(ports),
    };
    Some(ListenerFilter {
        name: TLS_INSPECTOR.to_owned(),
        config_type: Some(ConfigType::TypedConfig(
            proto::any(&TlsInspector::default()),
        )),
        filter_disabled: disabled,
    })
}

/// One of these ports; `None` if there are none.
fn any_of(ports: &[u16]) -> Option<ListenerFilterChainMatchPredicate> {
    let mut rules = ports.iter().map(|port| {
        let start = i32::from(*port);
        let end = start + 1;
        predicate(Rule::DestinationPortRange(Int32Range { start, end }))
    });
    // Envoy wants two rules at least in an `or_match`.
    if let [_] = ports {
        return rules.next();
    }
    let rules: Vec<_> = rules.collect();
    (!rules.is_empty()).then(|| predicate(Rule::OrMatch(MatchSet { rules })))
}

fn predicate(rule: Rule) -> ListenerFilterChainMatchPredicate {
    ListenerFilterChainMatchPredicate { rule: Some(rule) }
}
