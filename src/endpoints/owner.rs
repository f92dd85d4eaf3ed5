//! The task that owns what is registered: answers calls, ends leases, and publishes.
//!
//! While one group of calls is brought to the disk the next one gathers, so that the number of calls a second does not
//! depend on how long the disk takes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::disk::{Clock, Disk, Kept, Loaded, Save};
use super::metrics::Metrics;
use super::state::{Registration, State};
use super::{CallError, Done, Request, Waiting};
use crate::model::endpoint::{EndpointTable, NodeKey};

/// Calls that are taken together at most.
const BATCH: usize = 1024;
/// How often the age of the oldest renewal is measured.
const MEASURE_INTERVAL: Duration = Duration::from_secs(1);
/// While there are leases, how long after a write the clock is written at the latest: by so much a lease may get longer
/// when the process is killed.
const CLOCK_PACE: Duration = Duration::from_secs(5);
/// Nodes that one line of the log names.
const NAMED: usize = 10;

#[derive(Debug)]
pub(super) struct Owner {
    state: State,
    published: watch::Sender<State>,
    metrics: Metrics,
    /// `None`: in memory only, or away while something is written.
    disk: Option<Disk>,
    durable: bool,
    clock: Duration,
    started: Instant,
    saved_at: Instant,
    /// What the disk may not know, since a write failed.
    unsaved: BTreeSet<NodeKey>,
}

type Answer = (oneshot::Sender<Result<Done, CallError>>, bool);

impl Owner {
    pub(super) fn new(
        metrics: Metrics,
        published: watch::Sender<State>,
        kept: Option<(Disk, Loaded)>,
    ) -> Self {
        let now = Instant::now();
        let (disk, loaded) = kept.unzip();
        let Loaded {
            clock,
            registrations,
        } = loaded.unwrap_or_default();
        let mut state = State::default();
        if let Some(disk) = disk.as_ref().filter(|_| !registrations.is_empty()) {
            let (file, nodes) = (disk.path().display(), registrations.len());
            info!(%file, nodes, "took over registered endpoints");
        }
        for (node, kept) in registrations {
            state.put(node, restored(kept, clock, now));
        }
        published.send_replace(state.clone());
        Self {
            state,
            published,
            metrics,
            durable: disk.is_some(),
            disk,
            clock,
            started: now,
            saved_at: now,
            unsaved: BTreeSet::new(),
        }
    }

    pub(super) async fn run(
        mut self,
        mut calls: mpsc::Receiver<Waiting>,
        table: watch::Sender<EndpointTable>,
        stop: CancellationToken,
    ) {
        let mut measure = interval(MEASURE_INTERVAL);
        measure.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut batch = Vec::new();
        loop {
            // Where renewals cannot be kept they are refused, and no lease ends for want of one.
            let lease_end = self.state.next_end().filter(|_| !self.is_failing());
            let lease_end = sleep_until_some(lease_end);
            // Every branch may be dropped unfinished: none holds anything.
            tokio::select! {
                () = stop.cancelled() => break,
                received = calls.recv_many(&mut batch, BATCH), if !calls.is_closed() => {
                    if received > 0 {
                        self.take(std::mem::take(&mut batch), &table).await;
                    }
                }
                () = lease_end => {
                    // A renewal that waits came in time.
                    if !calls.is_empty() {
                        calls.recv_many(&mut batch, BATCH).await;
                        self.take(std::mem::take(&mut batch), &table).await;
                    }
                    self.expire(&table).await;
                }
                now = measure.tick() => self.measure(now).await,
            }
        }
        self.mark_clock().await;
    }

    /// Brings all registrations into the table.
    pub(super) fn publish_all(&mut self, table: &watch::Sender<EndpointTable>) {
        let all = self.state.registrations().map(|(node, _)| node.clone());
        let all: BTreeSet<NodeKey> = all.collect();
        self.publish(&all, table);
    }

    /// Does what these calls ask for, in their order, and answers them.
    async fn take(&mut self, calls: Vec<Waiting>, table: &watch::Sender<EndpointTable>) {
        let now = Instant::now();
        let mut next = self.state.clone();
        let mut touched = BTreeSet::new();
        let mut answers = Vec::with_capacity(calls.len());
        for Waiting { request, answer } in calls {
            let (node, changed) = perform(&mut next, request, now);
            touched.insert(node);
            answers.push((answer, changed));
        }
        let was_failing = self.is_failing();
        if let Err(problem) = self.save(&touched, &next).await {
            warn!("calls that register endpoints are refused: {problem}");
            return refuse(answers, &problem);
        }
        // A lease begins with the answer, however long it took to write.
        next.renew(touched.iter().cloned(), Instant::now());
        self.state = next;
        self.resume(was_failing);
        self.publish(&touched, table);
        for (answer, changed) in answers {
            let durable = self.durable;
            // Who has left does not want to know.
            drop(answer.send(Ok(Done { changed, durable })));
        }
    }

    /// Whether the newest write failed.
    fn is_failing(&self) -> bool {
        self.durable && (self.disk.is_none() || !self.unsaved.is_empty())
    }

    /// After writes that failed and one that did not: who was refused gets the time of a whole lease to come again.
    fn resume(&mut self, was_failing: bool) {
        if was_failing && !self.is_failing() {
            let all = self.state.registrations().map(|(node, _)| node.clone());
            let all: Vec<_> = all.collect();
            self.state.renew(all, Instant::now());
        }
    }

