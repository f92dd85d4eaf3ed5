//! Which resource a sidecar says it is.

use std::fmt;

use thiserror::Error;

use super::{GatewayName, LONGEST_NAME, MeshName, NodeName, ResourceId, shown};
use crate::model::arn;

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

impl NodeRef {
    /// Reads a `node.id`.
    ///
    /// # Errors
    /// [`NodeRefError`] when the id is empty or is neither form.
    pub fn parse(id: &str) -> Result<Self, NodeRefError> {
        if id.is_empty() {
            return Err(NodeRefError::Empty);
        }
        Self::parse_form(id).ok_or_else(|| NodeRefError::Malformed { id: shown(id) })
    }

    fn parse_form(id: &str) -> Option<Self> {
        let path = if id.starts_with("arn:") {
            arn::split(id)?.2
        } else {
            id
        };
        let parts: Vec<&str> = path.splitn(5, '/').collect();
        let is_name = |name: &str| (1..=LONGEST_NAME).contains(&name.len());
        match parts.as_slice() {
            ["mesh", mesh, kind, name] if is_name(name) => {
                // A mesh that is shared may carry its owner.
                let (mesh, _) = mesh.split_once('@').unwrap_or((mesh, ""));
                if !is_name(mesh) {
                    return None;
                }
                match *kind {
                    "virtualNode" => {
                        Some(Self::VirtualNode(MeshName::new(mesh), NodeName::new(*name)))
                    }
                    "virtualGateway" => Some(Self::VirtualGateway(
                        MeshName::new(mesh),
                        GatewayName::new(*name),
                    )),
                    _ => None,
                }
            }
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
    use super::super::SHOWN;
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
    fn a_shared_mesh_may_carry_its_owner() {
        let node = NodeRef::parse("mesh/own/virtualNode/n").unwrap();
        for id in [
            "mesh/own@210987654321/virtualNode/n",
            "arn:aws:appmesh:eu-west-1:123456789012:mesh/own@210987654321/virtualNode/n",
        ] {
            assert_eq!(NodeRef::parse(id).unwrap(), node, "{id}");
        }
        assert!(NodeRef::parse("mesh/@210987654321/virtualNode/n").is_err());
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
        assert!(error.len() < 2 * SHOWN + NODE_ID_FORM.len(), "{error}");
        let error = NodeRef::parse("a\nERROR \u{1b}[31mforged").unwrap_err();
        assert!(!error.to_string().contains(char::is_control), "{error}");
    }
}
