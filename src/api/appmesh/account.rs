//! Whose resource a query means. Everything here is of one account and region, and nothing is shared with others.

use super::error::ApiError;
use super::query::Query;
use crate::model::ResourceId;
use crate::model::arn::{Arn, Identity, parse_arn};

/// Length of an account id.
const DIGITS: usize = 12;

/// The resource that `resourceArn` names.
///
/// # Errors
/// When there is none, it is no ARN, or it is another account's or region's.
pub(super) fn addressed(own: &Identity, query: &Query) -> Result<ResourceId, ApiError> {
    let text = query.resource_arn.as_deref().ok_or(ApiError::NoArn)?;
    let Arn {
        region,
        account,
        id,
    } = parse_arn(text)?;
    if account != own.account_id.as_str() {
        let own = own.account_id.clone();
        return Err(ApiError::OtherAccount { id, account, own });
    }
    if region != own.region.as_str() {
        return Err(ApiError::OtherRegion {
            id,
            account: own.account_id.clone(),
            region,
            own: own.region.clone(),
        });
    }
    Ok(id)
}

/// Refuses a `meshOwner` that is another account.
///
/// # Errors
/// When it is none, or not the own one.
pub(super) fn check_mesh_owner(
    own: &Identity,
    query: &Query,
    id: &ResourceId,
) -> Result<(), ApiError> {
    let Some(owner) = query.mesh_owner.as_deref() else {
        return Ok(());
    };
    let own = &own.account_id;
    if owner == own.as_str() {
        return Ok(());
    }
    if owner.chars().count() != DIGITS {
        let text = owner.chars().take(2 * DIGITS).collect();
        return Err(ApiError::MeshOwner { text });
    }
    Err(ApiError::OtherAccount {
        id: id.clone(),
        account: owner.to_owned(),
        own: own.clone(),
    })
}
