//! The translator: what is compiled, who shares it, and what a change touches.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use envoy_types::pb::envoy::config::accesslog::v3::AccessLog;
use imbl::ordmap::DiffItem as MapItem;
use imbl::ordset::DiffItem as SetItem;
use imbl::{OrdMap, OrdSet};
use prost::Name;

use crate::model::spec::{Backend, EgressFilterType, MeshSpec, ServiceDiscovery, VirtualNodeSpec};
use crate::model::{
    Capture, ClientKind, Mesh, MeshName, NodeName, NodeRef, ResourceId, ServiceName, ViewKey,
};
use crate::snapshot::{Interner, canonical};

use super::egress::{Backends, EgressKey, EgressSet, Mode, OutsideKey, TcpPort};
use super::encryption::Encryption;
use super::index::{Index, Problems};
use super::mesh_units::{Changed, Context, Dirt, MeshUnits, Sources};
use super::view::{self, Own, OwnInput};
use super::{Input, Options, Problem, View, access_log};

/// Turns inputs into views, doing again only what a change touches.
#[derive(Debug, Default)]
pub struct Translator {
    options: Options,
    input: Input,
    interner: Interner,
    problems: Problems,
    meshes: BTreeMap<MeshName, MeshUnits>,
    sources: Sources,
    sets: Sets,
    /// Sets that lost a view, and may have none left.
    released: BTreeSet<SetId>,
    views: BTreeMap<ViewKey, ViewState>,
    views_of_node: Index<(MeshName, NodeName), ViewKey>,
}

#[derive(Debug)]
struct ViewState {
    view: View,
    set: Option<SetId>,
    tcp_ports: Arc<[TcpPort]>,
    own: Own,
}

impl Default for ViewState {
    fn default() -> Self {
        Self {
            view: View::NotFound,
            set: None,
            tcp_ports: Arc::default(),
            own: Own::default(),
        }
    }
}

type SetId = u64;

/// The egress sets that views share.
#[derive(Debug, Default)]
struct Sets {
    by_id: BTreeMap<SetId, (Arc<EgressKey>, EgressSet)>,
    ids: BTreeMap<Arc<EgressKey>, SetId>,
    next: SetId,
    views: Index<SetId, ViewKey>,
    of_service: Index<(MeshName, ServiceName), SetId>,
    /// Sets that have every service of the mesh.
    of_mesh: Index<MeshName, SetId>,
}

/// What a change means for the views.
#[derive(Debug, Default)]
struct Touched {
    /// Sets whose snapshot changed.
    sets: BTreeSet<SetId>,
    /// Views to put together anew from the model.
    views: BTreeSet<ViewKey>,
}

impl Translator {
    pub fn new(options: Options) -> Self {
        Self {
            options,
            ..Self::default()
        }
    }

    /// Takes the complete new input and returns the views whose outcome changed: added, changed and removed ones.
    pub fn apply(&mut self, input: Input) -> BTreeSet<ViewKey> {
        let older = std::mem::replace(&mut self.input, input);
        let mut touched = Touched::default();
        for (mesh, dirt) in self.dirt(&older, &mut touched) {
            let changed = self.update_units(&mesh, dirt);
            self.update_sets(&mesh, &changed, &mut touched);
        }
        let outcome = self.update_views(&older, touched);
        let candidates = std::mem::take(&mut self.released);
        for problems in self.sets.collect_garbage(candidates) {
            self.problems.replace(&problems, &[]);
        }
        outcome
    }

    /// What a sidecar gets; `None` if its key was not among the input's.
    pub fn view(&self, key: &ViewKey) -> Option<&View> {
        self.views.get(key).map(|state| &state.view)
    }

    /// Everything that could not be served as it stands, by resource.
    pub fn problems(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter()
    }

