//! One round: what is planned for some resources is done, and how each of them stands then.

use std::collections::BTreeSet;
use std::time::{Instant, SystemTime};

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::ledger::{Ledger, is_interim};
use super::reading::Planned;
use super::{LOGGED, Trouble, Watch};
use crate::appmesh::client::{Client, TargetError};
use crate::appmesh::plan::Step;
use crate::appmesh::status::State;
use crate::appmesh::sync::{Outcome, Run};
use crate::model::ResourceId;
use crate::store::Stored;

impl Watch {
    /// Does what is planned for some resources, and says how each of them stands.
    pub(super) async fn carry_out(
        &mut self,
        client: &Client,
        stored: &Stored,
        ids: &BTreeSet<ResourceId>,
        (plan, aside): Planned,
    ) -> Result<(), Trouble> {
        self.memory.ledger.expect(ids, &plan, aside);
        let writes = plan.steps.len();
        if writes > 0 {
            self.enter(State::Writing);
        }
        self.publish();
        let (mut trouble, mut refusals) = (None, Refusals::default());
        let before = self.memory.ledger.refused_before();
        let never = CancellationToken::new();
        let mut run = Run::new(client.clone(), plan.steps, before, never);
        while let Some((step, outcome)) = self.beside_changes(run.next()).await {
            self.ended(&step, &outcome, stored);
            match outcome {
                Outcome::Failed(error) => {
                    refusals.add(&mut self.memory.ledger, &step.id, &error);
                }
                Outcome::Unavailable(error) => trouble = Some(error),
                Outcome::Done(_) | Outcome::Blocked { .. } | Outcome::NotTried => {}
            }
            self.publish();
        }
        // It may only now be known.
        self.settings.target.account = client.account();
        refusals.tell();
        for id in self.memory.ledger.find_absent() {
            warn!("the source has no `{id}`, which is to be mirrored; it is waited for");
        }
        self.publish();
        if let Some(error) = trouble {
            return Err(error.into());
        }
        if writes > 0 {
            let failed = refusals.count;
            info!(writes, failed, revision = %stored.revision, "mirrored");
        }
        self.settle();
        Ok(())
    }

    /// Takes note of how a step went.
    fn ended(&mut self, step: &Step, outcome: &Outcome, stored: &Stored) {
        self.metrics.tried(&step.action, outcome);
        let (id, memory) = (&step.id, &mut self.memory);
        match outcome {
            Outcome::Done(written) => {
                memory.touched.insert(id.clone());
                let written = written.as_ref();
                memory.known.wrote(step, written, &stored.model);
                let unlike = memory.unlike.wrote(step, written);
                if !is_interim(step) {
                    memory.ledger.done(id, unlike);
                }
            }
            // The failure itself says more.
            Outcome::Blocked { by } if by == id => {}
            Outcome::Blocked { by } => memory.ledger.blocked(id, by),
            Outcome::Failed(_) | Outcome::Unavailable(_) | Outcome::NotTried => {}
        }
    }

    /// Says whether the target is now as the source was.
    fn settle(&mut self) {
        let ledger = &mut self.memory.ledger;
        ledger.settle();
        let (is_new, has_lacks) = (ledger.is_new(), ledger.has_lacks());
        self.publish();
        self.status.send_modify(|status| {
            if is_new {
                status.enter(State::Writing);
            } else if has_lacks {
                status.enter(State::Incomplete);
            } else {
                status.last_success = Some(SystemTime::now());
                status.enter(State::InStep);
            }
        });
    }
}

/// What was refused in a round.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    count: usize,
    /// With words that were not told before.
    new: Vec<(ResourceId, String)>,
}

impl Refusals {
    /// Takes note of one.
    pub(super) fn add(&mut self, ledger: &mut Ledger, id: &ResourceId, error: &TargetError) {
        self.count += 1;
        let words = error.to_string();
        if ledger.refused(id, &words, Instant::now()) {
            self.new.push((id.clone(), words));
        }
    }

    /// Says what is new: the rest was said before, and there may be many.
    pub(super) fn tell(&self) {
        for (id, words) in self.new.iter().take(LOGGED) {
            warn!("the mirror's target refused a change of `{id}`: {words}");
        }
        if let more @ 1.. = self.new.len().saturating_sub(LOGGED) {
            warn!(
                "the mirror's target refused changes of {more} more; see `outrigger sync status`"
            );
        }
    }
}
