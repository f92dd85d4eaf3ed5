//! A real dnsmasq: hosts that are added, aliases, and answers too long for UDP.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use outrigger::envoy::bootstrap::XdsProtocol;
use outrigger::envoy::child::{Child, ChildCommand};
use rustix::process::{Pid, Signal, kill_process};
use tokio::net::TcpStream;

use super::{Bed, source};
use crate::continuity::load::Load;
use crate::continuity::{A, listener, mesh, node, service};
use crate::world::{OUTRIGGER, PATIENCE, Service, World, eventually};

struct Dnsmasq {
    address: SocketAddr,
    hosts: PathBuf,
    child: Child,
}

impl Dnsmasq {
    async fn start(folder: &Path, address: SocketAddr, hosts: &[(IpAddr, &str)]) -> Self {
        let file = folder.join("hosts");
        write(&file, hosts);
        let log = folder.join("dnsmasq.log");
        let mut child = ChildCommand::new(OUTRIGGER, "dnsmasq")
            .args([
                "--keep-in-foreground",
                "--log-facility=-",
                "--conf-file=/dev/null",
            ])
            .args(["--pid-file=", "--user=root", "--no-resolv", "--no-hosts"])
            .args([
                "--bind-interfaces",
                "--local-ttl=1",
                "--edns-packet-max=1232",
            ])
            .arg(format!("--addn-hosts={}", file.display()))
            .arg(format!("--listen-address={}", address.ip()))
            .arg(format!("--port={}", address.port()))
            .arg("--cname=alias.local,other.local,service-b.local")
            .arg("--local=/local/")
            .spawn("dnsmasq", &log)
            .expect("dnsmasq starts; the Debian package `dnsmasq-base` has it");
        eventually("dnsmasq listens", PATIENCE, async || {
            let ended = child.ended();
            assert!(ended.is_none(), "{ended:?}: {:?}", child.last_lines(9));
            TcpStream::connect(address).await.ok()
        })
        .await;
        Self {
            address,
            hosts: file,
            child,
        }
    }

    /// Replaces the hosts and has them read.
    fn set(&self, hosts: &[(IpAddr, &str)]) {
        write(&self.hosts, hosts);
        let id = i32::try_from(self.child.id().unwrap()).unwrap();
        kill_process(Pid::from_raw(id).unwrap(), Signal::HUP).unwrap();
    }
}

fn write(file: &Path, hosts: &[(IpAddr, &str)]) {
    let mut text = String::new();
    for (address, name) in hosts {
        writeln!(text, "{address} {name}").unwrap();
    }
    std::fs::write(file, text).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_dnsmasq_learns_get_traffic() {
    let mut world = World::new().await;
    let address = world.at(1, 10055);
    let (b, added) = (world.ip(3), world.ip(4));
    let first = [(world.ip(2), "service-a.local"), (b, "service-b.local")];
    let dnsmasq = Dnsmasq::start(world.folder.path(), address, &first).await;
    world.dns_server = dnsmasq.address;
    let plain = listener(8080, "http", "");
    let declared = mesh(
        "ALLOW_ALL",
        &[
            node("serviceANode", "service-a.local", &plain),
            node("serviceBNode", "service-b.local", &plain),
            node("aliasNode", "alias.local", &plain),
            service("service-b.local", "serviceBNode"),
            service("alias.local", "aliasNode"),
        ],
    );
    world.serve(&declared).await;
    let replicas = [
        Service::start(&world, world.at(3, 8080), "b").await,
        Service::start(&world, world.at(4, 8080), "b").await,
    ];
    let _envoy = world.sidecar(A, 2, XdsProtocol::Delta).await;
    let names = ["service-b.local:8080", "alias.local:8080"];
    let loads = names.map(|name| Load::start(name, world.at(2, 15001), &[name]));
    for load in &loads {
        load.answered_by(replicas[0].address).await;
        load.phase("a host more");
    }
    dnsmasq.set(&[first[0], first[1], (added, "service-b.local")]);
    for load in &loads {
        load.answered_by(replicas[1].address).await;
        load.phase("all hosts forgotten");
    }
    // It denies the names now: for the grace, nothing changes.
    dnsmasq.set(&[]);
    eventually("the denial is seen", PATIENCE, async || {
        let denied = world
            .metric("outrigger_dns_sources{state=\"denied\"}")
            .await;
        (denied == 3).then_some(())
    })
    .await;
    for load in loads {
        load.answers(100).await;
        println!(
            "{}",
            load.stop().await.unwrap_or_else(|text| panic!("{text}"))
        );
    }
}

/// A port that is free for UDP and TCP, below those that the kernel hands out to connections: nobody takes it meanwhile.
fn free_address() -> SocketAddr {
    let first = 20_000 + u16::try_from(std::process::id() % 10_000).unwrap();
    let mut addresses = (first..32_000).map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    let is_free = |at: &SocketAddr| {
        std::net::UdpSocket::bind(at).is_ok() && std::net::TcpListener::bind(at).is_ok()
    };
    addresses.find(is_free).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn dnsmasq_s_long_answers_are_whole() {
    let folder = tempfile::tempdir().unwrap();
    let address = free_address();
    let hosts: Vec<(IpAddr, &str)> = (0..200_u8)
        .map(|n| (IpAddr::from([10, 8, 0, n]), "service-b.local"))
        .collect();
    let dnsmasq = Dnsmasq::start(folder.path(), address, &hosts).await;
    let mut bed = Bed::start(vec![dnsmasq.address]);
    let all: Vec<String> = hosts
        .iter()
        .map(|(address, _)| address.to_string())
        .collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let names = ["service-b.local", "alias.local", "other.local"].map(|name| source(name, None));
    bed.want(names.clone());
    for name in &names {
        bed.expect(name, &all).await;
    }
}
