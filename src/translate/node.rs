//! Virtual nodes, compiled: the ports at which a node is reached, and for each a cluster and its load assignment.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::endpoint::{EndpointSource, EndpointTable, NodeKey, RegisteredSet};
use crate::model::spec::{
    DnsResponseType, Listener, MeshSpec, Protocol, ServiceDiscovery, VirtualNodeSpec,
};
use crate::model::{MeshName, NodeName, ResourceId};
use crate::snapshot::{Interner, Kind, Resource, ResourceName, Withheld};

use super::endpoint::Hosts;
use super::{Options, Problem, cluster, endpoint, names};

/// A listener as other nodes see it. Routes depend on nothing else of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NodePort {
    pub(crate) port: u16,
    pub(crate) protocol: Protocol,
    /// The cluster's name.
    pub(crate) cluster: ResourceName,
}

/// The ports of a node, in the order of its listeners, each number once.
///
/// With discovery, or with registered endpoints, and without listeners a node counts as one HTTP listener on the default
/// port.
fn ports(
    mesh: &MeshName,
    node: &NodeName,
    spec: &VirtualNodeSpec,
    is_registered: bool,
    options: &Options,
) -> Vec<NodePort> {
    let port = |port: u16, protocol: Protocol| NodePort {
        port,
        protocol,
        cluster: names::egress_cluster(mesh, node, protocol, port).into(),
    };
    if spec.listeners().is_empty() {
        let default = options.default_listener_port;
        let default = default.filter(|_| is_registered || spec.service_discovery.is_some());
        return default
            .map(|number| port(number, Protocol::Http))
            .into_iter()
            .collect();
    }
    let mut ports: Vec<NodePort> = Vec::new();
    for listener in spec.listeners() {
        let mapping = &listener.port_mapping;
        if ports.iter().all(|known| known.port != mapping.port) {
            ports.push(port(mapping.port, mapping.protocol));
        }
    }
    ports
}

/// A node's listener on a port, if the spec has one.
pub(crate) fn listener_on(spec: &VirtualNodeSpec, port: u16) -> Option<&Listener> {
    spec.listeners()
        .iter()
        .find(|listener| listener.port_mapping.port == port)
}

/// A cluster as it is served, with its load assignment.
#[derive(Clone, Debug)]
pub(crate) struct CompiledCluster {
    pub(crate) cluster: Arc<Resource>,
    pub(crate) assignment: Assignment,
}

#[derive(Clone, Debug)]
pub(crate) enum Assignment {
    /// The cluster carries its own.
    Inline,
    /// Its addresses are not known.
    Withheld(Withheld),
    Known(Arc<Resource>),
}

impl PartialEq for CompiledCluster {
    fn eq(&self, other: &Self) -> bool {
        self.cluster.version() == other.cluster.version() && self.assignment == other.assignment
    }
}

impl PartialEq for Assignment {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Inline, Self::Inline) => true,
            (Self::Withheld(one), Self::Withheld(other)) => one == other,
            (Self::Known(one), Self::Known(other)) => one.version() == other.version(),
            _ => false,
        }
    }
}

/// A virtual node, compiled.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NodeUnit {
    pub(crate) ports: Vec<NodePort>,
    /// Where the endpoints come from, as long as none are registered; `None` if from nowhere, or if Envoy resolves the
    /// name itself.
    pub(crate) source: Option<EndpointSource>,
    /// By port and protocol.
    pub(crate) clusters: BTreeMap<(u16, Protocol), CompiledCluster>,
    pub(crate) problems: Vec<Problem>,
}

/// What a node is compiled from.
#[derive(Clone, Copy)]
pub(crate) struct NodeInput<'a> {
    pub(crate) mesh: &'a MeshName,
    pub(crate) mesh_spec: &'a MeshSpec,
    pub(crate) node: &'a NodeName,
    pub(crate) spec: &'a VirtualNodeSpec,
    pub(crate) endpoints: &'a EndpointTable,
    pub(crate) options: &'a Options,
}

impl NodeUnit {
    pub(crate) fn compile(input: NodeInput<'_>, interner: &mut Interner) -> Self {
        let key = (input.mesh.clone(), input.node.clone());
        let registered = input.endpoints.registered(&key);
        let ports = ports(
            input.mesh,
            input.node,
            input.spec,
            registered.is_some(),
            input.options,
        );
        let hosts = if registered.is_some() {
            cluster::Hosts::Eds
        } else {
            input.hosts()
        };
        let mut unit = Self {
            clusters: BTreeMap::new(),
            problems: input.problems(registered, &ports),
            source: input.spec.endpoint_source(input.mesh_spec),
            ports,
        };
        for port in &unit.ports {
            let listener = listener_on(input.spec, port.port);
            let message =
                cluster::egress(&port.cluster, port.port, port.protocol, &hosts, listener);
            let resource = Resource::new(Kind::Cluster, Arc::clone(&port.cluster), &message, None);
            let assignment = match hosts {
                cluster::Hosts::LoadBalancer { .. } => Assignment::Inline,
                cluster::Hosts::Eds => Assignment::Withheld(Withheld::Awaited),
            };
            let compiled = CompiledCluster {
                cluster: interner.intern(resource),
                assignment,
            };
            unit.clusters.insert((port.port, port.protocol), compiled);
        }
        unit.assign(&key, input.endpoints, interner);
        unit
    }

