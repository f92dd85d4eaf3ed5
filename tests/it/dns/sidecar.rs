//! The whole way: steady requests through real sidecars while the name server misbehaves in every way, one after the other.

use std::net::IpAddr;
use std::time::Duration;

use hickory_server::proto::op::ResponseCode;
use hickory_server::proto::rr::RecordType;
use outrigger::envoy::bootstrap::XdsProtocol;

use super::liar::{Liar, Mode};
use crate::continuity::load::Load;
use crate::continuity::{A, listener, mesh, node, service};
use crate::world::{Service, World};

const SEQUENCE: [(&str, Mode); 21] = [
    ("silent", Mode::Silent),
    ("slow", Mode::Slow(Duration::from_secs(2))),
    ("cut short", Mode::Truncated),
    ("cut short, and no TCP", Mode::TruncatedWithoutTcp),
    ("no time to live", Mode::Ttl(0)),
    ("a negative time to live", Mode::Ttl(1 << 31)),
    ("no name", Mode::NoName),
    ("no records", Mode::NoRecords),
    ("twelve aliases", Mode::Aliases(12)),
    ("forty aliases", Mode::Aliases(40)),
    ("aliases in a circle", Mode::AliasCircle),
    ("aliases without end", Mode::AliasOnAlias),
    ("server failure", Mode::Fails(ResponseCode::ServFail)),
    ("refused", Mode::Fails(ResponseCode::Refused)),
    ("AAAA refused", Mode::RefusedFor(RecordType::AAAA)),
    ("A refused", Mode::RefusedFor(RecordType::A)),
    ("garbage", Mode::GarbageBody),
    ("another id", Mode::OtherId),
    ("other names", Mode::OtherNames),
    ("forged", Mode::Forged),
    ("another answer each time", Mode::Changing),
];

#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_whatever_the_name_server_does() {
    let mut world = World::new().await;
    let liar = Liar::start(world.ip(1), 10054).await;
    let addresses =
        |hosts: &[u8]| -> Vec<IpAddr> { hosts.iter().map(|one| world.ip(*one)).collect() };
    liar.set("service-a.local", addresses(&[2, 5]));
    liar.set("service-b.local", addresses(&[3, 4]));
    world.dns_server = liar.address;
    world.serve_args = ["--dns-min-ttl", "200ms"].map(str::to_owned).to_vec();
    let plain = listener(8080, "http", "");
    world
        .serve(&mesh(
            "ALLOW_ALL",
            &[
                node("serviceANode", "service-a.local", &plain),
                node("serviceBNode", "service-b.local", &plain),
                service("service-b.local", "serviceBNode"),
            ],
        ))
        .await;
    let mut replicas = Vec::new();
    for host in [3, 4] {
        replicas.push(Service::start(&world, world.at(host, 8080), "b").await);
    }
    let _envoys = [
        world.sidecar(A, 2, XdsProtocol::Delta).await,
        world.sidecar(A, 5, XdsProtocol::StateOfTheWorld).await,
    ];
    let loads = [("delta", 2), ("sotw", 5)]
        .map(|(name, host)| Load::start(name, world.at(host, 15001), &["service-b.local:8080"]));
    for load in &loads {
        load.answers(20).await;
    }
    for (phase, mode) in SEQUENCE {
        liar.behave(mode);
        for load in &loads {
            load.phase(phase);
        }
        // Two names with two questions each: every one of them met the trouble at least twice.
        liar.asked(8).await;
        for load in &loads {
            load.answers(50).await;
        }
        liar.behave(Mode::Good);
        liar.asked(4).await;
    }
    for load in &loads {
        load.phase("all is well");
        for replica in &replicas {
            load.answered_by(replica.address).await;
        }
    }
    let mut failed = false;
    for load in loads {
        let account = load.stop().await;
        failed |= account.is_err();
        println!("{}", account.unwrap_or_else(|text| text));
    }
    assert!(!failed, "requests failed");
}
