//! What keeps another endpoint as the mesh is here. The mesh itself never depends on it.

use super::AppError;
use crate::appmesh::status::Mirror;
use crate::appmesh::watch::{Settings, Watch};
use crate::store::Store;
use crate::telemetry::Metrics;

/// The mirror of a store, if one is asked for.
pub(super) fn open(
    settings: Option<Settings>,
    store: &Store,
    metrics: &Metrics,
) -> Result<Option<(Watch, Mirror)>, AppError> {
    let Some(settings) = settings else {
        return Ok(None);
    };
    let id = store.server_id().to_string();
    let mirror = Watch::new(settings, id, store.watch(), metrics.registry())?;
    Ok(Some(mirror))
}
