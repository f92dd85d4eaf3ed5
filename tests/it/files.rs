//! What the system may refuse to a process that reads mesh files: permissions, watches.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use outrigger::envoy::child::ChildCommand;

use crate::world::{OUTRIGGER, PATIENCE, World, eventually};

const MESH: &str = "kind: Mesh\nmeshName: m\n";
const NOBODY: u32 = 65_534;

fn open(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_file_without_permission_is_reported_beside_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path(), 0o755);
    // The build's own folder may be closed to others.
    let binary = folder.path().join("outrigger");
    std::fs::hard_link(OUTRIGGER, &binary)
        .or_else(|_| std::fs::copy(OUTRIGGER, &binary).map(drop))
        .unwrap();
    let mesh = folder.path().join("mesh");
    std::fs::create_dir(&mesh).unwrap();
    std::fs::write(mesh.join("mesh.yaml"), "kind: Mesh\nmeshName: 5\n").unwrap();
    std::fs::write(mesh.join("secret.yaml"), MESH).unwrap();
    open(&mesh.join("secret.yaml"), 0o600);
    let validate = || {
        let output = Command::new(&binary)
            .args(["validate", "--output", "json", "mesh"])
            .current_dir(folder.path())
            .uid(NOBODY)
            .gid(NOBODY)
            .output();
        output.expect("becoming another user needs root, as these tests do")
    };
    let output = validate();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let verdict: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let whats: Vec<_> = (0..2)
        .map(|index| verdict["problems"][index]["what"].as_str().unwrap())
        .collect();
    assert_eq!(
        whats,
        [
            "`meshName` must be text, not 5",
            "the file cannot be read: Permission denied (os error 13)"
        ]
    );
    open(&mesh, 0o700);
    let output = validate();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("`mesh` cannot be read; give this user the permission to read it"),
        "{said}"
    );
}

#[test]
fn validate_reads_standard_input() {
    let validate = |text: &[u8]| {
        let mut child = Command::new(OUTRIGGER)
            .args(["validate", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(text).unwrap();
        let output = child.wait_with_output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
        )
    };
    let (code, said) = validate(MESH.as_bytes());
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("1 valid resource in 1 file: 0 errors"),
        "{said}"
    );
    let (code, said) = validate(b"kind: Mesh\nmeshName: [m]\n");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("[-:2:"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_watches_left_changes_are_noticed_a_little_later() {
    let mut world = World::new().await;
    let mesh = world.folder.path().join("mesh");
    for number in 0..6 {
        let part = mesh.join(format!("part{number}"));
        std::fs::create_dir(&part).unwrap();
        std::fs::write(
            part.join("mesh.yaml"),
            format!("kind: Mesh\nmeshName: m{number}\n"),
        )
        .unwrap();
    }
    // A user namespace has a limit of its own, so that nobody else on this machine is short of watches.
    let serve = "echo 3 > /proc/sys/user/max_inotify_watches && exec \"$@\"";
    let log = world.folder.path().join("control-plane.log");
    let control = ChildCommand::new(OUTRIGGER, "unshare")
        .args([
            "--user",
            "--map-root-user",
            "sh",
            "-c",
            serve,
            "sh",
            OUTRIGGER,
            "serve",
        ])
        .arg("--mesh")
        .arg(&mesh)
        .args(["--xds-addr", &world.at(1, 18000).to_string()])
        .args(["--api-addr", &world.at(1, 9080).to_string()])
        .args(["--admin-addr", &world.at(1, 9081).to_string()])
        .spawn("control plane", &log)
        .unwrap();
    world.control = Some(control);
    let logged = async |text: &str| {
        eventually(text, PATIENCE, async || {
            std::fs::read_to_string(&log)
                .ok()?
                .contains(text)
                .then_some(())
        })
        .await;
    };
    logged("revision=1").await;
    logged("changes in 5 of 8 folders of mesh files are noticed within 2s, not at once: the system's watches are used up").await;
    for (revision, part) in [(2, "part0"), (3, "part5")] {
        let text = format!(
            "kind: Mesh\nspec: {{ egressFilter: {{ type: ALLOW_ALL }} }}\nmeshName: m{}\n",
            &part[4..]
        );
        std::fs::write(mesh.join(part).join("mesh.yaml"), text).unwrap();
        logged(&format!("revision={revision}")).await;
    }
}
