//! How many lists, of everything or of what has changed, each key is sent at one time: they are large, and may wait for long.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Lists that one key is sent at one time; one more is told so.
pub(super) const LISTS_OF_A_KEY: usize = 8;

/// The lists that are open, by the name of their key.
#[derive(Clone, Debug, Default)]
pub(super) struct Lists(Arc<Mutex<BTreeMap<String, usize>>>);

/// An open list, until it is dropped.
#[derive(Debug)]
pub(super) struct OpenList {
    lists: Lists,
    key: String,
}

impl Lists {
    /// Another list for a key; `None`: it has as many as it may.
    pub(super) fn open(&self, key: &str) -> Option<OpenList> {
        let mut lists = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let open = lists.get(key).copied().unwrap_or_default();
        if open >= LISTS_OF_A_KEY {
            return None;
        }
        lists.insert(key.to_owned(), open + 1);
        Some(OpenList {
            lists: self.clone(),
            key: key.to_owned(),
        })
    }
}

impl Drop for OpenList {
    fn drop(&mut self) {
        let lists = self.lists.0.lock();
        let mut lists = lists.unwrap_or_else(PoisonError::into_inner);
        match lists.get_mut(&self.key) {
            Some(open) if *open > 1 => *open -= 1,
            _ => drop(lists.remove(&self.key)),
        }
    }
}
