//! Nobody notices: requests flow while everything around them changes, crashes and comes back.

use std::net::SocketAddr;

use outrigger::envoy::bootstrap::XdsProtocol;
use outrigger::envoy::process::Envoy;

use super::load::Load;
use super::{A, B, B_CLUSTER, TTL, listener, mesh, node, service, sidecar, split, synced};
use crate::world::{PATIENCE, Service, World, eventually};

/// Hosts: two callers, two replicas of b behind sidecars, one that comes and goes, and b's second version.
const DELTA_CALLER: u8 = 2;
const SOTW_CALLER: u8 = 5;
const B_HOSTS: [u8; 2] = [3, 4];
const ADDED: u8 = 6;
const V2: u8 = 7;

/// Both callers with what they send.
struct Callers {
    envoys: [Envoy; 2],
    loads: [Load; 2],
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_is_answered_while_all_around_it_changes() {
    let mut world = World::new().await;
    let addresses = |hosts: &[u8]| hosts.iter().map(|host| world.ip(*host)).collect();
    world.zone.set(
        "service-a.local",
        TTL,
        addresses(&[DELTA_CALLER, SOTW_CALLER]),
    );
    world.zone.set("service-b.local", TTL, addresses(&B_HOSTS));
    world.zone.set("service-b-v2.local", TTL, addresses(&[V2]));
    world.serve(&weighted(&world, 100, 0)).await;

    let (b0, b1) = (world.application(B_HOSTS[0]), world.application(B_HOSTS[1]));
    let mut first = Service::start(&world, b0, "b").await;
    let _second = Service::start(&world, b1, "b").await;
    // These two have no sidecar: what happens to them is seen by the callers' own.
    let mut added = Service::start(&world, world.at(ADDED, 8080), "b").await;
    let v2 = Service::start(&world, world.at(V2, 8080), "b-v2").await;
    let _b_sidecars = [
        world.sidecar(B, B_HOSTS[0], XdsProtocol::Delta).await,
        world
            .sidecar(B, B_HOSTS[1], XdsProtocol::StateOfTheWorld)
            .await,
    ];
    let callers = Callers {
        envoys: [
            world.sidecar(A, DELTA_CALLER, XdsProtocol::Delta).await,
            world
                .sidecar(A, SOTW_CALLER, XdsProtocol::StateOfTheWorld)
                .await,
        ],
        loads: [("delta", DELTA_CALLER), ("sotw", SOTW_CALLER)].map(|(name, host)| {
            Load::start(name, world.at(host, 15001), &["service-b.local:8080"])
        }),
    };

    callers.phase("twenty weight changes");
    for step in 1..=20 {
        callers.shift(&world, 10 + 4 * step, 90 - 4 * step).await;
    }
    callers.answered_by(v2.address).await;

    callers
        .while_replicas_come_and_go(&world, &mut first, &mut added)
        .await;

    callers.phase("control plane killed");
    world.kill_control_plane().await;
    callers.answers(100).await;
    callers.phase("control plane back");
    world.start_control_plane().await;
    synced(&world, A, 2, &["cds", "eds", "lds", "rds"]).await;
    callers.phase("a weight change after the restart");
    callers.shift(&world, 50, 50).await;
    callers.answers(100).await;

    callers.end(&world).await;
}

/// The mesh with these weights. The callers log each request that fails, for the message.
fn weighted(world: &World, b: u32, v2: u32) -> String {
    let log = world.folder.path().join("access.log");
    let format = "%START_TIME% %RESPONSE_CODE% %RESPONSE_FLAGS% %UPSTREAM_HOST% \
                  %UPSTREAM_REQUEST_ATTEMPT_COUNT% %UPSTREAM_TRANSPORT_FAILURE_REASON%\\n";
    let logging = format!(
        "logging: {{ accessLog: {{ file: {{ path: '{}', format: {{ text: \"{format}\" }} }} }} }}",
        log.display()
    );
    let plain = listener(8080, "http", "");
    mesh(
        "ALLOW_ALL",
        &[
            node(
                "serviceANode",
                "service-a.local",
                &format!("{plain}, {logging}"),
            ),
            node("serviceBNode", "service-b.local", &plain),
            node("serviceBNodeV2", "service-b-v2.local", &plain),
            service("service-a.local", "serviceANode"),
            split(
                "service-b.local",
                8080,
                "http",
                &[("serviceBNode", b), ("serviceBNodeV2", v2)],
            ),
        ],
    )
}

fn addresses_of(world: &World, hosts: &[u8]) -> Vec<std::net::IpAddr> {
    hosts.iter().map(|host| world.ip(*host)).collect()
}

impl Callers {
    async fn while_replicas_come_and_go(
        &self,
        world: &World,
        first: &mut Service,
        added: &mut Service,
    ) {
        self.phase("a replica killed");
        first.kill().await;
        self.answers(100).await;
        self.phase("a replica back");
        first.restart().await;
        self.answered_by(first.address).await;

        self.phase("a replica added");
        world
            .zone
            .set("service-b.local", TTL, addresses_of(world, &[3, 4, ADDED]));
        self.answered_by(added.address).await;
        self.phase("a replica without a sidecar killed");
        added.kill().await;
        self.answers(100).await;
        self.phase("a replica without a sidecar back");
        added.restart().await;
        self.answered_by(added.address).await;
        self.phase("a replica removed");
        world
            .zone
            .set("service-b.local", TTL, addresses_of(world, &B_HOSTS));
        self.have_hosts(world, &B_HOSTS).await;
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

    async fn answered_by(&self, replica: SocketAddr) {
        for load in &self.loads {
            load.answered_by(replica).await;
        }
    }

    /// Saves other weights and waits until both sidecars use them.
    async fn shift(&self, world: &World, b: u32, v2: u32) {
        world.write_mesh(&weighted(world, b, v2));
        for envoy in &self.envoys {
            let what = format!("{} splits {b} to {v2}", envoy.name());
            eventually(&what, PATIENCE, async || {
                let weights = sidecar::weights(envoy).await?;
                (weights == [u64::from(b), u64::from(v2)]).then_some(())
            })
            .await;
        }
    }

    async fn have_hosts(&self, world: &World, hosts: &[u8]) {
        let wanted: Vec<String> = hosts
            .iter()
            .map(|host| world.ip(*host).to_string())
            .collect();
        for envoy in &self.envoys {
            let what = format!("{} has the hosts {wanted:?}", envoy.name());
            eventually(&what, PATIENCE, async || {
                (sidecar::hosts(envoy, B_CLUSTER).await? == wanted).then_some(())
            })
            .await;
        }
    }

    async fn end(self, world: &World) {
        let mut failed = false;
        for load in self.loads {
            match load.stop().await {
                Ok(text) => println!("{text}"),
                Err(text) => {
                    failed = true;
                    println!("{text}");
                }
            }
        }
        let log = std::fs::read_to_string(world.folder.path().join("access.log")).unwrap();
        let bad: Vec<&str> = log.lines().filter(|line| !line.contains(" 200 ")).collect();
        assert!(
            !failed,
            "requests failed; the callers' access log:\n{}",
            bad.join("\n")
        );
    }
}
