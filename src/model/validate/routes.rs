//! Routes and gateway routes: their parents, targets, ports and protocols.

use super::Scope;
use crate::model::document::Path;
use crate::model::names::{GatewayName, NodeName, ResourceId, RouteName, RouterName};
use crate::model::problem::{Problem, known_in};
use crate::model::spec::{
    GatewayRouteSpec, GatewayRouteTarget, PortMapping, Protocol, RouteSpec, VirtualRouterSpec,
    VirtualServiceProvider, WeightedTarget,
};

impl Scope<'_> {
    pub(super) fn route(
        &self,
        router: &RouterName,
        name: &RouteName,
        route: &RouteSpec,
    ) -> Vec<Problem> {
        let mut problems = Vec::new();
        let Some((field, protocol)) = route_type(route) else {
            return problems;
        };
        let mut listener = None;
        if let Some(spec) = self.mesh.routers.get(router) {
            problems.extend(listener_problem(field, router, spec, route.match_port()));
            listener = chosen_listener(spec, route.match_port());
            problems.extend(
                listener.and_then(|listener| type_problem(field, protocol, router, listener)),
            );
        } else {
            problems.extend(self.router_missing(router));
        }
        for (index, target) in route.weighted_targets().iter().enumerate() {
            let path = Path::of("spec")
                .field(field)
                .field("action")
                .field("weightedTargets")
                .index(index);
            problems.extend(self.target_problem(path, name, target, listener));
        }
        problems
    }

    fn router_missing(&self, router: &RouterName) -> Option<Problem> {
        let id = ResourceId::VirtualRouter(self.name.clone(), router.clone());
        if self.may_be_unread(&id) {
            return None;
        }
        Some(Problem::error(
            Path::of("virtualRouterName"),
            format!("virtual router `{router}` is not declared"),
            "not declared",
            known_in(router.as_str(), "virtual routers", &self.mesh.routers),
        ))
    }

    fn target_problem(
        &self,
        path: Path,
        route: &RouteName,
        target: &WeightedTarget,
        router_listener: Option<&PortMapping>,
    ) -> Option<Problem> {
        let name = &target.virtual_node;
        if !self.mesh.nodes.contains_key(name) {
            return self.target_missing(path, name);
        }
        let listeners = self.listeners_of(name);
        let ports = ports(listeners.iter().map(|listener| &listener.port_mapping));
        // A node without listeners counts as one on a port that is a setting, not the model's.
        if let Some(problem) =
            port_problem(&path, "virtual node", name.as_str(), &ports, target.port)
        {
            return Some(problem);
        }
        let listener = listeners
            .iter()
            .map(|listener| &listener.port_mapping)
            .find(|mapping| target.port.is_none_or(|port| port == mapping.port))?;
        let routed = router_listener?.protocol;
        if routed.is_http_like() == listener.protocol.is_http_like() {
            return None;
        }
        Some(Problem::warning(
            path.field("virtualNode"),
            format!(
                "route `{route}` sends {} to virtual node `{name}`, which speaks {}",
                routed.as_str(),
                listener.protocol.as_str()
            ),
            format!("speaks {}", listener.protocol.as_str()),
            "give the router's and the node's listener the same protocol",
        ))
    }

    fn target_missing(&self, path: Path, node: &NodeName) -> Option<Problem> {
        if self.may_be_unread(&ResourceId::VirtualNode(self.name.clone(), node.clone())) {
            return None;
        }
        Some(Problem::error(
            path.field("virtualNode"),
            format!("route target `{node}` names no virtual node"),
            "not declared",
            known_in(node.as_str(), "virtual nodes", &self.mesh.nodes),
        ))
    }

    pub(super) fn gateway_route(
        &self,
        gateway: &GatewayName,
        route: &GatewayRouteSpec,
    ) -> Vec<Problem> {
        let (Some(field), Some(target)) = (gateway_route_field(route), route.target()) else {
            return Vec::new();
        };
        let mut problems = Vec::new();
        if let Some(spec) = self.mesh.gateways.get(gateway) {
            let ports = ports(spec.listeners.iter().map(|listener| &listener.port_mapping));
            let path = Path::of("spec").field(field).field("match");
            let port = route.match_port();
            let name = gateway.as_str();
            problems.extend(port_problem(&path, "virtual gateway", name, &ports, port));
        } else if !self.may_be_unread(&ResourceId::VirtualGateway(
            self.name.clone(),
            gateway.clone(),
        )) {
            problems.push(Problem::error(
                Path::of("virtualGatewayName"),
                format!("virtual gateway `{gateway}` is not declared"),
                "not declared",
                known_in(gateway.as_str(), "virtual gateways", &self.mesh.gateways),
            ));
        }
        let path = Path::of("spec")
            .field(field)
            .field("action")
            .field("target");
        problems.extend(self.gateway_target_problem(path, target));
        problems
    }

    fn gateway_target_problem(&self, path: Path, target: &GatewayRouteTarget) -> Option<Problem> {
        let name = &target.virtual_service.virtual_service_name;
        let Some(service) = self.mesh.services.get(name) else {
            if self.may_be_unread(&ResourceId::VirtualService(self.name.clone(), name.clone())) {
                return None;
            }
            return Some(Problem::error(
                path.field("virtualService").field("virtualServiceName"),
                format!("gateway route target `{name}` names no virtual service"),
                "not declared",
                known_in(name.as_str(), "virtual services", &self.mesh.services),
            ));
        };
        let ports = match service.provider.as_ref()? {
            VirtualServiceProvider::VirtualNode(provider) => {
                let listeners = self.listeners_of(&provider.virtual_node_name).iter();
                ports(listeners.map(|listener| &listener.port_mapping))
            }
            VirtualServiceProvider::VirtualRouter(provider) => {
                let router = self.mesh.routers.get(&provider.virtual_router_name)?;
                let listeners = router.listeners().iter();
                ports(listeners.map(|listener| &listener.port_mapping))
            }
        };
        port_problem(&path, "virtual service", name.as_str(), &ports, target.port)
    }
}

