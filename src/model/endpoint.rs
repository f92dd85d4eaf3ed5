//! Endpoints, as discovery hands them to translation.

use std::net::IpAddr;
use std::sync::Arc;

use imbl::OrdMap;

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

/// Every source's endpoints. A source that is absent counts as [`EndpointSet::Unresolved`].
pub type EndpointTable = OrdMap<EndpointSource, EndpointSet>;
