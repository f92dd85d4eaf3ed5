//! The rules of App Mesh's service, each with a change that it lets pass or refuses: one table for every edge's tests.
//!
//! Documents are in the form of mesh files; [`parts`] takes the API's body out of one.

mod fit;
mod habits;
mod quotas;
mod references;
mod specs;

use serde_json::{Value as Json, json};

use super::names::{ResourceId, ResourceKind};
use super::quota::Quota;
use super::schema::kind_schema;

/// One change, and what becomes of it.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) rule: &'static str,
    /// What is there before, beside the mesh `m`; parents first.
    pub(crate) given: Vec<Json>,
    pub(crate) operation: Operation,
    pub(crate) expected: Expected,
    pub(crate) quotas: Vec<(Quota, u32)>,
}

#[derive(Debug)]
pub(crate) enum Operation {
    Create(Json),
    Update(Json),
    Delete(&'static str),
}

#[derive(Debug)]
pub(crate) enum Expected {
    /// With a reported problem for each of these, which is part of what it says.
    Accepted(&'static [&'static str]),
    NotFound(&'static str),
    /// With an error at the path whose text has the other.
    Invalid(&'static str, &'static str),
    /// By exactly these.
    InUse(&'static [&'static str]),
    Limit(Quota),
}

pub(crate) fn all() -> Vec<Case> {
    let mut all = references::cases();
    all.extend(fit::cases());
    all.extend(quotas::cases());
    all.extend(specs::cases());
    all.extend(habits::cases());
    all
}

/// Kind, parent and body of the create call that a document stands for.
pub(crate) fn parts(document: &Json) -> (ResourceKind, Option<ResourceId>, Json) {
    let kind = ResourceKind::from_name(document["kind"].as_str().unwrap()).unwrap();
    let schema = kind_schema(kind);
    let mesh = document["meshName"].as_str().unwrap();
    let parent = match (kind, schema.parent) {
        (ResourceKind::Mesh, _) => None,
        (_, None) => Some(format!("mesh/{mesh}")),
        (ResourceKind::Route, Some(of)) => Some(format!(
            "mesh/{mesh}/virtualRouter/{}",
            document[of].as_str().unwrap()
        )),
        (_, Some(of)) => Some(format!(
            "mesh/{mesh}/virtualGateway/{}",
            document[of].as_str().unwrap()
        )),
    };
    let mut body = document.clone();
    let members = body.as_object_mut().unwrap();
    members.retain(|name, _| {
        name == schema.name
            || (name != "kind" && name != "meshName" && Some(name.as_str()) != schema.parent)
    });
    let parent = parent.map(|path| ResourceId::parse(&path).unwrap());
    (kind, parent, body)
}

fn create(rule: &'static str, given: &[Json], document: Json, expected: Expected) -> Case {
    case(rule, given, Operation::Create(document), expected)
}

fn update(rule: &'static str, given: &[Json], document: Json, expected: Expected) -> Case {
    case(rule, given, Operation::Update(document), expected)
}

fn delete(rule: &'static str, given: &[Json], id: &'static str, expected: Expected) -> Case {
    case(rule, given, Operation::Delete(id), expected)
}

fn case(rule: &'static str, given: &[Json], operation: Operation, expected: Expected) -> Case {
    Case {
        rule,
        given: given.to_vec(),
        operation,
        expected,
        quotas: Vec::new(),
    }
}

type Ports<'a> = &'a [(u16, &'a str)];

fn listeners(ports: Ports<'_>) -> Json {
    ports
        .iter()
        .map(|(port, protocol)| json!({ "portMapping": { "port": port, "protocol": protocol } }))
        .collect()
}

fn node_of(name: &str, spec: &Json) -> Json {
    json!({ "kind": "VirtualNode", "meshName": "m", "virtualNodeName": name, "spec": spec })
}

fn node(name: &str, ports: Ports<'_>) -> Json {
    let discovery = json!({ "dns": { "hostname": "a.local" } });
    node_of(
        name,
        &json!({ "serviceDiscovery": discovery, "listeners": listeners(ports) }),
    )
}

fn router(name: &str, ports: Ports<'_>) -> Json {
    json!({
        "kind": "VirtualRouter", "meshName": "m", "virtualRouterName": name,
        "spec": { "listeners": listeners(ports) },
    })
}

fn service_of(name: &str, spec: &Json) -> Json {
    json!({ "kind": "VirtualService", "meshName": "m", "virtualServiceName": name, "spec": spec })
}

fn service_by_node(name: &str, node: &str) -> Json {
    let provider = json!({ "virtualNode": { "virtualNodeName": node } });
    service_of(name, &json!({ "provider": provider }))
}

fn service_by_router(name: &str, router: &str) -> Json {
    let provider = json!({ "virtualRouter": { "virtualRouterName": router } });
    service_of(name, &json!({ "provider": provider }))
}

fn route_of(router: &str, name: &str, spec: &Json) -> Json {
    json!({
        "kind": "Route", "meshName": "m", "virtualRouterName": router, "routeName": name,
        "spec": spec,
    })
}

/// Of the member's kind, to each of the targets.
fn route(router: &str, name: &str, field: &str, matches: &Json, targets: &[Json]) -> Json {
    let route = json!({ "match": matches, "action": { "weightedTargets": targets } });
    route_of(router, name, &json!({ field: route }))
}

/// By prefix `/`, for any port, to one node.
fn http_route(router: &str, name: &str, to: &str) -> Json {
    let targets = [target(to, None)];
    route(
        router,
        name,
        "httpRoute",
        &json!({ "prefix": "/" }),
        &targets,
    )
}

fn target(node: &str, port: Option<u16>) -> Json {
    json!({ "virtualNode": node, "weight": 1, "port": port })
}

fn gateway(name: &str, ports: Ports<'_>) -> Json {
    json!({
        "kind": "VirtualGateway", "meshName": "m", "virtualGatewayName": name,
        "spec": { "listeners": listeners(ports) },
    })
}

fn gateway_route_of(gateway: &str, name: &str, spec: &Json) -> Json {
    json!({
        "kind": "GatewayRoute", "meshName": "m", "virtualGatewayName": gateway, "gatewayRouteName": name,
        "spec": spec,
    })
}

fn gateway_route(name: &str, match_port: Option<u16>, to: &str, port: Option<u16>) -> Json {
    let target = json!({ "virtualService": { "virtualServiceName": to }, "port": port });
    let matches = json!({ "prefix": "/", "port": match_port });
    gateway_route_of(
        "g",
        name,
        &json!({ "httpRoute": { "match": matches, "action": { "target": target } } }),
    )
}
