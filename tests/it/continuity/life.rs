//! The life of the control plane, and of what is declared, as traffic sees it: it does not.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use outrigger::envoy::bootstrap::XdsProtocol;
use outrigger::envoy::process::Envoy;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::load::Load;
use super::{A, TTL, a_calls_b, listener, mesh, node, service, sidecar, split, synced};
use crate::raw::{Raw, SOTW};
use crate::world::{PATIENCE, Service, World, eventually};

const KINDS: [&str; 4] = ["cds", "eds", "lds", "rds"];
const HOSTS: [u8; 2] = [2, 5];
const B: &[&str] = &["service-b.local"];

/// A delta and a state-of-the-world sidecar of a, an application b without one, and requests from both to b.
struct Traffic {
    world: World,
    envoys: [Envoy; 2],
    loads: Vec<Load>,
    _b: Service,
}

impl Traffic {
    async fn start(mesh: &str) -> Self {
        let mut world = World::new().await;
        let callers = HOSTS.map(|host| world.ip(host)).to_vec();
        world.zone.set("service-a.local", TTL, callers);
        world.zone.set("service-b.local", TTL, vec![world.ip(3)]);
        world.serve(mesh).await;
        let b = Service::start(&world, world.at(3, 8080), "b").await;
        let [delta, sotw] = HOSTS;
        let envoys = [
            world.sidecar(A, delta, XdsProtocol::Delta).await,
            world.sidecar(A, sotw, XdsProtocol::StateOfTheWorld).await,
        ];
        synced(&world, A, 2, &KINDS).await;
        let loads = [("delta", delta), ("sotw", sotw)]
            .map(|(name, host)| Load::start(name, world.at(host, 15001), B))
            .into();
        Self {
            world,
            envoys,
            loads,
            _b: b,
        }
    }

    fn phase(&self, phase: &'static str) {
        for load in &self.loads {
            load.phase(phase);
        }
    }

    async fn answers(&self, more: u64) {
        for load in &self.loads {
            load.answers(more).await;
        }
    }

    async fn shifted(&self, weights: [u64; 2]) {
        for envoy in &self.envoys {
            let what = format!("{} splits {weights:?}", envoy.name());
            eventually(&what, PATIENCE, async || {
                (sidecar::weights(envoy).await? == weights).then_some(())
            })
            .await;
        }
    }

    async fn end(self) {
        for load in self.loads {
            match load.stop().await {
                Ok(text) => println!("{text}"),
                Err(text) => panic!("{text}"),
            }
        }
    }
}

