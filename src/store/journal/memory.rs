//! A journal that lasts as long as the process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Batch, CommitError, FileFact, Journal, Kept, LoadError, Loaded, Remembered};
use crate::model::ResourceId;
use crate::store::{Revision, ServerId};

/// Clones share what they keep: one is a store's, another shows what the next store would find.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    kept: Arc<Mutex<Everything>>,
}

#[derive(Debug, Default)]
struct Everything {
    revision: Revision,
    resources: BTreeMap<ResourceId, Kept>,
    files: BTreeMap<ResourceId, FileFact>,
    tokens: BTreeMap<String, Remembered>,
    server: Option<ServerId>,
}

impl Journal for Memory {
    fn load(&mut self) -> Result<Loaded, LoadError> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Loaded {
            revision: kept.revision,
            resources: all(&kept.resources),
            files: all(&kept.files),
            tokens: all(&kept.tokens),
        })
    }

    fn server_id(&mut self) -> Result<ServerId, LoadError> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(*kept.server.get_or_insert_with(ServerId::make))
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), CommitError> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.revision = batch.revision;
        change(&mut kept.resources, &batch.resources);
        change(&mut kept.files, &batch.files);
        change(&mut kept.tokens, &batch.tokens);
        Ok(())
    }
}

fn all<K: Clone, V: Clone>(map: &BTreeMap<K, V>) -> Vec<(K, V)> {
    map.iter().map(|(k, v)| (k.clone(), v.clone())).collect()
}

fn change<K: Ord + Clone, V: Clone>(map: &mut BTreeMap<K, V>, changes: &[(K, Option<V>)]) {
    for (key, value) in changes {
        match value {
            Some(value) => drop(map.insert(key.clone(), value.clone())),
            None => drop(map.remove(key)),
        }
    }
}
