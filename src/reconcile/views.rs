//! The views as published: one `watch` channel for each.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::watch;

use crate::model::{NodeRef, ViewKey};
use crate::translate::View;

/// What a view's streams are to have.
#[derive(Clone, Debug)]
pub struct Published {
    pub view: View,
    /// When the change that led here was seen.
    pub changed_at: Instant,
}

/// Handle to every published view.
///
/// The lock is held for look-ups only, never across an await.
#[derive(Clone, Debug, Default)]
pub struct Views {
    channels: Arc<Mutex<HashMap<ViewKey, watch::Sender<Option<Published>>>>>,
}

impl Views {
    /// The view as it changes; `None` until it has been translated.
    ///
    /// The key must be among the connected ones ([`crate::clients`]), or nothing is ever translated for it.
    pub fn subscribe(&self, key: &ViewKey) -> watch::Receiver<Option<Published>> {
        let mut channels = self.lock();
        let sender = channels.entry(key.clone()).or_insert_with(|| watch::Sender::new(None));
        sender.subscribe()
    }

    /// What is published for the views of a node, each with its key.
    pub fn of_node(&self, node: &NodeRef) -> Vec<(ViewKey, View)> {
        let channels = self.lock();
        let mut views: Vec<_> = channels
            .iter()
            .filter(|(key, _)| key.node == *node)
            .filter_map(|(key, sender)| Some((key.clone(), sender.borrow().as_ref()?.view.clone())))
            .collect();
        views.sort_by(|a, b| a.0.cmp(&b.0));
        views
    }

    pub(super) fn for_each(&self, mut visit: impl FnMut(&View)) {
        for sender in self.lock().values() {
            if let Some(published) = sender.borrow().as_ref() {
                visit(&published.view);
            }
        }
    }

    /// Publishes a view, or takes one back that nobody is connected for any more.
    pub(super) fn publish(&self, key: &ViewKey, view: Option<View>, changed_at: Instant) {
        let mut channels = self.lock();
        let Some(view) = view else {
            // A stream that has just come for the same key keeps its channel and waits for the next translation.
            match channels.get(key) {
                Some(sender) if sender.receiver_count() > 0 => drop(sender.send_replace(None)),
                _ => drop(channels.remove(key)),
            }
            return;
        };
        let sender = channels.entry(key.clone()).or_insert_with(|| watch::Sender::new(None));
        sender.send_replace(Some(Published { view, changed_at }));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ViewKey, watch::Sender<Option<Published>>>> {
        // Nothing can panic while the map is locked, so what a poisoned lock guards is whole.
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
