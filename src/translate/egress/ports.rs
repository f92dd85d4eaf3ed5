//! The ports of a set: the route configuration of each that is redirected, and the TCP backend of each that has one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::spec::Protocol;
use crate::model::{EGRESS_PORT, ResourceId, ServiceName};
use crate::snapshot::{Interner, Kind, Resource, ResourceName};
use crate::translate::service::{ServicePort, TcpTraffic, Traffic};
use crate::translate::{Problem, chain, names, virtual_host};

use super::{EgressKey, EgressSet, Mode};

/// The ports at which the backends of a set are called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct EgressPorts {
    /// Where calls are redirected: the ports of HTTP-like backends, each with the simplest protocol there. The sidecar's
    /// own 15001 is not among them: it has all services anyway.
    pub(crate) http: BTreeMap<u16, Protocol>,
    pub(crate) tcp: BTreeMap<u16, TcpPort>,
}

/// The TCP backend of a port: the address that was dialled is not looked at, so there can be one only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TcpPort {
    /// The name of its ECDS resource.
    pub(crate) extension: ResourceName,
    /// The clusters that its connections go to.
    pub(crate) clusters: Vec<ResourceName>,
}

impl EgressSet {
    /// The services that are called on a port, sorted by name.
    fn on_port(&self, port: u16) -> impl Iterator<Item = (&ServiceName, &ServicePort)> {
        self.services_of_port.of(&port).flat_map(move |name| {
            let unit = self.services.get(name).into_iter();
            let ports = unit.flat_map(|unit| &unit.ports);
            ports
                .filter(move |known| known.port == port)
                .map(move |known| (name, known))
        })
    }

    /// What redirected HTTP calls to a port are taken for: what the simplest of its services speaks.
    fn http_protocol(&self, port: u16) -> Option<Protocol> {
        let protocols = self.on_port(port).map(|(_, known)| known.protocol);
        let redirected = self.key.mode == Mode::Redirect && port != EGRESS_PORT;
        let http_like = protocols.filter(|protocol| protocol.is_http_like());
        http_like.min().filter(|_| redirected)
    }

    /// The TCP backend of a port: the first by name, unless redirected calls to the port are HTTP.
    fn tcp_backend(&self, port: u16) -> Option<(&ServiceName, &TcpTraffic)> {
        let taken = self.key.mode == Mode::Redirect && port == EGRESS_PORT;
        if taken || self.http_protocol(port).is_some() {
            return None;
        }
        self.on_port(port).find_map(|(name, known)| {
            let Traffic::Tcp(traffic) = &known.traffic else {
                return None;
            };
            Some((name, traffic))
        })
    }

    pub(super) fn refresh_ports(
        &mut self,
        ports: &BTreeSet<(u16, ServiceName)>,
        interner: &mut Interner,
    ) -> bool {
        let mut numbers: Vec<u16> = ports.iter().map(|(port, _)| *port).collect();
        numbers.dedup();
        let mut changed = false;
        for port in numbers {
            changed |= self.refresh_port(port, interner);
        }
        changed
    }

    fn refresh_port(&mut self, port: u16, interner: &mut Interner) -> bool {
        let mut ports = std::mem::take(&mut self.ports);
        let known = Arc::make_mut(&mut ports);
        let changed = self.refresh_port_routes(port, known, interner)
            | self.refresh_extension(port, known, interner);
        self.ports = ports;
        changed
    }

    fn refresh_port_routes(
        &mut self,
        port: u16,
        ports: &mut EgressPorts,
        interner: &mut Interner,
    ) -> bool {
        let old = ports.http.remove(&port);
        let new = self.http_protocol(port);
        let mut changed = false;
        if let Some(old) = old.filter(|old| Some(*old) != new) {
            changed |= self.take(Kind::Route, &names::egress_routes(old, port));
        }
        let Some(protocol) = new else {
            return changed;
        };
        ports.http.insert(port, protocol);
        let services = self.on_port(port).filter_map(|(name, known)| {
            let Traffic::Http(routes) = &known.traffic else {
                return None;
            };
            Some((name, routes))
        });
        let EgressKey { mesh, outside, .. } = &self.key;
        let routes = virtual_host::port_routes(mesh, port, protocol, services, *outside);
        self.put(interner.intern(routes)) | changed
    }

    fn refresh_extension(
        &mut self,
        port: u16,
        ports: &mut EgressPorts,
        interner: &mut Interner,
    ) -> bool {
        let extension: ResourceName = names::tcp_egress(&self.key.mesh, port).into();
        let Some((owner, traffic)) = self.tcp_backend(port) else {
            ports.tcp.remove(&port);
            self.tcp_owners.remove(&port);
            return self.take(Kind::Extension, &extension);
        };
        let message = chain::tcp_extension(&extension, port, traffic, &self.log);
        let targets = traffic.targets.iter();
        let tcp = TcpPort {
            extension: Arc::clone(&extension),
            clusters: targets.map(|target| Arc::clone(&target.cluster)).collect(),
        };
        ports.tcp.insert(port, tcp);
        let owner = owner.clone();
        self.tcp_owners.insert(port, owner);
        self.put(interner.intern(Resource::new(Kind::Extension, extension, &message, None)))
    }

    /// Tells of TCP backends whose port belongs to another.
    pub(super) fn report_shared_ports(&self, problems: &mut Vec<Problem>) {
        for (name, unit) in &self.services {
            for port in &unit.ports {
                let (Traffic::Tcp(_), number) = (&port.traffic, port.port) else {
                    continue;
                };
                let owner = self.tcp_owners.get(&number);
                if owner == Some(name) {
                    continue;
                }
                let taken = match owner {
                    Some(other) => {
                        format!("which for the same callers belongs to virtual service `{other}`")
                    }
                    None if number == EGRESS_PORT => "which is the sidecar's own".to_owned(),
                    None => {
                        "on which the same callers reach HTTP services when their calls are redirected"
                            .to_owned()
                    }
                };
                let id = ResourceId::VirtualService(self.key.mesh.clone(), name.clone());
                problems.push(Problem::new(
                    id,
                    format!(
                        "cannot be dialled directly on port {number}, {taken}; give it another port, name it in the \
                         `backends` of others only, or dial it with CONNECT `{name}:{number}` through 15001"
                    ),
                ));
            }
        }
    }
}
