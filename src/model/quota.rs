//! How much of something the management API takes: App Mesh's service quotas, off unless they are set.
//!
//! Only what a change of the model can exceed is here. How many Envoys a node may have connected is no matter of changes,
//! and the number of tags is fixed ([`super::tags::MOST`]).

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::problem::known_names;

/// One of App Mesh's quotas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Quota {
    MeshesPerAccount,
    VirtualServicesPerMesh,
    VirtualNodesPerMesh,
    VirtualRoutersPerMesh,
    VirtualGatewaysPerMesh,
    GatewayRoutesPerVirtualGateway,
    RoutesPerVirtualRouter,
    BackendsPerVirtualNode,
    WeightedTargetsPerRoute,
}

impl Quota {
    pub const ALL: [Self; 9] = [
        Self::MeshesPerAccount,
        Self::VirtualServicesPerMesh,
        Self::VirtualNodesPerMesh,
        Self::VirtualRoutersPerMesh,
        Self::VirtualGatewaysPerMesh,
        Self::GatewayRoutesPerVirtualGateway,
        Self::RoutesPerVirtualRouter,
        Self::BackendsPerVirtualNode,
        Self::WeightedTargetsPerRoute,
    ];

    /// The name in settings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MeshesPerAccount => "meshes-per-account",
            Self::VirtualServicesPerMesh => "virtual-services-per-mesh",
            Self::VirtualNodesPerMesh => "virtual-nodes-per-mesh",
            Self::VirtualRoutersPerMesh => "virtual-routers-per-mesh",
            Self::VirtualGatewaysPerMesh => "virtual-gateways-per-mesh",
            Self::GatewayRoutesPerVirtualGateway => "gateway-routes-per-virtual-gateway",
            Self::RoutesPerVirtualRouter => "routes-per-virtual-router",
            Self::BackendsPerVirtualNode => "backends-per-virtual-node",
            Self::WeightedTargetsPerRoute => "weighted-targets-per-route",
        }
    }

    /// What AWS granted an account that never asked for more.
    pub fn of_aws(self) -> u32 {
        match self {
            Self::MeshesPerAccount => 15,
            Self::VirtualServicesPerMesh
            | Self::VirtualNodesPerMesh
            | Self::VirtualRoutersPerMesh => 200,
            Self::VirtualGatewaysPerMesh => 3,
            Self::GatewayRoutesPerVirtualGateway | Self::WeightedTargetsPerRoute => 10,
            Self::RoutesPerVirtualRouter | Self::BackendsPerVirtualNode => 50,
        }
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A quota that does not exist.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{name}` is no quota; {help}")]
pub struct UnknownQuota {
    name: String,
    help: String,
}

impl FromStr for Quota {
    type Err = UnknownQuota;

    fn from_str(name: &str) -> Result<Self, UnknownQuota> {
        Self::ALL
            .into_iter()
            .find(|quota| quota.as_str() == name)
            .ok_or_else(|| UnknownQuota {
                name: name.into(),
                help: known_names(name, "quotas", Self::ALL.map(Self::as_str)),
            })
    }
}

/// The quotas in force; by default none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quotas {
    limits: BTreeMap<Quota, u32>,
}

impl Quotas {
    /// The ones that AWS had, as it granted them.
    pub fn of_aws() -> Self {
        Quota::ALL
            .into_iter()
            .map(|quota| (quota, quota.of_aws()))
            .collect()
    }

    pub fn set(&mut self, quota: Quota, limit: u32) {
        self.limits.insert(quota, limit);
    }

    pub fn limit(&self, quota: Quota) -> Option<u32> {
        self.limits.get(&quota).copied()
    }
}

impl FromIterator<(Quota, u32)> for Quotas {
    fn from_iter<I: IntoIterator<Item = (Quota, u32)>>(limits: I) -> Self {
        Self {
            limits: limits.into_iter().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_read_by_the_name_it_prints() {
        for quota in Quota::ALL {
            assert_eq!(quota.to_string().parse(), Ok(quota));
        }
        let error = "virtual-node-per-mesh".parse::<Quota>().unwrap_err();
        assert!(
            error
                .to_string()
                .contains("did you mean `virtual-nodes-per-mesh`?"),
            "{error}"
        );
    }

    #[test]
    fn none_is_in_force_unless_it_is_set() {
        let mut quotas = Quotas::default();
        assert_eq!(quotas.limit(Quota::MeshesPerAccount), None);
        quotas.set(Quota::MeshesPerAccount, 1);
        assert_eq!(quotas.limit(Quota::MeshesPerAccount), Some(1));
        assert_eq!(
            Quotas::of_aws().limit(Quota::VirtualGatewaysPerMesh),
            Some(3)
        );
    }
}
