//! Clients that break rules, on a server that goes on serving the others.
//!
//! After each attack a well-behaved client of the same server gets the next change of the mesh.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use bytes::Bytes;
use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DiscoveryRequest, DiscoveryResponse,
};
use envoy_types::pb::google::protobuf::{Struct, Value, value};
use outrigger::envoy::bootstrap::{BootstrapOptions, bootstrap};
use outrigger::envoy::process::{Envoy, EnvoyOptions};
use outrigger::model::{Capture, NodeRef};
use outrigger::snapshot::Kind;
use outrigger::xds::ServerLimits;
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Code;

use crate::plane::Plane;
use crate::raw::{Answer, DELTA, Raw, SOTW, framed, prefix};
use crate::world::{OUTRIGGER, PATIENCE, eventually};

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

#[tokio::test]
async fn nodes_that_cannot_be_served_are_told_what_to_do() {
    use Code::{FailedPrecondition, InvalidArgument, NotFound};
    let plane = Plane::start(ServerLimits::default());
    let mut bystander = Bystander::connect(&plane, 1).await;
    let mut cases = vec![
        (
            None,
            InvalidArgument,
            "malformed_node",
            "must set `node.id`",
        ),
        (
            Some(sidecar("mesh/m/virtualGateway/declared")),
            FailedPrecondition,
            "unsupported",
            "gateways are not served yet",
        ),
    ];
    let words = "`node` is not an `envoy.config.core.v3.Node`";
    cases.push((
        Some(node(A, deep(1000))),
        InvalidArgument,
        "malformed_node",
        words,
    ));
    let long = format!("mesh/m/virtualNode/{}", "x".repeat(100_000));
    for id in ["", "service-a", "arn:aws:appmesh:eu-west-1:1:mesh/m", &long] {
        let words = "mesh/MESH/virtualNode/NODE";
        cases.push((Some(sidecar(id)), InvalidArgument, "malformed_node", words));
    }
    for node in malformed_metadata() {
        let words = "make the bootstrap anew with `outrigger bootstrap`";
        cases.push((Some(node), InvalidArgument, "malformed_node", words));
    }
    for id in [
        "mesh/m/virtualNode/nobody",
        "mesh/else/virtualNode/a",
        "mesh/m/virtualGateway/g",
    ] {
        let words = "is not declared; declare it, or correct `node.id`";
        cases.push((Some(sidecar(id)), NotFound, "unknown_node", words));
    }
    for (node, wanted, reason, words) in cases {
        for (path, first) in first_requests(node.as_ref()) {
            let before = refused(&plane, reason);
            let (code, message) = end_of(&plane, path, first).await;
            assert_eq!(code, wanted, "{message}");
            assert!(message.contains(words), "`{words}` in {message}");
            assert!(message.len() < 1000, "{} bytes of message", message.len());
            assert_eq!(refused(&plane, reason), before + 1, "{message}");
        }
        bystander.gets_the_next_change(&plane).await;
    }
}

/// Nodes whose metadata is not what the bootstrap writes.
fn malformed_metadata() -> Vec<Node> {
    let explicit = |bind: Value, applications: Value| {
        object([
            ("capture", text("explicit")),
            ("bind", bind),
            ("applications", applications),
        ])
    };
    let application = nested(object([("8080", text("here"))]));
    let metadata = [
        text("explicit"),
        nested(object([("capture", text("sideways"))])),
        nested(object([("capture", text("explicit"))])),
        nested(explicit(text("everywhere"), application.clone())),
        nested(explicit(text("127.0.0.2"), application)),
        nested(explicit(text("127.0.0.2"), text("everything"))),
    ];
    metadata.map(|outrigger| node(A, outrigger)).into()
}

/// Objects in objects.
fn deep(levels: usize) -> Value {
    (0..levels).fold(text("bottom"), |inner, _| {
        nested(object([("inner", inner)]))
    })
}

// §1.5 of the notes on the xDS protocol: not ready is UNAVAILABLE, never an empty configuration
#[tokio::test]
async fn nobody_is_served_before_anything_is_loaded() {
    let plane = Plane::start(ServerLimits::default());
    for (path, first) in first_requests(Some(&sidecar(A))) {
        let (code, message) = end_of(&plane, path, first).await;
        assert_eq!(code, Code::Unavailable, "{message}");
        assert!(message.contains("no mesh is loaded yet"), "{message}");
    }
    assert_eq!(refused(&plane, "not_ready"), 2);
    Bystander::connect(&plane, 1).await;
}

