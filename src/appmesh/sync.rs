//! Does a plan's steps: phase by phase, many calls at a time, and says of each how it went.
//!
//! A step that fails takes down those that need it and no others. Where the target is of no use, or the caller wants to
//! stop, what is under way is finished and the rest is not tried. Nothing is written down about it: the next plan begins
//! with the states that it finds.
//!
//! A server may fail over one resource for ever, and answer all other calls. So an answer of that sort is the resource's
//! failure as long as others are taken, and the target's if it does not even say which meshes it has. After [`IN_A_ROW`]
//! different resources it is both: each of them has failed, and what is left is for later.
//!
//! **Invariant:** nothing is changed or deleted that the target does not say is the mirror's, right before, but for what is
//! adopted.

use std::collections::{BTreeSet, VecDeque};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::client::{Client, TargetError, Written};
use super::plan::{Action, Existing, Step, TAG};
use crate::model::ResourceId;

/// How many steps are under way at a time.
const AT_A_TIME: usize = 32;
/// So many resources that fail one after the other are the target's failure, too.
const IN_A_ROW: usize = 3;

/// How a step went.
#[derive(Debug)]
pub enum Outcome {
    /// With what the target answered, where a spec was written.
    Done(Option<Written>),
    /// The resource's own failure.
    Failed(TargetError),
    /// The failure of the target, which is of no use.
    Unavailable(TargetError),
    /// What it needs has failed, or an earlier step of the same resource.
    Blocked { by: ResourceId },
    /// Before its turn came, the target was of no use, or the caller wanted to stop.
    NotTried,
}

/// Does the steps of a plan, which are sorted by phase. `told` hears of each as it ends.
pub async fn run(
    client: &Client,
    steps: Vec<Step>,
    stop: &CancellationToken,
    mut told: impl FnMut(&Step, &Outcome),
) -> Vec<(Step, Outcome)> {
    let mut outcomes = Vec::with_capacity(steps.len());
    let mut run = Run::new(client.clone(), steps, BTreeSet::new(), stop.clone());
    while let Some((step, outcome)) = run.next().await {
        told(&step, &outcome);
        outcomes.push((step, outcome));
    }
    outcomes
}

/// A plan's steps while they are done. Dropped, it ends what is under way.
#[derive(Debug)]
pub(super) struct Run {
    client: Client,
    stop: CancellationToken,
    waiting: VecDeque<Step>,
    phase: usize,
    running: JoinSet<Ended>,
    /// Everything that is not as the plan wanted it.
    failed: BTreeSet<ResourceId>,
    /// What has failed before, so that it says nothing of the target if it does again.
    failed_before: BTreeSet<ResourceId>,
    /// What has failed, since a call last went well, with what the target may be to blame for.
    suspects: Vec<(Step, TargetError)>,
    /// Whether a call has failed for a reason that every other has too.
    is_useless: bool,
    /// What has ended and is yet to be told.
    ended: VecDeque<(Step, Outcome)>,
}

/// A call, or several of one step, that has ended.
#[derive(Debug)]
enum Ended {
    Step(Box<Step>, Result<Option<Written>, TargetError>),
    /// Whether the target answers at all.
    Probe(Result<(), TargetError>),
}

/// Whose failure it is that some steps have failed.
#[derive(Clone, Copy, Debug)]
enum Verdict {
    Resource,
    Target,
    /// It fails over each of them, and over whatever comes next.
    Both,
}

