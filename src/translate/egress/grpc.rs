//! What a set has for gRPC's own clients: a listener for each name by which a service may be dialled, and the routes of
//! each of its ports.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::model::ServiceName;
use crate::snapshot::{Interner, Kind, Resource};
use crate::translate::host_routes::HostRoutes;
use crate::translate::service::{ClusterRef, ServicePort, ServiceUnit, Traffic};
use crate::translate::{names, proxyless};

use super::EgressSet;

/// A service without its TCP ports, which gRPC has no use for.
pub(super) fn without_tcp(unit: Arc<ServiceUnit>) -> Arc<ServiceUnit> {
    let is_http = |port: &ServicePort| matches!(port.traffic, Traffic::Http(_));
    if unit.ports.iter().all(is_http) {
        return unit;
    }
    let mut http = unit.as_ref().clone();
    http.ports.retain(is_http);
    http.clusters.retain(
        |cluster| matches!(cluster, ClusterRef::Node(_, _, protocol) if protocol.is_http_like()),
    );
    Arc::new(http)
}

impl EgressSet {
    /// Makes anew what these ports of services are called by. True if a resource changed.
    pub(super) fn refresh_calls(
        &mut self,
        ports: &BTreeSet<(u16, ServiceName)>,
        interner: &mut Interner,
    ) -> bool {
        let mut changed = false;
        for (port, service) in ports {
            changed |= self.refresh_called_routes(service, *port, interner);
            changed |= self.refresh_target(&names::target(service, *port), interner);
        }
        let services: BTreeSet<&ServiceName> = ports.iter().map(|(_, service)| service).collect();
        for service in services {
            changed |= self.refresh_target(service.as_str(), interner);
        }
        changed
    }

    fn refresh_called_routes(
        &mut self,
        service: &ServiceName,
        port: u16,
        interner: &mut Interner,
    ) -> bool {
        let name = names::service_routes(service, port);
        let Some(routes) = self.routes_of(service, port) else {
            return self.take(Kind::Route, &name);
        };
        let message = proxyless::routes(&name, service, &routes.decode());
        self.put(interner.intern(Resource::new(Kind::Route, name.into(), &message, None)))
    }

    /// The listener of channels with this target.
    fn refresh_target(&mut self, target: &str, interner: &mut Interner) -> bool {
        let Some((service, port)) = self.meaning(target) else {
            return self.take(Kind::Listener, target);
        };
        let message = proxyless::listener(target, &names::service_routes(&service, port));
        self.put(interner.intern(Resource::new(Kind::Listener, target.into(), &message, None)))
    }

    /// Which port of which service a target means. A service's own name comes before another's with a port.
    fn meaning(&self, target: &str) -> Option<(ServiceName, u16)> {
        let whole = ServiceName::new(target);
        if let Some(port) = self
            .services
            .get(&whole)
            .and_then(|unit| proxyless::bare_port(&unit.ports))
        {
            return Some((whole, port));
        }
        let (service, port) = target.rsplit_once(':')?;
        let (service, port) = (ServiceName::new(service), port.parse().ok()?);
        self.routes_of(&service, port)?;
        (names::target(&service, port) == target).then_some((service, port))
    }

    fn routes_of(&self, service: &ServiceName, port: u16) -> Option<&HostRoutes> {
        let mut ports = self.services.get(service)?.ports.iter();
        match &ports.find(|known| known.port == port)?.traffic {
            Traffic::Http(routes) => Some(routes),
            Traffic::Tcp(_) => None,
        }
    }
}
