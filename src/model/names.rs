//! Names of resources and of the nodes that connect, parsed once and trusted afterwards.

mod node_ref;
mod resource_id;

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use node_ref::{NodeRef, NodeRefError};
pub use resource_id::{NameError, ResourceId, ResourceIdError};

/// A text of a type of its own.
macro_rules! text_type {
    ($(#[$attribute:meta])* $name:ident) => {
        $(#[$attribute])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
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
    };
}
pub(super) use text_type;

macro_rules! name {
    ($(#[doc = $doc:literal] $name:ident;)+) => {$(
        text_type! {
            #[doc = $doc]
            #[derive(Serialize, Deserialize)]
            #[serde(transparent)]
            $name
        }

        impl $name {
            /// Takes a name that has been validated, or that only ever gets compared with validated ones.
            pub fn new(name: impl Into<Arc<str>>) -> Self {
                Self(name.into())
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

impl MeshName {
    /// Takes a name as somebody typed it.
    ///
    /// # Errors
    /// [`NameError`] when no mesh can have it.
    pub fn checked(name: &str) -> Result<Self, NameError> {
        NameError::check(ResourceKind::Mesh, name)?;
        Ok(Self::new(name))
    }
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

/// The longest name that App Mesh takes. Longer ones name nothing, and would not fit in a gRPC status.
pub(super) const LONGEST_NAME: usize = 255;

/// Whether a resource other than a virtual service may have a name; otherwise what it must look like.
///
/// Names stand in ARNs, URLs and Envoy's names. Those of dots alone are steps to a client that tidies its URLs.
pub(super) fn check_name(name: &str) -> Result<(), &'static str> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.chars().all(is_allowed) && !matches!(name, "." | "..") {
        Ok(())
    } else {
        Err("use letters, digits, hyphens, underscores and dots only")
    }
}

/// The same of a virtual service: what applications dial.
pub(super) fn check_service_name(name: &str) -> Result<(), &'static str> {
    let is_allowed = |c: char| c.is_ascii_graphic() && c != '/' && c != '*';
    if name.chars().all(is_allowed) && !matches!(name, "." | "..") {
        Ok(())
    } else {
        Err("use the host name that applications dial, without blanks, slashes and asterisks")
    }
}

/// Longest part of a stranger's text that an error repeats, in characters.
const SHOWN: usize = 200;

/// A stranger's text, fit for an error or the log.
pub(super) fn shown(text: &str) -> String {
    text.chars()
        .take(SHOWN)
        .map(|c| match c {
            // Printable, and no end of the text in a sentence.
            '"' | '\'' | '\\' => c.to_string(),
            _ => c.escape_debug().to_string(),
        })
        .collect()
}
