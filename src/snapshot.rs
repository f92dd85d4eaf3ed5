//! What a sidecar is sent: named resources, encoded once, each with a version that is a hash of its content.
//!
//! **Invariant:** equal content has equal bytes and an equal version, in every process: maps are encoded sorted
//! ([`canonical`]), and nothing here depends on a clock, a counter or a memory address.

pub mod canonical;
pub mod descriptors;
mod kind;
mod resource;

use std::collections::BTreeSet;
use std::fmt;
use std::iter::Peekable;
use std::sync::Arc;

use imbl::shared_ptr::DefaultSharedPtr;
use imbl::{OrdMap, ordmap};

pub use kind::{Kind, PerKind};
pub use resource::{Interner, Resource, Version};

/// The name of a resource.
pub type ResourceName = Arc<str>;

/// All resources of one view, by kind and name. A clone shares everything.
#[derive(Clone, Default, PartialEq)]
pub struct Snapshot {
    kinds: PerKind<Set>,
}

/// Why a resource that exists cannot be sent. Whoever has an earlier one keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Withheld {
    /// It will be there soon (a load assignment whose addresses are being looked up), and is worth waiting for.
    Awaited,
    /// Nobody knows when it will be there: whoever has none goes on without it.
    Overdue,
}

/// The resources of one kind.
#[derive(Clone, Default)]
struct Set {
    resources: OrdMap<ResourceName, Arc<Resource>>,
    withheld: OrdMap<ResourceName, Withheld>,
    /// Wrapping sum of the resources' fingerprints, so that one change costs one addition.
    version: u64,
}

impl PartialEq for Set {
    fn eq(&self, other: &Self) -> bool {
        self.version == other.version
            && self.withheld == other.withheld
            && self.resources.len() == other.resources.len()
            && (self.resources.ptr_eq(&other.resources) || self.resources == other.resources)
    }
}

impl Snapshot {
    /// Puts a resource in, in place of one of its kind and name. It is no longer withheld.
    pub fn insert(&mut self, resource: Arc<Resource>) {
        let set = &mut self.kinds[resource.kind()];
        set.withheld.remove(resource.name());
        set.version = set.version.wrapping_add(resource.fingerprint());
        if let Some(old) = set.resources.insert(Arc::clone(resource.name()), resource) {
            set.version = set.version.wrapping_sub(old.fingerprint());
        }
    }

    /// Takes a resource out, or ends its being withheld.
    pub fn remove(&mut self, kind: Kind, name: &str) {
        let set = &mut self.kinds[kind];
        set.withheld.remove(name);
        if let Some(old) = set.resources.remove(name) {
            set.version = set.version.wrapping_sub(old.fingerprint());
        }
    }

    /// Says that the resource exists but cannot be sent yet, so that nobody is told it does not exist.
    pub fn withhold(&mut self, kind: Kind, name: ResourceName, why: Withheld) {
        self.remove(kind, &name);
        self.kinds[kind].withheld.insert(name, why);
    }

    pub fn get(&self, kind: Kind, name: &str) -> Option<&Arc<Resource>> {
        self.kinds[kind].resources.get(name)
    }

    /// For the look-up of about so many names of a kind, in ascending order.
    pub fn in_order(&self, kind: Kind, names: usize) -> InOrder<'_> {
        let resources = &self.kinds[kind].resources;
        // A step of the walk costs a small part of a look-up.
        let is_dense = names > resources.len() / 8;
        InOrder {
            resources,
            walk: is_dense.then(|| resources.iter().peekable()),
        }
    }

    pub fn is_withheld(&self, kind: Kind, name: &str) -> bool {
        self.why_withheld(kind, name).is_some()
    }

    pub fn why_withheld(&self, kind: Kind, name: &str) -> Option<Withheld> {
        self.kinds[kind].withheld.get(name).copied()
    }

    /// The names that are withheld, sorted.
    pub fn withheld(&self, kind: Kind) -> impl Iterator<Item = &ResourceName> {
        self.kinds[kind].withheld.keys()
    }

    /// The resources of a kind, sorted by name.
    pub fn resources(&self, kind: Kind) -> impl Iterator<Item = &Arc<Resource>> {
        self.kinds[kind].resources.values()
    }

    pub fn len(&self, kind: Kind) -> usize {
        self.kinds[kind].resources.len()
    }

    pub fn is_empty(&self) -> bool {
        Kind::ALL
            .iter()
            .all(|kind| self.kinds[*kind].resources.is_empty())
    }

    /// One version for all resources of a kind: what SotW calls `version_info`.
    pub fn version(&self, kind: Kind) -> Version {
        Version::from_hash(self.kinds[kind].version)
    }

    /// Whether a kind's resources are the very same in both; costs nothing when they share memory.
    pub fn same(&self, other: &Self, kind: Kind) -> bool {
        self.kinds[kind] == other.kinds[kind]
    }

    /// The names of a kind that were added, changed, removed, or withheld or not, since `older`.
    pub fn changed_since(&self, older: &Self, kind: Kind) -> BTreeSet<ResourceName> {
        let (old, new) = (&older.kinds[kind], &self.kinds[kind]);
        let mut changed = BTreeSet::new();
        if old == new {
            return changed;
        }
        for item in old.resources.diff(&new.resources) {
            changed.insert(Arc::clone(name_of(&item)));
        }
        for item in old.withheld.diff(&new.withheld) {
            changed.insert(Arc::clone(name_of(&item)));
        }
        changed
    }
}

/// Looks names up that come in ascending order: many cost one walk, few cost a look-up each.
pub struct InOrder<'a> {
    resources: &'a OrdMap<ResourceName, Arc<Resource>>,
    walk: Option<Peekable<ordmap::Iter<'a, ResourceName, Arc<Resource>, DefaultSharedPtr>>>,
}

impl fmt::Debug for InOrder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InOrder").finish_non_exhaustive()
    }
}

impl<'a> InOrder<'a> {
    /// The resource of a name that is not before the one asked for last.
    pub fn get(&mut self, name: &str) -> Option<&'a Arc<Resource>> {
        let Some(walk) = &mut self.walk else {
            return self.resources.get(name);
        };
        while walk.next_if(|(next, _)| ***next < *name).is_some() {}
        let (_, resource) = walk.peek().filter(|(next, _)| ***next == *name)?;
        Some(*resource)
    }
}

fn name_of<'a, V>(item: &ordmap::DiffItem<'a, 'a, ResourceName, V>) -> &'a ResourceName {
    use ordmap::DiffItem;
    match item {
        DiffItem::Add(name, _)
        | DiffItem::Remove(name, _)
        | DiffItem::Update { new: (name, _), .. } => name,
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for kind in Kind::ALL {
            for resource in self.resources(kind) {
                map.entry(
                    &format_args!("{kind}/{}", resource.name()),
                    &resource.version(),
                );
            }
            for name in self.withheld(kind) {
                map.entry(&format_args!("{kind}/{name}"), &"withheld");
            }
        }
        map.finish()
    }
}

#[cfg(test)]
mod tests;
