//! Meshes of any size that look alike from inside: what one change touches is the same in each.
//!
//! Names have the same length at every size, so that resources have too.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use outrigger::model::endpoint::{Endpoint, EndpointSet, EndpointSource};
use outrigger::model::{
    Capture, ClientKind, MeshName, Model, NodeName, NodeRef, Resource, ResourceId, RouteName,
    RouterName, ServiceName, Spec, ViewKey,
};
use outrigger::translate::Input;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// How many backends a node names, and how many sidecars share a full mesh.
pub(crate) const BACKENDS: usize = 20;

const NEAR: usize = 50;

/// Who calls whom.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Each node names [`BACKENDS`] services. Connected are the sidecars of the [`NEAR`] nodes on either side of the
    /// change, so that it reaches as many in each mesh, and of every fiftieth node.
    Named,
    /// No node names any, so each has all; [`BACKENDS`] sidecars are connected.
    Full,
}

/// A mesh of a size: node `i` provides service `i`, each even one through a router with a route to it and the next even
/// one. A tenth of all nodes speak TCP, all on one port, so that there is something to complain about at each sidecar.
#[derive(Clone, Copy)]
pub(crate) struct Mesh {
    pub(crate) shape: Shape,
    pub(crate) nodes: usize,
}

fn mesh() -> MeshName {
    MeshName::new("mesh")
}

fn node(index: usize) -> NodeName {
    NodeName::new(format!("node-{index:05}"))
}

fn service(index: usize) -> ServiceName {
    ServiceName::new(format!("service-{index:05}.local"))
}

fn router(index: usize) -> RouterName {
    RouterName::new(format!("router-{index:05}"))
}

fn source(index: usize) -> EndpointSource {
    EndpointSource::Dns {
        hostname: format!("node-{index:05}.local").into(),
        preference: None,
    }
}

/// The view of a node's sidecar.
pub(crate) fn key(index: usize) -> ViewKey {
    ViewKey {
        node: NodeRef::VirtualNode(mesh(), node(index)),
        capture: Capture::Explicit {
            bind: Ipv4Addr::new(127, 0, 0, 2).into(),
            applications: BTreeMap::new(),
        },
        client: ClientKind::Envoy,
    }
}

fn spec<T: DeserializeOwned>(json: Value) -> Arc<T> {
    Arc::new(serde_json::from_value(json).expect("the spec is one"))
}

impl Mesh {
    /// The node, service or route that changes.
    pub(crate) fn middle(&self) -> usize {
        self.nodes / 2
    }

    /// Everything that translation reads.
    pub(crate) fn input(&self) -> Input {
        let mut input = Input::default();
        let filter = json!({ "egressFilter": { "type": "ALLOW_ALL" } });
        input.model.insert(Resource {
            id: ResourceId::Mesh(mesh()),
            spec: Spec::Mesh(spec(filter)),
        });
        for index in 0..self.nodes {
            self.add_node(&mut input.model, index, BACKENDS);
            self.add_service(&mut input.model, index);
            set_endpoints(&mut input, index, 2);
        }
        let is_connected = |index: &usize| match self.shape {
            Shape::Named => index.abs_diff(self.middle()) <= NEAR || index.is_multiple_of(50),
            Shape::Full => *index < BACKENDS,
        };
        let connected = (0..self.nodes).filter(is_connected);
        input.views = connected.map(key).collect();
        input
    }

    /// The node calls the services that follow its own.
    fn add_node(&self, model: &mut Model, index: usize, backends: usize) {
        let mapping = match index % 10 {
            9 => json!({ "port": 5432, "protocol": "tcp" }),
            _ => json!({ "port": 8080, "protocol": "http" }),
        };
        let mut json = json!({
            "serviceDiscovery": { "dns": { "hostname": format!("node-{index:05}.local") } },
            "listeners": [{ "portMapping": mapping }],
        });
        if self.shape == Shape::Named {
            let backend = |offset| {
                let name = service((index + offset) % self.nodes);
                json!({ "virtualService": { "virtualServiceName": name } })
            };
            json["backends"] = (1..=backends).map(backend).collect();
        }
        model.insert(Resource {
            id: ResourceId::VirtualNode(mesh(), node(index)),
            spec: Spec::VirtualNode(spec(json)),
        });
    }

