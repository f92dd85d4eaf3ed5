//! Who depends on whom, and how often a problem is told.

use std::collections::{BTreeMap, BTreeSet};

use super::Problem;

/// From a thing to all that depend on it.
#[derive(Debug)]
pub(crate) struct Index<K, V>(BTreeMap<K, BTreeSet<V>>);

impl<K, V> Default for Index<K, V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord, V: Ord> Index<K, V> {
    pub(crate) fn insert(&mut self, key: K, value: V) {
        self.0.entry(key).or_default().insert(value);
    }

    pub(crate) fn remove(&mut self, key: &K, value: &V) {
        if let Some(values) = self.0.get_mut(key) {
            values.remove(value);
            if values.is_empty() {
                self.0.remove(key);
            }
        }
    }

    pub(crate) fn of<'a>(&'a self, key: &K) -> impl Iterator<Item = &'a V> + use<'a, K, V> {
        self.0.get(key).into_iter().flatten()
    }
}

/// Problems in a stable order, each once, however many units tell it.
#[derive(Debug, Default)]
pub(crate) struct Problems(BTreeMap<Problem, usize>);

impl Problems {
    pub(crate) fn replace(&mut self, old: &[Problem], new: &[Problem]) {
        for problem in new {
            *self.0.entry(problem.clone()).or_default() += 1;
        }
        for problem in old {
            if let Some(count) = self.0.get_mut(problem) {
                *count -= 1;
                if *count == 0 {
                    self.0.remove(problem);
                }
            }
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.keys()
    }
}