    /// Whether nothing is kept.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        let sets = &self.sets;
        self.meshes.is_empty()
            && self.views.is_empty()
            && sets.by_id.is_empty()
            && sets.ids.is_empty()
            && self.released.is_empty()
            && [
                self.sources.is_empty(),
                self.views_of_node.is_empty(),
                sets.views.is_empty(),
                sets.of_service.is_empty(),
                sets.of_mesh.is_empty(),
            ]
            .iter()
            .all(|empty| *empty)
    }

    /// What differs from the older input, by mesh.
    fn dirt(&self, older: &Input, touched: &mut Touched) -> BTreeMap<MeshName, Dirt> {
        let mut meshes: BTreeMap<MeshName, Dirt> = BTreeMap::new();
        for id in self.input.model.changes_since(&older.model) {
            let dirt = meshes.entry(id.mesh().clone()).or_default();
            match id {
                ResourceId::Mesh(mesh) => {
                    dirt.mesh = true;
                    let views = self.views.keys().filter(|key| *key.node.mesh() == mesh);
                    touched.views.extend(views.cloned());
                }
                ResourceId::VirtualNode(mesh, node) => {
                    dirt.nodes.insert(node.clone());
                    let views = self.views_of_node.of(&(mesh, node));
                    touched.views.extend(views.cloned());
                }
                ResourceId::VirtualService(_, service) => {
                    dirt.services.insert(service);
                }
                ResourceId::VirtualRouter(_, router) | ResourceId::Route(_, router, _) => {
                    dirt.routers.insert(router);
                }
                ResourceId::VirtualGateway(..) | ResourceId::GatewayRoute(..) => {}
            }
        }
        for source in changed_keys(&older.endpoints, &self.input.endpoints) {
            for (mesh, node) in self.sources.of(&source) {
                let dirt = meshes.entry(mesh.clone()).or_default();
                dirt.endpoints.insert(node.clone());
            }
        }
        meshes
    }

    fn update_units(&mut self, name: &MeshName, dirt: Dirt) -> Changed {
        let undeclared = Mesh::default();
        let mesh = self.input.model.mesh(name).unwrap_or(&undeclared);
        let mut context = Context {
            options: &self.options,
            endpoints: &self.input.endpoints,
            interner: &mut self.interner,
            problems: &mut self.problems,
            sources: &mut self.sources,
        };
        let units = self.meshes.entry(name.clone()).or_default();
        units.update(name, mesh, dirt, &mut context)
    }

    fn update_sets(&mut self, name: &MeshName, changed: &Changed, touched: &mut Touched) {
        let Some(units) = self.meshes.get(name) else {
            return;
        };
        let leading_here = changed
            .nodes
            .iter()
            .flat_map(|node| units.services_of_node(node));
        let services: BTreeSet<&ServiceName> =
            changed.services.iter().chain(leading_here).collect();
        for id in self.sets.that_have(name, &services) {
            let Some((_, set)) = self.sets.by_id.get_mut(&id) else {
                continue;
            };
            let problems = set.problems().to_vec();
            if set.update(
                &changed.services,
                &changed.nodes,
                units.units(),
                &mut self.interner,
            ) {
                touched.sets.insert(id);
            }
            self.problems.replace(&problems, set.problems());
        }
        if units.is_empty() {
            self.meshes.remove(name);
        }
    }

    fn update_views(&mut self, older: &Input, touched: Touched) -> BTreeSet<ViewKey> {
        let Touched { sets, mut views } = touched;
        let mut outcome = BTreeSet::new();
        for key in changed_elements(&older.views, &self.input.views) {
            if self.input.views.contains(&key) {
                views.insert(key);
            } else {
                self.remove_view(&key);
                views.remove(&key);
                outcome.insert(key);
            }
        }
        for id in &sets {
            for key in self.sets.views.of(id).cloned().collect::<Vec<_>>() {
                if !views.contains(&key) && self.refresh_view(&key, &sets, false) {
                    outcome.insert(key);
                }
            }
        }
        for key in views {
            if self.refresh_view(&key, &sets, true) {
                outcome.insert(key);
            }
        }
        outcome
    }

    fn remove_view(&mut self, key: &ViewKey) {
        if let Some(state) = self.views.remove(key) {
            self.problems.replace(&state.own.problems, &[]);
            if let Some(set) = state.set {
                self.sets.views.remove(&set, key);
                self.released.insert(set);
            }
        }
        if let NodeRef::VirtualNode(mesh, node) = &key.node {
            self.views_of_node
                .remove(&(mesh.clone(), node.clone()), key);
        }
    }

    /// Puts a view together again; true if its outcome changed. With `from_model`, the node's or the mesh's spec may
    /// differ, else nothing but the view's egress set does.
    fn refresh_view(&mut self, key: &ViewKey, changed: &BTreeSet<SetId>, from_model: bool) -> bool {
        let added = !self.views.contains_key(key);
        let old = self.views.remove(key).unwrap_or_default();
        let (new, differs) = match self.serve(key, &old, changed, from_model) {
            Ok(served) => served,
            Err(view) => {
                let differs = old.view != view;
                let state = ViewState {
                    view,
                    ..ViewState::default()
                };
                (state, differs)
            }
        };
        self.problems.replace(&old.own.problems, &new.own.problems);
        if old.set != new.set {
            if let Some(set) = old.set {
                self.sets.views.remove(&set, key);
                self.released.insert(set);
            }
            if let Some(set) = new.set {
                self.sets.views.insert(set, key.clone());
            }
        }
        if added && let NodeRef::VirtualNode(mesh, node) = &key.node {
            let node = (mesh.clone(), node.clone());
            self.views_of_node.insert(node, key.clone());
        }
        self.views.insert(key.clone(), new);
        added || differs
    }

    /// The view of a sidecar that is served, and whether it differs from the old one.
    ///
    /// # Errors
    /// The view of one that is not.
    fn serve(
        &mut self,
        key: &ViewKey,
        old: &ViewState,
        changed: &BTreeSet<SetId>,
        from_model: bool,
    ) -> Result<(ViewState, bool), View> {
        let served = Served::find(&self.input, key)?;
        let units = self.meshes.get(served.mesh).ok_or(View::NotFound)?;
        let log = access_log::loggers(served.spec);
        let id = match old.set {
            Some(id) if !from_model => id,
            _ => {
                let key = served.egress_key(&log, &self.options);
                let (id, created) = self.sets.id(key, &log, units, &mut self.interner);
                if created {
                    self.problems.replace(&[], self.sets.problems(id));
                }
                id
            }
        };
        let (egress, set) = self.sets.by_id.get(&id).ok_or(View::NotFound)?;
        let own = if !from_model && old.tcp_ports == *set.tcp_ports() {
            old.own.clone()
        } else {
            let ports = units.node(served.node).map(|unit| unit.ports.as_slice());
            let input = OwnInput {
                mesh: served.mesh,
                node: served.node,
                spec: served.spec,
                ports: ports.unwrap_or_default(),
                bind: served.bind,
                applications: served.applications,
                tcp_ports: set.tcp_ports(),
                outside: egress.outside.into(),
                log: &log,
            };
            view::own(&input, &mut self.interner)
        };
        let same_set = old.set == Some(id);
        let same = same_set && !changed.contains(&id) && own.same_resources(&old.own);
        let view = if same {
            old.view.clone()
        } else {
            let mut snapshot = set.snapshot().clone();
            for resource in &own.resources {
                snapshot.insert(Arc::clone(resource));
            }
            View::Serving(Arc::new(snapshot))
        };
        // Of one and the same set it is known whether it changed; two sets may be equal.
        let differs = !same && (same_set || old.view != view);
        let state = ViewState {
            view,
            set: Some(id),
            tcp_ports: Arc::clone(set.tcp_ports()),
            own,
        };
        Ok((state, differs))
    }
}

