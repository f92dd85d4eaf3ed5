//! The key of a view: everything about a sidecar that changes the resources it gets.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use super::names::NodeRef;

/// Sidecars with equal keys share one view: the same resources, the same bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ViewKey {
    pub node: NodeRef,
    pub capture: Capture,
    pub client: ClientKind,
}

/// How traffic enters the sidecar.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Capture {
    /// The sidecar binds the node's listener ports, and 15001 for egress, on its own address.
    Explicit {
        bind: IpAddr,
        /// Where the application answers for a listener port; 127.0.0.1 and the same port if absent.
        applications: BTreeMap<u16, SocketAddr>,
    },
    /// The kernel redirects the application's traffic to 15000 and 15001.
    Redirect,
}

/// What speaks xDS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClientKind {
    Envoy,
    Grpc,
}

/// The port where a sidecar takes the application's outgoing traffic, as App Mesh's sidecars did.
pub const EGRESS_PORT: u16 = 15001;

/// The port where a redirected sidecar takes calls to its application, as App Mesh's sidecars did.
pub const INGRESS_PORT: u16 = 15000;

/// The load assignment that App Mesh's sidecars ask for: the endpoints of their own node. Envoy reads in it how many
/// of its kind there are, and where.
pub const LOCAL_CLUSTER: &str = "local_cluster";

/// Where a sidecar's bootstrap says, in `node.metadata`, how traffic enters it. Every value is a string.
///
/// ```yaml
/// outrigger: { capture: explicit, bind: 127.0.0.2, applications: { "8080": "127.0.0.1:18080" } }
/// ```
pub mod metadata {
    /// The member of `node.metadata` that holds the others.
    pub const OUTRIGGER: &str = "outrigger";
    /// [`EXPLICIT`] or [`REDIRECT`], which is also what absence means.
    pub const CAPTURE: &str = "capture";
    pub const EXPLICIT: &str = "explicit";
    pub const REDIRECT: &str = "redirect";
    /// The address that an explicit sidecar binds.
    pub const BIND: &str = "bind";
    /// From a listener's port to the `address:port` of the application behind it.
    pub const APPLICATIONS: &str = "applications";
}
