//! The benchmark's mesh: what every control plane serves, and the files and calls that Outrigger takes it from.
//!
//! Sidecar `i` is of group `i` modulo the number of groups. A group has service 0, which all groups share, and every
//! groups-th service, each with ten endpoints. The floor and the peer make the same mesh from the same two numbers.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// Node id of the sidecars; the load client fills in the group. All control planes take it.
pub(crate) const NODE_ID: &str = "mesh/bench/virtualNode/group-{g}";

const PORT: u16 = 8080;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mesh {
    pub(crate) services: usize,
    /// Services that each sidecar has.
    pub(crate) backends: usize,
}

impl Mesh {
    pub(crate) fn new(services: usize, backends: usize) -> Result<Self> {
        ensure!(
            (1..=services).contains(&backends),
            "{backends} of {services} services cannot be backends"
        );
        Ok(Self { services, backends })
    }

    pub(crate) fn groups(self) -> usize {
        self.services / self.backends
    }

    fn services_of(self, group: usize) -> impl Iterator<Item = usize> {
        let groups = self.groups();
        std::iter::once(0).chain((1..self.backends).map(move |j| group + j * groups))
    }

    /// Writes Outrigger's mesh folder.
    pub(crate) fn write(self, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        let write = |name: &str, documents: Vec<Value>| {
            let path = folder.join(name);
            // JSON is YAML, and `---` separates its documents.
            let text: Vec<_> = documents.iter().map(Value::to_string).collect();
            fs::write(&path, text.join("\n---\n") + "\n")
                .with_context(|| path.display().to_string())
        };
        let spec = json!({ "egressFilter": { "type": "DROP_ALL" } });
        write(
            "mesh.yaml",
            vec![json!({ "kind": "Mesh", "meshName": "bench", "spec": spec })],
        )?;
        let services =
            (0..self.services).flat_map(|k| [node(&format!("svc-{k}"), None), service(k)]);
        write("services.yaml", services.collect())?;
        let group = |group| {
            node(
                &format!("group-{group}"),
                Some(self.services_of(group).collect()),
            )
        };
        write("groups.yaml", (0..self.groups()).map(group).collect())
    }
}

/// A node that listens on [`PORT`]; a group's names its backends. Its discovery is an address, which needs no DNS server
/// and which no sidecar is told of, for registered endpoints are used instead.
fn node(name: &str, backends: Option<Vec<usize>>) -> Value {
    let mut spec = json!({
        "serviceDiscovery": { "dns": { "hostname": "127.0.0.1" } },
        "listeners": [{ "portMapping": { "port": PORT, "protocol": "http" } }],
    });
    if let Some(backends) = backends {
        let backend = |k: usize| json!({ "virtualService": { "virtualServiceName": format!("svc-{k}.local") } });
        spec["backends"] = backends.into_iter().map(backend).collect();
    }
    json!({ "kind": "VirtualNode", "meshName": "bench", "virtualNodeName": name, "spec": spec })
}

fn service(k: usize) -> Value {
    let provider = json!({ "virtualNode": { "virtualNodeName": format!("svc-{k}") } });
    json!({
        "kind": "VirtualService",
        "meshName": "bench",
        "virtualServiceName": format!("svc-{k}.local"),
        "spec": { "provider": provider },
    })
}

/// Where a service's endpoints are registered; `{service}` is its number.
pub(crate) const ENDPOINTS_PATH: &str =
    "/outrigger/v1/meshes/bench/virtualNodes/svc-{service}/endpoints";

/// What is registered there: ten endpoints, of which `{octet}` changes the first one's address. The load client fills
/// in the braces.
pub(crate) fn endpoints_body() -> String {
    let endpoint = |last: &str| {
        json!({
            "address": format!("10.10{{high}}.{{low}}.{last}"),
            "port": PORT,
            "weight": 1,
            "zone": "eu-west-1a",
        })
    };
    let others = (101..110).map(|last: u32| endpoint(&last.to_string()));
    let all: Vec<_> = std::iter::once(endpoint("{octet}")).chain(others).collect();
    json!({ "endpoints": all }).to_string()
}

/// A template filled in for a service that was changed so many times, as the load client would.
pub(crate) fn fill(template: &str, service: usize, changes: usize) -> String {
    [
        ("{service}", service),
        ("{high}", service / 256),
        ("{low}", service % 256),
        ("{octet}", 200 + changes % 50),
    ]
    .iter()
    .fold(template.to_owned(), |text, (name, value)| {
        text.replace(name, &value.to_string())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_has_the_shared_service_and_every_groups_th() {
        let mesh = Mesh::new(20, 4).unwrap();
        assert_eq!(mesh.services_of(2).collect::<Vec<_>>(), [0, 7, 12, 17]);
        let full = Mesh::new(20, 20).unwrap();
        assert_eq!(full.groups(), 1);
        assert_eq!(full.services_of(0).count(), 20);
        assert!(Mesh::new(3, 4).is_err() && Mesh::new(3, 0).is_err());
    }

    #[test]
    fn the_folder_names_every_node_and_service() {
        let folder = tempfile::tempdir().unwrap();
        Mesh::new(20, 4).unwrap().write(folder.path()).unwrap();
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        let documents: Vec<Value> = ["mesh.yaml", "services.yaml", "groups.yaml"]
            .iter()
            .flat_map(|name| {
                read(name)
                    .split("\n---\n")
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
            })
            .map(|text| serde_json::from_str(&text).unwrap())
            .collect();
        assert_eq!(documents.len(), 1 + 2 * 20 + 5);
        let group = documents.last().unwrap();
        assert_eq!(group["virtualNodeName"], "group-4");
        assert_eq!(group["spec"]["backends"].as_array().unwrap().len(), 4);
    }

    #[test]
    fn a_service_has_ten_endpoints_of_its_own() {
        let body: Value = serde_json::from_str(&fill(&endpoints_body(), 700, 0)).unwrap();
        let addresses: Vec<_> = body["endpoints"]
            .as_array()
            .unwrap()
            .iter()
            .map(|endpoint| endpoint["address"].as_str().unwrap())
            .collect();
        assert_eq!(addresses.len(), 10);
        assert_eq!(
            (addresses[0], addresses[9]),
            ("10.102.188.200", "10.102.188.109")
        );
    }
}
