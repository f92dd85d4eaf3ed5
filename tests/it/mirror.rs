//! App Mesh's API as a client calls it that keeps a copy of a mesh: another Outrigger, and servers that are none.

mod changes;
mod client;
mod command;
mod double;
mod faults;
mod follow;
mod outage;
mod pair;
mod proxy;
mod random;
mod read;
mod standing;
mod sync;
mod trouble;
mod whose;

use std::num::NonZeroU32;
use std::time::Duration;

use outrigger::appmesh::client::{Client, KeySource, TargetOptions};
use outrigger::model::ResourceId;
use serde_json::{Value, json};

pub(crate) fn id(path: &str) -> ResourceId {
    ResourceId::parse(path).unwrap()
}

/// Of a virtual node.
fn spec(hostname: &str) -> Value {
    json!({ "serviceDiscovery": { "dns": { "hostname": hostname } },
            "listeners": [{ "portMapping": { "port": 80, "protocol": "http" } }] })
}

/// A client of a target that asks for no credentials, with little patience.
async fn client(endpoint: &str) -> Client {
    with_key(endpoint, "any", "any").await
}

async fn with_key(endpoint: &str, key: &str, secret: &str) -> Client {
    let mut options = TargetOptions::new(endpoint);
    options.keys = KeySource::Key {
        id: key.to_owned(),
        secret: secret.to_owned(),
    };
    options.patience = Duration::from_secs(20);
    Client::connect(options).await.unwrap()
}

/// One resource of each kind, in an order in which they can be made, each with a spec and another that it can have later.
fn every_kind() -> Vec<(ResourceId, [Value; 2])> {
    let listeners = |port: u16| json!([{ "portMapping": { "port": port, "protocol": "http" } }]);
    let node = |port: u16| {
        json!({
            "serviceDiscovery": { "dns": { "hostname": "a.invalid" } },
            "listeners": listeners(port),
            "backends": [],
        })
    };
    let route = |weight: u32| {
        let targets = json!([{ "virtualNode": "n", "weight": weight }]);
        json!({
            "priority": 0,
            "httpRoute": { "match": { "prefix": "/" }, "action": { "weightedTargets": targets } },
        })
    };
    let gateway_route = |prefix: &str| {
        let service = json!({ "virtualServiceName": SERVICE });
        json!({ "httpRoute": {
            "match": { "prefix": prefix },
            "action": { "target": { "virtualService": service } },
        } })
    };
    let filter = |kind: &str| json!({ "egressFilter": { "type": kind } });
    let provider = json!({ "provider": { "virtualRouter": { "virtualRouterName": "r" } } });
    vec![
        (id("mesh/m"), [filter("DROP_ALL"), filter("ALLOW_ALL")]),
        (id("mesh/m/virtualNode/n"), [node(8080), node(8081)]),
        (
            id("mesh/m/virtualRouter/r"),
            [8080, 8081].map(|port| json!({ "listeners": listeners(port) })),
        ),
        (id("mesh/m/virtualRouter/r/route/x"), [route(1), route(2)]),
        (
            id(&format!("mesh/m/virtualService/{SERVICE}")),
            [
                provider,
                json!({ "provider": { "virtualNode": { "virtualNodeName": "n" } } }),
            ],
        ),
        (
            id("mesh/m/virtualGateway/g"),
            [8088, 8089].map(|port| json!({ "listeners": listeners(port) })),
        ),
        (
            id("mesh/m/virtualGateway/g/gatewayRoute/x"),
            [gateway_route("/"), gateway_route("/a")],
        ),
    ]
}

/// A name that needs encoding: once in the path, once more where it is signed.
const SERVICE: &str = "s.m.local:80+a&b=%20?#";

fn calls_a_second(calls: u32) -> Option<NonZeroU32> {
    NonZeroU32::new(calls)
}