fn ports<'a>(listeners: impl Iterator<Item = &'a PortMapping>) -> Vec<u16> {
    listeners.map(|listener| listener.port).collect()
}

/// The member that a route has, and the protocol that it is for.
fn route_type(route: &RouteSpec) -> Option<(&'static str, Protocol)> {
    if route.grpc_route.is_some() {
        Some(("grpcRoute", Protocol::Grpc))
    } else if route.http2_route.is_some() {
        Some(("http2Route", Protocol::Http2))
    } else if route.http_route.is_some() {
        Some(("httpRoute", Protocol::Http))
    } else {
        route
            .tcp_route
            .as_ref()
            .map(|_| ("tcpRoute", Protocol::Tcp))
    }
}

/// The member that a gateway route has.
fn gateway_route_field(route: &GatewayRouteSpec) -> Option<&'static str> {
    if route.grpc_route.is_some() {
        Some("grpcRoute")
    } else if route.http2_route.is_some() {
        Some("http2Route")
    } else {
        route.http_route.as_ref().map(|_| "httpRoute")
    }
}

/// A route must say its router's port if there are several, and it must be one of them.
fn listener_problem(
    field: &str,
    router: &RouterName,
    spec: &VirtualRouterSpec,
    port: Option<u16>,
) -> Option<Problem> {
    let listeners = spec.listeners().iter();
    let ports = ports(listeners.map(|listener| &listener.port_mapping));
    let path = Path::of("spec").field(field).field("match");
    port_problem(&path, "virtual router", router.as_str(), &ports, port)
}

/// Whether `port` below the path picks one of the listeners of what is named.
fn port_problem(
    path: &Path,
    kind: &str,
    name: &str,
    ports: &[u16],
    port: Option<u16>,
) -> Option<Problem> {
    let listed = || {
        let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
        ports.join(", ")
    };
    let path = path.clone().field("port");
    match (port, ports) {
        (None, [_, _, ..]) => Some(Problem::error(
            path,
            format!("{kind} `{name}` has several listeners, so `port` must say which"),
            "which port?",
            format!("add `port`: one of {}", listed()),
        )),
        (Some(port), [_, ..]) if !ports.contains(&port) => Some(Problem::error(
            path,
            format!("{kind} `{name}` has no listener on port {port}"),
            "no such listener",
            format!("use one of its ports: {}", listed()),
        )),
        _ => None,
    }
}

/// The listener that a route is for, if it is plain which.
fn chosen_listener(spec: &VirtualRouterSpec, port: Option<u16>) -> Option<&PortMapping> {
    match (port, spec.listeners()) {
        (Some(port), listeners) => listeners
            .iter()
            .map(|listener| &listener.port_mapping)
            .find(|mapping| mapping.port == port),
        (None, [only]) => Some(&only.port_mapping),
        (None, _) => None,
    }
}

/// Requests cannot be routed out of a TCP stream, nor streams out of requests; the kinds of HTTP can be mixed, with care.
fn type_problem(
    field: &str,
    protocol: Protocol,
    router: &RouterName,
    listener: &PortMapping,
) -> Option<Problem> {
    if protocol == listener.protocol {
        return None;
    }
    let what = format!(
        "`{field}` is for {}, but the listener of virtual router `{router}` on port {} is for {}",
        protocol.as_str(),
        listener.port,
        listener.protocol.as_str()
    );
    let label = format!("the router's listener is {}", listener.protocol.as_str());
    let help = format!(
        "use `{}Route`, or change the listener's protocol to {}",
        listener.protocol.as_str(),
        protocol.as_str()
    );
    let path = Path::of("spec").field(field);
    Some(
        if protocol.is_http_like() == listener.protocol.is_http_like() {
            Problem::warning(path, what, label, help)
        } else {
            Problem::error(path, what, label, help)
        },
    )
}
