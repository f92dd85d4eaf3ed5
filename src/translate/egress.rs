//! Egress sets: everything that sidecars with the same backends share. One persistent snapshot for all their views, in
//! which a change of endpoints is one insertion, however many services the mesh has.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use envoy_types::pb::envoy::config::accesslog::v3::AccessLog;

use crate::model::spec::{IpPreference, Protocol};
use crate::model::{MeshName, NodeName, ResourceId, ServiceName};
use crate::snapshot::{Interner, Kind, Resource, ResourceName, Snapshot};

use super::encryption::Encryption;
use super::listener::{self, Outside};
use super::node::{Assignment, CompiledCluster, NodeUnit};
use super::service::{ClusterRef, ServiceUnit, Traffic};
use super::{Problem, cluster, names, virtual_host};

/// What tells one egress set from another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EgressKey {
    pub(crate) mesh: MeshName,
    pub(crate) mode: Mode,
    pub(crate) backends: Backends,
    pub(crate) outside: OutsideKey,
    pub(crate) encryption: Encryption,
    /// The node's access loggers, encoded: connections to TCP backends are logged where they go.
    pub(crate) log: Bytes,
}

/// How calls are told apart: by host on one port, or (not served yet) by the port they were made to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mode {
    Explicit,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Backends {
    /// Every virtual service of the mesh.
    All,
    Named(Arc<BTreeSet<ServiceName>>),
}

impl Backends {
    fn contains(&self, service: &ServiceName) -> bool {
        match self {
            Self::All => true,
            Self::Named(names) => names.contains(service),
        }
    }
}

/// [`Outside`] in an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum OutsideKey {
    Dropped,
    Allowed(Option<IpPreference>),
}

impl From<OutsideKey> for Outside {
    fn from(key: OutsideKey) -> Self {
        match key {
            OutsideKey::Dropped => Self::Dropped,
            OutsideKey::Allowed(preference) => Self::Allowed(preference),
        }
    }
}

/// What sets are made of: the compiled services and nodes of their mesh.
#[derive(Clone, Copy)]
pub(crate) struct Units<'a> {
    pub(crate) services: &'a BTreeMap<ServiceName, Arc<ServiceUnit>>,
    pub(crate) nodes: &'a BTreeMap<NodeName, NodeUnit>,
}

/// A port of a TCP backend, which needs a listener of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TcpPort {
    pub(crate) service: ServiceName,
    pub(crate) port: u16,
    /// The name of its ECDS resource.
    pub(crate) extension: ResourceName,
    /// The clusters that its connections go to.
    pub(crate) clusters: Vec<ResourceName>,
}

/// What sidecars with equal [`EgressKey`]s share.
#[derive(Debug)]
pub(crate) struct EgressSet {
    key: EgressKey,
    log: Vec<AccessLog>,
    services: BTreeMap<ServiceName, Arc<ServiceUnit>>,
    /// How many services need a cluster.
    clusters: BTreeMap<ClusterRef, usize>,
    snapshot: Snapshot,
    tcp_ports: Arc<[TcpPort]>,
    problems: Vec<Problem>,
}

impl EgressSet {
    pub(crate) fn new(
        key: EgressKey,
        log: Vec<AccessLog>,
        units: Units<'_>,
        interner: &mut Interner,
    ) -> Self {
        let mut set = Self {
            log,
            services: BTreeMap::new(),
            clusters: BTreeMap::new(),
            snapshot: Snapshot::default(),
            tcp_ports: Arc::default(),
            problems: Vec::new(),
            key,
        };
        if let OutsideKey::Allowed(preference) = set.key.outside {
            let message = cluster::allow_all(&set.key.mesh, preference);
            let name = message.name.as_str().into();
            set.put(interner.intern(Resource::new(Kind::Cluster, name, &message, None)));
        }
        let services: BTreeSet<ServiceName> = match &set.key.backends {
            Backends::All => units.services.keys().cloned().collect(),
            Backends::Named(names) => names.as_ref().clone(),
        };
        set.update(&services, &BTreeSet::new(), units, interner);
        set.refresh_routes(interner);
        set
    }

