//! All that a target has, read at once.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::{Duration, Instant};

use outrigger::appmesh::client::TargetError;
use outrigger::appmesh::read::{Progress, Scope, read};
use outrigger::model::tags::Tags;
use outrigger::model::{MeshName, ResourceKind};
use serde_json::json;

use super::double::{Double, Reply};
use super::{client, every_kind, id};
use crate::appmesh::served::Served;

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_read_or_what_stands_in_some_meshes() {
    let served = Served::start(&[]).await;
    let client = client(&served.url()).await;
    let tags = Tags::from([("k".to_owned(), "v".to_owned())]);
    for (id, [spec, _]) in &every_kind() {
        let token = id.kind().to_string();
        client.create(id, spec, &tags, &token).await.unwrap();
    }
    for other in ["mesh/o", "mesh/o/virtualNode/n"] {
        let token = other.replace('/', "-");
        client
            .create(&id(other), &json!({}), &Tags::new(), &token)
            .await
            .unwrap();
    }
    let mut newest = Progress::default();
    let all = read(&client, &Scope::All, |progress| newest = progress)
        .await
        .unwrap();
    assert_eq!(all.resources.len(), 9);
    assert_eq!(newest, Progress { found: 9, read: 9 });
    assert_eq!(all.lacks, BTreeSet::new());
    for (id, [spec, _]) in &every_kind() {
        let held = &all.resources[id];
        assert_eq!((&held.spec, &held.tags), (spec, &tags), "{id}");
    }
    let only =
        |meshes: &[&str]| Scope::Named(meshes.iter().map(|mesh| MeshName::new(*mesh)).collect());
    let some = read(&client, &only(&["o", "not-there"]), |_| {})
        .await
        .unwrap();
    let ids: Vec<String> = some.resources.keys().map(ToString::to_string).collect();
    assert_eq!(ids, ["mesh/o", "mesh/o/virtualNode/n"]);
    assert_eq!(
        read(&client, &only(&["m"]), |_| {})
            .await
            .unwrap()
            .resources
            .len(),
        7
    );
}

/// A double that has one mesh, and of all that can stand in it virtual nodes only, of which one is gone once it is asked for.
#[tokio::test(flavor = "multi_thread")]
async fn what_vanishes_is_not_there_and_what_is_not_known_is_said() {
    let double = Double::by(|asked| {
        let path = asked.line.split(' ').nth(1).unwrap();
        let mesh =
            json!({ "arn": "arn:aws:appmesh:r:1:mesh/m", "createdAt": "01/02/2026, 00:00:00" });
        let ok = |json: serde_json::Value| Reply::Answer(200, None, json.to_string());
        match path.split('?').next().unwrap() {
            "/v20190125/meshes" => ok(json!({ "meshes": [{ "meshName": "m" }] })),
            "/v20190125/meshes/m" => ok(json!({ "meshName": "m", "spec": null, "metadata": mesh })),
            "/v20190125/tags" => ok(json!({ "tags": [{ "key": "k" }] })),
            "/v20190125/meshes/m/virtualNodes" => {
                ok(json!({ "virtualNodes": [{ "virtualNodeName": "gone" }] }))
            }
            "/v20190125/meshes/m/virtualNodes/gone" => {
                Reply::Answer(404, Some("NotFoundException"), "{}".to_owned())
            }
            _ => Reply::Answer(404, None, "<html>not here".to_owned()),
        }
    })
    .await;
    let target = read(&client(&double.url()).await, &Scope::All, |_| {})
        .await
        .unwrap();
    let ids: Vec<String> = target.resources.keys().map(ToString::to_string).collect();
    assert_eq!(ids, ["mesh/m"]);
    assert_eq!(target.resources[&id("mesh/m")].tags["k"], "");
    let lacks = [
        ResourceKind::VirtualService,
        ResourceKind::VirtualRouter,
        ResourceKind::VirtualGateway,
    ];
    assert_eq!(target.lacks, BTreeSet::from(lacks));
}

/// Half of a target is never taken for all of it.
#[tokio::test(flavor = "multi_thread")]
async fn one_list_that_fails_fails_it_all() {
    let double = Double::by(|asked| {
        if asked.line.contains("/virtualRouters") {
            return Reply::Answer(
                403,
                Some("ForbiddenException"),
                r#"{"message": "no"}"#.to_owned(),
            );
        }
        let metadata = json!({ "arn": "arn:aws:appmesh:r:1:mesh/m" });
        let mut answer = json!({ "meshName": "m", "metadata": metadata, "tags": [] });
        for list in ["virtualNodes", "virtualServices", "virtualGateways"] {
            answer[list] = json!([]);
        }
        answer["meshes"] = json!([{ "meshName": "m" }]);
        Reply::Answer(200, None, answer.to_string())
    })
    .await;
    let failed = read(&client(&double.url()).await, &Scope::All, |_| {}).await;
    assert!(
        matches!(failed, Err(TargetError::Refused { .. })),
        "{failed:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_resources_are_read_in_seconds() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mesh.yaml");
    let mut text = "{kind: Mesh, meshName: m}\n".to_owned();
    for number in 0..999 {
        writeln!(
            text,
            "---\n{{kind: VirtualNode, meshName: m, virtualNodeName: n{number}, tags: [{{key: k, value: v}}], spec: {{\
             serviceDiscovery: {{dns: {{hostname: n{number}.invalid}}}}, listeners: [{{portMapping: {{port: 80, protocol: \
             http}}}}]}}}}"
        )
        .unwrap();
    }
    std::fs::write(&file, text).unwrap();
    let served = Served::start(&["--mesh", file.to_str().unwrap()]).await;
    let client = client(&served.url()).await;
    let began = Instant::now();
    let target = read(&client, &Scope::All, |_| {}).await.unwrap();
    let took = began.elapsed();
    println!("1,000 resources read in {took:?}");
    assert_eq!(target.resources.len(), 1_000);
    assert!(took < Duration::from_secs(20), "{took:?}");
}
