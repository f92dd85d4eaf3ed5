//! Joins what is declared, what is discovered and who is connected, and publishes what each view gets.
//!
//! One task owns the translator. Inputs and outputs are `watch` channels: the newest wins, so a burst of changes costs
//! one translation and a slow reader holds nobody up. Each view has a channel of its own, so a change wakes only the
//! streams of the views that it touches.

mod sources;
mod views;

use std::time::Instant;

use imbl::OrdSet;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::model::endpoint::{EndpointSource, EndpointTable};
use crate::model::{Model, ResourceKind, ViewKey};
use crate::snapshot::Kind;
use crate::store::Stored;
use crate::telemetry::Metrics;
use crate::translate::{Input, Options, Translator};

use sources::Sources;
pub use views::{Published, Subscription, Views};

/// What the task reads.
#[derive(Debug)]
pub struct Inputs {
    pub model: watch::Receiver<Stored>,
    pub endpoints: watch::Receiver<EndpointTable>,
    pub views: watch::Receiver<OrdSet<ViewKey>>,
}

/// What the task writes.
#[derive(Debug)]
pub struct Outputs {
    pub views: Views,
    /// The sources whose endpoints discovery is to find.
    pub sources: watch::Sender<OrdSet<EndpointSource>>,
    pub metrics: Metrics,
}

/// Translates at each change until stopped.
///
/// Nothing is published before the store's first load: until then no stream is served.
pub async fn run(options: Options, mut inputs: Inputs, outputs: Outputs, stop: CancellationToken) {
    let mut translator = Translator::new(options);
    let mut sources = Sources::default();
    let first_load = inputs.model.wait_for(|stored| stored.changed_at.is_some());
    tokio::select! {
        () = stop.cancelled() => return,
        loaded = first_load => if loaded.is_err() { return },
    }
    loop {
        let woken_at = Instant::now();
        let stored = inputs.model.borrow_and_update().clone();
        sources.follow(&stored.model);
        for kind in ResourceKind::ALL {
            let count = stored.model.count(kind);
            outputs.metrics.set_model_resources(kind, count);
        }
        outputs
            .sources
            .send_if_modified(|published| replace(published, sources.wanted()));
        let input = Input {
            model: stored.model,
            endpoints: inputs.endpoints.borrow_and_update().clone(),
            views: inputs.views.borrow_and_update().clone(),
        };
        let translated = spawn_blocking(move || {
            let changed = translator.apply(input);
            (translator, changed)
        });
        let Ok((returned, changed)) = translated.await else {
            return;
        };
        translator = returned;
        for key in changed {
            outputs
                .views
                .publish(&key, translator.view(&key).cloned(), woken_at);
        }
        report_problems(&translator);
        count_resources(&outputs);
        tokio::select! {
            () = stop.cancelled() => return,
            // All three are cancel-safe: a change stays marked until it is borrowed above.
            changed = inputs.model.changed() => if changed.is_err() { return },
            changed = inputs.endpoints.changed() => if changed.is_err() { return },
            changed = inputs.views.changed() => if changed.is_err() { return },
        }
    }
}

fn replace<T: PartialEq>(current: &mut T, new: T) -> bool {
    let differs = *current != new;
    *current = new;
    differs
}

/// Logs what is new among the translation's problems, and what is mended.
fn report_problems(translator: &Translator) {
    for problem in translator.new_problems() {
        warn!(resource = %problem.resource, "{}", problem.text);
    }
    for problem in translator.mended_problems() {
        info!(resource = %problem.resource, "no longer a problem: {}", problem.text);
    }
}

fn count_resources(outputs: &Outputs) {
    for kind in Kind::ALL {
        outputs
            .metrics
            .set_resources(kind, outputs.views.resources(kind));
    }
}

/// The endpoint sources that a model wants, from scratch.
pub fn endpoint_sources(model: &Model) -> OrdSet<EndpointSource> {
    let mut sources = Sources::default();
    sources.follow(model);
    sources.wanted()
}

#[cfg(test)]
mod tests;
