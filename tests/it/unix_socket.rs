//! xDS over a Unix socket, with a real Envoy at the other end.

use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::process::Command;
use std::time::Duration;

use outrigger::envoy::bootstrap::{XdsAddress, XdsProtocol};

use crate::continuity::{A, TTL, a_calls_b, synced};
use crate::world::{Application, OUTRIGGER, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_is_served_over_a_unix_socket_in_both_variants() {
    let mut world = World::new().await;
    world.zone.set("service-a.local", TTL, vec![world.ip(2)]);
    world.zone.set("service-b.local", TTL, vec![world.ip(9)]);
    world.serve(&a_calls_b("")).await;
    let metadata = std::fs::symlink_metadata(world.xds_socket()).unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o660);

    let _b = Application::start(world.at(9, 8080), "b").await;
    let hosts = [(2, XdsProtocol::Delta), (3, XdsProtocol::StateOfTheWorld)];
    let mut sidecars = Vec::new();
    for (host, protocol) in hosts {
        let xds = XdsAddress::Unix(world.xds_socket());
        let mut envoy = world.start_sidecar_of(xds, A, host, protocol);
        envoy.ready(crate::world::PATIENCE).await.unwrap();
        assert_eq!(
            world.call(host, "service-b.local", "/").await,
            (200, "b".to_owned())
        );
        sidecars.push(envoy);
    }
    // Replicas over one socket are told apart by their processes.
    let clients = synced(&world, A, 2, &["cds", "eds", "lds", "rds"]).await;
    let mut peers: Vec<String> = clients.into_iter().map(|client| client.peer).collect();
    peers.sort();
    let mut expected: Vec<String> = (sidecars.iter_mut())
        .map(|envoy| format!("unix:pid={}", envoy.child().id().unwrap()))
        .collect();
    expected.sort();
    assert_eq!(peers, expected);
    let connections = "outrigger_connections{listener=\"xds-socket\"}";
    assert_eq!(world.metric(connections).await, 2);

    // A second server leaves the first one's socket alone.
    let second = Command::new(OUTRIGGER)
        .args(["serve", "--xds-addr", "127.0.0.1:0"])
        .args(["--api-addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0"])
        .arg("--mesh")
        .arg(world.folder.path().join("mesh"))
        .arg("--xds-socket")
        .arg(world.xds_socket())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(!second.status.success());
    assert!(said.contains("another process listens on"), "{said}");

    // Both of the first one's listeners end in order, and its file is gone.
    let mut control = world.control.take().unwrap();
    let ended = control.stop(Duration::from_secs(20)).await.unwrap();
    assert!(ended.success(), "{}", world.control_log());
    assert!(!world.xds_socket().exists());

    // A killed one leaves its file; the next takes it over, and the sidecars come back by themselves.
    world.start_control_plane().await;
    synced(&world, A, 2, &["cds", "eds", "lds", "rds"]).await;
    world.kill_control_plane().await;
    assert!(world.xds_socket().exists());
    world.start_control_plane().await;
    synced(&world, A, 2, &["cds", "eds", "lds", "rds"]).await;
    for (host, _) in hosts {
        assert_eq!(world.call(host, "service-b.local", "/").await.0, 200);
    }
}
