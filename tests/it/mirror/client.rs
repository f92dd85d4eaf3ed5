//! The client against a real `serve`: every kind and every verb, signed and unsigned, and what the API refuses.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Instant;

use outrigger::appmesh::client::{Client, KeySource, TargetError, TargetOptions, Within};
use outrigger::model::tags::Tags;
use outrigger::model::{GatewayName, MeshName, ResourceId, ResourceKind, RouterName};
use serde_json::json;

use super::{SERVICE, calls_a_second, client, every_kind, id, with_key};
use crate::appmesh::served::Served;

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
/// Where the test in a process of its own finds its target.
const ENDPOINT: &str = "OUTRIGGER_TEST_ENDPOINT";

/// A control plane that takes one key only.
async fn signed() -> Served {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys.yaml");
    let key = format!("- {{accessKeyId: AKID, secretAccessKey: {SECRET}, name: mirror}}\n");
    std::fs::write(&keys, key).unwrap();
    std::fs::set_permissions(&keys, std::fs::Permissions::from_mode(0o600)).unwrap();
    let keys = keys.to_str().unwrap();
    Served::start(&["--api-auth", "sigv4", "--api-credentials", keys]).await
}

fn tags(pairs: &[(&str, &str)]) -> Tags {
    let pairs = pairs.iter();
    pairs
        .map(|(key, value)| ((*key).into(), (*value).into()))
        .collect()
}

fn mesh() -> MeshName {
    MeshName::new("m")
}

/// Makes, reads, changes, tags and deletes one resource of each kind.
async fn tour(client: &Client) {
    let made = tags(&[("team", "a b"), ("empty", "")]);
    for (id, [spec, _]) in &every_kind() {
        assert_eq!(client.describe(id).await.unwrap(), None, "{id}");
        let token = format!("create-{}", id.kind());
        let written = client.create(id, spec, &made, &token).await.unwrap();
        assert_eq!((&written.spec, written.metadata.version), (spec, 1), "{id}");
        // As it is sent when its answer was lost.
        let again = client.create(id, spec, &made, &token).await.unwrap();
        assert_eq!(again, written, "{id}");
        let held = client.describe(id).await.unwrap().unwrap();
        assert_eq!((&held.spec, &held.tags), (spec, &made), "{id}");
        assert_eq!(held.metadata, written.metadata, "{id}");
        assert!(held.metadata.arn.ends_with(&format!(":{id}")), "{held:?}");
        assert!(held.metadata.created_at > 1.7e9, "{held:?}");
        assert_eq!(held.metadata.uid.len(), 36, "{held:?}");
    }
    for (id, [_, spec]) in &every_kind() {
        let written = client
            .update(id, spec, &format!("update-{}", id.kind()))
            .await
            .unwrap();
        assert_eq!((&written.spec, written.metadata.version), (spec, 2), "{id}");
        let arn = &written.metadata.arn;
        client
            .tag(arn, &tags(&[("team", "b"), ("more", "c+d")]))
            .await
            .unwrap();
        let held = client.describe(id).await.unwrap().unwrap();
        assert_eq!(held.spec, *spec, "{id}");
        let expected = tags(&[("team", "b"), ("empty", ""), ("more", "c+d")]);
        assert_eq!(held.tags, expected, "{id}");
    }
    lists(client).await;
    for (id, _) in every_kind().iter().rev() {
        client.delete(id).await.unwrap();
        assert_eq!(client.describe(id).await.unwrap(), None, "{id}");
        // As it is sent when its answer was lost.
        client.delete(id).await.unwrap();
    }
    assert_eq!(client.list(&Within::Meshes).await.unwrap(), []);
    assert_eq!(
        client.list(&Within::VirtualNodes(mesh())).await.unwrap(),
        []
    );
}

