//! A data folder that can be written no longer: a real `serve` refuses changes, and goes on with all else.

use std::path::Path;
use std::process::Command;

use envoy_types::pb::envoy::service::discovery::v3::DiscoveryResponse;
use serde_json::{Value, json};

use crate::appmesh::{MESHES, served::Served};
use crate::hostile::{first_requests, sidecar};
use crate::raw::Raw;

/// A file that nobody can write, root and whoever has it open included.
struct Protected<'a>(&'a Path);

impl<'a> Protected<'a> {
    fn new(file: &'a Path) -> Self {
        let protected = Self(file);
        protected.chattr("+i");
        protected
    }

    fn chattr(&self, change: &str) {
        let ran = Command::new("chattr").arg(change).arg(self.0).output();
        let ran = ran.expect("`chattr` of the package e2fsprogs");
        assert!(
            ran.status.success(),
            "protecting a file needs root, as these tests do: {ran:?}"
        );
    }
}

impl Drop for Protected<'_> {
    fn drop(&mut self) {
        self.chattr("-i");
    }
}

fn xds(served: &Served) -> std::net::SocketAddr {
    let log = std::fs::read_to_string(served.log()).unwrap();
    let address = log.lines().find_map(|line| {
        let line: Value = serde_json::from_str(line).ok()?;
        line.get("xds")?.as_str()?.parse().ok()
    });
    address.unwrap()
}

/// The clusters that a new sidecar gets.
async fn clusters(served: &Served) -> usize {
    let [(path, first), _] = first_requests(Some(&sidecar("mesh/m/virtualNode/n")));
    let mut stream = Raw::open(xds(served), path).await;
    stream.send_bytes(first).await;
    let answer: DiscoveryResponse = stream.message().await;
    answer.resources.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_write_protected_costs_writes_and_nothing_else() {
    let served = Served::start(&[]).await;
    served.put(MESHES, &json!({"meshName": "m"})).await.ok();
    let nodes = format!("{MESHES}/m/virtualNodes");
    let node = |name: &str| {
        json!({
            "virtualNodeName": name,
            "spec": {
                "serviceDiscovery": {"dns": {"hostname": "a.invalid"}},
                "listeners": [{"portMapping": {"port": 8080, "protocol": "http"}}],
            },
        })
    };
    served.put(&nodes, &node("n")).await.ok();
    let before = served.get("/outrigger/v1/resources").await.ok();
    let served_before = clusters(&served).await;
    assert!(served_before > 0);

    let file = served.folder.path().join("data/mesh.redb");
    let protected = Protected::new(&file);
    for _ in 0..2 {
        for answer in [
            served.put(&nodes, &node("refused")).await,
            served.delete(&format!("{nodes}/n")).await,
        ] {
            let (name, message) = answer.error();
            assert_eq!(name, "ServiceUnavailableException", "{message}");
            assert_eq!(answer.header("retry-after"), "1");
        }
    }
    assert_eq!(served.get("/outrigger/v1/resources").await.ok(), before);
    assert_eq!(clusters(&served).await, served_before);
    drop(protected);

    served.put(&nodes, &node("at-last")).await.ok();
    served.delete(&format!("{nodes}/n")).await.ok();
    let (name, _) = served.get(&format!("{nodes}/refused")).await.error();
    assert_eq!(name, "NotFoundException");
}

const TAGGED: &str = "\
kind: Mesh
meshName: m
tags:
- key: team
  value: VALUE
";

#[tokio::test(flavor = "multi_thread")]
async fn tags_of_mesh_files_are_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mesh.yaml");
    std::fs::write(&file, TAGGED.replace("VALUE", "a")).unwrap();
    let served = Served::start(&["--mesh", file.to_str().unwrap()]).await;
    let arn = "arn:aws:appmesh:us-east-1:000000000000:mesh/m";
    let path = format!("/v20190125/tags?resourceArn={arn}");
    let shown = |value: &str| json!({"tags": [{"key": "team", "value": value}]});
    assert_eq!(served.get(&path).await.ok(), shown("a"));
    std::fs::write(&file, TAGGED.replace("VALUE", "b")).unwrap();
    crate::world::eventually("the new tag", crate::world::PATIENCE, async || {
        (served.get(&path).await.ok() == shown("b")).then_some(())
    })
    .await;
    let mesh = served.get(&format!("{MESHES}/m")).await.ok();
    assert_eq!(mesh["metadata"]["version"], 1);
}
