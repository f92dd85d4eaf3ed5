//! Two control planes, one of which is to become what the other is.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use outrigger::appmesh::plan::TAG;
use outrigger::model::ResourceId;
use serde_json::{Value, json};

use super::proxy::Proxy;
use crate::apply::{Printed, command};
use crate::appmesh::served::Served;
use crate::world::{PATIENCE, eventually};

/// What a control plane has: the spec and the tags of each resource.
pub(super) type Mesh = BTreeMap<ResourceId, (Value, BTreeMap<String, String>)>;

/// The source, the target, and what stands between them.
pub(super) struct Pair {
    pub(super) source: Served,
    pub(super) target: Served,
    pub(super) proxy: Proxy,
}

impl Pair {
    pub(super) async fn start() -> Self {
        Self::between(Served::start(&[]).await, Served::start(&[]).await).await
    }

    /// Of two that are there.
    pub(super) async fn between(source: Served, target: Served) -> Self {
        let proxy = Proxy::start(target.api).await;
        Self {
            source,
            target,
            proxy,
        }
    }

    /// A source that mirrors by itself.
    pub(super) async fn mirroring(args: &[&str]) -> Self {
        Self::with(Served::start(&[]).await, args).await
    }

    /// The same, to this target.
    pub(super) async fn with(target: Served, args: &[&str]) -> Self {
        let proxy = Proxy::start(target.api).await;
        let endpoint = proxy.url();
        let all = [args, &["--mirror-endpoint", &endpoint]].concat();
        Self {
            source: Served::start(&all).await,
            target,
            proxy,
        }
    }

    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(self.source.folder.path(), &self.source.url(), arguments);
        command
            .env("OUTRIGGER_SYNC_ENDPOINT", self.proxy.url())
            .env("AWS_CONFIG_FILE", "/dev/null")
            .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
            .stdin(Stdio::null());
        command
    }

    /// Types a command.
    pub(super) async fn run(&self, arguments: &[&str]) -> Printed {
        let mut command = self.command(arguments);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap());
        Printed::of(output.await.unwrap())
    }

    pub(super) async fn status(&self) -> Value {
        let printed = self.run(&["sync", "status", "--output", "json"]).await;
        assert_eq!(printed.code, Some(0), "{printed:?}");
        serde_json::from_str(&printed.out).unwrap()
    }

    /// Waits for a state of the mirror.
    pub(super) async fn state(&self, state: &str) -> Value {
        let what = format!("the mirror is {state}");
        eventually(&what, PATIENCE, async || {
            let status = self.status().await;
            (status["state"] == state).then_some(status)
        })
        .await
    }

    /// Waits until the target is what the source is.
    pub(super) async fn equal(&self) {
        eventually("the target is what the source is", PATIENCE, async || {
            let (source, target) = (mesh(&self.source).await, mesh(&self.target).await);
            (mirrored(&target) == source).then_some(())
        })
        .await;
    }

    /// Kills the target and starts it anew, on what it has on its disk.
    pub(super) async fn restart_target(&mut self) {
        self.target.restart().await;
        self.proxy.point_at(self.target.api);
    }
}

/// Keys that a control plane takes, each with its secret.
pub(super) struct KeysFile {
    file: tempfile::NamedTempFile,
}

impl KeysFile {
    /// Keys by name, and what else the file says of each.
    pub(super) fn new(keys: &[(&str, &str)]) -> Self {
        let file = tempfile::NamedTempFile::new().unwrap();
        let keys_file = Self { file };
        keys_file.set(keys);
        keys_file
    }

    /// These instead.
    pub(super) fn set(&self, keys: &[(&str, &str)]) {
        let line = |(id, more): &(&str, &str)| {
            let secret = secret(id);
            format!("- {{accessKeyId: {id}, secretAccessKey: {secret}, name: {id}{more}}}\n")
        };
        let text: String = keys.iter().map(line).collect();
        std::fs::write(self.file.path(), text).unwrap();
    }

    pub(super) fn path(&self) -> &str {
        self.file.path().to_str().unwrap()
    }

    /// Types a command with one of the keys.
    pub(super) async fn run(&self, pair: &Pair, key: &str, arguments: &[&str]) -> Printed {
        let mut command = pair.command(arguments);
        Self::sign(&mut command, key);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap());
        Printed::of(output.await.unwrap())
    }
}

