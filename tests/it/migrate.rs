//! What `outrigger migrate sidecar` prints, run: each form's own environment and command, on the Envoy at hand, as the
//! sidecar of a real control plane.
//!
//! App Mesh's image is not at hand. Where it is kept, its agent is stood in for: over a socket, by the bootstrap that it
//! writes (`sidecar_image`); with a bootstrap of ours, by a script that does what it does with a file.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use outrigger::envoy::child::{Child, ChildCommand};
use serde_json::Value;

use crate::continuity::{A, TTL, a_calls_b, synced};
use crate::sidecar_image::{Image, alone_in_a_network};
use crate::world::{OUTRIGGER, PATIENCE, Service, World, eventually, get};

const KINDS: [&str; 4] = ["cds", "eds", "lds", "rds"];
const EGRESS: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 15001);

/// What App Mesh's agent does with a bootstrap that it is given.
const AGENT: &str = r#"#!/bin/sh
test -L "$ENVOY_CONFIG_FILE" && { echo "$ENVOY_CONFIG_FILE is no regular file"; exit 1; }
exec "$ENVOY" -c "$ENVOY_CONFIG_FILE" -l info --drain-time-s 20 --disable-hot-restart --concurrency 1
"#;
/// Tells what it was called with.
const DOCKER: &str = "#!/bin/sh\nprintf '%s\\0' \"$@\" > \"$CALLS/$$\"\n";

/// A container as its orchestrator would start it.
#[derive(Debug, Default)]
struct Container {
    variables: BTreeMap<String, String>,
    /// Program and arguments, if they are not the image's.
    command: Vec<String>,
    /// Succeeds once the sidecar is ready, if the definition says how to find out.
    health: Option<Vec<String>>,
}

/// What the command prints for a file beside this one.
fn migrated(file: &str, arguments: &[&str]) -> String {
    let output = Command::new(OUTRIGGER)
        .args(["migrate", "sidecar"])
        .arg(fixture(file))
        .args(arguments)
        .output()
        .unwrap();
    let notes = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{notes}");
    assert!(notes.starts_with("note: "), "{notes}");
    String::from_utf8(output.stdout).unwrap()
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it/migrate")
        .join(name)
}

fn words(value: &Value) -> Vec<String> {
    let words = value.as_array().into_iter().flatten();
    words
        .map(|word| word.as_str().unwrap().to_owned())
        .collect()
}

fn variables(list: &Value) -> BTreeMap<String, String> {
    let items = list.as_array().unwrap().iter();
    let pairs = items.filter_map(|item| {
        let value = item["value"].as_str()?;
        Some((item["name"].as_str()?.to_owned(), value.to_owned()))
    });
    pairs.collect()
}

impl Container {
    fn of_task(text: &str) -> Self {
        let task: Value = serde_json::from_str(text).unwrap();
        let envoy = &task["containerDefinitions"][1];
        let check = words(&envoy["healthCheck"]["command"]);
        Self {
            variables: variables(&envoy["environment"]),
            command: [words(&envoy["entryPoint"]), words(&envoy["command"])].concat(),
            health: (check[0] == "CMD").then(|| check[1..].to_vec()),
        }
    }

    fn of_pod(text: &str) -> Self {
        let pod: Value = serde_saphyr::from_str(text).unwrap();
        let envoy = &pod["spec"]["containers"][1];
        let check = words(&envoy["readinessProbe"]["exec"]["command"]);
        Self {
            variables: variables(&envoy["env"]),
            command: [words(&envoy["command"]), words(&envoy["args"])].concat(),
            health: (check[0] == "bash").then_some(check),
        }
    }

