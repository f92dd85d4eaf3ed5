//! Egress sets: everything that sidecars with the same backends share. One persistent snapshot for all their views, in
//! which a change of endpoints is one insertion, however many services the mesh has.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use envoy_types::pb::envoy::config::accesslog::v3::AccessLog;

use crate::model::spec::Protocol;
use crate::model::{MeshName, NodeName, ResourceId, ServiceName};
use crate::snapshot::{Interner, Kind, Resource, Snapshot};

use super::encryption::Encryption;
use super::index::Index;
use super::node::{Assignment, CompiledCluster, NodeUnit};
use super::outside::Outside;
use super::service::{ClusterRef, ServiceUnit};
use super::{Problem, cluster, names, virtual_host};

mod grpc;
mod ports;

pub(crate) use ports::{EgressPorts, TcpPort};

/// What tells one egress set from another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EgressKey {
    pub(crate) mesh: MeshName,
    pub(crate) mode: Mode,
    pub(crate) backends: Backends,
    pub(crate) outside: Outside,
    pub(crate) encryption: Encryption,
    /// The node's access loggers, encoded: connections to TCP backends are logged where they go.
    pub(crate) log: Bytes,
}

/// How calls reach the sidecar, and so how they are told apart: by host on one port, by the port they were made to, or,
/// where the client routes them itself, by the target that it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mode {
    Explicit,
    Redirect,
    Grpc,
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

/// What sets are made of: the compiled services and nodes of their mesh.
#[derive(Clone, Copy)]
pub(crate) struct Units<'a> {
    pub(crate) services: &'a BTreeMap<ServiceName, Arc<ServiceUnit>>,
    pub(crate) nodes: &'a BTreeMap<NodeName, NodeUnit>,
}

/// What sidecars with equal [`EgressKey`]s share.
#[derive(Debug)]
pub(crate) struct EgressSet {
    key: EgressKey,
    log: Vec<AccessLog>,
    services: BTreeMap<ServiceName, Arc<ServiceUnit>>,
    services_of_port: Index<u16, ServiceName>,
    /// How many services need a cluster.
    clusters: BTreeMap<ClusterRef, usize>,
    snapshot: Snapshot,
    ports: Arc<EgressPorts>,
    /// Whose a TCP port is.
    tcp_owners: BTreeMap<u16, ServiceName>,
    problems: Arc<[Problem]>,
}

