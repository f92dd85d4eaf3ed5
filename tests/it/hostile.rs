//! Clients that break rules, on a server that goes on serving the others.
//!
//! After each attack a well-behaved client of the same server gets the next change of the mesh; where an attack takes a
//! while, well-behaved clients get theirs as soon as ever during it.

mod deaf;
mod many_names;
mod neighbours;
mod rejecting;
mod requests;
mod restless;
mod streams;

use std::fmt::Write;

use bytes::Bytes;
use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DiscoveryRequest, DiscoveryResponse,
};
use envoy_types::pb::google::protobuf::{Struct, Value, value};
use outrigger::snapshot::Kind;
use prost::Message;
use tonic::Code;

use crate::plane::Plane;
use crate::raw::{DELTA, Raw, SOTW, framed};

pub(crate) const A: &str = "mesh/m/virtualNode/a";

/// Node `a` with this many backends, the last of which tells one mesh from the next.
pub(crate) fn mesh(backends: usize) -> String {
    let mut yaml = "kind: Mesh\nmeshName: m\nspec: { egressFilter: { type: ALLOW_ALL } }\n---\n\
         { kind: VirtualNode, meshName: m, virtualNodeName: a, spec: {} }\n---\n\
         { kind: VirtualGateway, meshName: m, virtualGatewayName: declared, \
         spec: { listeners: [{ portMapping: { port: 80, protocol: http } }] } }\n"
        .to_owned();
    for name in (1..=backends).map(|number| format!("b{number}")) {
        write!(
            yaml,
            "---\n{{ kind: VirtualNode, meshName: m, virtualNodeName: {name}, \
             spec: {{ serviceDiscovery: {{ dns: {{ hostname: {name}.local }} }} }} }}\n\
             ---\n{{ kind: VirtualService, meshName: m, virtualServiceName: {name}.local, \
             spec: {{ provider: {{ virtualNode: {{ virtualNodeName: {name} }} }} }} }}\n"
        )
        .unwrap();
    }
    yaml
}

/// The cluster of the backend of that number.
fn cluster(number: usize) -> String {
    format!("cds_egress_m_b{number}_http_8080")
}

fn text(text: &str) -> Value {
    Value {
        kind: Some(value::Kind::StringValue(text.to_owned())),
    }
}

fn object<'a>(members: impl IntoIterator<Item = (&'a str, Value)>) -> Struct {
    let fields = members.into_iter();
    Struct {
        fields: fields
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
    }
}

fn nested(object: Struct) -> Value {
    Value {
        kind: Some(value::Kind::StructValue(object)),
    }
}

/// A node with this below `metadata.outrigger`.
fn node(id: &str, outrigger: Value) -> Node {
    Node {
        id: id.to_owned(),
        metadata: Some(object([("outrigger", outrigger)])),
        ..Node::default()
    }
}

/// A node as `outrigger bootstrap` writes it.
pub(crate) fn sidecar(id: &str) -> Node {
    let outrigger = object([("capture", text("explicit")), ("bind", text("127.0.0.2"))]);
    node(id, nested(outrigger))
}

/// The first request of a stream in each variant: all clusters.
pub(crate) fn first_requests(node: Option<&Node>) -> [(&'static str, Bytes); 2] {
    let type_url = Kind::Cluster.type_url().to_owned();
    let sotw = DiscoveryRequest {
        node: node.cloned(),
        type_url: type_url.clone(),
        ..DiscoveryRequest::default()
    };
    let delta = DeltaDiscoveryRequest {
        node: node.cloned(),
        type_url,
        ..DeltaDiscoveryRequest::default()
    };
    [
        (SOTW, framed(&sotw.encode_to_vec())),
        (DELTA, framed(&delta.encode_to_vec())),
    ]
}

/// Sends these bytes on a stream of their own and returns how it ends.
async fn end_of(plane: &Plane, path: &str, bytes: impl Into<Bytes>) -> (Code, String) {
    let mut raw = Raw::open(plane.address, path).await;
    raw.send_bytes(bytes).await;
    raw.status().await
}

fn refused(plane: &Plane, reason: &str) -> u64 {
    plane.metric(&format!(
        "outrigger_xds_refused_streams_total{{reason=\"{reason}\"}}"
    ))
}

/// A client that does all it should, in state of the world.
pub(crate) struct Bystander {
    raw: Raw,
    backends: usize,
}

impl Bystander {
    /// Connects, and has all of a mesh with this many backends.
    pub(crate) async fn connect(plane: &Plane, backends: usize) -> Self {
        plane.declare(&mesh(backends));
        let raw = Raw::open(plane.address, SOTW).await;
        let [(_, first), _] = first_requests(Some(&sidecar(A)));
        raw.send_bytes(first).await;
        let mut bystander = Self { raw, backends };
        bystander.has_all().await;
        bystander
    }

    /// The mesh gets one more backend, and this client hears of it.
    pub(crate) async fn gets_the_next_change(&mut self, plane: &Plane) {
        self.backends += 1;
        plane.declare(&mesh(self.backends));
        self.has_all().await;
    }

    /// How the server ends the stream.
    pub(crate) async fn ends(&mut self) -> (Code, String) {
        self.raw.status().await
    }

    async fn has_all(&mut self) {
        while !self.receive().await.contains(&cluster(self.backends)) {}
    }

    /// The names of the next response's clusters; it is acknowledged.
    async fn receive(&mut self) -> Vec<String> {
        let response: DiscoveryResponse = self.raw.message().await;
        self.raw
            .send(&DiscoveryRequest {
                type_url: response.type_url.clone(),
                version_info: response.version_info.clone(),
                response_nonce: response.nonce.clone(),
                ..DiscoveryRequest::default()
            })
            .await;
        let clusters = response.resources.iter();
        clusters
            .map(|any| Cluster::decode(any.value.as_slice()).unwrap().name)
            .collect()
    }
}
