//! What an Envoy says of itself.

use outrigger::envoy::process::Envoy;
use serde_json::Value;

/// A statistic's value; one that was never counted is 0.
pub(crate) async fn stat(envoy: &Envoy, name: &str) -> u64 {
    let path = format!("/stats?usedonly&filter=^{}$", name.replace('.', r"\."));
    let text = envoy.admin().get(&path).await.unwrap();
    let text = String::from_utf8(text.to_vec()).unwrap();
    text.trim()
        .rsplit_once(": ")
        .map_or(0, |(_, value)| value.parse().unwrap())
}

/// The weights of each weighted route in the egress route configuration.
pub(crate) async fn weights(envoy: &Envoy) -> Option<Vec<u64>> {
    let dump = envoy
        .admin()
        .get_json("/config_dump?resource=dynamic_route_configs")
        .await
        .ok()?;
    let configs = dump["configs"].as_array()?;
    let egress = configs
        .iter()
        .map(|config| &config["route_config"])
        .find(|config| config["name"] == "rds_egress_http_15001")?;
    let hosts = egress["virtual_hosts"].as_array()?.iter();
    let routes = hosts.flat_map(|host| host["routes"].as_array().into_iter().flatten());
    let weighted = routes.flat_map(|route| {
        let clusters = route["route"]["weighted_clusters"]["clusters"].as_array();
        clusters.into_iter().flatten()
    });
    // A weight of 0 is not printed.
    Some(
        weighted
            .map(|cluster| cluster["weight"].as_u64().unwrap_or(0))
            .collect(),
    )
}

/// The clusters that Envoy uses, and those that it waits for.
pub(crate) struct Clusters {
    pub(crate) active: Vec<Value>,
    pub(crate) warming: Vec<Value>,
}

/// Both at one moment.
pub(crate) async fn clusters(envoy: &Envoy) -> Option<Clusters> {
    let dump = envoy.admin().get_json("/config_dump").await.ok()?;
    let of_clusters = |config: &&Value| {
        let kind = config["@type"].as_str().unwrap_or_default();
        kind.ends_with("ClustersConfigDump")
    };
    let clusters = dump["configs"].as_array()?.iter().find(of_clusters)?;
    let list = |member: &str| {
        let entries = clusters[member].as_array().into_iter().flatten();
        entries.map(|entry| entry["cluster"].clone()).collect()
    };
    Some(Clusters {
        active: list("dynamic_active_clusters"),
        warming: list("dynamic_warming_clusters"),
    })
}

impl Clusters {
    pub(crate) fn active(&self, name: &str) -> Option<&Value> {
        self.active.iter().find(|cluster| cluster["name"] == name)
    }
}

/// The addresses of a cluster's hosts, sorted.
pub(crate) async fn hosts(envoy: &Envoy, cluster: &str) -> Option<Vec<String>> {
    let status = envoy.admin().get_json("/clusters?format=json").await.ok()?;
    let clusters = status["cluster_statuses"].as_array()?;
    let found = clusters.iter().find(|one| one["name"] == cluster)?;
    let hosts = found["host_statuses"].as_array().into_iter().flatten();
    let address = |host: &Value| {
        host["address"]["socket_address"]["address"]
            .as_str()
            .map(str::to_owned)
    };
    let mut addresses: Vec<String> = hosts.filter_map(address).collect();
    addresses.sort();
    Some(addresses)
}
