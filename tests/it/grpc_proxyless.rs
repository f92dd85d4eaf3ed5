//! A real gRPC client without a proxy (the C core, by way of Python), and real gRPC servers behind the mesh's names.

mod routes;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use outrigger::envoy::child::{Child, ChildCommand};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::continuity::{A, TTL, listener, mesh, node, service, split};
use crate::python;
use crate::world::{OUTRIGGER, PATIENCE, World, eventually};

/// The C core waits this long before it takes it that what it asked for does not exist.
const DOES_NOT_EXIST: Duration = Duration::from_secs(15);
pub(crate) const WHO: &str = "/demo.Echo/Who";

/// What came of some calls.
#[derive(Debug, Deserialize)]
pub(crate) struct Outcome {
    answers: BTreeMap<String, u64>,
    errors: BTreeMap<String, u64>,
    /// Seconds for all of them.
    took: f64,
}

impl Outcome {
    /// Who answered, if every call was.
    #[track_caller]
    fn who(&self) -> Vec<&str> {
        assert!(self.errors.is_empty(), "{self:?}");
        self.answers.keys().map(String::as_str).collect()
    }

    #[track_caller]
    fn only_error(&self) -> &str {
        assert!(
            self.answers.is_empty() && self.errors.len() == 1,
            "{self:?}"
        );
        self.errors.keys().next().unwrap()
    }
}

/// The client, in a process of its own, which ends when its input does.
pub(crate) struct Client {
    process: std::process::Child,
    outcomes: BufReader<std::process::ChildStdout>,
}

impl Client {
    /// A client of this node, with the bootstrap that `outrigger bootstrap` prints.
    pub(crate) fn start(world: &World, node: &str) -> Self {
        let printed = Command::new(OUTRIGGER)
            .args(["bootstrap", node, "--client", "grpc", "--xds-addr"])
            .arg(world.at(1, 18000).to_string())
            .output()
            .unwrap();
        assert!(printed.status.success(), "{printed:?}");
        let log = std::fs::File::create(world.folder.path().join("grpc-client.log")).unwrap();
        let mut process = Command::new("python3")
            .arg(python::script("grpc_proxyless/client.py"))
            .env("PYTHONPATH", python::packages())
            .env(
                "GRPC_XDS_BOOTSTRAP_CONFIG",
                String::from_utf8(printed.stdout).unwrap(),
            )
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let outcomes = BufReader::new(process.stdout.take().unwrap());
        Self { process, outcomes }
    }

    /// Calls one after the other, on the one channel that the target has.
    pub(crate) fn run(&mut self, job: &Value) -> Outcome {
        let mut input = self.process.stdin.as_ref().unwrap();
        writeln!(input, "{job}").unwrap();
        let mut line = String::new();
        tokio::task::block_in_place(|| self.outcomes.read_line(&mut line).unwrap());
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{job}: {line:?}: {error}"))
    }

    pub(crate) fn call(&mut self, target: &str, method: &str, calls: u64) -> Outcome {
        let target = format!("xds:///{target}");
        self.run(&json!({"target": target, "method": method, "calls": calls, "timeout": 10}))
    }

