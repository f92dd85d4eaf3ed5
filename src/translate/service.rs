//! Virtual services, compiled: the ports at which a service is called, and where calls to each go.
//!
//! **Invariant:** each cluster that the compiled service names is in its `clusters`, and its node has that port.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::model::spec::{
    ApiDuration, Protocol, RouteSpec, VirtualServiceProvider, VirtualServiceSpec, WeightedTarget,
};
use crate::model::{Mesh, MeshName, NodeName, ResourceId, RouteName, RouterName, ServiceName};

use super::host_routes::HostRoutes;
use super::node::{NodePort, NodeUnit};
use super::route::{self, Target};
use super::{Options, Problem, defaults, names, route_match};

/// A cluster that a service needs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ClusterRef {
    /// Of a node's listener.
    Node(NodeName, u16, Protocol),
    /// The mesh's cluster without endpoints.
    Empty,
}

/// Where calls to one port of a service go.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ServicePort {
    pub(crate) port: u16,
    pub(crate) protocol: Protocol,
    pub(crate) traffic: Traffic,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Traffic {
    /// In the order in which Envoy asks them.
    Http(HostRoutes),
    Tcp(TcpTraffic),
}

/// Where connections go; never empty, and no weight is 0, which `tcp_proxy` refuses.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TcpTraffic {
    pub(crate) targets: Vec<Target>,
    pub(crate) idle_timeout: Duration,
}

/// What a service depends on, whether it exists or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dependencies {
    pub(crate) router: Option<RouterName>,
    pub(crate) nodes: BTreeSet<NodeName>,
}

/// A virtual service, compiled.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ServiceUnit {
    /// In the order of the listeners; the first has the service's bare name.
    pub(crate) ports: Vec<ServicePort>,
    pub(crate) clusters: BTreeSet<ClusterRef>,
    pub(crate) dependencies: Dependencies,
    pub(crate) problems: Vec<Problem>,
}

/// Compiles one service.
pub(crate) struct Compiler<'a> {
    pub(crate) mesh_name: &'a MeshName,
    pub(crate) mesh: &'a Mesh,
    pub(crate) nodes: &'a BTreeMap<NodeName, NodeUnit>,
    pub(crate) options: &'a Options,
    pub(crate) unit: ServiceUnit,
}

