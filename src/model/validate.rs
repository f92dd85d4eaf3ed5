//! Checks between resources: what one names must be there, and must fit.
//!
//! Each resource has passed [`super::schema`] by itself. What App Mesh would refuse is an error; what it takes though it
//! cannot work, and what this release does not serve, is a warning.

mod routes;
mod served;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use super::document::Path;
use super::names::{MeshName, NodeName, ResourceId, RouterName, ServiceName};
use super::problem::{Problem, closest, known_names};
use super::registry::{Mesh, Model};
use super::spec::{Backend, Listener, VirtualNodeSpec, VirtualServiceProvider, VirtualServiceSpec};

pub use served::not_served;

/// A problem of one resource; its path leads through that resource's document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub id: ResourceId,
    pub problem: Problem,
}

/// What is declared but has errors of its own: a reference to it does not dangle.
#[derive(Clone, Debug, Default)]
pub struct Unread {
    pub ids: BTreeSet<ResourceId>,
    /// Whether something could not even be identified, so that anything might be declared.
    pub unidentified: bool,
}

/// Checks a model as a whole.
pub fn validate(model: &Model, unread: &Unread) -> Vec<Finding> {
    let mut findings = Vec::new();
    let (known, misplaced) = misplaced(model, unread);
    for (name, mesh) in model.meshes() {
        let mut scope = Scope {
            name,
            mesh,
            unread: &known,
            findings: &mut findings,
        };
        if misplaced.contains(name) {
            // Whatever else is wrong may follow from this.
            scope.mesh_is_not_declared(model);
            continue;
        }
        scope.nodes();
        scope.services();
        scope.routers();
        scope.routes();
        scope.gateway_routes();
    }
    findings
}

/// The meshes that are named and not declared, and what is unread together with their resources: these are declared in the
/// mesh whose name was probably meant, so that one mistyped name is one finding.
fn misplaced<'a>(model: &'a Model, unread: &Unread) -> (Unread, BTreeSet<&'a MeshName>) {
    let mut known = unread.clone();
    let mut names = BTreeSet::new();
    for (name, mesh) in model.meshes() {
        let id = ResourceId::Mesh(name.clone());
        if mesh.spec.is_some() || unread.unidentified || unread.ids.contains(&id) {
            continue;
        }
        names.insert(name);
        if let Some((meant, _)) = meant(model, name) {
            let ids = ids(name, mesh);
            known
                .ids
                .extend(ids.into_iter().map(|id| id.in_mesh(meant.clone())));
        }
    }
    (known, names)
}

/// The declared mesh that a mistyped name was probably meant to be.
fn meant<'a>(model: &'a Model, written: &MeshName) -> Option<(&'a MeshName, &'a Mesh)> {
    let declared = || model.meshes().filter(|(_, mesh)| mesh.spec.is_some());
    let name = closest(written.as_str(), declared().map(|(name, _)| name.as_str()))?;
    declared().find(|(declared, _)| declared.as_str() == name)
}

/// The resources of a mesh, but for the mesh itself.
fn ids(of: &MeshName, mesh: &Mesh) -> Vec<ResourceId> {
    let of = || of.clone();
    let nodes = mesh
        .nodes
        .keys()
        .map(|name| ResourceId::VirtualNode(of(), name.clone()));
    let services = mesh
        .services
        .keys()
        .map(|name| ResourceId::VirtualService(of(), name.clone()));
    let routers = mesh
        .routers
        .keys()
        .map(|name| ResourceId::VirtualRouter(of(), name.clone()));
    let routes = mesh
        .routes
        .keys()
        .map(|(router, name)| ResourceId::Route(of(), router.clone(), name.clone()));
    let gateways = mesh
        .gateways
        .keys()
        .map(|name| ResourceId::VirtualGateway(of(), name.clone()));
    let gateway_routes = mesh
        .gateway_routes
        .keys()
        .map(|(gateway, name)| ResourceId::GatewayRoute(of(), gateway.clone(), name.clone()));
    nodes
        .chain(services)
        .chain(routers)
        .chain(routes)
        .chain(gateways)
        .chain(gateway_routes)
        .collect()
}

/// One mesh under examination.
struct Scope<'a> {
    name: &'a MeshName,
    mesh: &'a Mesh,
    unread: &'a Unread,
    findings: &'a mut Vec<Finding>,
}

impl<'a> Scope<'a> {
    fn report(&mut self, id: ResourceId, problem: Problem) {
        self.findings.push(Finding { id, problem });
    }

    /// Whether a resource that is not in the model may still be declared.
    fn may_be_unread(&self, id: &ResourceId) -> bool {
        self.unread.unidentified || self.unread.ids.contains(id)
    }

    /// Says so at each place that is to be mended: at every resource, if they are among others of the mesh that was meant,
    /// and else at the first, since what is missing is the mesh.
    fn mesh_is_not_declared(&mut self, model: &Model) {
        let declared = model
            .meshes()
            .filter(|(_, mesh)| mesh.spec.is_some())
            .map(|(name, _)| name.as_str());
        let mut ids = ids(self.name, self.mesh);
        let mut what = format!("mesh `{}` is not declared", self.name);
        let is_mistyped =
            meant(model, self.name).is_some_and(|(name, mesh)| !self::ids(name, mesh).is_empty());
        if !is_mistyped && ids.len() > 1 {
            what = format!("{what}, though {} resources name it", ids.len());
            ids.truncate(1);
        }
        let problem = Problem::error(
            Path::of("meshName"),
            what,
            "not declared",
            format!(
                "add a document with `kind: Mesh` and `meshName: {}`; {}",
                self.name,
                known_names(self.name.as_str(), "meshes", declared),
            ),
        );
        for id in ids {
            self.report(id, problem.clone());
        }
    }