    pub(crate) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    pub(crate) fn tcp_ports(&self) -> &Arc<[TcpPort]> {
        &self.tcp_ports
    }

    pub(crate) fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Takes over what changed of these services and nodes. True if a resource of the set, or its TCP ports, changed.
    ///
    /// **Invariant:** every other service and node is as it was at the last update.
    pub(crate) fn update(
        &mut self,
        services: &BTreeSet<ServiceName>,
        nodes: &BTreeSet<NodeName>,
        units: Units<'_>,
        interner: &mut Interner,
    ) -> bool {
        let mut touched: BTreeSet<ClusterRef> = BTreeSet::new();
        for node in nodes {
            touched.extend(self.refs_of(node).cloned());
        }
        let mut changed = false;
        let mut reroute = false;
        for name in services {
            if self.key.backends.contains(name) {
                let EgressKey {
                    encryption, mesh, ..
                } = &self.key;
                let unit = units.services.get(name);
                let unit = unit.map(|unit| encryption.restrict(mesh, name, unit));
                if let Some(old) = self.replace(name, unit.as_ref(), &mut touched) {
                    changed |= self.refresh_extensions(name, &old, interner);
                    reroute = true;
                }
            }
        }
        for cluster in touched {
            changed |= self.refresh_cluster(&cluster, units, interner);
        }
        if reroute {
            changed |= self.refresh_routes(interner);
        }
        changed
    }

    fn refs_of(&self, node: &NodeName) -> impl Iterator<Item = &ClusterRef> {
        let first = ClusterRef::Node(node.clone(), 0, Protocol::Http);
        let of = node.clone();
        self.clusters
            .range((Bound::Included(first), Bound::Unbounded))
            .map(|(cluster, _)| cluster)
            .take_while(move |cluster| matches!(cluster, ClusterRef::Node(node, ..) if *node == of))
    }

    /// Takes a service's new form, or its absence, and returns the old one; `None` if nothing changed.
    fn replace(
        &mut self,
        name: &ServiceName,
        unit: Option<&Arc<ServiceUnit>>,
        touched: &mut BTreeSet<ClusterRef>,
    ) -> Option<Arc<ServiceUnit>> {
        let old = match unit {
            Some(unit) => {
                if self
                    .services
                    .get(name)
                    .is_some_and(|old| Arc::ptr_eq(old, unit))
                {
                    return None;
                }
                self.services.insert(name.clone(), Arc::clone(unit))
            }
            None => Some(self.services.remove(name)?),
        };
        for cluster in unit.iter().flat_map(|unit| &unit.clusters) {
            *self.clusters.entry(cluster.clone()).or_default() += 1;
            touched.insert(cluster.clone());
        }
        let old = old.unwrap_or_default();
        for cluster in &old.clusters {
            touched.insert(cluster.clone());
            if let Some(count) = self.clusters.get_mut(cluster) {
                *count -= 1;
                if *count == 0 {
                    self.clusters.remove(cluster);
                }
            }
        }
        Some(old)
    }

    fn refresh_extensions(
        &mut self,
        name: &ServiceName,
        old: &ServiceUnit,
        interner: &mut Interner,
    ) -> bool {
        let mut stale: BTreeSet<ResourceName> = tcp_ports(&self.key.mesh, name, old)
            .map(|port| port.extension)
            .collect();
        let mut fresh = Vec::new();
        if let Some(unit) = self.services.get(name) {
            for port in tcp_ports(&self.key.mesh, name, unit) {
                stale.remove(&port.extension);
                let found = unit.ports.iter().find(|known| known.port == port.port);
                if let Some(Traffic::Tcp(traffic)) = found.map(|found| &found.traffic) {
                    let message =
                        listener::tcp_extension(&port.extension, port.port, traffic, &self.log);
                    fresh.push(Resource::new(
                        Kind::Extension,
                        port.extension,
                        &message,
                        None,
                    ));
                }
            }
        }
        let mut changed = false;
        for name in stale {
            changed |= self.take(Kind::Extension, &name);
        }
        for resource in fresh {
            changed |= self.put(interner.intern(resource));
        }
        changed
    }

