//! Changes at a fixed rate, without waiting for any but the last.

use crate::cli::Services;
use crate::report::RateReport;
use crate::run::Run;
use crate::stats::{Summary, round};
use crate::trigger::Bump;
use anyhow::{Context, Result};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

/// Requests for a change that may be under way at one time. When the server is slower than the rate, the rate is not
/// reached, fewer changes are asked for, and the report says so: the time is what was told, whatever the server can do.
const UNDER_WAY: usize = 64;

/// What the requests of a rate phase cost.
#[derive(Default)]
struct Fired {
    /// Changes received if each subscriber is told of each.
    owed: u64,
    trigger_ms: Vec<f64>,
    rss_kib: Vec<u64>,
}

impl Run {
    /// `None` when no rate was asked for.
    pub(crate) async fn rate(&mut self) -> Result<Option<RateReport>> {
        let Some((per_second, seconds)) = self.args.rate.zip(self.args.rate_seconds) else {
            return Ok(None);
        };
        let last = self.args.rate_services.first;
        let target = self
            .resource_target(last)
            .context("a service that is no target")?;
        self.recorder.begin_open_loop();
        let start = self.mark()?;
        let started = Instant::now();
        let mut fired = self.fire_at_rate(per_second, seconds).await?;
        let last_start = self.recorder.begin_bump(target);
        let bump = self.counts.next(last);
        fired.trigger_ms.push(fire(&self.trigger, bump).await?);
        let changes = fired.trigger_ms.len();
        fired.owed += self.recorder.subscribers(target) as u64;
        let fired_for = started.elapsed().as_secs_f64();
        self.recorder.wait_bump(self.bump_limit()).await;
        self.recorder
            .wait_quiet(self.quiet(), self.bump_limit())
            .await;
        let end = self.mark()?;
        let times = self.recorder.end_last_bump(last_start);
        Ok(Some(RateReport {
            changes,
            achieved_per_s: round(changes as f64 / fired_for),
            delivered: self.recorder.end_open_loop(),
            owed: fired.owed,
            missed: self.recorder.subscribers(target) - times.len(),
            last_change_ms: Summary::of(times),
            trigger_ms: Summary::of(fired.trigger_ms),
            traffic: start.traffic_until(&end, 1),
            server_cpu_s: start.server_cpu_until(&end).map(round),
            client_cpu_s: start.client_cpu_until(&end),
            wall_s: round(start.wall_until(&end) - self.quiet().as_secs_f64()),
            rss_growth_kib: growth(&fired.rss_kib),
            rss_kib: fired.rss_kib,
        }))
    }

    /// Asks for changes of the services in turn, such that the one after them is of the first service.
    async fn fire_at_rate(&mut self, per_second: usize, seconds: usize) -> Result<Fired> {
        let changes = per_second * seconds - 1;
        let end = Instant::now() + Duration::from_secs(seconds as u64);
        let mut ticks = tokio::time::interval(Duration::from_secs_f64(1.0 / per_second as f64));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let permits = Arc::new(Semaphore::new(UNDER_WAY));
        let mut requests = JoinSet::new();
        let mut fired = Fired::default();
        for number in 0..changes {
            let service = service(self.args.rate_services, changes - number);
            ticks.tick().await;
            let permit = Arc::clone(&permits).acquire_owned().await?;
            if Instant::now() > end {
                break;
            }
            fired.owed += self.owed(service)?;
            let bump = self.counts.next(service);
            let trigger = Arc::clone(&self.trigger);
            requests.spawn(async move {
                let outcome = fire(&trigger, bump).await;
                drop(permit);
                outcome
            });
            while let Some(done) = requests.try_join_next() {
                fired.trigger_ms.push(done??);
            }
            if number % per_second == 0 {
                fired
                    .rss_kib
                    .extend(self.memory()?.map(|memory| memory.rss_kib));
            }
        }
        fired
            .rss_kib
            .extend(self.memory()?.map(|memory| memory.rss_kib));
        while let Some(done) = requests.join_next().await {
            fired.trigger_ms.push(done??);
        }
        ticks.tick().await;
        Ok(fired)
    }

    /// Streams that are to be told of a change of the service.
    fn owed(&self, service: usize) -> Result<u64> {
        let target = self
            .resource_target(service)
            .context("a service that is no target")?;
        Ok(self.recorder.subscribers(target) as u64)
    }
}

/// The service to change when so many more changes are to come.
fn service(services: Services, left: usize) -> usize {
    services.first + left % services.len()
}

/// Milliseconds until a change was answered.
async fn fire(trigger: &crate::trigger::Trigger, bump: Bump) -> Result<f64> {
    let start = Instant::now();
    trigger.fire(bump).await?;
    Ok(start.elapsed().as_secs_f64() * 1e3)
}

/// From a third of the time, when caches are warm, to the end.
fn growth(rss_kib: &[u64]) -> Option<f64> {
    let warm = *rss_kib.get(rss_kib.len() / 3)?;
    Some(*rss_kib.last()? as f64 - warm as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_take_turns_and_end_with_the_first() {
        let services: Services = "3-5".parse().unwrap();
        let turns: Vec<_> = (0..5).rev().map(|left| service(services, left)).collect();
        assert_eq!(turns, [4, 3, 5, 4, 3]);
    }

    #[test]
    fn growth_counts_from_a_third_of_the_time() {
        assert_eq!(growth(&[10, 20, 30, 31, 33, 32]), Some(2.0));
        assert_eq!(growth(&[]), None);
    }
}
