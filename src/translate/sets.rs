//! The egress sets that views share: which there are, who has them, and which of them a change concerns.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use envoy_types::pb::envoy::config::accesslog::v3::AccessLog;

use crate::model::{MeshName, ServiceName, ViewKey};
use crate::snapshot::Interner;

use super::Problem;
use super::egress::{Backends, EgressKey, EgressSet};
use super::index::Index;
use super::mesh_units::MeshUnits;

pub(crate) type SetId = u64;

/// The egress sets that views share.
#[derive(Debug, Default)]
pub(crate) struct Sets {
    pub(crate) by_id: BTreeMap<SetId, (Arc<EgressKey>, EgressSet)>,
    ids: BTreeMap<Arc<EgressKey>, SetId>,
    next: SetId,
    pub(crate) views: Index<SetId, ViewKey>,
    of_service: Index<(MeshName, ServiceName), SetId>,
    /// Sets that have every service of the mesh.
    of_mesh: Index<MeshName, SetId>,
}

impl Sets {
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
            && self.ids.is_empty()
            && self.views.is_empty()
            && self.of_service.is_empty()
            && self.of_mesh.is_empty()
    }

    /// The set of a key, made if there is none yet.
    pub(crate) fn id(
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

    pub(crate) fn problems(&self, id: SetId) -> &[Problem] {
        self.by_id
            .get(&id)
            .map(|(_, set)| &**set.problems())
            .unwrap_or_default()
    }

    /// The sets that have one of these services.
    pub(crate) fn that_have(
        &self,
        mesh: &MeshName,
        services: &BTreeSet<&ServiceName>,
    ) -> BTreeSet<SetId> {
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
    pub(crate) fn collect_garbage(&mut self, candidates: BTreeSet<SetId>) -> Vec<Arc<[Problem]>> {
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
            problems.push(Arc::clone(set.problems()));
        }
        problems
    }
}
