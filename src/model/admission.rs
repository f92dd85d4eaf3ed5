//! What App Mesh's service refuses of one change, given the model before it.

use thiserror::Error;

use super::problem::Problem;
use super::quota::{Quota, Quotas};
use super::{Model, Resource, ResourceId};

/// One change to a model.
#[derive(Clone, Copy, Debug)]
pub enum Change<'a> {
    Create(&'a Resource),
    Update(&'a Resource),
    Delete(&'a ResourceId),
}

/// Why a change is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The thing itself, or what it would stand in.
    #[error("there is no `{id}`")]
    NotFound { id: ResourceId },
    #[error("the resource does not hold")]
    Invalid { problems: Vec<Problem> },
    #[error("`{id}` is in use")]
    InUse { id: ResourceId, by: Vec<ResourceId> },
    #[error("there may be {limit} at most")]
    Limit { quota: Quota, limit: u32 },
}

/// Whether the change may be made; of one that may, the problems that are only reported.
///
/// # Errors
/// [`Refusal`] with the first reason not to.
pub fn admit(model: &Model, change: Change<'_>, _quotas: &Quotas) -> Result<Vec<Problem>, Refusal> {
    let known = |id: &ResourceId| {
        if model.contains(id) {
            Ok(())
        } else {
            Err(Refusal::NotFound { id: id.clone() })
        }
    };
    match change {
        Change::Create(resource) => parent(&resource.id).as_ref().map_or(Ok(()), known)?,
        Change::Update(resource) => known(&resource.id)?,
        Change::Delete(id) => known(id)?,
    }
    Ok(Vec::new())
}

fn parent(id: &ResourceId) -> Option<ResourceId> {
    match id {
        ResourceId::Mesh(_) => None,
        ResourceId::VirtualNode(mesh, _)
        | ResourceId::VirtualService(mesh, _)
        | ResourceId::VirtualRouter(mesh, _)
        | ResourceId::VirtualGateway(mesh, _) => Some(ResourceId::Mesh(mesh.clone())),
        ResourceId::Route(mesh, router, _) => {
            Some(ResourceId::VirtualRouter(mesh.clone(), router.clone()))
        }
        ResourceId::GatewayRoute(mesh, gateway, _) => {
            Some(ResourceId::VirtualGateway(mesh.clone(), gateway.clone()))
        }
    }
}