#[tokio::test]
async fn bytes_that_are_no_requests_end_their_stream_only() {
    let plane = Plane::start(ServerLimits::default());
    let mut bystander = Bystander::connect(&plane, 1).await;
    let node = Some(sidecar(A));
    let no_type_url = |path| match path {
        SOTW => DiscoveryRequest {
            node: node.clone(),
            ..DiscoveryRequest::default()
        }
        .encode_to_vec(),
        _ => DeltaDiscoveryRequest {
            node: node.clone(),
            ..DeltaDiscoveryRequest::default()
        }
        .encode_to_vec(),
    };
    for path in [SOTW, DELTA] {
        let compressed = {
            let mut bytes = prefix(4).to_vec();
            bytes[0] = 1;
            [bytes, vec![1; 4]].concat()
        };
        let attacks: [(&str, Vec<u8>); 6] = [
            ("no discovery request", framed(&[0xff; 64]).to_vec()),
            (
                "no discovery request",
                framed(b"\x0a\xff\xff\xff\xff\x0f").to_vec(),
            ),
            ("ompress", compressed),
            ("ompress", vec![0x7f; 64]),
            ("too large", prefix(100 << 20).to_vec()),
            ("type_url", framed(&no_type_url(path)).to_vec()),
        ];
        for (words, bytes) in attacks {
            let before = refused(&plane, "protocol");
            let (code, message) = end_of(&plane, path, bytes).await;
            assert_eq!(code, Code::InvalidArgument, "{message}");
            assert!(message.contains(words), "`{words}` in {message}");
            assert_eq!(refused(&plane, "protocol"), before + 1, "{message}");
            bystander.gets_the_next_change(&plane).await;
        }
    }
}

// §1.9
#[tokio::test]
async fn a_hundred_megabytes_are_not_read() {
    let plane = Plane::start(ServerLimits::default());
    let mut bystander = Bystander::connect(&plane, 1).await;
    let mut raw = Raw::open(plane.address, SOTW).await;
    let mut chunk = prefix(100 << 20).freeze();
    let mut sent = 0;
    while sent < 100 << 20 && raw.send_bytes(chunk).await {
        chunk = Bytes::from(vec![0; 64 << 10]);
        sent += chunk.len();
    }
    assert!(sent < 10 << 20, "{sent} bytes were taken");
    let (code, message) = raw.status().await;
    assert_eq!(code, Code::InvalidArgument, "{message}");
    assert!(message.contains("too large"), "{message}");
    bystander.gets_the_next_change(&plane).await;
}

#[tokio::test]
async fn a_client_that_says_nothing_is_sent_away() {
    let limits = ServerLimits {
        first_request: Duration::from_millis(50),
        ..ServerLimits::default()
    };
    let plane = Plane::start(limits);
    let mut bystander = Bystander::connect(&plane, 1).await;
    // The second begins a request and never ends it.
    for (count, bytes) in [Bytes::new(), prefix(100).freeze()].into_iter().enumerate() {
        let (code, message) = end_of(&plane, SOTW, bytes).await;
        assert_eq!(code, Code::DeadlineExceeded, "{message}");
        assert!(message.contains("no request came within 50ms"), "{message}");
        assert_eq!(refused(&plane, "silent"), count as u64 + 1);
        bystander.gets_the_next_change(&plane).await;
    }
}