    async fn expire(&mut self, table: &watch::Sender<EndpointTable>) {
        if self.is_failing() {
            return;
        }
        let expired = self.state.expire(Instant::now());
        if expired.is_empty() {
            return;
        }
        self.metrics.expired(expired.len());
        warn!(
            nodes = expired.len(),
            "leases of registered endpoints have ended, so the discovery of these virtual nodes counts again: {}",
            names(&expired)
        );
        let expired = expired.into_iter().collect();
        // They are gone whatever the disk says.
        self.publish(&expired, table);
        let state = self.state.clone();
        if let Err(problem) = self.save(&expired, &state).await {
            warn!("that leases have ended is not kept yet: {problem}");
        }
    }

    fn publish(&mut self, touched: &BTreeSet<NodeKey>, table: &watch::Sender<EndpointTable>) {
        let state = &self.state;
        self.published.send_replace(state.clone());
        self.metrics.registered(state.len(), state.endpoints());
        table.send_if_modified(|table| {
            let mut modified = false;
            for node in touched {
                let registration = state.get(node);
                modified |= table.register(node, registration.map(|one| &one.endpoints));
            }
            modified
        });
    }

    /// Brings these nodes' registrations to the disk, as they are in `next`.
    async fn save(&mut self, touched: &BTreeSet<NodeKey>, next: &State) -> Result<(), Arc<str>> {
        if !self.durable {
            return Ok(());
        }
        let Some(mut disk) = self.disk.take() else {
            return Err("an earlier write ended early; restart the control plane".into());
        };
        let save = |node: &NodeKey| {
            let registration = next.get(node).cloned();
            let old = self.state.get(node).zip(registration.as_ref());
            Save {
                only_lease: old.is_some_and(|(old, new)| old.endpoints == new.endpoints)
                    && !self.unsaved.contains(node),
                registration,
                node: node.clone(),
            }
        };
        let saves: Vec<Save> = touched.union(&self.unsaved).map(save).collect();
        let now = Instant::now();
        let clock = Clock {
            base: self.clock,
            started: self.started,
            now,
        };
        let path = disk.path().to_owned();
        let saving = spawn_blocking(move || (disk.save(&saves, clock), disk));
        let problem = match saving.await {
            Ok((saved, disk)) => {
                self.disk = Some(disk);
                saved.err().map(|error| error.to_string())
            }
            Err(error) => Some(error.to_string()),
        };
        self.metrics.saved(problem.is_none());
        self.saved_at = now;
        match problem {
            None => {
                self.unsaved.clear();
                Ok(())
            }
            Some(problem) => {
                // Whatever becomes of the file meanwhile, the next write makes it whole.
                let all = self.state.registrations().map(|(node, _)| node.clone());
                self.unsaved.extend(all.chain(touched.iter().cloned()));
                Err(format!("cannot write `{}`: {problem}", path.display()).into())
            }
        }
    }

    async fn measure(&mut self, now: Instant) {
        let all = self.state.registrations();
        let leased = all.filter(|(_, one)| one.lease.is_some());
        let oldest = leased.map(|(_, one)| one.renewed_at).min();
        let age = oldest.map(|oldest| now.saturating_duration_since(oldest));
        self.metrics
            .oldest_renewal(age.unwrap_or_default().as_secs_f64());
        let is_due = now.saturating_duration_since(self.saved_at) >= CLOCK_PACE;
        if is_due && (oldest.is_some() || !self.unsaved.is_empty()) {
            self.mark_clock().await;
        }
    }

    async fn mark_clock(&mut self) {
        let state = self.state.clone();
        let was_failing = self.is_failing();
        let saved = self.save(&BTreeSet::new(), &state).await;
        self.resume(was_failing);
        if let Err(problem) = saved {
            warn!("how far the leases of registered endpoints are is not kept: {problem}");
        }
    }
}

/// Does what a call asks for, and says of which node and whether its endpoints changed.
fn perform(state: &mut State, request: Request, now: Instant) -> (NodeKey, bool) {
    match request {
        Request::Put {
            node,
            endpoints,
            lease,
        } => {
            let registration = Registration {
                endpoints,
                lease,
                renewed_at: now,
            };
            let changed = state.put(node.clone(), registration);
            (node, changed)
        }
        Request::Delete { node } => {
            let removed = state.remove(&node).is_some();
            (node, removed)
        }
    }
}

fn refuse(answers: Vec<Answer>, problem: &Arc<str>) {
    for (answer, _) in answers {
        let problem = Arc::clone(problem);
        drop(answer.send(Err(CallError::NotKept { problem })));
    }
}

/// What is left of a lease is what was left when the clock was last written.
fn restored(kept: Kept, clock: Duration, now: Instant) -> Registration {
    let age = clock.saturating_sub(kept.renewed_at);
    Registration {
        endpoints: kept.endpoints,
        lease: kept.lease,
        renewed_at: now.checked_sub(age).unwrap_or(now),
    }
}

fn names(nodes: &[NodeKey]) -> String {
    let named = nodes.iter().take(NAMED);
    let mut names: Vec<String> = named
        .map(|(mesh, node)| format!("mesh/{mesh}/virtualNode/{node}"))
        .collect();
    if nodes.len() > NAMED {
        names.push(format!("and {} more", nodes.len() - NAMED));
    }
    names.join(", ")
}

async fn sleep_until_some(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
