//! Mesh files in, Envoy's resources out: the whole way through the real pipeline, for every example. What comes out is
//! kept as snapshots, judged by the real Envoy, and the same bytes in every process.
//!
//! An example is a folder of `config` or a file of `tests/it/golden`; each has a mesh `appMesh` with a `serviceANode`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use outrigger::envoy::bootstrap::{BootstrapOptions, XdsProtocol, bootstrap};
use outrigger::files;
use outrigger::model::spec::VirtualNodeSpec;
use outrigger::model::{Capture, ClientKind, NodeRef, ViewKey};
use outrigger::snapshot::{Kind, Snapshot, descriptors};
use outrigger::translate::{Input, Options, Translator, View};
use serde_json::{Map, Value};

use crate::static_bootstrap::static_bootstrap;
use crate::{envoy, plane};

/// The node whose view is kept as a snapshot.
const SHOWN: &str = "mesh/appMesh/virtualNode/serviceANode";
/// Names the file to which a second process writes what it encodes.
const ENCODE_TO: &str = "OUTRIGGER_TEST_ENCODE_TO";

/// What is in `config` and is no mesh: settings of processes.
const OF_NO_MESH: [&str; 2] = ["config/compose", "config/outrigger.yaml"];

/// One mesh and what each of its nodes' sidecars gets.
struct Example {
    name: String,
    views: Vec<(ViewKey, Arc<Snapshot>)>,
}

fn examples() -> Vec<Example> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths: Vec<PathBuf> = ["config", "tests/it/golden"]
        .iter()
        .flat_map(|folder| std::fs::read_dir(root.join(folder)).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| !OF_NO_MESH.iter().any(|other| path.ends_with(other)))
        .collect();
    paths.sort();
    paths.into_iter().map(example).collect()
}

fn example(path: PathBuf) -> Example {
    let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
    let loaded = files::load(&[path]).unwrap();
    assert!(loaded.reports.is_empty(), "{name}: {:?}", loaded.reports);
    let model = loaded.model().unwrap();
    let keys: Vec<ViewKey> = model
        .meshes()
        .flat_map(|(mesh, content)| {
            let nodes = content.nodes.iter();
            nodes.flat_map(|(node, spec)| {
                let node = NodeRef::VirtualNode(mesh.clone(), node.clone());
                let redirected = ViewKey {
                    node: node.clone(),
                    capture: Capture::Redirect,
                    client: ClientKind::Envoy,
                };
                [key(node, spec), redirected]
            })
        })
        .collect();
    let mut translator = Translator::new(Options::default());
    translator.apply(Input {
        endpoints: plane::endpoints(&model),
        views: keys.iter().cloned().collect(),
        model,
    });
    let problems: Vec<_> = translator.problems().collect();
    assert!(problems.is_empty(), "{name}: {problems:?}");
    let views = keys.into_iter().map(|key| match translator.view(&key) {
        Some(View::Serving(snapshot)) => (key.clone(), Arc::clone(snapshot)),
        other => panic!("{} of {name} is not served: {other:?}", key.node),
    });
    Example {
        views: views.collect(),
        name,
    }
}

/// A sidecar on a loopback address of its own, as on a machine that runs several.
fn key(node: NodeRef, spec: &VirtualNodeSpec) -> ViewKey {
    // The others' applications are at the listener's own port of 127.0.0.1.
    let ports = spec.listeners().iter().map(|one| one.port_mapping.port);
    let has_8080 = spec.listeners().is_empty() || ports.into_iter().any(|port| port == 8080);
    let applications = has_8080.then_some((8080, ([127, 0, 0, 1], 18080).into()));
    let applications: BTreeMap<_, _> = applications.into_iter().collect();
    ViewKey {
        node,
        capture: Capture::Explicit {
            bind: Ipv4Addr::new(127, 0, 0, 2).into(),
            applications,
        },
        client: ClientKind::Envoy,
    }
}

/// A view as Envoy's JSON, written as YAML to be read: by kind, then by name.
fn printed(snapshot: &Snapshot) -> String {
    let mut kinds = Map::new();
    for kind in Kind::ALL {
        let resources = snapshot.resources(kind).map(|resource| {
            let json = descriptors::to_json(kind.type_url(), resource.body()).unwrap();
            (resource.name().to_string(), json)
        });
        let resources: Map<String, Value> = resources.collect();
        if !resources.is_empty() {
            kinds.insert(kind.to_string(), resources.into());
        }
    }
    serde_saphyr::to_string(&kinds).unwrap()
}