// §1.8
#[tokio::test]
async fn more_streams_than_the_limit_are_refused_until_one_ends() {
    let limits = ServerLimits {
        streams: 2,
        ..ServerLimits::default()
    };
    let plane = Plane::start(limits);
    let mut bystander = Bystander::connect(&plane, 1).await;
    let second = Raw::open(plane.address, SOTW).await;
    let (code, message) = Raw::open(plane.address, DELTA).await.status().await;
    assert_eq!(code, Code::ResourceExhausted, "{message}");
    assert!(message.contains("2 streams"), "{message}");
    assert_eq!(refused(&plane, "limit"), 1);
    bystander.gets_the_next_change(&plane).await;

    second.vanish();
    let [(path, first), _] = first_requests(Some(&sidecar(A)));
    eventually("the place is free again", PATIENCE, async || {
        let mut raw = Raw::open(plane.address, path).await;
        raw.send_bytes(first.clone()).await;
        matches!(raw.answer().await, Answer::Message(_)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_client_that_never_reads_costs_no_queue() {
    // One response is several times what a client takes in without reading.
    let many = 400;
    let plane = Plane::start(ServerLimits::default());
    let mut bystander = Bystander::connect(&plane, many).await;
    let pushes = || plane.metric("outrigger_xds_pushes_total{type=\"cds\"}");
    let deaf = Raw::open(plane.address, SOTW).await;
    let [(_, first), _] = first_requests(Some(&sidecar(A)));
    let before = pushes();
    deaf.send_bytes(first).await;
    eventually("the first response is on its way", PATIENCE, async || {
        (pushes() == before + 1).then_some(())
    })
    .await;

    let changes = 12;
    for _ in 0..changes {
        bystander.gets_the_next_change(&plane).await;
    }
    // HTTP/2 takes in 400 KB that it cannot send yet, some responses' worth; the rest was never built.
    let built = pushes() - before - changes;
    assert!(built <= 4, "{built} responses for a client that reads none");

    // Reading again, it gets what was on its way and then the newest, and nothing between.
    let mut deaf = Bystander {
        raw: deaf,
        backends: bystander.backends,
    };
    let stale = deaf.receive().await;
    assert!(stale.contains(&cluster(many)) && !stale.contains(&cluster(many + 1)));
    deaf.has_all().await;
    assert_eq!(pushes(), before + changes + built + 1);
}

#[tokio::test]
async fn clients_that_leave_are_forgotten() {
    let plane = Plane::start(ServerLimits::default());
    let mut bystander = Bystander::connect(&plane, 1).await;
    let streams = || plane.metric("outrigger_xds_streams{variant=\"sotw\"}");
    let [(_, first), _] = first_requests(Some(&sidecar(A)));
    let mut raw = Raw::open(plane.address, SOTW).await;
    for leave in [Raw::vanish, Raw::reset, drop] {
        raw.send_bytes(first.clone()).await;
        drop(raw.message::<DiscoveryResponse>().await);
        assert_eq!((streams(), plane.clients.list().len()), (2, 2));
        leave(raw);
        eventually("one client is left", PATIENCE, async || {
            (streams() == 1 && plane.clients.list().len() == 1).then_some(())
        })
        .await;
        bystander.gets_the_next_change(&plane).await;
        raw = Raw::open(plane.address, SOTW).await;
    }
    // In the middle of a request.
    raw.send_bytes(prefix(1000)).await;
    raw.finish();
    assert!(!matches!(raw.answer().await, Answer::Message(_)));
    bystander.gets_the_next_change(&plane).await;
}

#[tokio::test]
async fn what_is_not_served_is_said_so() {
    let plane = Plane::start(ServerLimits::default());
    let mut bystander = Bystander::connect(&plane, 1).await;
    for path in [
        "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamEverything",
        "/envoy.service.cluster.v3.ClusterDiscoveryService/StreamClusters",
        "/",
    ] {
        let (code, _) = Raw::open(plane.address, path).await.status().await;
        assert_eq!(code, Code::Unimplemented, "{path}");
    }
    // A type that is not served has no resources; the stream goes on with others.
    let url = "type.googleapis.com/envoy.config.unknown.v9.Thing";
    bystander
        .raw
        .send(&DiscoveryRequest {
            type_url: url.to_owned(),
            ..DiscoveryRequest::default()
        })
        .await;
    let response: DiscoveryResponse = bystander.raw.message().await;
    assert_eq!(
        (response.type_url.as_str(), response.resources.len()),
        (url, 0)
    );
    bystander.gets_the_next_change(&plane).await;
}

#[tokio::test]
async fn what_is_not_http2_is_hung_up_on() {
    let plane = Plane::start(ServerLimits::default());
    let mut bystander = Bystander::connect(&plane, 1).await;
    for bytes in [
        &b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"[..],
        &[0x16, 3, 1, 0, 200],
        &[0; 4096],
    ] {
        let mut stream = TcpStream::connect(plane.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        // The connection ends, whether politely or not.
        drop(
            tokio::time::timeout(PATIENCE, read)
                .await
                .expect("the connection ends"),
        );
        bystander.gets_the_next_change(&plane).await;
    }
}

/// The same server, a real Envoy, and all of the attackers at once.
#[tokio::test(flavor = "multi_thread")]
async fn an_envoy_gets_its_changes_in_a_crowd_of_attackers() {
    let plane = Plane::start(ServerLimits::default());
    plane.declare(&mesh(1));
    let folder = tempfile::tempdir().unwrap();
    let binary = crate::envoy::binary().await;
    let capture = Capture::Explicit {
        bind: [127, 0, 3, 1].into(),
        applications: BTreeMap::from([(8080, ([127, 0, 3, 2], 8080).into())]),
    };
    let options = BootstrapOptions::new(NodeRef::parse(A).unwrap(), plane.address.into(), capture);
    let start = EnvoyOptions::new("victim", OUTRIGGER.as_ref(), &binary, folder.path());
    let mut envoy = Envoy::start(&start, &bootstrap(&options).unwrap(), options.admin()).unwrap();
    envoy.ready(PATIENCE).await.unwrap();

    let mut attackers = Vec::new();
    for bytes in [
        framed(&[0xff; 64]),
        prefix(100 << 20).freeze(),
        prefix(100).freeze(),
        Bytes::new(),
    ] {
        for path in [SOTW, DELTA] {
            for _ in 0..10 {
                let raw = Raw::open(plane.address, path).await;
                raw.send_bytes(bytes.clone()).await;
                attackers.push(raw);
            }
        }
    }
    for backends in 2..5 {
        plane.declare(&mesh(backends));
        eventually("Envoy has the new cluster", PATIENCE, async || {
            let clusters = envoy.admin().get("/clusters").await.ok()?;
            let clusters = String::from_utf8_lossy(&clusters);
            clusters.contains(&cluster(backends)).then_some(())
        })
        .await;
    }
    assert!(envoy.child().ended().is_none());
}
