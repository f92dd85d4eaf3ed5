//! Does a plan's steps: phase by phase, many calls at a time, and says of each how it went.
//!
//! A step that fails takes down those that need it and no others. Where the target is of no use, or the caller wants to
//! stop, what is under way is finished and the rest is not tried. Nothing is written down about it: the next plan begins
//! with the states that it finds.
//!
//! **Invariant:** nothing is changed or deleted that the target does not say is the mirror's, right before, but for what is
//! adopted.

use std::collections::BTreeSet;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::client::{Client, TargetError, Written};
use super::plan::{Action, Existing, Step, TAG};
use crate::model::ResourceId;

/// How many steps are under way at a time.
const AT_A_TIME: usize = 32;

/// How a step went.
#[derive(Debug)]
pub enum Outcome {
    /// With what the target answered, where a spec was written.
    Done(Option<Written>),
    Failed(TargetError),
    /// What it needs has failed, or an earlier step of the same resource.
    Blocked {
        by: ResourceId,
    },
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
    let mut run = Run {
        client,
        stop,
        failed: BTreeSet::new(),
        is_useless: false,
        outcomes: Vec::with_capacity(steps.len()),
    };
    let mut rest = steps.into_iter().peekable();
    while let Some(first) = rest.next() {
        let phase = first.phase;
        let mut steps = vec![first];
        while let Some(step) = rest.next_if(|step| step.phase == phase) {
            steps.push(step);
        }
        run.phase(steps, &mut told).await;
    }
    run.outcomes
}

struct Run<'a> {
    client: &'a Client,
    stop: &'a CancellationToken,
    /// Everything that is not as the plan wanted it.
    failed: BTreeSet<ResourceId>,
    /// Whether a call has failed for a reason that every other has too.
    is_useless: bool,
    outcomes: Vec<(Step, Outcome)>,
}

impl Run<'_> {
    async fn phase(&mut self, steps: Vec<Step>, told: &mut impl FnMut(&Step, &Outcome)) {
        let mut waiting = steps.into_iter();
        // Dropped, it ends what is under way.
        let mut running = JoinSet::new();
        loop {
            while running.len() < AT_A_TIME
                && let Some(step) = waiting.next()
            {
                if let Some(outcome) = self.hindrance(&step) {
                    self.ended(step, outcome, told);
                    continue;
                }
                let client = self.client.clone();
                running.spawn(async move {
                    let written = write(&client, &step).await;
                    (step, written)
                });
            }
            let Some(ended) = running.join_next().await else {
                return;
            };
            let (step, written) =
                ended.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
            let outcome = match written {
                Ok(written) => Outcome::Done(written),
                Err(error) => {
                    self.is_useless |= error.is_of_target();
                    Outcome::Failed(error)
                }
            };
            self.ended(step, outcome, told);
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

    fn ended(&mut self, step: Step, outcome: Outcome, told: &mut impl FnMut(&Step, &Outcome)) {
        told(&step, &outcome);
        if !matches!(outcome, Outcome::Done(_)) {
            self.failed.insert(step.id.clone());
        }
        self.outcomes.push((step, outcome));
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
