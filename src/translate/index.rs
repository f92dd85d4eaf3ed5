//! Who depends on whom, and which problems are told.

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
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

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
pub(crate) struct Problems {
    /// How many units tell each.
    told: BTreeMap<Problem, usize>,
    /// What may have come or gone lately, and whether it was there before.
    touched: BTreeMap<Problem, bool>,
}

impl Problems {
    pub(crate) fn replace(&mut self, old: &[Problem], new: &[Problem]) {
        if old == new {
            return;
        }
        for problem in new {
            let count = self.told.entry(problem.clone()).or_default();
            if *count == 0 {
                self.touched.entry(problem.clone()).or_insert(false);
            }
            *count += 1;
        }
        for problem in old {
            if let Some(count) = self.told.get_mut(problem) {
                *count -= 1;
                if *count == 0 {
                    self.told.remove(problem);
                    self.touched.entry(problem.clone()).or_insert(true);
                }
            }
        }
    }

    /// What came and went from here on is what changed.
    pub(crate) fn forget_changes(&mut self) {
        self.touched.clear();
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.told.keys()
    }

    /// What is told now and was not before.
    pub(crate) fn appeared(&self) -> impl Iterator<Item = &Problem> {
        self.changed(false)
    }

    /// What was told before and no longer is.
    pub(crate) fn mended(&self) -> impl Iterator<Item = &Problem> {
        self.changed(true)
    }

    fn changed(&self, was_there: bool) -> impl Iterator<Item = &Problem> {
        let changed = move |(problem, before): &(&Problem, &bool)| {
            **before == was_there && self.told.contains_key(*problem) != was_there
        };
        let touched = self.touched.iter().filter(changed);
        touched.map(|(problem, _)| problem)
    }
}
