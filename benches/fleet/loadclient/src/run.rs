//! One run: the connect storm, what is measured after it in turn, and the audit at its end.

use crate::bumps::Counts;
use crate::cli::{Args, Phase};
use crate::node::Template;
use crate::process::{self, Memory};
use crate::protocol::Protocol;
use crate::recorder::{Recorder, Traffic};
use crate::report::{Audit, Report, Settled, Storm, TrafficReport};
use crate::session::{Plan, Targets};
use crate::stats::{Summary, round};
use crate::stream::Fleet;
use crate::trigger::Trigger;
use anyhow::{Result, bail};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

pub(crate) struct Run {
    pub(crate) args: Args,
    pub(crate) trigger: Arc<Trigger>,
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) counts: Counts,
}

/// Where the counters stood at some moment.
pub(crate) struct Mark {
    at: Instant,
    server_cpu: Option<f64>,
    client_cpu: f64,
    traffic: Traffic,
}

impl Run {
    pub(crate) fn new(args: Args) -> Result<Self> {
        let files = process::raise_open_files();
        let connections = args.streams.div_ceil(args.streams_per_connection);
        if (connections as u64) + 64 > files {
            bail!("{connections} connections need a higher limit on open files than {files}");
        }
        let targets = targets(&args);
        let recorder = Arc::new(Recorder::new(args.streams, targets.len()));
        let plan = Plan {
            targets,
            is_node_repeated: args.node_every_request,
            comes_back: args.follow,
            keeps_versions: args.reconnect > 0 || args.follow,
            ..Plan::default()
        };
        let fleet = fleet(&args, args.streams, Arc::new(plan), Arc::clone(&recorder))?;
        let trigger = Trigger::new(&args.trigger_method, &args.trigger_url, &args.trigger_body)?;
        Ok(Self {
            args,
            trigger: Arc::new(trigger),
            fleet: Arc::new(fleet),
            recorder,
            counts: Counts::default(),
        })
    }

    pub(crate) async fn measure<P: Protocol>(mut self) -> Result<Report> {
        let memory_before = self.memory()?;
        let storm = self.storm::<P>().await?;
        let settled = self.settle(memory_before).await?;
        let (mut phases, mut rate, mut reconnects, mut audit) = (vec![], None, vec![], None);
        if storm.incomplete_streams == 0 {
            for phase in self.args.phases.clone() {
                phases.push(self.phase(&phase).await?);
            }
            rate = self.rate().await?;
            for _ in 0..self.args.reconnect {
                reconnects.push(self.reconnect::<P>().await?);
            }
            if self.args.follow {
                self.follow::<P>().await?;
            }
        }
        let memory_at_end = self.memory()?;
        if storm.incomplete_streams == 0 && !self.fleet.plan.targets.is_empty() {
            audit = Some(self.audit::<P>().await?);
        }
        let stream_failures = self.recorder.failures.load(SeqCst);
        let ok = storm.incomplete_streams == 0
            && stream_failures == 0
            && phases.iter().all(|phase| phase.missed == 0)
            && rate.iter().all(|rate| rate.missed == 0)
            && reconnects
                .iter()
                .all(|one| one.missed == 0 && one.detached == 0)
            && audit
                .iter()
                .all(|audit| audit.stale == 0 && audit.failure.is_none());
        Ok(Report {
            ok,
            stream_failures,
            first_failure: first_failure(&self.recorder),
            unexpected_changes: self.recorder.unexpected.load(SeqCst),
            memory_before,
            storm,
            settled,
            phases,
            rate,
            reconnects,
            audit,
            memory_at_end,
            config: self.args,
        })
    }

    async fn storm<P: Protocol>(&self) -> Result<Storm> {
        let ticks_before = self.user_system()?;
        let start = self.mark()?;
        self.fleet
            .open::<P>(self.args.streams, self.args.streams_per_connection);
        self.recorder.wait_complete(self.storm_limit()).await;
        let end = self.mark()?;
        let (since_start, since_opened) = self.recorder.completion_ms();
        let ticks = ticks_before.zip(self.user_system()?);
        let server_cpu_s = start.server_cpu_until(&end);
        let per_1000 = |cpu: f64| round(cpu * 1000.0 / self.args.streams as f64);
        Ok(Storm {
            wall_s: start.wall_until(&end),
            incomplete_streams: self.recorder.incomplete(),
            completion_ms: Summary::of(since_start),
            own_completion_ms: Summary::of(since_opened),
            traffic: start.traffic_until(&end, 1),
            server_cpu_s: server_cpu_s.map(round),
            server_user_s: ticks.map(|(before, after)| round(after.0 - before.0)),
            server_system_s: ticks.map(|(before, after)| round(after.1 - before.1)),
            server_cpu_s_per_1000_streams: server_cpu_s.map(per_1000),
            client_cpu_s: start.client_cpu_until(&end),
            memory: self.memory()?,
        })
    }

