//! The resources: a mesh of services, each with a virtual node that DNS finds, a virtual router and a route.

use std::fmt::Write;
use std::ops::Range;
use std::path::Path;

use bytes::Bytes;
use hyper::Method;
use serde_json::{Value, json};

use crate::calls::Call;

/// Where virtual nodes are listed.
pub(crate) const NODES: &str = "/v20190125/meshes/m/virtualNodes";
/// Backends of a node. The last ones name services that are not there.
const BACKENDS: usize = 3;
const DOCUMENTS_A_FILE: usize = 100;

/// One resource.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    /// Those of one phase need nothing of each other.
    pub(crate) phase: u8,
    kind: &'static str,
    collection: String,
    /// The member that names it, and the name.
    name: (&'static str, String),
    spec: Value,
}

impl Part {
    pub(crate) fn is_node(&self) -> bool {
        self.kind == "VirtualNode"
    }

    fn path(&self) -> String {
        format!("{}/{}", self.collection, self.name.1)
    }

    pub(crate) fn create(&self) -> Call {
        let (member, name) = &self.name;
        let tags = json!([{ "key": "team", "value": "search" }, { "key": "stage", "value": "production" }]);
        let token = format!("{}-{}", self.kind, name.replace('.', "-"));
        let body = json!({ *member: name, "spec": self.spec, "tags": tags, "clientToken": token });
        Call {
            method: Method::PUT,
            path: self.collection.clone(),
            body: Bytes::from(body.to_string()),
        }
    }

    /// Another port: something that others depend on.
    pub(crate) fn update(&self) -> Call {
        let mut spec = self.spec.clone();
        spec["listeners"][0]["portMapping"]["port"] = 9090.into();
        Call {
            method: Method::PUT,
            path: self.path(),
            body: Bytes::from(json!({ "spec": spec }).to_string()),
        }
    }

    pub(crate) fn describe(&self) -> Call {
        Call::get(self.path())
    }

    pub(crate) fn delete(&self) -> Call {
        Call {
            method: Method::DELETE,
            ..self.describe()
        }
    }

    /// As mesh files have it.
    fn document(&self) -> Value {
        let (member, name) = &self.name;
        let mut document =
            json!({ "kind": self.kind, "meshName": "m", *member: name, "spec": self.spec });
        if self.kind == "Route" {
            document["virtualRouterName"] = name.replace("route", "router").into();
        }
        document
    }
}

/// These of all resources, by phase.
pub(crate) fn parts(wanted: Range<usize>) -> Vec<Part> {
    let mesh = Part {
        phase: 0,
        kind: "Mesh",
        collection: "/v20190125/meshes".to_owned(),
        name: ("meshName", "m".to_owned()),
        spec: json!({ "egressFilter": { "type": "ALLOW_ALL" } }),
    };
    let services = (0..).flat_map(service);
    let all = std::iter::once(mesh).chain(services);
    let mut parts: Vec<Part> = all.skip(wanted.start).take(wanted.len()).collect();
    parts.sort_by_key(|part| part.phase);
    parts
}

pub(crate) fn hostname(node: usize) -> String {
    format!("node-{node}.bench.test")
}

/// A service with what provides it; the node of the one before, which is there whenever this one is, gets a tenth of its calls.
fn service(index: usize) -> [Part; 4] {
    let part = |phase, kind, collection: &str, name, spec| Part {
        phase,
        kind,
        collection: format!("/v20190125/meshes/m/{collection}"),
        name,
        spec,
    };
    let port = json!({ "port": 8080, "protocol": "http" });
    let retry = json!({
        "maxRetries": 3, "perRetryTimeout": { "unit": "s", "value": 2 }, "httpRetryEvents": ["server-error", "gateway-error"],
    });
    let target = |node: usize, weight: u32| json!({ "virtualNode": format!("node-{node}"), "weight": weight });
    let targets = [target(index, 90), target(index.saturating_sub(1), 10)];
    let targets = if index == 0 { &targets[..1] } else { &targets };
    let route = json!({ "httpRoute": {
        "match": { "prefix": "/" }, "action": { "weightedTargets": targets }, "retryPolicy": retry,
    } });
    let router = format!("router-{index}");
    let provider = json!({ "provider": { "virtualRouter": { "virtualRouterName": router } } });
    [
        part(
            1,
            "VirtualNode",
            "virtualNodes",
            ("virtualNodeName", format!("node-{index}")),
            node(index, &port),
        ),
        part(
            1,
            "VirtualRouter",
            "virtualRouters",
            ("virtualRouterName", router.clone()),
            json!({ "listeners": [{ "portMapping": port }] }),
        ),
        part(
            2,
            "Route",
            &format!("virtualRouter/{router}/routes"),
            ("routeName", format!("route-{index}")),
            route,
        ),
        part(
            2,
            "VirtualService",
            "virtualServices",
            ("virtualServiceName", format!("service-{index}.mesh")),
            provider,
        ),
    ]
}

/// What a virtual node says: the next services are its backends.
fn node(index: usize, port: &Value) -> Value {
    let backends = (1..=BACKENDS).map(|next| format!("service-{}.mesh", index + next));
    let backends: Vec<Value> = backends
        .map(|name| json!({ "virtualService": { "virtualServiceName": name } }))
        .collect();
    json!({
        "serviceDiscovery": { "dns": { "hostname": hostname(index) } },
        "listeners": [{
            "portMapping": port,
            "healthCheck": {
                "protocol": "http", "path": "/health", "healthyThreshold": 2, "unhealthyThreshold": 3,
                "intervalMillis": 5000, "timeoutMillis": 2000,
            },
            "timeout": { "http": { "perRequest": { "unit": "s", "value": 15 } } },
        }],
        "backends": backends,
        "logging": { "accessLog": { "file": { "path": "/dev/stdout" } } },
    })
}

/// A folder of mesh files.
pub(crate) fn write_files(folder: &Path, count: usize) {
    std::fs::create_dir_all(folder).unwrap();
    for (number, parts) in parts(0..count).chunks(DOCUMENTS_A_FILE).enumerate() {
        let mut text = String::new();
        for part in parts {
            write!(text, "---\n{}\n", part.document()).unwrap();
        }
        std::fs::write(folder.join(format!("{number}.yaml")), text).unwrap();
    }
}
