//! Which resource, by its kind and names: from a path, an ARN or single names, and back to a path.

use std::fmt;

use thiserror::Error;

use super::{
    GatewayName, GatewayRouteName, LONGEST_NAME, MeshName, NodeName, ResourceKind, RouteName,
    RouterName, ServiceName, check_name, check_service_name, shown,
};
use crate::model::arn;

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

    /// Reads a resource's path (`mesh/M/virtualNode/N`), or its ARN of any account, region and partition.
    ///
    /// # Errors
    /// [`ResourceIdError`] when the text has another form, or holds a name that no resource can have.
    pub fn parse(text: &str) -> Result<Self, ResourceIdError> {
        let path = if text.starts_with("arn:") {
            let (_, _, path) =
                arn::split(text).ok_or_else(|| ResourceIdError::Malformed { text: shown(text) })?;
            path
        } else {
            text
        };
        Self::parse_path(path)
    }

    pub(in crate::model) fn parse_path(path: &str) -> Result<Self, ResourceIdError> {
        let parts: Vec<&str> = path.splitn(7, '/').collect();
        let (kind, mesh, parent, name) = match *parts.as_slice() {
            ["mesh", mesh] => (ResourceKind::Mesh, mesh, None, mesh),
            ["mesh", mesh, "virtualNode", name] => (ResourceKind::VirtualNode, mesh, None, name),
            ["mesh", mesh, "virtualService", name] => {
                (ResourceKind::VirtualService, mesh, None, name)
            }
            ["mesh", mesh, "virtualRouter", name] => {
                (ResourceKind::VirtualRouter, mesh, None, name)
            }
            ["mesh", mesh, "virtualRouter", router, "route", name] => {
                (ResourceKind::Route, mesh, Some(router), name)
            }
            ["mesh", mesh, "virtualGateway", name] => {
                (ResourceKind::VirtualGateway, mesh, None, name)
            }
            [
                "mesh",
                mesh,
                "virtualGateway",
                gateway,
                "gatewayRoute",
                name,
            ] => (ResourceKind::GatewayRoute, mesh, Some(gateway), name),
            _ => return Err(ResourceIdError::Malformed { text: shown(path) }),
        };
        // A mesh that is shared may carry its owner.
        let (mesh, _) = mesh.split_once('@').unwrap_or((mesh, ""));
        Ok(Self::named(kind, mesh, parent, name)?)
    }

    /// Builds the id of a resource out of names that are yet to be checked. `parent` is the router's or gateway's name of a
    /// route; a mesh is its own `mesh` and `name`.
    ///
    /// # Errors
    /// [`NameError`] for the first name that no such resource can have.
    pub fn named(
        kind: ResourceKind,
        mesh: &str,
        parent: Option<&str>,
        name: &str,
    ) -> Result<Self, NameError> {
        NameError::check(ResourceKind::Mesh, mesh)?;
        if kind != ResourceKind::Mesh {
            NameError::check(kind, name)?;
        }
        let parent = parent.unwrap_or_default();
        match kind {
            ResourceKind::Route => NameError::check(ResourceKind::VirtualRouter, parent)?,
            ResourceKind::GatewayRoute => NameError::check(ResourceKind::VirtualGateway, parent)?,
            _ => {}
        }
        Ok(Self::of_checked(kind, mesh, parent, name))
    }

    /// The same out of names that have been checked, or that only ever get compared with such. `parent` is of no meaning
    /// where the kind has none, nor is `name` of a mesh.
    pub fn of_checked(kind: ResourceKind, mesh: &str, parent: &str, name: &str) -> Self {
        let mesh = MeshName::new(mesh);
        match kind {
            ResourceKind::Mesh => Self::Mesh(mesh),
            ResourceKind::VirtualNode => Self::VirtualNode(mesh, NodeName::new(name)),
            ResourceKind::VirtualService => Self::VirtualService(mesh, ServiceName::new(name)),
            ResourceKind::VirtualRouter => Self::VirtualRouter(mesh, RouterName::new(name)),
            ResourceKind::Route => Self::Route(mesh, RouterName::new(parent), RouteName::new(name)),
            ResourceKind::VirtualGateway => Self::VirtualGateway(mesh, GatewayName::new(name)),
            ResourceKind::GatewayRoute => {
                Self::GatewayRoute(mesh, GatewayName::new(parent), GatewayRouteName::new(name))
            }
        }
    }

    /// What must be there before this can be: the router or gateway of a route, the mesh of anything else.
    pub fn parent(&self) -> Option<Self> {
        match self {
            Self::Mesh(_) => None,
            Self::Route(mesh, router, _) => Some(Self::VirtualRouter(mesh.clone(), router.clone())),
            Self::GatewayRoute(mesh, gateway, _) => {
                Some(Self::VirtualGateway(mesh.clone(), gateway.clone()))
            }
            _ => Some(Self::Mesh(self.mesh().clone())),
        }
    }

    /// The name of the router or gateway that a route stands in.
    pub fn parent_name(&self) -> Option<&str> {
        match self {
            Self::Route(_, router, _) => Some(router.as_str()),
            Self::GatewayRoute(_, gateway, _) => Some(gateway.as_str()),
            _ => None,
        }
    }

    /// The resource's own name.
    pub fn name(&self) -> &str {
        match self {
            Self::Mesh(name) => name.as_str(),
            Self::VirtualNode(_, name) => name.as_str(),
            Self::VirtualService(_, name) => name.as_str(),
            Self::VirtualRouter(_, name) => name.as_str(),
            Self::Route(_, _, name) => name.as_str(),
            Self::VirtualGateway(_, name) => name.as_str(),
            Self::GatewayRoute(_, _, name) => name.as_str(),
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

/// A name that no resource of its kind can have.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{name}` cannot be the name of a {kind}; {wanted}")]
pub struct NameError {
    pub kind: ResourceKind,
    /// Shortened, if it is long.
    pub name: String,
    pub wanted: &'static str,
}

impl NameError {
    pub(super) fn check(kind: ResourceKind, name: &str) -> Result<(), Self> {
        let checked = if name.is_empty() || name.chars().count() > LONGEST_NAME {
            Err("use 1 to 255 characters")
        } else if kind == ResourceKind::VirtualService {
            check_service_name(name)
        } else {
            check_name(name)
        };
        checked.map_err(|wanted| Self {
            kind,
            name: shown(name),
            wanted,
        })
    }
}

/// Why a text names no resource.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ResourceIdError {
    #[error(
        "`{text}` is no path of a resource; write `mesh/MESH`, `mesh/MESH/virtualNode/NODE`, \
         `mesh/MESH/virtualRouter/ROUTER/route/ROUTE` and so on, or an ARN"
    )]
    Malformed { text: String },
    #[error(transparent)]
    Name(#[from] NameError),
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATHS: [&str; 7] = [
        "mesh/m",
        "mesh/m/virtualNode/n_default",
        "mesh/m/virtualService/s.m.local:80",
        "mesh/m/virtualRouter/r",
        "mesh/m/virtualRouter/r/route/x.1",
        "mesh/m/virtualGateway/g",
        "mesh/m/virtualGateway/g/gatewayRoute/x",
    ];

    #[test]
    fn a_path_is_read_as_it_is_printed() {
        let kinds = PATHS.map(|path| {
            let id = ResourceId::parse(path).unwrap();
            assert_eq!(id.to_string(), path);
            assert!(path.ends_with(&format!("/{}", id.name())), "{path}");
            id.kind()
        });
        assert_eq!(kinds, ResourceKind::ALL);
    }

    #[test]
    fn every_path_but_a_meshs_goes_on_from_its_parents() {
        for path in PATHS {
            let parent = ResourceId::parse(path).unwrap().parent();
            let begin = path.rsplitn(3, '/').nth(2);
            assert_eq!(parent.map(|id| id.to_string()).as_deref(), begin);
        }
    }

    #[test]
    fn what_names_nothing_is_refused() {
        for text in [
            "",
            "m",
            "mesh",
            "mesh/m/virtualNode",
            "mesh/m/node/n",
            "mesh/m/virtualRouter/r/route",
            "mesh/m/virtualRouter/r/gatewayRoute/x",
            "mesh/m/virtualRouter/r/route/x/y",
            "arn:aws:ecs:us-east-1:000000000000:mesh/m",
        ] {
            let error = ResourceId::parse(text).unwrap_err();
            assert!(matches!(error, ResourceIdError::Malformed { .. }), "{text}");
        }
        let long = format!("mesh/{}", "x".repeat(LONGEST_NAME + 1));
        for text in [
            "mesh/",
            "mesh/a b",
            "mesh/..",
            "mesh/m/virtualNode/*",
            "mesh/m/virtualNode/ä",
            "mesh/m/virtualService/a b",
            "mesh/m/virtualRouter//route/x",
            &long,
        ] {
            let error = ResourceId::parse(text).unwrap_err();
            assert!(matches!(error, ResourceIdError::Name(_)), "{text}: {error}");
            assert!(error.to_string().len() < 400, "{error}");
        }
    }
}
