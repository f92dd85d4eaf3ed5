//! Connections of the addresses that `serve` opens.

use std::fmt;

use prometheus::{Error, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

/// The addresses that are served, as metrics and log lines name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenerName {
    Xds,
    XdsSocket,
    Api,
    Admin,
}

impl ListenerName {
    const ALL: [Self; 4] = [Self::Xds, Self::XdsSocket, Self::Api, Self::Admin];

    fn as_str(self) -> &'static str {
        match self {
            Self::Xds => "xds",
            Self::XdsSocket => "xds-socket",
            Self::Api => "api",
            Self::Admin => "admin",
        }
    }

    /// What to do about a client that speaks TLS.
    pub fn plaintext_advice(self) -> &'static str {
        match self {
            Self::Xds | Self::XdsSocket => {
                "point the sidecar at a Unix socket (--xds-socket PATH, and APPMESH_XDS_ENDPOINT=unix://PATH for \
                 App Mesh's image), or use a bootstrap of `outrigger bootstrap`"
            }
            Self::Api | Self::Admin => "use http:// instead of https://",
        }
    }
}

impl fmt::Display for ListenerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why the server closed a connection that its client would have kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// As many as the address takes are open.
    Limit,
    /// Not a byte came in time.
    Silent,
    /// No request was open for too long.
    Idle,
    /// The client speaks TLS and the address does not.
    Tls,
    /// It lasted as long as a connection may.
    Age,
}

impl Closed {
    const ALL: [Self; 5] = [Self::Limit, Self::Silent, Self::Idle, Self::Tls, Self::Age];

    fn as_str(self) -> &'static str {
        match self {
            Self::Limit => "limit",
            Self::Silent => "silent",
            Self::Idle => "idle",
            Self::Tls => "tls",
            Self::Age => "age",
        }
    }
}

/// The series of all addresses.
#[derive(Clone, Debug)]
pub(super) struct Connections {
    open: IntGaugeVec,
    closed: IntCounterVec,
}

impl Connections {
    pub(super) fn register(registry: &Registry) -> Result<Self, Error> {
        let open = super::gauges(registry, "connections", "Open connections", "listener")?;
        let closed = IntCounterVec::new(
            Opts::new(
                "outrigger_closed_connections_total",
                "Connections that the server closed on a client",
            ),
            &["listener", "reason"],
        );
        let closed = super::add(registry, closed)?;
        for listener in ListenerName::ALL.map(ListenerName::as_str) {
            open.with_label_values(&[listener]).set(0);
            for reason in Closed::ALL.map(Closed::as_str) {
                closed.with_label_values(&[listener, reason]).reset();
            }
        }
        Ok(Self { open, closed })
    }

    pub(super) fn of(&self, listener: ListenerName) -> ConnectionMetrics {
        ConnectionMetrics {
            listener,
            open: self.open.with_label_values(&[listener.as_str()]),
            closed: self.closed.clone(),
        }
    }
}

/// The series of one address.
#[derive(Clone, Debug)]
pub struct ConnectionMetrics {
    listener: ListenerName,
    open: IntGauge,
    closed: IntCounterVec,
}

impl ConnectionMetrics {
    pub fn listener(&self) -> ListenerName {
        self.listener
    }

    /// Counts a connection as open until the result is dropped.
    pub fn opened(&self) -> super::Open {
        super::Open::new(self.open.clone())
    }

    pub fn closed(&self, reason: Closed) {
        let labels = [self.listener.as_str(), reason.as_str()];
        self.closed.with_label_values(&labels).inc();
    }
}
