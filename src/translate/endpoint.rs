//! Load assignments (EDS): the addresses that serve a virtual node.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use envoy_types::pb::envoy::config::core::v3::{Address, Locality};
use envoy_types::pb::envoy::config::endpoint::v3::endpoint::AdditionalAddress;
use envoy_types::pb::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use envoy_types::pb::envoy::config::endpoint::v3::{
    ClusterLoadAssignment, Endpoint as EnvoyEndpoint, LbEndpoint, LocalityLbEndpoints,
};

use crate::model::endpoint::{
    Endpoint, EndpointSet, EndpointSource, EndpointTable, NodeKey, RegisteredEndpoint,
};
use crate::snapshot::Withheld;

use super::node::NodePort;
use super::{names, proto};

/// What serves a virtual node.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Hosts<'a> {
    Discovered(&'a [Endpoint]),
    Registered {
        endpoints: &'a [RegisteredEndpoint],
        /// The node has no other listener than the one in question.
        is_only_listener: bool,
    },
}

impl<'a> Hosts<'a> {
    pub(crate) const NONE: Self = Self::Discovered(&[]);

    /// What is registered for a node with these ports, else what is found at its source, or why that is not known. A
    /// node with neither has none.
    pub(crate) fn known(
        node: &NodeKey,
        ports: &[NodePort],
        source: Option<&EndpointSource>,
        table: &'a EndpointTable,
    ) -> Result<Self, Withheld> {
        if let Some(endpoints) = table.registered(node) {
            return Ok(Self::Registered {
                endpoints,
                is_only_listener: ports.len() < 2,
            });
        }
        let Some(source) = source else {
            return Ok(Self::NONE);
        };
        match table.get(source) {
            Some(EndpointSet::Known(endpoints)) => Ok(Self::Discovered(endpoints)),
            Some(EndpointSet::Unanswered) => Err(Withheld::Overdue),
            Some(EndpointSet::Unresolved) | None => Err(Withheld::Awaited),
        }
    }

    /// Those that serve the listener on this port, by zone, each address once.
    fn serving(self, listener: u16) -> BTreeMap<&'a str, Vec<Host>> {
        let mut hosts: Vec<(Host, &str)> = match self {
            Self::Discovered(endpoints) => endpoints
                .iter()
                .map(|endpoint| {
                    let port = endpoint.port.unwrap_or(listener);
                    let host = Host {
                        address: endpoint.address,
                        port,
                        weight: endpoint.weight.max(1),
                    };
                    (host, names::ZONE)
                })
                .collect(),
            Self::Registered {
                endpoints,
                is_only_listener,
            } => endpoints
                .iter()
                .filter_map(|endpoint| {
                    let host = Host {
                        address: endpoint.address,
                        port: endpoint.port_for(listener, is_only_listener)?,
                        weight: endpoint.weight.max(1),
                    };
                    Some((host, endpoint.zone.as_deref().unwrap_or(names::ZONE)))
                })
                .collect(),
        };
        hosts.sort_unstable();
        hosts.dedup_by_key(|(host, _)| (host.address, host.port));
        let mut zones: BTreeMap<&str, Vec<Host>> = BTreeMap::new();
        for (host, zone) in hosts {
            zones.entry(zone).or_default().push(host);
        }
        zones
    }
}

/// How many registered endpoints serve none of a node's ports.
pub(crate) fn unused(endpoints: &[RegisteredEndpoint], ports: &[NodePort]) -> usize {
    let is_only = ports.len() < 2;
    let serves = |endpoint: &&RegisteredEndpoint| {
        let mut ports = ports.iter();
        !ports.any(|known| endpoint.port_for(known.port, is_only).is_some())
    };
    endpoints.iter().filter(serves).count()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Host {
    address: IpAddr,
    port: u16,
    weight: u32,
}

/// The load assignment of a cluster; without endpoints it is empty, and calls get 503 instead of waiting.
///
/// Endpoints that differ in nothing but their weight become one, as Envoy keeps one host for an address.
pub(crate) fn load_assignment(
    cluster: &str,
    hosts: Hosts<'_>,
    listener_port: u16,
) -> ClusterLoadAssignment {
    let zones = hosts.serving(listener_port);
    let total = zones.values().flatten().map(Host::weight).sum();
    let scale = Scale::for_total(total);
    ClusterLoadAssignment {
        cluster_name: cluster.to_owned(),
        endpoints: zones
            .into_iter()
            .map(|(zone, hosts)| locality(zone, &hosts, &scale))
            .collect(),
        ..Default::default()
    }
}

fn locality(zone: &str, hosts: &[Host], scale: &Scale) -> LocalityLbEndpoints {
    let weight = hosts.iter().map(Host::weight).sum();
    let lb_endpoint = |one: &Host| {
        let address = proto::ip_address(one.address, one.port);
        host(address, Some(scale.of(one.weight())))
    };
    LocalityLbEndpoints {
        locality: Some(Locality {
            zone: zone.to_owned(),
            ..Default::default()
        }),
        load_balancing_weight: Some(proto::uint(scale.of(weight))),
        lb_endpoints: hosts.iter().map(lb_endpoint).collect(),
        ..Default::default()
    }
}

impl Host {
    fn weight(&self) -> u64 {
        u64::from(self.weight)
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

/// Envoy refuses weights whose sum in a locality, or over all localities, does not fit 32 bits: they are made smaller
/// together.
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