impl Sets {
    /// The set of a key, made if there is none yet.
    fn id(
        &mut self,
        key: EgressKey,
        log: &[AccessLog],
        units: &MeshUnits,
        interner: &mut Interner,
    ) -> (SetId, bool) {
        if let Some(id) = self.ids.get(&key) {
            return (*id, false);
        }
        let id = self.next;
        self.next += 1;
        match &key.backends {
            Backends::All => self.of_mesh.insert(key.mesh.clone(), id),
            Backends::Named(names) => {
                for name in names.iter() {
                    self.of_service.insert((key.mesh.clone(), name.clone()), id);
                }
            }
        }
        let set = EgressSet::new(key.clone(), log.to_vec(), units.units(), interner);
        let key = Arc::new(key);
        self.ids.insert(Arc::clone(&key), id);
        self.by_id.insert(id, (key, set));
        (id, true)
    }

    fn problems(&self, id: SetId) -> &[Problem] {
        self.by_id
            .get(&id)
            .map(|(_, set)| set.problems())
            .unwrap_or_default()
    }

    /// The sets that have one of these services.
    fn that_have(&self, mesh: &MeshName, services: &BTreeSet<&ServiceName>) -> BTreeSet<SetId> {
        let mut ids = BTreeSet::new();
        for service in services {
            ids.extend(self.of_service.of(&(mesh.clone(), (*service).clone())));
        }
        if !services.is_empty() {
            ids.extend(self.of_mesh.of(mesh));
        }
        ids
    }

