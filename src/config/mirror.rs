//! The settings of the mirror, from the flags that begin with `--mirror-`.

use std::time::Duration;

use super::{ConfigError, Layer};
use crate::appmesh::client::TargetOptions;
use crate::appmesh::read::Scope;
use crate::appmesh::watch::{Drift, Settings};
use crate::model::MeshName;
use crate::model::arn::AccountId;

/// How often all of the target is read, unless it is said otherwise.
pub(super) const DRIFT_INTERVAL: Duration = Duration::from_mins(5);

/// What is mirrored, if anything is.
///
/// # Errors
/// [`ConfigError`] for a mirror without a target, or whose id would not outlive the process.
pub(super) fn settings(layer: &mut Layer) -> Result<Option<Settings>, ConfigError> {
    let endpoint = layer.mirror_endpoint.take();
    let Some(endpoint) = endpoint.filter(|endpoint| !endpoint.is_empty()) else {
        return match unused(layer) {
            Some(flag) => Err(ConfigError::MirrorWithoutTarget { flag }),
            None => Ok(None),
        };
    };
    if layer.data_dir.is_none() {
        return Err(ConfigError::MirrorWithoutData);
    }
    let target = TargetOptions::new(endpoint);
    target.check()?;
    let account = layer
        .mirror_account
        .take()
        .filter(|account| !account.is_empty());
    let account: Option<AccountId> = account.map(|id| id.parse()).transpose()?;
    let meshes = named(&layer.mirror_mesh).map(|mesh| {
        MeshName::checked(mesh).map_err(|source| ConfigError::MirrorMesh {
            mesh: mesh.to_owned(),
            source,
        })
    });
    let scope = Scope::of(meshes.collect::<Result<Vec<_>, _>>()?);
    let mut target = target.with(
        layer.mirror_region.take(),
        layer.mirror_profile.take(),
        layer.mirror_rate,
    );
    target.account = account.map(|id| id.as_str().to_owned());
    Ok(Some(Settings {
        target,
        scope,
        adopt: layer.mirror_adopt.unwrap_or(false),
        prune: layer.mirror_prune.unwrap_or(false),
        drift: layer.mirror_drift.unwrap_or_default(),
        drift_interval: layer.mirror_drift_interval.unwrap_or(DRIFT_INTERVAL),
    }))
}

/// The meshes that are named. An empty variable names none.
fn named(meshes: &[String]) -> impl Iterator<Item = &str> {
    let meshes = meshes.iter().map(String::as_str);
    meshes.filter(|mesh| !mesh.is_empty())
}

/// A flag that says something of a mirror, though there is none. What only says the default may stay.
fn unused(layer: &Layer) -> Option<&'static str> {
    let is_some = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    let is_other_interval = |interval| interval != DRIFT_INTERVAL;
    [
        ("--mirror-region", is_some(&layer.mirror_region)),
        ("--mirror-profile", is_some(&layer.mirror_profile)),
        ("--mirror-account", is_some(&layer.mirror_account)),
        ("--mirror-mesh", named(&layer.mirror_mesh).next().is_some()),
        ("--mirror-adopt", layer.mirror_adopt == Some(true)),
        ("--mirror-prune", layer.mirror_prune == Some(true)),
        ("--mirror-rate", layer.mirror_rate.is_some()),
        ("--mirror-drift", layer.mirror_drift == Some(Drift::Report)),
        (
            "--mirror-drift-interval",
            layer.mirror_drift_interval.is_some_and(is_other_interval),
        ),
    ]
    .into_iter()
    .find_map(|(flag, is_used)| is_used.then_some(flag))
}
