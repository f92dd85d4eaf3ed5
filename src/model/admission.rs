//! What App Mesh's service refuses of one change, given the model before it.
//!
//! The rules between resources are those of [`super::validate`]. A change is refused for what is wrong with its own
//! resource. What it makes of other resources is only reported: AWS refused that too, but so forbade orders of changes whose
//! end is sound (a second listener before the routes say ports, another protocol before the routes change theirs).
//!
//! What a resource names must be there, but for the backends of nodes, which may name what comes later.
//!
//! **Invariant:** a look costs what the change touches, whatever the size of the mesh.

mod dependents;
#[cfg(test)]
mod tests;

use std::fmt;

use thiserror::Error;

use super::names::{ResourceId, ResourceKind};
use super::problem::{Problem, Severity};
use super::quota::{Quota, Quotas};
use super::registry::{Model, Resource};
use super::validate::problems_of;

/// One change of the model.
#[derive(Clone, Copy, Debug)]
pub enum Change<'a> {
    /// Of a resource that is not in the model.
    Create(&'a Resource),
    Update(&'a Resource),
    Delete(&'a ResourceId),
}

/// Why a change is not made.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The resource, or what it would stand in: the outermost that is missing.
    #[error("`{id}` does not exist; create it first")]
    NotFound { id: ResourceId },
    /// Errors, and warnings beside them.
    #[error("{}", Listed(problems))]
    Invalid { problems: Vec<Problem> },
    /// `by` holds the first few of those that use it.
    #[error(
        "`{id}` is in use by {}; delete these first, or let them use another",
        Names(by)
    )]
    InUse { id: ResourceId, by: Vec<ResourceId> },
    #[error(
        "`{id}` exceeds the quota `{quota}` of {limit}; delete what is no longer needed, or raise the quota"
    )]
    Limit {
        id: ResourceId,
        quota: Quota,
        limit: u32,
    },
}

/// How many users of a resource a refusal names.
const NAMED: usize = 5;

/// Whether a change can be made. Returns the problems that are only reported.
///
/// # Errors
/// [`Refusal`] with the reason; the model stays as it is.
pub fn admit(model: &Model, change: Change<'_>, quotas: &Quotas) -> Result<Vec<Problem>, Refusal> {
    match change {
        Change::Create(resource) => {
            if let Some(id) = resource.id.parent().and_then(|id| missing(model, &id)) {
                return Err(Refusal::NotFound { id });
            }
            write(model, resource, quotas)
        }
        Change::Update(resource) => {
            if let Some(id) = missing(model, &resource.id) {
                return Err(Refusal::NotFound { id });
            }
            write(model, resource, quotas)
        }
        Change::Delete(id) => delete(model, id),
    }
}

/// Whether a change can be made and leaves no other resource with more errors than it had, as AWS's service asked.
pub fn admit_strictly(model: &Model, change: Change<'_>) -> bool {
    let mut after = model.clone();
    let id = match change {
        Change::Create(resource) | Change::Update(resource) => {
            after.insert(resource.clone());
            &resource.id
        }
        Change::Delete(id) => {
            after.remove(id);
            id
        }
    };
    admit(model, change, &Quotas::default()).is_ok() && !dependents::breaks(model, &after, id)
}

/// The outermost that is missing of a resource and what it stands in: its mesh, its router or gateway, itself.
pub fn missing(model: &Model, id: &ResourceId) -> Option<ResourceId> {
    let above = id.parent().and_then(|parent| missing(model, &parent));
    above.or_else(|| (!model.contains(id)).then(|| id.clone()))
}

