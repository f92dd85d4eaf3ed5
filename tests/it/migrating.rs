//! `docs/migrating.md`, followed command by command: App Mesh's endpoint is another control plane, the moved sidecar is the
//! bootstrap that App Mesh's agent writes on the Envoy at hand, and everything else is as it is written there.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use outrigger::demo::dns::DnsServer;
use outrigger::envoy::child::ChildCommand;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::continuity::{TTL, a_calls_b};
use crate::shell::{Shell, mount, sections};
use crate::sidecar_image::{Image, alone_in_a_network};
use crate::world::{OUTRIGGER, PATIENCE, Service, World, eventually, get};

const NODE: &str = "mesh/appMesh/virtualNode/serviceANode";

/// Folders of the whole machine are this test's own.
fn own_folders(folder: &Path) {
    let resolver = folder.join("resolv.conf");
    std::fs::write(&resolver, "nameserver 127.0.0.1\n").unwrap();
    mount(&["--bind", resolver.to_str().unwrap(), "/etc/resolv.conf"]);
    for path in ["/run", "/var/lib"] {
        mount(&["-t", "tmpfs", "tmpfs", path]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_is_followed_to_its_end() {
    if !alone_in_a_network("migrating::the_document_is_followed_to_its_end") {
        return;
    }
    let world = World::new().await;
    let folder = world.folder.path();
    own_folders(folder);
    let dns = DnsServer::bind(([127, 0, 0, 1], 53).into(), world.zone.clone());
    tokio::spawn(dns.await.unwrap().run(CancellationToken::new()));
    world.zone.set("service-a.local", TTL, vec![world.ip(2)]);
    world.zone.set("service-b.local", TTL, vec![world.ip(9)]);
    let _b = Service::start(&world, world.at(9, 8080), "b").await;
    let _source = source(&world).await;
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/migrate");
    std::fs::create_dir(folder.join("tasks")).unwrap();
    for to in ["task.json", "tasks/service-a.json"] {
        std::fs::copy(fixtures.join("task.json"), folder.join(to)).unwrap();
    }

    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/migrating.md");
    let document = std::fs::read_to_string(document).unwrap();
    let mut shell = Shell::start(folder);
    let mut sidecar = None;
    let mut headings = Vec::new();
    for (heading, blocks) in sections(&document) {
        if heading == "5. Check" {
            sidecar = Some(deployed(&world).await);
        }
        let printed: Vec<String> = blocks.iter().map(|block| shell.run(block)).collect();
        let printed = printed.concat();
        let words: &[&str] = match heading.as_str() {
            "1. Import" => &[
                "`mesh/appMesh.yaml` has 5 resources",
                "--account-id 123456789012 --region eu-west-1",
            ],
            "2. Validate" => &["5 valid resources in 1 file: 0 errors"],
            "3. Run beside" => &["has 5 resources at revision 1", "serviceBNode"],
            "4. Move one service" => &["unix:///run/outrigger/xds.sock"],
            "5. Check" => &["synced", "`mesh.now/appMesh.yaml` has 5 resources"],
            "6. Move the rest" => &[],
            "7. Roll back" => &["`mesh.outrigger/appMesh.yaml` has 5 resources"],
            _ => continue,
        };
        for word in words {
            assert!(printed.contains(word), "{heading}: `{word}` in\n{printed}");
        }
        headings.push(heading);
    }
    assert_eq!(headings.len(), 7, "{headings:?}");
    assert!(sidecar.is_some());
    let [task, moved] = ["task.outrigger.json", "moved/service-a.json"];
    let read = |file: &str| std::fs::read_to_string(folder.join(file)).unwrap();
    assert_eq!(read(task), read(moved));
}

/// Where the mesh is to begin with.
async fn source(world: &World) -> outrigger::envoy::child::Child {
    let folder = world.folder.path();
    let mesh = folder.join("source.yaml");
    std::fs::write(&mesh, a_calls_b("")).unwrap();
    let source = ChildCommand::new(OUTRIGGER, OUTRIGGER)
        .args(["serve", "--mesh"])
        .arg(&mesh)
        .args([
            "--api-addr",
            "127.0.0.1:9999",
            "--admin-addr",
            "127.0.0.1:9998",
        ])
        .args(["--xds-addr", "127.0.0.1:9997"])
        .args(["--account-id", "123456789012", "--region", "eu-west-1"])
        .spawn("source", &folder.join("source.log"))
        .unwrap();
    eventually("the source answers", PATIENCE, async || {
        let ready = get(([127, 0, 0, 1], 9998).into(), "source", "/readyz").await;
        (ready.ok()?.0 == 200).then_some(())
    })
    .await;
    source
}

/// The sidecar of the task that was moved, which carries a request and has all that it was sent.
async fn deployed(world: &World) -> outrigger::envoy::process::Envoy {
    let folder = world.folder.path();
    let task = std::fs::read_to_string(folder.join("task.outrigger.json")).unwrap();
    let task: Value = serde_json::from_str(&task).unwrap();
    let variables = task["containerDefinitions"][1]["environment"]
        .as_array()
        .unwrap();
    let value = |name: &str| {
        let variable = variables.iter().find(|variable| variable["name"] == name);
        variable.unwrap()["value"].as_str().unwrap().to_owned()
    };
    let id = value("APPMESH_RESOURCE_ARN");
    let admin = ([127, 0, 0, 1], 9901).into();
    let image = Image::new(&id, value("APPMESH_XDS_ENDPOINT"), admin);
    let mut envoy = image.start("sidecar", &world.envoy, folder);
    envoy.ready(PATIENCE).await.unwrap();
    eventually("it carries a request", PATIENCE, async || {
        let egress = ([127, 0, 0, 1], 15001).into();
        (get(egress, "service-b.local", "/").await.ok()?.0 == 200).then_some(())
    })
    .await;
    eventually("it has all", Duration::from_secs(10), async || {
        let status = Command::new(OUTRIGGER).args(["status", NODE]).output();
        let status = String::from_utf8(status.unwrap().stdout).unwrap();
        (status.matches("synced").count() >= 4).then_some(())
    })
    .await;
    envoy
}
