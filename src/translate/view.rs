//! What a sidecar has of its own beside its egress set: its listeners, and the way to its application.

mod explicit;
mod redirect;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::config::accesslog::v3::AccessLog;
use envoy_types::pb::envoy::config::route::v3::{RouteConfiguration, VirtualHost};
use prost::Message;

use crate::model::spec::{
    ApiDuration, IpPreference, ListenerTimeout, ListenerTlsMode, Protocol, VirtualNodeSpec,
};
use crate::model::{Capture, ClientKind, LOCAL_CLUSTER, MeshName, NodeName, ResourceId};
use crate::snapshot::{Interner, Kind, Resource, Snapshot, Withheld};

use super::egress::EgressPorts;
use super::encryption::Encryption;
use super::endpoint::Hosts;
use super::node::{NodePort, listener_on};
use super::outside::Outside;
use super::{Problem, cluster, defaults, endpoint, names, route};

/// What a view's own resources are made of.
pub(crate) struct OwnInput<'a> {
    pub(crate) mesh: &'a MeshName,
    pub(crate) node: &'a NodeName,
    pub(crate) spec: &'a VirtualNodeSpec,
    pub(crate) ports: &'a [NodePort],
    /// The node's own endpoints, or why they are not known.
    pub(crate) endpoints: Result<Hosts<'a>, Withheld>,
    pub(crate) preference: Option<IpPreference>,
    pub(crate) capture: &'a Capture,
    pub(crate) client: ClientKind,
    pub(crate) egress: &'a EgressPorts,
    pub(crate) outside: Outside,
    pub(crate) log: &'a [AccessLog],
}

/// A view's own resources.
#[derive(Clone, Debug, Default)]
pub(crate) struct Own {
    resources: Vec<Arc<Resource>>,
    /// Why the node's own endpoints are not known.
    withheld: Option<Withheld>,
    pub(crate) problems: Vec<Problem>,
}

impl Own {
    pub(crate) fn same_resources(&self, other: &Self) -> bool {
        let key = |resource: &Arc<Resource>| {
            let name = Arc::clone(resource.name());
            (resource.kind(), name, resource.version())
        };
        let others = other.resources.iter().map(key);
        self.withheld == other.withheld && self.resources.iter().map(key).eq(others)
    }

    pub(crate) fn add_to(&self, snapshot: &mut Snapshot) {
        for resource in &self.resources {
            snapshot.insert(Arc::clone(resource));
        }
        if let Some(why) = self.withheld {
            snapshot.withhold(Kind::Endpoint, LOCAL_CLUSTER.into(), why);
        }
    }
}

/// The view's own resources.
pub(crate) fn own(input: &OwnInput<'_>, interner: &mut Interner) -> Own {
    let mut builder = Builder {
        input,
        interner,
        own: Own::default(),
    };
    if let Some(text) = Encryption::of(input.spec).problem() {
        builder.report(text);
    }
    match (input.client, input.capture) {
        (ClientKind::Envoy, Capture::Explicit { bind, applications }) => {
            explicit::listeners(&mut builder, *bind, applications);
        }
        (ClientKind::Envoy, Capture::Redirect) => redirect::listeners(&mut builder),
        // All that a client without a sidecar needs follows from its backends.
        (ClientKind::Grpc, _) => {}
    }
    builder.own
}

struct Builder<'a> {
    input: &'a OwnInput<'a>,
    interner: &'a mut Interner,
    own: Own,
}

/// What becomes of calls to one of the node's ports.
enum Inbound {
    Http,
    Tcp { cluster: String, idle: Duration },
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

    /// Makes the way from one of the node's ports to its application: a cluster, and routes where it is HTTP. `None`
    /// if the port cannot be served, which is told.
    fn inbound(&mut self, port: &NodePort, application: &[SocketAddr]) -> Option<Inbound> {
        let NodePort { port, protocol, .. } = *port;
        let input = self.input;
        let listener = listener_on(input.spec, port);
        let tls = listener.and_then(|listener| listener.tls.as_ref());
        if tls.is_some_and(|tls| tls.mode == ListenerTlsMode::Strict) {
            self.report(format!(
                "gets no calls on port {port}, whose `tls.mode` is STRICT, since TLS is not served yet; set it to \
                 PERMISSIVE or DISABLED to get them in plain text"
            ));
            return None;
        }
        let pool = listener.and_then(|listener| listener.connection_pool.as_ref());
        let cluster = cluster::ingress(input.mesh, input.node, port, protocol, application, pool);
        let cluster_name = cluster.name.clone();
        self.put(Kind::Cluster, &cluster_name, &cluster);
        let timeout = listener.and_then(|listener| listener.timeout.as_ref());
        if protocol.is_http_like() {
            let routes = ingress_routes(input.node, port, protocol, cluster_name, timeout);
            self.put(Kind::Route, &routes.name.clone(), &routes);
            return Some(Inbound::Http);
        }
        let idle = match timeout {
            Some(ListenerTimeout::Tcp(timeout)) => timeout.idle,
            _ => None,
        };
        Some(Inbound::Tcp {
            cluster: cluster_name,
            idle: idle.map_or(defaults::NO_TIMEOUT, ApiDuration::to_duration),
        })
    }

    /// The endpoints of the node itself, for sidecars that ask for their own.
    fn local_cluster(&mut self) {
        let input = self.input;
        let Some(first) = input.ports.first() else {
            return self.put_local_cluster(Hosts::NONE, 0);
        };
        match input.endpoints {
            Ok(hosts) => self.put_local_cluster(hosts, first.port),
            Err(why) => self.own.withheld = Some(why),
        }
    }

    fn put_local_cluster(&mut self, hosts: Hosts<'_>, port: u16) {
        let own = endpoint::load_assignment(LOCAL_CLUSTER, hosts, port);
        self.put(Kind::Endpoint, LOCAL_CLUSTER, &own);
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
