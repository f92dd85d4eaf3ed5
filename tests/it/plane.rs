//! A control plane inside the test: the real xDS server and the real pipeline behind it, with what is declared handed over
//! by the test and addresses that need no DNS.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use outrigger::clients::Clients;
use outrigger::files::Report;
use outrigger::model::Model;
use outrigger::model::endpoint::{Endpoint, EndpointSet, EndpointTable};
use outrigger::reconcile::{self, Views, endpoint_sources};
use outrigger::store::{Store, Writer};
use outrigger::telemetry::Metrics;
use outrigger::translate::Options;
use outrigger::xds::{AdsContext, Server, ServerLimits};
use prometheus::{Encoder, TextEncoder};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

pub(crate) struct Plane {
    pub(crate) address: SocketAddr,
    pub(crate) clients: Clients,
    metrics: Metrics,
    writer: Mutex<Writer>,
    endpoints: watch::Sender<EndpointTable>,
    serving: JoinHandle<()>,
    stop: DropGuard,
}

impl Plane {
    /// Serves, and has loaded nothing yet.
    pub(crate) fn start(limits: ServerLimits) -> Self {
        let (clients, views) = (Clients::default(), Views::default());
        let (store, writer) = Store::in_memory().unwrap();
        let (endpoints, metrics) = (watch::Sender::default(), Metrics::new().unwrap());
        let stop = CancellationToken::new();
        let inputs = reconcile::Inputs {
            model: store.watch(),
            endpoints: endpoints.subscribe(),
            views: clients.views(),
        };
        let outputs = reconcile::Outputs {
            views: views.clone(),
            sources: watch::Sender::default(),
            metrics: metrics.clone(),
        };
        let reconciling = reconcile::run(Options::default(), inputs, outputs, stop.clone());
        tokio::spawn(reconciling);
        let server = Server::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let address = server.addr();
        let context = AdsContext {
            sharing: Arc::default(),
            clients: clients.clone(),
            views,
            metrics: metrics.clone(),
            limits,
            model: store.watch(),
        };
        let serving = tokio::spawn(server.run(context, stop.clone()));
        Self {
            address,
            clients,
            metrics,
            writer: Mutex::new(writer),
            endpoints,
            serving,
            stop: stop.drop_guard(),
        }
    }

    /// Stops the server and waits until it has ended.
    pub(crate) async fn stop(self) {
        drop(self.stop);
        self.serving.await.unwrap();
    }

    /// Serves this from now on, every node at one address.
    pub(crate) fn declare(&self, yaml: &str) {
        let model = model(yaml);
        self.endpoints.send_replace(endpoints(&model));
        let mut writer = self.writer.lock().unwrap();
        writer.replace_files(model.into(), Instant::now()).unwrap();
    }

    /// The same, of which no address is known yet.
    pub(crate) fn declare_unresolved(&self, yaml: &str) {
        let mut writer = self.writer.lock().unwrap();
        writer
            .replace_files(model(yaml).into(), Instant::now())
            .unwrap();
    }

    /// The value of one series, as Prometheus reads it.
    pub(crate) fn metric(&self, series: &str) -> u64 {
        let mut text = Vec::new();
        let families = self.metrics.registry().gather();
        TextEncoder::new().encode(&families, &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let mut values = text
            .lines()
            .filter_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        let value = values.next().unwrap_or_else(|| panic!("no {series}"));
        value.parse().unwrap()
    }
}

/// Reads a mesh as `serve` does.
pub(crate) fn model(yaml: &str) -> Model {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mesh.yaml");
    std::fs::write(&file, yaml).unwrap();
    let loaded = outrigger::files::load(&[file]).unwrap();
    loaded.model().unwrap_or_else(|error| {
        let lines: Vec<String> = loaded.reports.iter().map(Report::line).collect();
        panic!("{error}: {lines:#?}")
    })
}

/// Every source at an address of its own.
pub(crate) fn endpoints(model: &Model) -> EndpointTable {
    let sources = endpoint_sources(model);
    let known = sources.into_iter().zip(1_u16..).map(|(source, host)| {
        let [high, low] = host.to_be_bytes();
        let endpoint = Endpoint {
            address: [10, 0, high, low].into(),
            port: None,
            weight: 1,
        };
        (source, EndpointSet::Known(Arc::new([endpoint])))
    });
    known.collect()
}
