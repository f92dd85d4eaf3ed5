//! Children that die with the process that started them.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use outrigger::envoy::child::ChildCommand;

const OUTRIGGER: &str = env!("CARGO_BIN_EXE_outrigger");
const DEADLINE: Duration = Duration::from_secs(20);

/// Whether a process runs. One that has ended and is not yet waited for does not.
pub(crate) fn runs(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        let state = stat
            .rsplit_once(") ")
            .and_then(|(_, rest)| rest.chars().next());
        !matches!(state, Some('Z' | 'X'))
    })
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not within {DEADLINE:?}");
        std::thread::yield_now();
    }
}

#[test]
fn a_child_dies_with_a_parent_that_is_killed() {
    // A shell is the parent: it starts a guarded `sleep`, says its process id, and waits to be killed.
    let script = format!("{OUTRIGGER} run-child --parent $$ -- sleep 600 & echo $!; wait");
    let mut parent = Command::new("sh")
        .args(["-c", &script])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(parent.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let child: u32 = line.trim().parse().unwrap();
    let is_sleep = || {
        std::fs::read(format!("/proc/{child}/cmdline")).is_ok_and(|line| line.starts_with(b"sleep"))
    };
    wait_until("the guard becomes the command", is_sleep);

    parent.kill().unwrap();
    parent.wait().unwrap();
    wait_until("the child is gone", || !runs(child));
}

#[test]
fn a_guard_whose_parent_is_another_starts_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let made = folder.path().join("made");
    let status = Command::new(OUTRIGGER)
        .args(["run-child", "--parent", "1", "--", "touch"])
        .arg(&made)
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(!status.success());
    assert!(!made.exists());
}

#[tokio::test]
async fn a_child_is_stopped_or_killed_and_its_last_lines_kept() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("child.log");
    let shell = |script: &str, log: &Path| {
        ChildCommand::new(OUTRIGGER, "sh")
            .args(["-c", script])
            .spawn("shell", log)
            .unwrap()
    };

    let mut obedient = shell("echo one; echo two >&2; exit 3", &log);
    let status = obedient.wait().await.unwrap();
    assert_eq!(status.code(), Some(3));
    assert_eq!(obedient.last_lines(1), ["two"]);
    assert_eq!(obedient.last_lines(9), ["one", "two"]);

    let deaf = folder.path().join("deaf.log");
    let mut deaf = shell("trap '' TERM; echo deaf; while :; do sleep 1; done", &deaf);
    wait_until("the trap is set", || deaf.last_lines(1) == ["deaf"]);
    let pid = deaf.id().unwrap();
    let status = deaf.stop(Duration::from_millis(50)).await.unwrap();
    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&status),
        Some(9)
    );
    assert!(!runs(pid));

    let dropped = folder.path().join("dropped.log");
    let child = shell("sleep 600", &dropped);
    let pid = child.id().unwrap();
    drop(child);
    wait_until("a dropped child is gone", || !runs(pid));
}