impl KeysFile {
    /// Lets a command sign with one of the keys.
    pub(super) fn sign(command: &mut Command, key: &str) {
        command
            .env("AWS_ACCESS_KEY_ID", key)
            .env("AWS_SECRET_ACCESS_KEY", secret(key));
    }
}

fn secret(key: &str) -> String {
    format!("{key}-secret-of-enough-characters")
}

/// What a control plane has now.
pub(super) async fn mesh(served: &Served) -> Mesh {
    let listing = served.get("/outrigger/v1/resources").await.ok();
    let resources = listing["resources"].as_array().unwrap().iter();
    let resource = |resource: &Value| {
        let arn = resource["metadata"]["arn"].as_str().unwrap();
        let tags = serde_json::from_value(resource["tags"].clone()).unwrap();
        (
            ResourceId::parse(arn).unwrap(),
            (resource["spec"].clone(), tags),
        )
    };
    resources.map(resource).collect()
}

/// What of it a mirror has made, without the mirror's tag.
pub(super) fn mirrored(mesh: &Mesh) -> Mesh {
    let mut mesh = mesh.clone();
    mesh.retain(|_, (_, tags)| tags.remove(TAG).is_some());
    mesh
}

/// The path that a resource is created at, and the member with its name.
fn collection(id: &ResourceId) -> (String, &'static str) {
    let mesh = format!("/v20190125/meshes/{}", id.mesh());
    match id {
        ResourceId::Mesh(_) => ("/v20190125/meshes".to_owned(), "meshName"),
        ResourceId::VirtualNode(..) => (format!("{mesh}/virtualNodes"), "virtualNodeName"),
        ResourceId::VirtualService(..) => (format!("{mesh}/virtualServices"), "virtualServiceName"),
        ResourceId::VirtualRouter(..) => (format!("{mesh}/virtualRouters"), "virtualRouterName"),
        ResourceId::Route(_, router, _) => {
            (format!("{mesh}/virtualRouter/{router}/routes"), "routeName")
        }
        ResourceId::VirtualGateway(..) => (format!("{mesh}/virtualGateways"), "virtualGatewayName"),
        ResourceId::GatewayRoute(_, gateway, _) => (
            format!("{mesh}/virtualGateway/{gateway}/gatewayRoutes"),
            "gatewayRouteName",
        ),
    }
}

fn item(id: &ResourceId) -> String {
    let name: String = (id.name().bytes())
        .map(|byte| {
            if byte.is_ascii_alphanumeric() || b"-_.".contains(&byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect();
    format!("{}/{name}", collection(id).0)
}

/// Calls of App Mesh's API, as a user makes them.
pub(super) async fn create(
    served: &Served,
    id: &ResourceId,
    spec: &Value,
    tags: &[(&str, &str)],
) -> u16 {
    let (path, name) = collection(id);
    let tags: Vec<Value> = tags
        .iter()
        .map(|(key, value)| json!({ "key": key, "value": value }))
        .collect();
    let body = json!({ name: id.name(), "spec": spec, "tags": tags });
    served.put(&path, &body).await.status
}

pub(super) async fn update(served: &Served, id: &ResourceId, spec: &Value) -> u16 {
    served.put(&item(id), &json!({ "spec": spec })).await.status
}

pub(super) async fn delete(served: &Served, id: &ResourceId) -> u16 {
    served.delete(&item(id)).await.status
}

pub(super) async fn tag(served: &Served, id: &ResourceId, key: &str, value: &str) -> u16 {
    let listing = served.get("/outrigger/v1/resources").await.ok();
    let arn = |resource: &Value| {
        let arn = resource["metadata"]["arn"].as_str().unwrap().to_owned();
        arn.ends_with(&format!(":{id}")).then_some(arn)
    };
    let arn = listing["resources"]
        .as_array()
        .unwrap()
        .iter()
        .find_map(arn);
    let Some(arn) = arn else { return 404 };
    let body = json!({ "tags": [{ "key": key, "value": value }] });
    let arn = arn.replace(':', "%3A").replace('/', "%2F");
    served
        .put(&format!("/v20190125/tag?resourceArn={arn}"), &body)
        .await
        .status
}
