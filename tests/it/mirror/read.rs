//! All that a target has, read at once.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use outrigger::appmesh::client::TargetError;
use outrigger::appmesh::read::{Progress, Scope, Target, read, read_with_shared};
use outrigger::model::tags::Tags;
use outrigger::model::{MeshName, ResourceKind};
use serde_json::json;

use super::double::{Asked, Double, Reply};
use super::{client, every_kind, id};
use crate::appmesh::served::Served;
use crate::cli::outrigger_with;

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_read_or_what_stands_in_some_meshes() {
    let served = Served::start(&[]).await;
    let client = client(&served.url()).await;
    let tags = Tags::from([("k".to_owned(), "v".to_owned())]);
    for (id, [spec, _]) in &every_kind() {
        let token = id.kind().to_string();
        client.create(id, spec, &tags, &token).await.unwrap();
    }
    for other in ["mesh/o", "mesh/o/virtualNode/n"] {
        let token = other.replace('/', "-");
        client
            .create(&id(other), &json!({}), &Tags::new(), &token)
            .await
            .unwrap();
    }
    let mut newest = Progress::default();
    let all = read(&client, &Scope::All, |progress| newest = progress)
        .await
        .unwrap();
    assert_eq!(all.resources.len(), 9);
    assert_eq!(newest, Progress { found: 9, read: 9 });
    assert_eq!(all.lacks, BTreeSet::new());
    for (id, [spec, _]) in &every_kind() {
        let held = &all.resources[id];
        assert_eq!((&held.spec, &held.tags), (spec, &tags), "{id}");
    }
    let only =
        |meshes: &[&str]| Scope::Named(meshes.iter().map(|mesh| MeshName::new(*mesh)).collect());
    let some = read(&client, &only(&["o", "not-there"]), |_| {})
        .await
        .unwrap();
    let ids: Vec<String> = some.resources.keys().map(ToString::to_string).collect();
    assert_eq!(ids, ["mesh/o", "mesh/o/virtualNode/n"]);
    assert_eq!(
        read(&client, &only(&["m"]), |_| {})
            .await
            .unwrap()
            .resources
            .len(),
        7
    );
}

/// A double that has one mesh, and of all that can stand in it virtual nodes only, of which one is gone once it is asked for.
#[tokio::test(flavor = "multi_thread")]
async fn what_vanishes_is_not_there_and_what_is_not_known_is_said() {
    let double = Double::by(|asked| {
        let path = asked.line.split(' ').nth(1).unwrap();
        let mesh =
            json!({ "arn": "arn:aws:appmesh:r:1:mesh/m", "createdAt": "01/02/2026, 00:00:00" });
        let ok = |json: serde_json::Value| Reply::Answer(200, None, json.to_string());
        match path.split('?').next().unwrap() {
            "/v20190125/meshes" => ok(json!({ "meshes": [{ "meshName": "m" }] })),
            "/v20190125/meshes/m" => ok(json!({ "meshName": "m", "spec": null, "metadata": mesh })),
            "/v20190125/tags" if path.contains("nextToken=more") => {
                ok(json!({ "tags": [{ "key": "k" }] }))
            }
            "/v20190125/tags" => ok(json!({ "tags": [], "nextToken": "more" })),
            "/v20190125/meshes/m/virtualNodes" => {
                ok(json!({ "virtualNodes": [{ "virtualNodeName": "gone" }] }))
            }
            "/v20190125/meshes/m/virtualNodes/gone" => {
                Reply::Answer(404, Some("NotFoundException"), "{}".to_owned())
            }
            _ => Reply::Answer(404, None, "<html>not here".to_owned()),
        }
    })
    .await;
    let target = read(&client(&double.url()).await, &Scope::All, |_| {})
        .await
        .unwrap();
    let ids: Vec<String> = target.resources.keys().map(ToString::to_string).collect();
    assert_eq!(ids, ["mesh/m"]);
    assert_eq!(target.resources[&id("mesh/m")].tags["k"], "");
    let lacks = [
        ResourceKind::VirtualService,
        ResourceKind::VirtualRouter,
        ResourceKind::VirtualGateway,
    ];
    assert_eq!(target.lacks, BTreeSet::from(lacks));
    assert_eq!(target.gone, [id("mesh/m/virtualNode/gone")].into());
}

