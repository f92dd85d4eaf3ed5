//! `outrigger endpoints`, as it is typed.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use super::two_nodes_served;
use crate::world::{OUTRIGGER, World};

const B: &str = "mesh/appMesh/virtualNode/serviceBNode";

/// Types the command, with this on its standard input.
fn outrigger(world: &World, arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(OUTRIGGER)
        .arg("endpoints")
        .args(arguments)
        .env("OUTRIGGER_API_URL", format!("http://{}", world.at(1, 9080)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    child.wait_with_output().unwrap()
}

#[track_caller]
fn says(output: &Output, code: i32, words: &[&str]) {
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{text}");
    for word in words {
        assert!(text.contains(word), "no `{word}` in {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_are_set_shown_and_cleared() {
    let world = two_nodes_served().await;
    let run = |arguments: &[&str]| outrigger(&world, arguments, "");
    says(&run(&["get"]), 0, &["no endpoints are registered"]);
    says(&run(&["get", B]), 1, &["its discovery counts"]);
    let set = run(&["set", B, "10.0.0.1", "10.0.0.2:81", "--lease", "1m"]);
    says(
        &set,
        0,
        &["2 endpoints registered", "unless renewed", "no --data-dir"],
    );
    says(&run(&["get"]), 0, &["NODE", B, "in 59 s", "yes"]);
    says(&run(&["get", "mesh/appMesh"]), 0, &[B]);
    says(
        &run(&["get", B]),
        0,
        &["ADDRESS", "10.0.0.2  81", "lease ends in 59 s"],
    );
    let json: Value = serde_json::from_slice(&run(&["get", B, "-o", "json"]).stdout).unwrap();
    assert_eq!(json["leaseSeconds"], json!(60));
    let yaml = "- address: 10.0.0.3\n  zone: a\n  weight: 5\n";
    let set = outrigger(&world, &["set", B, "--file", "-"], yaml);
    says(&set, 0, &["1 endpoints registered, until they are cleared"]);
    says(&run(&["get", B]), 0, &["10.0.0.3", "no lease"]);
    says(&run(&["set", B, "--none"]), 0, &["0 endpoints registered"]);
    says(&run(&["clear", B]), 0, &["its discovery counts"]);
    says(&run(&["clear", B]), 0, &["nothing was registered"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_codes_tell_a_refusal_from_trouble() {
    let world = two_nodes_served().await;
    let run = |arguments: &[&str]| outrigger(&world, arguments, "");
    let nobody = "mesh/appMesh/virtualNode/nobody";
    says(
        &run(&["set", nobody, "10.0.0.1"]),
        1,
        &["no virtual node `nobody`"],
    );
    let twice = run(&["set", B, "10.0.0.1", "10.0.0.1"]);
    says(
        &twice,
        1,
        &["endpoint 1: address 10.0.0.1 is at index 0 already"],
    );
    says(&run(&["set", B, "db.local"]), 2, &["10.0.0.1:8080"]);
    says(&run(&["set", B]), 2, &["ADDRESS[:PORT]"]);
    says(
        &run(&["set", "b", "10.0.0.1"]),
        2,
        &["mesh/MESH/virtualNode/NODE"],
    );
    let text = outrigger(&world, &["set", B, "--file", "-"], "endpoints: 7");
    says(&text, 2, &["no list of endpoints"]);
    let away = run(&["get", "--api-url", "http://127.0.0.1:1"]);
    says(&away, 2, &["cannot reach Outrigger's API"]);
    let admin = format!("http://{}", world.at(1, 9081));
    says(&run(&["get", "--api-url", &admin]), 2, &["answered 404"]);
}