    async fn settle(&self, before: Option<Memory>) -> Result<Settled> {
        // The first half is for what the storm left to do; the second is idle.
        let half = Duration::from_millis(self.args.settle_ms / 2);
        tokio::time::sleep(half).await;
        let start = self.mark()?;
        tokio::time::sleep(half).await;
        let end = self.mark()?;
        let memory = self.memory()?;
        let idle = start.server_cpu_until(&end).filter(|_| !half.is_zero());
        Ok(Settled {
            server_idle_cpu_ms_per_s: idle.map(|cpu| round(cpu * 1e3 / half.as_secs_f64())),
            memory,
            rss_kib_per_stream: before.zip(memory).map(|(before, after)| {
                round((after.rss_kib as f64 - before.rss_kib as f64) / self.args.streams as f64)
            }),
        })
    }

    /// Compares what the fleet holds with what new streams are sent, one for each group.
    pub(crate) async fn audit<P: Protocol>(&self) -> Result<Audit> {
        let observers = self.args.groups.min(self.args.streams);
        let targets = self.fleet.plan.targets.len();
        let recorder = Arc::new(Recorder::new(observers, targets));
        let plan = Arc::clone(&self.fleet.plan);
        let newest = fleet(&self.args, observers, plan, Arc::clone(&recorder))?;
        let newest = Arc::new(newest);
        newest.open::<P>(observers, 1);
        recorder.wait_complete(self.storm_limit()).await;
        let (compared, stale) = self.recorder.compare(&recorder);
        newest.close();
        let unfinished =
            (recorder.incomplete() > 0).then(|| "an observer got no answer".to_owned());
        Ok(Audit {
            observers,
            compared,
            stale,
            failure: first_failure(&recorder).or(unfinished),
        })
    }

    pub(crate) fn resource_target(&self, service: usize) -> Option<usize> {
        let name = resource_name(&self.args, service);
        self.fleet.plan.targets.get(name.as_bytes()).copied()
    }

    pub(crate) fn storm_limit(&self) -> Duration {
        Duration::from_secs(self.args.storm_timeout_s)
    }

    pub(crate) fn bump_limit(&self) -> Duration {
        Duration::from_secs(self.args.bump_timeout_s)
    }

    pub(crate) fn quiet(&self) -> Duration {
        Duration::from_millis(self.args.quiet_ms)
    }

    pub(crate) fn mark(&self) -> Result<Mark> {
        Ok(Mark {
            at: Instant::now(),
            server_cpu: self.args.pid.map(process::cpu_seconds).transpose()?,
            client_cpu: process::cpu_seconds(std::process::id())?,
            traffic: self.recorder.traffic(),
        })
    }

    fn user_system(&self) -> Result<Option<(f64, f64)>> {
        self.args.pid.map(process::user_system_seconds).transpose()
    }

    pub(crate) fn memory(&self) -> Result<Option<Memory>> {
        self.args.pid.map(process::memory).transpose()
    }
}

impl Mark {
    pub(crate) fn wall_until(&self, end: &Mark) -> f64 {
        round((end.at - self.at).as_secs_f64())
    }

    pub(crate) fn server_cpu_until(&self, end: &Mark) -> Option<f64> {
        Some(end.server_cpu? - self.server_cpu?)
    }

    pub(crate) fn client_cpu_until(&self, end: &Mark) -> f64 {
        round(end.client_cpu - self.client_cpu)
    }

    pub(crate) fn traffic_until(&self, end: &Mark, bumps: usize) -> TrafficReport {
        let per_bump = |start: u64, end: u64| round((end - start) as f64 / bumps as f64);
        TrafficReport {
            messages: per_bump(self.traffic.messages, end.traffic.messages),
            resources: per_bump(self.traffic.resources, end.traffic.resources),
            bytes: per_bump(self.traffic.bytes, end.traffic.bytes),
        }
    }
}

/// The endpoint resources of all services that are changed.
fn targets(args: &Args) -> Targets {
    let phases = args.phases.iter().flat_map(Phase::services);
    let is_rated = args.rate.is_some() || args.follow;
    let rate = is_rated.then(|| args.rate_services.all());
    let rate = rate.into_iter().flatten();
    let probe = (args.reconnect > 0).then_some(args.reconnect_probe);
    let mut targets = Targets::new();
    for service in phases.chain(rate).chain(probe) {
        let next = targets.len();
        let name = resource_name(args, service).into_bytes().into();
        targets.entry(name).or_insert(next);
    }
    targets
}

fn fleet(args: &Args, streams: usize, plan: Arc<Plan>, recorder: Arc<Recorder>) -> Result<Fleet> {
    let template = Template::new(
        &args.node_id,
        &args.node_cluster,
        args.groups,
        args.node_metadata.as_deref(),
        args.node_bytes,
    )?;
    let nodes = template.nodes(streams);
    Fleet::new(
        &args.server,
        args.connect_concurrency,
        nodes,
        plan,
        recorder,
    )
}

fn resource_name(args: &Args, service: usize) -> String {
    args.resource.replace("{service}", &service.to_string())
}

fn first_failure(recorder: &Recorder) -> Option<String> {
    recorder
        .first_failure
        .lock()
        .map_or(None, |first| first.clone())
}
