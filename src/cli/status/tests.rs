//! What a reader sees for clients in every state.

use super::*;
use crate::cli::output::render;

fn millis(millis: u64) -> Option<prost_types::Duration> {
    Duration::from_millis(millis).try_into().ok()
}

fn kind(kind: Kind, state: api::State) -> api::KindStatus {
    api::KindStatus {
        kind: kind.to_string(),
        resources: 12,
        state: state.into(),
        sent_version: "3PUMCo8cPmZ".to_owned(),
        acked_version: "3PUMCo8cPmZ".to_owned(),
        pending_for: None,
        rejections: Vec::new(),
    }
}

fn client(node: &str, kinds: Vec<api::KindStatus>) -> api::Client {
    api::Client {
        node: format!("mesh/appMesh/virtualNode/{node}"),
        peer: "127.0.0.1:40123".to_owned(),
        user_agent: "envoy 1.40.0".to_owned(),
        variant: api::Variant::Delta.into(),
        view: Some(api::View {
            capture: "explicit".to_owned(),
            bind: "127.0.0.2".to_owned(),
            applications: [(8080, "127.0.0.1:9000".to_owned())].into(),
            client: "envoy".to_owned(),
        }),
        connected_at: Some(prost_types::Timestamp {
            seconds: 1_790_000_000,
            nanos: 0,
        }),
        connected_for: millis(75_000),
        kinds,
    }
}

/// One client to which nothing bad happened, one that waits, and one that rejected a listener.
fn status() -> Status {
    let synced = [Kind::Cluster, Kind::Listener].map(|it| kind(it, api::State::Synced));
    let pending = api::KindStatus {
        pending_for: millis(300),
        ..kind(Kind::Cluster, api::State::Pending)
    };
    let unanswered = api::KindStatus {
        resources: 0,
        sent_version: String::new(),
        acked_version: String::new(),
        ..kind(Kind::Endpoint, api::State::Pending)
    };
    let rejected = api::KindStatus {
        rejections: vec![
            api::Rejection {
                resource: "lds_egress_http_15001".to_owned(),
                version: "0123456789A".to_owned(),
                message: "Error adding/updating listener(s) lds_egress_http_15001:\n\
                          cannot bind '127.0.0.2:15001': Address already in use"
                    .to_owned(),
                rejected_for: millis(5_000),
            },
            api::Rejection {
                message: "no resource named".to_owned(),
                rejected_for: millis(65_000),
                ..api::Rejection::default()
            },
        ],
        ..kind(Kind::Listener, api::State::Rejected)
    };
    let clients = [
        client("serviceANode", synced.into()),
        client("serviceBNode", vec![pending, unanswered]),
        client("serviceCNode", vec![rejected]),
    ];
    let refused = [
        api::RefusedNode {
            node: "mesh/appMesh/virtualNode/nobody".to_owned(),
            peer: "unix:pid=4242".to_owned(),
            user_agent: "envoy".to_owned(),
            reason: "unknown_node".to_owned(),
            message: "`mesh/appMesh/virtualNode/nobody` is not declared; declare it".to_owned(),
            count: 12,
            first_refused: millis(65_000),
            last_refused: millis(5_000),
        },
        api::RefusedNode {
            peer: "127.0.0.1:40124".to_owned(),
            reason: "malformed_node".to_owned(),
            message: "`node.id` is empty".to_owned(),
            count: 1,
            first_refused: millis(6_000),
            last_refused: millis(6_000),
            ..api::RefusedNode::default()
        },
    ];
    Status {
        declared: None,
        clients: clients.map(Client::from).into(),
        refused: refused.map(RefusedNode::from).into(),
    }
}

#[test]
fn the_table_has_a_column_for_each_type_in_use_and_rejections_below() {
    insta::assert_snapshot!(render(Output::Table, &status(), table).unwrap());
}

#[test]
fn json_has_every_detail() {
    insta::assert_snapshot!(render(Output::Json, &status(), table).unwrap());
}

#[test]
fn yaml_says_the_same_as_json() {
    let yaml = render(Output::Yaml, &status(), table).unwrap();
    let read: serde_json::Value = serde_saphyr::from_str(&yaml).unwrap();
    assert_eq!(read, serde_json::to_value(status()).unwrap());
}

#[test]
fn nobody_connected_is_said_in_words() {
    assert_eq!(table(&Status::default()), "no sidecar is connected\n");
    let refused = Status {
        clients: Vec::new(),
        ..status()
    };
    assert!(table(&refused).starts_with("no sidecar is connected\n\nmesh/appMesh"));
}

#[test]
fn of_a_node_without_sidecars_it_says_whether_it_is_declared_and_who_was_refused() {
    let node = "mesh/appMesh/virtualNode/nobody";
    for (declared, words) in [
        (Some(true), "is declared, and no sidecar of it"),
        (Some(false), "is not declared, and no sidecar of it"),
        (None, "no mesh is loaded yet"),
    ] {
        let mut status = Status {
            declared,
            ..Status::default()
        };
        let text = nobody(node, &status);
        assert!(text.contains(words) && text.contains("node.id"), "{text}");
        status.refused = self::status().refused;
        let text = nobody(node, &status);
        assert!(
            text.contains(words) && text.contains("12 times in 1 min 5 s:"),
            "{text}"
        );
    }
}

#[test]
fn arguments_are_read() {
    #[derive(clap::Parser)]
    struct Command {
        #[command(flatten)]
        args: StatusArgs,
    }
    let line = "status mesh/m/virtualNode/a --output yaml --api-url http://plane:9080";
    let Command { args } = clap::Parser::try_parse_from(line.split(' ')).unwrap();
    assert_eq!(args.node.as_deref(), Some("mesh/m/virtualNode/a"));
    assert_eq!(args.output, Output::Yaml);
    assert_eq!(args.api.url(), "http://plane:9080");
}
