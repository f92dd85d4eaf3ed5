//! Outrigger's own commands against an API that wants signatures.

use std::process::Output;

use outrigger::api::operator::generated::ListClientsRequest;
use outrigger::api::operator::generated::operator_client::OperatorClient;
use outrigger::envoy::bootstrap::XdsProtocol;
use tonic::Code;

use super::{KEYS, MINIMAL, OTHER_SECRET, SECRET, TOKEN, assert_log_is_clean, world, write_keys};
use crate::cli::outrigger_with;
use crate::continuity::A;
use crate::world::{PATIENCE, World, eventually};

const EVERYTHING: &[(&str, &str)] = &[
    ("AWS_ACCESS_KEY_ID", "AKIDALL"),
    ("AWS_SECRET_ACCESS_KEY", SECRET),
];
const READER: &[(&str, &str)] = &[
    ("AWS_ACCESS_KEY_ID", "AKIDREADER"),
    ("AWS_SECRET_ACCESS_KEY", OTHER_SECRET),
];
const TEAM: &[(&str, &str)] = &[
    ("AWS_ACCESS_KEY_ID", "AKIDTEAM"),
    ("AWS_SECRET_ACCESS_KEY", OTHER_SECRET),
];

fn run(world: &World, key: &[(&str, &str)], arguments: &[&str]) -> Output {
    let url = format!("http://{}", world.at(1, 9080));
    let key = [key, &[("OUTRIGGER_API_URL", url.as_str())]].concat();
    outrigger_with(world.folder.path(), &key, arguments)
}

/// Its exit code, and words on standard output or standard error.
#[track_caller]
fn check(output: &Output, code: i32, words: &str) {
    let printed = String::from_utf8_lossy(&output.stdout);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{printed}{said}");
    assert!(
        printed.contains(words) || said.contains(words),
        "{words}: {printed}{said}"
    );
    assert!(
        !said.contains(SECRET) && !said.contains(OTHER_SECRET),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_sign_with_the_variables_of_aws() {
    let world = world().await;
    let _a = world.start_sidecar(A, 2, XdsProtocol::Delta);
    eventually("the sidecar is connected", PATIENCE, async || {
        let status = run(&world, EVERYTHING, &["status", A]);
        status.status.success().then_some(())
    })
    .await;
    check(&run(&world, EVERYTHING, &["config", A]), 0, "resources");
    check(&run(&world, READER, &["status"]), 0, A);
    let set = ["endpoints", "set", A, "10.0.0.7"];
    check(&run(&world, EVERYTHING, &set), 0, "");
    check(
        &run(&world, READER, &["endpoints", "get", A]),
        0,
        "10.0.0.7",
    );
    // A name that is encoded, in both places.
    let odd = ["endpoints", "set", "mesh/ä mesh/virtualNode/n", "10.0.0.7"];
    check(
        &run(&world, EVERYTHING, &odd),
        1,
        "there is no mesh `ä mesh`",
    );

    let help = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to a key";
    for arguments in [&["status"][..], &["config", A], &set] {
        let unsigned = run(&world, &[], arguments);
        check(&unsigned, 2, help);
        check(&unsigned, 2, "the request is not signed");
    }
    let wrong = [
        ("AWS_ACCESS_KEY_ID", "AKIDALL"),
        ("AWS_SECRET_ACCESS_KEY", OTHER_SECRET),
    ];
    check(
        &run(&world, &wrong, &["status"]),
        2,
        "InvalidSignatureException",
    );
    let token = |token| {
        [
            ("AWS_ACCESS_KEY_ID", "ASIATOKEN"),
            ("AWS_SECRET_ACCESS_KEY", SECRET),
            ("AWS_SESSION_TOKEN", token),
        ]
    };
    check(&run(&world, &token(TOKEN), &["status"]), 0, A);
    check(
        &run(&world, &token("other"), &["status"]),
        2,
        "UnrecognizedClientException",
    );
    assert_log_is_clean(&world);
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_show_and_change_what_the_key_may() {
    let world = world().await;
    let _a = world.start_sidecar(A, 2, XdsProtocol::Delta);
    eventually("the sidecar is connected", PATIENCE, async || {
        let status = run(&world, READER, &["status", A]);
        status.status.success().then_some(())
    })
    .await;
    check(
        &run(&world, EVERYTHING, &["endpoints", "set", A, "10.0.0.7"]),
        0,
        "",
    );
    let denied = "is not authorized to write";
    check(
        &run(&world, READER, &["endpoints", "set", A, "10.0.0.8"]),
        1,
        denied,
    );
    check(&run(&world, READER, &["endpoints", "clear", A]), 1, denied);
    // Of what is there, another team sees nothing.
    for everything in [&["status"][..], &["endpoints", "get"]] {
        check(&run(&world, READER, everything), 0, "serviceANode");
        let shown = run(&world, TEAM, everything);
        check(&shown, 0, "");
        assert!(
            !String::from_utf8_lossy(&shown.stdout).contains("serviceANode"),
            "{shown:?}"
        );
    }
    let denied = "is not authorized to read mesh `appMesh`";
    for (one, code) in [(&["status", A][..], 1), (&["config", A], 1)] {
        check(&run(&world, TEAM, one), code, denied);
    }
    check(
        &run(&world, TEAM, &["endpoints", "get", A]),
        1,
        "on mesh `appMesh`",
    );
    check(
        &run(&world, TEAM, &["endpoints", "get", "mesh/appMesh"]),
        1,
        "on mesh `appMesh`",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unsigned_grpc_call_gets_a_grpc_status() {
    let world = world().await;
    let url = format!("http://{}", world.at(1, 9080));
    let mut operator = OperatorClient::connect(url).await.unwrap();
    let status = operator
        .list_clients(ListClientsRequest::default())
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated, "{status}");
    assert!(
        status
            .message()
            .starts_with("MissingAuthenticationTokenException: "),
        "{status}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_call_passes_where_nobody_has_to_sign() {
    let mut world = World::new().await;
    world.serve(MINIMAL).await;
    check(&run(&world, EVERYTHING, &["status"]), 0, "");
    check(&run(&world, EVERYTHING, &["endpoints", "get"]), 0, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_does_not_start_with_keys_that_others_can_read() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new().await;
    let path = write_keys(&world, KEYS);
    world.write_mesh(MINIMAL);
    let addresses = ["--xds-addr", "--api-addr", "--admin-addr"].map(|flag| [flag, "127.0.0.1:0"]);
    let mut arguments = vec!["serve", "--mesh", "mesh", "--api-auth", "sigv4"];
    arguments.extend(addresses.iter().flatten());
    let with = |keys: &'static str| [&arguments[..], &["--api-credentials", keys]].concat();
    let permissions = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(&path, permissions).unwrap();
    let serve = |keys| outrigger_with(world.folder.path(), &[], &with(keys));
    check(&serve("keys.yaml"), 2, "has mode 0644");
    check(
        &serve("none.yaml"),
        2,
        "name one that exists with --api-credentials",
    );
    check(
        &outrigger_with(world.folder.path(), &[], &arguments),
        2,
        "needs keys",
    );
    let broken = KEYS.replace("secretAccessKey: w", "secretaccesskey: w");
    write_keys(&world, &broken);
    check(
        &serve("keys.yaml"),
        2,
        "keys.yaml:2:3: this is no member of a key",
    );
}
