//! The binary as a user meets it: what it prints, where, and with which exit code.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use outrigger::envoy::bootstrap::XdsProtocol;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::world::{OUTRIGGER, PATIENCE, World, eventually};

const MINIMAL: &str = include_str!("../../config/minimal/mesh.yaml");

/// Five mistakes, each of another sort.
const BROKEN: &str = "\
kind: VirtualNode
meshName: m
virtualNodeName: a
spec:
  listeners: [{ portMapping: { port: 99999, protocol: http } }]
  backend: []
---
kind: VirtualService
meshName: m
virtualServiceName: a.local
spec: { provider: { virtualNode: { virtualNodeName: nobody } } }
---
kind: VirtualThing
meshName: m
---
kind: Mesh
meshName: m
spec: { egressFilter: { type: ALLOW_SOME } }
";

/// Runs the binary in a folder, without the caller's own settings.
fn outrigger(folder: &Path, arguments: &[&str]) -> Output {
    outrigger_with(folder, &[], arguments)
}

/// The same, with these variables.
pub(crate) fn outrigger_with(
    folder: &Path,
    variables: &[(&str, &str)],
    arguments: &[&str],
) -> Output {
    let mut command = Command::new(OUTRIGGER);
    let own = |name: &String| name.starts_with("OUTRIGGER_") || name.starts_with("AWS_");
    for name in std::env::vars().map(|(name, _)| name).filter(own) {
        command.env_remove(name);
    }
    command
        .args(arguments)
        .envs(variables.iter().copied())
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("mesh")).unwrap();
    std::fs::write(folder.path().join("mesh/mesh.yaml"), MINIMAL).unwrap();
    folder
}

#[test]
fn validate_prints_every_problem_with_its_place() {
    let folder = folder();
    std::fs::write(folder.path().join("broken.yaml"), BROKEN).unwrap();
    let output = outrigger(folder.path(), &["validate", "broken.yaml"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stderr.is_empty());
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(!printed.contains('\u{1b}'), "no colours in a pipe");
    insta::with_settings!({omit_expression => true}, {
        insta::assert_snapshot!("five_mistakes", printed);
    });
}

#[test]
fn validate_of_a_good_folder_succeeds_in_every_form() {
    let folder = folder();
    let output = outrigger(folder.path(), &["validate", "mesh"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&output.stdout).contains("0 errors"));
    let output = outrigger(folder.path(), &["validate", "mesh", "--output", "json"]);
    let verdict: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&verdict["resources"], &verdict["errors"]),
        (&5.into(), &0.into())
    );
}

/// The arguments that serve the folder's mesh, and more.
fn serve<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["serve", "--mesh", "mesh"], more].concat()
}

/// Every way to start it wrong that needs no other process: what it says, in one sentence with the way out.
#[test]
#[expect(clippy::too_many_lines, reason = "a list, one mistake after another")]
fn what_cannot_be_done_is_said_in_a_sentence() {
    let folder = folder();
    let at = folder.path();
    std::fs::create_dir(at.join("empty")).unwrap();
    empty_store(at);
    std::fs::create_dir(at.join("folder.yaml")).unwrap();
    std::os::unix::fs::symlink("nowhere", at.join("link.yaml")).unwrap();
    std::fs::write(at.join("bad.yaml"), "xds-adr: 127.0.0.1:1\n").unwrap();
    let node = "mesh/m/virtualNode/n";
    let cases: Vec<(Vec<&str>, &str)> = vec![
        (
            vec!["serve", "--data-dir", "damaged"],
            "`damaged/mesh.redb` is empty",
        ),
        (
            vec!["store", "check", "--data-dir", "empty"],
            "there is no store in `empty`",
        ),
        (
            vec!["serve", "--mesh", "nowhere"],
            "`nowhere` does not exist; name",
        ),
        (
            vec!["serve", "--mesh", "empty"],
            "`empty` has no mesh files; put",
        ),
        (
            vec!["serve", "--mesh", "link.yaml"],
            "`link.yaml` does not exist",
        ),
        (
            vec!["validate", "nowhere"],
            "`nowhere` does not exist; name",
        ),
        (
            vec!["validate", "folder.yaml"],
            "`folder.yaml` has no mesh files",
        ),
        (
            serve(&["--log", "a=b=c"]),
            "log filter `a=b=c` cannot be read; use",
        ),
        (
            serve(&["--config", "none"]),
            "cannot read configuration file `none`",
        ),
        (serve(&["--config", "bad.yaml"]), "unknown field `xds-adr`"),
        (serve(&["--xds-addr", "0.0.0.0:0"]), "or pass --insecure"),
        (serve(&["--api-addr", "[::]:0"]), "or pass --insecure"),
        (serve(&["--frob"]), "unexpected argument '--frob'"),
        (
            vec!["status", "--api-url", "http://127.0.0.1:1"],
            "is `outrigger serve` running?",
        ),
        (
            vec!["config", node, "--api-url", "http://127.0.0.1:1"],
            "is `outrigger serve` running?",
        ),
        (vec!["bootstrap", "a"], "mesh/MESH/virtualNode/NODE"),
        (
            vec!["bootstrap", node, "--app", "x"],
            "like `8080=127.0.0.1:18080`",
        ),
        (
            vec!["bootstrap", node, "--xds-addr", "x"],
            "is no `host:port`",
        ),
        (
            vec!["bootstrap", node, "--client", "grpc", "--sotw"],
            "`--sotw` is Envoy's",
        ),
    ];
    for (arguments, words) in cases {
        assert_unable(&outrigger(at, &arguments), words);
    }
}