/// b behind a router with two targets, both of which are b.
fn split_b(weight: u32) -> String {
    let plain = listener(8080, "http", "");
    mesh(
        "ALLOW_ALL",
        &[
            node("serviceANode", "service-a.local", &plain),
            node("serviceBNode", "service-b.local", &plain),
            node("otherBNode", "service-b.local", &plain),
            split(
                "service-b.local",
                8080,
                "http",
                &[("serviceBNode", weight), ("otherBNode", 100 - weight)],
            ),
        ],
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ordered_restart_is_quick_and_costs_no_request() {
    let mut traffic = Traffic::start(&split_b(40)).await;
    for round in 0..3 {
        traffic.phase("stopping");
        let (status, took) = traffic.world.stop_control_plane().await;
        assert!(status.success(), "{status}");
        // Streams are ended, not waited for.
        assert!(took < Duration::from_secs(3), "it took {took:?}");
        traffic.answers(20).await;
        traffic.phase("starting");
        let started = Instant::now();
        traffic.world.start_control_plane().await;
        let clients = synced(&traffic.world, A, 2, &KINDS).await;
        println!(
            "round {round}: stopped in {took:?}, both sidecars in step {:?} after the start",
            started.elapsed()
        );
        assert_eq!(clients.len(), 2);
        traffic.answers(20).await;
    }
    traffic.world.write_mesh(&split_b(60));
    traffic.shifted([60, 40]).await;
    traffic.end().await;
}

/// A client that reads nothing, and will not be told to go.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_does_not_wait_for_a_client_that_does_not_listen() {
    let mut world = World::new().await;
    world.serve_args = ["--shutdown-grace", "2s"].map(str::to_owned).to_vec();
    world.zone.set("service-a.local", TTL, vec![world.ip(2)]);
    world.zone.set("service-b.local", TTL, vec![world.ip(3)]);
    world.serve(&a_calls_b("")).await;
    let address = world.at(1, 18000);
    let deaf = [
        Raw::open(address, SOTW).await,
        Raw::open(address, SOTW).await,
    ];
    // A connection on which nothing is ever said, and one that asks for metrics and stays.
    let mut silent = Vec::new();
    for at in [address, world.at(1, 9080), world.at(1, 9081)] {
        silent.push(tokio::net::TcpStream::connect(at).await.unwrap());
    }
    let (status, took) = world.stop_control_plane().await;
    println!("stopped in {took:?}");
    assert!(status.success(), "{status}");
    assert!(took < Duration::from_secs(4), "it took {took:?}");
    drop((deaf, silent));
}

/// Stands where the control plane was, and counts who knocks.
struct Door {
    knocks: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Door {
    async fn at(address: SocketAddr) -> Self {
        let knocks = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&knocks);
        let listener = eventually("the port is free", PATIENCE, async || {
            TcpListener::bind(address).await.ok()
        })
        .await;
        let task = tokio::spawn(async move {
            while listener.accept().await.is_ok() {
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { knocks, task }
    }

    fn knocks(&self) -> u64 {
        self.knocks.load(Ordering::Relaxed)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_control_plane_traffic_goes_on_and_nobody_storms_it() {
    let mut traffic = Traffic::start(&split_b(40)).await;
    traffic.phase("no control plane");
    traffic.world.kill_control_plane().await;
    let door = Door::at(traffic.world.at(1, 18000)).await;
    let gone = Instant::now();
    // As many requests as take about twelve seconds: Envoy's pause between attempts has grown to its longest by then.
    while gone.elapsed() < Duration::from_secs(12) {
        traffic.answers(50).await;
    }
    let early = door.knocks();
    let later = Instant::now();
    while later.elapsed() < Duration::from_secs(10) {
        traffic.answers(50).await;
    }
    let knocks = door.knocks() - early;
    println!(
        "two sidecars tried {early} times in the first 12 s, and {knocks} times in the 10 s after"
    );
    assert!(early >= 2, "they try");
    assert!((1..=20).contains(&knocks), "{knocks} in 10 s");
    door.task.abort();
    drop(door.task.await);

    traffic.phase("the control plane is back, with another mesh");
    traffic.world.write_mesh(&split_b(70));
    let back = Instant::now();
    traffic.world.start_control_plane().await;
    traffic.shifted([70, 30]).await;
    println!(
        "both sidecars in step {:?} after it is back",
        back.elapsed()
    );
    assert!(
        back.elapsed() < Duration::from_secs(10),
        "{:?}",
        back.elapsed()
    );
    traffic.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mesh_deleted_and_declared_again_with_other_content_is_served_again() {
    let traffic = Traffic::start(&split_b(40)).await;
    let other = "kind: Mesh\nmeshName: other\nspec: {}\n";
    for weight in [10, 90] {
        traffic.phase("the mesh is gone");
        traffic.world.write_mesh(other);
        let refused = "outrigger_xds_refused_streams_total{reason=\"unknown_node\"}";
        let before = traffic.world.metric(refused).await;
        eventually("both sidecars are told", PATIENCE, async || {
            (traffic.world.metric(refused).await >= before + 2).then_some(())
        })
        .await;
        traffic.answers(50).await;
        traffic.phase("the mesh is back");
        traffic.world.write_mesh(&split_b(weight));
        traffic
            .shifted([u64::from(weight), u64::from(100 - weight)])
            .await;
        synced(&traffic.world, A, 2, &KINDS).await;
        traffic.answers(20).await;
    }
    traffic.end().await;
}

/// b behind one of two nodes, both of which are b; the other is not in use.
fn provided_by(node_name: &str) -> String {
    let plain = listener(8080, "http", "");
    mesh(
        "ALLOW_ALL",
        &[
            node("serviceANode", "service-a.local", &plain),
            node("serviceBNode", "service-b.local", &plain),
            node("spareNode", "service-b.local", &plain),
            service("spare.local", "spareNode"),
            service("service-b.local", node_name),
        ],
    )
}

impl Traffic {
    async fn is_provided_by(&self, node: &str) {
        let name = format!("cds_egress_appMesh_{node}_http_8080");
        for envoy in &self.envoys {
            eventually("the routes are new", PATIENCE, async || {
                let path = "/config_dump?resource=dynamic_route_configs";
                let dump = envoy.admin().get_json(path).await.ok()?.to_string();
                // Those of a itself, of the spare service, and of b.
                let spare = dump.matches("spareNode_http").count();
                let is_spare = node == "spareNode";
                (dump.contains(&name) && (spare > 1) == is_spare).then_some(())
            })
            .await;
        }
        self.answers(30).await;
    }
}

/// The sidecars' routes still name the cluster that is gone when they come back.
#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_removed_while_nobody_serves_costs_no_request() {
    let mut traffic = Traffic::start(&provided_by("serviceBNode")).await;
    for _ in 0..5 {
        traffic.phase("b's cluster removed while nobody serves");
        traffic.world.kill_control_plane().await;
        traffic.world.write_mesh(&provided_by("spareNode"));
        traffic.world.start_control_plane().await;
        traffic.is_provided_by("spareNode").await;
        synced(&traffic.world, A, 2, &KINDS).await;
        traffic.phase("and declared again");
        traffic.world.write_mesh(&provided_by("serviceBNode"));
        traffic.is_provided_by("serviceBNode").await;
    }
    traffic.end().await;
}

/// A new one in its place. State of the world has no way to keep the old until the new is in use.
#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_replaced_while_nobody_serves_costs_no_request_in_delta() {
    let mut traffic = Traffic::start(&provided_by("spareNode")).await;
    traffic.answers(10).await;
    let sotw = traffic.loads.pop().unwrap();
    println!("{}", sotw.stop().await.unwrap());
    for _ in 0..5 {
        traffic.phase("b's cluster replaced while nobody serves");
        traffic.world.kill_control_plane().await;
        traffic.world.write_mesh(&provided_by("serviceBNode"));
        traffic.world.start_control_plane().await;
        traffic.is_provided_by("serviceBNode").await;
        synced(&traffic.world, A, 2, &KINDS).await;
        traffic.phase("and back");
        traffic.world.write_mesh(&provided_by("spareNode"));
        traffic.is_provided_by("spareNode").await;
    }
    traffic.end().await;
}
