//! The listeners of a sidecar that binds the node's ports itself, on an address of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::model::EGRESS_PORT;
use crate::snapshot::Kind;
use crate::translate::egress::TcpPort;
use crate::translate::node::NodePort;
use crate::translate::{chain, listener};

use super::{Builder, Inbound};

pub(super) fn listeners(
    builder: &mut Builder<'_>,
    bind: IpAddr,
    applications: &BTreeMap<u16, SocketAddr>,
) {
    let input = builder.input;
    let mut listeners = Listeners {
        builder,
        bind,
        applications,
        taken: BTreeSet::from([EGRESS_PORT]),
    };
    for port in input.ports {
        listeners.ingress(port);
    }
    listeners.report_strangers();
    listeners.http_egress();
    for (port, backend) in &input.egress.tcp {
        listeners.tcp_egress(*port, backend);
    }
}

struct Listeners<'a, 'b> {
    builder: &'a mut Builder<'b>,
    bind: IpAddr,
    applications: &'a BTreeMap<u16, SocketAddr>,
    /// Ports that are bound already.
    taken: BTreeSet<u16>,
}

impl Listeners<'_, '_> {
    fn ingress(&mut self, node_port: &NodePort) {
        let NodePort { port, protocol, .. } = *node_port;
        let log = self.builder.input.log;
        let application = self.applications.get(&port).copied();
        let application = application.unwrap_or(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port));
        if port == EGRESS_PORT {
            return self.builder.report(format!(
                "gets no calls on port {port}, at which its sidecar takes the application's own; give the listener \
                 another port"
            ));
        }
        self.taken.insert(port);
        if let Some(text) = self.loops(port, application) {
            return self.builder.report(text);
        }
        let chain = match self.builder.inbound(node_port, &[application]) {
            None => return,
            Some(Inbound::Http) => chain::http_ingress(port, protocol, log),
            Some(Inbound::Tcp { cluster, idle }) => chain::tcp_ingress(port, cluster, idle, log),
        };
        let message = listener::ingress(SocketAddr::new(self.bind, port), chain);
        let name = message.name.clone();
        self.builder.put(Kind::Listener, &name, &message);
    }

    /// Tells of applications for ports that the node does not have.
    fn report_strangers(&mut self) {
        for (port, application) in self.applications {
            let ports = self.builder.input.ports;
            if !ports.iter().any(|known| known.port == *port) {
                self.builder.report(format!(
                    "has no listener on port {port}, for which its sidecar's bootstrap names the application {application}; \
                     declare the listener, or correct `--app`"
                ));
            }
        }
    }

    /// Whether the sidecar would call itself at the application's address.
    fn loops(&self, port: u16, application: SocketAddr) -> Option<String> {
        let bind = self.bind;
        let own_address = application.ip() == bind
            || application.ip().is_unspecified()
            || (bind.is_unspecified() && application.ip().is_loopback());
        let mut ports = self.builder.input.ports.iter();
        let own_port = application.port() == EGRESS_PORT
            || ports.any(|known| known.port == application.port());
        (own_address && own_port).then(|| {
            format!(
                "gets no calls on port {port}: its application is said to be at {application}, which is its sidecar's \
                 own address; give the sidecar another address to bind, or say where the application listens"
            )
        })
    }

    fn http_egress(&mut self) {
        let input = self.builder.input;
        let at = SocketAddr::new(self.bind, EGRESS_PORT);
        let message = listener::egress(at, chain::http_proxy(input.outside.dns_cache(), input.log));
        let name = message.name.clone();
        self.builder.put(Kind::Listener, &name, &message);
    }

    fn tcp_egress(&mut self, port: u16, backend: &TcpPort) {
        let TcpPort {
            extension,
            clusters,
        } = backend;
        if !self.taken.insert(port) {
            let own = |known: &NodePort| clusters.contains(&known.cluster);
            if self.builder.input.ports.iter().any(own) {
                // In a mesh where every service is a backend, the node's own is one too, and nobody misses it.
                return;
            }
            return self.builder.report(format!(
                "cannot dial its TCP backend on port {port} directly, since that port of its sidecar is taken by a listener \
                 of its own or by 15001; give the backend another port, or dial it with CONNECT `SERVICE:{port}` \
                 through 15001"
            ));
        }
        let at = SocketAddr::new(self.bind, port);
        let message = listener::egress(at, chain::tcp_egress(port, extension));
        let name = message.name.clone();
        self.builder.put(Kind::Listener, &name, &message);
    }
}
