//! Names of resources and of the nodes that connect, parsed once and trusted afterwards.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

macro_rules! name {
    ($(#[doc = $doc:literal] $name:ident;)+) => {$(
        #[doc = $doc]
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes a name that has been validated, or that only ever gets compared with validated ones.
            pub fn new(name: impl Into<Arc<str>>) -> Self {
                Self(name.into())
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    )+};
}

name! {
    /// Name of a mesh.
    MeshName;
    /// Name of a virtual node.
    NodeName;
    /// Name of a virtual service: what applications dial, normally a host name.
    ServiceName;
    /// Name of a virtual router.
    RouterName;
    /// Name of a route, unique in its virtual router.
    RouteName;
    /// Name of a virtual gateway.
    GatewayName;
    /// Name of a gateway route, unique in its virtual gateway.
    GatewayRouteName;
}

/// App Mesh's seven kinds of resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResourceKind {
    Mesh,
    VirtualNode,
    VirtualService,
    VirtualRouter,
    Route,
    VirtualGateway,
    GatewayRoute,
}

impl ResourceKind {
    pub const ALL: [Self; 7] = [
        Self::Mesh,
        Self::VirtualNode,
        Self::VirtualService,
        Self::VirtualRouter,
        Self::Route,
        Self::VirtualGateway,
        Self::GatewayRoute,
    ];

    /// The value of `kind` in a mesh file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mesh => "Mesh",
            Self::VirtualNode => "VirtualNode",
            Self::VirtualService => "VirtualService",
            Self::VirtualRouter => "VirtualRouter",
            Self::Route => "Route",
            Self::VirtualGateway => "VirtualGateway",
            Self::GatewayRoute => "GatewayRoute",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

impl fmt::Display for ResourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which resource: its kind and every name on the path to it.
///
/// Printed as in an ARN, behind `arn:aws:appmesh:REGION:ACCOUNT:`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResourceId {
    Mesh(MeshName),
    VirtualNode(MeshName, NodeName),
    VirtualService(MeshName, ServiceName),
    VirtualRouter(MeshName, RouterName),
    Route(MeshName, RouterName, RouteName),
    VirtualGateway(MeshName, GatewayName),
    GatewayRoute(MeshName, GatewayName, GatewayRouteName),
}

impl ResourceId {
    pub fn kind(&self) -> ResourceKind {
        match self {
            Self::Mesh(..) => ResourceKind::Mesh,
            Self::VirtualNode(..) => ResourceKind::VirtualNode,
            Self::VirtualService(..) => ResourceKind::VirtualService,
            Self::VirtualRouter(..) => ResourceKind::VirtualRouter,
            Self::Route(..) => ResourceKind::Route,
            Self::VirtualGateway(..) => ResourceKind::VirtualGateway,
            Self::GatewayRoute(..) => ResourceKind::GatewayRoute,
        }
    }

    /// The resource of the same kind and name in another mesh.
    #[must_use]
    pub fn in_mesh(self, mesh: MeshName) -> Self {
        match self {
            Self::Mesh(_) => Self::Mesh(mesh),
            Self::VirtualNode(_, name) => Self::VirtualNode(mesh, name),
            Self::VirtualService(_, name) => Self::VirtualService(mesh, name),
            Self::VirtualRouter(_, name) => Self::VirtualRouter(mesh, name),
            Self::Route(_, router, name) => Self::Route(mesh, router, name),
            Self::VirtualGateway(_, name) => Self::VirtualGateway(mesh, name),
            Self::GatewayRoute(_, gateway, name) => Self::GatewayRoute(mesh, gateway, name),
        }
    }

    pub fn mesh(&self) -> &MeshName {
        match self {
            Self::Mesh(mesh)
            | Self::VirtualNode(mesh, _)
            | Self::VirtualService(mesh, _)
            | Self::VirtualRouter(mesh, _)
            | Self::Route(mesh, _, _)
            | Self::VirtualGateway(mesh, _)
            | Self::GatewayRoute(mesh, _, _) => mesh,
        }
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mesh(mesh) => write!(f, "mesh/{mesh}"),
            Self::VirtualNode(mesh, node) => write!(f, "mesh/{mesh}/virtualNode/{node}"),
            Self::VirtualService(mesh, service) => {
                write!(f, "mesh/{mesh}/virtualService/{service}")
            }
            Self::VirtualRouter(mesh, router) => write!(f, "mesh/{mesh}/virtualRouter/{router}"),
            Self::Route(mesh, router, route) => {
                write!(f, "mesh/{mesh}/virtualRouter/{router}/route/{route}")
            }
            Self::VirtualGateway(mesh, gateway) => {
                write!(f, "mesh/{mesh}/virtualGateway/{gateway}")
            }
            Self::GatewayRoute(mesh, gateway, route) => {
                write!(
                    f,
                    "mesh/{mesh}/virtualGateway/{gateway}/gatewayRoute/{route}"
                )
            }
        }
    }
}