/// What taking over changes of services and nodes changed.
struct TakenOver {
    /// A resource of the set, or its ports.
    changed: bool,
    /// A service, so that the routes of all services are to be made anew.
    reroutes: bool,
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
            services_of_port: Index::default(),
            clusters: BTreeMap::new(),
            snapshot: Snapshot::default(),
            ports: Arc::default(),
            tcp_owners: BTreeMap::new(),
            problems: Arc::default(),
            key,
        };
        if let Some(message) = set.key.outside.cluster(&set.key.mesh, set.key.mode) {
            let name = message.name.as_str().into();
            set.put(interner.intern(Resource::new(Kind::Cluster, name, &message, None)));
        }
        let services: BTreeSet<ServiceName> = match &set.key.backends {
            Backends::All => units.services.keys().cloned().collect(),
            Backends::Named(names) => names.as_ref().clone(),
        };
        set.take_over(&services, &BTreeSet::new(), units, interner);
        // Even without services: there may be routes out of the mesh, and problems.
        set.refresh_routes(interner);
        set
    }

    pub(crate) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    pub(crate) fn ports(&self) -> &Arc<EgressPorts> {
        &self.ports
    }

    pub(crate) fn problems(&self) -> &Arc<[Problem]> {
        &self.problems
    }

    /// Takes over what changed of these services and nodes. True if a resource of the set, or its ports, changed.
    ///
    /// **Invariant:** every other service and node is as it was at the last update.
    pub(crate) fn update(
        &mut self,
        services: &BTreeSet<ServiceName>,
        nodes: &BTreeSet<NodeName>,
        units: Units<'_>,
        interner: &mut Interner,
    ) -> bool {
        let taken = self.take_over(services, nodes, units, interner);
        let reroutes = taken.reroutes && self.refresh_routes(interner);
        taken.changed || reroutes
    }

    /// The same but for the routes of all services.
    fn take_over(
        &mut self,
        services: &BTreeSet<ServiceName>,
        nodes: &BTreeSet<NodeName>,
        units: Units<'_>,
        interner: &mut Interner,
    ) -> TakenOver {
        let mut touched: BTreeSet<ClusterRef> = BTreeSet::new();
        for node in nodes {
            touched.extend(self.refs_of(node).cloned());
        }
        let mut changed = false;
        let mut ports: BTreeSet<(u16, ServiceName)> = BTreeSet::new();
        let mut reroutes = false;
        for name in services {
            if self.key.backends.contains(name) {
                let EgressKey {
                    encryption, mesh, ..
                } = &self.key;
                let unit = units.services.get(name);
                let mut unit = unit.map(|unit| encryption.restrict(mesh, name, unit));
                if self.key.mode == Mode::Grpc {
                    unit = unit.map(grpc::without_tcp);
                }
                reroutes |= self.replace(name, unit.as_ref(), &mut touched, &mut ports);
            }
        }
        for cluster in touched {
            changed |= self.refresh_cluster(&cluster, units, interner);
        }
        let before = Arc::clone(&self.ports);
        changed |= match self.key.mode {
            Mode::Explicit | Mode::Redirect => self.refresh_ports(&ports, interner),
            Mode::Grpc => self.refresh_calls(&ports, interner),
        };
        if !Arc::ptr_eq(&before, &self.ports) && *before == *self.ports {
            // What stays equal stays the same, so that the set's views need not compare it again, each for itself.
            self.ports = before;
        }
        TakenOver { changed, reroutes }
    }

    fn refs_of(&self, node: &NodeName) -> impl Iterator<Item = &ClusterRef> {
        let first = ClusterRef::Node(node.clone(), 0, Protocol::Http);
        let of = node.clone();
        self.clusters
            .range((Bound::Included(first), Bound::Unbounded))
            .map(|(cluster, _)| cluster)
            .take_while(move |cluster| matches!(cluster, ClusterRef::Node(node, ..) if *node == of))
    }

    /// Takes a service's new form, or its absence, and adds the clusters and ports that it needs or needed. False if
    /// nothing changed.
    fn replace(
        &mut self,
        name: &ServiceName,
        unit: Option<&Arc<ServiceUnit>>,
        touched: &mut BTreeSet<ClusterRef>,
        ports: &mut BTreeSet<(u16, ServiceName)>,
    ) -> bool {
        let known = self.services.get(name);
        let same = match (known, unit) {
            (Some(old), Some(unit)) => Arc::ptr_eq(old, unit),
            (None, None) => true,
            _ => false,
        };
        if same {
            return false;
        }
        let old = match unit {
            Some(unit) => self.services.insert(name.clone(), Arc::clone(unit)),
            None => self.services.remove(name),
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
        for port in &old.ports {
            self.services_of_port.remove(&port.port, name);
            ports.insert((port.port, name.clone()));
        }
        for port in unit.iter().flat_map(|unit| &unit.ports) {
            self.services_of_port.insert(port.port, name.clone());
            ports.insert((port.port, name.clone()));
        }
        true
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
        let proxied = |outside| {
            let (routes, problems) = virtual_host::proxy_routes(mesh, &self.services, outside);
            (Some(routes), problems)
        };
        let (routes, mut problems) = match self.key.mode {
            Mode::Explicit => proxied(self.key.outside),
            // A connection that the application made to 15001 itself has no other destination.
            Mode::Redirect => proxied(Outside::Dropped),
            Mode::Grpc => (None, Vec::new()),
        };
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
        self.report_shared_ports(&mut problems);
        if *self.problems != *problems {
            self.problems = problems.into();
        }
        routes.is_some_and(|routes| self.put(interner.intern(routes)))
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
