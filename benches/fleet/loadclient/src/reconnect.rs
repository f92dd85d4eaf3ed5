//! All streams close and come back at once, as they do when a control plane is replaced or a network heals.

use crate::protocol::Protocol;
use crate::recorder::millis;
use crate::report::ReconnectReport;
use crate::run::Run;
use crate::stats::{Summary, round};
use anyhow::Result;

impl Run {
    pub(crate) async fn reconnect<P: Protocol>(&mut self) -> Result<ReconnectReport> {
        let streams = self.args.streams;
        self.recorder.begin_generation();
        let start = self.mark()?;
        let begun = self.recorder.now();
        self.fleet.reopen();
        self.recorder
            .wait_attached(streams, self.storm_limit())
            .await;
        let last_sign = self
            .recorder
            .wait_quiet(self.quiet(), self.storm_limit())
            .await;
        let end = self.mark()?;
        let (attached, answered) = self.recorder.generation();
        let probe = self.bump(self.args.reconnect_probe).await?;
        Ok(ReconnectReport {
            wall_s: round(millis(last_sign.saturating_sub(begun)) / 1e3),
            detached: streams - attached,
            unanswered: (!P::INCREMENTAL).then(|| streams - answered),
            traffic: start.traffic_until(&end, 1),
            server_cpu_s: start.server_cpu_until(&end).map(round),
            client_cpu_s: start.client_cpu_until(&end),
            missed: probe
                .as_ref()
                .map_or(0, |probe| probe.affected - probe.times_ms.len()),
            probe_ms: probe.and_then(|probe| Summary::of(probe.times_ms)),
            memory: self.memory()?,
        })
    }
}
