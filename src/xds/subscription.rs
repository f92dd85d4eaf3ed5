//! What a client asks for of one type: names, everything, or both.
//!
//! **Invariant:** an empty list means "everything" only as long as the client never named anything on this stream, and
//! only for listeners and clusters (xDS protocol, "How the client specifies what resources to return").

use std::mem;
use std::sync::Arc;

use xxhash_rust::xxh3::Xxh3;

use super::names::{NameSet, NameSets};
use super::traps::{self, Trap};
use crate::snapshot::{Kind, ResourceName, Snapshot};

/// The name that stands for all resources of a type.
pub(super) const WILDCARD: &str = "*";

#[derive(Debug, Default)]
pub(super) struct Subscription {
    /// Whether there was any request for the type on this stream.
    asked: bool,
    wildcard: bool,
    names: NameSet,
    /// Whether any SotW request named something, which ends the meaning of an empty list.
    named: bool,
    /// A hash of the newest SotW list: an ACK repeats thousands of names, and is told by it at once.
    list: u64,
    /// Names that stale SotW lists have left out since, sorted.
    left_out: Vec<ResourceName>,
}

/// What a request changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    /// It was the first for its type on the stream.
    pub(super) first: bool,
    /// The client wants everything, and did not before.
    pub(super) wildcard: bool,
    /// Names that the client asks for and did not get before.
    pub(super) added: Vec<ResourceName>,
    /// Names that the client asks for again: it may have forgotten what it was sent.
    pub(super) repeated: Vec<ResourceName>,
    /// Names that were asked for and no longer are.
    pub(super) dropped: Vec<ResourceName>,
    /// Whether it stopped asking for everything.
    pub(super) narrowed: bool,
}

impl Subscription {
    pub(super) fn is_asked(&self) -> bool {
        self.asked
    }

    pub(super) fn is_wildcard(&self) -> bool {
        self.wildcard
    }

    pub(super) fn names(&self) -> &NameSet {
        &self.names
    }

    pub(super) fn matches(&self, name: &str) -> bool {
        self.wildcard || self.names.contains(name)
    }

    /// Takes the list of a SotW request, which is all that the client wants from now on.
    pub(super) fn replace(
        &mut self,
        kind: Kind,
        list: &[String],
        snapshot: &Snapshot,
        sets: &NameSets,
    ) -> Change {
        let mut change = Change {
            first: !self.asked,
            ..Change::default()
        };
        let hash = hash_of(list);
        let left_out = mem::take(&mut self.left_out);
        if self.asked && hash == self.list && left_out.is_empty() {
            return change;
        }
        (self.asked, self.list) = (true, hash);
        self.named |= !list.is_empty();
        let any_empty = traps::active(Trap::EmptyListIsEverything) && list.is_empty();
        let legacy = !self.named && kind.is_wildcard() || any_empty;
        let wildcard = legacy || list.iter().any(|name| name == WILDCARD);
        change.wildcard = wildcard && !self.wildcard;
        change.narrowed = !wildcard && self.wildcard;
        let had_all = mem::replace(&mut self.wildcard, wildcard);
        let wanted = distinct(list);
        let own = |name: &str| match self.names.get(name) {
            Some(known) => Arc::clone(known),
            None => shared_name(kind, name, snapshot),
        };
        let names = sets.of(&wanted, own);
        let old = mem::replace(&mut self.names, names);
        change.dropped = old.without(&self.names);
        let news = if had_all {
            &mut change.repeated
        } else {
            &mut change.added
        };
        *news = self.names.without(&old);
        let is_back = |name: &ResourceName| self.names.contains(name);
        change.repeated.extend(left_out.into_iter().filter(is_back));
        change
    }

    /// Takes the list of a stale SotW request. What it leaves out stays subscribed; but if the next one that counts has it
    /// again, the client has forgotten it meanwhile.
    pub(super) fn leave_out(&mut self, list: &[String]) {
        if hash_of(list) == self.list {
            return;
        }
        let wanted = distinct(list);
        let is_out = |name: &&ResourceName| wanted.binary_search(&&***name).is_err();
        let out = self.names.iter().filter(is_out).cloned();
        self.left_out.extend(out);
        self.left_out.sort_unstable();
        self.left_out.dedup();
    }

    /// Takes what a delta request adds and drops.
    pub(super) fn update(
        &mut self,
        kind: Kind,
        subscribe: &[String],
        unsubscribe: &[String],
        snapshot: &Snapshot,
        sets: &NameSets,
    ) -> Change {
        let mut change = Change {
            first: !self.asked,
            ..Change::default()
        };
        self.asked = true;
        if subscribe.is_empty() && unsubscribe.is_empty() && !change.first {
            return change;
        }
        let had_all = self.wildcard;
        let star = |list: &[String]| list.iter().any(|name| name == WILDCARD);
        let legacy =
            change.first && kind.is_wildcard() && subscribe.is_empty() && unsubscribe.is_empty();
        // Both at once is how a client says that it wants nothing yet; an empty first request would mean everything.
        if star(unsubscribe) {
            change.narrowed = self.wildcard;
            self.wildcard = false;
        } else if legacy || star(subscribe) {
            change.wildcard = !self.wildcard;
            self.wildcard = true;
        }
        // A name in both lists stays subscribed: data keeps flowing.
        let (subscribe, mut unsubscribe) = (distinct(subscribe), distinct(unsubscribe));
        unsubscribe.retain(|_| !traps::active(Trap::WatchIsLeaked));
        let dropped = unsubscribe.iter().filter_map(|name| self.names.get(name));
        let dropped = dropped.filter(|name| subscribe.binary_search(&&***name).is_err());
        change.dropped = dropped.cloned().collect();
        let is_new = |name: &&str| !self.names.contains(name);
        let (new, known): (Vec<&str>, Vec<&str>) = subscribe.into_iter().partition(is_new);
        let own = |name: &str| shared_name(kind, name, snapshot);
        let names = sets.changed(&self.names, &new, &change.dropped, own);
        self.names = names;
        let own = |name: &&str| self.names.get(name).cloned();
        change.repeated = known.iter().filter_map(own).collect();
        let news = if had_all {
            &mut change.repeated
        } else {
            &mut change.added
        };
        if new.len() == self.names.len() {
            news.extend(self.names.iter().cloned());
        } else {
            news.extend(new.iter().filter_map(own));
        }
        change
    }
}

/// The names of a list, each once, sorted.
fn distinct(list: &[String]) -> Vec<&str> {
    let names = list.iter().map(String::as_str);
    let mut names: Vec<_> = names.filter(|name| *name != WILDCARD).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// The snapshot's own copy of a name, so that streams share it.
fn shared_name(kind: Kind, name: &str, snapshot: &Snapshot) -> ResourceName {
    match snapshot.get(kind, name) {
        Some(resource) => Arc::clone(resource.name()),
        None => name.into(),
    }
}

fn hash_of(list: &[String]) -> u64 {
    let mut hash = Xxh3::new();
    for name in list {
        hash.update(&name.len().to_le_bytes());
        hash.update(name.as_bytes());
    }
    hash.digest()
}
