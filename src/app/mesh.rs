//! Brings what the mesh files declare into the store, and says what is wrong with them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::files::{LoadError, Loaded, MeshFiles, Report};
use crate::model::problem::Severity;
use crate::store::{Files, Store};
use crate::telemetry::metrics::Reload;
use crate::telemetry::{Metrics, Ready};

/// What readiness calls the mesh files.
const WHAT: &str = "mesh files";
/// Problems that readiness repeats; the log has all.
const SHOWN: usize = 5;

/// How soon files that the store could not take are tried again.
const RETRY_PACE: Duration = Duration::from_secs(5);

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
            if sink.take(outcome, Instant::now()).await {
                drop(unready.take());
            }
            // Whoever could not be kept is tried again, until there is something newer.
            let changed = if sink.is_unkept {
                timeout(RETRY_PACE, outcomes.changed()).await
            } else {
                Ok(outcomes.changed().await)
            };
            if matches!(changed, Ok(Err(_))) {
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
    /// Whether the newest files are in order and the store could not keep what goes with them.
    pub(super) is_unkept: bool,
}

impl Sink {
    /// Takes a load that went well into the store; keeps the last good model otherwise.
    ///
    /// Returns whether the files were taken.
    pub(super) async fn take(
        &mut self,
        loaded: Arc<Result<Loaded, LoadError>>,
        seen_at: Instant,
    ) -> bool {
        self.is_unkept = false;
        let metrics = self.metrics.clone();
        // A large mesh takes longer to go through than a runtime thread is to be kept.
        let checked = spawn_blocking(move || declared(&loaded, &metrics)).await;
        let failure = match checked {
            Ok(Ok(files)) => match self.store.replace_files(files, seen_at).await {
                Ok(revision) => {
                    // The same content again: a comment was edited, say.
                    if let Some(revision) = revision {
                        info!(%revision, "mesh files loaded");
                    }
                    self.metrics.mesh_reloaded(Reload::Applied);
                    self.ready.set_degraded(WHAT, None);
                    return true;
                }
                Err(error) => {
                    self.is_unkept = true;
                    chain(&error)
                }
            },
            Ok(Err(problem)) => problem,
            Err(error) => error.to_string(),
        };
        let served = if self.store.current().changed_at.is_some() {
            "the last good model stays"
        } else {
            "nothing is served until they are"
        };
        error!("mesh files not taken, {served}: {failure}");
        self.metrics.mesh_reloaded(Reload::Failed);
        self.ready
            .set_degraded(WHAT, Some(format!("not taken, {served}: {failure}")));
        false
    }
}

/// What the files declare, or why they are not taken.
fn declared(loaded: &Result<Loaded, LoadError>, metrics: &Metrics) -> Result<Files, String> {
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
