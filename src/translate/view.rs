//! What a sidecar has of its own beside its egress set: its listeners, and the way to its application.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use envoy_types::pb::envoy::config::accesslog::v3::AccessLog;
use envoy_types::pb::envoy::config::route::v3::{RouteConfiguration, VirtualHost};
use prost::Message;

use crate::model::spec::{
    ApiDuration, ListenerTimeout, ListenerTlsMode, Protocol, VirtualNodeSpec,
};
use crate::model::{EGRESS_PORT, MeshName, NodeName, ResourceId};
use crate::snapshot::{Interner, Kind, Resource};

use super::egress::TcpPort;
use super::encryption::Encryption;
use super::listener::{self, Outside};
use super::node::{NodePort, listener_on};
use super::{Problem, cluster, defaults, names, route};

/// What a view's own resources are made of.
pub(crate) struct OwnInput<'a> {
    pub(crate) mesh: &'a MeshName,
    pub(crate) node: &'a NodeName,
    pub(crate) spec: &'a VirtualNodeSpec,
    pub(crate) ports: &'a [NodePort],
    pub(crate) bind: IpAddr,
    pub(crate) applications: &'a BTreeMap<u16, SocketAddr>,
    pub(crate) tcp_ports: &'a [TcpPort],
    pub(crate) outside: Outside,
    pub(crate) log: &'a [AccessLog],
}

/// A view's own resources.
#[derive(Clone, Debug, Default)]
pub(crate) struct Own {
    pub(crate) resources: Vec<Arc<Resource>>,
    pub(crate) problems: Vec<Problem>,
}

impl Own {
    pub(crate) fn same_resources(&self, other: &Self) -> bool {
        let key = |resource: &Arc<Resource>| {
            let name = Arc::clone(resource.name());
            (resource.kind(), name, resource.version())
        };
        let others = other.resources.iter().map(key);
        self.resources.iter().map(key).eq(others)
    }
}

/// The view's own resources in explicit mode.
pub(crate) fn own(input: &OwnInput<'_>, interner: &mut Interner) -> Own {
    let mut builder = Builder {
        input,
        interner,
        own: Own::default(),
        taken: BTreeSet::from([EGRESS_PORT]),
    };
    if let Some(text) = Encryption::of(input.spec).problem() {
        builder.report(text);
    }
    for port in input.ports {
        builder.ingress(port);
    }
    for (port, application) in input.applications {
        if !input.ports.iter().any(|known| known.port == *port) {
            builder.report(format!(
                "has no listener on port {port}, for which its sidecar's bootstrap names the application {application}; \
                 declare the listener, or correct `--app`"
            ));
        }
    }
    let egress = SocketAddr::new(input.bind, EGRESS_PORT);
    let message = listener::http_egress(egress, input.outside, input.log);
    builder.put(Kind::Listener, &message.name.clone(), &message);
    for port in input.tcp_ports {
        builder.tcp_egress(port);
    }
    builder.own
}

struct Builder<'a> {
    input: &'a OwnInput<'a>,
    interner: &'a mut Interner,
    own: Own,
    /// Ports that are bound already.
    taken: BTreeSet<u16>,
}

