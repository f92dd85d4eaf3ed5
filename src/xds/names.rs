//! Sets of subscribed names, shared by all streams that subscribe to the same.
//!
//! Replicas ask for the same names, a thousand of them in a full mesh: one list serves them all. A set never changes; a
//! stream that subscribes to more moves on to another set, which the first of its kind builds and the others find.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::snapshot::ResourceName;

/// A box of its own, so that one who only remembers that there was a set does not keep the memory of its names.
type Names = Arc<Box<[ResourceName]>>;

/// Names, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct NameSet {
    names: Names,
    fingerprint: Fingerprint,
}

/// Which names a set holds: a sum of keyed hashes, so that a change of the set costs as much as the change.
///
/// The key is drawn anew in each process, so that no client can make two sets look the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Fingerprint(u64);

impl NameSet {
    pub(super) fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The set's own copy of a name.
    pub(super) fn get(&self, name: &str) -> Option<&ResourceName> {
        let place = self.names.binary_search_by(|known| (**known).cmp(name));
        self.names.get(place.ok()?)
    }

    pub(super) fn as_slice(&self) -> &[ResourceName] {
        &self.names
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &ResourceName> {
        self.names.iter()
    }

    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The names of this set that another does not have, sorted.
    pub(super) fn without(&self, other: &Self) -> Vec<ResourceName> {
        if Arc::ptr_eq(&self.names, &other.names) {
            return Vec::new();
        }
        let mut others = other.iter().peekable();
        let is_new = |name: &&ResourceName| {
            while others.next_if(|other| other < name).is_some() {}
            others.peek() != Some(name)
        };
        self.iter().filter(is_new).cloned().collect()
    }
}

/// The sets that streams have now. They share them through this; nothing else about a stream depends on it.
#[derive(Debug, Default)]
pub struct NameSets {
    key: RandomState,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    sets: HashMap<Fingerprint, Weak<Box<[ResourceName]>>>,
    /// Entries at which the dead ones are swept out.
    sweep_at: usize,
}

impl NameSets {
    /// A set of these names. `own` makes a shared copy of a name.
    pub(super) fn of(&self, names: &[&str], own: impl Fn(&str) -> ResourceName) -> NameSet {
        self.changed(&NameSet::default(), names, &[], own)
    }

    /// A set with some names more, and some less. Those more are not in it, those less are, sorted, and none
    /// is there twice.
    pub(super) fn changed(
        &self,
        set: &NameSet,
        more: &[&str],
        less: &[ResourceName],
        own: impl Fn(&str) -> ResourceName,
    ) -> NameSet {
        let Fingerprint(mut sum) = set.fingerprint;
        for name in more {
            sum = sum.wrapping_add(self.key.hash_one(name));
        }
        for name in less {
            sum = sum.wrapping_sub(self.key.hash_one(&**name));
        }
        let fingerprint = Fingerprint(sum);
        let len = set.len() + more.len() - less.len();
        let names = self.find(fingerprint, len).unwrap_or_else(|| {
            let is_kept = |name: &&ResourceName| less.binary_search(name).is_err();
            let kept = set.iter().filter(is_kept).cloned();
            let mut names: Vec<_> = kept.chain(more.iter().map(|name| own(name))).collect();
            names.sort_unstable();
            self.keep(fingerprint, Arc::new(names.into()))
        });
        NameSet { names, fingerprint }
    }

    fn find(&self, fingerprint: Fingerprint, len: usize) -> Option<Names> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known.sets.get(&fingerprint)?.upgrade()?;
        (found.len() == len).then_some(found)
    }

    fn keep(&self, fingerprint: Fingerprint, names: Names) -> Names {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.sets.len() >= known.sweep_at {
            known.sets.retain(|_, names| names.strong_count() > 0);
            known.sweep_at = (known.sets.len() * 2).max(1024);
        }
        known.sets.insert(fingerprint, Arc::downgrade(&names));
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(set: &NameSet) -> Vec<&str> {
        set.iter().map(|name| &**name).collect()
    }

    #[test]
    fn equal_sets_are_one_however_they_came_about() {
        let sets = NameSets::default();
        let all = sets.of(&["c", "a", "b"], |name| name.into());
        let some = sets.of(&["b", "d"], |name| name.into());
        let less = ["d"].map(ResourceName::from);
        let changed = sets.changed(&some, &["c", "a"], &less, |name| name.into());
        assert_eq!(texts(&changed), ["a", "b", "c"]);
        assert!(Arc::ptr_eq(&all.names, &changed.names));
        assert_ne!(all, some);
    }

    #[test]
    fn a_set_lives_as_long_as_a_stream_has_it() {
        let sets = NameSets::default();
        for n in 0..5000 {
            let set = sets.of(&[&format!("name-{n}")], |name| name.into());
            assert_eq!(set.len(), 1);
        }
        assert!(sets.known.lock().unwrap().sets.len() <= 1024);
    }

    #[test]
    fn without_is_the_difference() {
        let sets = NameSets::default();
        let of = |names: &[&str]| sets.of(names, |name| name.into());
        for (a, b, expected) in [
            (&["a", "b", "c"][..], &["b"][..], &["a", "c"][..]),
            (&["a"], &[], &["a"]),
            (&[], &["a"], &[]),
            (&["b", "d"], &["a", "b", "c", "e"], &["d"]),
            (&["a", "b"], &["a", "b"], &[]),
        ] {
            let difference = of(a).without(&of(b));
            let difference: Vec<_> = difference.iter().map(|name| &**name).collect();
            assert_eq!(difference, expected, "{a:?} without {b:?}");
        }
    }
}
