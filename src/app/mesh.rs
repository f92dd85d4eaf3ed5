//! Brings what the mesh files declare into the store, and says what is wrong with them.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::files::{MeshFiles, Outcome, Report};
use crate::model::problem::Severity;
use crate::store::{Files, Revision, Store};
use crate::telemetry::metrics::Reload;
use crate::telemetry::{Metrics, Ready};

/// What readiness calls the mesh files.
const WHAT: &str = "mesh files";
/// Problems that readiness repeats; the log has all.
const SHOWN: usize = 5;

/// How soon files that the store could not take are tried again.
const RETRY_PACE: Duration = Duration::from_secs(5);

/// Loads the files and follows their changes until stopped.
pub(super) async fn follow(paths: Vec<std::path::PathBuf>, sink: Sink, stop: CancellationToken) {
    let mut unready = Some(sink.ready.register(WHAT));
    let mut files = MeshFiles::new(paths);
    let loaded = tokio::select! {
        () = stop.cancelled() => return,
        loaded = files.load_once() => loaded,
    };
    let (latest, mut outcomes) = watch::channel(Arc::new(loaded));
    let taking = async {
        loop {
            if sink.take(&mut outcomes).await {
                drop(unready.take());
            }
            if outcomes.changed().await.is_err() {
                return;
            }
        }
    };
    // What is taken ends first only if it fails; then the program is told.
    tokio::select! {
        () = files.run(latest, stop) => {}
        () = taking => {}
    }
}

/// Where the outcome of a load goes.
#[derive(Debug)]
pub(super) struct Sink {
    pub(super) store: Store,
    pub(super) metrics: Metrics,
    pub(super) ready: Ready,
}

impl Sink {
    /// Takes the newest load into the store if it went well, and the last good model stays otherwise. What the store cannot
    /// keep is tried again until there is a newer load.
    ///
    /// Returns whether the files were taken.
    async fn take(&self, newest: &mut watch::Receiver<Arc<Outcome>>) -> bool {
        let (loaded, seen_at) = (Arc::clone(&newest.borrow_and_update()), Instant::now());
        let metrics = self.metrics.clone();
        // A large mesh takes longer to go through than a runtime thread is to be kept.
        let checked = spawn_blocking(move || declared(&loaded, &metrics)).await;
        let files = match checked.unwrap_or_else(|error| Err(error.to_string())) {
            Ok(files) => files,
            Err(problem) => {
                self.not_taken(&problem);
                return false;
            }
        };
        let mut said = String::new();
        loop {
            match self.store.replace_files(files.clone(), seen_at).await {
                Ok(revision) => {
                    self.taken(revision);
                    return true;
                }
                Err(error) => {
                    let failure = chain(&error);
                    if failure != said {
                        self.not_taken(&failure);
                        said = failure;
                    }
                }
            }
            match timeout(RETRY_PACE, newest.changed()).await {
                Err(_) => {}
                Ok(Err(_)) => return false,
                Ok(Ok(())) => {
                    newest.mark_changed();
                    return false;
                }
            }
        }
    }

    fn taken(&self, revision: Option<Revision>) {
        // The same content again: a comment was edited, say.
        if let Some(revision) = revision {
            info!(%revision, "mesh files loaded");
        }
        self.metrics.mesh_reloaded(Reload::Applied);
        self.ready.set_degraded(WHAT, None);
    }

    fn not_taken(&self, failure: &str) {
        let served = if self.store.current().changed_at.is_some() {
            "the last good model stays"
        } else {
            "nothing is served until they are"
        };
        error!("mesh files not taken, {served}: {failure}");
        self.metrics.mesh_reloaded(Reload::Failed);
        self.ready
            .set_degraded(WHAT, Some(format!("not taken, {served}: {failure}")));
    }
}

/// What the files declare, or why they are not taken.
fn declared(loaded: &Outcome, metrics: &Metrics) -> Result<Files, String> {
    let loaded = loaded.as_ref().map_err(ToString::to_string)?;
    report(&loaded.reports);
    let errors = loaded.errors();
    metrics.set_mesh_problems(errors, loaded.reports.len() - errors);
    loaded
        .declared()
        .map_err(|invalid| summary(&invalid.to_string(), &loaded.reports))
}

/// An error and what led to it.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    let causes = causes.map(|cause| format!(": {cause}"));
    std::iter::once(error.to_string()).chain(causes).collect()
}

fn report(reports: &[Report]) {
    for report in reports {
        match report.severity() {
            Severity::Error => error!("{}", report.line()),
            Severity::Warning => warn!("{}", report.line()),
        }
    }
}

fn summary(headline: &str, reports: &[Report]) -> String {
    let errors = reports
        .iter()
        .filter(|report| report.severity() == Severity::Error);
    let lines = errors
        .take(SHOWN)
        .map(|report| format!("\n  {}", report.line()));
    std::iter::once(headline.to_owned()).chain(lines).collect()
}
