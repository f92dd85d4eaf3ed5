//! Steady requests, sent whether or not those before were answered; each answer is kept account of.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::world::{PATIENCE, eventually, get};

/// Requests to some services, in turn, through one sidecar.
pub(crate) struct Load {
    name: &'static str,
    account: Arc<Mutex<Account>>,
    stop: CancellationToken,
    sender: JoinHandle<()>,
}

#[derive(Default)]
struct Account {
    phase: &'static str,
    answered: u64,
    /// How many good answers each replica gave.
    replicas: BTreeMap<String, u64>,
    failures: Vec<Failure>,
    slowest: Duration,
}

struct Failure {
    phase: &'static str,
    authority: &'static str,
    sent_after: Duration,
    took: Duration,
    status: u16,
    body: String,
}

impl Load {
    /// Sends a request every 10 ms.
    pub(crate) fn start(
        name: &'static str,
        egress: SocketAddr,
        authorities: &[&'static str],
    ) -> Self {
        let account = Arc::new(Mutex::new(Account {
            phase: "start",
            ..Account::default()
        }));
        let stop = CancellationToken::new();
        let sender = tokio::spawn(send(
            egress,
            authorities.to_vec(),
            Arc::clone(&account),
            stop.clone(),
        ));
        Self {
            name,
            account,
            stop,
            sender,
        }
    }

    /// Says what is going on from now on, for the account of failures.
    pub(crate) fn phase(&self, phase: &'static str) {
        self.account.lock().unwrap().phase = phase;
    }

    /// How many requests have failed.
    pub(crate) fn failures(&self) -> usize {
        self.account.lock().unwrap().failures.len()
    }

    /// Waits until this many more requests have been answered.
    pub(crate) async fn answers(&self, more: u64) {
        let answered = || self.account.lock().unwrap().answered;
        let goal = answered() + more;
        eventually("requests are answered", PATIENCE, async || {
            (answered() >= goal).then_some(())
        })
        .await;
    }

    /// Waits until a replica answers from now on.
    pub(crate) async fn answered_by(&self, replica: SocketAddr) {
        let replica = replica.to_string();
        let count = || {
            let account = self.account.lock().unwrap();
            account.replicas.get(&replica).copied().unwrap_or(0)
        };
        let before = count();
        let what = format!("{replica} answers {}", self.name);
        eventually(&what, PATIENCE, async || (count() > before).then_some(())).await;
    }

    /// Ends it, waits for the last answers, and says what failed, if anything did.
    pub(crate) async fn stop(self) -> Result<String, String> {
        self.stop.cancel();
        self.sender.await.unwrap();
        let account = self.account.lock().unwrap();
        let mut text = format!(
            "{}: {} requests answered, the slowest in {:?}, {} failed; by replica: {:?}",
            self.name,
            account.answered,
            account.slowest,
            account.failures.len(),
            account.replicas
        );
        if account.failures.is_empty() && account.answered > 0 {
            return Ok(text);
        }
        for failure in account.failures.iter().take(40) {
            let Failure {
                phase,
                authority,
                sent_after,
                took,
                status,
                body,
            } = failure;
            write!(
                text,
                "\n  {phase}: {authority}, sent after {sent_after:?}, {status} after {took:?}: {body}"
            )
            .unwrap();
        }
        Err(text)
    }
}

async fn send(
    egress: SocketAddr,
    authorities: Vec<&'static str>,
    account: Arc<Mutex<Account>>,
    stop: CancellationToken,
) {
    let start = Instant::now();
    let mut requests = JoinSet::new();
    let mut authorities = authorities.iter().cycle();
    let mut every = interval(Duration::from_millis(10));
    // After a moment without the processor the rate goes on; it does not catch up.
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = every.tick() => {
                let account = Arc::clone(&account);
                let phase = account.lock().unwrap().phase;
                let authority = *authorities.next().unwrap();
                requests.spawn(async move {
                    let sent = Instant::now();
                    let answer = get(egress, authority, "/").await;
                    let (status, body) = answer.unwrap_or_else(|error| (0, error.to_string()));
                    let failure = Failure {
                        phase, authority, sent_after: sent - start, took: sent.elapsed(), status, body,
                    };
                    account.lock().unwrap().add(failure);
                });
                while let Some(ended) = requests.try_join_next() {
                    ended.unwrap();
                }
            }
        }
    }
    while let Some(ended) = requests.join_next().await {
        ended.unwrap();
    }
}

impl Account {
    fn add(&mut self, answer: Failure) {
        self.answered += 1;
        self.slowest = self.slowest.max(answer.took);
        let identity = serde_json::from_str::<Value>(&answer.body).unwrap_or_default();
        match identity["replica"].as_str() {
            Some(replica) if answer.status == 200 => {
                *self.replicas.entry(replica.to_owned()).or_default() += 1;
            }
            _ => self.failures.push(answer),
        }
    }
}
