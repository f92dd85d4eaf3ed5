//! What must hold of a simulated Envoy at any time, and what excuses a server from it.

use std::time::Duration;

use super::{Cluster, Envoy, Target, WARM_LIMIT};
use crate::snapshot::{Kind, Snapshot};
use crate::xds::simulation::mesh::{named_by, target_of};
use crate::xds::testing::{Received, label};

impl Envoy {
    /// What must hold at any time.
    pub(in crate::xds::simulation) fn check(
        &mut self,
        now: Duration,
        snapshot: &Snapshot,
    ) -> Result<(), String> {
        self.forget_rejected(snapshot);
        let connected = self.connected;
        let is_late = |since: Duration| since.max(connected) + WARM_LIMIT <= now;
        for (name, warming) in self
            .warming
            .iter()
            .filter(|(_, warming)| is_late(warming.since))
        {
            if !self.has_rejected(Kind::Endpoint, name) && !self.kept.contains(name) {
                return Err(format!("cluster {name} warms since {:?}", warming.since));
            }
        }
        for ((kind, name), target) in &self.targets {
            let is_late = matches!(target, Target::Waiting { since } if is_late(*since));
            let is_excused = self.has_rejected(*kind, name) || self.is_left_over(*kind, name);
            if is_late && !is_excused {
                return Err(format!("a listener warms for {kind}/{name}"));
            }
        }
        self.check_routes(snapshot)
    }

    fn forget_rejected(&mut self, snapshot: &Snapshot) {
        for kind in [Kind::Cluster, Kind::Endpoint, Kind::Listener] {
            if self.rejected.iter().any(|(of, _)| *of == kind) {
                let has = self.has(kind);
                let is_used = |name: &str| {
                    let newest = snapshot.get(kind, name);
                    newest.is_some_and(|newest| has.get(name) == Some(&label(newest)))
                };
                self.rejected
                    .retain(|(of, name)| *of != kind || !is_used(name));
            }
        }
    }

    /// Whether no listener would still warm for these routes if the client had not rejected a newer one. They may be gone,
    /// and state of the world cannot say so: the client waits as long as it does (measured on Envoy 1.40).
    fn is_left_over(&self, kind: Kind, name: &str) -> bool {
        let mut waiting = self.warming_listeners.iter().filter(|(_, warming)| {
            let (of, target) = target_of(&warming.of);
            of == kind && target == name
        });
        waiting.all(|(listener, _)| self.has_rejected(Kind::Listener, listener))
    }

    /// No listener sends traffic to a cluster that is not there.
    fn check_routes(&mut self, snapshot: &Snapshot) -> Result<(), String> {
        let mut warming = self.warming.keys();
        let is_late = warming.any(|name| self.has_rejected(Kind::Endpoint, name));
        let mut warming = self.warming.keys();
        let is_slow = warming.any(|name| snapshot.is_withheld(Kind::Endpoint, name));
        if is_late || is_slow || self.is_held_up {
            self.late_clusters.clone_from(&self.untaken_clusters);
        }
        let is_unknown =
            |name: &str| self.kept.contains(name) && snapshot.is_withheld(Kind::Endpoint, name);
        // It asks for no cluster while one warms whose load assignment it rejects, or may have of an earlier stream while
        // nobody knows it, and for its routes all the same.
        let never_ends = is_late || self.warming.keys().any(|name| is_unknown(name));
        self.is_held_up |= !self.has_heard && never_ends;
        self.is_held_up &= !(self.has_heard && self.warming.is_empty());
        if !self.serves {
            let is_ready = self.warming.is_empty() && self.warming_listeners.is_empty();
            self.serves = is_ready && !self.listeners.is_empty();
            return Ok(());
        }
        for (listener, content) in &self.listeners {
            let (kind, name) = target_of(content);
            let Some(Target::Config(text)) = self.targets.get(&(kind, name.clone())) else {
                continue;
            };
            for cluster in named_by(text).filter(|cluster| !self.clusters.contains_key(*cluster)) {
                let is_warming = self.warming.contains_key(cluster);
                let is_gone = snapshot.get(Kind::Cluster, cluster).is_none();
                let is_excused = self.has_rejected(Kind::Cluster, cluster)
                    || is_gone && self.has_rejected(Kind::Listener, listener)
                    // Routes that it rejected it does not list when it comes back, and is sent them at once; and it goes
                    // by older ones, of a cluster that was gone and has yet to come back.
                    || (is_gone || is_warming || self.untaken_clusters.contains(cluster))
                        && self.has_rejected(kind, &name)
                    || !is_gone && self.is_held_up
                    // Without endpoints it would take no traffic either.
                    || snapshot.is_withheld(Kind::Endpoint, cluster)
                    || is_warming && self.is_sent_early(kind, &name, text, cluster)
                    || self.lost.contains(cluster)
                    // It rejected the response that would have ended the warming.
                    || is_warming && self.untaken.contains(cluster)
                    || self.late_clusters.contains(cluster);
                if !is_excused {
                    return Err(format!("{listener} sends to {cluster}, which is not there"));
                }
            }
        }
        Ok(())
    }

    /// Notes which routes are sent to a client while nobody knows the endpoints of a cluster that they name.
    pub(in crate::xds::simulation) fn note_sent(
        &mut self,
        kind: Kind,
        response: &Received,
        snapshot: &Snapshot,
    ) {
        for (name, text, _) in &response.resources {
            let key = (kind, name.clone(), text.clone());
            let unknown = named_by(text).filter(|name| snapshot.is_withheld(Kind::Endpoint, name));
            let unknown: Vec<_> = unknown.map(str::to_owned).collect();
            self.sent_early.insert(key, unknown);
        }
    }

    /// Whether these routes were sent while nobody knew the endpoints of this cluster, which has had none since.
    fn is_sent_early(&self, kind: Kind, name: &str, text: &str, cluster: &str) -> bool {
        let key = (kind, name.to_owned(), text.to_owned());
        let unknown = self.sent_early.get(&key);
        unknown.is_some_and(|unknown| unknown.iter().any(|name| name == cluster))
    }

    /// A cluster whose warming ends without endpoints takes the place of one that has some.
    pub(super) fn check_removal(
        &self,
        removed: &[String],
        snapshot: &Snapshot,
    ) -> Result<(), String> {
        let loses = |name: &&String| {
            let has = |cluster: &Cluster| cluster.endpoints.is_some();
            self.warming.contains_key(*name)
                && !self.kept_untold.contains(*name)
                && snapshot.get(Kind::Cluster, name).is_some()
                && self.clusters.get(*name).is_some_and(has)
                && !self.has_rejected(Kind::Endpoint, name)
        };
        match removed.iter().find(loses) {
            Some(name) => Err(format!("{name} loses its endpoints")),
            None => Ok(()),
        }
    }
}
