//! Resources of mesh files: the API shows them and changes none.

use serde_json::json;

use super::served::Served;
use super::{MESHES, NODES, node};

const FILE: &str = "\
kind: Mesh
meshName: m
---
kind: VirtualNode
meshName: m
virtualNodeName: declared
spec: {}
";

#[tokio::test(flavor = "multi_thread")]
async fn what_a_file_declares_is_shown_and_is_changed_there_only() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mesh.yaml");
    std::fs::write(&file, FILE).unwrap();
    let served = Served::start(&["--mesh", file.to_str().unwrap()]).await;
    let path = format!("{NODES}/declared");
    let shown = served.get(&path).await.ok();
    assert_eq!(shown["metadata"]["version"], 1, "{shown}");
    let arn = shown["metadata"]["arn"].as_str().unwrap();
    let everything = served.get("/outrigger/v1/resources").await.ok();
    let owner = &everything["resources"][1]["owner"];
    assert_eq!(*owner, json!({"file": file.to_str().unwrap(), "line": 4}));

    let place = format!("`{}`, line 4", file.display());
    let tag = format!("/v20190125/tag?resourceArn={arn}");
    let untag = format!("/v20190125/untag?resourceArn={arn}");
    let listener = json!({"spec": {"backends": []}});
    for answer in [
        served.put(&path, &listener).await,
        served.put(NODES, &node("declared")).await,
        served.delete(&path).await,
        served.put(&tag, &json!({"tags": [{"key": "a"}]})).await,
        served.put(&untag, &json!({"tagKeys": ["a"]})).await,
    ] {
        let (name, message) = answer.error();
        assert_eq!(name, "ConflictException");
        assert!(message.contains(&place), "{message}");
    }
    let (name, message) = served.delete(&format!("{MESHES}/m")).await.error();
    assert_eq!(name, "ConflictException", "{message}");
    // Beside them the API has its own.
    served.put(NODES, &node("own")).await.ok();
    served.delete(&format!("{NODES}/own")).await.ok();
    assert_eq!(served.get(&path).await.ok(), shown);
}
