//! AWS's own command line changes the mesh, and running sidecars follow; a control plane that is killed then says nothing
//! to them that they had.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use outrigger::envoy::bootstrap::XdsProtocol;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::continuity::{A, B, TTL, synced};
use crate::python;
use crate::world::{Application, PATIENCE, World, eventually, get};

const MESH: [&str; 3] = [
    include_str!("../../config/mesh/mesh.yaml"),
    include_str!("../../config/mesh/service-a.yaml"),
    include_str!("../../config/mesh/service-b.yaml"),
];
const B_V2: &str = "mesh/appMesh/virtualNode/serviceBNodeV2";
const NODES: [&str; 3] = [A, B, B_V2];
const V1: &str = "serviceBNode";
const V2: &str = "serviceBNodeV2";
const KINDS: [&str; 4] = ["cds", "eds", "lds", "rds"];
/// So many answers in a row, and the sidecar's workers all have the change.
const IN_A_ROW: usize = 40;

#[tokio::test(flavor = "multi_thread")]
async fn sidecars_follow_the_command_line_and_outlive_a_crash() {
    let mut world = world().await;
    let _b = Application::start(world.application(3), "b").await;
    let _v2 = Application::start(world.application(4), "b v2").await;
    // All of them are there before anything is declared.
    let mut sidecars = Vec::new();
    for (node, host) in NODES.into_iter().zip(2..) {
        sidecars.push(world.start_sidecar(node, host, XdsProtocol::Delta));
    }
    let aws = Aws::new(&world);
    aws.create_example().await;
    let created = Instant::now();
    eventually(
        "a request goes through both sidecars",
        PATIENCE,
        async || {
            let (status, body) = world.call(2, "service-b.local", "/").await;
            (status == 200 && body.starts_with('b')).then_some(())
        },
    )
    .await;
    println!(
        "the mesh was there {:?} before a request went through",
        created.elapsed()
    );

    // The second version's too: what is sent there before its sidecar listens, fails.
    for node in NODES {
        synced(&world, node, 1, &KINDS).await;
    }
    aws.steer(&world, &[(V1, 100)], "b").await;
    let moved = aws.steer(&world, &[(V2, 100)], "b v2").await;
    assert_eq!(moved["route"]["metadata"]["version"], 3, "{moved}");
    // Nothing is on its way out when the control plane is killed.
    aws.steer(&world, &[(V1, 100), (V2, 0)], "b").await;

    for node in NODES {
        synced(&world, node, 1, &KINDS).await;
    }
    let told = everything(&world).await;
    let route = aws.describe_route().await;
    assert!(sent(&world).await.iter().all(|(_, count)| *count > 0));
    world.kill_control_plane().await;
    world.start_control_plane().await;
    for node in NODES {
        synced(&world, node, 1, &KINDS).await;
    }
    assert_eq!(sent(&world).await, KINDS.map(|kind| (kind, 0)));
    assert_eq!(everything(&world).await, told);
    assert_eq!(aws.describe_route().await, route);

    aws.steer(&world, &[(V1, 0), (V2, 100)], "b v2").await;
    // The caller's route configuration is all that the change touches.
    let expected = KINDS.map(|kind| (kind, u64::from(kind == "rds")));
    assert_eq!(sent(&world).await, expected);
}

/// A control plane without mesh files, and the example's names.
async fn world() -> World {
    let mut world = World::new().await;
    for (name, host) in ["service-a.local", "service-b.local", "service-b-v2.local"]
        .into_iter()
        .zip(2..)
    {
        world.zone.set(name, TTL, vec![world.ip(host)]);
    }
    let data = world.folder.path().join("data");
    world.has_mesh_files = false;
    world.serve_args = vec!["--data-dir".to_owned(), data.to_str().unwrap().to_owned()];
    world.start_control_plane().await;
    world
}

/// Every resource with its spec, uid, version, times, tags and owner.
async fn everything(world: &World) -> Value {
    let api = world.at(1, 9080);
    let (status, body) = get(api, "ignored", "/outrigger/v1/resources")
        .await
        .unwrap();
    assert_eq!(status, 200, "{body}");
    let answer: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        answer["resources"].as_array().map(Vec::len),
        Some(8),
        "{answer}"
    );
    answer
}