    fn add_service(&self, model: &mut Model, index: usize) {
        let provider = if index.is_multiple_of(2) {
            let listener = json!({ "portMapping": { "port": 8080, "protocol": "http" } });
            model.insert(Resource {
                id: ResourceId::VirtualRouter(mesh(), router(index)),
                spec: Spec::VirtualRouter(spec(json!({ "listeners": [listener] }))),
            });
            self.set_route(model, index, "all", Some(9));
            json!({ "virtualRouter": { "virtualRouterName": router(index) } })
        } else {
            json!({ "virtualNode": { "virtualNodeName": node(index) } })
        };
        model.insert(Resource {
            id: ResourceId::VirtualService(mesh(), service(index)),
            spec: Spec::VirtualService(spec(json!({ "provider": provider }))),
        });
    }

    /// A route to the service's node, with this weight, and to the next even one; or no such route.
    fn set_route(&self, model: &mut Model, index: usize, name: &str, weight: Option<u32>) {
        let id = ResourceId::Route(mesh(), router(index), RouteName::new(name));
        let Some(weight) = weight else {
            return model.remove(&id);
        };
        let other = node((index + 2) % self.nodes);
        let targets = json!([
            { "virtualNode": node(index), "weight": weight },
            { "virtualNode": other, "weight": 1 },
        ]);
        let prefix = if name == "all" { "/" } else { "/v2" };
        let route =
            json!({ "match": { "prefix": prefix }, "action": { "weightedTargets": targets } });
        model.insert(Resource {
            id,
            spec: Spec::Route(spec(json!({ "httpRoute": route }))),
        });
    }
}

fn set_endpoints(input: &mut Input, index: usize, count: u8) {
    let [high, low] = u16::try_from(index).expect("few nodes").to_be_bytes();
    let endpoints = (1..=count).map(|number| Endpoint {
        address: Ipv4Addr::new(10, high, low, number).into(),
        port: None,
        weight: 1,
    });
    let known = EndpointSet::Known(endpoints.collect());
    input.endpoints.insert(source(index), known);
}

/// A change and what undoes it.
#[derive(Clone, Copy)]
pub(crate) enum Change {
    /// A replica of one node comes or goes.
    Endpoint,
    /// The weight of one route's target.
    Weight,
    /// A second route of one router.
    Route,
    /// A node with its service, its endpoints and its sidecar; nobody names the service as a backend.
    Node,
    /// One node calls one service more.
    Backend,
    /// A sidecar.
    View,
}

impl Change {
    /// Those that a mesh of this shape knows.
    pub(crate) fn of(shape: Shape) -> Vec<Self> {
        let mut all = vec![Self::Endpoint, Self::Weight, Self::Route, Self::Node];
        if shape == Shape::Named {
            all.push(Self::Backend);
        }
        all.push(Self::View);
        all
    }

    /// What it is called, and what its undoing is.
    pub(crate) fn names(self) -> [&'static str; 2] {
        match self {
            Self::Endpoint => ["one endpoint more", "one endpoint less"],
            Self::Weight => ["a route's weight changes", "and changes back"],
            Self::Route => ["a route is added", "a route is removed"],
            Self::Node => ["a node is added", "a node is removed"],
            Self::Backend => ["a backend is added", "a backend is removed"],
            Self::View => ["a sidecar leaves", "a sidecar connects"],
        }
    }

    /// Performs it, or undoes it.
    pub(crate) fn edit(self, mesh: Mesh, input: &mut Input, forth: bool) {
        let index = mesh.middle();
        match self {
            Self::Endpoint => set_endpoints(input, index, if forth { 3 } else { 2 }),
            Self::Weight => {
                mesh.set_route(
                    &mut input.model,
                    index,
                    "all",
                    Some(if forth { 8 } else { 9 }),
                );
            }
            Self::Route => mesh.set_route(&mut input.model, index, "v2", forth.then_some(1)),
            Self::Node => edit_node(mesh, input, forth),
            Self::Backend => {
                let backends = BACKENDS + usize::from(forth);
                mesh.add_node(&mut input.model, index, backends);
            }
            Self::View if forth => drop(input.views.remove(&key(0))),
            Self::View => drop(input.views.insert(key(0))),
        }
    }
}

fn edit_node(mesh: Mesh, input: &mut Input, forth: bool) {
    // An odd number: a service without a router.
    let index = mesh.nodes + 1;
    if forth {
        // One backend more than others have, so that none of them shares its list with it.
        mesh.add_node(&mut input.model, index, BACKENDS + 1);
        mesh.add_service(&mut input.model, index);
        set_endpoints(input, index, 2);
        input.views.insert(key(index));
        return;
    }
    let model = &mut input.model;
    model.remove(&ResourceId::VirtualNode(self::mesh(), node(index)));
    model.remove(&ResourceId::VirtualService(self::mesh(), service(index)));
    input.endpoints.remove(&source(index));
    input.views.remove(&key(index));
}