impl Compiler<'_> {
    pub(crate) fn compile(mut self, name: &ServiceName, spec: &VirtualServiceSpec) -> ServiceUnit {
        let id = ResourceId::VirtualService(self.mesh_name.clone(), name.clone());
        match &spec.provider {
            None => {}
            Some(VirtualServiceProvider::VirtualNode(provider)) => {
                self.node_provider(&id, &provider.virtual_node_name);
            }
            Some(VirtualServiceProvider::VirtualRouter(provider)) => {
                let router = &provider.virtual_router_name;
                self.unit.dependencies.router = Some(router.clone());
                if self.mesh.routers.contains_key(router) {
                    self.router_provider(router);
                } else {
                    self.report(&id, format!(
                        "is provided by virtual router `{router}`, which does not exist, so calls to it get 404; create \
                         the router or change `provider`"
                    ));
                }
            }
        }
        self.unit
    }

    fn report(&mut self, id: &ResourceId, text: String) {
        self.unit.problems.push(Problem::new(id.clone(), text));
    }

    fn node_provider(&mut self, id: &ResourceId, node: &NodeName) {
        self.unit.dependencies.nodes.insert(node.clone());
        let Some(unit) = self.nodes.get(node) else {
            self.report(id, format!(
                "is provided by virtual node `{node}`, which does not exist, so calls to it get 404; create the node or \
                 change `provider`"
            ));
            return;
        };
        if unit.ports.is_empty() {
            self.report(id, format!(
                "is provided by virtual node `{node}`, which has no listener, so calls to it get 404; give the node a \
                 listener"
            ));
        }
        for port in &unit.ports {
            let traffic = if port.protocol.is_http_like() {
                let route = route::to_node(node, &port.cluster, self.options);
                Traffic::Http(HostRoutes::of([&route]))
            } else {
                Traffic::Tcp(TcpTraffic {
                    targets: vec![Target {
                        cluster: Arc::clone(&port.cluster),
                        weight: 1,
                    }],
                    idle_timeout: defaults::NO_TIMEOUT,
                })
            };
            self.unit
                .clusters
                .insert(ClusterRef::Node(node.clone(), port.port, port.protocol));
            self.unit.ports.push(ServicePort {
                port: port.port,
                protocol: port.protocol,
                traffic,
            });
        }
    }

    fn router_provider(&mut self, router: &RouterName) {
        let mesh = self.mesh;
        let mut routes: Vec<(&RouteName, &RouteSpec)> = mesh
            .routes_of(router)
            .map(|(name, spec)| (name, spec.as_ref()))
            .collect();
        routes.sort_by_cached_key(|(name, spec)| {
            let (prioritised, priority, length, form, conditions, _) =
                route_match::rank(name, spec);
            (
                prioritised,
                priority,
                length,
                form,
                conditions,
                (*name).clone(),
            )
        });
        for (_, spec) in &routes {
            let targets = spec.weighted_targets().iter();
            let nodes = targets.map(|target| target.virtual_node.clone());
            self.unit.dependencies.nodes.extend(nodes);
        }
        self.unit.ports = self.listeners(router, &routes);
        for (name, spec) in routes {
            self.route(router, name, spec);
        }
        self.close_tcp();
    }

    /// The router's listeners, or, as App Mesh allows routers without any, those of the routes' targets.
    fn listeners(
        &self,
        router: &RouterName,
        routes: &[(&RouteName, &RouteSpec)],
    ) -> Vec<ServicePort> {
        let declared = self.mesh.routers.get(router);
        let declared = declared.map(|spec| spec.listeners()).unwrap_or_default();
        let mut ports: Vec<ServicePort> = Vec::new();
        let mut add = |port: u16, protocol: Protocol| {
            if ports.iter().all(|known| known.port != port) {
                let traffic = if protocol.is_http_like() {
                    Traffic::Http(HostRoutes::default())
                } else {
                    Traffic::Tcp(TcpTraffic {
                        targets: Vec::new(),
                        idle_timeout: defaults::NO_TIMEOUT,
                    })
                };
                ports.push(ServicePort {
                    port,
                    protocol,
                    traffic,
                });
            }
        };
        for listener in declared {
            add(listener.port_mapping.port, listener.port_mapping.protocol);
        }
        if declared.is_empty() {
            for (_, spec) in routes {
                let Some(protocol) = protocol_of(spec) else {
                    continue;
                };
                if let Some(port) = spec.match_port() {
                    add(port, protocol);
                    continue;
                }
                for target in spec.weighted_targets() {
                    if let Ok(port) = self.find_target(target, protocol) {
                        add(port.port, port.protocol);
                    }
                }
            }
        }
        ports
    }

    fn route(&mut self, router: &RouterName, name: &RouteName, spec: &RouteSpec) {
        let id = ResourceId::Route(self.mesh_name.clone(), router.clone(), name.clone());
        let Some(protocol) = protocol_of(spec) else {
            self.report(&id, "is of no kind and left out; give it an `httpRoute`, `http2Route`, `grpcRoute` or `tcpRoute`".to_owned());
            return;
        };
        let indexes = match self.listeners_for(spec, protocol) {
            Ok(indexes) => indexes,
            Err(text) => return self.report(&id, text),
        };
        let targets = self.targets(&id, spec, protocol);
        if protocol == Protocol::Tcp {
            self.tcp_route(&id, spec, &targets, &indexes);
            return;
        }
        match route::http_like(name, spec, &targets, self.options) {
            Err(text) => self.report(&id, format!("is left out: it {text}")),
            Ok((route, problems)) => {
                for text in problems {
                    self.report(&id, text);
                }
                let route = HostRoutes::of([&route]);
                for index in indexes {
                    if let Some(Traffic::Http(routes)) = self.traffic(index) {
                        routes.append(&route);
                    }
                }
            }
        }
    }

    fn traffic(&mut self, index: usize) -> Option<&mut Traffic> {
        self.unit.ports.get_mut(index).map(|port| &mut port.traffic)
    }

    /// The first route of a port takes all its connections.
    fn tcp_route(
        &mut self,
        id: &ResourceId,
        spec: &RouteSpec,
        targets: &[Target],
        indexes: &[usize],
    ) {
        let timeout = spec
            .tcp_route
            .as_ref()
            .and_then(|route| route.timeout.as_ref());
        let idle_timeout = timeout
            .and_then(|timeout| timeout.idle)
            .map_or(defaults::NO_TIMEOUT, ApiDuration::to_duration);
        let mut targets: Vec<Target> = targets.to_vec();
        targets.retain(|target| target.weight > 0);
        if targets.is_empty() {
            let empty = names::empty_cluster(self.mesh_name);
            self.unit.clusters.insert(ClusterRef::Empty);
            self.report(id, "has no target left with a weight above 0, so its connections are closed; give it one that exists".to_owned());
            targets.push(Target {
                cluster: empty.into(),
                weight: 1,
            });
        }
        for index in indexes {
            let Some(port) = self.unit.ports.get_mut(*index) else {
                continue;
            };
            let number = port.port;
            match &mut port.traffic {
                Traffic::Tcp(traffic) if traffic.targets.is_empty() => {
                    *traffic = TcpTraffic {
                        targets: targets.clone(),
                        idle_timeout,
                    };
                }
                _ => self.report(id, format!(
                    "takes no connection, since another route takes all of port {number}; delete one, or merge their \
                     targets"
                )),
            }
        }
    }

    /// A TCP port without a route accepts connections, as it must, and closes them.
    fn close_tcp(&mut self) {
        let empty = names::empty_cluster(self.mesh_name);
        for port in &mut self.unit.ports {
            if let Traffic::Tcp(traffic) = &mut port.traffic
                && traffic.targets.is_empty()
            {
                traffic.targets.push(Target {
                    cluster: empty.as_str().into(),
                    weight: 1,
                });
                self.unit.clusters.insert(ClusterRef::Empty);
            }
        }
    }

    /// Which of the service's ports a route serves: the one it names, else all of its protocol, else all it could.
    fn listeners_for(&self, spec: &RouteSpec, protocol: Protocol) -> Result<Vec<usize>, String> {
        let select = |wanted: &dyn Fn(&ServicePort) -> bool| -> Vec<usize> {
            let ports = self.unit.ports.iter().enumerate();
            ports
                .filter(|(_, port)| wanted(port))
                .map(|(index, _)| index)
                .collect()
        };
        if let Some(number) = spec.match_port() {
            let found = select(&|port| port.port == number && compatible(port.protocol, protocol));
            return if found.is_empty() {
                Err(format!(
                    "is left out: its `match.port` is {number}, where its router has no {} listener; change the port, or \
                     give the router that listener",
                    protocol.as_str()
                ))
            } else {
                Ok(found)
            };
        }
        let exact = select(&|port| port.protocol == protocol);
        let found = if exact.is_empty() {
            select(&|port| compatible(port.protocol, protocol))
        } else {
            exact
        };
        if found.is_empty() && !self.unit.ports.is_empty() {
            return Err(format!(
                "is left out: its router has no {} listener; give it one, or change the kind of route",
                protocol.as_str()
            ));
        }
        Ok(found)
    }

    /// The targets that exist, with their clusters noted as needed.
    fn targets(&mut self, id: &ResourceId, spec: &RouteSpec, protocol: Protocol) -> Vec<Target> {
        let mut targets = Vec::new();
        for target in spec.weighted_targets() {
            match self.find_target(target, protocol) {
                Err(text) => self.report(id, text),
                Ok(port) => {
                    let cluster =
                        ClusterRef::Node(target.virtual_node.clone(), port.port, port.protocol);
                    targets.push(Target {
                        cluster: Arc::clone(&port.cluster),
                        weight: target.weight,
                    });
                    self.unit.clusters.insert(cluster);
                }
            }
        }
        targets
    }

    fn find_target(
        &self,
        target: &WeightedTarget,
        protocol: Protocol,
    ) -> Result<&NodePort, String> {
        let node = &target.virtual_node;
        let Some(unit) = self.nodes.get(node) else {
            return Err(format!(
                "leaves out its target `{node}`, a virtual node that does not exist; create it or remove the target"
            ));
        };
        let fits = |port: &&NodePort| compatible(port.protocol, protocol);
        let mut ports = unit.ports.iter();
        let found = if let Some(number) = target.port {
            ports.filter(fits).find(|port| port.port == number)
        } else {
            let exact = ports.find(|port| port.protocol == protocol);
            exact.or_else(|| unit.ports.iter().find(fits))
        };
        found.ok_or_else(|| match target.port {
            Some(number) => format!(
                "leaves out its target `{node}`, which has no {} listener on port {number}; change the target's `port`, \
                 or give the node that listener",
                protocol.as_str()
            ),
            None => format!(
                "leaves out its target `{node}`, which has no {} listener; give the node one, or change the kind of route",
                protocol.as_str()
            ),
        })
    }
}

/// Whether traffic of one protocol can be served as the other: Envoy translates between those that are HTTP.
fn compatible(one: Protocol, other: Protocol) -> bool {
    one.is_http_like() == other.is_http_like()
}

fn protocol_of(spec: &RouteSpec) -> Option<Protocol> {
    if spec.grpc_route.is_some() {
        Some(Protocol::Grpc)
    } else if spec.http2_route.is_some() {
        Some(Protocol::Http2)
    } else if spec.http_route.is_some() {
        Some(Protocol::Http)
    } else {
        spec.tcp_route.as_ref().map(|_| Protocol::Tcp)
    }
}
