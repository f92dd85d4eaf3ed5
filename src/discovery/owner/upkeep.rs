//! What the owner does besides answers: counts, tells what is in trouble, and has the last good answers written.

use tokio::time::Instant;
use tracing::warn;

use super::Owner;
use crate::discovery::saved::{Clocks, SavedSource};
use crate::discovery::trouble::{self, Trouble};
use crate::model::endpoint::EndpointSource;

impl Owner {
    pub(super) fn measure(&mut self, now: Instant) {
        let sources = self.followed.values();
        let oldest = sources.filter_map(|one| one.state.oldest()).min();
        let age = oldest.map(|at| now.saturating_duration_since(at).as_secs_f64());
        self.metrics.oldest_age(age.unwrap_or_default());
        let sources = self.followed.values();
        self.metrics.sources(sources.map(|one| one.state.state()));
        self.ready.set_degraded("DNS", self.trouble(now));
        self.resolver.follow_system();
        if !self.loaded.is_empty() && now >= self.forget_loaded_at {
            self.loaded.clear();
        }
    }

    fn trouble(&self, now: Instant) -> Option<String> {
        let sources = self.followed.values();
        // A first look-up that is under way is no trouble yet.
        let looked_up = sources.filter(|one| one.state.is_known() || one.state.error().is_some());
        let troubles = looked_up.filter_map(|followed| {
            let EndpointSource::Dns { hostname, .. } = &followed.source;
            let oldest = followed.state.oldest();
            Some(Trouble {
                hostname,
                state: followed.state.state().trouble()?,
                age: oldest.map(|at| now.saturating_duration_since(at)),
                error: followed.state.error(),
            })
        });
        trouble::report(troubles.collect(), self.followed.len())
    }

    /// Everything that a later process could use.
    fn savable(&self) -> Vec<SavedSource> {
        let clocks = Clocks::now();
        let followed = self.followed.values();
        let followed = followed.filter_map(|one| one.state.saved(&one.source, clocks));
        let mut sources: Vec<_> = followed.chain(self.loaded.values().cloned()).collect();
        sources.sort_by(|one, other| {
            (&one.hostname, one.preference).cmp(&(&other.hostname, other.preference))
        });
        sources
    }

    pub(super) fn save(&mut self, now: Instant) {
        let sources = self.savable();
        if let Some(saver) = &mut self.saver {
            saver.write(sources, now);
        }
    }

    pub(super) fn written(&self, written: Result<(), String>) {
        self.metrics.saved(written.is_ok());
        let problem = written.err();
        if let Some(problem) = &problem {
            warn!("{problem}; a restart during an outage of DNS would lose what changed since");
        }
        self.ready.set_degraded("DNS answers on disk", problem);
    }

    /// Writes what is not on disk yet, before the end.
    pub(super) async fn save_all(&mut self) {
        while let Some(saver) = &mut self.saver {
            if saver.is_writing() {
                let written = saver.written().await;
                let failed = written.is_err();
                self.written(written);
                if failed {
                    return;
                }
            } else if saver.due().is_some() {
                self.save(Instant::now());
            } else {
                return;
            }
        }
    }
}
