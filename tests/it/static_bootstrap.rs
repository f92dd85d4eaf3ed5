//! A snapshot as a bootstrap that needs no control plane, so that `envoy --mode validate` can judge every resource.

use outrigger::snapshot::{Kind, Resource, Snapshot, descriptors};
use serde_json::{Map, Value, json};

/// All clusters and listeners as static resources. What they would ask for over ADS is put inside them: load
/// assignments (a withheld one is empty), route configurations, and the filters that come by ECDS.
/// A listener that names what the snapshot does not have fails the test.
pub(crate) fn static_bootstrap(snapshot: &Snapshot) -> Value {
    let clusters = snapshot.resources(Kind::Cluster).map(|resource| {
        let mut cluster = to_json(resource);
        if cluster["type"] == "EDS" {
            let assignment = snapshot.get(Kind::Endpoint, resource.name());
            cluster["type"] = "STATIC".into();
            cluster["loadAssignment"] = assignment.map_or_else(
                || json!({"clusterName": resource.name().as_ref()}),
                |assignment| to_json(assignment),
            );
            members(&mut cluster).remove("edsClusterConfig");
        }
        cluster
    });
    let listeners = snapshot.resources(Kind::Listener).map(|resource| {
        let mut listener = to_json(resource);
        inline(&mut listener, snapshot);
        listener
    });
    json!({
        "node": {"id": "validated", "cluster": "validated"},
        "staticResources": {
            "clusters": clusters.collect::<Vec<_>>(),
            "listeners": listeners.collect::<Vec<_>>(),
        },
    })
}

fn inline(json: &mut Value, snapshot: &Snapshot) {
    if let Value::Object(object) = json {
        if let Some(rds) = object.remove("rds") {
            let routes = named(snapshot, Kind::Route, &rds["routeConfigName"]);
            object.insert("routeConfig".to_owned(), routes);
        }
        if object.remove("configDiscovery").is_some() {
            let extension = named(snapshot, Kind::Extension, &object["name"]);
            object.insert("typedConfig".to_owned(), extension["typedConfig"].clone());
        }
    }
    match json {
        Value::Object(object) => object
            .values_mut()
            .for_each(|value| inline(value, snapshot)),
        Value::Array(values) => values.iter_mut().for_each(|value| inline(value, snapshot)),
        _ => {}
    }
}

fn named(snapshot: &Snapshot, kind: Kind, name: &Value) -> Value {
    let name = name.as_str().unwrap();
    let resource = snapshot.get(kind, name);
    to_json(resource.unwrap_or_else(|| panic!("there is no {kind} {name} in {snapshot:?}")))
}

fn to_json(resource: &Resource) -> Value {
    let mut json = descriptors::to_json(resource.kind().type_url(), resource.body()).unwrap();
    members(&mut json).remove("@type");
    json
}

fn members(json: &mut Value) -> &mut Map<String, Value> {
    json.as_object_mut().unwrap()
}
