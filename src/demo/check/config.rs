//! What each Envoy says it runs with.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::layout::{Instance, MESH, Network};
use super::CheckError;
use crate::envoy::admin::Admin;

/// Every sidecar has its listeners, routes and clusters, under App Mesh's names.
pub(super) async fn active(network: Network) -> Result<String, CheckError> {
    let mut resources = 0;
    for instance in network.instances() {
        let active = active_names(Admin::new(instance.admin())).await?;
        for wanted in expected(&instance) {
            if !active.contains(&wanted) {
                return Err(CheckError::NotActive {
                    sidecar: format!("sidecar of {}", instance.name()),
                    missing: wanted,
                });
            }
        }
        resources += active.len();
    }
    Ok(format!("{resources} resources are active in 4 sidecars"))
}

/// What the example mesh gives an instance, spelt out.
fn expected(instance: &Instance) -> Vec<String> {
    let Instance { node, sidecar, .. } = instance;
    let called: &[&str] = match instance.service {
        "service-a" => &["serviceBNode", "serviceBNodeV2"],
        _ => &["serviceANode"],
    };
    let mut names = vec![
        format!("lds_ingress_{sidecar}_8080"),
        format!("lds_egress_{sidecar}_15001"),
        "rds_ingress_http_8080".to_owned(),
        "rds_egress_http_15001".to_owned(),
        format!("cds_ingress_{MESH}_{node}_http_8080"),
    ];
    for node in called {
        names.push(format!("cds_egress_{MESH}_{node}_http_8080"));
    }
    names
}

/// The names of all listeners, route configurations and clusters that a control plane gave and Envoy uses.
async fn active_names(admin: Admin) -> Result<BTreeSet<String>, CheckError> {
    let mut names = BTreeSet::new();
    for (resource, path) in [
        ("dynamic_listeners", "/active_state/listener/name"),
        ("dynamic_route_configs", "/route_config/name"),
        ("dynamic_active_clusters", "/cluster/name"),
    ] {
        let dump = admin
            .get_json(&format!("/config_dump?resource={resource}"))
            .await?;
        let configs = dump.get("configs").and_then(Value::as_array);
        for config in configs.into_iter().flatten() {
            if let Some(name) = config.pointer(path).and_then(Value::as_str) {
                names.insert(name.to_owned());
            }
        }
    }
    Ok(names)
}

/// The weight, in percent, that a sidecar's routes give a cluster, where they weigh it against others.
pub(super) async fn weight_percent(admin: Admin, cluster: &str) -> Result<Option<u64>, CheckError> {
    let dump = admin
        .get_json("/config_dump?resource=dynamic_route_configs")
        .await?;
    Ok(find_weight(&dump, cluster))
}

fn find_weight(value: &Value, cluster: &str) -> Option<u64> {
    if let Some(clusters) = value.pointer("/weighted_clusters/clusters") {
        let clusters = clusters.as_array()?;
        let weight = |target: &Value| target.get("weight").and_then(Value::as_u64).unwrap_or(0);
        let sum: u64 = clusters.iter().map(weight).sum();
        let of_cluster = clusters
            .iter()
            .find(|target| target.get("name").and_then(Value::as_str) == Some(cluster))?;
        return (weight(of_cluster) * 100).checked_div(sum);
    }
    match value {
        Value::Array(values) => values.iter().find_map(|value| find_weight(value, cluster)),
        Value::Object(members) => members
            .values()
            .find_map(|value| find_weight(value, cluster)),
        _ => None,
    }
}

/// The addresses that a sidecar knows for a cluster.
pub(super) async fn endpoints(admin: Admin, cluster: &str) -> Result<BTreeSet<String>, CheckError> {
    let status = admin.get_json("/clusters?format=json").await?;
    Ok(find_endpoints(&status, cluster))
}

fn find_endpoints(status: &Value, cluster: &str) -> BTreeSet<String> {
    let clusters = status.get("cluster_statuses").and_then(Value::as_array);
    let hosts = clusters
        .into_iter()
        .flatten()
        .filter(|status| status.get("name").and_then(Value::as_str) == Some(cluster))
        .filter_map(|status| status.get("host_statuses").and_then(Value::as_array))
        .flatten();
    hosts
        .filter_map(|host| host.pointer("/address/socket_address"))
        .filter_map(|address| {
            let ip = address.get("address")?.as_str()?;
            Some(format!("{ip}:{}", address.get("port_value")?.as_u64()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_weight_is_found_in_percent_where_it_is_weighed() {
        let dump = json!({ "configs": [
            { "route_config": { "virtual_hosts": [{ "routes": [{ "route": { "cluster": "x" } }] }] } },
            { "route_config": { "virtual_hosts": [{ "routes": [{ "route": { "weighted_clusters": { "clusters": [
                { "name": "v1", "weight": 60 }, { "name": "v2", "weight": 20 }, { "name": "none" },
            ] } } }] }] } },
        ] });
        assert_eq!(find_weight(&dump, "v2"), Some(25));
        assert_eq!(find_weight(&dump, "none"), Some(0));
        assert_eq!(find_weight(&dump, "x"), None);
    }

    #[test]
    fn endpoints_are_those_of_the_cluster_asked_for() {
        let host =
            |ip| json!({ "address": { "socket_address": { "address": ip, "port_value": 80 } } });
        let status = json!({ "cluster_statuses": [
            { "name": "empty" },
            { "name": "b", "host_statuses": [host("10.0.0.2"), host("10.0.0.1")] },
            { "name": "a", "host_statuses": [host("10.0.0.3")] },
        ] });
        let endpoints: Vec<String> = find_endpoints(&status, "b").into_iter().collect();
        assert_eq!(endpoints, ["10.0.0.1:80", "10.0.0.2:80"]);
        assert!(find_endpoints(&status, "empty").is_empty());
    }
}