    /// As the controller would make it of the annotations, with the `ConfigMap` mounted as Kubernetes mounts it.
    fn of_manifest(text: &str, folder: &Path) -> Self {
        let documents: Vec<Value> = serde_saphyr::from_multiple(text).unwrap();
        let [_, deployment, map] = documents.as_slice() else {
            panic!("{text}");
        };
        let template = &deployment["spec"]["template"];
        let annotations = &template["metadata"]["annotations"];
        let mount = annotations["appmesh.k8s.aws/volumeMounts"]
            .as_str()
            .unwrap();
        let (volume, path) = mount.split_once(':').unwrap();
        let volumes = template["spec"]["volumes"].as_array().unwrap();
        let mounted = volumes
            .iter()
            .find(|mounted| mounted["name"] == volume)
            .unwrap();
        assert_eq!(mounted["configMap"]["name"], map["metadata"]["name"]);
        assert_eq!(
            map["metadata"]["namespace"],
            deployment["metadata"]["namespace"]
        );
        let root = folder.join("mounted");
        std::fs::create_dir_all(root.join("..1")).unwrap();
        std::os::unix::fs::symlink("..1", root.join("..data")).unwrap();
        for (name, content) in map["data"].as_object().unwrap() {
            std::fs::write(root.join("..1").join(name), content.as_str().unwrap()).unwrap();
            std::os::unix::fs::symlink(Path::new("..data").join(name), root.join(name)).unwrap();
        }
        let env = annotations["appmesh.k8s.aws/sidecarEnv"].as_str().unwrap();
        let env = env.split(',').map(|pair| pair.split_once('=').unwrap());
        let mut variables: BTreeMap<String, String> = env
            .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
            .collect();
        let file = variables.get_mut("ENVOY_CONFIG_FILE").unwrap();
        *file = file.replace(path, root.to_str().unwrap());
        Self {
            variables,
            command: vec!["/usr/bin/agent".to_owned()],
            health: None,
        }
    }

    /// As the engine is told by the script, once a shell has read that.
    fn of_script(text: &str, folder: &Path) -> Self {
        let (tools, calls) = (folder.join("tools"), folder.join("calls"));
        for folder in [&tools, &calls] {
            std::fs::create_dir_all(folder).unwrap();
        }
        executable(&tools.join("docker"), DOCKER);
        let script = folder.join("run.sh");
        std::fs::write(&script, text).unwrap();
        let path = std::env::var("PATH").unwrap();
        let status = Command::new("sh")
            .arg(&script)
            .env("PATH", format!("{}:{path}", tools.display()))
            .env("CALLS", &calls)
            .env("TAG", "17")
            .status()
            .unwrap();
        assert!(status.success());
        let calls = std::fs::read_dir(calls).unwrap().map(|call| {
            let call = std::fs::read_to_string(call.unwrap().path()).unwrap();
            let words = call.trim_end_matches('\0').split('\0');
            words.map(ToOwned::to_owned).collect::<Vec<_>>()
        });
        let calls: Vec<_> = calls.collect();
        assert_eq!(calls.len(), 2, "{calls:?}");
        let mut calls = calls.into_iter();
        let call = calls
            .find(|call| call.contains(&"--entrypoint".to_owned()))
            .unwrap();
        let value_of = |option: &str| {
            let at = call.iter().position(|word| word == option);
            at.map(|at| call[at + 1].clone())
        };
        let image = call
            .iter()
            .position(|word| word.starts_with("envoyproxy/envoy:"))
            .unwrap();
        let pairs = call.windows(2).filter(|pair| pair[0] == "-e");
        let pairs = pairs.map(|pair| pair[1].split_once('=').unwrap());
        let command = [
            vec![value_of("--entrypoint").unwrap()],
            call[image + 1..].to_vec(),
        ];
        let health = value_of("--health-cmd").unwrap();
        Self {
            variables: pairs
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
            command: command.concat(),
            health: Some(vec!["sh".into(), "-c".into(), health]),
        }
    }

    /// Starts it with the Envoy at hand, and the stand-in for App Mesh's agent.
    fn start(&self, world: &World, name: &str) -> Child {
        let folder = world.folder.path();
        let agent = folder.join("agent");
        executable(&agent, AGENT);
        let here = |word: &String| {
            // A bootstrap or a script is a word too.
            if word == "envoy" {
                world.envoy.to_str().unwrap().to_owned()
            } else {
                word.replace("/usr/bin/agent", agent.to_str().unwrap())
            }
        };
        let variables = self.variables.iter();
        let path = std::env::var("PATH").unwrap();
        ChildCommand::new(OUTRIGGER, "env")
            .args(["--ignore-environment".to_owned(), format!("PATH={path}")])
            .args(variables.map(|(name, value)| format!("{name}={value}")))
            .arg(format!("ENVOY={}", world.envoy.display()))
            .args(self.command.iter().map(here))
            .spawn(name, &folder.join(format!("{name}.log")))
            .unwrap()
    }

    fn is_healthy(&self) -> Option<bool> {
        let (program, arguments) = self.health.as_ref()?.split_first()?;
        let output = Command::new(program).args(arguments).output().unwrap();
        Some(output.status.success())
    }
}

