//! All endpoints at one moment, in persistent maps: a clone is cheap, and two tables are compared by what differs.

use imbl::OrdMap;
use imbl::ordmap::DiffItem;

use super::{EndpointSet, EndpointSource, NodeKey, RegisteredSet};

/// Every source's endpoints, and those that are registered for single nodes, which are used instead.
///
/// A source that is absent counts as [`EndpointSet::Unresolved`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointTable {
    discovered: OrdMap<EndpointSource, EndpointSet>,
    registered: OrdMap<NodeKey, RegisteredSet>,
}

impl EndpointTable {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn get(&self, source: &EndpointSource) -> Option<&EndpointSet> {
        self.discovered.get(source)
    }

    pub fn contains_key(&self, source: &EndpointSource) -> bool {
        self.discovered.contains_key(source)
    }

    /// Returns what was there.
    pub fn insert(&mut self, source: EndpointSource, set: EndpointSet) -> Option<EndpointSet> {
        self.discovered.insert(source, set)
    }

    /// Returns what was there.
    pub fn remove(&mut self, source: &EndpointSource) -> Option<EndpointSet> {
        self.discovered.remove(source)
    }

    /// How many sources there are.
    pub fn len(&self) -> usize {
        self.discovered.len()
    }

    pub fn is_empty(&self) -> bool {
        self.discovered.is_empty() && self.registered.is_empty()
    }

    /// The sources, sorted.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &EndpointSource> {
        self.discovered.keys()
    }

    /// What is known of each source.
    pub fn values(&self) -> impl Iterator<Item = &EndpointSet> {
        self.discovered.values()
    }

    /// What is registered for a node; `None`: its discovery counts.
    pub fn registered(&self, node: &NodeKey) -> Option<&RegisteredSet> {
        self.registered.get(node)
    }

    /// Takes what is registered for a node now, if anything. False if that is no change.
    pub fn register(&mut self, node: &NodeKey, set: Option<&RegisteredSet>) -> bool {
        if self.registered.get(node) == set {
            return false;
        }
        match set {
            Some(set) => drop(self.registered.insert(node.clone(), set.clone())),
            None => drop(self.registered.remove(node)),
        }
        true
    }

    /// The sources whose endpoints came, changed or went since `older`, sorted. Each is looked for when it is asked for.
    pub fn changed_sources<'a>(
        &'a self,
        older: &'a Self,
    ) -> impl Iterator<Item = &'a EndpointSource> {
        changed_keys(&older.discovered, &self.discovered)
    }

    /// The same of nodes, by what is registered for them.
    pub fn changed_registrations<'a>(
        &'a self,
        older: &'a Self,
    ) -> impl Iterator<Item = &'a NodeKey> {
        changed_keys(&older.registered, &self.registered)
    }
}

impl FromIterator<(EndpointSource, EndpointSet)> for EndpointTable {
    fn from_iter<I: IntoIterator<Item = (EndpointSource, EndpointSet)>>(sources: I) -> Self {
        Self {
            discovered: sources.into_iter().collect(),
            registered: OrdMap::new(),
        }
    }
}

fn changed_keys<'a, K: Ord, V: PartialEq>(
    older: &'a OrdMap<K, V>,
    newer: &'a OrdMap<K, V>,
) -> impl Iterator<Item = &'a K> {
    older.diff(newer).map(|item| match item {
        DiffItem::Add(key, _)
        | DiffItem::Remove(key, _)
        | DiffItem::Update { new: (key, _), .. } => key,
    })
}
