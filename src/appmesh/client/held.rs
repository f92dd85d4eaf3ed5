//! What a target has: its lists, and a resource as it answers it.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::model::tags::Tags;
use crate::model::{GatewayName, MeshName, ResourceId, ResourceKind, RouterName};

/// One resource as a target has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    /// As it was sent; `Null` of a mesh without one.
    pub spec: Value,
    pub tags: Tags,
    /// Why there are none, where they cannot be read.
    pub no_tags: Option<NoTags>,
    pub metadata: Metadata,
}

/// Why the tags of a resource cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoTags {
    /// The target has nothing of the kind, as test doubles may.
    Unknown,
    /// It does not tell them, in these words.
    Refused(String),
}

/// A mesh in the list of all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedMesh {
    pub mesh: MeshName,
    /// The account that it is of, if the target says so.
    pub owner: Option<String>,
}

/// What a create or an update is answered with. Tags are in no such answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    pub spec: Value,
    pub metadata: Metadata,
}

/// What App Mesh's API says of a resource beside its spec.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Metadata {
    pub arn: String,
    /// Seconds since 1970; 0 where a server has another form, as test doubles do.
    #[serde(deserialize_with = "seconds")]
    pub created_at: f64,
    #[serde(deserialize_with = "seconds")]
    pub last_updated_at: f64,
    #[serde(deserialize_with = "or_absent")]
    pub mesh_owner: String,
    #[serde(deserialize_with = "or_absent")]
    pub resource_owner: String,
    #[serde(deserialize_with = "or_absent")]
    pub uid: String,
    #[serde(deserialize_with = "or_absent")]
    pub version: u64,
}

/// Null counts as absent.
fn or_absent<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    let value = Option::deserialize(deserializer)?;
    Ok(value.unwrap_or_default())
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok(value.as_f64().unwrap_or_default())
}

/// One of the lists of App Mesh's API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Within {
    Meshes,
    VirtualNodes(MeshName),
    VirtualServices(MeshName),
    VirtualRouters(MeshName),
    Routes(MeshName, RouterName),
    VirtualGateways(MeshName),
    GatewayRoutes(MeshName, GatewayName),
}

impl fmt::Display for NoTags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("the target has none"),
            Self::Refused(words) => f.write_str(words),
        }
    }
}

impl Within {
    /// The lists of what stands in a resource.
    pub fn inside(id: &ResourceId) -> Vec<Self> {
        match id.clone() {
            ResourceId::Mesh(mesh) => vec![
                Self::VirtualNodes(mesh.clone()),
                Self::VirtualServices(mesh.clone()),
                Self::VirtualRouters(mesh.clone()),
                Self::VirtualGateways(mesh),
            ],
            ResourceId::VirtualRouter(mesh, router) => vec![Self::Routes(mesh, router)],
            ResourceId::VirtualGateway(mesh, gateway) => vec![Self::GatewayRoutes(mesh, gateway)],
            ResourceId::VirtualNode(..)
            | ResourceId::VirtualService(..)
            | ResourceId::Route(..)
            | ResourceId::GatewayRoute(..) => Vec::new(),
        }
    }

    /// The kind of what is listed.
    pub fn kind(&self) -> ResourceKind {
        match self {
            Self::Meshes => ResourceKind::Mesh,
            Self::VirtualNodes(_) => ResourceKind::VirtualNode,
            Self::VirtualServices(_) => ResourceKind::VirtualService,
            Self::VirtualRouters(_) => ResourceKind::VirtualRouter,
            Self::Routes(..) => ResourceKind::Route,
            Self::VirtualGateways(_) => ResourceKind::VirtualGateway,
            Self::GatewayRoutes(..) => ResourceKind::GatewayRoute,
        }
    }

    /// The member of the answer that has the list.
    pub(super) fn collection(&self) -> &'static str {
        match self {
            Self::Meshes => "meshes",
            Self::VirtualNodes(_) => "virtualNodes",
            Self::VirtualServices(_) => "virtualServices",
            Self::VirtualRouters(_) => "virtualRouters",
            Self::Routes(..) => "routes",
            Self::VirtualGateways(_) => "virtualGateways",
            Self::GatewayRoutes(..) => "gatewayRoutes",
        }
    }

    /// The resource of this name in the list. It is only ever compared with names that were checked.
    pub(super) fn named(&self, name: &str) -> ResourceId {
        let (mesh, parent) = match self {
            Self::Meshes => (name, ""),
            Self::VirtualNodes(mesh)
            | Self::VirtualServices(mesh)
            | Self::VirtualRouters(mesh)
            | Self::VirtualGateways(mesh) => (mesh.as_str(), ""),
            Self::Routes(mesh, router) => (mesh.as_str(), router.as_str()),
            Self::GatewayRoutes(mesh, gateway) => (mesh.as_str(), gateway.as_str()),
        };
        ResourceId::of_checked(self.kind(), mesh, parent, name)
    }
}

impl fmt::Display for Within {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let collection = self.collection();
        match self {
            Self::Meshes => f.write_str(collection),
            Self::Routes(mesh, router) => {
                write!(f, "{collection} of `mesh/{mesh}/virtualRouter/{router}`")
            }
            Self::GatewayRoutes(mesh, gateway) => {
                write!(f, "{collection} of `mesh/{mesh}/virtualGateway/{gateway}`")
            }
            Self::VirtualNodes(mesh)
            | Self::VirtualServices(mesh)
            | Self::VirtualRouters(mesh)
            | Self::VirtualGateways(mesh) => write!(f, "{collection} of `mesh/{mesh}`"),
        }
    }
}