fn executable(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// It is the node's sidecar, in App Mesh's own layout, and carries a request to b.
async fn is_served(world: &World, what: &str) {
    let clients = synced(world, A, 1, &KINDS).await;
    let view = clients[0].view.as_ref().unwrap();
    assert_eq!(view.capture, "redirect", "{what}");
    let answer = eventually(what, PATIENCE, async || {
        get(EGRESS, "service-b.local", "/").await.ok()
    })
    .await;
    assert_eq!(answer.0, 200, "{what}: {answer:?}");
}

async fn is_gone(world: &World) {
    eventually("the sidecar is gone", PATIENCE, async || {
        world.clients().await.is_empty().then_some(())
    })
    .await;
}

/// App Mesh's own ports are opened, so that the test runs itself again in a network of its own.
#[tokio::test(flavor = "multi_thread")]
async fn every_form_of_a_migrated_sidecar_is_served() {
    if !alone_in_a_network("migrate::every_form_of_a_migrated_sidecar_is_served") {
        return;
    }
    let mut world = World::new().await;
    world.zone.set("service-a.local", TTL, vec![world.ip(2)]);
    world.zone.set("service-b.local", TTL, vec![world.ip(9)]);
    world.serve(&a_calls_b("")).await;
    let _b = Service::start(&world, world.at(9, 8080), "b").await;
    let folder = world.folder.path().to_owned();
    let address = world.at(1, 18000).to_string();
    let socket = world.xds_socket();
    let socket = socket.to_str().unwrap();
    let over_tcp = ["--xds-addr", address.as_str()];
    let over_socket = ["--xds-socket", socket];
    let task = |arguments: &[&str]| Container::of_task(&migrated("task.json", arguments));
    let pod = |arguments: &[&str]| Container::of_pod(&migrated("pod.yaml", arguments));

    // App Mesh's image over a socket: its agent goes by these two variables.
    for container in [task(&over_socket), pod(&over_socket)] {
        assert!(container.command.is_empty());
        let id = &container.variables["APPMESH_RESOURCE_ARN"];
        let target = container.variables["APPMESH_XDS_ENDPOINT"].clone();
        let image = Image::new(id, target, ([127, 0, 0, 1], 9901).into());
        let mut envoy = image.start("image", &world.envoy, &folder);
        envoy.ready(PATIENCE).await.unwrap();
        is_served(&world, id).await;
        drop(envoy);
        is_gone(&world).await;
    }
    let image = ["--image", "upstream"];
    let manifest = migrated("manifest.yaml", &[over_tcp, ["--node", A]].concat());
    let script = migrated("run.sh", &[over_tcp, image].concat());
    for (name, container) in [
        ("task", task(&over_tcp)),
        ("task-upstream", task(&[over_tcp, image].concat())),
        ("pod", pod(&over_tcp)),
        ("pod-upstream", pod(&[over_socket, image].concat())),
        ("manifest", Container::of_manifest(&manifest, &folder)),
        ("script-upstream", Container::of_script(&script, &folder)),
    ] {
        serves(&world, name, &container).await;
    }
}

async fn serves(world: &World, name: &str, container: &Container) {
    assert_ne!(container.is_healthy(), Some(true), "{name}");
    let mut child = container.start(world, name);
    eventually("it is healthy", PATIENCE, async || {
        assert!(child.ended().is_none(), "{name}: {:?}", child.last_lines(9));
        (container.is_healthy() != Some(false)).then_some(())
    })
    .await;
    is_served(world, name).await;
    let says_how = name.ends_with("upstream");
    assert_eq!(container.health.is_some(), says_how, "{name}");
    child.kill().await.unwrap();
    is_gone(world).await;
}

#[test]
fn the_command_says_what_is_wrong_and_how_it_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("nothing.yaml");
    std::fs::write(&file, "kind: Mesh\nmeshName: m\n").unwrap();
    let file = file.to_str().unwrap();
    let task = fixture("task.json");
    let task = task.to_str().unwrap();
    let socket = ["--xds-socket", "/run/outrigger/xds.sock"];
    for (arguments, code, words) in [
        (
            vec![file, socket[0], socket[1]],
            1,
            "this is no task definition",
        ),
        (
            vec!["absent.json", socket[0], socket[1]],
            2,
            "cannot read `absent.json`",
        ),
        (vec![task], 2, "--xds-addr"),
        (
            vec![task, "--xds-socket", "xds.sock"],
            2,
            "name the whole path",
        ),
        (
            vec![task, "--xds-addr", "outrigger"],
            2,
            "is no `host:port`",
        ),
        (
            vec![task, "--xds-addr", "a:1", "--node", "a"],
            2,
            "mesh/MESH/virtualNode/NODE",
        ),
    ] {
        let arguments = [vec!["migrate", "sidecar"], arguments].concat();
        let output = crate::cli::outrigger_with(folder.path(), &[], &arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
        assert!(output.stdout.is_empty());
    }
}
