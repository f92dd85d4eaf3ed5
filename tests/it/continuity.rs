//! What a change, a crash or an outage must not do to traffic: each of these is watched through real sidecars.

mod clusters;
mod declared;
mod files;
mod life;
pub(crate) mod load;
mod names;
mod outside;
mod restart;
pub(crate) mod sidecar;
mod steady;
pub(crate) mod tcp;

use std::time::Duration;

use outrigger::api::operator::generated::{Client, State};

use crate::world::{PATIENCE, World, eventually};

pub(crate) const A: &str = "mesh/appMesh/virtualNode/serviceANode";
pub(crate) const B: &str = "mesh/appMesh/virtualNode/serviceBNode";
/// The cluster of `serviceBNode` in the sidecars that call it.
pub(crate) const B_CLUSTER: &str = "cds_egress_appMesh_serviceBNode_http_8080";
/// Time to live of every name: the least that the control plane heeds.
pub(crate) const TTL: Duration = Duration::from_secs(1);

/// Documents of a mesh: what every test here has.
pub(crate) fn mesh(egress: &str, rest: &[String]) -> String {
    let mesh =
        format!("kind: Mesh\nmeshName: appMesh\nspec: {{ egressFilter: {{ type: {egress} }} }}\n");
    let rest = rest.iter().map(String::as_str);
    std::iter::once(mesh.as_str())
        .chain(rest)
        .collect::<Vec<_>>()
        .join("---\n")
}

/// A virtual node that is found by a name, with the rest of its spec.
pub(crate) fn node(name: &str, hostname: &str, rest: &str) -> String {
    format!(
        "kind: VirtualNode\nmeshName: appMesh\nvirtualNodeName: {name}\n\
         spec: {{ serviceDiscovery: {{ dns: {{ hostname: {hostname} }} }}, {rest} }}\n"
    )
}

/// `listeners` with one listener; `more` are further members of it, each behind a comma.
pub(crate) fn listener(port: u16, protocol: &str, more: &str) -> String {
    format!("listeners: [{{ portMapping: {{ port: {port}, protocol: {protocol} }}{more} }}]")
}

/// A virtual service that one node provides.
pub(crate) fn service(name: &str, node: &str) -> String {
    format!(
        "kind: VirtualService\nmeshName: appMesh\nvirtualServiceName: {name}\n\
         spec: {{ provider: {{ virtualNode: {{ virtualNodeName: {node} }} }} }}\n"
    )
}

/// A virtual service, its router and its one route, which splits what comes in between nodes.
pub(crate) fn split(name: &str, port: u16, protocol: &str, weights: &[(&str, u32)]) -> String {
    let targets: Vec<String> = weights
        .iter()
        .map(|(node, weight)| format!("{{ virtualNode: {node}, weight: {weight} }}"))
        .collect();
    let targets = targets.join(", ");
    let matched = if protocol == "tcp" {
        ""
    } else {
        "match: { prefix: / }, "
    };
    let router = format!("router-{port}");
    format!(
        "kind: VirtualService\nmeshName: appMesh\nvirtualServiceName: {name}\n\
         spec: {{ provider: {{ virtualRouter: {{ virtualRouterName: {router} }} }} }}\n---\n\
         kind: VirtualRouter\nmeshName: appMesh\nvirtualRouterName: {router}\n\
         spec: {{ {} }}\n---\n\
         kind: Route\nmeshName: appMesh\nvirtualRouterName: {router}\nrouteName: split\n\
         spec: {{ {protocol}Route: {{ {matched}action: {{ weightedTargets: [{targets}] }} }} }}\n",
        listener(port, protocol, "")
    )
}

/// The five resources of the smallest mesh, with more of `b`'s listener.
pub(crate) fn a_calls_b(listener_of_b: &str) -> String {
    mesh(
        "ALLOW_ALL",
        &[
            node(
                "serviceANode",
                "service-a.local",
                &listener(8080, "http", ""),
            ),
            node(
                "serviceBNode",
                "service-b.local",
                &listener(8080, "http", listener_of_b),
            ),
            service("service-a.local", "serviceANode"),
            service("service-b.local", "serviceBNode"),
        ],
    )
}

/// Waits until `count` sidecars of a node have acknowledged everything that they were sent, and returns them.
pub(crate) async fn synced(world: &World, node: &str, count: usize, kinds: &[&str]) -> Vec<Client> {
    let what = format!("{count} sidecars of {node} have {kinds:?}");
    eventually(&what, PATIENCE, async || {
        let mut clients = world.clients().await;
        clients.retain(|client| client.node == node);
        let has_all = |client: &Client| {
            let in_step = client
                .kinds
                .iter()
                .filter(|kind| kind.state() == State::Synced);
            in_step
                .map(|kind| kind.kind.as_str())
                .eq(kinds.iter().copied())
        };
        (clients.len() == count && clients.iter().all(has_all)).then_some(clients)
    })
    .await
}
