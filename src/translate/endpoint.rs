//! Load assignments (EDS): the addresses that serve a virtual node.

use std::net::{IpAddr, SocketAddr};

use envoy_types::pb::envoy::config::core::v3::{Address, Locality};
use envoy_types::pb::envoy::config::endpoint::v3::endpoint::AdditionalAddress;
use envoy_types::pb::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use envoy_types::pb::envoy::config::endpoint::v3::{
    ClusterLoadAssignment, Endpoint as EnvoyEndpoint, LbEndpoint, LocalityLbEndpoints,
};

use crate::model::endpoint::Endpoint;

use super::{names, proto};

/// The load assignment of a cluster; without endpoints it is empty, and calls get 503 instead of waiting.
///
/// Endpoints that differ in nothing but their weight become one, as Envoy keeps one host for an address.
pub(crate) fn load_assignment(
    cluster: &str,
    endpoints: &[Endpoint],
    listener_port: u16,
) -> ClusterLoadAssignment {
    let mut hosts: Vec<(IpAddr, u16, u32)> = endpoints
        .iter()
        .map(|endpoint| {
            let port = endpoint.port.unwrap_or(listener_port);
            (endpoint.address, port, endpoint.weight.max(1))
        })
        .collect();
    hosts.sort_unstable();
    hosts.dedup_by_key(|(address, port, _)| (*address, *port));
    let total = hosts.iter().map(|(_, _, weight)| u64::from(*weight)).sum();
    let scale = Scale::for_total(total);
    let lb_endpoints: Vec<LbEndpoint> = hosts
        .iter()
        .map(|(ip, port, weight)| {
            host(
                proto::ip_address(*ip, *port),
                Some(scale.of(u64::from(*weight))),
            )
        })
        .collect();
    let localities = LocalityLbEndpoints {
        locality: Some(Locality {
            zone: names::ZONE.to_owned(),
            ..Default::default()
        }),
        load_balancing_weight: Some(proto::uint(scale.of(total))),
        lb_endpoints,
        ..Default::default()
    };
    ClusterLoadAssignment {
        cluster_name: cluster.to_owned(),
        endpoints: if hosts.is_empty() {
            Vec::new()
        } else {
            vec![localities]
        },
        ..Default::default()
    }
}

/// A load assignment with one address, for a cluster that carries its own.
pub(crate) fn single(cluster: &str, address: Address) -> ClusterLoadAssignment {
    inline(cluster, host(address, None))
}

/// The same for a host at the first of these addresses, or at the next where nobody answers.
pub(crate) fn one_host(cluster: &str, at: &[SocketAddr]) -> ClusterLoadAssignment {
    let mut addresses = at.iter().map(|at| proto::address(*at));
    let endpoint = EnvoyEndpoint {
        address: addresses.next(),
        additional_addresses: addresses
            .map(|address| AdditionalAddress {
                address: Some(address),
            })
            .collect(),
        ..Default::default()
    };
    inline(cluster, lb_endpoint(endpoint, None))
}

fn inline(cluster: &str, endpoint: LbEndpoint) -> ClusterLoadAssignment {
    ClusterLoadAssignment {
        cluster_name: cluster.to_owned(),
        endpoints: vec![LocalityLbEndpoints {
            lb_endpoints: vec![endpoint],
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn host(address: Address, weight: Option<u32>) -> LbEndpoint {
    let endpoint = EnvoyEndpoint {
        address: Some(address),
        ..Default::default()
    };
    lb_endpoint(endpoint, weight)
}

fn lb_endpoint(endpoint: EnvoyEndpoint, weight: Option<u32>) -> LbEndpoint {
    LbEndpoint {
        host_identifier: Some(HostIdentifier::Endpoint(endpoint)),
        load_balancing_weight: weight.map(proto::uint),
        ..Default::default()
    }
}

/// Envoy refuses weights whose sum in a locality does not fit 32 bits: they are made smaller together.
struct Scale(u64);

impl Scale {
    fn for_total(total: u64) -> Self {
        // One more than the quotient, and half the range, leave room for weights that round up to 1.
        Self(total / u64::from(u32::MAX / 2) + 1)
    }

    fn of(&self, weight: u64) -> u32 {
        u32::try_from((weight / self.0).max(1)).unwrap_or(u32::MAX)
    }
}
