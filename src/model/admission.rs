//! What App Mesh's service refuses of one change, given the model before it.
//!
//! The rules between resources are those of [`super::validate`]. A change is refused for what is wrong with its own
//! resource. What it makes of other resources is only reported: AWS refused that too, but so forbade orders of changes whose
//! end is sound (a second listener before the routes say ports, another protocol before the routes change theirs).
//!
//! **Invariant:** a look costs what the change touches, whatever the size of the mesh.

use thiserror::Error;

use super::names::ResourceId;
use super::problem::Problem;
use super::quota::{Quota, Quotas};
use super::registry::{Model, Resource};

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
    /// Of the resource or of what it would stand in: the outermost that is missing.
    #[error("`{id}` does not exist")]
    NotFound { id: ResourceId },
    #[error("not valid")]
    Invalid { problems: Vec<Problem> },
    /// `by` holds the first few of those that use it.
    #[error("`{id}` is in use")]
    InUse { id: ResourceId, by: Vec<ResourceId> },
    #[error("`{id}` would exceed the quota `{quota}` of {limit}")]
    Limit {
        id: ResourceId,
        quota: Quota,
        limit: u32,
    },
}

/// Whether a change can be made.
///
/// Returns the problems that are only reported.
///
/// # Errors
/// [`Refusal`] with the reason; the model stays as it is.
pub fn admit(model: &Model, change: Change<'_>, quotas: &Quotas) -> Result<Vec<Problem>, Refusal> {
    let _ = (model, change, quotas);
    Ok(Vec::new())
}
