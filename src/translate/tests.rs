use std::fmt::Write as _;

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::fixture::translate;
use super::*;
use crate::snapshot::{Kind, descriptors};

/// Resources as JSON, one after another, for comparison with a committed file.
fn print(snapshot: &Snapshot, wanted: &[(Kind, &str)], problems: &[String]) -> String {
    let mut out = String::new();
    for (kind, name) in wanted {
        let resource = snapshot.get(*kind, name);
        let resource = resource.unwrap_or_else(|| panic!("no {kind} {name} in {snapshot:?}"));
        let json = descriptors::to_json(kind.type_url(), resource.body()).unwrap();
        let json = serde_json::to_string_pretty(&json).unwrap();
        writeln!(out, "# {kind} {name}\n{json}").unwrap();
    }
    for problem in problems {
        writeln!(out, "# {problem}").unwrap();
    }
    out
}

fn names(snapshot: &Snapshot, kind: Kind) -> Vec<String> {
    let resources = snapshot.resources(kind);
    resources
        .map(|resource| resource.name().to_string())
        .collect()
}

/// The five resources that the project began from: two nodes without listeners or backends, and a service.
fn first_mesh() -> Value {
    json!({
        "mesh": {"egressFilter": {"type": "ALLOW_ALL"}},
        "nodes": {
            "a": {"serviceDiscovery": {"dns": {"hostname": "service-a.local"}}},
            "b": {"serviceDiscovery": {"dns": {"hostname": "service-b.local"}}},
        },
        "services": {
            "service-a.local": {"provider": {"virtualNode": {"virtualNodeName": "a"}}},
            "service-b.local": {"provider": {"virtualNode": {"virtualNodeName": "b"}}},
        },
    })
}

#[test]
fn nodes_without_listeners_and_backends_reach_each_other() {
    let (snapshot, problems) = translate(&first_mesh(), "a");
    assert_eq!(
        names(&snapshot, Kind::Listener),
        ["lds_egress_127.0.0.2_15001", "lds_ingress_127.0.0.2_8080"]
    );
    assert_eq!(
        names(&snapshot, Kind::Cluster),
        [
            "cds_egress_m_a_http_8080",
            "cds_egress_m_b_http_8080",
            "cds_egress_m_mesh-allow-all",
            "cds_ingress_m_a_http_8080"
        ]
    );
    assert_snapshot!(print(
        &snapshot,
        &[
            (Kind::Cluster, "cds_egress_m_b_http_8080"),
            (Kind::Endpoint, "cds_egress_m_b_http_8080"),
            (Kind::Cluster, "cds_egress_m_mesh-allow-all"),
            (Kind::Cluster, "cds_ingress_m_a_http_8080"),
            (Kind::Listener, "lds_egress_127.0.0.2_15001"),
            (Kind::Listener, "lds_ingress_127.0.0.2_8080"),
            (Kind::Route, "rds_egress_http_15001"),
            (Kind::Route, "rds_ingress_http_8080"),
        ],
        &problems
    ));
}