async fn lists(client: &Client) {
    let mut seen = Vec::new();
    for within in [
        Within::Meshes,
        Within::VirtualNodes(mesh()),
        Within::VirtualServices(mesh()),
        Within::VirtualRouters(mesh()),
        Within::Routes(mesh(), RouterName::new("r")),
        Within::VirtualGateways(mesh()),
        Within::GatewayRoutes(mesh(), GatewayName::new("g")),
    ] {
        let listed = client.list(&within).await.unwrap();
        assert_eq!(listed.len(), 1, "{within}");
        assert_eq!(listed[0].kind(), within.kind(), "{within}");
        seen.extend(listed);
    }
    seen.sort();
    let mut all: Vec<_> = every_kind().into_iter().map(|(id, _)| id).collect();
    all.sort();
    assert_eq!(seen, all);
    assert_eq!(
        seen.iter().map(ResourceId::kind).collect::<Vec<_>>(),
        ResourceKind::ALL
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_comes_out_as_it_went_in() {
    let served = Served::start(&[]).await;
    let client = client(&served.url()).await;
    assert_eq!(client.server_id(), None, "nothing was called yet");
    tour(&client).await;
    let listing = served.get("/outrigger/v1/resources").await;
    let server = listing.ok()["server"].as_str().unwrap().to_owned();
    assert_eq!(client.server_id(), Some(server));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_can_be_signed() {
    let served = signed().await;
    let with_region = |region: &str| {
        let mut options = TargetOptions::new(served.url());
        options.region = Some(region.to_owned());
        options.keys = KeySource::Key {
            id: "AKID".into(),
            secret: SECRET.into(),
        };
        Client::connect(options)
    };
    tour(&with_region("eu-central-1").await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_not_known_is_the_targets_trouble() {
    let served = signed().await;
    for (key, secret, exception) in [
        ("AKID", "wrong", "InvalidSignatureException"),
        ("NOBODY", SECRET, "UnrecognizedClientException"),
    ] {
        let client = with_key(&served.url(), key, secret).await;
        let error = client.list(&Within::Meshes).await.unwrap_err();
        assert!(
            matches!(error, TargetError::Credentials { .. }),
            "{error:?}"
        );
        assert!(error.is_of_target());
        let text = error.to_string();
        assert!(
            text.contains(exception) && text.contains(&served.url()),
            "{text}"
        );
        assert!(!text.contains(SECRET), "{text}");
    }
    let series = r#"outrigger_api_refused_requests_total{exception="InvalidSignatureException"}"#;
    assert_eq!(served.metric(series).await, 1, "tried again, and in vain");
}

#[tokio::test]
async fn a_profile_that_there_is_not_is_no_reason_to_go_without() {
    let mut options = TargetOptions::new("http://127.0.0.1:9");
    options.keys = KeySource::Profile("there-is-none-of-this-name".to_owned());
    let error = Client::connect(options).await.unwrap_err();
    assert!(
        matches!(error, TargetError::Credentials { .. }),
        "{error:?}"
    );
    assert!(
        error.to_string().contains("there-is-none-of-this-name"),
        "{error}"
    );
}

/// In a process of its own, for its environment. Run by itself, without the variable, it has nothing to call.
#[tokio::test(flavor = "multi_thread")]
async fn calls_with_the_environments_key() {
    let Ok(endpoint) = std::env::var(ENDPOINT) else {
        return;
    };
    let client = Client::connect(TargetOptions::new(endpoint)).await.unwrap();
    tour(&client).await;
    println!("toured");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_has_the_key_and_never_the_target() {
    let served = signed().await;
    let url = served.url();
    let called = tokio::task::spawn_blocking(move || {
        Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "mirror::client::calls_with_the_environments_key",
                "--nocapture",
            ])
            .env(ENDPOINT, url)
            .env("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
            .env("AWS_ENDPOINT_URL_APP_MESH", "http://127.0.0.1:1")
            .env("AWS_ACCESS_KEY_ID", "AKID")
            .env("AWS_SECRET_ACCESS_KEY", SECRET)
            .env("AWS_CONFIG_FILE", "/dev/null")
            .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
            .output()
            .unwrap()
    });
    let called = called.await.unwrap();
    let text = String::from_utf8_lossy(&called.stdout);
    assert!(
        called.status.success() && text.contains("toured"),
        "{called:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_has_all_its_pages() {
    let served = Served::start(&[]).await;
    let client = client(&served.url()).await;
    let none = Tags::new();
    client
        .create(&id("mesh/m"), &json!({}), &none, "m")
        .await
        .unwrap();
    let mut expected = Vec::new();
    for number in 0..201 {
        let id = id(&format!("mesh/m/virtualNode/n{number:03}"));
        client
            .create(&id, &json!({}), &none, &format!("{number}"))
            .await
            .unwrap();
        expected.push(id);
    }
    assert_eq!(
        client.list(&Within::VirtualNodes(mesh())).await.unwrap(),
        expected
    );
    let series = r#"outrigger_api_requests_total{operation="ListVirtualNodes",outcome="ok"}"#;
    assert_eq!(served.metric(series).await, 3);
    // Tags have pages too, of 50.
    let many: Tags = (0..50)
        .map(|key| (format!("k{key:02}"), "v".to_owned()))
        .collect();
    let held = client.describe(&expected[0]).await.unwrap().unwrap();
    client.tag(&held.metadata.arn, &many).await.unwrap();
    assert_eq!(client.tags(&held.metadata.arn).await.unwrap(), many);
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "a list, one call after another")]
async fn what_is_refused_is_told_in_the_targets_words_and_once() {
    let served = Served::start(&["--quota", "meshes-per-account=1"]).await;
    let client = client(&served.url()).await;
    let none = Tags::new();
    for (id, [spec, _]) in &every_kind() {
        client
            .create(id, spec, &none, &format!("{}", id.kind()))
            .await
            .unwrap();
    }
    let service = format!("mesh/m/virtualService/{SERVICE}");
    let conflict = client
        .create(&id("mesh/m/virtualNode/n"), &json!({}), &none, "2")
        .await
        .map(drop);
    let invalid = client
        .update(&id("mesh/m/virtualNode/n"), &json!({ "lisners": [] }), "3")
        .await
        .map(drop);
    let absent = client
        .update(&id("mesh/m/virtualNode/o"), &json!({}), "4")
        .await
        .map(drop);
    let limit = client
        .create(&id("mesh/o"), &json!({}), &none, "5")
        .await
        .map(drop);
    let in_use = client.delete(&id(&service)).await;
    let nothing = client
        .tag("arn:aws:appmesh:us-east-1:000000000000:mesh/o", &none)
        .await;
    for (result, call, wanted, words) in [
        (
            conflict,
            "create `mesh/m/virtualNode/n`",
            "ConflictException",
            "virtualNode/n",
        ),
        (
            invalid,
            "update `mesh/m/virtualNode/n`",
            "BadRequestException",
            "`lisners`",
        ),
        (
            absent,
            "update `mesh/m/virtualNode/o`",
            "NotFoundException",
            "name o is not present",
        ),
        (
            limit,
            "create `mesh/o`",
            "LimitExceededException",
            "meshes-per-account",
        ),
        (
            in_use,
            "delete `mesh/m/virtualService/",
            "ResourceInUseException",
            "gatewayRoute/x",
        ),
        (
            nothing,
            "tag `arn:",
            "NotFoundException",
            "name o is not present",
        ),
    ] {
        let error = result.unwrap_err();
        let TargetError::Refused { exception, .. } = &error else {
            panic!("{error:?}");
        };
        assert_eq!(exception, wanted, "{error}");
        assert!(!error.is_of_target(), "{error}");
        let text = error.to_string();
        assert!(text.contains(call) && text.contains(words), "{text}");
    }
    // A quota is not throttling, whatever other services of AWS mean by that name.
    let series =
        r#"outrigger_api_requests_total{operation="CreateMesh",outcome="LimitExceededException"}"#;
    assert_eq!(served.metric(series).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_keep_to_their_rate() {
    let served = Served::start(&[]).await;
    let mut options = TargetOptions::new(served.url());
    options.rate = calls_a_second(20);
    let client = Client::connect(options).await.unwrap();
    let began = Instant::now();
    let calls = (0..10).map(|_| {
        let client = client.clone();
        tokio::spawn(async move { client.list(&Within::Meshes).await.unwrap() })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap();
    }
    assert!(began.elapsed().as_millis() >= 450, "{:?}", began.elapsed());
}
