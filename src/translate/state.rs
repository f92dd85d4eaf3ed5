//! The translator: what is compiled, who shares it, and what a change touches.

mod reach;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use imbl::OrdSet;
use imbl::ordset::DiffItem as SetItem;

use crate::model::{
    Capture, ClientKind, Mesh, MeshName, NodeName, NodeRef, ResourceId, ServiceName, ViewKey,
};
use crate::snapshot::Interner;

use super::egress::EgressPorts;
use super::endpoint::Hosts;
use super::index::{Index, Problems};
use super::mesh_units::{Changed, Context, Dirt, MeshUnits, Sources};
use super::served::Served;
use super::sets::{SetId, Sets};
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
    ports: Arc<EgressPorts>,
    own: Arc<Own>,
}

impl Default for ViewState {
    fn default() -> Self {
        Self {
            view: View::NotFound,
            set: None,
            ports: Arc::default(),
            own: Arc::default(),
        }
    }
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
        self.problems.forget_changes();
        let older = std::mem::replace(&mut self.input, input);
        let mut touched = Touched::default();
        for (mesh, dirt) in self.dirt(&older, &mut touched) {
            let changed = self.update_units(&mesh, dirt);
            self.update_sets(&mesh, &changed, &mut touched);
            self.touch_own_nodes(&mesh, &changed, &mut touched);
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

    /// What the last [`Translator::apply`] found that could not be served, and could before.
    pub fn new_problems(&self) -> impl Iterator<Item = &Problem> {
        self.problems.appeared()
    }

    /// What could not be served before the last [`Translator::apply`], and can now or is gone.
    pub fn mended_problems(&self) -> impl Iterator<Item = &Problem> {
        self.problems.mended()
    }

    /// Whether nothing is kept.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.meshes.is_empty()
            && self.sources.is_empty()
            && self.sets.is_empty()
            && self.released.is_empty()
            && self.views.is_empty()
            && self.views_of_node.is_empty()
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
        let endpoints = &self.input.endpoints;
        for source in endpoints.changed_sources(&older.endpoints) {
            for (mesh, node) in self.sources.of(source) {
                let dirt = meshes.entry(mesh.clone()).or_default();
                dirt.endpoints.insert(node.clone());
            }
        }
        // Whether anything is registered decides on more than the addresses.
        for (mesh, node) in endpoints.changed_registrations(&older.endpoints) {
            let dirt = meshes.entry(mesh.clone()).or_default();
            dirt.nodes.insert(node.clone());
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
            let problems = Arc::clone(set.problems());
            if set.update(
                &changed.services,
                &changed.nodes,
                units.units(),
                &mut self.interner,
            ) {
                touched.sets.insert(id);
            }
            // A set of a whole mesh may have very many, and most changes leave them alone.
            if !Arc::ptr_eq(&problems, set.problems()) {
                self.problems.replace(&problems, set.problems());
            }
        }
        if units.is_empty() {
            self.meshes.remove(name);
        }
    }

    /// All sidecars listen on the ports of their own node; redirected ones are told its endpoints, too.
    fn touch_own_nodes(&self, mesh: &MeshName, changed: &Changed, touched: &mut Touched) {
        for node in &changed.nodes {
            let ports = changed.ports.contains(node);
            let views = self.views_of_node.of(&(mesh.clone(), node.clone()));
            let concerned = views.filter(|key| {
                let redirected =
                    key.capture == Capture::Redirect && key.client == ClientKind::Envoy;
                ports || redirected
            });
            touched.views.extend(concerned.cloned());
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
        if !Arc::ptr_eq(&old.own, &new.own) {
            self.problems.replace(&old.own.problems, &new.own.problems);
        }
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
        let own = if !from_model && Arc::ptr_eq(&old.ports, set.ports()) {
            Arc::clone(&old.own)
        } else {
            let unit = units.node(served.node);
            let source = unit.and_then(|unit| unit.source.as_ref());
            let ports = unit.map(|unit| unit.ports.as_slice()).unwrap_or_default();
            let name = (served.mesh.clone(), served.node.clone());
            let input = OwnInput {
                mesh: served.mesh,
                node: served.node,
                spec: served.spec,
                ports,
                endpoints: Hosts::known(&name, ports, source, &self.input.endpoints),
                preference: served.preference(),
                capture: served.capture,
                client: served.client,
                egress: set.ports(),
                outside: egress.outside,
                log: &log,
            };
            view::own(&input, &mut self.interner).into()
        };
        let same_set = old.set == Some(id);
        let same_own = Arc::ptr_eq(&own, &old.own) || own.same_resources(&old.own);
        let same = same_set && !changed.contains(&id) && same_own;
        let view = if same {
            old.view.clone()
        } else {
            let mut snapshot = set.snapshot().clone();
            own.add_to(&mut snapshot);
            View::Serving(Arc::new(snapshot))
        };
        // Of one and the same set it is known whether it changed; two sets may be equal.
        let differs = !same && (same_set || old.view != view);
        let state = ViewState {
            view,
            set: Some(id),
            ports: Arc::clone(set.ports()),
            own,
        };
        Ok((state, differs))
    }
}

/// The elements that only one of two sets has.
fn changed_elements<K: Ord + Clone>(older: &OrdSet<K>, newer: &OrdSet<K>) -> Vec<K> {
    let element = |item| match item {
        SetItem::Add(element) | SetItem::Remove(element) => K::clone(element),
    };
    older.diff(newer).map(element).collect()
}
