//! Endpoints, as the edges hand them to translation: what discovery found, and what orchestrators registered.

mod table;

use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;

pub use table::EndpointTable;

use super::names::{MeshName, NodeName};
use super::spec::IpPreference;

/// Where the endpoints of a virtual node come from. Nodes with equal sources share one look-up.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EndpointSource {
    /// A DNS name that the control plane resolves; `_service._proto.name` is looked up as SRV.
    Dns {
        /// Lower case, without the trailing dot.
        hostname: Arc<str>,
        preference: Option<IpPreference>,
    },
}

/// One address that serves a virtual node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    pub address: IpAddr,
    /// `None`: the port of the node's listener. SRV answers bring their own.
    pub port: Option<u16>,
    /// At least 1 (gRPC refuses 0).
    pub weight: u32,
}

/// What is known of a source's endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndpointSet {
    /// Being looked up for the first time, and worth waiting for.
    ///
    /// **Invariant:** discovery replaces this within 3 s of the source's first appearance.
    Unresolved,
    /// Nobody could say in that time: not that there are endpoints, nor that there are none. Whoever has some from
    /// before keeps them.
    Unanswered,
    /// Sorted and without repetition; may be empty.
    Known(Arc<[Endpoint]>),
}

/// A virtual node, by its mesh's name and its own.
pub type NodeKey = (MeshName, NodeName);

/// One address that an orchestrator registered for a virtual node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegisteredEndpoint {
    pub address: IpAddr,
    /// `None`: each listener of the node on its own port. Else, where the node's one listener is reached; of several
    /// listeners the one with this port.
    pub port: Option<u16>,
    /// At least 1.
    pub weight: u32,
    /// Becomes the zone of Envoy's locality; `None`: the one in which everything is that names none.
    pub zone: Option<Arc<str>>,
}

impl RegisteredEndpoint {
    /// The port at which it serves the listener on `listener`, if it does; `is_only`: the node has no other listener.
    pub fn port_for(&self, listener: u16, is_only: bool) -> Option<u16> {
        match self.port {
            None => Some(listener),
            Some(port) => (is_only || port == listener).then_some(port),
        }
    }
}

/// All endpoints that are registered for a virtual node: sorted, without repetition; may be empty.
#[derive(Clone, Debug, Default)]
pub struct RegisteredSet(Arc<[RegisteredEndpoint]>);

impl RegisteredSet {
    pub fn new(mut endpoints: Vec<RegisteredEndpoint>) -> Self {
        endpoints.sort();
        endpoints.dedup();
        Self(endpoints.into())
    }
}

impl Deref for RegisteredSet {
    type Target = [RegisteredEndpoint];

    fn deref(&self) -> &[RegisteredEndpoint] {
        &self.0
    }
}

/// What is the same list is not compared: two tables that differ in one node have the others' beside it.
impl PartialEq for RegisteredSet {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}

impl Eq for RegisteredSet {}