    fn refresh_cluster(
        &mut self,
        wanted: &ClusterRef,
        units: Units<'_>,
        interner: &mut Interner,
    ) -> bool {
        let needed = self.clusters.contains_key(wanted);
        match wanted {
            ClusterRef::Empty => {
                let message = cluster::empty(&self.key.mesh);
                let name = message.name.as_str().into();
                if needed {
                    let resource = Resource::new(Kind::Cluster, name, &message, None);
                    self.put(interner.intern(resource))
                } else {
                    self.take(Kind::Cluster, &name)
                }
            }
            ClusterRef::Node(node, port, protocol) => {
                let unit = units.nodes.get(node).filter(|_| needed);
                if let Some(compiled) = unit.and_then(|unit| unit.clusters.get(&(*port, *protocol)))
                {
                    return self.put_cluster(compiled);
                }
                let name = names::egress_cluster(&self.key.mesh, node, *protocol, *port);
                self.take(Kind::Cluster, &name) | self.take(Kind::Endpoint, &name)
            }
        }
    }

    fn put_cluster(&mut self, compiled: &CompiledCluster) -> bool {
        let name = compiled.cluster.name();
        let assignment = match &compiled.assignment {
            Assignment::Inline => self.take(Kind::Endpoint, name),
            Assignment::Known(resource) => self.put(Arc::clone(resource)),
            Assignment::Withheld(why) => {
                let already = self.snapshot.why_withheld(Kind::Endpoint, name) == Some(*why);
                if !already {
                    let name = Arc::clone(name);
                    self.snapshot.withhold(Kind::Endpoint, name, *why);
                }
                !already
            }
        };
        assignment | self.put(Arc::clone(&compiled.cluster))
    }

    fn refresh_routes(&mut self, interner: &mut Interner) -> bool {
        let mesh = &self.key.mesh;
        let allowed = self.key.outside != OutsideKey::Dropped;
        let (message, mut problems) = virtual_host::egress_routes(mesh, &self.services, allowed);
        if let Backends::Named(names) = &self.key.backends {
            let missing = names
                .iter()
                .filter(|name| !self.services.contains_key(*name));
            problems.extend(missing.map(|name| {
                let id = ResourceId::VirtualService(mesh.clone(), name.clone());
                let text = "is named as a backend but does not exist; create it, or remove it from the `backends` that \
                            name it";
                Problem::new(id, text.to_owned())
            }));
        }
        let ports = self
            .services
            .iter()
            .flat_map(|(name, unit)| tcp_ports(mesh, name, unit));
        self.tcp_ports = ports.collect();
        self.problems = problems;
        let name = message.name.as_str().into();
        self.put(interner.intern(Resource::new(Kind::Route, name, &message, None)))
    }

    /// True if the resource is new or differs.
    fn put(&mut self, resource: Arc<Resource>) -> bool {
        let old = self.snapshot.get(resource.kind(), resource.name());
        if old.is_some_and(|old| old.version() == resource.version()) {
            return false;
        }
        self.snapshot.insert(resource);
        true
    }

    /// True if there was such a resource, or one was withheld.
    fn take(&mut self, kind: Kind, name: &str) -> bool {
        let there =
            self.snapshot.get(kind, name).is_some() || self.snapshot.is_withheld(kind, name);
        if there {
            self.snapshot.remove(kind, name);
        }
        there
    }
}

fn tcp_ports<'a>(
    mesh: &'a MeshName,
    service: &'a ServiceName,
    unit: &'a ServiceUnit,
) -> impl Iterator<Item = TcpPort> + 'a {
    unit.ports.iter().filter_map(|port| match &port.traffic {
        Traffic::Http(_) => None,
        Traffic::Tcp(traffic) => Some(TcpPort {
            service: service.clone(),
            port: port.port,
            extension: names::tcp_egress(mesh, service, port.port).into(),
            clusters: traffic
                .targets
                .iter()
                .map(|target| Arc::clone(&target.cluster))
                .collect(),
        }),
    })
}