/// Exit codes are what a container's health check looks at: 1 is unwell, 0 well, and nothing else is used.
#[tokio::test(flavor = "multi_thread")]
async fn health_is_an_exit_code() {
    let mut world = World::new().await;
    let admin = format!("http://{}", world.at(1, 9081));
    let health =
        |path: &str| outrigger(world.folder.path(), &["health", &format!("{admin}{path}")]);
    let nobody = health("/readyz");
    assert_eq!(nobody.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&nobody.stderr).contains("/readyz does not answer"),
        "{nobody:?}"
    );

    world.serve(MINIMAL).await;
    let health =
        |path: &str| outrigger(world.folder.path(), &["health", &format!("{admin}{path}")]);
    let well = health("/readyz");
    assert_eq!(well.status.code(), Some(0), "{well:?}");
    assert_eq!(well.stdout, b"ready\n");
    let unwell = health("/nothing");
    assert_eq!(unwell.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&unwell.stderr)
            .contains("/nothing answers 404 Not Found: here are"),
        "{unwell:?}"
    );
}

#[test]
fn a_taken_port_is_named_with_its_flag() {
    let folder = folder();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let flags = ["--xds-addr", "--api-addr", "--admin-addr"];
    for flag in flags {
        let mut arguments = vec!["serve", "--mesh", "mesh"];
        for other in flags {
            arguments.extend([
                other,
                if other == flag {
                    &address
                } else {
                    "127.0.0.1:0"
                },
            ]);
        }
        let words = format!("({flag}); is another process using it?");
        assert_unable(&outrigger(folder.path(), &arguments), &words);
    }
}

