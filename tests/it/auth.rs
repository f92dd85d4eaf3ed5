//! Authentication of the API, as AWS's own SDK, Outrigger's commands and strangers meet it.

mod client;
mod commands;
mod raw;

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::json;

use crate::world::{PATIENCE, World, eventually};
use client::{Job, Sdk};

const MINIMAL: &str = include_str!("../../config/minimal/mesh.yaml");
pub(crate) const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const OTHER_SECRET: &str = "je7MtGbClwBF/2Zp9Utk/h3yCo8nvbEXAMPLEKEY";
const TOKEN: &str = "AQoDYXdzEPT//////////wEXAMPLE+token==";

const KEYS: &str = "\
- accessKeyId: AKIDALL
  secretAccessKey: wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY
  name: everything
- accessKeyId: ASIATOKEN
  secretAccessKey: wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY
  sessionToken: AQoDYXdzEPT//////////wEXAMPLE+token==
- accessKeyId: AKIDREADER
  secretAccessKey: je7MtGbClwBF/2Zp9Utk/h3yCo8nvbEXAMPLEKEY
  readOnly: true
- accessKeyId: AKIDTEAM
  secretAccessKey: je7MtGbClwBF/2Zp9Utk/h3yCo8nvbEXAMPLEKEY
  meshes: [team-*]
";