#[test]
fn meshes_become_the_resources_that_are_kept() {
    for Example { name, views } in examples() {
        for (suffix, redirected) in [("", false), ("_redirect", true)] {
            let is_shown = |key: &ViewKey| {
                key.node.to_string() == SHOWN && (key.capture == Capture::Redirect) == redirected
            };
            let (_, snapshot) = views.iter().find(|(key, _)| is_shown(key)).unwrap();
            insta::with_settings!({omit_expression => true}, {
                insta::assert_snapshot!(format!("golden_{name}{suffix}"), printed(snapshot));
            });
        }
    }
}

#[tokio::test]
async fn envoy_accepts_every_resource_and_bootstrap_of_every_example() {
    let binary = envoy::binary().await;
    let mut judged = 0;
    for Example { name, views } in examples() {
        for (key, snapshot) in views {
            for bootstrap in bootstraps(&key, &snapshot) {
                let output = envoy::validate(&binary, &bootstrap);
                let said = String::from_utf8_lossy(&output.stderr);
                let node = &key.node;
                assert!(
                    output.status.success(),
                    "{node} of {name}: {said}\n{bootstrap:#}"
                );
                assert!(
                    !said.to_lowercase().contains("deprecat"),
                    "{node} of {name}: {said}\n{bootstrap:#}"
                );
                judged += 1;
            }
        }
    }
    assert!(judged >= 3 * 15, "only {judged} bootstraps");
}

/// The view without a control plane, and what its sidecar starts with in either variant.
fn bootstraps(key: &ViewKey, snapshot: &Snapshot) -> [Value; 3] {
    let generated = |protocol| {
        let xds = "127.0.0.1:18000".parse().unwrap();
        let mut options = BootstrapOptions::new(key.node.clone(), xds, key.capture.clone());
        options.protocol = protocol;
        bootstrap(&options).unwrap()
    };
    [
        static_bootstrap(snapshot),
        generated(XdsProtocol::Delta),
        generated(XdsProtocol::StateOfTheWorld),
    ]
}

/// Every resource of every view as a line: what it is, its version, its bytes.
fn encoded() -> String {
    let mut lines = String::new();
    for Example { name, views } in examples() {
        for (key, snapshot) in views {
            for kind in Kind::ALL {
                let node = &key.node;
                writeln!(lines, "{name} {node} {kind} {}", snapshot.version(kind)).unwrap();
                for resource in snapshot.resources(kind) {
                    let bytes = resource.delta_entry();
                    let (id, version) = (resource.name(), resource.version());
                    writeln!(lines, "{name} {node} {kind} {id} {version} {bytes:?}").unwrap();
                }
            }
        }
    }
    lines
}

/// This binary is started once more, with this test alone. Maps of one entry are encoded alike by everybody, so the
/// examples must have larger ones: those of access logs in JSON.
#[test]
fn two_processes_encode_alike() {
    if let Some(path) = std::env::var_os(ENCODE_TO) {
        return std::fs::write(path, encoded()).unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("encoded");
    let other = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "golden::two_processes_encode_alike"])
        .env(ENCODE_TO, &file)
        .output()
        .unwrap();
    assert!(other.status.success(), "{other:?}");
    let (here, there) = (encoded(), std::fs::read_to_string(&file).unwrap());
    assert_eq!(here.lines().count(), there.lines().count());
    for (here, there) in here.lines().zip(there.lines()) {
        assert_eq!(here, there);
    }
    let views = examples().into_iter().flat_map(|example| example.views);
    let largest = views.map(|(_, snapshot)| largest_json_log(&static_bootstrap(&snapshot)));
    assert!(largest.max() >= Some(8), "no map is large enough to differ");
}

/// Entries of the largest map that says what an access log's lines have.
fn largest_json_log(json: &Value) -> usize {
    match json {
        Value::Object(members) => {
            let format = members.get("jsonFormat").and_then(Value::as_object);
            let within = members.values().map(largest_json_log).max();
            format.map_or(0, Map::len).max(within.unwrap_or(0))
        }
        Value::Array(values) => values.iter().map(largest_json_log).max().unwrap_or(0),
        _ => 0,
    }
}
