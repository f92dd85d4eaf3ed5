//! The task that owns what is registered.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::metrics::Metrics;
use super::state::{Registration, State};
use super::{CallError, Done, Request, Waiting};
use crate::model::endpoint::{EndpointTable, NodeKey};

/// Calls that are taken together at most.
const BATCH: usize = 1024;
/// How often the age of the oldest renewal is measured.
const MEASURE_INTERVAL: Duration = Duration::from_secs(1);
/// Nodes that one line of the log names.
const NAMED: usize = 10;

#[derive(Debug)]
pub(super) struct Owner {
    state: State,
    published: watch::Sender<State>,
    metrics: Metrics,
}

impl Owner {
    pub(super) fn new(metrics: Metrics, published: watch::Sender<State>) -> Self {
        Self {
            state: State::default(),
            published,
            metrics,
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
            let lease_end = sleep_until_some(self.state.next_end());
            // Every branch may be dropped unfinished: none holds anything.
            tokio::select! {
                () = stop.cancelled() => break,
                received = calls.recv_many(&mut batch, BATCH) => {
                    if received == 0 {
                        // Nobody can call any more; leases end all the same.
                        stop.cancelled().await;
                        break;
                    }
                    self.take(std::mem::take(&mut batch), &table, Instant::now());
                }
                () = lease_end => self.expire(&table, Instant::now()),
                now = measure.tick() => self.measure(now),
            }
        }
    }

    /// Does what these calls ask for, and answers them.
    fn take(&mut self, calls: Vec<Waiting>, table: &watch::Sender<EndpointTable>, now: Instant) {
        let mut next = self.state.clone();
        let mut touched = BTreeSet::new();
        let mut answers = Vec::with_capacity(calls.len());
        for Waiting { request, answer } in calls {
            let changed = match request {
                Request::Put {
                    node,
                    endpoints,
                    lease,
                } => {
                    touched.insert(node.clone());
                    let registration = Registration {
                        endpoints,
                        lease,
                        renewed_at: now,
                    };
                    next.put(node, registration)
                }
                Request::Delete { node } => {
                    let removed = next.remove(&node).is_some();
                    touched.insert(node);
                    removed
                }
            };
            answers.push((answer, changed));
        }
        self.publish(next, touched, table);
        for (answer, changed) in answers {
            let done: Result<Done, CallError> = Ok(Done {
                changed,
                durable: false,
            });
            // Who has left does not want to know.
            drop(answer.send(done));
        }
    }

    fn expire(&mut self, table: &watch::Sender<EndpointTable>, now: Instant) {
        let mut next = self.state.clone();
        let expired = next.expire(now);
        self.metrics.expired(expired.len());
        warn!(
            nodes = expired.len(),
            "leases have ended, and the discovery of these virtual nodes counts again: {}",
            names(&expired)
        );
        self.publish(next, expired.into_iter().collect(), table);
    }

    fn publish(
        &mut self,
        next: State,
        touched: BTreeSet<NodeKey>,
        table: &watch::Sender<EndpointTable>,
    ) {
        self.state = next;
        self.published.send_replace(self.state.clone());
        self.metrics
            .registered(self.state.len(), self.state.endpoints());
        let state = &self.state;
        table.send_if_modified(|table| {
            let mut modified = false;
            for node in &touched {
                let registration = state.get(node);
                modified |= table.register(node, registration.map(|one| &one.endpoints));
            }
            modified
        });
        debug!(nodes = touched.len(), "registrations taken");
    }

    fn measure(&self, now: Instant) {
        let leased = self
            .state
            .registrations()
            .filter(|(_, one)| one.lease.is_some());
        let oldest = leased.map(|(_, one)| one.renewed_at).min();
        let age = oldest.map_or(Duration::ZERO, |oldest| {
            now.saturating_duration_since(oldest)
        });
        self.metrics.oldest_renewal(age.as_secs_f64());
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
