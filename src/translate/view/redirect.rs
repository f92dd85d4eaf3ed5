//! The two listeners of a sidecar to which the kernel redirects connections: 15000 takes what comes to the node, 15001
//! what its application sends. Chains are told apart by the port that a connection was made to.
//!
//! **Invariant:** Envoy looks at the port first, and never goes back from a port that matched: what holds for all ports
//! has a chain for each that has chains, too (measured on Envoy 1.40).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use envoy_types::pb::envoy::config::listener::v3::{FilterChain, FilterChainMatch};

use crate::model::spec::IpPreference;
use crate::model::{EGRESS_PORT, INGRESS_PORT};
use crate::snapshot::Kind;
use crate::translate::listener::Inspection;
use crate::translate::node::NodePort;
use crate::translate::outside::{AWS_DOMAIN, Outside};
use crate::translate::{chain, listener, names, proto};

use super::{Builder, Inbound};

/// Ports at which TLS to hosts outside the mesh is common, though a backend may be called there in plain HTTP.
const TLS_PORTS: [u16; 2] = [HTTPS, 8443];
/// Where AWS's services are called; there a handshake is looked at even if a TCP backend has the port.
const HTTPS: u16 = 443;

pub(super) fn listeners(builder: &mut Builder<'_>) {
    let dual_stack = builder.input.preference.is_some();
    let chains: Vec<FilterChain> = builder
        .input
        .ports
        .iter()
        .filter_map(|port| ingress(builder, port))
        .collect();
    if !chains.is_empty() {
        let message = listener::redirected_ingress(chains, dual_stack);
        builder.put(Kind::Listener, &message.name.clone(), &message);
    }
    let egress = Egress { builder };
    let message = listener::redirected_egress(
        egress.chains(),
        egress.default_chain(),
        &egress.inspection(),
        dual_stack,
    );
    builder.put(Kind::Listener, &message.name.clone(), &message);
    builder.local_cluster();
}

fn ingress(builder: &mut Builder<'_>, node_port: &NodePort) -> Option<FilterChain> {
    let NodePort { port, protocol, .. } = *node_port;
    let log = builder.input.log;
    if port == EGRESS_PORT || port == INGRESS_PORT {
        builder.report(format!(
            "gets no calls on port {port}, to which its sidecar has connections redirected; give the listener another \
             port"
        ));
        return None;
    }
    let application = applications(builder.input.preference, port);
    let chain = match builder.inbound(node_port, &application)? {
        Inbound::Http => chain::http_ingress(port, protocol, log),
        Inbound::Tcp { cluster, idle } => chain::tcp_ingress(port, cluster, idle, log),
    };
    Some(chain::on_port(port, chain))
}

/// Where the application of a redirected sidecar answers, as App Mesh had it; IPv4 is tried where IPv6 is not heard.
fn applications(preference: Option<IpPreference>, port: u16) -> Vec<SocketAddr> {
    let (v4, v6) = (Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into());
    let addresses: &[IpAddr] = match preference {
        None | Some(IpPreference::Ipv4Only | IpPreference::Ipv4Preferred) => &[v4],
        Some(IpPreference::Ipv6Only | IpPreference::Ipv6Preferred) => &[v6, v4],
    };
    let at = |ip: &IpAddr| SocketAddr::new(*ip, port);
    addresses.iter().map(at).collect()
}

struct Egress<'a, 'b> {
    builder: &'a Builder<'b>,
}

impl Egress<'_, '_> {
    /// By port; within a port, and at the end, what is for hosts outside the mesh last.
    fn chains(&self) -> Vec<FilterChain> {
        let input = self.builder.input;
        let own = chain::http_proxy(None, input.log);
        let mut chains = vec![chain::on_port(EGRESS_PORT, own)];
        for (port, protocol) in &input.egress.http {
            let http = chain::http_egress(*port, *protocol, input.log);
            chains.push(chain::on_port(*port, http));
            chains.extend(self.outside_on(*port));
        }
        for (port, backend) in &input.egress.tcp {
            let tcp = chain::tcp_egress(*port, &backend.extension);
            chains.push(chain::on_port(*port, tcp));
            if let (Outside::Aws(_), HTTPS) = (input.outside, *port) {
                chains.extend(self.outside_on(HTTPS));
            }
        }
        if let Outside::Aws(_) = input.outside {
            let aws = self.pass(names::AWS_CHAIN.to_owned(), names::AWS_STATS);
            chains.extend(aws.map(|aws| chain::matching(aws_by_name(None), aws)));
        }
        chains
    }

    /// TLS connections to hosts outside the mesh, on a port that a backend has.
    fn outside_on(&self, port: u16) -> Option<FilterChain> {
        match self.builder.input.outside {
            Outside::Dropped => None,
            Outside::Aws(_) => {
                let name = names::chain_on(names::AWS_CHAIN, port);
                let chain = self.pass(name, names::AWS_STATS)?;
                Some(chain::matching(aws_by_name(Some(port)), chain))
            }
            Outside::Allowed(_) => {
                if !TLS_PORTS.contains(&port) {
                    return None;
                }
                let name = names::chain_on(names::ALLOW_ALL_CHAIN, port);
                let chain = self.pass(name, names::ALLOW_ALL_STATS)?;
                let matched = FilterChainMatch {
                    destination_port: Some(proto::uint(u32::from(port))),
                    transport_protocol: "tls".to_owned(),
                    ..Default::default()
                };
                Some(chain::matching(matched, chain))
            }
        }
    }

    /// Connections to ports that no backend has.
    fn default_chain(&self) -> Option<FilterChain> {
        match self.builder.input.outside {
            Outside::Dropped | Outside::Aws(_) => None,
            Outside::Allowed(_) => {
                self.pass(names::ALLOW_ALL_CHAIN.to_owned(), names::ALLOW_ALL_STATS)
            }
        }
    }

    /// Where all may pass, the ports that are looked at never change. Where only AWS may, it is known by name, so
    /// every port is looked at but those of TCP backends, whose servers may speak first.
    fn inspection(&self) -> Inspection {
        let input = self.builder.input;
        match input.outside {
            Outside::Dropped => Inspection::Nowhere,
            Outside::Allowed(_) => Inspection::Only(TLS_PORTS.to_vec()),
            Outside::Aws(_) => {
                let ports = input.egress.tcp.keys().copied();
                Inspection::Except(ports.filter(|port| *port != HTTPS).collect())
            }
        }
    }

    fn pass(&self, name: String, stats: &str) -> Option<FilterChain> {
        let input = self.builder.input;
        let cluster = input.outside.cluster_name(input.mesh)?;
        Some(chain::pass(name, stats, cluster, input.log))
    }
}

fn aws_by_name(port: Option<u16>) -> FilterChainMatch {
    FilterChainMatch {
        destination_port: port.map(|port| proto::uint(u32::from(port))),
        server_names: vec![AWS_DOMAIN.to_owned()],
        ..Default::default()
    }
}
