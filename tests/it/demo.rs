//! The demo as a user runs it: the whole program, with real Envoys.

use std::io::{BufRead, BufReader, Read};
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::envoy::OUTRIGGER;

/// A loopback network that no other test uses, also not one of a test run beside this one.
fn network() -> Ipv4Addr {
    static NEXT: AtomicU8 = AtomicU8::new(200);
    let second = 64 + u8::try_from(std::process::id() % 128).unwrap();
    Ipv4Addr::new(127, second, NEXT.fetch_add(1, Ordering::Relaxed), 0)
}

/// The demo, with its working folder below `folder`: one that is killed leaves it behind.
fn demo(network: Ipv4Addr, folder: &TempDir) -> Command {
    let mut command = Command::new(OUTRIGGER);
    command
        .args(["demo", "--network", &network.to_string()])
        .env("TMPDIR", folder.path());
    command
}

#[tokio::test]
async fn the_demo_s_own_check_passes() {
    crate::envoy::binary().await;
    let folder = tempfile::tempdir().unwrap();
    let output = demo(network(), &folder).arg("--check").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}\n{errors}");
    for found in [
        "200 requests",
        "ms from the saved file",
        "ms from a removed address",
    ] {
        assert!(said.contains(found), "{said}");
    }
    let left = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 0, "the working folder goes with the demo");
}

#[tokio::test]
async fn the_mirror_carries_the_same_traffic() {
    crate::envoy::binary().await;
    let folder = tempfile::tempdir().unwrap();
    let mut demo = demo(network(), &folder);
    let output = demo.args(["--check", "--mirror"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}\n{errors}");
    for found in [
        "the mirror's sidecars carry requests by name",
        "the changed weight at the mirror",
    ] {
        assert!(said.contains(&format!("✓ {found}")), "{said}");
    }
}

#[tokio::test]
async fn nothing_outlives_a_demo_that_is_killed() {
    crate::envoy::binary().await;
    let network = network();
    let folder = tempfile::tempdir().unwrap();
    let mut running = demo(network, &folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(running.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().starts_with("Ctrl-C ends")));
    let children = children_of(running.id());
    // Four services and their four sidecars.
    assert_eq!(children.len(), 8);

    // Its ports are taken: a second one says so, in one sentence, and harms nothing.
    let second = demo(network, &folder).output().unwrap();
    let said = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(1), "{said}");
    assert!(said.contains("is in use"), "{said}");
    assert_eq!(children_of(running.id()), children);

    running.kill().unwrap();
    running.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while children.iter().any(|&child| crate::child::runs(child)) {
        assert!(Instant::now() < deadline, "children outlived the demo");
        std::thread::yield_now();
    }
}

/// The processes whose parent this one is.
fn children_of(parent: u32) -> Vec<u32> {
    let mut children = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(id) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let mut stat = String::new();
        // A process may end between the listing and the look.
        if let Ok(mut file) = std::fs::File::open(entry.path().join("stat")) {
            file.read_to_string(&mut stat).ok();
        }
        let fields = stat.rsplit_once(") ").map(|(_, fields)| fields);
        if fields.and_then(|fields| fields.split(' ').nth(1)) == Some(&parent.to_string()) {
            children.push(id);
        }
    }
    children.sort_unstable();
    children
}