    /// Takes over what is known of the endpoints.
    pub(crate) fn assign(
        &mut self,
        node: &NodeKey,
        table: &EndpointTable,
        interner: &mut Interner,
    ) {
        let known = Hosts::known(node, &self.ports, self.source.as_ref(), table);
        for ((port, _), compiled) in &mut self.clusters {
            if let Assignment::Inline = compiled.assignment {
                continue;
            }
            let cluster = &compiled.cluster;
            compiled.assignment = match &known {
                Err(why) => Assignment::Withheld(*why),
                Ok(hosts) => {
                    let message = endpoint::load_assignment(cluster.name(), *hosts, *port);
                    // A cluster that changes must bring its load assignment after it.
                    let context = Some(cluster.version());
                    let name = Arc::clone(cluster.name());
                    let resource = Resource::new(Kind::Endpoint, name, &message, context);
                    Assignment::Known(interner.intern(resource))
                }
            };
        }
    }
}

impl<'a> NodeInput<'a> {
    fn hosts(&self) -> cluster::Hosts<'a> {
        match &self.spec.service_discovery {
            Some(ServiceDiscovery::Dns(dns))
                if dns.response_type == Some(DnsResponseType::Loadbalancer)
                    && !dns.hostname.is_empty() =>
            {
                cluster::Hosts::LoadBalancer {
                    hostname: &dns.hostname,
                    preference: dns.ip_preference.or(self.mesh_spec.ip_preference()),
                }
            }
            _ => cluster::Hosts::Eds,
        }
    }

    fn problems(&self, registered: Option<&RegisteredSet>, ports: &[NodePort]) -> Vec<Problem> {
        let id = ResourceId::VirtualNode(self.mesh.clone(), self.node.clone());
        let mut problems = Vec::new();
        let mut report = |text: String| problems.push(Problem::new(id.clone(), text));
        if let Some(registered) = registered {
            let unused = endpoint::unused(registered, ports);
            if unused > 0 {
                report(format!(
                    "has {unused} registered endpoints with a port that none of its listeners has, which get no calls; \
                     register them without `port`, or with the port of a listener"
                ));
            }
        }
        match &self.spec.service_discovery {
            _ if registered.is_some() => {}
            None if !self.spec.listeners().is_empty() => report(
                "has listeners but no `serviceDiscovery`, so calls to it find no endpoint; \
                 add `serviceDiscovery: { dns: { hostname: … } }`, or register its endpoints"
                    .to_owned(),
            ),
            Some(ServiceDiscovery::AwsCloudMap(_)) => report(
                "is discovered through AWS Cloud Map, which is not served yet, so calls to it find no endpoint; \
                 use `serviceDiscovery: { dns: { hostname: … } }`"
                    .to_owned(),
            ),
            Some(ServiceDiscovery::Dns(dns)) if dns.hostname.is_empty() => report(
                "has an empty `serviceDiscovery.dns.hostname`, so calls to it find no endpoint; name a host"
                    .to_owned(),
            ),
            _ => {}
        }
        let listeners = self.spec.listeners();
        for (index, listener) in listeners.iter().enumerate() {
            let port = listener.port_mapping.port;
            let earlier = listeners.iter().take(index);
            if earlier.clone().any(|other| other.port_mapping.port == port) {
                report(format!(
                    "has several listeners on port {port}, of which the first counts; give each its own port"
                ));
            }
            if listener.health_check.is_some() && listener.possible_health_check().is_none() {
                let protocol = listener.port_mapping.protocol.as_str();
                report(format!(
                    "has a listener on port {port} of protocol {protocol}, which cannot be checked by gRPC, so it is not \
                     checked; set `healthCheck.protocol` to `{protocol}`"
                ));
            }
            let checked = listener.health_check.as_ref().and_then(|check| check.port);
            if let Some(checked) = checked.filter(|checked| *checked != port) {
                report(format!(
                    "checks port {checked} for the health of its listener on port {port}, which App Mesh cannot; \
                     port {port} is checked: set `healthCheck.port` to {port} or leave it out"
                ));
            }
        }
        problems
    }
}
