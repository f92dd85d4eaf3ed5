//! Moto's double of App Mesh's API, which nobody here wrote.
//!
//! What it has: meshes, virtual nodes, virtual routers and routes, and their tags. What it has not, and what is therefore
//! not tried with it: virtual services, virtual gateways and gateway routes; ARNs of meshes in App Mesh's form
//! (`…:mesh/NAME`; it leaves `mesh/` out), times as numbers, an account as the owner, a uid of its own for each resource; it
//! answers null for members that nobody sent.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use outrigger::model::ResourceId;
use outrigger::model::tags::Tags;
use serde_json::{Value, json};

use super::{client, files, import, outrigger};
use crate::python::{moto_packages, script};

/// The server, which ends with its standard input.
struct Moto {
    url: String,
    child: Child,
}

impl Moto {
    fn start() -> Self {
        let mut child = Command::new("python3")
            .arg(script("import/moto_server.py"))
            .env("PYTHONPATH", moto_packages())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        said.read_line(&mut line).unwrap();
        let port: u16 = line.trim().parse().expect("a port");
        let url = format!("http://127.0.0.1:{port}");
        Self { url, child }
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// One resource of each kind that it knows, with what it keeps of their specs.
fn resources() -> [(&'static str, Value); 4] {
    let listener = json!({ "portMapping": { "port": 8080, "protocol": "http" } });
    let check = json!({
        "protocol": "http", "path": "/", "port": 8080, "healthyThreshold": 2, "unhealthyThreshold": 3,
        "timeoutMillis": 2000, "intervalMillis": 5000,
    });
    let mut checked = listener.clone();
    checked["healthCheck"] = check;
    [
        (
            "mesh/m",
            json!({ "egressFilter": { "type": "ALLOW_ALL" }, "serviceDiscovery": {} }),
        ),
        (
            "mesh/m/virtualNode/n",
            json!({
                "serviceDiscovery": { "dns": { "hostname": "n.invalid" } },
                "listeners": [checked],
                "backends": [{ "virtualService": { "virtualServiceName": "s.local" } }],
            }),
        ),
        ("mesh/m/virtualRouter/r", json!({ "listeners": [listener] })),
        (
            "mesh/m/virtualRouter/r/route/x",
            json!({
                "priority": 3,
                "httpRoute": {
                    "match": { "prefix": "/", "headers": [{ "name": "h", "invert": false, "match": { "exact": "v" } }] },
                    "action": { "weightedTargets": [{ "virtualNode": "n", "weight": 7 }] },
                },
            }),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_independent_double_has_is_imported() {
    let moto = Moto::start();
    let client = client(&moto.url).await;
    let tags = Tags::from([("team".to_owned(), "a b".to_owned())]);
    let made = resources();
    for (path, spec) in &made {
        let id = ResourceId::parse(path).unwrap();
        client.create(&id, spec, &tags, "t").await.unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let said = import(
        at,
        &moto.url,
        &["--output", "mesh", "--region", "us-east-1"],
    );
    assert!(said.contains("`mesh/m.yaml` has 4 resources"), "{said}");
    assert!(
        said.contains("--account-id 123456789012 --region us-east-1"),
        "{said}"
    );
    assert!(
        said.contains("does not know VirtualService, VirtualGateway"),
        "{said}"
    );
    let text = &files(&at.join("mesh"))["m.yaml"];
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).unwrap();
    for (document, (path, spec)) in documents.iter().zip(&made) {
        assert_eq!(&document["spec"], spec, "{path}");
        assert_eq!(
            document["tags"],
            json!([{ "key": "team", "value": "a b" }]),
            "{path}"
        );
    }
    assert_eq!(documents.len(), made.len());
    let (code, said) = outrigger(at, &["validate", "mesh"]);
    assert_eq!(code, 0, "{said}");
    // A store takes them too; where the double says nothing that is a time, it was now.
    let said = import(
        at,
        &moto.url,
        &["--data-dir", "data", "--region", "us-east-1"],
    );
    assert!(said.contains("has 4 resources at revision 1"), "{said}");
    let (code, said) = outrigger(at, &["store", "check", "--data-dir", "data"]);
    assert_eq!(code, 0, "{said}");
}
