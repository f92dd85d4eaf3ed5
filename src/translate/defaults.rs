//! What App Mesh, or Outrigger, means where a spec is silent.

use std::time::Duration;

/// A route's and a listener's time for a whole request.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
pub(crate) const NO_TIMEOUT: Duration = Duration::ZERO;
/// From a sidecar to another node.
pub(crate) const EGRESS_CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// From a sidecar to its own application.
pub(crate) const INGRESS_CONNECT_TIMEOUT: Duration = Duration::from_millis(250);
/// To a host outside the mesh, name look-up included.
pub(crate) const OUTSIDE_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection is looked at for a TLS handshake before it is taken as it is.
pub(crate) const INSPECTION_TIMEOUT: Duration = Duration::from_secs(5);
/// App Mesh's "no limit" for connections, pending requests, requests and retries.
pub(crate) const NO_LIMIT: u32 = 2_147_483_647;
/// Picks of another host before a retry takes one that was tried already.
pub(crate) const HOST_SELECTION_ATTEMPTS: i64 = 5;
pub(crate) const DEFAULT_RETRIES: u32 = 2;
pub(crate) const DEFAULT_RETRY_ON: &str =
    "unavailable,connect-failure,refused-stream,reset,retriable-status-codes";
pub(crate) const DEFAULT_RETRY_STATUS: u32 = 503;
/// What a request gets whose route has no target left.
pub(crate) const NO_TARGET_STATUS: u32 = 503;