pub(crate) fn write_keys(world: &World, keys: &str) -> PathBuf {
    let path = world.folder.path().join("keys.yaml");
    std::fs::write(&path, keys).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

/// A control plane whose API takes these keys.
pub(crate) async fn world() -> World {
    let mut world = World::new().await;
    let keys = write_keys(&world, KEYS);
    let keys = keys.to_str().unwrap();
    world.serve_args = ["--api-auth", "sigv4", "--api-credentials", keys]
        .map(str::to_owned)
        .to_vec();
    world.log = "info,outrigger=trace";
    world.serve(MINIMAL).await;
    world
}

/// Nothing that would let somebody else call is in the log.
pub(crate) fn assert_log_is_clean(world: &World) {
    let log = std::fs::read_to_string(world.folder.path().join("control-plane.log")).unwrap();
    assert!(log.contains("request refused"), "{log}");
    for secret in [SECRET, OTHER_SECRET, TOKEN, "Signature="] {
        assert!(!log.contains(secret), "{secret} in\n{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sdk_passes_with_its_key_and_understands_why_not() {
    let world = world().await;
    let mut sdk = Sdk::start(&world);
    let good = Job::new(&world, "AKIDALL", SECRET);
    sdk.run(&good).passed();
    // A body, and a name that has to be encoded: once in the path, once more where it is signed.
    sdk.run(&Job {
        operation: "create_virtual_node",
        arguments: json!({"meshName": "ä mesh", "virtualNodeName": "n", "spec": {}}),
        region: "eu-central-1",
        ..good.clone()
    })
    .passed();
    let arn = "arn:aws:appmesh:us-east-1:000000000000:mesh/m";
    sdk.run(&Job {
        operation: "tag_resource",
        arguments: json!({"resourceArn": arn, "tags": [{"key": "a", "value": "b+c d"}]}),
        ..good.clone()
    })
    .passed();

    let wrong = sdk.run(&Job {
        secret: Some(OTHER_SECRET),
        ..good.clone()
    });
    wrong.refused(
        "InvalidSignatureException",
        "does not match the signature you provided",
    );
    wrong.refused(
        "InvalidSignatureException",
        "The Canonical String for this request should have been\n'GET\n/v20190125/meshes\n",
    );
    let message = wrong.message.unwrap();
    assert!(
        !message.contains(SECRET) && !message.contains(OTHER_SECRET),
        "{message}"
    );
    let unknown = sdk.run(&Job {
        key: "AKIDNOBODY",
        ..good.clone()
    });
    unknown.refused("UnrecognizedClientException", "--api-credentials");
    let unsigned = sdk.run(&Job {
        secret: None,
        ..good.clone()
    });
    unsigned.refused("MissingAuthenticationTokenException", "is not signed");
    assert_log_is_clean(&world);
    let series = r#"outrigger_api_refused_requests_total{exception="InvalidSignatureException"}"#;
    assert_eq!(world.metric(series).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_wrong_is_told_the_time() {
    let world = world().await;
    let mut sdk = Sdk::start(&world);
    let shifted = |shift| Job {
        shift,
        ..Job::new(&world, "AKIDALL", SECRET)
    };
    for shift in [-240, 240] {
        sdk.run(&shifted(shift)).passed();
    }
    sdk.run(&shifted(-360))
        .refused("InvalidSignatureException", "signature expired: ");
    sdk.run(&shifted(360))
        .refused("InvalidSignatureException", "signature not yet current: ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_token_is_checked_and_never_shown() {
    let world = world().await;
    let mut sdk = Sdk::start(&world);
    let good = Job {
        token: Some(TOKEN),
        ..Job::new(&world, "ASIATOKEN", SECRET)
    };
    sdk.run(&good).passed();
    for (key, token) in [
        ("ASIATOKEN", None),
        ("ASIATOKEN", Some("other")),
        ("AKIDALL", Some(TOKEN)),
    ] {
        let job = Job {
            key,
            token,
            ..good.clone()
        };
        sdk.run(&job).refused(
            "UnrecognizedClientException",
            "the session token is not the one of this key",
        );
    }
    let wrong = sdk.run(&Job {
        secret: Some(OTHER_SECRET),
        ..good
    });
    wrong.refused("InvalidSignatureException", "x-amz-security-token:…");
    assert!(!wrong.message.unwrap().contains(TOKEN));
    assert_log_is_clean(&world);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_presigned_url_is_good_for_its_time() {
    let world = world().await;
    let mut sdk = Sdk::start(&world);
    let good = Job {
        path: Some("/v20190125/meshes?limit=5"),
        ..Job::new(&world, "AKIDALL", SECRET)
    };
    sdk.run(&good).passed();
    sdk.run(&Job {
        key: "ASIATOKEN",
        token: Some(TOKEN),
        ..good.clone()
    })
    .passed();
    let old = |expires| Job {
        shift: -3600,
        expires,
        ..good.clone()
    };
    sdk.run(&old(3700)).passed();
    sdk.run(&old(3500))
        .refused("InvalidSignatureException", "signature expired: ");
    let changed = Job {
        more: "&nextToken=x",
        ..good.clone()
    };
    sdk.run(&changed)
        .refused("InvalidSignatureException", "nextToken=x");
    let for_ever = Job {
        expires: 604_801,
        ..good
    };
    sdk.run(&for_ever)
        .refused("IncompleteSignatureException", "from 1 to 604800");
    assert_log_is_clean(&world);
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "a list, one call after another")]
async fn a_key_does_what_it_may() {
    let world = world().await;
    let mut sdk = Sdk::start(&world);
    let arn =
        |mesh: &str| format!("arn:aws:appmesh:us-east-1:000000000000:mesh/{mesh}/virtualNode/n");
    let tags = json!([{"key": "a", "value": "b"}]);
    let node = |mesh| json!({"meshName": mesh, "virtualNodeName": "n"});
    for (key, operation, arguments, is_allowed) in [
        ("AKIDREADER", "list_meshes", json!({}), true),
        (
            "AKIDREADER",
            "describe_mesh",
            json!({"meshName": "appMesh"}),
            true,
        ),
        ("AKIDREADER", "create_mesh", json!({"meshName": "m"}), false),
        ("AKIDREADER", "delete_virtual_node", node("appMesh"), false),
        (
            "AKIDREADER",
            "list_tags_for_resource",
            json!({"resourceArn": arn("m")}),
            true,
        ),
        (
            "AKIDREADER",
            "tag_resource",
            json!({"resourceArn": arn("m"), "tags": tags}),
            false,
        ),
        ("AKIDTEAM", "list_meshes", json!({}), true),
        (
            "AKIDTEAM",
            "create_mesh",
            json!({"meshName": "team-a"}),
            true,
        ),
        (
            "AKIDTEAM",
            "create_mesh",
            json!({"meshName": "other"}),
            false,
        ),
        ("AKIDTEAM", "describe_virtual_node", node("team-a"), true),
        ("AKIDTEAM", "describe_virtual_node", node("other"), false),
        ("AKIDTEAM", "delete_virtual_node", node("team-a"), true),
        (
            "AKIDTEAM",
            "tag_resource",
            json!({"resourceArn": arn("team-b"), "tags": tags}),
            true,
        ),
        (
            "AKIDTEAM",
            "untag_resource",
            json!({"resourceArn": arn("other"), "tagKeys": ["a"]}),
            false,
        ),
        (
            "AKIDTEAM",
            "list_tags_for_resource",
            json!({"resourceArn": arn("other")}),
            false,
        ),
    ] {
        let job = Job {
            operation,
            arguments,
            ..Job::new(&world, key, OTHER_SECRET)
        };
        let outcome = sdk.run(&job);
        if is_allowed {
            outcome.passed();
        } else {
            outcome.refused("AccessDeniedException", "is not authorized to");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keys_are_read_again_when_they_change() {
    let world = world().await;
    let mut sdk = Sdk::start(&world);
    let job = Job::new(&world, "AKIDALL", SECRET);
    sdk.run(&job).passed();
    // Broken: the old keys stay, and everybody is told.
    write_keys(&world, &format!("{KEYS}  readonly: {SECRET}\n"));
    let words = "degraded: API credentials: not taken, the old keys stay: ";
    let report = eventually("readiness tells", PATIENCE, async || {
        let report = world
            .get(world.at(1, 9081), "ignored", "/readyz")
            .await
            .ok()?
            .1;
        report.contains(words).then_some(report)
    })
    .await;
    assert!(
        report.contains("keys.yaml:13:3: this is no member of a key"),
        "{report}"
    );
    assert!(!report.contains(SECRET), "{report}");
    sdk.run(&job).passed();
    // Taken away: refused from then on, though it was good a moment ago.
    write_keys(&world, &KEYS.replace("AKIDALL", "AKIDNEW"));
    eventually("the old key is refused", PATIENCE, async || {
        let code = sdk.run(&job).code;
        (code.as_deref() == Some("UnrecognizedClientException")).then_some(())
    })
    .await;
    sdk.run(&Job::new(&world, "AKIDNEW", SECRET)).passed();
    assert_eq!(world.metric("outrigger_api_credentials ").await, 4);
    assert_log_is_clean(&world);
}
