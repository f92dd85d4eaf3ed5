//! Mesh files as deployments change them, and what sidecars get to see of it: one change, whole.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use outrigger::envoy::bootstrap::XdsProtocol;

use super::{A, TTL, a_calls_b, listener, mesh, node, service, sidecar, split};
use crate::world::{PATIENCE, Service, World, eventually};

const NODES: usize = 1000;

fn git(folder: &Path, arguments: &[&str]) {
    let output = Command::new("git")
        .args(["-c", "user.name=a", "-c", "user.email=a@localhost"])
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .output()
        .unwrap();
    assert!(output.status.success(), "git {arguments:?}: {output:?}");
}

/// The revisions that the control plane has had so far, from its log.
fn revisions(world: &World) -> Vec<u64> {
    let log = fs::read_to_string(world.folder.path().join("control-plane.log")).unwrap();
    let lines = log
        .lines()
        .filter(|line| line.contains("mesh files loaded"));
    let revision = |line: &str| {
        line.split("revision=")
            .nth(1)
            .unwrap()
            .trim()
            .parse()
            .unwrap()
    };
    lines.map(revision).collect()
}

async fn has_revision(world: &World, revision: u64) {
    eventually("the revision is there", PATIENCE, async || {
        revisions(world).contains(&revision).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_between_two_branches_is_one_revision() {
    let mut world = World::new().await;
    let folder = world.folder.path().join("mesh");
    git(&folder, &["init", "-q", "-b", "one"]);
    for (branch, port) in [("one", 8080), ("two", 9090)] {
        if branch == "two" {
            git(&folder, &["checkout", "-q", "-b", branch]);
        }
        fs::write(folder.join("mesh.yaml"), mesh("ALLOW_ALL", &[])).unwrap();
        for number in 0..NODES {
            let part = folder.join(format!("part{}", number / 100));
            fs::create_dir_all(&part).unwrap();
            let text = node(
                &format!("node{number}"),
                "service-b.local",
                &listener(port, "http", ""),
            );
            fs::write(part.join(format!("{number}.yaml")), text).unwrap();
        }
        git(&folder, &["add", "."]);
        git(&folder, &["commit", "-q", "-m", branch]);
    }
    world.start_control_plane().await;
    assert_eq!(revisions(&world), [1]);
    for (revision, branch) in [(2, "one"), (3, "two"), (4, "one")] {
        git(&folder, &["checkout", "-q", branch]);
        has_revision(&world, revision).await;
    }
    // Whatever came between would stand before this.
    fs::write(folder.join("mesh.yaml"), mesh("DROP_ALL", &[])).unwrap();
    has_revision(&world, 5).await;
    assert_eq!(revisions(&world), [1, 2, 3, 4, 5]);
    assert_eq!(
        world
            .metric("outrigger_mesh_reloads_total{result=\"applied\"}")
            .await,
        5
    );
    assert_eq!(
        world
            .metric("outrigger_mesh_reloads_total{result=\"failed\"}")
            .await,
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swapped_config_map_reaches_the_sidecar_as_one_change() {
    let mut world = World::new().await;
    world.zone.set("service-a.local", TTL, vec![world.ip(2)]);
    world.zone.set("service-b.local", TTL, vec![world.ip(3)]);
    let mount = world.folder.path().join("mesh");
    publish(&mount, "..2026_11_22_1", &[("a.yaml", a_calls_b(""))]);
    world.start_control_plane().await;
    let _b = Service::start(&world, world.at(3, 8080), "b").await;
    let envoy = world.sidecar(A, 2, XdsProtocol::Delta).await;
    assert_eq!(world.call(2, "service-b.local", "/").await.0, 200);

    // What was in one file is in two now, which would not do one without the other.
    let plain = listener(8080, "http", "");
    let services = split(
        "service-b.local",
        8080,
        "http",
        &[("serviceBNode", 1), ("otherBNode", 1)],
    );
    let nodes = mesh(
        "ALLOW_ALL",
        &[
            node("serviceANode", "service-a.local", &plain),
            node("serviceBNode", "service-b.local", &plain),
            node("otherBNode", "service-b.local", &plain),
            service("service-a.local", "serviceANode"),
        ],
    );
    publish(
        &mount,
        "..2026_11_22_2",
        &[("a.yaml", nodes), ("b.yaml", services)],
    );
    eventually("the sidecar splits", PATIENCE, async || {
        (sidecar::weights(&envoy).await? == [1, 1]).then_some(())
    })
    .await;
    assert_eq!(revisions(&world), [1, 2]);
    assert_eq!(
        world
            .metric("outrigger_mesh_reloads_total{result=\"failed\"}")
            .await,
        0
    );
    assert_eq!(world.call(2, "service-b.local", "/").await.0, 200);
}

/// Swaps a version of a mounted `ConfigMap` in, as the kubelet does.
fn publish(mount: &Path, version: &str, files: &[(&str, String)]) {
    fs::create_dir(mount.join(version)).unwrap();
    for (name, text) in files {
        fs::write(mount.join(version).join(name), text).unwrap();
    }
    let old = fs::read_link(mount.join("..data"));
    symlink(version, mount.join("..data_tmp")).unwrap();
    fs::rename(mount.join("..data_tmp"), mount.join("..data")).unwrap();
    for (name, _) in files
        .iter()
        .filter(|(name, _)| !mount.join(name).is_symlink())
    {
        symlink(Path::new("..data").join(name), mount.join(name)).unwrap();
    }
    if let Ok(old) = old {
        fs::remove_dir_all(mount.join(old)).unwrap();
    }
}
