//! Metrics for Prometheus.
//!
//! **Invariant:** every label is of a set that is fixed in the code (a type, a variant, a kind, a reason), so no mesh, node
//! or client can make the number of series grow. Names of single nodes are in `outrigger status`.

mod connections;

use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{
    Error, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry,
};

use crate::clients::Variant;
use crate::model::ResourceKind;
use crate::snapshot::{Kind, PerKind};
use crate::xds::Event;
use connections::Connections;

pub use connections::{Closed, ConnectionMetrics, ListenerName};

/// Seconds: from a push on loopback to a sidecar that does not answer.
const SECONDS: &[f64] = &[
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

/// All metrics of the process, each registered. A clone counts into the same series.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    connections: Connections,
    streams: IntGaugeVec,
    refused_streams: IntCounterVec,
    kinds: PerKind<KindMetrics>,
    change_to_send: Histogram,
    change_to_ack: Histogram,
    reloads: IntCounterVec,
    reload_failed: IntGauge,
    problems: IntGaugeVec,
    model_resources: IntGaugeVec,
}

/// The series of one type, looked up once.
#[derive(Clone, Debug)]
struct KindMetrics {
    pushes: IntCounter,
    push_resources: IntCounter,
    nacks: IntCounter,
    ack: Histogram,
    resources: IntGauge,
}

/// Why a stream was not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The model is not loaded yet.
    NotReady,
    /// `node.id` is missing or names no resource.
    MalformedNode,
    /// The node does not exist, or was deleted.
    UnknownNode,
    /// The node exists, but this kind of node, of client or of capture is not served yet.
    Unsupported,
    /// The client did not say who it is in time.
    Silent,
    /// The client broke the protocol.
    Protocol,
    /// A limit on streams or names was reached.
    Limit,
}

impl Refusal {
    const ALL: [Self; 7] = [
        Self::NotReady,
        Self::MalformedNode,
        Self::UnknownNode,
        Self::Unsupported,
        Self::Silent,
        Self::Protocol,
        Self::Limit,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotReady => "not_ready",
            Self::MalformedNode => "malformed_node",
            Self::UnknownNode => "unknown_node",
            Self::Unsupported => "unsupported",
            Self::Silent => "silent",
            Self::Protocol => "protocol",
            Self::Limit => "limit",
        }
    }
}

/// How a reload of the mesh files ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    Applied,
    /// The files do not validate, or cannot be read; the last good model stays, if there is one.
    Failed,
}

impl Reload {
    const ALL: [Self; 2] = [Self::Applied, Self::Failed];

    fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Failed => "failed",
        }
    }
}

impl Metrics {
    /// Registers everything, at zero where a series must exist for an alert to work.
    ///
    /// # Errors
    /// When two metrics have one name, which a test rules out.
    pub fn new() -> Result<Self, Error> {
        let registry = Registry::new();
        let r = &registry;
        let metrics = Self {
            connections: Connections::register(r)?,
            streams: gauges(r, "xds_streams", "Open xDS streams", "variant")?,
            refused_streams: counters(
                r,
                "xds_refused_streams_total",
                "xDS streams that were not served",
                "reason",
            )?,
            kinds: kinds(r)?,
            change_to_send: histogram(
                r,
                "xds_change_to_send_seconds",
                "From a change of the model or of endpoints to the response that carries it",
            )?,
            change_to_ack: histogram(
                r,
                "xds_change_to_ack_seconds",
                "From a change of the model or of endpoints to a client's acknowledgement",
            )?,
            reloads: counters(
                r,
                "mesh_reloads_total",
                "Reloads of the mesh files",
                "result",
            )?,
            reload_failed: add(
                r,
                IntGauge::new(
                    "outrigger_mesh_reload_failed",
                    "1 while the newest mesh files do not validate and an older model is served",
                ),
            )?,
            problems: gauges(r, "mesh_problems", "Problems in the mesh", "severity")?,
            model_resources: gauges(
                r,
                "model_resources",
                "Resources in the model, by App Mesh's kind",
                "kind",
            )?,
            registry,
        };
        metrics.start_at_zero();
        metrics.describe_process()?;
        Ok(metrics)
    }

    fn start_at_zero(&self) {
        for variant in Variant::ALL {
            self.streams.with_label_values(&[variant.as_str()]).set(0);
        }
        for reason in Refusal::ALL {
            (self.refused_streams.with_label_values(&[reason.as_str()])).reset();
        }
        for result in Reload::ALL {
            self.reloads.with_label_values(&[result.as_str()]).reset();
        }
        self.set_mesh_problems(0, 0);
        for kind in ResourceKind::ALL {
            self.set_model_resources(kind, 0);
        }
    }