/// The answer of a server with one mesh and one node, but for what is said of it.
fn one_node(asked: &Asked) -> Reply {
    let path = asked.line.split(' ').nth(1).unwrap();
    let path = path.split('?').next().unwrap();
    let arn = path.replace("/v20190125/meshes", "arn:aws:appmesh:r:1:mesh");
    let mut answer = json!({ "spec": {}, "metadata": { "arn": arn }, "tags": [] });
    for list in [
        "virtualServices",
        "virtualRouters",
        "virtualGateways",
        "virtualNodes",
    ] {
        answer[list] = json!([]);
    }
    answer["meshes"] = json!([{ "meshName": "m" }]);
    if path == "/v20190125/meshes/m/virtualNodes" {
        answer["virtualNodes"] = json!([{ "virtualNodeName": "n" }]);
    }
    Reply::Answer(200, None, answer.to_string())
}

/// A restricted key may see somebody else's resource, and not its tags.
#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_tell_its_tags_is_read_without_them() {
    let node = id("mesh/m/virtualNode/n");
    for (status, exception, expected) in [
        (403, Some("ForbiddenException"), "ForbiddenException"),
        (404, Some("NotFoundException"), "NotFoundException"),
        (404, None, "the target has none"),
        (501, None, "the target has none"),
    ] {
        let double = Double::by(move |asked| {
            if asked.line.contains("/tags") && asked.line.contains("virtualNode") {
                return Reply::Answer(status, exception, r#"{"message": "no"}"#.to_owned());
            }
            one_node(asked)
        })
        .await;
        let target = read(&client(&double.url()).await, &Scope::All, |_| {}).await;
        let target = target.unwrap();
        assert_eq!(target.resources.len(), 2, "{exception:?}");
        assert_eq!(target.resources[&id("mesh/m")].no_tags, None);
        let why = target.resources[&node].no_tags.as_ref().unwrap();
        assert!(why.to_string().contains(expected), "{why}");
        // What is listed and has tags that cannot be read is not brought without them, but where there are none at all.
        let (code, said) = import(&double.url());
        let is_without = expected == "the target has none";
        assert_eq!(code, if is_without { 0 } else { 2 }, "{said}");
        let words = if is_without {
            "does not know tags: if there are any, they are not here"
        } else {
            "the tags of `mesh/m/virtualNode/n` cannot be read"
        };
        assert!(said.contains(words), "{said}");
    }
}

/// Imports into a folder, and returns the exit code and what is said.
fn import(endpoint: &str) -> (i32, String) {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["import", "appmesh", "--endpoint", endpoint, "--output", "o"];
    let output = outrigger_with(folder.path(), &[], &arguments);
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (output.status.code().unwrap(), said)
}

/// As from a proxy's own page, while the target starts.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_unknown_only_if_it_is_so_twice() {
    let asked_before = AtomicBool::new(false);
    let double = Double::by(move |asked| {
        let is_nodes = asked.line.contains("/virtualNodes ");
        if is_nodes && !asked_before.swap(true, Ordering::Relaxed) {
            return Reply::Answer(404, None, "<html>not here".to_owned());
        }
        one_node(asked)
    })
    .await;
    let target = read(&client(&double.url()).await, &Scope::All, |_| {}).await;
    let target = target.unwrap();
    assert_eq!((target.lacks.len(), target.resources.len()), (0, 2));
}

