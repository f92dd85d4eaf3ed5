//! A control plane that is killed and comes back during an outage of DNS.

use std::path::PathBuf;

use outrigger::demo::dns::Failure;
use outrigger::envoy::bootstrap::XdsProtocol;
use outrigger::envoy::child::ChildCommand;
use outrigger::envoy::process::Envoy;

use crate::continuity::load::Load;
use crate::continuity::{A, B_CLUSTER, TTL, listener, mesh, node, service, sidecar, synced};
use crate::world::{OUTRIGGER, PATIENCE, Service, World, eventually};

const KINDS: [&str; 4] = ["cds", "eds", "lds", "rds"];
/// Callers: by delta, by state of the world, and one that comes during the outage.
const CALLERS: [(u8, XdsProtocol); 2] =
    [(2, XdsProtocol::Delta), (5, XdsProtocol::StateOfTheWorld)];
const NEWCOMER: u8 = 6;

struct Mesh {
    world: World,
    replicas: Vec<Service>,
    envoys: Vec<Envoy>,
    loads: Vec<Load>,
}

/// Two callers of a service with two replicas, and what they send.
async fn mesh_with_load(serve_args: Vec<String>) -> Mesh {
    let mut world = World::new().await;
    world.serve_args = serve_args;
    let hosts = |hosts: [u8; 2]| hosts.iter().map(|host| world.ip(*host)).collect();
    world.zone.set("service-a.local", TTL, hosts([2, 5]));
    world.zone.set("service-b.local", TTL, hosts([3, 4]));
    let plain = listener(8080, "http", "");
    let declared = mesh(
        "ALLOW_ALL",
        &[
            node("serviceANode", "service-a.local", &plain),
            node("serviceBNode", "service-b.local", &plain),
            service("service-b.local", "serviceBNode"),
        ],
    );
    world.serve(&declared).await;
    let mut replicas = Vec::new();
    for host in [3, 4] {
        replicas.push(Service::start(&world, world.at(host, 8080), "b").await);
    }
    let mut envoys = Vec::new();
    for (host, protocol) in CALLERS {
        envoys.push(world.sidecar(A, host, protocol).await);
    }
    let start = |host: u8| Load::start("load", world.at(host, 15001), &["service-b.local:8080"]);
    let loads: Vec<Load> = CALLERS.iter().map(|(host, _)| start(*host)).collect();
    for load in &loads {
        load.answers(20).await;
    }
    Mesh {
        world,
        replicas,
        envoys,
        loads,
    }
}

impl Mesh {
    fn outage(&self, failure: Option<Failure>) {
        for name in ["service-a.local", "service-b.local"] {
            self.world.zone.fail(name, failure);
        }
    }

    async fn restart(&mut self) {
        for load in &self.loads {
            load.phase("killed");
        }
        self.world.kill_control_plane().await;
        for load in &self.loads {
            load.answers(50).await;
            load.phase("back during the outage");
        }
        self.world.start_control_plane().await;
    }

    /// Waits until `/readyz` says this.
    async fn report(&self, part: &str) {
        eventually(part, PATIENCE, async || {
            let answer = self
                .world
                .get(self.world.at(1, 9081), "ignored", "/readyz")
                .await;
            answer.ok()?.1.contains(part).then_some(())
        })
        .await;
    }

    async fn have_both_replicas(&self) {
        let both = [3, 4].map(|host| self.world.ip(host).to_string());
        for envoy in &self.envoys {
            let hosts = sidecar::hosts(envoy, B_CLUSTER).await.unwrap();
            assert_eq!(hosts, both, "{}", envoy.name());
        }
    }

