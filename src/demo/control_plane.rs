//! The demo's control plane: `serve` itself, in this process.

use super::DemoError;
use super::folder::Folder;
use super::layout::Network;
use crate::app::{self, Bound};
use crate::config::Settings;

/// Binds it to the demo's network, with the working folder's mesh.
pub(super) async fn bind(network: Network, folder: &Folder) -> Result<Bound, DemoError> {
    let mut settings = Settings {
        mesh: vec![folder.mesh()],
        xds_addr: network.xds(),
        api_addr: network.api(),
        admin_addr: network.admin(),
        ..Settings::default()
    };
    settings.dns.servers = vec![network.dns()];
    app::bind(settings)
        .await
        .map_err(|error| DemoError::ControlPlane(error.into()))
}
