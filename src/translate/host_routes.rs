//! The routes of a virtual host, encoded once: a route goes into the route configurations of its port and of the proxy,
//! for every set of backends that has its service.

use std::fmt;

use envoy_types::pb::envoy::config::route::v3::{Route, VirtualHost};
use prost::{Message, Name};

use crate::snapshot::canonical;

/// `VirtualHost.routes`.
const ROUTES: u32 = 3;

/// Routes in the order in which Envoy asks them, encoded as a virtual host that has nothing else. Whatever comes before
/// them in a host is encoded before these bytes.
///
/// **Invariant:** each is encoded canonically.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct HostRoutes(Vec<u8>);

impl HostRoutes {
    pub(crate) fn of<'a>(routes: impl IntoIterator<Item = &'a Route>) -> Self {
        let mut encoded = Vec::new();
        for route in routes {
            let route = canonical::encode(&Route::type_url(), route);
            canonical::put_field(ROUTES, &route, &mut encoded);
        }
        encoded.shrink_to_fit();
        Self(encoded)
    }

    /// Adds routes after those that there are.
    pub(crate) fn append(&mut self, more: &Self) {
        self.0.reserve_exact(more.0.len());
        self.0.extend_from_slice(&more.0);
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn decode(&self) -> Vec<Route> {
        // The bytes are an encoded host; of anything else there would be no routes.
        let host = VirtualHost::decode(self.as_bytes());
        host.map(|host| host.routes).unwrap_or_default()
    }
}

impl fmt::Debug for HostRoutes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.decode()).finish()
    }
}