/// How many resources of each type the control plane has sent since it started.
async fn sent(world: &World) -> [(&'static str, u64); KINDS.len()] {
    let mut counts = KINDS.map(|kind| (kind, 0));
    for (kind, count) in &mut counts {
        let series = format!("outrigger_xds_push_resources_total{{type=\"{kind}\"}}");
        *count = world.metric(&series).await;
    }
    counts
}

/// What a command printed, and when.
struct Printed {
    answer: Value,
    started: Instant,
    answered: Instant,
}

/// The command line, pointed at a world's API by what its users set.
struct Aws {
    endpoint: String,
}

impl Aws {
    fn new(world: &World) -> Self {
        Self {
            endpoint: format!("http://{}", world.at(1, 9080)),
        }
    }

    /// `aws appmesh OPERATION --cli-input-json INPUT`.
    async fn run(&self, operation: &str, input: &Value) -> Printed {
        let mut command = Command::from(python::aws_command());
        command
            .args(["appmesh", operation, "--output", "json"])
            .args(["--cli-input-json", &input.to_string()])
            .env("AWS_ENDPOINT_URL_APP_MESH", &self.endpoint)
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", "a secret of sixteen or more")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let started = Instant::now();
        let mut process = command.spawn().unwrap();
        let (mut printed, mut said) = (String::new(), String::new());
        let mut stdout = process.stdout.take().unwrap();
        // It prints the answer at once, and takes its time to end.
        let mut first = [0];
        let is_empty = stdout.read(&mut first).await.unwrap() == 0;
        let answered = Instant::now();
        stdout.read_to_string(&mut printed).await.unwrap();
        let mut stderr = process.stderr.take().unwrap();
        stderr.read_to_string(&mut said).await.unwrap();
        let status = process.wait().await.unwrap();
        assert!(status.success() && !is_empty, "{operation}: {said}");
        let printed = format!("{}{printed}", char::from(first[0]));
        let answer = serde_json::from_str(&printed).unwrap();
        Printed {
            answer,
            started,
            answered,
        }
    }

    /// Creates the example in the order that App Mesh asks for.
    async fn create_example(&self) {
        let documents = MESH.iter().flat_map(|text| {
            let documents: Vec<Value> = serde_saphyr::from_multiple(text).unwrap();
            documents
        });
        let documents: Vec<Value> = documents.collect();
        for (kind, operation) in [
            ("Mesh", "create-mesh"),
            ("VirtualNode", "create-virtual-node"),
            ("VirtualRouter", "create-virtual-router"),
            ("Route", "create-route"),
            ("VirtualService", "create-virtual-service"),
        ] {
            for document in documents.iter().filter(|document| document["kind"] == kind) {
                let mut input = document.clone();
                input.as_object_mut().unwrap().remove("kind");
                let Printed { answer, .. } = self.run(operation, &input).await;
                let (_, data) = answer.as_object().unwrap().iter().next().unwrap();
                assert_eq!(data["spec"], input["spec"], "{answer}");
                assert_eq!(data["status"]["status"], "ACTIVE", "{answer}");
            }
        }
    }

    /// Gives the route these targets, and says how long it took until nobody but `name` answers.
    async fn steer(&self, world: &World, targets: &[(&str, u32)], name: &'static str) -> Value {
        let targets = targets
            .iter()
            .map(|(node, weight)| json!({"virtualNode": node, "weight": weight}));
        let watch = Watch::start(world, name);
        let input = json!({
            "meshName": "appMesh", "virtualRouterName": "serviceBRouter", "routeName": "serviceBRoute",
            "spec": {"httpRoute": {
                "match": {"prefix": "/"},
                "action": {"weightedTargets": targets.collect::<Vec<_>>()},
            }},
        });
        let printed = self.run("update-route", &input).await;
        let (since, requests) = watch.settled().await;
        let after = since.saturating_duration_since(printed.answered);
        let before = printed.answered.saturating_duration_since(since);
        println!(
            "only `{name}` answers {:?} after the command started, {}{:?} after it printed its answer; \
             the command took {:?} to print it; {requests} requests meanwhile, none failed",
            since - printed.started,
            if before.is_zero() { "" } else { "-" },
            after.max(before),
            printed.answered - printed.started,
        );
        printed.answer
    }

    async fn describe_route(&self) -> Value {
        let input = json!({
            "meshName": "appMesh", "virtualRouterName": "serviceBRouter", "routeName": "serviceBRoute",
        });
        self.run("describe-route", &input).await.answer
    }
}

/// Calls through the caller's sidecar, one after another, until all that come are answered by one name.
struct Watch {
    calls: JoinHandle<(Instant, u64)>,
    command_is_over: Arc<AtomicBool>,
}

impl Watch {
    fn start(world: &World, name: &'static str) -> Self {
        let sidecar = world.at(2, 15001);
        let command_is_over = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&command_is_over);
        let calls = tokio::spawn(async move {
            let (mut since, mut in_a_row, mut requests) = (Instant::now(), 0, 0);
            while in_a_row < IN_A_ROW || !is_over.load(Ordering::Relaxed) {
                let (status, body) = get(sidecar, "service-b.local", "/").await.unwrap();
                assert_eq!(status, 200, "{body}");
                requests += 1;
                if body != name {
                    in_a_row = 0;
                    continue;
                }
                if in_a_row == 0 {
                    since = Instant::now();
                }
                in_a_row += 1;
            }
            (since, requests)
        });
        Self {
            calls,
            command_is_over,
        }
    }

    /// Since when only that name answers, and how many requests there were.
    async fn settled(self) -> (Instant, u64) {
        self.command_is_over.store(true, Ordering::Relaxed);
        tokio::time::timeout(PATIENCE, self.calls)
            .await
            .unwrap()
            .unwrap()
    }
}
