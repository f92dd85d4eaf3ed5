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

/// Members of `node.metadata` that tell the control plane how a sidecar is set up: the bootstrap writes them, the xDS
/// server reads them.
pub mod metadata {
    /// The object that holds the others.
    pub const OUTRIGGER: &str = "outrigger";
    /// [`EXPLICIT`] or [`REDIRECT`].
    pub const CAPTURE: &str = "capture";
    pub const EXPLICIT: &str = "explicit";
    pub const REDIRECT: &str = "redirect";
    /// The IP address that listeners bind.
    pub const BIND: &str = "bind";
    /// An object of listener port to the `address:port` of the application.
    pub const APPLICATIONS: &str = "applications";
}
