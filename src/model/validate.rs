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
use super::names::{MeshName, NodeName, ResourceId, RouterName};
use super::problem::{Problem, closest, known_in, known_names};
use super::registry::{Mesh, Model, Spec};
use super::spec::{Backend, Listener, VirtualNodeSpec, VirtualServiceProvider, VirtualServiceSpec};

pub use served::not_served;

/// Unknown backends of one node that are told each by itself: to look for the name that was meant takes a while, and a node
/// may have ten thousand.
const UNKNOWN_BACKENDS: usize = 10;

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
        if misplaced.contains(name) {
            // Whatever else is wrong may follow from this.
            mesh_is_not_declared(model, name, mesh, &mut findings);
            continue;
        }
        let scope = Scope {
            model,
            name,
            mesh,
            unread: &known,
        };
        for id in mesh.ids(name) {
            let problems = scope.problems(&id).into_iter();
            findings.extend(problems.map(|problem| Finding {
                id: id.clone(),
                problem,
            }));
        }
    }
    findings
}

/// The problems of one resource with the others of its model, which has that mesh.
pub fn problems_of(model: &Model, id: &ResourceId) -> Vec<Problem> {
    let Some(mesh) = model.mesh(id.mesh()) else {
        return Vec::new();
    };
    let scope = Scope {
        model,
        name: id.mesh(),
        mesh,
        unread: &Unread::default(),
    };
    scope.problems(id)
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
            let ids = mesh.ids(name);
            known.ids.extend(ids.map(|id| id.in_mesh(meant.clone())));
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

/// Says so at each place that is to be mended: at every resource, if they are among others of the mesh that was meant,
/// and else at the first, since what is missing is the mesh.
fn mesh_is_not_declared(model: &Model, name: &MeshName, mesh: &Mesh, findings: &mut Vec<Finding>) {
    let declared = model
        .meshes()
        .filter(|(_, mesh)| mesh.spec.is_some())
        .map(|(name, _)| name.as_str());
    let mut ids: Vec<ResourceId> = mesh.ids(name).collect();
    let mut what = format!("mesh `{name}` is not declared");
    let is_mistyped =
        meant(model, name).is_some_and(|(name, mesh)| mesh.ids(name).next().is_some());
    if !is_mistyped && ids.len() > 1 {
        what = format!("{what}, though {} resources name it", ids.len());
        ids.truncate(1);
    }
    let problem = Problem::error(
        Path::of("meshName"),
        what,
        "not declared",
        format!(
            "add a document with `kind: Mesh` and `meshName: {name}`; {}",
            known_names(name.as_str(), "meshes", declared),
        ),
    );
    findings.extend(ids.into_iter().map(|id| Finding {
        id,
        problem: problem.clone(),
    }));
}

/// One mesh under examination.
struct Scope<'a> {
    model: &'a Model,
    name: &'a MeshName,
    mesh: &'a Mesh,
    unread: &'a Unread,
}

impl<'a> Scope<'a> {
    /// What is wrong with a resource of the mesh.
    fn problems(&self, id: &ResourceId) -> Vec<Problem> {
        match (id, self.model.get(id)) {
            (_, Some(Spec::VirtualNode(node))) => self.node(&node),
            (_, Some(Spec::VirtualService(service))) => {
                self.provider_missing(&service).into_iter().collect()
            }
            (ResourceId::VirtualRouter(_, name), Some(_)) => {
                self.router_without_route(id, name).into_iter().collect()
            }
            (ResourceId::Route(_, router, name), Some(Spec::Route(route))) => {
                self.route(router, name, &route)
            }
            (ResourceId::GatewayRoute(_, gateway, _), Some(Spec::GatewayRoute(route))) => {
                self.gateway_route(gateway, &route)
            }
            _ => Vec::new(),
        }
    }

    /// Whether a resource that is not in the model may still be declared.
    fn may_be_unread(&self, id: &ResourceId) -> bool {
        self.unread.unidentified || self.unread.ids.contains(id)
    }

    fn listeners_of(&self, node: &NodeName) -> &'a [Listener] {
        let node = self.mesh.nodes.get(node);
        node.map_or(&[], |node| node.listeners())
    }

    /// Backends may name what comes later: two nodes may be each other's backends.
    fn node(&self, node: &VirtualNodeSpec) -> Vec<Problem> {
        let (mut problems, mut more) = (Vec::new(), 0);
        for (index, Backend::VirtualService(backend)) in node.backends().iter().enumerate() {
            let service = &backend.virtual_service_name;
            let target = ResourceId::VirtualService(self.name.clone(), service.clone());
            if self.mesh.services.contains_key(service) || self.may_be_unread(&target) {
                continue;
            }
            if problems.len() == UNKNOWN_BACKENDS {
                more += 1;
                continue;
            }
            problems.push(Problem::warning(
                Path::of("spec.backends")
                    .index(index)
                    .field("virtualService")
                    .field("virtualServiceName"),
                format!("backend `{service}` names no virtual service"),
                "not declared",
                known_in(service.as_str(), "virtual services", &self.mesh.services),
            ));
        }
        if more > 0 {
            problems.push(Problem::warning(
                Path::of("spec.backends"),
                format!("{more} more backends name no virtual service"),
                "not declared",
                "declare the virtual services, or remove the backends",
            ));
        }
        problems.extend(health_check_problems(node));
        problems
    }

    fn provider_missing(&self, service: &VirtualServiceSpec) -> Option<Problem> {
        let (path, name, noun, help) = match service.provider.as_ref()? {
            VirtualServiceProvider::VirtualNode(provider) => {
                let node = &provider.virtual_node_name;
                let id = ResourceId::VirtualNode(self.name.clone(), node.clone());
                if self.mesh.nodes.contains_key(node) || self.may_be_unread(&id) {
                    return None;
                }
                (
                    "spec.provider.virtualNode.virtualNodeName",
                    node.as_str(),
                    "virtual node",
                    known_in(node.as_str(), "virtual nodes", &self.mesh.nodes),
                )
            }
            VirtualServiceProvider::VirtualRouter(provider) => {
                let router = &provider.virtual_router_name;
                let id = ResourceId::VirtualRouter(self.name.clone(), router.clone());
                if self.mesh.routers.contains_key(router) || self.may_be_unread(&id) {
                    return None;
                }
                (
                    "spec.provider.virtualRouter.virtualRouterName",
                    router.as_str(),
                    "virtual router",
                    known_in(router.as_str(), "virtual routers", &self.mesh.routers),
                )
            }
        };
        Some(Problem::error(
            Path::of(path),
            format!("provider `{name}` names no {noun}"),
            "not declared",
            help,
        ))
    }

    /// A router that a service is provided by, and that has no route, answers nothing.
    fn router_without_route(&self, id: &ResourceId, router: &RouterName) -> Option<Problem> {
        let service = self.model.users_of(id).next()?.name();
        if self.may_have_routes(router) {
            return None;
        }
        Some(Problem::warning(
            Path::of("virtualRouterName"),
            format!("virtual router `{router}` has no route: calls to `{service}` find no target"),
            "no route",
            format!("add a document with `kind: Route` and `virtualRouterName: {router}`"),
        ))
    }

    fn may_have_routes(&self, router: &RouterName) -> bool {
        self.unread.unidentified
            || self.mesh.routes_of(router).next().is_some()
            || self.unread.ids.iter().any(|id| {
                matches!(id, ResourceId::Route(mesh, of, _) if mesh == self.name && of == router)
            })
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
