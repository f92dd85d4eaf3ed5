//! What is printed, and that it can be read again.

use std::time::{Duration, UNIX_EPOCH};

use serde_json::json;

use super::*;
use crate::files::parse;

fn listing() -> Listing {
    Listing::read(json!({ "resources": [
        { "kind": "Mesh", "meshName": "m", "spec": {}, "metadata": { "version": 1, "createdAt": 1000.0 } },
        { "kind": "VirtualNode", "meshName": "m", "virtualNodeName": "n",
          "spec": { "serviceDiscovery": { "dns": { "hostname": "yes" } },
                    "listeners": [{ "portMapping": { "port": 8080, "protocol": "http" } }] },
          "metadata": { "version": 12, "createdAt": 4000.5 },
          "tags": { "env": "true", "outrigger:applied-by": "default" },
          "owner": { "file": "mesh/a.yaml", "line": 3 } },
        { "kind": "Route", "meshName": "m", "virtualRouterName": "r", "routeName": "x",
          "spec": { "httpRoute": { "match": { "prefix": "/" },
                                   "action": { "weightedTargets": [{ "virtualNode": "n", "weight": 1 }] } } },
          "metadata": { "version": 1, "createdAt": 4600.0 } },
    ]}))
    .unwrap()
}

fn printed(output: Output, kind: Option<ResourceKind>) -> String {
    let listing = listing();
    let ids = select::find(&listing, kind, None, None);
    let found: Vec<&Remote> = ids.iter().map(|id| &listing.resources[id]).collect();
    print(output, kind, &found, UNIX_EPOCH + Duration::from_secs(4630)).unwrap()
}

#[test]
fn tables_have_the_columns_that_matter() {
    let all = [
        printed(Output::Table, None),
        printed(Output::Table, Some(ResourceKind::VirtualNode)),
        printed(Output::Table, Some(ResourceKind::Route)),
        printed(Output::Table, Some(ResourceKind::Mesh)),
        printed(Output::Table, Some(ResourceKind::VirtualGateway)),
    ];
    insta::with_settings!({omit_expression => true}, {
        insta::assert_snapshot!("tables", all.join("\n"));
    });
}

#[test]
fn yaml_is_a_mesh_file_without_what_is_our_own() {
    let yaml = printed(Output::Yaml, None);
    insta::with_settings!({omit_expression => true}, {
        insta::assert_snapshot!("mesh_file", yaml);
    });
    let (documents, problems) = parse(&yaml);
    assert_eq!(problems, []);
    let listing = listing();
    for (document, remote) in documents.iter().zip(listing.resources.values()) {
        let read = schema::read(document);
        assert_eq!(read.problems, []);
        assert_eq!(read.resource, remote.resource);
    }
    assert_eq!(documents.len(), 3);
}

#[test]
fn json_is_a_list_of_the_same_documents() {
    let list: Vec<Value> = serde_json::from_str(&printed(Output::Json, None)).unwrap();
    assert_eq!(list[1]["virtualNodeName"], "n");
    assert_eq!(list[1]["tags"], json!([{ "key": "env", "value": "true" }]));
    assert_eq!(list[2]["virtualRouterName"], "r");
    assert_eq!(list.len(), 3);
}

#[test]
fn an_unknown_name_says_which_there_are() {
    let kind = Some(ResourceKind::VirtualNode);
    let error = unknown(&listing(), kind, "nn", Some("m"));
    assert_eq!(
        error.text(),
        "error: there is no VirtualNode `nn` in mesh m\n  help: some that there are: n\n"
    );
}
