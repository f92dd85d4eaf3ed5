//! Routes and gateway routes: their parents, targets, ports and protocols.

use super::Scope;
use crate::model::document::Path;
use crate::model::names::{
    GatewayName, GatewayRouteName, NodeName, ResourceId, RouteName, RouterName, ServiceName,
};
use crate::model::problem::{Problem, known_names};
use crate::model::spec::{
    GatewayRouteSpec, GatewayRouteTarget, PortMapping, Protocol, RouteSpec, VirtualRouterSpec,
    VirtualServiceProvider, WeightedTarget,
};

impl Scope<'_> {
    pub(super) fn routes(&mut self) {
        for ((router, name), route) in &self.mesh.routes {
            let id = ResourceId::Route(self.name.clone(), router.clone(), name.clone());
            let mut problems = Vec::new();
            let Some((field, protocol)) = route_type(route) else {
                continue;
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
            for problem in problems {
                self.report(id.clone(), problem);
            }
        }
    }

    fn router_missing(&self, router: &RouterName) -> Option<Problem> {
        if self.may_be_unread(&ResourceId::VirtualRouter(
            self.name.clone(),
            router.clone(),
        )) {
            return None;
        }
        let known = self.mesh.routers.keys().map(RouterName::as_str);
        Some(Problem::error(
            Path::of("virtualRouterName"),
            format!("virtual router `{router}` is not declared"),
            "not declared",
            known_names(router.as_str(), "virtual routers", known),
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
        let Some(node) = self.node(name) else {
            return self.target_missing(path, name);
        };
        let ports: Vec<u16> = node
            .listeners()
            .iter()
            .map(|listener| listener.port_mapping.port)
            .collect();
        // A node without listeners counts as one on a port that is a setting, not the model's.
        if let Some(problem) =
            port_problem(&path, "virtual node", name.as_str(), &ports, target.port)
        {
            return Some(problem);
        }
        let listener = node
            .listeners()
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
        let known = self.mesh.nodes.keys().map(NodeName::as_str);
        Some(Problem::error(
            path.field("virtualNode"),
            format!("route target `{node}` names no virtual node"),
            "not declared",
            known_names(node.as_str(), "virtual nodes", known),
        ))
    }

    pub(super) fn gateway_routes(&mut self) {
        for ((gateway, name), route) in &self.mesh.gateway_routes {
            let id = gateway_route_id(self, gateway, name);
            let Some(parts) = gateway_route_parts(route) else {
                continue;
            };
            let mut problems = Vec::new();
            if let Some(spec) = self.mesh.gateways.get(gateway) {
                let ports: Vec<u16> = spec
                    .listeners
                    .iter()
                    .map(|listener| listener.port_mapping.port)
                    .collect();
                let path = Path::of("spec").field(parts.field).field("match");
                let (kind, port) = ("virtual gateway", parts.match_port);
                problems.extend(port_problem(&path, kind, gateway.as_str(), &ports, port));
            } else if !self.may_be_unread(&ResourceId::VirtualGateway(
                self.name.clone(),
                gateway.clone(),
            )) {
                let known = self.mesh.gateways.keys().map(GatewayName::as_str);
                problems.push(Problem::error(
                    Path::of("virtualGatewayName"),
                    format!("virtual gateway `{gateway}` is not declared"),
                    "not declared",
                    known_names(gateway.as_str(), "virtual gateways", known),
                ));
            }
            let path = Path::of("spec")
                .field(parts.field)
                .field("action")
                .field("target");
            problems.extend(self.gateway_target_problem(path, parts.target));
            for problem in problems {
                self.report(id.clone(), problem);
            }
        }
    }

    fn gateway_target_problem(&self, path: Path, target: &GatewayRouteTarget) -> Option<Problem> {
        let name = &target.virtual_service.virtual_service_name;
        let Some(service) = self.mesh.services.get(name) else {
            if self.may_be_unread(&ResourceId::VirtualService(self.name.clone(), name.clone())) {
                return None;
            }
            let known = self.mesh.services.keys().map(ServiceName::as_str);
            return Some(Problem::error(
                path.field("virtualService").field("virtualServiceName"),
                format!("gateway route target `{name}` names no virtual service"),
                "not declared",
                known_names(name.as_str(), "virtual services", known),
            ));
        };
        let ports: Vec<u16> = match service.provider.as_ref()? {
            VirtualServiceProvider::VirtualNode(provider) => {
                let node = self.node(&provider.virtual_node_name)?;
                node.listeners()
                    .iter()
                    .map(|listener| listener.port_mapping.port)
                    .collect()
            }
            VirtualServiceProvider::VirtualRouter(provider) => {
                let router = self.mesh.routers.get(&provider.virtual_router_name)?;
                router
                    .listeners()
                    .iter()
                    .map(|listener| listener.port_mapping.port)
                    .collect()
            }
        };
        port_problem(&path, "virtual service", name.as_str(), &ports, target.port)
    }
}

fn gateway_route_id(
    scope: &Scope<'_>,
    gateway: &GatewayName,
    name: &GatewayRouteName,
) -> ResourceId {
    ResourceId::GatewayRoute(scope.name.clone(), gateway.clone(), name.clone())
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

struct GatewayRouteParts<'a> {
    field: &'static str,
    match_port: Option<u16>,
    target: &'a GatewayRouteTarget,
}

fn gateway_route_parts(route: &GatewayRouteSpec) -> Option<GatewayRouteParts<'_>> {
    if let Some(grpc) = &route.grpc_route {
        return Some(GatewayRouteParts {
            field: "grpcRoute",
            match_port: grpc.r#match.port,
            target: &grpc.action.target,
        });
    }
    let (field, http) = match (&route.http2_route, &route.http_route) {
        (Some(http), _) => ("http2Route", http),
        (None, Some(http)) => ("httpRoute", http),
        (None, None) => return None,
    };
    Some(GatewayRouteParts {
        field,
        match_port: http.r#match.port,
        target: &http.action.target,
    })
}

/// A route must say its router's port if there are several, and it must be one of them.
fn listener_problem(
    field: &str,
    router: &RouterName,
    spec: &VirtualRouterSpec,
    port: Option<u16>,
) -> Option<Problem> {
    let ports: Vec<u16> = spec
        .listeners()
        .iter()
        .map(|listener| listener.port_mapping.port)
        .collect();
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
