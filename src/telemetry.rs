//! How the process is seen from outside: logs, metrics, and whether it is ready.

pub mod log;
pub mod metrics;
pub mod ready;

pub use metrics::Metrics;
pub use ready::Ready;
