//! The rest of a change's way, before and after translation.

use std::sync::Arc;
use std::time::Instant;

use imbl::OrdSet;
use outrigger::model::endpoint::{EndpointSource, EndpointTable};
use outrigger::model::validate::{Unread, validate};
use outrigger::model::{Model, Resource, Spec, ViewKey};
use outrigger::reconcile::{self, Inputs, Outputs, Subscription, Views};
use outrigger::store::{Revision, Store, Stored, Writer};
use outrigger::telemetry::Metrics;
use outrigger::translate::{Input, Options};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::mesh::{Change, Mesh, key};
use crate::meter::Meter;
use crate::translation::Translated;

pub(crate) fn run(mesh: Mesh, state: Translated, meter: &mut Meter) {
    let input = state.input.clone();
    let all = Unread::default();
    meter.build("rules between resources checked", &input, |input| {
        validate(&input.model, &all)
    });
    model(mesh, &input, meter);
    store(mesh, &input, meter);
    reread(mesh, state, meter);
    published(mesh, &input, meter);
}

/// What of two models differs.
fn model(mesh: Mesh, input: &Input, meter: &mut Meter) {
    meter.change(
        ["models compared: a weight", "and back"],
        &mut input.clone(),
        |input, forth| {
            let older = input.model.clone();
            Change::Weight.edit(mesh, input, forth);
            older
        },
        |input, older| input.model.changes_since(&older),
    );
}

/// Files are read into a model that shares nothing with the one before.
fn store(mesh: Mesh, input: &Input, meter: &mut Meter) {
    let (_store, writer) = Store::in_memory().expect("a store");
    let mut files = Declared(writer);
    files.replace(input.model.clone());
    meter.change(
        ["files read anew go into the store", "and back"],
        &mut input.clone(),
        |input, forth| {
            Change::Weight.edit(mesh, input, forth);
            read_anew(&input.model)
        },
        |_, model| files.replace(model),
    );
}

/// A store without its task.
struct Declared(Writer);

impl Declared {
    fn replace(&mut self, model: Model) -> Option<Revision> {
        let replaced = self.0.replace_files(model.into(), Instant::now());
        replaced.expect("memory takes everything")
    }
}

/// What the store makes of files that were read anew is translated.
fn reread(mesh: Mesh, mut state: Translated, meter: &mut Meter) {
    let (store, writer) = Store::in_memory().expect("a store");
    let mut files = Declared(writer);
    let mut stored = store.watch();
    files.replace(state.input.model.clone());
    meter.change(
        ["files read anew, translated: a weight", "and back"],
        &mut state,
        |state, forth| {
            Change::Weight.edit(mesh, &mut state.input, forth);
            files.replace(read_anew(&state.input.model));
            Input {
                model: stored.borrow_and_update().model.clone(),
                ..state.input.clone()
            }
        },
        |state, input| state.translator.apply(input),
    );
}

fn read_anew(model: &Model) -> Model {
    let copies = model.resources().into_iter().map(|Resource { id, spec }| {
        let spec = match spec {
            Spec::Mesh(spec) => Spec::Mesh(Arc::new(spec.as_ref().clone())),
            Spec::VirtualNode(spec) => Spec::VirtualNode(Arc::new(spec.as_ref().clone())),
            Spec::VirtualService(spec) => Spec::VirtualService(Arc::new(spec.as_ref().clone())),
            Spec::VirtualRouter(spec) => Spec::VirtualRouter(Arc::new(spec.as_ref().clone())),
            Spec::Route(spec) => Spec::Route(Arc::new(spec.as_ref().clone())),
            other @ (Spec::VirtualGateway(_) | Spec::GatewayRoute(_)) => other,
        };
        Resource { id, spec }
    });
    Model::from_resources(copies)
}

/// The task that owns the translator. It translates on a thread of its own, whose work only the time includes.
struct Reconciling {
    input: Input,
    runtime: Runtime,
    model: watch::Sender<Stored>,
    endpoints: watch::Sender<EndpointTable>,
    keys: watch::Sender<OrdSet<ViewKey>>,
    views: Views,
    /// Somebody must read the wanted sources.
    _sources: watch::Receiver<OrdSet<EndpointSource>>,
}

fn published(mesh: Mesh, input: &Input, meter: &mut Meter) {
    let mut state = Reconciling::start(input.clone());
    // Each reaches the view beside it.
    for (change, view) in [
        (Change::Endpoint, mesh.middle() - 1),
        (Change::Weight, mesh.middle() - 1),
        (Change::View, 0),
    ] {
        let names = change.names().map(|name| format!("published: {name}"));
        let mut stream = state.views.subscribe(&key(view));
        meter.change(
            names.each_ref().map(String::as_str),
            &mut state,
            |state, forth| {
                change.edit(mesh, &mut state.input, forth);
                state.input.clone()
            },
            |state, input| state.publish(input, &mut stream),
        );
    }
}

impl Reconciling {
    fn start(input: Input) -> Self {
        let runtime = Builder::new_current_thread().build().expect("a runtime");
        let (model, model_receiver) = watch::channel(stored(&input));
        let (endpoints, endpoints_receiver) = watch::channel(input.endpoints.clone());
        let (keys, keys_receiver) = watch::channel(input.views.clone());
        let (sources, sources_receiver) = watch::channel(OrdSet::new());
        let views = Views::default();
        let inputs = Inputs {
            model: model_receiver,
            endpoints: endpoints_receiver,
            views: keys_receiver,
        };
        let outputs = Outputs {
            views: views.clone(),
            sources,
            metrics: Metrics::new().expect("metrics"),
        };
        let mut first = views.subscribe(&key(0));
        runtime.spawn(reconcile::run(
            Options::default(),
            inputs,
            outputs,
            CancellationToken::new(),
        ));
        let changed = first.watch().changed();
        runtime.block_on(changed).expect("the task goes on");
        Self {
            input,
            runtime,
            model,
            endpoints,
            keys,
            views,
            _sources: sources_receiver,
        }
    }

    /// From the change of an input to a view's change. By then all others are published too.
    fn publish(&mut self, input: Input, stream: &mut Subscription) {
        stream.watch().mark_unchanged();
        self.model.send_replace(stored(&input));
        self.endpoints.send_replace(input.endpoints);
        self.keys.send_replace(input.views);
        let changed = stream.watch().changed();
        self.runtime.block_on(changed).expect("the task goes on");
    }
}

fn stored(input: &Input) -> Stored {
    Stored {
        model: input.model.clone(),
        changed_at: Some(Instant::now()),
        ..Stored::default()
    }
}
