//! The mesh's one owner: what is declared now, at which revision.
//!
//! **Invariant:** a revision only grows, and only with a model that differs from the one before.
//!
//! Held in memory: mesh files are the only source, and they are on disk already.

use std::fmt;
use std::time::Instant;

use tokio::sync::watch;

use crate::model::Model;

/// How many times the model has changed since the start; 0 before anything was loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Revision(u64);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The model at a revision.
#[derive(Clone, Debug, Default)]
pub struct Stored {
    pub revision: Revision,
    pub model: Model,
    /// When the model became this one; `None` before anything was loaded.
    pub changed_at: Option<Instant>,
}

/// Handle to the store; the files' task writes, others watch.
#[derive(Debug)]
pub struct Store {
    current: watch::Sender<Stored>,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            current: watch::Sender::new(Stored::default()),
        }
    }
}

impl Store {
    /// Replaces everything that mesh files declare. `changed_at` is when the change was seen.
    ///
    /// Returns the new revision, or `None` if nothing differs.
    pub fn replace_files(&self, model: Model, changed_at: Instant) -> Option<Revision> {
        // There is one writer, so nothing changes between the comparison, which may take a while and would keep readers
        // out, and the replacement.
        let stored = self.current.borrow().clone();
        // The first load counts even when it is empty: from then on the model is known.
        let model = if stored.changed_at.is_none() {
            model
        } else {
            // Files that are read anew share nothing with the model before; from here on, a comparison costs what changed.
            let mut caught_up = stored.model.clone();
            caught_up.catch_up(&model);
            if stored.model == caught_up {
                return None;
            }
            caught_up
        };
        let revision = Revision(stored.revision.0 + 1);
        self.current.send_replace(Stored {
            revision,
            model,
            changed_at: Some(changed_at),
        });
        Some(revision)
    }

    /// The model as it changes; a slow reader sees the newest and misses those between.
    pub fn watch(&self) -> watch::Receiver<Stored> {
        self.current.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::spec::{EgressFilter, EgressFilterType, MeshSpec};
    use crate::model::{MeshName, Resource, ResourceId, Spec};

    #[test]
    fn the_same_content_again_is_no_new_revision() {
        let store = Store::default();
        let mesh = Resource {
            id: ResourceId::Mesh(MeshName::new("m")),
            spec: Spec::Mesh(MeshSpec::default().into()),
        };
        let model = Model::from_resources([mesh]);
        let first = store.replace_files(model.clone(), Instant::now());
        assert!(first.is_some());
        assert_eq!(store.replace_files(model, Instant::now()), None);
        let emptied = store.replace_files(Model::default(), Instant::now());
        assert!(emptied > first);
    }

    /// Files are read anew as a whole; readers compare only what changed in them.
    #[test]
    fn what_stays_the_same_stays_shared() {
        let resource = |name: &str, filter: EgressFilterType| Resource {
            id: ResourceId::Mesh(MeshName::new(name)),
            spec: Spec::Mesh(Arc::new(MeshSpec {
                egress_filter: Some(EgressFilter { r#type: filter }),
                ..MeshSpec::default()
            })),
        };
        let (open, closed) = (EgressFilterType::AllowAll, EgressFilterType::DropAll);
        let store = Store::default();
        let watch = store.watch();
        let specs = || {
            let stored = watch.borrow();
            let spec = |name| stored.model.mesh(&MeshName::new(name))?.spec.clone();
            ["same", "changed", "removed", "added"].map(spec)
        };
        let model = Model::from_resources([
            resource("same", open),
            resource("changed", open),
            resource("removed", open),
        ]);
        store.replace_files(model, Instant::now());
        let [same, ..] = specs();
        let model = Model::from_resources([
            resource("same", open),
            resource("changed", closed),
            resource("added", open),
        ]);
        store.replace_files(model.clone(), Instant::now());
        assert_eq!(watch.borrow().model, model);
        assert!(Arc::ptr_eq(&specs()[0].clone().unwrap(), &same.unwrap()));
    }

    #[test]
    fn an_empty_first_load_counts() {
        let store = Store::default();
        let mut watch = store.watch();
        assert!(
            store
                .replace_files(Model::default(), Instant::now())
                .is_some()
        );
        assert!(watch.has_changed().unwrap());
        assert!(watch.borrow_and_update().changed_at.is_some());
    }
}