/// The resource that a sidecar says it is, in its `node.id`.
///
/// Both forms that App Mesh's sidecars send are read: the short one (`mesh/M/virtualNode/N`) and a full ARN of any
/// account, region and partition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NodeRef {
    VirtualNode(MeshName, NodeName),
    VirtualGateway(MeshName, GatewayName),
}

/// Why a `node.id` names no resource.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NodeRefError {
    #[error("`node.id` is empty; {NODE_ID_FORM}")]
    Empty,
    #[error("`node.id` is `{id}`; {NODE_ID_FORM}")]
    Malformed { id: String },
}

const NODE_ID_FORM: &str = "set it to `mesh/MESH/virtualNode/NODE` or `mesh/MESH/virtualGateway/GATEWAY`, \
                            or to the resource's whole ARN";
/// Longest part of a `node.id` that an error repeats, in characters.
const SHOWN_ID: usize = 200;
/// Bytes of the longest name that App Mesh takes. Longer ones name nothing, and would not fit in a gRPC status.
const LONGEST_NAME: usize = 255;

impl NodeRef {
    /// Reads a `node.id`.
    ///
    /// # Errors
    /// [`NodeRefError`] when the id is empty or is neither form.
    pub fn parse(id: &str) -> Result<Self, NodeRefError> {
        if id.is_empty() {
            return Err(NodeRefError::Empty);
        }
        Self::parse_form(id).ok_or_else(|| NodeRefError::Malformed {
            // It comes from strangers and goes to the log.
            id: id
                .chars()
                .take(SHOWN_ID)
                .flat_map(char::escape_debug)
                .collect(),
        })
    }

    fn parse_form(id: &str) -> Option<Self> {
        let path = if id.starts_with("arn:") {
            let mut fields = id.splitn(6, ':').skip(2);
            if fields.next() != Some("appmesh") {
                return None;
            }
            fields.nth(2)?
        } else {
            id
        };
        let parts: Vec<&str> = path.splitn(5, '/').collect();
        let is_name = |name: &str| (1..=LONGEST_NAME).contains(&name.len());
        match parts.as_slice() {
            ["mesh", mesh, kind, name] if is_name(mesh) && is_name(name) => match *kind {
                "virtualNode" => Some(Self::VirtualNode(
                    MeshName::new(*mesh),
                    NodeName::new(*name),
                )),
                "virtualGateway" => Some(Self::VirtualGateway(
                    MeshName::new(*mesh),
                    GatewayName::new(*name),
                )),
                _ => None,
            },
            _ => None,
        }
    }

    pub fn mesh(&self) -> &MeshName {
        match self {
            Self::VirtualNode(mesh, _) | Self::VirtualGateway(mesh, _) => mesh,
        }
    }

    pub fn resource_id(&self) -> ResourceId {
        match self {
            Self::VirtualNode(mesh, node) => ResourceId::VirtualNode(mesh.clone(), node.clone()),
            Self::VirtualGateway(mesh, gateway) => {
                ResourceId::VirtualGateway(mesh.clone(), gateway.clone())
            }
        }
    }
}

impl fmt::Display for NodeRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.resource_id().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_forms_of_a_node_id() {
        let short = NodeRef::parse("mesh/appMesh/virtualNode/serviceANode").unwrap();
        let arn =
            "arn:aws-cn:appmesh:cn-north-1:123456789012:mesh/appMesh/virtualNode/serviceANode";
        assert_eq!(NodeRef::parse(arn).unwrap(), short);
        assert_eq!(short.to_string(), "mesh/appMesh/virtualNode/serviceANode");
        let gateway = NodeRef::parse("mesh/m/virtualGateway/g").unwrap();
        assert_eq!(
            gateway,
            NodeRef::VirtualGateway(MeshName::new("m"), GatewayName::new("g"))
        );
    }

    #[test]
    fn refuses_what_is_neither_form() {
        assert_eq!(NodeRef::parse(""), Err(NodeRefError::Empty));
        for id in [
            "service-a",
            "mesh/m",
            "mesh//virtualNode/n",
            "mesh/m/virtualNode/",
            "mesh/m/virtualNode/n/x",
            "mesh/m/virtualRouter/r",
            "arn:aws:ecs:eu-west-1:123456789012:mesh/m/virtualNode/n",
            "arn:aws:appmesh:eu-west-1",
        ] {
            let error = NodeRef::parse(id).unwrap_err().to_string();
            assert!(
                error.contains(id) && error.contains("mesh/MESH/virtualNode/NODE"),
                "{error}"
            );
        }
    }

    #[test]
    fn what_strangers_send_stays_short_and_printable() {
        let long = format!("mesh/m/virtualNode/{}", "x".repeat(LONGEST_NAME));
        assert!(NodeRef::parse(&long).is_ok());
        let error = NodeRef::parse(&format!("{long}x")).unwrap_err().to_string();
        assert!(error.len() < 2 * SHOWN_ID + NODE_ID_FORM.len(), "{error}");
        let error = NodeRef::parse("a\nERROR \u{1b}[31mforged").unwrap_err();
        assert!(!error.to_string().contains(char::is_control), "{error}");
    }
}
