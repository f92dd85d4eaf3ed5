//! One round: what is planned for some resources is done, and how each of them stands then.

use std::collections::BTreeSet;
use std::time::{Instant, SystemTime};

use tokio::time;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{AFTER_REFUSAL, Trouble, Watch};
use crate::appmesh::client::Client;
use crate::appmesh::plan::{Action, Foreign, ForeignState, How, Plan, Step, Why};
use crate::appmesh::read::Scope;
use crate::appmesh::status::{Standing, State};
use crate::appmesh::sync::{self, Outcome};
use crate::model::ResourceId;
use crate::store::Stored;

impl Watch {
    /// Does what is planned for some resources, and says how each of them stands.
    pub(super) async fn carry_out(
        &mut self,
        client: &Client,
        stored: &Stored,
        ids: &BTreeSet<ResourceId>,
        plan: Plan,
    ) -> Result<(), Trouble> {
        let began = Instant::now();
        self.expect(ids, &plan);
        self.count(stored);
        let writes = plan.steps.len();
        let never = CancellationToken::new();
        let mut trouble = None;
        let outcomes = sync::run(client, plan.steps, &never, |step, outcome| {
            self.ended(step, outcome, stored);
        });
        for (_, outcome) in outcomes.await {
            match outcome {
                Outcome::Failed(error) if error.is_of_target() => trouble = Some(error),
                _ => {}
            }
        }
        self.find_absent(stored);
        self.count(stored);
        if let Some(error) = trouble {
            return Err(error.into());
        }
        if writes > 0 {
            let failed = self.failed.len();
            info!(writes, failed, revision = %stored.revision, "mirrored");
        }
        self.settle(stored, began);
        Ok(())
    }

    /// Takes note of what is planned.
    fn expect(&mut self, ids: &BTreeSet<ResourceId>, plan: &Plan) {
        let planned: BTreeSet<&ResourceId> = plan.steps.iter().map(|step| &step.id).collect();
        for id in ids {
            self.failed.remove(id);
            self.waiting.remove(id);
            if !planned.contains(id) {
                // There is nothing to do, or nothing that can be done.
                self.pending.remove(id);
            }
        }
        for left in &plan.not_mirrored {
            if let Why::Needs { .. } = left.why {
                self.waiting.insert(left.id.clone());
            }
        }
        let (drifted, unlike) = (&self.drifted, &self.unlike.aside);
        self.status.send_modify(|status| {
            let others = &mut status.others;
            for id in ids {
                others.remove(id);
            }
            for left in &plan.not_mirrored {
                let standing = Standing::NotMirrored(left.why.clone());
                others.insert(left.id.clone(), standing);
            }
            // Those of names that the source has not are only counted: there may be an account full of them.
            let in_question = |foreign: &&Foreign| foreign.state != ForeignState::Beside;
            for foreign in plan.foreign.iter().filter(in_question) {
                let standing = Standing::Foreign(foreign.clone());
                others.insert(foreign.id.clone(), standing);
            }
            for orphan in &plan.orphaned {
                let standing = Standing::Orphaned(orphan.why.clone());
                others.insert(orphan.id.clone(), standing);
            }
            for id in planned {
                others.insert(id.clone(), Standing::Pending);
            }
            for (id, what) in unlike {
                let what = what.clone();
                others.insert(id.clone(), Standing::Unlike { what });
            }
            for (id, what) in drifted.iter() {
                let what = what.to_owned();
                others.insert(id.clone(), Standing::Drifted { what });
            }
            if !plan.steps.is_empty() {
                status.enter(State::Writing);
            }
        });
    }

