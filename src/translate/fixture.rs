//! Small meshes for tests, written as JSON.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Input, Options, Translator, View};
use crate::model::endpoint::{Endpoint, EndpointSet, EndpointTable, RegisteredEndpoint};
use crate::model::{
    Capture, ClientKind, MeshName, Model, NodeName, NodeRef, Resource, ResourceId, RouteName,
    RouterName, ServiceName, Spec, ViewKey,
};
use crate::snapshot::{Kind, Snapshot, descriptors};

pub(crate) const MESH: &str = "m";

/// A model of one mesh, from `{mesh, nodes: {name: spec}, services, routers, routes: {router: {name: spec}}}`.
pub(crate) fn model(json: &Value) -> Model {
    let mesh = MeshName::new(MESH);
    let mut resources = Vec::new();
    let mut add = |id, spec| resources.push(Resource { id, spec });
    add(
        ResourceId::Mesh(mesh.clone()),
        Spec::Mesh(spec(&json["mesh"])),
    );
    for (name, node) in members(&json["nodes"]) {
        let id = ResourceId::VirtualNode(mesh.clone(), NodeName::new(name));
        add(id, Spec::VirtualNode(spec(node)));
    }
    for (name, service) in members(&json["services"]) {
        let id = ResourceId::VirtualService(mesh.clone(), ServiceName::new(name));
        add(id, Spec::VirtualService(spec(service)));
    }
    for (name, router) in members(&json["routers"]) {
        let id = ResourceId::VirtualRouter(mesh.clone(), RouterName::new(name));
        add(id, Spec::VirtualRouter(spec(router)));
    }
    for (router, routes) in members(&json["routes"]) {
        for (name, route) in members(routes) {
            let (router, name) = (RouterName::new(router), RouteName::new(name));
            let id = ResourceId::Route(mesh.clone(), router, name);
            add(id, Spec::Route(spec(route)));
        }
    }
    Model::from_resources(resources)
}

fn members(json: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let members = json.as_object().into_iter().flatten();
    members.map(|(name, value)| (name.as_str(), value))
}

pub(crate) fn spec<T: DeserializeOwned>(json: &Value) -> Arc<T> {
    Arc::new(serde_json::from_value(json.clone()).unwrap_or_else(|error| panic!("{json}: {error}")))
}

/// One address for every source in the model: 10.0.0.1 for the first, and so on.
pub(crate) fn endpoints(model: &Model) -> EndpointTable {
    let mut table = EndpointTable::new();
    for (_, mesh) in model.meshes() {
        let spec = mesh.spec.clone().unwrap_or_default();
        for (index, node) in mesh.nodes.values().enumerate() {
            if let Some(source) = node.endpoint_source(&spec) {
                let last = u8::try_from(index + 1).unwrap();
                let address = Ipv4Addr::new(10, 0, 0, last).into();
                table.insert(source, known(&[address]));
            }
        }
    }
    table
}

pub(crate) fn known(addresses: &[IpAddr]) -> EndpointSet {
    let endpoints = addresses.iter().map(|address| Endpoint {
        address: *address,
        port: None,
        weight: 1,
    });
    EndpointSet::Known(endpoints.collect())
}

/// What an orchestrator registered.
pub(crate) fn registered(
    address: [u8; 4],
    port: Option<u16>,
    weight: u32,
    zone: Option<&str>,
) -> RegisteredEndpoint {
    RegisteredEndpoint {
        address: address.into(),
        port,
        weight,
        zone: zone.map(Arc::from),
    }
}

/// A sidecar of a node at 127.0.0.2, its application on 127.0.0.1.
pub(crate) fn key(node: &str) -> ViewKey {
    ViewKey {
        node: NodeRef::VirtualNode(MeshName::new(MESH), NodeName::new(node)),
        capture: Capture::Explicit {
            bind: Ipv4Addr::new(127, 0, 0, 2).into(),
            applications: BTreeMap::new(),
        },
        client: ClientKind::Envoy,
    }
}

/// The same node's sidecar, with the kernel redirecting to it.
pub(crate) fn redirected(node: &str) -> ViewKey {
    ViewKey {
        capture: Capture::Redirect,
        ..key(node)
    }
}

/// What a node's sidecar gets, and all problems.
pub(crate) fn translate(json: &Value, node: &str) -> (Arc<Snapshot>, Vec<String>) {
    translate_for(json, &key(node), Options::default())
}

pub(crate) fn translate_for(
    json: &Value,
    key: &ViewKey,
    options: Options,
) -> (Arc<Snapshot>, Vec<String>) {
    let model = model(json);
    let mut translator = Translator::new(options);
    let input = Input {
        endpoints: endpoints(&model),
        model,
        views: [key.clone()].into_iter().collect(),
    };
    translator.apply(input);
    let problems = translator.problems().map(ToString::to_string).collect();
    let node = &key.node;
    match translator.view(key) {
        Some(View::Serving(snapshot)) => (Arc::clone(snapshot), problems),
        other => panic!("{node} is not served: {other:?}"),
    }
}

/// What the snapshot's resources name and the snapshot does not have.
pub(crate) fn dangling(snapshot: &Snapshot) -> Vec<String> {
    let mut missing = Vec::new();
    for kind in Kind::ALL {
        for resource in snapshot.resources(kind) {
            let json = descriptors::to_json(kind.type_url(), resource.body()).unwrap();
            let mut named = Vec::new();
            references(&json, &mut named);
            if kind == Kind::Cluster && json["type"] == "EDS" {
                named.push((Kind::Endpoint, resource.name().to_string()));
            }
            for (wanted, name) in named {
                let there = snapshot.get(wanted, &name).is_some();
                let coming = wanted == Kind::Endpoint && snapshot.is_withheld(wanted, &name);
                if !there && !coming {
                    missing.push(format!("{kind} {} names {wanted} {name}", resource.name()));
                }
            }
        }
    }
    missing
}

fn references(json: &Value, named: &mut Vec<(Kind, String)>) {
    let mut name =
        |kind, value: &Value| named.extend(value.as_str().map(|name| (kind, name.to_owned())));
    name(Kind::Cluster, &json["cluster"]);
    name(Kind::Route, &json["routeConfigName"]);
    if json["configDiscovery"].is_object() {
        name(Kind::Extension, &json["name"]);
    }
    for weighted in json["weightedClusters"]["clusters"]
        .as_array()
        .into_iter()
        .flatten()
    {
        name(Kind::Cluster, &weighted["name"]);
    }
    let nested = json.as_array().into_iter().flatten();
    for value in nested.chain(
        json.as_object()
            .into_iter()
            .flat_map(|members| members.values()),
    ) {
        references(value, named);
    }
}
