//! The client status service as standard tools ask it, about a real Envoy and a real gRPC client.

use outrigger::envoy::bootstrap::XdsProtocol;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::continuity::{A, TTL, listener, mesh, node, service};
use crate::grpc_proxyless::{Client, WHO};
use crate::python;
use crate::world::{PATIENCE, World, eventually};

#[derive(Clone, Debug, Deserialize, PartialEq)]
struct Told {
    node: String,
    agent: String,
    resources: Vec<Resource>,
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
struct Resource {
    #[serde(rename = "type")]
    kind: String,
    name: String,
    version: String,
    bytes: usize,
    status: String,
    client: String,
    error: String,
}

impl Told {
    #[track_caller]
    fn resource(&self, name: &str) -> &Resource {
        let mut resources = self.resources.iter();
        resources
            .find(|resource| resource.name == name)
            .unwrap_or_else(|| panic!("no {name}: {self:?}"))
    }

    fn has_only(&self, statuses: &[&str]) -> bool {
        self.resources
            .iter()
            .all(|resource| statuses.contains(&resource.status.as_str()))
    }
}

/// What the service says, by its two methods alike.
async fn ask(world: &World, request: Value) -> Result<Vec<Told>, String> {
    let output = Command::new("python3")
        .arg(python::script("csds/client.py"))
        .args([world.at(1, 18000).to_string(), request.to_string()])
        .env("PYTHONPATH", python::packages())
        .output()
        .await
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said["fetched"], said["streamed"]);
    match said["fetched"]["error"].as_str() {
        Some(error) => Err(error.to_owned()),
        None => Ok(serde_json::from_value(said["fetched"]["clients"].clone()).unwrap()),
    }
}

/// A world with two clients of one node.
struct Clients {
    world: World,
    /// The listener of its node's port was rejected, for the port is taken.
    envoy: Told,
    /// It dialled a service that there is and one that there is not.
    grpc: Told,
}

/// Both clients, once the Envoy has said all that it has to.
async fn both(world: &World) -> (Told, Told) {
    eventually("both clients are told of", PATIENCE, async || {
        let told = ask(world, json!({})).await.unwrap();
        let [one, other] = told.as_slice() else {
            return None;
        };
        let (envoy, grpc) = match one.agent.as_str() {
            "envoy" => (one, other),
            _ => (other, one),
        };
        let has_rejected = envoy
            .resources
            .iter()
            .any(|resource| !resource.error.is_empty());
        let settled = has_rejected && envoy.has_only(&["SYNCED", "ERROR"]);
        settled.then(|| (envoy.clone(), grpc.clone()))
    })
    .await
}

/// Asks about the clients, and goes on with `look` while they are connected.
async fn with_clients(look: impl AsyncFnOnce(Clients)) {
    let mut world = World::new().await;
    world.zone.set("service-a.local", TTL, vec![world.ip(2)]);
    world.zone.set("service-b.local", TTL, vec![world.ip(9)]);
    let nodes = [
        node(
            "serviceANode",
            "service-a.local",
            &listener(8080, "http", ""),
        ),
        node(
            "serviceBNode",
            "service-b.local",
            &listener(8080, "grpc", ""),
        ),
        service("service-b.local", "serviceBNode"),
    ];
    world.serve(&mesh("ALLOW_ALL", &nodes)).await;
    let _taken = tokio::net::TcpListener::bind(world.at(2, 8080))
        .await
        .unwrap();
    let _envoy = world.start_sidecar(A, 2, XdsProtocol::Delta);
    let mut client = Client::start(&world, A);
    // Nobody is behind the service; the client has its configuration all the same.
    client.call("service-b.local", WHO, 1);
    client.run(&json!({"target": "xds:///nope.local", "method": WHO, "calls": 1, "timeout": 1}));
    let (envoy, grpc) = both(&world).await;
    look(Clients { world, envoy, grpc }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn standard_tools_see_how_each_client_stands() {
    with_clients(async |clients| {
        let Clients { envoy, grpc, .. } = clients;
        let mut rejected = envoy
            .resources
            .iter()
            .filter(|resource| resource.status == "ERROR");
        let listener = rejected.next().unwrap();
        assert_eq!(
            (listener.kind.as_str(), listener.client.as_str()),
            ("Listener", "NACKED")
        );
        assert!(
            listener.error.contains("Address already in use"),
            "{listener:?}"
        );
        assert_eq!(rejected.next(), None);
        let cluster = envoy.resource("cds_egress_appMesh_serviceBNode_grpc_8080");
        assert_eq!(
            (cluster.status.as_str(), cluster.client.as_str()),
            ("SYNCED", "ACKED")
        );
        assert!(cluster.bytes > 0 && !cluster.version.is_empty());

        assert!(grpc.agent.starts_with("gRPC"), "{grpc:?}");
        assert_eq!(grpc.resource("service-b.local").status, "SYNCED");
        let unknown = grpc.resource("nope.local");
        let status = (unknown.status.as_str(), unknown.client.as_str());
        assert_eq!(status, ("NOT_SENT", "DOES_NOT_EXIST"));
        // It is told what the client asked for, not all that there is.
        let listeners = grpc
            .resources
            .iter()
            .filter(|resource| resource.kind == "Listener");
        assert_eq!(listeners.count(), 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn standard_tools_say_which_clients_they_mean() {
    with_clients(async |clients| {
        let world = &clients.world;
        let told = ask(world, json!({
            "nodeMatchers": [{"nodeId": {"suffix": "/serviceANode"}}], "excludeResourceContents": true,
        }))
        .await
        .unwrap();
        assert_eq!(told.len(), 2);
        let mut resources = told.iter().flat_map(|client| &client.resources);
        assert!(resources.all(|resource| resource.bytes == 0));
        let other = json!({"nodeMatchers": [{"nodeId": {"exact": "mesh/appMesh/virtualNode/other"}}]});
        assert_eq!(ask(world, other).await, Ok(Vec::new()));
        let regex = json!({"nodeMatchers": [{"nodeId": {"safeRegex": {"regex": ".*"}}}]});
        let refused = ask(world, regex).await.unwrap_err();
        assert!(refused.starts_with("INVALID_ARGUMENT: "), "{refused}");
    })
    .await;
}
