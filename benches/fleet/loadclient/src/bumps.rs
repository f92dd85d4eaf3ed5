//! Phases: one change after the other, each waited for.

use crate::cli::Phase;
use crate::report::PhaseReport;
use crate::run::Run;
use crate::stats::{Summary, round};
use crate::trigger::Bump;
use anyhow::{Context, Result};
use std::collections::HashMap;
use std::time::Duration;

/// How many bumps there were, of all services and of each.
#[derive(Default)]
pub(crate) struct Counts {
    all: usize,
    of_service: HashMap<usize, usize>,
}

impl Counts {
    pub(crate) fn next(&mut self, service: usize) -> Bump {
        let count = self.all;
        self.all += 1;
        let change = self.of_service.entry(service).or_default();
        *change += 1;
        Bump {
            service,
            count,
            change: *change,
        }
    }
}

/// What came of one bump.
pub(crate) struct Outcome {
    pub(crate) affected: usize,
    pub(crate) trigger_ms: f64,
    /// One entry per stream that saw the change.
    pub(crate) times_ms: Vec<f64>,
}

impl Run {
    pub(crate) async fn phase(&mut self, phase: &Phase) -> Result<PhaseReport> {
        let (mut affected, mut propagation) = (Vec::new(), Vec::new());
        let (mut last_stream, mut trigger) = (Vec::new(), Vec::new());
        let (mut skipped, mut missed) = (0, 0);
        for service in phase.services().take(self.args.warmup) {
            self.bump(service).await?;
        }
        let start = self.mark()?;
        for service in phase.services() {
            let Some(bump) = self.bump(service).await? else {
                skipped += 1;
                continue;
            };
            missed += bump.affected - bump.times_ms.len();
            affected.push(bump.affected as f64);
            last_stream.extend(bump.times_ms.iter().copied().reduce(f64::max));
            trigger.push(bump.trigger_ms);
            propagation.extend(bump.times_ms);
        }
        let end = self.mark()?;
        let bumps = affected.len();
        let per_bump = |total: f64| (bumps > 0).then(|| round(total * 1e3 / bumps as f64));
        Ok(PhaseReport {
            name: phase.name.clone(),
            bumps,
            skipped,
            missed,
            affected: Summary::of(affected),
            propagation_ms: Summary::of(propagation),
            last_stream_ms: Summary::of(last_stream),
            trigger_ms: Summary::of(trigger),
            traffic_per_bump: (bumps > 0).then(|| start.traffic_until(&end, bumps)),
            server_cpu_ms_per_bump: start.server_cpu_until(&end).and_then(per_bump),
            client_cpu_ms_per_bump: per_bump(start.client_cpu_until(&end)),
            wall_s: start.wall_until(&end),
        })
    }

    /// Fires one bump and waits until all affected streams saw it. `None` if
    /// the service affects no stream.
    pub(crate) async fn bump(&mut self, service: usize) -> Result<Option<Outcome>> {
        let target = self
            .resource_target(service)
            .context("a service that is no target")?;
        let affected = self.recorder.subscribers(target);
        if affected == 0 {
            return Ok(None);
        }
        let bump = self.counts.next(service);
        let limit = self.bump_limit();
        let start = self.recorder.begin_bump(target);
        let answered = async {
            self.trigger.fire(bump).await?;
            Ok((self.recorder.now() - start) as f64 / 1e6)
        };
        let arrived = async {
            self.recorder.wait_bump(limit).await;
            Ok::<_, anyhow::Error>(())
        };
        let (trigger_ms, ()) = tokio::try_join!(answered, arrived)?;
        let times_ms = self.recorder.end_bump(start);
        tokio::time::sleep(Duration::from_millis(self.args.interval_ms)).await;
        Ok(Some(Outcome {
            affected,
            trigger_ms,
            times_ms,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bumps_are_counted_in_all_and_by_service() {
        let mut counts = Counts::default();
        let bumps = [3, 4, 3].map(|service| counts.next(service));
        assert_eq!(bumps.map(|bump| bump.count), [0, 1, 2]);
        assert_eq!(bumps.map(|bump| bump.change), [1, 1, 2]);
    }
}
