//! Who listens where: the whole mesh in one /24 of loopback addresses, its mirror in the upper half of it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::envoy::bootstrap::ADMIN_PORT;
use crate::model::{Capture, EGRESS_PORT, MeshName, NodeName, NodeRef};

/// Of every resource in the mesh of `config/mesh`.
pub(super) const MESH: &str = "appMesh";
/// The port of every listener in that mesh.
pub(super) const LISTENER_PORT: u16 = 8080;

/// What is added to the number of every host of the mirror.
const MIRROR: u8 = 100;

/// The network that everything binds addresses of. Two demos run side by side on two networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// Its address `.0`.
    base: Ipv4Addr,
    /// What is added to the number of every host.
    first: u8,
}

impl Default for Network {
    fn default() -> Self {
        Self::of(Ipv4Addr::LOCALHOST)
    }
}

/// One instance of a service: an application and its sidecar.
#[derive(Clone, Debug)]
pub(super) struct Instance {
    pub(super) service: &'static str,
    pub(super) version: &'static str,
    /// The name in DNS that has this instance's address.
    pub(super) hostname: &'static str,
    pub(super) node: &'static str,
    pub(super) sidecar: IpAddr,
    pub(super) application: SocketAddr,
}

impl Network {
    /// The /24 that an address is in.
    pub fn of(address: Ipv4Addr) -> Self {
        let [a, b, c, _] = address.octets();
        Self {
            base: Ipv4Addr::new(a, b, c, 0),
            first: 0,
        }
    }

    /// Where a second control plane, with services of its own, is fed by the first one.
    pub(super) fn mirror(self) -> Self {
        Self {
            first: MIRROR,
            ..self
        }
    }

    fn host(self, host: u8) -> IpAddr {
        let [a, b, c, _] = self.base.octets();
        IpAddr::V4(Ipv4Addr::new(a, b, c, self.first + host))
    }

    pub(super) fn xds(self) -> SocketAddr {
        SocketAddr::new(self.host(1), 18000)
    }

    pub(super) fn api(self) -> SocketAddr {
        SocketAddr::new(self.host(1), 9080)
    }

    pub(super) fn admin(self) -> SocketAddr {
        SocketAddr::new(self.host(1), 9081)
    }

    /// Not 53, which is for the superuser.
    pub(super) fn dns(self) -> SocketAddr {
        SocketAddr::new(self.host(1), 10053)
    }

    /// One instance of service A, two of service B's first version, one of its second.
    pub(super) fn instances(self) -> [Instance; 4] {
        let instance = |index: u8, service, version, hostname, node| Instance {
            service,
            version,
            hostname,
            node,
            sidecar: self.host(1 + index),
            application: SocketAddr::new(self.host(1), 18080 + u16::from(self.first + index)),
        };
        let a = "service-a.local";
        let b = "service-b.local";
        let b2 = "service-b-v2.local";
        [
            instance(1, "service-a", "v1", a, "serviceANode"),
            instance(2, "service-b", "v1", b, "serviceBNode"),
            instance(3, "service-b", "v1", b, "serviceBNode"),
            instance(4, "service-b", "v2", b2, "serviceBNodeV2"),
        ]
    }

    /// Everything that the demo binds, and what for.
    pub(super) fn addresses(self) -> Vec<(SocketAddr, String)> {
        let mut addresses = vec![
            (self.xds(), "the control plane".to_owned()),
            (self.api(), "the control plane's API".to_owned()),
            (self.admin(), "the control plane's metrics".to_owned()),
            (self.dns(), "DNS".to_owned()),
        ];
        for instance in self.instances() {
            let sidecar = format!("the sidecar of {}", instance.service);
            for address in [instance.ingress(), instance.egress(), instance.admin()] {
                addresses.push((address, sidecar.clone()));
            }
            addresses.push((instance.application, instance.service.to_owned()));
        }
        addresses
    }
}

impl Instance {
    /// What its processes, its files and the answers of its application are called.
    pub(super) fn name(&self) -> String {
        let host = self.application.port() - 18080;
        format!("{}-{}-{host}", self.service, self.version)
    }

    /// Where the sidecar takes requests for the application.
    pub(super) fn ingress(&self) -> SocketAddr {
        SocketAddr::new(self.sidecar, LISTENER_PORT)
    }

    /// Where the sidecar takes the application's own requests, as an HTTP proxy.
    pub(super) fn egress(&self) -> SocketAddr {
        SocketAddr::new(self.sidecar, EGRESS_PORT)
    }

    pub(super) fn admin(&self) -> SocketAddr {
        SocketAddr::new(self.sidecar, ADMIN_PORT)
    }

    pub(super) fn node(&self) -> NodeRef {
        NodeRef::VirtualNode(MeshName::new(MESH), NodeName::new(self.node))
    }

    pub(super) fn capture(&self) -> Capture {
        Capture::Explicit {
            bind: self.sidecar,
            applications: BTreeMap::from([(LISTENER_PORT, self.application)]),
        }
    }
}
