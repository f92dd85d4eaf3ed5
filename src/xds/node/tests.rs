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

// The sidecars of one node share a view, and its bytes, however their image names them.
#[test]
fn app_mesh_s_image_is_one_client_under_all_of_its_names() {
    let image = |id: &str, zone: &str| {
        let platform = object(vec![("AvailabilityZone", string(zone))]);
        let metadata = HashMap::from([
            ("aws.appmesh.platformInfo".to_owned(), platform),
            ("aws.appmesh.task.interfaces".to_owned(), object(vec![])),
        ]);
        let node = core::Node {
            id: id.to_owned(),
            cluster: id.to_owned(),
            metadata: Some(Struct { fields: metadata }),
            user_agent_name: "envoy".to_owned(),
            ..Default::default()
        };
        Node::read(Some(&node.encode_to_vec().into())).unwrap().key
    };
    let short = image(ID, "eu-west-1a");
    assert_eq!(short.capture, Capture::Redirect);
    for arn in [
        format!("arn:aws:appmesh:eu-west-1:123456789012:{ID}"),
        format!("arn:aws:appmesh:us-east-2:000000000000:{ID}"),
        format!("arn:aws-cn:appmesh:cn-north-1:123456789012:{ID}"),
    ] {
        assert_eq!(image(&arn, "eu-west-1b"), short, "{arn}");
    }
    assert_ne!(image("mesh/m/virtualNode/other", "eu-west-1a"), short);
}

#[test]
fn what_a_refused_client_claims_is_read_as_far_as_it_goes() {
    let claim = |id: &str| Claim::read(Some(&node(id, "envoy", None)));
    let arn = format!("arn:aws:appmesh:eu-west-1:123456789012:{ID}");
    assert_eq!(
        (claim(&arn).id, claim(&arn).user_agent),
        (ID.to_owned(), "envoy".to_owned())
    );
    assert_eq!(claim("service-a").id, "service-a");
    assert_eq!(Claim::read(None), Claim::default());
    assert_eq!(
        Claim::read(Some(&Bytes::from_static(&[0xff; 9]))),
        Claim::default()
    );
}

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
