//! The views as published: one `watch` channel for each.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::watch;

use crate::model::{NodeRef, ViewKey};
use crate::snapshot::{Kind, PerKind};
use crate::translate::View;

/// What a view's streams are to have.
#[derive(Clone, Debug)]
pub struct Published {
    pub view: View,
    /// When the change that led here was seen.
    pub changed_at: Instant,
}

/// One stream's view of what is published for its key.
///
/// Dropping it forgets a channel that nobody else reads and nothing is published on: the key of a client that leaves
/// at once may never be translated, so that nobody would take its view back.
#[derive(Debug)]
pub struct Subscription {
    receiver: watch::Receiver<Option<Published>>,
    views: Views,
    key: ViewKey,
}

impl Subscription {
    /// The view as it changes; `None` as long as it has not been translated.
    pub fn watch(&mut self) -> &mut watch::Receiver<Option<Published>> {
        &mut self.receiver
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut inner = self.views.lock();
        // The receiver that is being dropped is among those counted. None joins while the map is locked.
        let is_unused = inner
            .channels
            .get(&self.key)
            .is_some_and(|sender| sender.receiver_count() <= 1 && sender.borrow().is_none());
        if is_unused {
            inner.channels.remove(&self.key);
        }
    }
}

/// Handle to every published view.
///
/// The lock is held for look-ups only, never across an await.
#[derive(Clone, Debug, Default)]
pub struct Views(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    channels: HashMap<ViewKey, watch::Sender<Option<Published>>>,
    /// How many resources all published views have together.
    resources: PerKind<usize>,
}

impl Views {
    /// The view as it changes; `None` until it has been translated.
    ///
    /// The key must be among the connected ones ([`crate::clients`]), or nothing is ever translated for it.
    pub fn subscribe(&self, key: &ViewKey) -> Subscription {
        let mut inner = self.lock();
        let sender = inner
            .channels
            .entry(key.clone())
            .or_insert_with(|| watch::Sender::new(None));
        Subscription {
            receiver: sender.subscribe(),
            views: self.clone(),
            key: key.clone(),
        }
    }

    /// What is published for the views of a node, each with its key.
    pub fn of_node(&self, node: &NodeRef) -> Vec<(ViewKey, View)> {
        let inner = self.lock();
        let mut views: Vec<_> = inner
            .channels
            .iter()
            .filter(|(key, _)| key.node == *node)
            .filter_map(|(key, sender)| Some((key.clone(), sender.borrow().as_ref()?.view.clone())))
            .collect();
        views.sort_by(|a, b| a.0.cmp(&b.0));
        views
    }

    /// How many resources of a kind all published views have together.
    pub(super) fn resources(&self, kind: Kind) -> usize {
        self.lock().resources[kind]
    }

    /// Publishes a view, or takes one back that nobody is connected for any more.
    ///
    /// The task of [`super::run`] does that; whoever serves without it publishes views itself.
    pub fn publish(&self, key: &ViewKey, view: Option<View>, changed_at: Instant) {
        let mut guard = self.lock();
        let Inner {
            channels,
            resources,
        } = &mut *guard;
        let count = |view: Option<&View>, kind| match view {
            Some(View::Serving(snapshot)) => snapshot.len(kind),
            Some(View::NotFound | View::Unsupported(_)) | None => 0,
        };
        let added = PerKind::from_fn(|kind| count(view.as_ref(), kind));
        let old = if let Some(view) = view {
            let sender = channels
                .entry(key.clone())
                .or_insert_with(|| watch::Sender::new(None));
            sender.send_replace(Some(Published { view, changed_at }))
        } else {
            // A stream that has just come for the same key keeps its channel and waits for the next translation.
            match channels.get(key) {
                Some(sender) if sender.receiver_count() > 0 => sender.send_replace(None),
                _ => channels
                    .remove(key)
                    .and_then(|sender| sender.send_replace(None)),
            }
        };
        let old = old.map(|old| old.view);
        for kind in Kind::ALL {
            resources[kind] = resources[kind] + added[kind] - count(old.as_ref(), kind);
        }
        drop(guard);
        // The last handle on a large view takes a while to go: not under the lock.
        drop(old);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing can panic while the map is locked, so what a poisoned lock guards is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use envoy_types::pb::envoy::config::cluster::v3::Cluster;

    use super::*;
    use crate::model::{Capture, ClientKind};
    use crate::snapshot::{Resource, Snapshot};

    fn key() -> ViewKey {
        ViewKey {
            node: NodeRef::parse("mesh/m/virtualNode/n").unwrap(),
            capture: Capture::Redirect,
            client: ClientKind::Envoy,
        }
    }

    // Such a client's key may never be translated, so nobody would ever take its view back.
    #[test]
    fn a_client_that_leaves_at_once_leaves_nothing_behind() {
        let views = Views::default();
        let (one, other) = (views.subscribe(&key()), views.subscribe(&key()));
        drop(one);
        assert_eq!(views.lock().channels.len(), 1);
        drop(other);
        assert_eq!(views.lock().channels.len(), 0);
    }

    #[test]
    fn a_view_that_is_taken_back_before_its_last_stream_ends_leaves_nothing_behind() {
        let views = Views::default();
        let stream = views.subscribe(&key());
        views.publish(&key(), Some(View::NotFound), Instant::now());
        views.publish(&key(), None, Instant::now());
        drop(stream);
        assert_eq!(views.lock().channels.len(), 0);
    }

    #[test]
    fn resources_are_counted_as_views_come_change_and_go() {
        let views = Views::default();
        let view = |names: &[&str]| {
            let mut snapshot = Snapshot::default();
            for name in names {
                let cluster = Cluster {
                    name: String::from(*name),
                    ..Cluster::default()
                };
                let cluster = Resource::new(Kind::Cluster, (*name).into(), &cluster, None);
                snapshot.insert(Arc::new(cluster));
            }
            Some(View::Serving(Arc::new(snapshot)))
        };
        let other = ViewKey {
            client: ClientKind::Grpc,
            ..key()
        };
        let mut counts = Vec::new();
        for (key, view) in [
            (key(), view(&["a", "b"])),
            (other, view(&["a"])),
            (key(), view(&["a", "b", "c"])),
            (key(), Some(View::NotFound)),
            (key(), None),
        ] {
            views.publish(&key, view, Instant::now());
            counts.push(views.resources(Kind::Cluster));
        }
        assert_eq!(counts, [2, 3, 4, 1, 1]);
    }

    #[test]
    fn a_published_view_outlives_its_streams_until_it_is_taken_back() {
        let views = Views::default();
        let stream = views.subscribe(&key());
        views.publish(&key(), Some(View::NotFound), Instant::now());
        drop(stream);
        assert_eq!(views.of_node(&key().node).len(), 1);
        views.publish(&key(), None, Instant::now());
        assert_eq!(views.lock().channels.len(), 0);
    }
}
