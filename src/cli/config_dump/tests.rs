//! What a reader sees of a node's resources.

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::HttpProtocolOptions;
use envoy_types::pb::google::protobuf::Any;
use prost::Message;

use super::*;
use crate::cli::output::render;
use crate::snapshot::Kind;

fn resource(kind: Kind, name: &str, body: Option<Vec<u8>>) -> api::Resource {
    api::Resource {
        kind: kind.to_string(),
        name: name.to_owned(),
        version: "3PUMCo8cPmZ".to_owned(),
        body: body.map(|value| prost_types::Any {
            type_url: kind.type_url().to_owned(),
            value,
        }),
    }
}

fn config() -> Config {
    let options = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    let cluster = Cluster {
        name: "cds_egress_m_b_http_8080".to_owned(),
        typed_extension_protocol_options: [(
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions".to_owned(),
            Any {
                type_url: options.to_owned(),
                value: HttpProtocolOptions::default().encode_to_vec(),
            },
        )]
        .into(),
        ..Cluster::default()
    };
    let withheld = api::Resource {
        version: String::new(),
        ..resource(Kind::Endpoint, "cds_egress_m_b_http_8080", None)
    };
    let explicit = api::View {
        capture: "explicit".to_owned(),
        bind: "127.0.0.2".to_owned(),
        applications: [(8080, "127.0.0.1:9000".to_owned())].into(),
        client: "envoy".to_owned(),
    };
    let redirect = api::View {
        capture: "redirect".to_owned(),
        client: "envoy".to_owned(),
        ..api::View::default()
    };
    let view = |view, resources| api::ViewConfig {
        view: Some(view),
        resources,
    };
    GetConfigResponse {
        node: "mesh/m/virtualNode/a".to_owned(),
        views: vec![
            view(
                explicit,
                vec![
                    resource(Kind::Cluster, &cluster.name, Some(cluster.encode_to_vec())),
                    withheld,
                    resource(Kind::Secret, "tls", None),
                ],
            ),
            view(
                redirect,
                vec![resource(Kind::Route, "rds", Some(b"not a route".to_vec()))],
            ),
        ],
    }
    .into()
}

#[test]
fn json_expands_what_is_packed_and_says_why_something_is_missing() {
    insta::assert_snapshot!(render(Output::Json, &config(), table).unwrap());
}

#[test]
fn a_table_has_names_and_versions() {
    insta::assert_snapshot!(render(Output::Table, &config(), table).unwrap());
}

#[test]
fn yaml_says_the_same_as_json() {
    let yaml = render(Output::Yaml, &config(), table).unwrap();
    let read: Value = serde_saphyr::from_str(&yaml).unwrap();
    assert_eq!(read, serde_json::to_value(config()).unwrap());
}

#[test]
fn arguments_are_read() {
    #[derive(clap::Parser)]
    struct Command {
        #[command(flatten)]
        args: ConfigArgs,
    }
    let parse = |line: &str| <Command as clap::Parser>::try_parse_from(line.split(' '));
    let Command { args } = parse("config mesh/m/virtualNode/a -t cds,eds --type rds").unwrap();
    assert_eq!(args.types, ["cds", "eds", "rds"]);
    assert_eq!(
        args.output,
        Output::Json,
        "what is asked for is the exact resources"
    );
    assert!(parse("config mesh/m/virtualNode/a --type xds").is_err());
    assert!(parse("config").is_err());
}
