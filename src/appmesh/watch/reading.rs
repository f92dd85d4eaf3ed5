//! What the target has is read, and compared with the source: all of it, or some resources.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::time::Instant;

use tokio::task::{JoinSet, spawn_blocking};
use tracing::warn;

use super::round::Refusals;
use super::{Drift, LOGGED, Trouble, Watch};
use crate::appmesh::account::has_ours;
use crate::appmesh::client::{Client, TargetError};
use crate::appmesh::known::Known;
use crate::appmesh::plan::{Foreign, Plan, plan_of};
use crate::appmesh::read::Target;
use crate::model::ResourceId;
use crate::store::Stored;

/// A plan, and what is not told again of which, since the target has its own way with it.
pub(super) type Planned = (Plan, BTreeMap<ResourceId, String>);

impl Watch {
    /// Takes note of what was read, if it is the target that is meant.
    pub(super) fn has_read(
        &mut self,
        client: &Client,
        read: Result<Target, TargetError>,
    ) -> Result<Target, Trouble> {
        self.metrics.read(read.is_ok());
        let target = read?;
        let endpoint = || client.endpoint().to_owned();
        let server = client.server_id();
        if server.as_ref() == Some(&self.options.mirror) {
            return Err(Trouble::Itself {
                endpoint: endpoint(),
            });
        }
        client.recognise(&target, &self.options.mirror)?;
        self.settings.target.account = client.account();
        let is_another = self.server.is_some() && server.is_some() && self.server != server;
        if is_another && !has_ours(&target, &self.options.mirror) {
            if !target.resources.is_empty() {
                return Err(Trouble::Another {
                    endpoint: endpoint(),
                });
            }
            warn!(
                "the mirror's target is another server than before, and has nothing: all is made anew"
            );
        }
        self.server = server.clone().or(self.server.take());
        self.options.target = server;
        Ok(target)
    }

    /// Compares all of the target with the source, and does what there is to do.
    pub(super) async fn compare(&mut self, client: &Client, target: Target) -> Result<(), Trouble> {
        let (stored, _) = self.memory.ledger.take_up();
        let (source, options) = (stored.clone(), self.options.clone());
        let (ledger, before) = (
            self.memory.ledger.clone(),
            mem::take(&mut self.memory.known),
        );
        let touched = mem::take(&mut self.memory.touched);
        // Of a large mesh it takes longer than a runtime thread is to be kept.
        let comparing = spawn_blocking(move || {
            let mut known = Known::read(target, &source.model);
            // What was written while the target was read is newer than what was read of it.
            for id in touched {
                known.take_over(id, &before);
            }
            let ids = ledger.everything(&known);
            let plan = plan_of(ids.clone(), &source, &known, &options);
            (known, ids, plan)
        });
        let compared = self.beside_changes(comparing).await;
        let (known, mut ids, mut plan) =
            compared.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
        self.memory.known = known;
        let beside = plan.foreign.iter();
        let beside = beside.filter(|foreign| Foreign::is_beside(foreign)).count();
        self.status.send_modify(|status| {
            status.last_read = Some(Instant::now());
            status.beside = beside;
        });
        let memory = &mut self.memory;
        let mut aside = memory.unlike.set_aside(&mut plan, &memory.known);
        let drifted = memory.ledger.drifted(&plan);
        memory.ledger.compared();
        self.tell_drift(&drifted);
        if self.settings.drift == Drift::Report && !drifted.is_empty() {
            ids.retain(|id| !drifted.contains_key(id));
            (plan, aside) = self.plan(ids.clone(), &stored).await;
            self.memory.ledger.leave(drifted);
        }
        self.carry_out(client, &stored, &ids, (plan, aside)).await
    }

    /// Says what somebody else changed at the target, where that is not known yet.
    fn tell_drift(&self, drifted: &BTreeMap<ResourceId, String>) {
        let ledger = &self.memory.ledger;
        let new = drifted
            .iter()
            .filter(|(id, what)| !ledger.is_told(id, what));
        let new: Vec<_> = new.collect();
        let is_repaired = self.settings.drift == Drift::Repair;
        for (id, what) in new.iter().take(LOGGED) {
            let done = if is_repaired { "repaired" } else { "left so" };
            warn!("`{id}` was changed at the mirror's target, and is {done}: {what}");
        }
        self.metrics.drifted(new.len(), is_repaired);
    }

    /// Does what the source's changes ask for, and what is to be tried again.
    pub(super) async fn catch_up(&mut self, client: &Client) -> Result<(), Trouble> {
        let due = self.memory.ledger.due(Instant::now());
        let (stored, mut ids) = self.memory.ledger.take_up();
        // What it is known to be may be why it was refused.
        let due = self.look_at(client, due, &stored).await?;
        ids.extend(self.memory.ledger.left(&due));
        ids.extend(due);
        let planned = self.plan(ids.clone(), &stored).await;
        self.carry_out(client, &stored, &ids, planned).await
    }

    /// Plans for some resources.
    async fn plan(&mut self, ids: BTreeSet<ResourceId>, stored: &Stored) -> Planned {
        let known = mem::take(&mut self.memory.known);
        let (source, options) = (stored.clone(), self.options.clone());
        let planning = spawn_blocking(move || {
            let plan = plan_of(ids, &source, &known, &options);
            (plan, known)
        });
        let planned = self.beside_changes(planning).await;
        let (mut plan, known) =
            planned.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
        self.memory.known = known;
        let aside = self.memory.unlike.set_aside(&mut plan, &self.memory.known);
        (plan, aside)
    }

    /// Reads some resources that were refused, and returns those that could be read.
    async fn look_at(
        &mut self,
        client: &Client,
        ids: BTreeSet<ResourceId>,
        stored: &Stored,
    ) -> Result<BTreeSet<ResourceId>, Trouble> {
        let mut running = JoinSet::new();
        for id in ids {
            let client = client.clone();
            running.spawn(async move {
                let held = client.describe(&id).await;
                (id, held)
            });
        }
        let (mut read, mut failures, mut has_answered) = (BTreeSet::new(), Vec::new(), false);
        while let Some(done) = self.beside_changes(running.join_next()).await {
            let (id, held) =
                done.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
            let held = match held {
                Ok(held) => held,
                Err(error) if error.is_of_target() && !error.may_be_of_one() => {
                    return Err(error.into());
                }
                Err(error) => {
                    has_answered |= !error.is_of_target();
                    failures.push((id, error));
                    continue;
                }
            };
            let memory = &mut self.memory;
            memory.touched.insert(id.clone());
            read.insert(id.clone());
            match held {
                Some(held) => memory.known.take_in(&id, held, &stored.model),
                None => memory.known.remove(&id),
            }
        }
        has_answered |= !read.is_empty();
        if !failures.is_empty() && !has_answered {
            self.beside_changes(client.probe()).await?;
        }
        let mut refusals = Refusals::default();
        for (id, error) in failures {
            refusals.add(&mut self.memory.ledger, &id, &error);
        }
        refusals.tell();
        self.publish();
        Ok(read)
    }
}
