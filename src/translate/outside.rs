//! Hosts outside the mesh: which of them a sidecar lets its application call.

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::extensions::common::dynamic_forward_proxy::v3::DnsCacheConfig;

use crate::model::MeshName;
use crate::model::spec::IpPreference;

use super::egress::Mode;
use super::{cluster, names};

/// The names of AWS's services, which App Mesh let through whatever a mesh's egress filter said.
pub(crate) const AWS_DOMAIN: &str = "*.amazonaws.com";
/// The ports at which the services of AWS are called, where a port can be part of the name only.
pub(crate) const AWS_PORTS: [u16; 2] = [80, 443];

/// Which hosts outside the mesh may be called; where Envoy looks them up, with this preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outside {
    Dropped,
    /// None but AWS's services.
    Aws(Option<IpPreference>),
    Allowed(Option<IpPreference>),
}

impl Outside {
    /// The cluster that calls to hosts outside the mesh go to, if there are any.
    pub(crate) fn cluster(self, mesh: &MeshName, mode: Mode) -> Option<Cluster> {
        let name = self.cluster_name(mesh)?;
        let cache = self.dns_cache()?;
        match mode {
            Mode::Explicit => Some(cluster::looked_up(&name, cache)),
            Mode::Redirect => Some(cluster::original_destination(&name)),
            Mode::Grpc => None,
        }
    }

    pub(crate) fn cluster_name(self, mesh: &MeshName) -> Option<String> {
        match self {
            Self::Dropped => None,
            Self::Aws(_) => Some(names::aws_cluster(mesh)),
            Self::Allowed(_) => Some(names::allow_all_cluster(mesh)),
        }
    }

    /// How Envoy looks hosts up, if any may be called.
    pub(crate) fn dns_cache(self) -> Option<DnsCacheConfig> {
        match self {
            Self::Dropped => None,
            Self::Aws(preference) | Self::Allowed(preference) => {
                Some(cluster::dns_cache(preference))
            }
        }
    }
}
