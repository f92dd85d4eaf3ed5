//! Requests that cannot be served, and bytes that are none.

use bytes::Bytes;
use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DiscoveryRequest, DiscoveryResponse,
};
use envoy_types::pb::google::protobuf::Value;
use outrigger::xds::ServerLimits;
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Code;

use super::{A, Bystander, end_of, first_requests, nested, node, object, refused, sidecar, text};
use crate::plane::Plane;
use crate::raw::{DELTA, Raw, SOTW, framed, prefix};
use crate::world::PATIENCE;

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
            ("more than the", prefix(100 << 20).to_vec()),
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
    assert!(message.contains("more than the"), "{message}");
    bystander.gets_the_next_change(&plane).await;
}

#[tokio::test]
async fn what_is_not_served_is_said_so() {
    let plane = Plane::start(ServerLimits::default());
    let mut bystander = Bystander::connect(&plane, 1).await;
    for path in [
        "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamEverything",
        "/envoy.service.cluster.v3.ClusterDiscoveryService/StreamEndpoints",
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
