//! The demo's control planes: `serve` itself, in this process.

use std::time::Duration;

use super::DemoError;
use super::folder::Folder;
use super::layout::Network;
use crate::app::{self, Bound};
use crate::appmesh::client::TargetOptions;
use crate::appmesh::read::Scope;
use crate::appmesh::watch::{self, Drift};
use crate::config::Settings;

/// How often all of the mirror is read.
const DRIFT_INTERVAL: Duration = Duration::from_secs(10);

/// Where a control plane has its mesh from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fed {
    /// The working folder's files.
    ByFiles {
        /// Whose control plane it feeds.
        mirror: Option<Network>,
    },
    /// Another control plane, and nothing else.
    ByMirror,
}

/// Binds one to its network.
pub(super) async fn bind(network: Network, folder: &Folder, fed: Fed) -> Result<Bound, DemoError> {
    let mut settings = Settings {
        xds_addr: network.xds(),
        api_addr: network.api(),
        admin_addr: network.admin(),
        ..Settings::default()
    };
    settings.dns.servers = vec![network.dns()];
    match fed {
        Fed::ByFiles { mirror } => {
            settings.mesh = vec![folder.mesh()];
            if let Some(mirror) = mirror {
                settings.data_dir = Some(folder.path().join("source"));
                settings.mirror = Some(watch::Settings {
                    target: TargetOptions::new(format!("http://{}", mirror.api())),
                    scope: Scope::All,
                    adopt: false,
                    prune: true,
                    drift: Drift::Repair,
                    drift_interval: DRIFT_INTERVAL,
                });
            }
        }
        Fed::ByMirror => settings.data_dir = Some(folder.path().join("mirror")),
    }
    app::bind(settings)
        .await
        .map_err(|error| DemoError::ControlPlane(error.into()))
}
