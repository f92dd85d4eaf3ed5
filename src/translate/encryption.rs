//! Calls that a client policy wants encrypted. TLS is not served yet, and a call that must be encrypted is never made in
//! plain text instead: it is refused, and the reason is told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::spec::{Backend, ClientPolicy, VirtualNodeSpec};
use crate::model::{MeshName, ServiceName};

use super::host_routes::HostRoutes;
use super::route::Target;
use super::service::{ClusterRef, ServiceUnit, Traffic};
use super::{names, route};

/// The ports of a service to which calls must be encrypted; none named are all.
type Ports = BTreeSet<u16>;

/// Which calls of a node must be encrypted.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Encryption {
    /// To backends without a policy of their own.
    default: Option<Ports>,
    /// To backends with one, be it to encrypt or not.
    backends: BTreeMap<ServiceName, Option<Ports>>,
}

impl Encryption {
    pub(crate) fn of(spec: &VirtualNodeSpec) -> Self {
        let defaults = spec.backend_defaults.as_ref();
        let own = spec.backends().iter().filter_map(|backend| {
            let Backend::VirtualService(backend) = backend;
            let policy = backend.client_policy.as_ref()?;
            Some((backend.virtual_service_name.clone(), enforced(policy)))
        });
        Self {
            default: defaults
                .and_then(|defaults| defaults.client_policy.as_ref())
                .and_then(enforced),
            backends: own.collect(),
        }
    }

    /// Whether calls to this port of a service must be encrypted.
    fn covers(&self, service: &ServiceName, port: u16) -> bool {
        let ports = match self.backends.get(service) {
            Some(own) => own.as_ref(),
            None => self.default.as_ref(),
        };
        ports.is_some_and(|ports| ports.is_empty() || ports.contains(&port))
    }

    /// The service as it may be called: ports that need encryption answer 503, or close the connection.
    pub(crate) fn restrict(
        &self,
        mesh: &MeshName,
        name: &ServiceName,
        unit: &Arc<ServiceUnit>,
    ) -> Arc<ServiceUnit> {
        if unit.ports.iter().all(|port| !self.covers(name, port.port)) {
            return Arc::clone(unit);
        }
        let mut restricted = unit.as_ref().clone();
        for port in &mut restricted.ports {
            if !self.covers(name, port.port) {
                continue;
            }
            match &mut port.traffic {
                Traffic::Http(routes) => *routes = HostRoutes::of([&route::refuse(name.as_str())]),
                Traffic::Tcp(traffic) => {
                    traffic.targets = vec![Target {
                        cluster: names::empty_cluster(mesh).into(),
                        weight: 1,
                    }];
                    restricted.clusters.insert(ClusterRef::Empty);
                }
            }
        }
        Arc::new(restricted)
    }

    /// What the node's owner must know; nothing if no call must be encrypted.
    pub(crate) fn problem(&self) -> Option<String> {
        let own = self.backends.iter().filter(|(_, ports)| ports.is_some());
        let mut calls: Vec<String> = own.map(|(name, _)| format!("`{name}`")).collect();
        if self.default.is_some() {
            calls.push("all backends without a `clientPolicy` of their own".to_owned());
        }
        (!calls.is_empty()).then(|| {
            format!(
                "must encrypt its calls to {}, and TLS is not served yet, so they are refused; set \
                 `clientPolicy.tls.enforce` to false to make them in plain text",
                calls.join(", ")
            )
        })
    }
}

/// The ports for which a policy insists on TLS; `None` if it does not.
fn enforced(policy: &ClientPolicy) -> Option<Ports> {
    let tls = policy.tls.as_ref()?;
    let ports = tls.ports.iter().flatten().copied().collect();
    (tls.enforce != Some(false)).then_some(ports)
}