impl Run {
    /// The steps are sorted by phase.
    pub(super) fn new(
        client: Client,
        steps: Vec<Step>,
        failed_before: BTreeSet<ResourceId>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            client,
            stop,
            failed_before,
            phase: steps.first().map_or(0, |step| step.phase),
            waiting: steps.into(),
            running: JoinSet::new(),
            failed: BTreeSet::new(),
            suspects: Vec::new(),
            is_useless: false,
            ended: VecDeque::new(),
        }
    }

    /// The next step that has ended, and how it went; `None` once all have. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<(Step, Outcome)> {
        loop {
            self.begin();
            if let Some(ended) = self.ended.pop_front() {
                return Some(ended);
            }
            match self.running.join_next().await {
                Some(ended) => {
                    match ended
                        .unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
                    {
                        Ended::Step(step, written) => self.take(*step, written),
                        Ended::Probe(Err(_)) => self.judge(Verdict::Target),
                        Ended::Probe(Ok(())) if self.is_in_doubt() => self.judge(Verdict::Both),
                        Ended::Probe(Ok(())) => self.judge(Verdict::Resource),
                    }
                }
                None if self.suspects.is_empty() => return None,
                None => {
                    let client = self.client.clone();
                    self.running
                        .spawn(async move { Ended::Probe(client.probe().await) });
                }
            }
        }
    }

    /// Begins what may be under way.
    fn begin(&mut self) {
        while !self.is_in_doubt()
            && self.running.len() < self.at_a_time()
            && let Some(step) = self.waiting.front()
        {
            if step.phase != self.phase && !self.running.is_empty() {
                return;
            }
            let Some(step) = self.waiting.pop_front() else {
                return;
            };
            self.phase = step.phase;
            if let Some(outcome) = self.hindrance(&step) {
                self.end(step, outcome);
                continue;
            }
            let client = self.client.clone();
            self.running.spawn(async move {
                let written = write(&client, &step).await;
                Ended::Step(Box::new(step), written)
            });
        }
    }

    /// As long as nothing shows that this is the account that is meant, only one is risked.
    fn at_a_time(&self) -> usize {
        if self.client.is_unproven() {
            1
        } else {
            AT_A_TIME
        }
    }

    /// Why a step is not tried.
    fn hindrance(&self, step: &Step) -> Option<Outcome> {
        if self.is_useless || self.stop.is_cancelled() {
            return Some(Outcome::NotTried);
        }
        let by = step.blocked_by(&self.failed)?.clone();
        Some(Outcome::Blocked { by })
    }

    fn take(&mut self, step: Step, written: Result<Option<Written>, TargetError>) {
        match written {
            Ok(written) => {
                self.judge(Verdict::Resource);
                self.end(step, Outcome::Done(written));
            }
            Err(error) if error.may_be_of_one() => {
                self.failed.insert(step.id.clone());
                self.suspects.push((step, error));
            }
            Err(error) if error.is_of_target() => {
                self.is_useless = true;
                self.end(step, Outcome::Unavailable(error));
            }
            Err(error) => {
                // It has answered this call, and so it does others.
                self.judge(Verdict::Resource);
                self.end(step, Outcome::Failed(error));
            }
        }
    }

    /// Whether so many have failed that no more are begun before it is known whose failure that is.
    fn is_in_doubt(&self) -> bool {
        let ids = self.suspects.iter().map(|(step, _)| &step.id);
        let ids = ids.filter(|id| !self.failed_before.contains(*id));
        ids.collect::<BTreeSet<_>>().len() >= IN_A_ROW
    }

    fn judge(&mut self, verdict: Verdict) {
        let suspects = std::mem::take(&mut self.suspects);
        let last = suspects.len().saturating_sub(1);
        for (number, (step, error)) in suspects.into_iter().enumerate() {
            let is_the_targets = match verdict {
                Verdict::Resource => false,
                Verdict::Target => true,
                Verdict::Both => number == last,
            };
            self.is_useless |= is_the_targets;
            let outcome = if is_the_targets {
                Outcome::Unavailable(error)
            } else {
                Outcome::Failed(error)
            };
            self.end(step, outcome);
        }
    }

    fn end(&mut self, step: Step, outcome: Outcome) {
        if !matches!(outcome, Outcome::Done(_)) {
            self.failed.insert(step.id.clone());
        }
        self.ended.push_back((step, outcome));
    }
}

/// Makes the calls of a step.
async fn write(client: &Client, step: &Step) -> Result<Option<Written>, TargetError> {
    // One for each step: a call that is sent again carries the same.
    let token = Uuid::new_v4().to_string();
    match &step.action {
        Action::Create { spec, tags } => {
            let written = client.create(&step.id, spec, tags, &token).await?;
            Ok(Some(written))
        }
        Action::Update { spec, tags, .. } => {
            let arn = still_ours(client, step).await?;
            // The tags first, so that nothing is changed that does not carry the mirror's.
            if !tags.is_empty() {
                client.tag(arn, tags).await?;
            }
            match spec {
                Some(spec) => client.update(&step.id, spec, &token).await.map(Some),
                None => Ok(None),
            }
        }
        Action::Delete => match still_ours(client, step).await {
            Ok(_) => client.delete(&step.id).await.map(|()| None),
            // Somebody else was first.
            Err(error) if error.is_absence() => Ok(None),
            Err(error) => Err(error),
        },
    }
}

/// The ARN of what a step changes, which is whose the step says now: what was read of it may be some minutes old, and its
/// name somebody else's since. What is adopted is asked for too, so that it is the server that was read.
async fn still_ours<'a>(client: &Client, step: &'a Step) -> Result<&'a str, TargetError> {
    let Some(Existing { arn, of }) = &step.there else {
        return Err(taken(client, step));
    };
    let tags = client.tags(arn).await?;
    if of.is_none() || tags.get(TAG) == of.as_ref() {
        Ok(arn)
    } else {
        Err(taken(client, step))
    }
}

fn taken(client: &Client, step: &Step) -> TargetError {
    TargetError::Taken {
        endpoint: client.endpoint().to_owned(),
        id: step.id.to_string(),
    }
}
