use std::collections::HashMap;

use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::google::protobuf::Value;

use super::*;

fn string(text: &str) -> Value {
    Value {
        kind: Some(value::Kind::StringValue(text.to_owned())),
    }
}

fn object(members: Vec<(&str, Value)>) -> Value {
    let fields = members
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    Value {
        kind: Some(value::Kind::StructValue(Struct { fields })),
    }
}

/// A node as Envoy sends it, with `ours` as the metadata's `outrigger`.
fn node(id: &str, agent: &str, ours: Option<Value>) -> Bytes {
    let fields: HashMap<_, _> = ours
        .into_iter()
        .map(|ours| ("outrigger".to_owned(), ours))
        .collect();
    let node = core::Node {
        id: id.to_owned(),
        cluster: "ignored".to_owned(),
        metadata: Some(Struct { fields }),
        user_agent_name: agent.to_owned(),
        ..Default::default()
    };
    node.encode_to_vec().into()
}

const ID: &str = "mesh/m/virtualNode/n";

#[test]
fn reads_what_the_bootstrap_writes() {
    let ours = object(vec![
        ("capture", string("explicit")),
        ("bind", string("127.0.0.2")),
        (
            "applications",
            object(vec![("8080", string("127.0.0.1:18080"))]),
        ),
    ]);
    let read = Node::read(Some(&node(ID, "envoy", Some(ours)))).unwrap();
    let applications = BTreeMap::from([(8080, "127.0.0.1:18080".parse().unwrap())]);
    let capture = Capture::Explicit {
        bind: "127.0.0.2".parse().unwrap(),
        applications,
    };
    let node = NodeRef::parse(ID).unwrap();
    assert_eq!(
        read.key,
        ViewKey {
            node,
            capture,
            client: ClientKind::Envoy
        }
    );
}

#[test]
fn a_sidecar_of_app_mesh_is_redirected_and_grpc_is_grpc() {
    let read = Node::read(Some(&node(ID, "gRPC C-core", None))).unwrap();
    assert_eq!(
        (read.key.capture, read.key.client),
        (Capture::Redirect, ClientKind::Grpc)
    );
}

// §1.3
#[test]
fn what_cannot_be_served_says_why_and_how_to_mend_it() {
    let explicit = |members| {
        let mut all = vec![("capture", string("explicit"))];
        all.extend(members);
        Some(object(all))
    };
    let cases = [
        (None, "`node.id`"),
        (
            Some(Bytes::from_static(b"\xff\xff")),
            "not an `envoy.config.core.v3.Node`",
        ),
        (Some(node("", "", None)), "`node.id` is empty"),
        (Some(node("nonsense", "", None)), "`node.id` is `nonsense`"),
        (
            Some(node(ID, "", Some(string("x")))),
            "`node.metadata.outrigger` is `x`, not an object",
        ),
        (
            Some(node(
                ID,
                "",
                Some(object(vec![("capture", string("tproxy"))])),
            )),
            "neither `explicit` nor",
        ),
        (
            Some(node(ID, "", explicit(vec![]))),
            "`node.metadata.outrigger.bind` is `absent`",
        ),
        (
            Some(node(ID, "", explicit(vec![("bind", string("here"))]))),
            "is `here`, not an IP address",
        ),
        (
            Some(node(
                ID,
                "",
                explicit(vec![
                    ("bind", string("127.0.0.2")),
                    ("applications", object(vec![("8080", string("18080"))])),
                ]),
            )),
            "`node.metadata.outrigger.applications` is `18080`",
        ),
    ];
    for (encoded, expected) in cases {
        let error = Node::read(encoded.as_ref()).unwrap_err().to_string();
        assert!(
            error.contains(expected),
            "{error:?} does not say {expected:?}"
        );
    }
}

// It is kept as long as the stream is open, and a request may have megabytes.
#[test]
fn the_user_agent_is_bounded() {
    let read = Node::read(Some(&node(ID, &"gRPC é".repeat(1000), None))).unwrap();
    assert_eq!(read.user_agent.chars().count(), 100);
    assert_eq!(read.key.client, ClientKind::Grpc);
}
