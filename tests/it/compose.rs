//! The files for containers, as far as no engine is needed: `tests/compose.sh` runs them.

use std::path::Path;
use std::process::Command;

use outrigger::envoy::bootstrap::{BootstrapOptions, bootstrap};
use outrigger::envoy::process::{Envoy, EnvoyOptions};
use outrigger::model::{Capture, NodeRef};
use serde_json::Value;

use crate::generated::check_file;
use crate::tidy::{is_test, rust_files, src};
use crate::world::{OUTRIGGER, PATIENCE, World};

/// What each sidecar of docker-compose.yml is started with: its file, its node, how traffic enters it.
const BOOTSTRAPS: &[(&str, &str, &[&str])] = &[
    ("service-a", "serviceANode", EXPLICIT),
    ("service-b", "serviceBNode", EXPLICIT),
    ("service-b-v2", "serviceBNodeV2", EXPLICIT),
    ("service-a-redirect", "serviceANode", REDIRECT),
];
const REDIRECT: &[&str] = &["--capture", "redirect"];
const EXPLICIT: &[&str] = &["--bind", "0.0.0.0", "--app", "8080=127.0.0.1:18080"];

/// Containers that do one thing and end, and the capabilities of each.
const ONE_SHOT: &[(&str, &[&str])] = &[
    ("service-a-redirect-capture", &["NET_ADMIN"]),
    ("mirror-key", &[]),
];

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

fn services() -> Vec<(String, Value)> {
    let file: Value = serde_saphyr::from_str(&read("docker-compose.yml")).unwrap();
    let services = file["services"].as_object().unwrap().clone();
    services.into_iter().collect()
}

/// The strings of a list, or none.
fn strings(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array()
        .into_iter()
        .flatten()
        .map(|item| item.as_str().unwrap())
}

#[test]
fn generated_bootstraps_are_what_outrigger_bootstrap_prints() {
    for (file, node, capture) in BOOTSTRAPS {
        let output = Command::new(OUTRIGGER)
            .args(["bootstrap", &format!("mesh/appMesh/virtualNode/{node}")])
            .args(["--xds-addr", "control-plane:18000"])
            .args(["--stats-addr", "0.0.0.0:9902"])
            .args(*capture)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        check_file(&format!("config/compose/{file}.json"), &output.stdout);
    }
}

#[test]
fn every_container_is_watched_and_has_no_rights() {
    let services = services();
    assert!(services.len() >= 10, "{services:#?}");
    for (name, service) in services {
        assert_eq!(service["cap_drop"], serde_json::json!(["ALL"]), "{name}");
        assert_eq!(service["read_only"], true, "{name}");
        assert_eq!(
            service["security_opt"],
            serde_json::json!(["no-new-privileges:true"]),
            "{name}"
        );
        assert!(service.get("privileged").is_none(), "{name}");
        let network = service["network_mode"].as_str().unwrap_or("service:");
        assert!(network.starts_with("service:"), "{name}: {network}");
        for port in strings(&service["ports"]) {
            assert!(port.starts_with("127.0.0.1:"), "{name}: {port}");
        }
        let one_shot = ONE_SHOT.iter().find(|(one_shot, _)| *one_shot == name);
        let is_watched = service["healthcheck"]["test"].is_array();
        assert_eq!(is_watched, one_shot.is_none(), "{name}");
        let capabilities: Vec<_> = strings(&service["cap_add"]).collect();
        let expected = one_shot.map_or(&[] as &[_], |(_, capabilities)| capabilities);
        assert_eq!(capabilities, expected, "{name}");
    }
}

#[test]
fn what_is_mounted_is_there() {
    for (name, service) in services() {
        for volume in strings(&service["volumes"]) {
            let source = volume.split(':').next().unwrap();
            if let Some(path) = source.strip_prefix("./") {
                let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
                assert!(path.exists(), "{name}: {volume}");
                assert!(volume.ends_with(":ro"), "{name}: {volume}");
            }
        }
    }
}