/// A mesh of this account, one of the same name that another shares, and one that only the other has. What stands in a shared
/// mesh is there for whoever names its owner.
#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "a server, one path after another")]
async fn a_mesh_of_another_account_is_read_as_its_owners() {
    const OWNER: &str = "210987654321";
    let double = Double::by(|asked| {
        let path = asked.line.split(' ').nth(1).unwrap();
        let is_theirs = path.contains(&format!("meshOwner={OWNER}"));
        let path = path.split('?').next().unwrap();
        let answer = match path.trim_start_matches("/v20190125/") {
            "meshes" => {
                let meshes = [("m", "1"), ("m", OWNER), ("shared", OWNER), ("lost", "3")];
                let listed =
                    meshes.map(|(mesh, owner)| json!({ "meshName": mesh, "meshOwner": owner }));
                json!({ "meshes": listed })
            }
            "meshes/m" | "meshes/shared" if is_theirs => {
                json!({ "spec": {}, "metadata": { "arn": "arn:theirs", "meshOwner": OWNER } })
            }
            "meshes/m" => json!({ "spec": {}, "metadata": { "arn": "arn:m", "meshOwner": "1" } }),
            "tags" => json!({ "tags": [] }),
            "meshes/shared/virtualNodes" if is_theirs => {
                json!({ "virtualNodes": [{ "virtualNodeName": "n" }] })
            }
            "meshes/shared/virtualNodes/n" if is_theirs => {
                json!({ "spec": {}, "metadata": { "arn": "arn:n", "meshOwner": OWNER } })
            }
            path if path.starts_with("meshes/m/") || is_theirs => {
                let list = path.rsplit('/').next().unwrap().to_owned();
                json!({ list: [] })
            }
            _ => return Reply::Answer(404, Some("NotFoundException"), "{}".to_owned()),
        };
        Reply::Answer(200, None, answer.to_string())
    })
    .await;
    let client = client(&double.url()).await;
    let ids = |target: &Target| -> Vec<String> {
        target.resources.keys().map(ToString::to_string).collect()
    };
    let owners = BTreeSet::from([OWNER.to_owned()]);
    let [m, shared] = ["m", "shared"].map(MeshName::new);

    let own = read(&client, &Scope::All, |_| {}).await.unwrap();
    assert_eq!(ids(&own), ["mesh/m"]);
    let both = [
        (m.clone(), owners.clone()),
        (shared.clone(), owners.clone()),
    ];
    assert_eq!(own.shared, both.into());
    assert_eq!(own.gone, [id("mesh/lost")].into());

    let all = read_with_shared(&client, &Scope::All, |_| {})
        .await
        .unwrap();
    let expected = ["mesh/m", "mesh/shared", "mesh/shared/virtualNode/n"];
    assert_eq!(ids(&all), expected);
    assert_eq!(all.shared, [(m, owners)].into());
    assert_eq!(all.resources[&id("mesh/m")].metadata.arn, "arn:m");

    // By its name alone, too.
    let named = Scope::Named([shared].into());
    let named = read_with_shared(&client, &named, |_| {}).await.unwrap();
    assert_eq!(ids(&named), expected[1..]);

    let (code, said) = import(&double.url());
    assert_eq!(code, 0, "{said}");
    for words in [
        "mesh `m` of account 210987654321 is not here",
        "4 listed, 1 not read",
        "asked for: `mesh/lost`",
    ] {
        assert!(said.contains(words), "{said}");
    }
}

/// Half of a target is never taken for all of it.
#[tokio::test(flavor = "multi_thread")]
async fn one_list_that_fails_fails_it_all() {
    let double = Double::by(|asked| {
        if asked.line.contains("/virtualRouters") {
            return Reply::Answer(
                403,
                Some("ForbiddenException"),
                r#"{"message": "no"}"#.to_owned(),
            );
        }
        let metadata = json!({ "arn": "arn:aws:appmesh:r:1:mesh/m" });
        let mut answer = json!({ "meshName": "m", "metadata": metadata, "tags": [] });
        for list in ["virtualNodes", "virtualServices", "virtualGateways"] {
            answer[list] = json!([]);
        }
        answer["meshes"] = json!([{ "meshName": "m" }]);
        Reply::Answer(200, None, answer.to_string())
    })
    .await;
    let failed = read(&client(&double.url()).await, &Scope::All, |_| {}).await;
    assert!(
        matches!(failed, Err(TargetError::Refused { .. })),
        "{failed:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_resources_are_read_in_seconds() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mesh.yaml");
    let mut text = "{kind: Mesh, meshName: m}\n".to_owned();
    for number in 0..999 {
        writeln!(
            text,
            "---\n{{kind: VirtualNode, meshName: m, virtualNodeName: n{number}, tags: [{{key: k, value: v}}], spec: {{\
             serviceDiscovery: {{dns: {{hostname: n{number}.invalid}}}}, listeners: [{{portMapping: {{port: 80, protocol: \
             http}}}}]}}}}"
        )
        .unwrap();
    }
    std::fs::write(&file, text).unwrap();
    let served = Served::start(&["--mesh", file.to_str().unwrap()]).await;
    let client = client(&served.url()).await;
    let began = Instant::now();
    let target = read(&client, &Scope::All, |_| {}).await.unwrap();
    let took = began.elapsed();
    println!("1,000 resources read in {took:?}");
    assert_eq!(target.resources.len(), 1_000);
    assert!(took < Duration::from_secs(20), "{took:?}");
}
