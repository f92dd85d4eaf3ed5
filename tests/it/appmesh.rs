//! App Mesh's management API of a real `serve`, as its clients use it: AWS's SDK for Python, its SDK for Rust, and requests
//! that no SDK would send.

mod boto;
mod hostile;
mod lists;
mod owners;
mod refusals;
mod sdk;
pub(crate) mod served;
mod terraform;

use serde_json::{Value, json};

use served::Served;

pub(crate) const MESHES: &str = "/v20190125/meshes";
const NODES: &str = "/v20190125/meshes/m/virtualNodes";

fn node_spec(port: u16) -> Value {
    json!({
        "serviceDiscovery": {"dns": {"hostname": "a.invalid"}},
        "listeners": [{"portMapping": {"port": port, "protocol": "http"}}],
    })
}

fn node(name: &str) -> Value {
    json!({"virtualNodeName": name, "spec": node_spec(8080)})
}

/// A control plane with a mesh `m`.
async fn with_mesh(args: &[&str]) -> Served {
    let served = Served::start(args).await;
    served.put(MESHES, &json!({"meshName": "m"})).await.ok();
    served
}
