//! The compiled nodes and services of one mesh, and what of them must be compiled anew.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::endpoint::{EndpointSource, EndpointTable};
use crate::model::spec::MeshSpec;
use crate::model::{Mesh, MeshName, NodeName, RouterName, ServiceName};
use crate::snapshot::Interner;

use super::Options;
use super::egress::Units;
use super::index::{Index, Problems};
use super::node::{NodeInput, NodeUnit};
use super::service::{Compiler, Dependencies, ServiceUnit};

/// Which nodes use a source of endpoints.
pub(crate) type Sources = Index<EndpointSource, (MeshName, NodeName)>;

/// What of a mesh's model differs from what was compiled.
#[derive(Debug, Default)]
pub(crate) struct Dirt {
    /// The mesh's own spec, on which all depend.
    pub(crate) mesh: bool,
    pub(crate) nodes: BTreeSet<NodeName>,
    /// Nodes of which nothing but the endpoints differs.
    pub(crate) endpoints: BTreeSet<NodeName>,
    /// Of these, the services that they provide are compiled anew.
    pub(crate) routers: BTreeSet<RouterName>,
    pub(crate) services: BTreeSet<ServiceName>,
}

/// What compiling changed.
#[derive(Debug, Default)]
pub(crate) struct Changed {
    pub(crate) nodes: BTreeSet<NodeName>,
    /// Of these nodes, those whose ports changed.
    pub(crate) ports: BTreeSet<NodeName>,
    pub(crate) services: BTreeSet<ServiceName>,
}

/// What compiling reads and keeps beside the mesh's own units.
pub(crate) struct Context<'a> {
    pub(crate) options: &'a Options,
    pub(crate) endpoints: &'a EndpointTable,
    pub(crate) interner: &'a mut Interner,
    pub(crate) problems: &'a mut Problems,
    pub(crate) sources: &'a mut Sources,
}

/// The compiled nodes and services of one mesh; none while the mesh is not declared.
#[derive(Debug, Default)]
pub(crate) struct MeshUnits {
    nodes: BTreeMap<NodeName, NodeUnit>,
    services: BTreeMap<ServiceName, Arc<ServiceUnit>>,
    services_of_router: Index<RouterName, ServiceName>,
    services_of_node: Index<NodeName, ServiceName>,
}

impl MeshUnits {
    pub(crate) fn units(&self) -> Units<'_> {
        Units {
            services: &self.services,
            nodes: &self.nodes,
        }
    }

    pub(crate) fn node(&self, node: &NodeName) -> Option<&NodeUnit> {
        self.nodes.get(node)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.nodes.is_empty() && self.services.is_empty()
    }

    /// The services that lead to a node.
    pub(crate) fn services_of_node(&self, node: &NodeName) -> impl Iterator<Item = &ServiceName> {
        self.services_of_node.of(node)
    }

    /// Compiles what is dirty, and what depends on what that changes.
    pub(crate) fn update(
        &mut self,
        name: &MeshName,
        mesh: &Mesh,
        mut dirt: Dirt,
        context: &mut Context<'_>,
    ) -> Changed {
        if dirt.mesh {
            dirt.nodes
                .extend(self.nodes.keys().chain(mesh.nodes.keys()).cloned());
            dirt.services
                .extend(self.services.keys().chain(mesh.services.keys()).cloned());
        }
        let mut changed = Changed::default();
        for node in &dirt.nodes {
            let (any, ports) = self.compile_node(name, mesh, node, context);
            if any {
                changed.nodes.insert(node.clone());
            }
            if ports {
                changed.ports.insert(node.clone());
                dirt.services
                    .extend(self.services_of_node.of(node).cloned());
            }
        }
        for node in dirt.endpoints.difference(&dirt.nodes) {
            if let Some(unit) = self.nodes.get_mut(node) {
                let before = unit.clusters.clone();
                let key = (name.clone(), node.clone());
                unit.assign(&key, context.endpoints, context.interner);
                if before != unit.clusters {
                    changed.nodes.insert(node.clone());
                }
            }
        }
        for router in &dirt.routers {
            dirt.services
                .extend(self.services_of_router.of(router).cloned());
        }
        for service in dirt.services {
            if self.compile_service(name, mesh, &service, context) {
                changed.services.insert(service);
            }
        }
        changed
    }

    /// Whether the node's unit changed, and whether its ports did, on which routes depend.
    fn compile_node(
        &mut self,
        name: &MeshName,
        mesh: &Mesh,
        node: &NodeName,
        context: &mut Context<'_>,
    ) -> (bool, bool) {
        let input = |mesh_spec: &MeshSpec, interner: &mut Interner| {
            let input = NodeInput {
                mesh: name,
                mesh_spec,
                node,
                spec: mesh.nodes.get(node)?,
                endpoints: context.endpoints,
                options: context.options,
            };
            Some(NodeUnit::compile(input, interner))
        };
        let new = mesh
            .spec
            .as_deref()
            .and_then(|spec| input(spec, context.interner));
        let old = self.nodes.remove(node);
        let problems = |unit: &Option<NodeUnit>| {
            unit.as_ref()
                .map_or_else(Vec::new, |unit| unit.problems.clone())
        };
        context.problems.replace(&problems(&old), &problems(&new));
        let of = (name.clone(), node.clone());
        if let Some(source) = old.as_ref().and_then(|unit| unit.source.as_ref()) {
            context.sources.remove(source, &of);
        }
        if let Some(source) = new.as_ref().and_then(|unit| unit.source.clone()) {
            context.sources.insert(source, of);
        }
        let ports = old.as_ref().map(|unit| &unit.ports) != new.as_ref().map(|unit| &unit.ports);
        let any = old != new;
        if let Some(unit) = new {
            self.nodes.insert(node.clone(), unit);
        }
        (any, ports)
    }

    /// Whether the service's unit changed.
    fn compile_service(
        &mut self,
        name: &MeshName,
        mesh: &Mesh,
        service: &ServiceName,
        context: &mut Context<'_>,
    ) -> bool {
        let spec = mesh.services.get(service).filter(|_| mesh.spec.is_some());
        let new = spec.map(|spec| {
            let compiler = Compiler {
                mesh_name: name,
                mesh,
                nodes: &self.nodes,
                options: context.options,
                unit: ServiceUnit::default(),
            };
            compiler.compile(service, spec)
        });
        let old = self.services.get(service).cloned();
        if old.as_deref() == new.as_ref() {
            return false;
        }
        let (old, new) = (old.unwrap_or_default(), new.map(Arc::new));
        self.forget(service, &old.dependencies);
        let mut problems: &[_] = &[];
        if let Some(unit) = &new {
            self.remember(service, &unit.dependencies);
            problems = &unit.problems;
        }
        context.problems.replace(&old.problems, problems);
        match new {
            Some(unit) => drop(self.services.insert(service.clone(), unit)),
            None => drop(self.services.remove(service)),
        }
        true
    }

    fn forget(&mut self, service: &ServiceName, dependencies: &Dependencies) {
        for node in &dependencies.nodes {
            self.services_of_node.remove(node, service);
        }
        if let Some(router) = &dependencies.router {
            self.services_of_router.remove(router, service);
        }
    }

    fn remember(&mut self, service: &ServiceName, dependencies: &Dependencies) {
        for node in &dependencies.nodes {
            self.services_of_node.insert(node.clone(), service.clone());
        }
        if let Some(router) = &dependencies.router {
            self.services_of_router
                .insert(router.clone(), service.clone());
        }
    }
}
