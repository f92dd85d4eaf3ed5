//! What clients may ask for, and how long they may be made to wait. Those of connections are `transport`'s.

use std::time::Duration;

use crate::transport;

/// Bounds on what clients may ask of the server.
#[derive(Clone, Debug)]
pub struct ServerLimits {
    /// Bytes of one request: an Envoy that knows 100,000 resources names them all when it reconnects.
    pub request_bytes: usize,
    /// Streams at one time.
    pub streams: usize,
    /// How long a new stream may take to say who it is.
    pub first_request: Duration,
    pub stream: Limits,
    /// Of each listener.
    pub connections: transport::Limits,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            request_bytes: 32 << 20,
            streams: 20_000,
            first_request: Duration::from_secs(30),
            stream: Limits::default(),
            connections: transport::Limits::SIDECARS,
        }
    }
}

/// The limits of one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many names one stream may subscribe to, per type, and how many resources a client may come back with.
    pub names: usize,
    /// How long a cluster stays that no listener or route names any more: what is under way still may need it.
    pub removal_hold: Duration,
    /// How long an answer waits for a resource that is withheld, and listeners and routes for the endpoints of the
    /// clusters sent before them.
    pub withheld_hold: Duration,
    /// When a rejected resource is tried again unchanged.
    pub retry_rejected: Backoff,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            names: 100_000,
            removal_hold: Duration::from_secs(5),
            withheld_hold: Duration::from_secs(3),
            retry_rejected: Backoff {
                first: Duration::from_secs(30),
                cap: Duration::from_mins(10),
            },
        }
    }
}

/// A delay that doubles from `first` to `cap`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    pub first: Duration,
    pub cap: Duration,
}

impl Backoff {
    /// The delay before the retry of this number, from 0.
    pub(super) fn delay(self, attempt: u32) -> Duration {
        self.first
            .saturating_mul(2_u32.saturating_pow(attempt))
            .min(self.cap)
    }
}
