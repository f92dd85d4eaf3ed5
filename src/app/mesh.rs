//! Brings what the mesh files declare into the store, and says what is wrong with them.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::files::{LoadError, Loaded, MeshFiles, Report};
use crate::model::ResourceKind;
use crate::model::problem::Severity;
use crate::store::Store;
use crate::telemetry::metrics::Reload;
use crate::telemetry::{Metrics, Ready};

/// What readiness calls the mesh files.
const WHAT: &str = "mesh files";
/// Problems that readiness repeats; the log has all.
const SHOWN: usize = 5;

/// Loads the files and follows their changes until stopped.
pub(super) async fn follow(
    paths: Vec<std::path::PathBuf>,
    mut sink: Sink,
    stop: CancellationToken,
) {
    let mut unready = Some(sink.ready.register(WHAT));
    let mut files = MeshFiles::new(paths);
    let loaded = tokio::select! {
        () = stop.cancelled() => return,
        loaded = files.load_once() => loaded,
    };
    let (latest, mut outcomes) = watch::channel(Arc::new(loaded));
    let taking = async {
        loop {
            let outcome = Arc::clone(&outcomes.borrow_and_update());
            let seen_at = Instant::now();
            // A large mesh takes longer to compare and count than a runtime thread is to be kept.
            let taking = spawn_blocking(move || (sink.take(&outcome, seen_at), sink));
            let Ok((taken, returned)) = taking.await else {
                return;
            };
            sink = returned;
            if taken {
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
    /// Takes a load that went well into the store; keeps the last good model otherwise.
    ///
    /// Returns whether the files were taken.
    pub(super) fn take(&self, loaded: &Result<Loaded, LoadError>, seen_at: Instant) -> bool {
        let failure = match loaded {
            Ok(loaded) => {
                report(&loaded.reports);
                let errors = loaded.errors();
                self.metrics
                    .set_mesh_problems(errors, loaded.reports.len() - errors);
                loaded
                    .model()
                    .map_err(|invalid| summary(&invalid.to_string(), &loaded.reports))
            }
            Err(error) => Err(error.to_string()),
        };
        match failure {
            Ok(model) => {
                for kind in ResourceKind::ALL {
                    self.metrics.set_model_resources(kind, model.count(kind));
                }
                // The same model again: a comment was edited, say.
                if let Some(revision) = self.store.replace_files(model, seen_at) {
                    info!(%revision, "mesh files loaded");
                }
                self.metrics.mesh_reloaded(Reload::Applied);
                self.ready.set_degraded(WHAT, None);
                true
            }
            Err(problem) => {
                let served = if self.store.watch().borrow().changed_at.is_some() {
                    "the last good model stays"
                } else {
                    "nothing is served until they are"
                };
                error!("mesh files not taken, {served}: {problem}");
                self.metrics.mesh_reloaded(Reload::Failed);
                self.ready
                    .set_degraded(WHAT, Some(format!("not taken, {served}: {problem}")));
                false
            }
        }
    }
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
