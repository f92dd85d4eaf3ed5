//! What a change makes of the resources that depend on the changed one.

use std::collections::BTreeSet;

use crate::model::document::Path;
use crate::model::names::ResourceId;
use crate::model::problem::{Problem, Severity};
use crate::model::registry::{Model, Spec};
use crate::model::spec::VirtualServiceProvider;
use crate::model::validate::problems_of;

/// How many resources are named one by one.
const NAMED: usize = 5;

/// A warning, at the changed resource, for each resource that the change leaves with problems it did not have.
pub(super) fn new_problems(before: &Model, after: &Model, id: &ResourceId) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut unnamed = 0;
    for dependent in dependents(before, after, id) {
        let had = problems_of(before, &dependent);
        let new = problems_of(after, &dependent)
            .into_iter()
            .find(|problem| !had.contains(problem));
        let Some(problem) = new else { continue };
        if problems.len() == NAMED {
            unnamed += 1;
            continue;
        }
        problems.push(Problem::warning(
            changed_part(id),
            format!("`{dependent}` no longer fits: {}", problem.what),
            problem.label,
            format!(
                "change `{dependent}` too, at `{}`: {}",
                problem.path, problem.help
            ),
        ));
    }
    if unnamed > 0 {
        problems.push(Problem::warning(
            changed_part(id),
            format!("{unnamed} more resources no longer fit"),
            "more of the same",
            "change those that use it too",
        ));
    }
    problems
}

/// Whether the change leaves another resource with more errors than it had.
pub(super) fn breaks(before: &Model, after: &Model, id: &ResourceId) -> bool {
    let errors = |model, dependent| {
        let problems = problems_of(model, dependent).into_iter();
        problems
            .filter(|problem| problem.severity == Severity::Error)
            .count()
    };
    dependents(before, after, id)
        .iter()
        .any(|dependent| errors(after, dependent) > errors(before, dependent))
}

/// The part of a resource that others depend on.
fn changed_part(id: &ResourceId) -> Path {
    match id {
        ResourceId::VirtualService(..) => Path::of("spec.provider"),
        ResourceId::VirtualNode(..)
        | ResourceId::VirtualRouter(..)
        | ResourceId::VirtualGateway(..) => Path::of("spec.listeners"),
        ResourceId::Mesh(_) | ResourceId::Route(..) | ResourceId::GatewayRoute(..) => {
            Path::default()
        }
    }
}

/// The resources whose problems the change may alter; none if what they depend on stays as it was.
fn dependents(before: &Model, after: &Model, id: &ResourceId) -> BTreeSet<ResourceId> {
    let mut all = BTreeSet::new();
    let (old, new) = (before.get(id), after.get(id));
    if same_to_users(old.as_ref(), new.as_ref()) {
        return all;
    }
    match id {
        ResourceId::VirtualRouter(..) | ResourceId::VirtualGateway(..) => {
            all.extend(before.inside(id));
        }
        // A router that has lost its last route.
        ResourceId::Route(..) => all.extend(id.parent()),
        _ => {}
    }
    if let Some(Spec::VirtualService(service)) = &new
        && let Some(VirtualServiceProvider::VirtualRouter(router)) = &service.provider
    {
        let router = router.virtual_router_name.clone();
        all.insert(ResourceId::VirtualRouter(id.mesh().clone(), router));
    }
    for user in before.users_of(id) {
        match user {
            // A service has no listeners of its own: those who use it depend on its provider's.
            ResourceId::VirtualService(..) => all.extend(before.users_of(user).cloned()),
            _ => drop(all.insert(user.clone())),
        }
    }
    all
}

/// Whether two specs are the same to those who depend on them.
fn same_to_users(old: Option<&Spec>, new: Option<&Spec>) -> bool {
    match (old, new) {
        (Some(Spec::VirtualService(old)), Some(Spec::VirtualService(new))) => {
            old.provider == new.provider
        }
        (Some(old), Some(new)) => old.port_mappings() == new.port_mappings(),
        _ => false,
    }
}
