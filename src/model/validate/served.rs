//! What can be declared but is not translated yet. A release that serves one of these deletes its row.

use crate::model::document::{Located, Path, Value, member};
use crate::model::names::ResourceKind;
use crate::model::problem::Problem;

/// Kind, path through its document (empty: all of it), and what happens instead.
static NOT_SERVED: &[(ResourceKind, &str, &str)] = &[
    (
        ResourceKind::VirtualGateway,
        "",
        "its proxies get no configuration",
    ),
    (ResourceKind::GatewayRoute, "", "its gateway routes nothing"),
    (
        ResourceKind::VirtualNode,
        "spec.listeners[].tls",
        "with mode STRICT the listener gets no calls, else it takes plain text only",
    ),
    (
        ResourceKind::VirtualNode,
        "spec.backendDefaults.clientPolicy.tls",
        "calls to backends are refused, or sent as plain text if `enforce` is false",
    ),
    (
        ResourceKind::VirtualNode,
        "spec.backends[].virtualService.clientPolicy.tls",
        "calls to the backend are refused, or sent as plain text if `enforce` is false",
    ),
    (
        ResourceKind::VirtualNode,
        "spec.serviceDiscovery.awsCloudMap",
        "the node gets no endpoints",
    ),
];

/// A warning for each field of a document that is given but not served.
pub fn not_served(kind: ResourceKind, document: &Located) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (_, path, instead) in NOT_SERVED.iter().filter(|(of, ..)| *of == kind) {
        let steps: Vec<&str> = path.split('.').filter(|step| !step.is_empty()).collect();
        for found in find(document, &steps, Path::default()) {
            let name = match steps.last() {
                Some(field) => (*field).to_owned(),
                None => kind.as_str().to_owned(),
            };
            let problem = Problem::warning(
                found.clone(),
                format!("`{name}` is not yet served: {instead}"),
                "not yet served",
                "leave it out, or mind that it has no effect yet",
            );
            problems.push(problem.at(document.locate(&found)));
        }
    }
    problems
}

/// Every value that the steps lead to.
fn find(node: &Located, steps: &[&str], at: Path) -> Vec<Path> {
    let Some((step, rest)) = steps.split_first() else {
        return vec![at];
    };
    let name = step.trim_end_matches("[]");
    let Some((_, value)) = node.members().and_then(|members| member(members, name)) else {
        return Vec::new();
    };
    let at = at.field(name);
    match &value.value {
        Value::List(items) if step.ends_with("[]") => items
            .iter()
            .enumerate()
            .flat_map(|(index, item)| find(item, rest, at.clone().index(index)))
            .collect(),
        _ => find(value, rest, at),
    }
}

#[cfg(test)]
pub(super) fn table() -> impl Iterator<Item = (ResourceKind, &'static str)> {
    NOT_SERVED.iter().map(|(kind, path, _)| (*kind, *path))
}