    /// Takes note of how a step went.
    fn ended(&mut self, step: &Step, outcome: &Outcome, stored: &Stored) {
        self.metrics.tried(&step.action, outcome);
        let id = &step.id;
        self.touched.insert(id.clone());
        let standing = match outcome {
            Outcome::Done(written) => {
                self.known.wrote(step, written.as_ref(), &stored.model);
                self.unlike.wrote(step, written.as_ref());
                if is_interim(step) {
                    return;
                }
                self.pending.remove(id);
                None
            }
            Outcome::Failed(error) if error.is_of_target() => return,
            Outcome::NotTried => return,
            Outcome::Failed(error) => {
                let error = error.to_string();
                warn!("the mirror's target refused a change of `{id}`: {error}");
                self.pending.remove(id);
                self.failed.insert(id.clone());
                Some(Standing::Failed { error })
            }
            // The failure itself says more.
            Outcome::Blocked { by } if by == id => return,
            Outcome::Blocked { by } => {
                self.pending.remove(id);
                self.waiting.insert(id.clone());
                Some(Standing::Blocked { by: by.clone() })
            }
        };
        self.status.send_modify(|status| {
            if let Some(standing) = standing {
                status.others.insert(id.clone(), standing);
            } else {
                status.others.remove(id);
                status.in_step += usize::from(stored.records.contains_key(id));
            }
        });
    }

    /// Takes note of the meshes that are to be mirrored and are not there. They may come yet.
    fn find_absent(&mut self, stored: &Stored) {
        let Scope::Named(meshes) = &self.options.scope else {
            return;
        };
        let ids = meshes.iter().cloned().map(ResourceId::Mesh);
        let absent: BTreeSet<ResourceId> =
            ids.filter(|id| !stored.records.contains_key(id)).collect();
        for id in absent.difference(&self.absent) {
            warn!("the source has no `{id}`, which is to be mirrored; it is waited for");
        }
        self.status.send_modify(|status| {
            for id in &absent {
                // What was mirrored of it says more.
                status.others.entry(id.clone()).or_insert(Standing::Absent);
            }
        });
        self.absent = absent;
    }

    /// Counts what is in step.
    pub(super) fn count(&self, stored: &Stored) {
        let meshes = stored.model.meshes();
        let meshes = meshes.filter(|(name, _)| self.options.scope.includes(name));
        let sizes =
            meshes.map(|(name, mesh)| usize::from(mesh.spec.is_some()) + mesh.ids(name).count());
        let total: usize = sizes.sum();
        self.status.send_modify(|status| {
            let others = status.others.keys();
            let declared = others.filter(|id| stored.records.contains_key(*id)).count();
            status.in_step = total.saturating_sub(declared);
        });
    }

    /// Says whether the target is now as the source was.
    fn settle(&mut self, stored: &Stored, began: Instant) {
        let (has_blocked, has_lacks) = {
            let status = self.status.borrow();
            let is_blocked = |other: &Standing| matches!(other, Standing::Blocked { .. });
            let has = |is: fn(&Standing) -> bool| status.others.values().any(is);
            (has(is_blocked), has(Standing::is_lack))
        };
        let is_refused = !self.failed.is_empty() || has_blocked;
        if !is_refused {
            (self.retry, self.retries) = (None, 0);
        } else if self.retry.is_none_or(|retry| retry <= time::Instant::now()) {
            let wait = AFTER_REFUSAL
                .after(self.retries)
                .min(self.settings.drift_interval);
            self.retry = Some(time::Instant::now() + wait);
            self.retries = self.retries.saturating_add(1);
        }
        // What has changed meanwhile has changed after it began.
        let is_behind = self.source.has_changed().unwrap_or(false);
        self.status.send_modify(|status| {
            if !is_refused {
                status.mirrored = Some(stored.revision);
                status.behind_since = is_behind.then_some(began);
            }
            if has_lacks || !self.absent.is_empty() {
                status.enter(State::Incomplete);
            } else {
                status.last_success = Some(SystemTime::now());
                status.enter(State::InStep);
            }
        });
    }
}

/// Whether another update of the same resource follows.
pub(super) fn is_interim(step: &Step) -> bool {
    let Action::Update { how, .. } = step.action else {
        return false;
    };
    how == How::Interim
}
