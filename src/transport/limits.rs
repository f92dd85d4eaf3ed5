//! What the clients of one listener may hold on to, and for how long.

use std::time::Duration;

/// The limits of one listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at one time; more are closed as they come.
    pub connections: usize,
    /// How long a new connection may take to send its first byte. Every client speaks first in HTTP.
    pub first_byte: Duration,
    /// How long a connection may be open without a request: before the first, and between two. Longer than the 30 s
    /// after which Envoy tries a refused stream again, so that it does so on the connection that it has.
    pub idle: Duration,
    /// How long a request may take until its response begins, the reading of its body included. A stream's response
    /// begins at once.
    pub response: Duration,
    /// A connection that was silent for so long is sent a PING. Every 10 s is what App Mesh's own sidecars did; a
    /// connection that carries anything else needs none.
    pub ping_after: Duration,
    /// The connection is closed when the PING is not answered for so long: its client is gone without a word, or reads
    /// nothing.
    pub ping_timeout: Duration,
    /// How long a connection may last, more or less a tenth, so that those that came together do not go together. Its
    /// client is told to connect again, which spreads a fleet over control planes that came later. `None`: for ever.
    pub age: Option<Duration>,
    /// Bytes that a client may send on one connection before they are read: a request with an Envoy's `node` of 60 KB
    /// comes in one go, a larger one in several.
    pub window: u32,
    /// Requests at one time on one connection. An Envoy has one stream; a proxy before the control plane may join many.
    pub requests: u32,
    /// How long connections may take to end once the server stops. What is in flight to a client that reads is there
    /// within a round trip; one that does not read is not waited for.
    pub drain: Duration,
}

impl Limits {
    /// For sidecars: ten times what one process is measured with.
    pub const SIDECARS: Self = Self {
        connections: 20_000,
        first_byte: Duration::from_secs(10),
        idle: Duration::from_mins(1),
        response: Duration::from_mins(1),
        ping_after: Duration::from_secs(10),
        ping_timeout: Duration::from_secs(20),
        age: None,
        window: 128 << 10,
        requests: 1_000,
        drain: Duration::from_secs(2),
    };

    /// For operators and API clients, whose requests change things: they get longer to end.
    pub const OPERATORS: Self = Self {
        connections: 1_024,
        requests: 100,
        drain: Duration::from_secs(5),
        ..Self::SIDECARS
    };

    /// For the orchestrator and Prometheus, a handful each.
    pub const MONITORS: Self = Self {
        connections: 256,
        requests: 100,
        ..Self::SIDECARS
    };

    /// The same with at most this many connections, so that no listener's clients take the descriptors of another's.
    #[must_use]
    pub fn within(self, connections: usize) -> Self {
        Self {
            connections: self.connections.min(connections.max(1)),
            ..self
        }
    }
}