impl Builder<'_> {
    fn put(&mut self, kind: Kind, name: &str, message: &impl Message) {
        let resource = Resource::new(kind, name.into(), message, None);
        self.own.resources.push(self.interner.intern(resource));
    }

    fn report(&mut self, text: String) {
        let id = ResourceId::VirtualNode(self.input.mesh.clone(), self.input.node.clone());
        self.own.problems.push(Problem::new(id, text));
    }

    fn ingress(&mut self, port: &NodePort) {
        let NodePort { port, protocol, .. } = *port;
        let input = self.input;
        let application = input.applications.get(&port).copied();
        let application = application.unwrap_or(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port));
        let listener = listener_on(input.spec, port);
        if port == EGRESS_PORT {
            return self.report(format!(
                "gets no calls on port {port}, at which its sidecar takes the application's own; give the listener \
                 another port"
            ));
        }
        self.taken.insert(port);
        if let Some(text) = self.loops(port, application) {
            return self.report(text);
        }
        let tls = listener.and_then(|listener| listener.tls.as_ref());
        if tls.is_some_and(|tls| tls.mode == ListenerTlsMode::Strict) {
            return self.report(format!(
                "gets no calls on port {port}, whose `tls.mode` is STRICT, since TLS is not served yet; set it to \
                 PERMISSIVE or DISABLED to get them in plain text"
            ));
        }
        let pool = listener.and_then(|listener| listener.connection_pool.as_ref());
        let cluster = cluster::ingress(input.mesh, input.node, port, protocol, application, pool);
        let cluster_name = cluster.name.clone();
        self.put(Kind::Cluster, &cluster_name, &cluster);
        let timeout = listener.and_then(|listener| listener.timeout.as_ref());
        let at = SocketAddr::new(input.bind, port);
        let listener = if protocol.is_http_like() {
            let routes = ingress_routes(input.node, port, protocol, cluster_name, timeout);
            self.put(Kind::Route, &routes.name.clone(), &routes);
            listener::http_ingress(at, protocol, input.log)
        } else {
            let idle = match timeout {
                Some(ListenerTimeout::Tcp(timeout)) => timeout.idle,
                _ => None,
            };
            let idle = idle.map_or(defaults::NO_TIMEOUT, ApiDuration::to_duration);
            listener::tcp_ingress(at, cluster_name, idle, input.log)
        };
        self.put(Kind::Listener, &listener.name.clone(), &listener);
    }

    /// Whether the sidecar would call itself at the application's address.
    fn loops(&self, port: u16, application: SocketAddr) -> Option<String> {
        let bind = self.input.bind;
        let own_address = application.ip() == bind
            || application.ip().is_unspecified()
            || (bind.is_unspecified() && application.ip().is_loopback());
        let own_port = application.port() == EGRESS_PORT
            || self
                .input
                .ports
                .iter()
                .any(|known| known.port == application.port());
        (own_address && own_port).then(|| {
            format!(
                "gets no calls on port {port}: its application is said to be at {application}, which is its sidecar's \
                 own address; give the sidecar another address to bind, or say where the application listens"
            )
        })
    }

    fn tcp_egress(&mut self, port: &TcpPort) {
        let TcpPort {
            service,
            port,
            extension,
            clusters,
        } = port;
        if !self.taken.insert(*port) {
            let own = |known: &NodePort| clusters.contains(&known.cluster);
            if self.input.ports.iter().any(own) {
                // In a mesh where every service is a backend, the node's own is one too, and nobody misses it.
                return;
            }
            return self.report(format!(
                "cannot dial its TCP backend `{service}` directly, since port {port} of its sidecar is taken by a \
                 listener of its own, by another TCP backend or by 15001; give the backend another port, or dial it with \
                 CONNECT `{service}:{port}` through 15001"
            ));
        }
        let at = SocketAddr::new(self.input.bind, *port);
        let message = listener::tcp_egress(at, extension);
        self.put(Kind::Listener, &message.name.clone(), &message);
    }
}

fn ingress_routes(
    node: &NodeName,
    port: u16,
    protocol: Protocol,
    cluster: String,
    timeout: Option<&ListenerTimeout>,
) -> RouteConfiguration {
    let timeout = match timeout {
        Some(
            ListenerTimeout::Http(timeout)
            | ListenerTimeout::Http2(timeout)
            | ListenerTimeout::Grpc(timeout),
        ) => Some(timeout),
        Some(ListenerTimeout::Tcp(_)) | None => None,
    };
    RouteConfiguration {
        name: names::ingress_routes(protocol, port),
        virtual_hosts: vec![VirtualHost {
            name: node.to_string(),
            domains: vec!["*".to_owned()],
            routes: vec![route::to_application(node, cluster, timeout)],
            ..Default::default()
        }],
        ..Default::default()
    }
}