/// What the bootstraps above open to every container of the network: two pages, and nothing that changes Envoy or shows
/// its configuration.
#[tokio::test(flavor = "multi_thread")]
async fn the_address_for_metrics_has_nothing_else_of_the_admin_interface() {
    let mut world = World::new().await;
    world
        .serve(include_str!("../../config/minimal/mesh.yaml"))
        .await;
    let capture = Capture::Explicit {
        bind: world.ip(2),
        applications: [(8080, world.application(2))].into(),
    };
    let node = NodeRef::parse("mesh/appMesh/virtualNode/serviceANode").unwrap();
    let mut options = BootstrapOptions::new(node, world.at(1, 18000).into(), capture);
    let stats = world.at(2, 9902);
    options.stats = Some(stats);
    let start = EnvoyOptions::new(
        "envoy-with-stats".to_owned(),
        OUTRIGGER.as_ref(),
        &world.envoy,
        world.folder.path(),
    );
    let mut envoy = Envoy::start(&start, &bootstrap(&options).unwrap(), options.admin()).unwrap();
    envoy.ready(PATIENCE).await.unwrap();
    for (path, expected, words) in [
        ("/ready", 200, "LIVE"),
        ("/stats/prometheus", 200, "envoy_server_live"),
        ("/stats/prometheus?usedonly", 200, "envoy_server_live"),
        ("/", 404, ""),
        ("/stats", 404, ""),
        ("/config_dump", 404, ""),
        ("/quitquitquit", 404, ""),
        ("/ready/../config_dump", 404, ""),
    ] {
        let (status, body) = world.get(stats, "ignored", path).await.unwrap();
        assert_eq!(status, expected, "{path}: {body}");
        assert!(body.contains(words), "{path}: {body}");
    }
}

/// The versions that the rest of the repository is built with and tested on.
#[test]
fn images_have_the_versions_of_the_repository() {
    let requirements = read("envoy/requirements.txt");
    let envoy = requirements
        .lines()
        .find_map(|line| line.strip_prefix("envoy-server=="))
        .unwrap();
    let envoy = envoy.split_whitespace().next().unwrap();
    let sidecars: Vec<_> = services()
        .into_iter()
        .filter(|(name, _)| name.ends_with("-sidecar"))
        .collect();
    assert!(sidecars.len() >= 4);
    for (name, service) in sidecars {
        assert_eq!(
            service["image"],
            format!("envoyproxy/envoy:v{envoy}"),
            "{name}"
        );
    }

    let manifest = read("Cargo.toml");
    let rust = manifest
        .lines()
        .find_map(|line| line.strip_prefix("rust-version = "))
        .unwrap()
        .trim_matches('"');
    let builder = format!("FROM rust:{rust}-slim-trixie AS build");
    assert!(read("Dockerfile").contains(&builder), "{builder}");
}

/// An image is built in no test. What most easily breaks it is a file that the sources have come to include, and that the
/// Dockerfile does not copy.
#[test]
fn the_dockerfile_copies_what_the_sources_include() {
    let dockerfile = read("Dockerfile");
    let copied: Vec<&str> = dockerfile
        .lines()
        .filter_map(|line| line.strip_prefix("COPY ")?.split(' ').next())
        .collect();
    let ignored = read(".dockerignore");
    let mut included = 0;
    for path in rust_files(&src()).iter().filter(|path| !is_test(path)) {
        let text = std::fs::read_to_string(path).unwrap();
        for rest in text.split("include_").skip(1) {
            let quoted = rest.split('"').nth(1).unwrap();
            let file = path.parent().unwrap().join(quoted).canonicalize().unwrap();
            let file = file.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap();
            let folder = copied.iter().find(|folder| file.starts_with(folder));
            let folder = folder.unwrap_or_else(|| panic!("no COPY of {}", file.display()));
            let kept = format!("!{folder}");
            assert!(ignored.lines().any(|line| line == kept), "{kept}");
            included += 1;
        }
    }
    assert!(included >= 5, "only {included} files");
}