    /// Calls until only these answer. Not one call may fail meanwhile.
    async fn until(&mut self, target: &str, names: &[&str]) {
        eventually(
            &format!("{target} is answered by {names:?}"),
            PATIENCE,
            async || {
                let outcome = self.call(target, WHO, 40);
                (outcome.who() == names).then_some(())
            },
        )
        .await;
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// A gRPC server that answers; dropped, it is killed.
async fn serve(world: &World, address: SocketAddr, name: &str) -> Child {
    let log = world
        .folder
        .path()
        .join(format!("grpc-server-{address}.log"));
    let mut child = ChildCommand::new(OUTRIGGER, "env")
        .arg(format!("PYTHONPATH={}", python::packages().display()))
        .arg("python3")
        .arg(python::script("grpc_proxyless/server.py"))
        .args([&address.to_string(), name])
        .spawn(name, &log)
        .unwrap();
    eventually("the gRPC server listens", PATIENCE, async || {
        assert!(child.ended().is_none(), "{:?}", child.last_lines(9));
        TcpStream::connect(address).await.ok().map(drop)
    })
    .await;
    child
}

/// A server for each of the nodes.
async fn serve_both(world: &World) -> [Child; 2] {
    [
        serve(world, world.at(11, 8080), "one").await,
        serve(world, world.at(12, 8080), "two").await,
    ]
}

/// A caller, and two nodes that speak gRPC on port 8080.
fn nodes() -> Vec<String> {
    let grpc = listener(8080, "grpc", "");
    vec![
        node("serviceANode", "service-a.local", &grpc),
        node("one", "one.local", &grpc),
        node("two", "two.local", &grpc),
    ]
}

fn with(more: &[String]) -> String {
    mesh("ALLOW_ALL", &[&nodes(), more].concat())
}

/// `service-b.local` through a router, whose weights are these.
fn weights(one: u32, two: u32) -> String {
    let split = split(
        "service-b.local",
        8080,
        "grpc",
        &[("one", one), ("two", two)],
    );
    with(&[split.replace("match: { prefix: / }", "match: {}")])
}

/// A world in which `one` and `two` have an address each, and a client of `serviceANode`.
async fn world(mesh: &str) -> (World, Client) {
    let mut world = World::new().await;
    world.zone.set("service-a.local", TTL, vec![world.ip(2)]);
    world.zone.set("one.local", TTL, vec![world.ip(11)]);
    world.zone.set("two.local", TTL, vec![world.ip(12)]);
    world.serve(mesh).await;
    let client = Client::start(&world, A);
    (world, client)
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_follow_the_weights_and_none_is_lost() {
    let (world, mut client) = world(&weights(100, 0)).await;
    let _both = serve_both(&world).await;
    // The port may be part of the target, or not.
    for target in ["service-b.local", "service-b.local:8080"] {
        assert_eq!(client.call(target, WHO, 20).who(), ["one"]);
    }
    for (mesh, names) in [
        (weights(0, 100), &["two"][..]),
        (weights(50, 50), &["one", "two"]),
        (weights(100, 0), &["one"]),
    ] {
        world.write_mesh(&mesh);
        for target in ["service-b.local", "service-b.local:8080"] {
            client.until(target, names).await;
        }
    }
    let shown = &world.clients().await[0];
    assert_eq!(shown.view.as_ref().unwrap().client, "grpc");
    for kind in &shown.kinds {
        assert!(kind.rejections.is_empty(), "{shown:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_dies_or_leaves_the_zone_is_left() {
    let (world, mut client) = world(&with(&[service("service-b.local", "one")])).await;
    let both = vec![world.ip(11), world.ip(12)];
    world.zone.set("one.local", TTL, both.clone());
    let mut one = serve(&world, world.at(11, 8080), "one").await;
    let two = serve(&world, world.at(12, 8080), "two").await;
    client.until("service-b.local", &["one", "two"]).await;
    // It dies, and is known to DNS still: what it had not answered is tried again elsewhere.
    one.kill().await.unwrap();
    client.until("service-b.local", &["two"]).await;
    one = serve(&world, world.at(11, 8080), "one").await;
    client.until("service-b.local", &["one", "two"]).await;
    // It leaves the zone, and lives.
    world.zone.set("one.local", TTL, vec![world.ip(12)]);
    client.until("service-b.local", &["two"]).await;
    world.zone.set("one.local", TTL, both);
    client.until("service-b.local", &["one", "two"]).await;
    drop((one, two));
    let outcome = client.call("service-b.local", WHO, 1);
    assert!(
        outcome.only_error().starts_with("UNAVAILABLE: "),
        "{outcome:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_does_not_exist_fails_its_calls_until_it_does() {
    let (world, mut client) = world(&with(&[])).await;
    let _one = serve(&world, world.at(11, 8080), "one").await;
    let who = json!({"target": "xds:///service-b.local", "method": WHO, "calls": 1, "timeout": 25});
    let outcome = client.run(&who);
    let said = outcome.only_error();
    assert!(
        said.starts_with("UNAVAILABLE: ") && said.contains("does not exist"),
        "{outcome:?}"
    );
    let longest = DOES_NOT_EXIST + Duration::from_secs(3);
    assert!(outcome.took < longest.as_secs_f64(), "{outcome:?}");
    // It comes, goes and comes again, on the same channel.
    for _ in 0..2 {
        world.write_mesh(&with(&[service("service-b.local", "one")]));
        eventually("the service is there", PATIENCE, async || {
            let outcome = client.run(&who);
            outcome.answers.contains_key("one").then_some(())
        })
        .await;
        world.write_mesh(&with(&[]));
        let gone = eventually("the service is gone", PATIENCE, async || {
            let outcome = client.run(&who);
            outcome.answers.is_empty().then_some(outcome)
        })
        .await;
        assert!(gone.only_error().contains("does not exist"), "{gone:?}");
        // It was told so, and did not have to wait.
        assert!(gone.took < 3.0, "{gone:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_go_on_without_the_control_plane_and_follow_the_next_one() {
    let (mut world, mut client) = world(&weights(100, 0)).await;
    let _both = serve_both(&world).await;
    client.until("service-b.local", &["one"]).await;
    for (mesh, name) in [(weights(0, 100), "two"), (weights(100, 0), "one")] {
        let before = if name == "two" { "one" } else { "two" };
        world.kill_control_plane().await;
        assert_eq!(client.call("service-b.local", WHO, 50).who(), [before]);
        world.write_mesh(&mesh);
        world.start_control_plane().await;
        client.until("service-b.local", &[name]).await;
    }
}

/// TLS is not served yet: a call that must be encrypted is refused, and the others are not.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_must_be_encrypted_is_not_made() {
    let policy =
        "clientPolicy: { tls: { validation: { trust: { file: { certificateChain: /ca.pem } } } } }";
    let backends = format!(
        "backends: [{{ virtualService: {{ virtualServiceName: secret.local, {policy} }} }}, \
         {{ virtualService: {{ virtualServiceName: open.local }} }}]"
    );
    let mut documents = nodes();
    documents[0] = node("serviceANode", "service-a.local", &backends);
    documents.push(service("secret.local", "one"));
    documents.push(service("open.local", "one"));
    documents.push(service("stranger.local", "one"));
    let (world, mut client) = world(&mesh("ALLOW_ALL", &documents)).await;
    let _one = serve(&world, world.at(11, 8080), "one").await;
    assert_eq!(client.call("open.local", WHO, 3).who(), ["one"]);
    let outcome = client.call("secret.local", WHO, 1);
    assert!(
        outcome
            .only_error()
            .starts_with("UNAVAILABLE: Matching route"),
        "{outcome:?}"
    );
    // A service that is no backend does not exist for the client; its own deadline comes first.
    let stranger =
        json!({"target": "xds:///stranger.local", "method": WHO, "calls": 1, "timeout": 1});
    let outcome = client.run(&stranger);
    assert!(
        outcome.only_error().starts_with("DEADLINE_EXCEEDED"),
        "{outcome:?}"
    );
}
