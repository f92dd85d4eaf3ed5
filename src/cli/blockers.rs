//! What the server would refuse to delete, known before it is asked: by its own rules, on what it has.

use std::collections::BTreeMap;

use super::remote::{Listing, Owner};
use super::step::{Action, Step};
use crate::model::admission::{Change, admit};
use crate::model::quota::Quotas;
use crate::model::{Model, ResourceId};

/// Which deletes among the steps would be refused, and why. `model` is what there is when the first of them is done.
pub(super) fn blockers(
    listing: &Listing,
    mut model: Model,
    steps: &[Step],
) -> BTreeMap<ResourceId, String> {
    let mut blocked = BTreeMap::new();
    for step in steps.iter().filter(|step| step.action == Action::Delete) {
        let id = &step.id;
        let why = match listing.resources.get(id) {
            None => Some("it does not exist".to_owned()),
            Some(there) if there.owner != Owner::Api => Some(format!(
                "it belongs to {}, a file of the server",
                there.owner
            )),
            // What this version cannot read, only the server can judge.
            Some(_) if !model.contains(id) => None,
            Some(_) => admit(&model, Change::Delete(id), &Quotas::default())
                .err()
                .map(|refusal| refusal.to_string()),
        };
        match why {
            Some(why) => drop(blocked.insert(id.clone(), why)),
            None => model.remove(id),
        }
    }
    blocked
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn blocked(ids: &[&str]) -> Vec<String> {
        let node = |name: &str| json!({ "kind": "VirtualNode", "meshName": "m", "virtualNodeName": name, "spec": {} });
        let mut owned = node("owned");
        owned["owner"] = json!({ "file": "a.yaml", "line": 3 });
        let mut newer = node("newer");
        newer["spec"] = json!({ "newer": 1 });
        let listing = Listing::read(json!({ "resources": [
            { "kind": "Mesh", "meshName": "m", "spec": {} }, node("n"), owned, newer,
            { "kind": "VirtualRouter", "meshName": "m", "virtualRouterName": "r", "spec": {} },
            { "kind": "Route", "meshName": "m", "virtualRouterName": "r", "routeName": "x", "spec": { "httpRoute": {
                "match": { "prefix": "/" }, "action": { "weightedTargets": [{ "virtualNode": "n", "weight": 1 }] } } } },
            { "kind": "VirtualService", "meshName": "m", "virtualServiceName": "s", "spec": { "provider": {
                "virtualRouter": { "virtualRouterName": "r" } } } },
            { "kind": "GatewayRoute", "meshName": "m", "virtualGatewayName": "g", "gatewayRouteName": "x", "spec": {
                "httpRoute": { "match": { "prefix": "/" }, "action": { "target": {
                    "virtualService": { "virtualServiceName": "s" } } } } } },
        ]}))
        .unwrap();
        let steps = ids
            .iter()
            .map(|id| Step::delete(ResourceId::parse(id).unwrap()));
        let blocked = blockers(&listing, listing.model(), &steps.collect::<Vec<_>>());
        blocked.into_values().collect()
    }

    #[test]
    fn what_would_be_refused_is_known_before() {
        let (node, route) = ("mesh/m/virtualNode/n", "mesh/m/virtualRouter/r/route/x");
        assert_eq!(blocked(&[route, node]), [""; 0]);
        let used =
            format!("`{node}` is in use by `{route}`; delete these first, or let them use another");
        assert_eq!(blocked(&[node]), [used]);
        // What is blocked stays, and blocks in its turn.
        let (service, router) = ("mesh/m/virtualService/s", "mesh/m/virtualRouter/r");
        assert_eq!(blocked(&[service, route, router]).len(), 2);
        let gateway_route = "mesh/m/virtualGateway/g/gatewayRoute/x";
        assert_eq!(blocked(&[gateway_route, service, route, router]), [""; 0]);
        assert_eq!(
            blocked(&["mesh/m/virtualNode/owned"]),
            ["it belongs to a.yaml:3, a file of the server"]
        );
        assert_eq!(blocked(&["mesh/m/virtualNode/none"]), ["it does not exist"]);
        assert_eq!(blocked(&["mesh/m/virtualNode/newer"]), [""; 0]);
    }
}
