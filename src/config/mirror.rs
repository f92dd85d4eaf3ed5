//! The settings of the mirror, from the flags that begin with `--mirror-`.

use std::num::NonZeroU32;
use std::time::Duration;

use super::{ConfigError, Layer};
use crate::appmesh::client::{KeySource, TargetOptions};
use crate::appmesh::read::Scope;
use crate::appmesh::watch::Settings;
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
    let mut target = TargetOptions::new(endpoint);
    target.check()?;
    target.region = layer
        .mirror_region
        .take()
        .filter(|region| !region.is_empty());
    let profile = layer
        .mirror_profile
        .take()
        .filter(|profile| !profile.is_empty());
    target.keys = profile.map_or(KeySource::Chain, KeySource::Profile);
    let account = layer
        .mirror_account
        .take()
        .filter(|account| !account.is_empty());
    let account: Option<AccountId> = account.map(|id| id.parse()).transpose()?;
    target.account = account.map(|id| id.as_str().to_owned());
    if let Some(rate) = layer.mirror_rate {
        target.rate = NonZeroU32::new(rate);
    }
    let scope = if layer.mirror_mesh.is_empty() {
        Scope::All
    } else {
        let meshes = layer.mirror_mesh.iter();
        let meshes = meshes.map(|mesh| MeshName::checked(mesh));
        Scope::Named(meshes.collect::<Result<_, _>>()?)
    };
    Ok(Some(Settings {
        target,
        scope,
        adopt: layer.mirror_adopt.unwrap_or(false),
        prune: layer.mirror_prune.unwrap_or(false),
        drift: layer.mirror_drift.unwrap_or_default(),
        drift_interval: layer.mirror_drift_interval.unwrap_or(DRIFT_INTERVAL),
    }))
}

/// A flag that says something of a mirror, though there is none. What only says the default may stay.
fn unused(layer: &Layer) -> Option<&'static str> {
    let is_some = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    [
        ("--mirror-region", is_some(&layer.mirror_region)),
        ("--mirror-profile", is_some(&layer.mirror_profile)),
        ("--mirror-account", is_some(&layer.mirror_account)),
        ("--mirror-mesh", !layer.mirror_mesh.is_empty()),
        ("--mirror-adopt", layer.mirror_adopt == Some(true)),
        ("--mirror-prune", layer.mirror_prune == Some(true)),
    ]
    .into_iter()
    .find_map(|(flag, is_used)| is_used.then_some(flag))
}