/// Exit code 2, nothing on standard output, and these words on standard error, uncoloured.
#[track_caller]
fn assert_unable(output: &Output, words: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(output.stdout.is_empty(), "{said}");
    assert!(
        said.starts_with("error: ") && said.contains(words),
        "{said}"
    );
    assert!(!said.contains('\u{1b}'), "no colours in a pipe: {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_serve_while_an_envoy_is_connected() {
    let mut world = World::new().await;
    world.serve(MINIMAL).await;
    let node = "mesh/appMesh/virtualNode/serviceANode";
    let _envoy = world.start_sidecar(node, 2, XdsProtocol::Delta);
    let api = format!("http://{}", world.at(1, 9080));
    eventually("Envoy is connected", PATIENCE, async || {
        let status = outrigger(world.folder.path(), &["status", node, "--api-url", &api]);
        status.status.success().then_some(())
    })
    .await;
    let unknown = ["config", "mesh/m/virtualNode/nobody", "--api-url", &api];
    assert_eq!(
        outrigger(world.folder.path(), &unknown).status.code(),
        Some(1)
    );
    let told = Instant::now();
    let status = world
        .control
        .as_mut()
        .unwrap()
        .stop(PATIENCE)
        .await
        .unwrap();
    assert_eq!(status.code(), Some(0));
    assert!(told.elapsed().as_secs() < 5, "{:?}", told.elapsed());
}

/// A data folder whose store something has emptied.
fn empty_store(at: &Path) {
    std::fs::create_dir(at.join("damaged")).unwrap();
    std::fs::write(at.join("damaged/mesh.redb"), "").unwrap();
}

/// A setting given at all four places, then at one less each time. What is complained about is the value in use.
#[test]
fn a_flag_wins_over_a_variable_a_variable_over_the_file_and_that_over_the_default() {
    let folder = folder();
    let at = folder.path();
    empty_store(at);
    // Keeps even good settings from being served.
    let unservable = ["--mesh", "mesh", "--dns-min-ttl", "1h"].as_slice();
    let settings = [
        (
            ["dns-max-ttl", "4s", "3s", "2s"],
            unservable,
            ["max-ttl 4s;", "max-ttl 3s;", "max-ttl 2s;", "max-ttl 30s;"],
        ),
        (
            ["xds-addr", "0.0.0.0:4", "0.0.0.0:3", "0.0.0.0:2"],
            unservable,
            // The default is a loopback address, with which nothing is wrong.
            [" 0.0.0.0:4 is", " 0.0.0.0:3 is", " 0.0.0.0:2 is", "max-ttl"],
        ),
        (
            ["mesh", "flag", "variable", "file"],
            // Looked at once there are no mesh files that could be wrong.
            &["--data-dir", "damaged"],
            [
                "`flag` does",
                "`variable` does",
                "`file` does",
                "mesh.redb` is empty",
            ],
        ),
    ];
    for ([name, flag, variable, file], more, expected) in settings {
        let long = format!("--{name}");
        let upper = format!("OUTRIGGER_{}", name.replace('-', "_").to_uppercase());
        let value = if name == "mesh" {
            format!("[{file}]")
        } else {
            file.to_owned()
        };
        std::fs::write(at.join("file.yaml"), format!("{name}: {value}\n")).unwrap();
        let (flag, config) = ([long.as_str(), flag], ["--config", "file.yaml"]);
        let variable = (upper.as_str(), variable);
        let given: [(&[_], &[_], &[_]); 4] = [
            (&flag, &[variable], &config),
            (&[], &[variable], &config),
            (&[], &[], &config),
            (&[], &[], &[]),
        ];
        for ((flag, variable, config), words) in given.into_iter().zip(expected) {
            let arguments = [&["serve"], flag, config, more].concat();
            assert_unable(&outrigger_with(at, variable, &arguments), words);
        }
    }
}

/// A request whose body never ends keeps `serve` from ending by itself within its grace of ten seconds.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_serve_at_once() {
    let mut world = World::new().await;
    world.serve(MINIMAL).await;
    let api = world.at(1, 9080);
    let mut client = TcpStream::connect(api).await.unwrap();
    let head = format!(
        "POST /outrigger.operator.v1.Operator/ListClients HTTP/1.1\r\nhost: {api}\r\n\
         content-type: application/grpc\r\nexpect: 100-continue\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    client.write_all(head.as_bytes()).await.unwrap();
    // The server says so when it waits for the body.
    let mut answer = [0; 12];
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 100");

    let told = Instant::now();
    signal(&world);
    eventually("serve is stopping", PATIENCE, async || {
        world.control_log().contains("stopping").then_some(())
    })
    .await;
    let ended = world.control.as_mut().unwrap().ended();
    assert!(ended.is_none(), "{}", world.control_log());
    // Again and again, as a person would: between the two waits for a signal one may go unheard.
    let ended = eventually("serve has ended", PATIENCE, async || {
        signal(&world);
        world.control.as_mut().unwrap().ended()
    })
    .await;
    let log = world.control_log();
    assert_eq!(ended.code(), Some(0), "{log}");
    assert!(log.contains("told to stop again: ending now"), "{log}");
    assert!(told.elapsed().as_secs() < 5, "{:?}", told.elapsed());
}

/// SIGTERM to the control plane, unless it has ended and been waited for.
fn signal(world: &World) {
    let pid = world.control.as_ref().unwrap().id();
    if let Some(pid) = pid.and_then(|pid| Pid::from_raw(pid.try_into().unwrap())) {
        kill_process(pid, Signal::TERM).unwrap();
    }
}