fn write(model: &Model, resource: &Resource, quotas: &Quotas) -> Result<Vec<Problem>, Refusal> {
    let mut after = model.clone();
    after.insert(resource.clone());
    let mut problems = problems_of(&after, &resource.id);
    let is_error = |problem: &Problem| problem.severity == Severity::Error;
    if problems.iter().any(is_error) {
        return Err(Refusal::Invalid { problems });
    }
    if let Some((quota, limit)) = exceeded(model, &after, &resource.id, quotas) {
        return Err(Refusal::Limit {
            id: resource.id.clone(),
            quota,
            limit,
        });
    }
    problems.extend(dependents::new_problems(model, &after, &resource.id));
    Ok(problems)
}

fn delete(model: &Model, id: &ResourceId) -> Result<Vec<Problem>, Refusal> {
    // What it stood in may be gone, with the file that declared it.
    if !model.contains(id) {
        let id = missing(model, id).unwrap_or_else(|| id.clone());
        return Err(Refusal::NotFound { id });
    }
    let by = users(model, id);
    if !by.is_empty() {
        return Err(Refusal::InUse { id: id.clone(), by });
    }
    let mut after = model.clone();
    after.remove(id);
    Ok(dependents::new_problems(model, &after, id))
}

/// The first few resources without which this one cannot be deleted: what is in it, and what names it.
fn users(model: &Model, id: &ResourceId) -> Vec<ResourceId> {
    let users = model.users_of(id).cloned().chain(model.inside(id));
    users.take(NAMED + 1).collect()
}

/// The first quota that a write leaves exceeded, unless the model was beyond it before and the write adds nothing.
fn exceeded(
    before: &Model,
    after: &Model,
    id: &ResourceId,
    quotas: &Quotas,
) -> Option<(Quota, u32)> {
    Quota::ALL.into_iter().find_map(|quota| {
        let limit = quotas.limit(quota)?;
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        let [before, after] = [before, after].map(|model| count(model, id, quota));
        (after > Some(most) && after > before).then_some((quota, limit))
    })
}

/// How much there is of what a quota limits, where a resource counts for it.
fn count(model: &Model, id: &ResourceId, quota: Quota) -> Option<usize> {
    let mesh = model.mesh(id.mesh())?;
    Some(match (quota, id) {
        (Quota::MeshesPerAccount, ResourceId::Mesh(_)) => model.count(ResourceKind::Mesh),
        (Quota::VirtualNodesPerMesh, ResourceId::VirtualNode(..)) => mesh.nodes.len(),
        (Quota::VirtualServicesPerMesh, ResourceId::VirtualService(..)) => mesh.services.len(),
        (Quota::VirtualRoutersPerMesh, ResourceId::VirtualRouter(..)) => mesh.routers.len(),
        (Quota::VirtualGatewaysPerMesh, ResourceId::VirtualGateway(..)) => mesh.gateways.len(),
        (Quota::RoutesPerVirtualRouter, ResourceId::Route(_, router, _)) => {
            mesh.routes_of(router).count()
        }
        (Quota::GatewayRoutesPerVirtualGateway, ResourceId::GatewayRoute(_, gateway, _)) => {
            mesh.gateway_routes_of(gateway).count()
        }
        (Quota::BackendsPerVirtualNode, ResourceId::VirtualNode(_, name)) => {
            mesh.nodes.get(name)?.backends().len()
        }
        (Quota::WeightedTargetsPerRoute, ResourceId::Route(_, router, name)) => {
            let route = mesh.routes.get(&(router.clone(), name.clone()))?;
            route.weighted_targets().len()
        }
        _ => return None,
    })
}

/// Problems in a line, the first few of them.
struct Listed<'a>(&'a [Problem]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 10;
        for (index, problem) in self.0.iter().take(SHOWN).enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            let Problem {
                what, path, help, ..
            } = problem;
            write!(f, "{separator}{what} (at `{path}`: {help})")?;
        }
        match self.0.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

struct Names<'a>(&'a [ResourceId]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, id) in self.0.iter().take(NAMED).enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}`{id}`")?;
        }
        if self.0.len() > NAMED {
            f.write_str(" and others")?;
        }
        Ok(())
    }
}