    async fn end(self) {
        let mut failed = false;
        for load in self.loads {
            let account = load.stop().await;
            failed |= account.is_err();
            println!("{}", account.unwrap_or_else(|text| text));
        }
        assert!(!failed, "requests failed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_during_an_outage_keeps_every_endpoint() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("made/by/serve");
    let args = ["--data-dir".to_owned(), folder.display().to_string()];
    let mut mesh = mesh_with_load(args.to_vec()).await;
    let file = folder.join("dns-answers.jsonl");
    saved(&file, &["service-a.local", "service-b.local"]).await;
    mesh.outage(Some(Failure::Timeout));
    mesh.restart().await;

    synced(&mesh.world, A, 2, &KINDS).await;
    mesh.report("`service-b.local`: look-ups fail (no answer in time), its answer of ")
        .await;
    assert_eq!(
        mesh.world
            .metric("outrigger_dns_sources{state=\"stale\"}")
            .await,
        2
    );
    for load in &mesh.loads {
        load.answers(300).await;
    }
    mesh.have_both_replicas().await;
    // One that has never heard of any endpoint gets them too.
    let _newcomer = mesh.world.sidecar(A, NEWCOMER, XdsProtocol::Delta).await;
    let (status, body) = mesh.world.call(NEWCOMER, "service-b.local:8080", "/").await;
    assert_eq!(status, 200, "{body}");

    refuses_the_same_folder(&mesh, &folder).await;

    for load in &mesh.loads {
        load.phase("DNS is back");
    }
    mesh.world
        .zone
        .set("service-b.local", TTL, vec![mesh.world.ip(4)]);
    mesh.outage(None);
    let left = [mesh.world.ip(4).to_string()];
    for envoy in &mesh.envoys {
        eventually("the new answer is used", PATIENCE, async || {
            (sidecar::hosts(envoy, B_CLUSTER).await? == left).then_some(())
        })
        .await;
    }
    assert_eq!(mesh.replicas.len(), 2);
    mesh.end().await;
}

/// Without a data folder, sidecars keep what they have, and a new one goes without.
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_without_a_data_folder_takes_nothing_from_sidecars() {
    let mut mesh = mesh_with_load(Vec::new()).await;
    mesh.outage(Some(Failure::ServFail));
    mesh.restart().await;
    synced(&mesh.world, A, 2, &["cds", "lds", "rds"]).await;
    mesh.report("`service-b.local`: nothing is known of it")
        .await;
    for load in &mesh.loads {
        // Well beyond the 3 s after which requests without an answer get one.
        load.answers(600).await;
    }
    mesh.have_both_replicas().await;
    let _newcomer = mesh.world.sidecar(A, NEWCOMER, XdsProtocol::Delta).await;
    let answer = mesh.world.call(NEWCOMER, "service-b.local:8080", "/").await;
    assert_eq!(answer, (503, "no healthy upstream".to_owned()));

    mesh.outage(None);
    synced(&mesh.world, A, 3, &KINDS).await;
    let (status, body) = mesh.world.call(NEWCOMER, "service-b.local:8080", "/").await;
    assert_eq!(status, 200, "{body}");
    mesh.end().await;
}

async fn saved(file: &PathBuf, names: &[&str]) {
    eventually("the answers are on disk", PATIENCE, async || {
        let text = std::fs::read_to_string(file).ok()?;
        names.iter().all(|name| text.contains(name)).then_some(())
    })
    .await;
}

/// Two processes must not write in one folder.
async fn refuses_the_same_folder(mesh: &Mesh, folder: &std::path::Path) {
    let log = mesh.world.folder.path().join("second.log");
    let any = mesh.world.at(9, 0).to_string();
    let mut second = ChildCommand::new(OUTRIGGER, OUTRIGGER)
        .arg("serve")
        .arg("--mesh")
        .arg(mesh.world.folder.path().join("mesh"))
        .arg("--data-dir")
        .arg(folder)
        .args(["--xds-addr", &any, "--api-addr", &any, "--admin-addr", &any])
        .spawn("second", &log)
        .unwrap();
    assert!(!second.wait().await.unwrap().success());
    let text = second.last_lines(20).join("\n");
    assert!(text.contains("is in use by another"), "{text}");
}