    /// Drops the sets that no view has any more, and returns their problems.
    fn collect_garbage(&mut self, candidates: BTreeSet<SetId>) -> Vec<Vec<Problem>> {
        let mut problems = Vec::new();
        for id in candidates {
            if self.views.of(&id).next().is_some() {
                continue;
            }
            let Some((key, set)) = self.by_id.remove(&id) else {
                continue;
            };
            self.ids.remove(&key);
            match &key.backends {
                Backends::All => self.of_mesh.remove(&key.mesh, &id),
                Backends::Named(names) => {
                    for name in names.iter() {
                        self.of_service
                            .remove(&(key.mesh.clone(), name.clone()), &id);
                    }
                }
            }
            problems.push(set.problems().to_vec());
        }
        problems
    }
}

/// A sidecar that is served, and the node that it stands for.
struct Served<'a> {
    mesh: &'a MeshName,
    mesh_spec: &'a MeshSpec,
    node: &'a NodeName,
    spec: &'a VirtualNodeSpec,
    bind: IpAddr,
    applications: &'a BTreeMap<u16, SocketAddr>,
}

impl<'a> Served<'a> {
    fn find(input: &'a Input, key: &'a ViewKey) -> Result<Self, View> {
        let mesh = input.model.mesh(key.node.mesh()).ok_or(View::NotFound)?;
        let mesh_spec = mesh.spec.as_deref().ok_or(View::NotFound)?;
        let (name, node) = match &key.node {
            NodeRef::VirtualNode(name, node) => (name, node),
            NodeRef::VirtualGateway(_, gateway) => {
                return if mesh.gateways.contains_key(gateway) {
                    Err(View::Unsupported(GATEWAY_UNSUPPORTED.to_owned()))
                } else {
                    Err(View::NotFound)
                };
            }
        };
        let spec = mesh.nodes.get(node).ok_or(View::NotFound)?;
        if key.client == ClientKind::Grpc {
            return Err(View::Unsupported(GRPC_UNSUPPORTED.to_owned()));
        }
        let Capture::Explicit { bind, applications } = &key.capture else {
            return Err(View::Unsupported(REDIRECT_UNSUPPORTED.to_owned()));
        };
        Ok(Self {
            mesh: name,
            mesh_spec,
            node,
            spec,
            bind: *bind,
            applications,
        })
    }

    fn egress_key(&self, log: &[AccessLog], options: &Options) -> EgressKey {
        let allowed = self.mesh_spec.egress() == EgressFilterType::AllowAll;
        let named = self.spec.backends().iter();
        let named: BTreeSet<ServiceName> = named
            .map(|Backend::VirtualService(backend)| backend.virtual_service_name.clone())
            .collect();
        let backends = if options.default_backends && allowed && named.is_empty() {
            Backends::All
        } else {
            Backends::Named(Arc::new(named))
        };
        let preference = match &self.spec.service_discovery {
            Some(ServiceDiscovery::Dns(dns)) => dns.ip_preference,
            Some(ServiceDiscovery::AwsCloudMap(map)) => map.ip_preference,
            None => None,
        };
        let mut encoded = Vec::new();
        for logger in log {
            encoded.extend_from_slice(&canonical::encode(&AccessLog::type_url(), logger));
        }
        EgressKey {
            mesh: self.mesh.clone(),
            mode: Mode::Explicit,
            backends,
            outside: if allowed {
                OutsideKey::Allowed(preference.or(self.mesh_spec.ip_preference()))
            } else {
                OutsideKey::Dropped
            },
            encryption: Encryption::of(self.spec),
            log: encoded.into(),
        }
    }
}

const GATEWAY_UNSUPPORTED: &str = "virtual gateways are not served yet; run a virtual node's sidecar in front of the mesh instead";
const GRPC_UNSUPPORTED: &str =
    "gRPC clients without a proxy are not served yet; run an Envoy sidecar beside the application";
const REDIRECT_UNSUPPORTED: &str = "capture mode `redirect` is not served yet; run the sidecar with a bootstrap made by \
                                    `outrigger bootstrap NODE --capture explicit`";

/// The keys under which two maps differ.
fn changed_keys<K: Ord + Clone, V: PartialEq + Clone>(
    older: &OrdMap<K, V>,
    newer: &OrdMap<K, V>,
) -> Vec<K> {
    let key = |item| match item {
        MapItem::Add(key, _) | MapItem::Remove(key, _) | MapItem::Update { new: (key, _), .. } => {
            K::clone(key)
        }
    };
    older.diff(newer).map(key).collect()
}

/// The elements that only one of two sets has.
fn changed_elements<K: Ord + Clone>(older: &OrdSet<K>, newer: &OrdSet<K>) -> Vec<K> {
    let element = |item| match item {
        SetItem::Add(element) | SetItem::Remove(element) => K::clone(element),
    };
    older.diff(newer).map(element).collect()
}