    fn describe_process(&self) -> Result<(), Error> {
        let build = gauges(
            &self.registry,
            "build_info",
            "1, with the version that runs",
            "version",
        )?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        #[cfg(target_os = "linux")]
        (self.registry).register(Box::new(
            prometheus::process_collector::ProcessCollector::for_self(),
        ))?;
        Ok(())
    }

    /// Where all metrics are registered.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Counts what happened on a stream.
    pub fn observe(&self, event: &Event) {
        match event {
            Event::Sent {
                kind,
                resources,
                removed: _,
            } => {
                let metrics = &self.kinds[*kind];
                metrics.pushes.inc();
                metrics.push_resources.inc_by(*resources as u64);
            }
            Event::Acked { kind, after } => {
                self.kinds[*kind].ack.observe(after.as_secs_f64());
            }
            Event::Rejected { kind, .. } => self.kinds[*kind].nacks.inc(),
        }
    }

    /// Counts a stream as open until the result is dropped.
    pub fn stream_opened(&self, variant: Variant) -> Open {
        Open::new(self.streams.with_label_values(&[variant.as_str()]))
    }

    /// The series of one address's connections.
    pub fn connections(&self, listener: ListenerName) -> ConnectionMetrics {
        self.connections.of(listener)
    }

    pub fn stream_refused(&self, reason: Refusal) {
        (self.refused_streams.with_label_values(&[reason.as_str()])).inc();
    }

    pub fn change_sent(&self, after: Duration) {
        self.change_to_send.observe(after.as_secs_f64());
    }

    pub fn change_acked(&self, after: Duration) {
        self.change_to_ack.observe(after.as_secs_f64());
    }

    /// Says how many resources of a type exist, over all views.
    pub fn set_resources(&self, kind: Kind, count: usize) {
        self.kinds[kind].resources.set(gauge_value(count));
    }

    pub fn mesh_reloaded(&self, result: Reload) {
        self.reloads.with_label_values(&[result.as_str()]).inc();
        (self.reload_failed).set(i64::from(result == Reload::Failed));
    }

    /// Says how many problems the newest mesh files and their translation have.
    pub fn set_mesh_problems(&self, errors: usize, warnings: usize) {
        for (severity, count) in [("error", errors), ("warning", warnings)] {
            (self.problems.with_label_values(&[severity])).set(gauge_value(count));
        }
    }

    pub fn set_model_resources(&self, kind: ResourceKind, count: usize) {
        (self.model_resources.with_label_values(&[kind.as_str()])).set(gauge_value(count));
    }
}

/// An open stream or connection in the metrics.
#[derive(Debug)]
#[must_use = "dropping it counts what it stands for as closed"]
pub struct Open(IntGauge);

impl Open {
    fn new(gauge: IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn kinds(registry: &Registry) -> Result<PerKind<KindMetrics>, Error> {
    let pushes = counters(registry, "xds_pushes_total", "Responses sent", "type")?;
    let push_resources = counters(
        registry,
        "xds_push_resources_total",
        "Resources in the responses sent",
        "type",
    )?;
    let nacks = counters(
        registry,
        "xds_nacks_total",
        "Responses that a client rejected",
        "type",
    )?;
    let ack = add(
        registry,
        HistogramVec::new(
            seconds("xds_ack_seconds", "From a response to its acknowledgement"),
            &["type"],
        ),
    )?;
    let resources = gauges(registry, "resources", "Envoy resources, by type", "type")?;
    Ok(PerKind::from_fn(|kind| {
        let label = &[kind.as_str()];
        KindMetrics {
            pushes: pushes.with_label_values(label),
            push_resources: push_resources.with_label_values(label),
            nacks: nacks.with_label_values(label),
            ack: ack.with_label_values(label),
            resources: resources.with_label_values(label),
        }
    }))
}

fn counters(
    registry: &Registry,
    name: &str,
    help: &str,
    label: &str,
) -> Result<IntCounterVec, Error> {
    let options = Opts::new(format!("outrigger_{name}"), help);
    add(registry, IntCounterVec::new(options, &[label]))
}

fn gauges(registry: &Registry, name: &str, help: &str, label: &str) -> Result<IntGaugeVec, Error> {
    let options = Opts::new(format!("outrigger_{name}"), help);
    add(registry, IntGaugeVec::new(options, &[label]))
}

fn histogram(registry: &Registry, name: &str, help: &str) -> Result<Histogram, Error> {
    add(registry, Histogram::with_opts(seconds(name, help)))
}

fn seconds(name: &str, help: &str) -> HistogramOpts {
    HistogramOpts::new(format!("outrigger_{name}"), help).buckets(SECONDS.to_vec())
}

fn add<M: Collector + Clone + 'static>(
    registry: &Registry,
    metric: Result<M, Error>,
) -> Result<M, Error> {
    let metric = metric?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn gauge_value(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
