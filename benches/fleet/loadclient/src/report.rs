//! The report, in JSON.

use crate::cli::Args;
use crate::process::Memory;
use crate::stats::Summary;
use serde::Serialize;

#[derive(Serialize)]
pub(crate) struct Report {
    pub(crate) config: Args,
    /// False if a stream failed, or anything did not arrive in time.
    pub(crate) ok: bool,
    pub(crate) stream_failures: u64,
    pub(crate) first_failure: Option<String>,
    /// Endpoint changes that no bump explains.
    pub(crate) unexpected_changes: u64,
    /// The server's memory before the first connection.
    pub(crate) memory_before: Option<Memory>,
    pub(crate) storm: Storm,
    /// After the pause that follows the storm.
    pub(crate) settled: Settled,
    pub(crate) phases: Vec<PhaseReport>,
    pub(crate) rate: Option<RateReport>,
    pub(crate) reconnects: Vec<ReconnectReport>,
    pub(crate) audit: Option<Audit>,
    pub(crate) memory_at_end: Option<Memory>,
}

/// How a fleet stands; counts are since the start of the run.
#[derive(Serialize)]
pub(crate) struct Look {
    /// Streams that are open.
    pub(crate) attached: usize,
    /// Streams that broke.
    pub(crate) broken: u64,
    /// Resources that were sent to a stream that had said to hold them in that version; none in SotW, which cannot say.
    pub(crate) resent: u64,
    pub(crate) messages: u64,
    /// Services whose endpoints were compared with what new streams are sent, and those that differ.
    pub(crate) compared: usize,
    pub(crate) stale: usize,
    pub(crate) failure: Option<String>,
}

/// From the first connection to the last stream's full configuration.
#[derive(Serialize)]
pub(crate) struct Storm {
    pub(crate) wall_s: f64,
    pub(crate) incomplete_streams: usize,
    /// Per stream, since the start of the storm.
    pub(crate) completion_ms: Option<Summary>,
    /// Per stream, since its own connection began to open.
    pub(crate) own_completion_ms: Option<Summary>,
    pub(crate) traffic: TrafficReport,
    pub(crate) server_cpu_s: Option<f64>,
    pub(crate) server_user_s: Option<f64>,
    pub(crate) server_system_s: Option<f64>,
    pub server_cpu_s_per_1000_streams: Option<f64>,
    pub(crate) client_cpu_s: f64,
    pub(crate) memory: Option<Memory>,
}

#[derive(Serialize)]
pub(crate) struct Settled {
    pub(crate) server_idle_cpu_ms_per_s: Option<f64>,
    pub(crate) memory: Option<Memory>,
    /// Growth since before the first connection.
    pub(crate) rss_kib_per_stream: Option<f64>,
}

#[derive(Serialize)]
pub(crate) struct PhaseReport {
    pub(crate) name: String,
    pub(crate) bumps: usize,
    /// Bumps left out because no stream subscribes to the service.
    pub(crate) skipped: usize,
    /// Streams that a bump did not reach in time, over all bumps.
    pub(crate) missed: usize,
    /// Streams affected, per bump.
    pub(crate) affected: Option<Summary>,
    /// Trigger sent to update received, over all bumps and affected streams.
    pub(crate) propagation_ms: Option<Summary>,
    /// Trigger sent to update received by the last affected stream, per bump.
    pub(crate) last_stream_ms: Option<Summary>,
    /// Trigger sent to trigger answered, per bump.
    pub(crate) trigger_ms: Option<Summary>,
    /// Received by all streams, affected or not.
    pub(crate) traffic_per_bump: Option<TrafficReport>,
    pub(crate) server_cpu_ms_per_bump: Option<f64>,
    pub(crate) client_cpu_ms_per_bump: Option<f64>,
    pub(crate) wall_s: f64,
}

/// Changes at a fixed rate, none waited for.
#[derive(Serialize)]
pub(crate) struct RateReport {
    pub(crate) changes: usize,
    /// Changes a second that were really asked for.
    pub(crate) achieved_per_s: f64,
    /// Changes received, over all streams, and the number that one for each change and subscriber would be: a server
    /// may leave out what a newer change has overtaken.
    pub(crate) delivered: u64,
    pub(crate) owed: u64,
    /// From asking for the last change until each stream holds it.
    pub(crate) last_change_ms: Option<Summary>,
    /// Streams that did not get the last change.
    pub(crate) missed: usize,
    pub(crate) trigger_ms: Option<Summary>,
    pub(crate) traffic: TrafficReport,
    pub(crate) server_cpu_s: Option<f64>,
    pub(crate) client_cpu_s: f64,
    /// From the first change to the last message.
    pub(crate) wall_s: f64,
    /// The server's memory each second.
    pub(crate) rss_kib: Vec<u64>,
    /// Growth between a third of the time and its end.
    pub(crate) rss_growth_kib: Option<f64>,
}

/// All streams closed, and back at once.
#[derive(Serialize)]
pub(crate) struct ReconnectReport {
    /// From closing to the last thing that the server sent of itself.
    pub(crate) wall_s: f64,
    /// Streams that were not accepted.
    pub(crate) detached: usize,
    /// In SotW: streams that were not sent all that they named. In delta nothing is owed to who is up to date.
    pub(crate) unanswered: Option<usize>,
    pub(crate) traffic: TrafficReport,
    pub(crate) server_cpu_s: Option<f64>,
    pub(crate) client_cpu_s: f64,
    /// Then: from asking for a change until each stream holds it.
    pub(crate) probe_ms: Option<Summary>,
    /// Streams that it did not reach.
    pub(crate) missed: usize,
    pub(crate) memory: Option<Memory>,
}

/// What the fleet holds in the end, beside what streams are sent that have just joined.
#[derive(Serialize)]
pub(crate) struct Audit {
    pub(crate) observers: usize,
    pub(crate) compared: usize,
    /// Targets of which some stream holds something else.
    pub(crate) stale: usize,
    pub(crate) failure: Option<String>,
}

#[derive(Serialize)]
pub(crate) struct TrafficReport {
    pub(crate) messages: f64,
    pub(crate) resources: f64,
    /// gRPC message bytes, without framing and headers.
    pub(crate) bytes: f64,
}