    /// Backends may name what comes later: two nodes may be each other's backends.
    fn nodes(&mut self) {
        for (name, node) in &self.mesh.nodes {
            for (index, Backend::VirtualService(backend)) in node.backends().iter().enumerate() {
                let service = &backend.virtual_service_name;
                let target = ResourceId::VirtualService(self.name.clone(), service.clone());
                if self.mesh.services.contains_key(service) || self.may_be_unread(&target) {
                    continue;
                }
                let known = self.mesh.services.keys().map(ServiceName::as_str);
                let problem = Problem::warning(
                    Path::of("spec.backends")
                        .index(index)
                        .field("virtualService")
                        .field("virtualServiceName"),
                    format!("backend `{service}` names no virtual service"),
                    "not declared",
                    known_names(service.as_str(), "virtual services", known),
                );
                self.report(
                    ResourceId::VirtualNode(self.name.clone(), name.clone()),
                    problem,
                );
            }
            for problem in health_check_problems(node) {
                self.report(
                    ResourceId::VirtualNode(self.name.clone(), name.clone()),
                    problem,
                );
            }
        }
    }

    fn services(&mut self) {
        for (name, service) in &self.mesh.services {
            if let Some(problem) = self.provider_problem(service) {
                self.report(
                    ResourceId::VirtualService(self.name.clone(), name.clone()),
                    problem,
                );
            }
        }
    }

    fn provider_problem(&self, service: &VirtualServiceSpec) -> Option<Problem> {
        let mesh = || self.name.clone();
        match service.provider.as_ref()? {
            VirtualServiceProvider::VirtualNode(provider) => {
                let node = &provider.virtual_node_name;
                let missing = !self.mesh.nodes.contains_key(node)
                    && !self.may_be_unread(&ResourceId::VirtualNode(mesh(), node.clone()));
                missing.then(|| {
                    let known = self.mesh.nodes.keys().map(NodeName::as_str);
                    Problem::error(
                        Path::of("spec.provider.virtualNode.virtualNodeName"),
                        format!("provider `{node}` names no virtual node"),
                        "not declared",
                        known_names(node.as_str(), "virtual nodes", known),
                    )
                })
            }
            VirtualServiceProvider::VirtualRouter(provider) => {
                let router = &provider.virtual_router_name;
                let missing = !self.mesh.routers.contains_key(router)
                    && !self.may_be_unread(&ResourceId::VirtualRouter(mesh(), router.clone()));
                missing.then(|| {
                    let known = self.mesh.routers.keys().map(RouterName::as_str);
                    Problem::error(
                        Path::of("spec.provider.virtualRouter.virtualRouterName"),
                        format!("provider `{router}` names no virtual router"),
                        "not declared",
                        known_names(router.as_str(), "virtual routers", known),
                    )
                })
            }
        }
    }

    /// A router that a service is provided by, and that has no route, answers nothing.
    fn routers(&mut self) {
        let mut reported = BTreeSet::new();
        for (name, service) in &self.mesh.services {
            let Some(VirtualServiceProvider::VirtualRouter(provider)) = &service.provider else {
                continue;
            };
            let router = &provider.virtual_router_name;
            if !self.mesh.routers.contains_key(router)
                || self.may_have_routes(router)
                || !reported.insert(router)
            {
                continue;
            }
            let problem = Problem::warning(
                Path::of("virtualRouterName"),
                format!("virtual router `{router}` has no route: calls to `{name}` find no target"),
                "no route",
                format!("add a document with `kind: Route` and `virtualRouterName: {router}`"),
            );
            let id = ResourceId::VirtualRouter(self.name.clone(), router.clone());
            self.report(id, problem);
        }
    }

    fn may_have_routes(&self, router: &RouterName) -> bool {
        self.unread.unidentified
            || self.mesh.routes_of(router).next().is_some()
            || self.unread.ids.iter().any(|id| {
                matches!(id, ResourceId::Route(mesh, of, _) if mesh == self.name && of == router)
            })
    }

    fn node(&self, name: &NodeName) -> Option<&'a VirtualNodeSpec> {
        self.mesh.nodes.get(name).map(|node| &**node)
    }
}

/// Health checks that Envoy cannot make.
fn health_check_problems(node: &VirtualNodeSpec) -> Vec<Problem> {
    let listeners = node.listeners().iter().enumerate();
    let impossible = listeners.filter(|(_, listener)| {
        listener.health_check.is_some() && listener.possible_health_check().is_none()
    });
    let problem = |(index, listener): (usize, &Listener)| {
        let protocol = listener.port_mapping.protocol.as_str();
        Problem::warning(
            Path::of("spec.listeners")
                .index(index)
                .field("healthCheck")
                .field("protocol"),
            format!(
                "a listener of protocol `{protocol}` cannot be checked by gRPC, so it is not checked"
            ),
            format!("listener is `{protocol}`"),
            format!(
                "set `healthCheck.protocol` to `{protocol}`, or the listener's protocol to `http2` or `grpc`"
            ),
        )
    };
    impossible.map(problem).collect()
}
