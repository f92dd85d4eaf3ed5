//! How each resource stands at the target, and which are to be looked at next. Pure.
//!
//! One entry says all of a resource: whether it is pending, was refused and when it is tried again, is left out and why. One
//! without an entry is as the source has it, at the target too or at neither. So a resource that is not as the source has it
//! was changed by somebody else only if it had no entry (or one that says the same again): whatever was left, refused, cut
//! off or never written has one, for as long as it takes.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::time::Instant;

use imbl::OrdMap;
use imbl::ordmap::DiffItem;

use super::AFTER_REFUSAL;
use crate::appmesh::known::Known;
use crate::appmesh::plan::{Action, How, Kept, Plan, Step, Why};
use crate::appmesh::read::Scope;
use crate::appmesh::status::Standing;
use crate::model::ResourceId;
use crate::store::{Record, Records, Revision, Stored};

/// What was refused is tried again in pieces of so many, so that nothing new waits for long.
const PIECE: usize = 8;
/// Resources in a row that wait for each other. There are as many levels of a mesh.
const DEEPEST: usize = 16;

/// How all resources stand.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger {
    scope: Scope,
    /// The source as it was last noted.
    source: Stored,
    /// How many of its resources are to be mirrored.
    declared: usize,
    /// All that is not as the source has it.
    others: OrdMap<ResourceId, Standing>,
    /// What the source has changed since it was last looked at.
    news: BTreeSet<ResourceId>,
    refusals: BTreeMap<ResourceId, Refusal>,
    /// Meshes that are to be mirrored and that the source has not.
    absent: BTreeSet<ResourceId>,
    /// Whether all of the target was compared with the source once.
    is_compared: bool,
    /// Whether what is due was put off for what is new, the last time.
    is_put_off: bool,
    /// What is being done, or was, is of this revision of the source.
    revision: Revision,
    /// When the source's first change after that was made.
    later_since: Option<Instant>,
    mirrored: Option<Revision>,
    behind_since: Option<Instant>,
}

/// How a resource was refused.
#[derive(Clone, Debug)]
struct Refusal {
    times: u32,
    again: Instant,
    words: String,
}

impl Ledger {
    pub(super) fn new(scope: Scope) -> Self {
        Self {
            scope,
            ..Self::default()
        }
    }

    /// Begins with a source, of which nobody knows yet what is at the target.
    pub(super) fn begin(&mut self, source: Stored) {
        self.behind_since = source.changed_at;
        self.source = source;
        self.count();
    }

    /// Takes note of what the source is now. Whatever it has changed is pending.
    pub(super) fn note(&mut self, source: Stored) {
        let before = mem::replace(&mut self.source, source);
        let now = &self.source;
        for item in before.records.diff(&now.records) {
            let id = match item {
                DiffItem::Add(id, _) | DiffItem::Remove(id, _) => id,
                DiffItem::Update {
                    old: (id, old),
                    new: (_, new),
                } => {
                    if is_same(old, new) && before.model.get(id) == now.model.get(id) {
                        continue;
                    }
                    id
                }
            };
            if self.scope.includes(id.mesh()) {
                self.others.insert(id.clone(), Standing::Pending);
                self.news.insert(id.clone());
                self.refusals.remove(id);
            }
        }
        if self.mirrored != Some(now.revision) && self.behind_since.is_none() {
            self.behind_since = now.changed_at;
        }
        if self.revision != now.revision && self.later_since.is_none() {
            self.later_since = now.changed_at;
        }
        self.count();
    }

    /// The source, to be worked on, and what it has changed since it was last taken up.
    pub(super) fn take_up(&mut self) -> (Stored, BTreeSet<ResourceId>) {
        self.revision = self.source.revision;
        self.later_since = None;
        (self.source.clone(), mem::take(&mut self.news))
    }

    /// Whether the source has changed since it was last taken up.
    pub(super) fn has_news(&self) -> bool {
        self.revision != self.source.revision
    }

    /// Whether any of that is to be told to the target.
    pub(super) fn is_new(&self) -> bool {
        !self.news.is_empty()
    }

    /// When a refused resource is to be tried again.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.failing().map(|(_, refusal)| refusal.again).min()
    }

    fn failing(&self) -> impl Iterator<Item = (&ResourceId, &Refusal)> {
        let is_failed =
            |id: &ResourceId| matches!(self.others.get(id), Some(Standing::Failed { .. }));
        self.refusals.iter().filter(move |(id, _)| is_failed(id))
    }

    /// What is to be looked at now beside what is new: some of what is due, unless that was put off last time. What is
    /// refused first is tried first.
    pub(super) fn due(&mut self, now: Instant) -> BTreeSet<ResourceId> {
        let is_put_off = !self.news.is_empty() && !self.is_put_off;
        let due = self.failing().filter(|(_, refusal)| refusal.again <= now);
        let mut due: Vec<_> = due
            .map(|(id, refusal)| (refusal.again, id.clone()))
            .collect();
        self.is_put_off = is_put_off && !due.is_empty();
        if is_put_off {
            return BTreeSet::new();
        }
        due.sort();
        due.into_iter().take(PIECE).map(|(_, id)| id).collect()
    }

    /// What is to be looked at with what is new and due: what is left, and of which the reason may be gone.
    pub(super) fn left(&self, due: &BTreeSet<ResourceId>) -> BTreeSet<ResourceId> {
        let left = self.others.iter().filter(|(id, standing)| match standing {
            // They depend on others.
            Standing::NotMirrored(Why::Invalid { .. } | Why::Needs { .. })
            | Standing::Orphaned(Kept::InUse { .. }) => true,
            Standing::Blocked { .. } => !self.waits_in_vain(id, due),
            Standing::Pending
            | Standing::Failed { .. }
            | Standing::NotMirrored(_)
            | Standing::Absent
            | Standing::Foreign(_)
            | Standing::Orphaned(Kept::Unpruned)
            | Standing::Unlike { .. }
            | Standing::Drifted { .. } => false,
        });
        left.map(|(id, _)| id.clone()).collect()
    }

    /// Everything at both sides, but for what was refused and is not due: that is tried again in its time.
    pub(super) fn everything(&self, target: &Known) -> BTreeSet<ResourceId> {
        let all = self.source.records.keys().chain(self.others.keys());
        let mut ids: BTreeSet<ResourceId> = all.chain(target.ids()).cloned().collect();
        let none = BTreeSet::new();
        ids.retain(|id| self.scope.includes(id.mesh()) && !self.waits_in_vain(id, &none));
        ids
    }

    /// Whether a resource was refused, or needs one that was, and that is not one of those that are tried again now.
    fn waits_in_vain(&self, id: &ResourceId, due: &BTreeSet<ResourceId>) -> bool {
        let mut id = id;
        for _ in 0..DEEPEST {
            match self.others.get(id) {
                Some(Standing::Failed { .. }) => return !due.contains(id),
                Some(Standing::Blocked { by }) => id = by,
                _ => return false,
            }
        }
        false
    }

    /// What a plan of everything would change back, since somebody else changed it, and what differs.
    pub(super) fn drifted(&self, plan: &Plan) -> BTreeMap<ResourceId, String> {
        if !self.is_compared {
            return BTreeMap::new();
        }
        let was_left = |id: &ResourceId| {
            let standing = self.others.get(id);
            matches!(
                standing,
                None | Some(Standing::Unlike { .. } | Standing::Drifted { .. })
            )
        };
        let steps = plan.steps.iter().filter(|step| !is_interim(step));
        let steps = steps.filter(|step| !plan.restored.contains(&step.id) && was_left(&step.id));
        steps
            .map(|step| (step.id.clone(), difference(step)))
            .collect()
    }

    /// Whether it is known already that a resource was changed, and to what.
    pub(super) fn is_told(&self, id: &ResourceId, what: &str) -> bool {
        let standing = self.others.get(id);
        matches!(standing, Some(Standing::Drifted { what: known }) if known == what)
    }

    /// Leaves what somebody else changed.
    pub(super) fn leave(&mut self, drifted: BTreeMap<ResourceId, String>) {
        let drifted = drifted.into_iter();
        let drifted = drifted.map(|(id, what)| (id, Standing::Drifted { what }));
        self.others.extend(drifted);
    }

    /// Takes note of what is planned for the resources that were looked at, and of what is not told again.
    pub(super) fn expect(
        &mut self,
        ids: &BTreeSet<ResourceId>,
        plan: &Plan,
        unlike: BTreeMap<ResourceId, String>,
    ) {
        for id in ids {
            self.others.remove(id);
        }
        let others = &mut self.others;
        for left in &plan.not_mirrored {
            let standing = Standing::NotMirrored(left.why.clone());
            others.insert(left.id.clone(), standing);
        }
        // Those of names that the source has not are only counted: there may be an account full of them.
        for foreign in plan.foreign.iter().filter(|foreign| !foreign.is_beside()) {
            let standing = Standing::Foreign(foreign.clone());
            others.insert(foreign.id.clone(), standing);
        }
        for orphan in &plan.orphaned {
            let standing = Standing::Orphaned(orphan.why.clone());
            others.insert(orphan.id.clone(), standing);
        }
        for (id, what) in unlike {
            others.insert(id, Standing::Unlike { what });
        }
        let planned = plan.steps.iter().map(|step| &step.id);
        // What has changed since the plan was made is not yet looked at.
        for id in planned.chain(&self.news) {
            others.insert(id.clone(), Standing::Pending);
        }
        let (others, refusals) = (&self.others, &mut self.refusals);
        refusals.retain(|id, _| {
            let standing = others.get(id);
            matches!(standing, Some(Standing::Pending | Standing::Failed { .. }))
        });
    }

    /// Takes note that a resource is at the target, or gone from there; with what the target has made of it otherwise.
    pub(super) fn done(&mut self, id: &ResourceId, unlike: Option<String>) {
        self.refusals.remove(id);
        self.stand(id, unlike.map(|what| Standing::Unlike { what }));
    }

    /// Takes note that a resource was refused. Returns whether the words are new.
    pub(super) fn refused(&mut self, id: &ResourceId, words: &str, now: Instant) -> bool {
        let before = self.refusals.get(id);
        let is_new = before.is_none_or(|before| before.words != words);
        let times = before.map_or(0, |before| before.times.saturating_add(1));
        if !self.news.contains(id) {
            let refusal = Refusal {
                times,
                again: now + AFTER_REFUSAL.after(times),
                words: words.to_owned(),
            };
            self.refusals.insert(id.clone(), refusal);
        }
        let error = words.to_owned();
        self.stand(id, Some(Standing::Failed { error }));
        is_new
    }

    /// What was refused, and has not been done since.
    pub(super) fn refused_before(&self) -> BTreeSet<ResourceId> {
        self.refusals.keys().cloned().collect()
    }

    /// Takes note that a resource waits for another that failed.
    pub(super) fn blocked(&mut self, id: &ResourceId, by: &ResourceId) {
        self.stand(id, Some(Standing::Blocked { by: by.clone() }));
    }

    fn stand(&mut self, id: &ResourceId, standing: Option<Standing>) {
        // The source wants something else of it by now.
        if self.news.contains(id) {
            return;
        }
        match standing {
            Some(standing) => self.others.insert(id.clone(), standing),
            None => self.others.remove(id),
        };
    }

    /// Takes note that all of the target was compared.
    pub(super) fn compared(&mut self) {
        self.is_compared = true;
    }

    /// Takes note of the meshes that are to be mirrored and are not there; they may come yet. Returns the new ones.
    pub(super) fn find_absent(&mut self) -> Vec<ResourceId> {
        let Scope::Named(meshes) = &self.scope else {
            return Vec::new();
        };
        let ids = meshes.iter().cloned().map(ResourceId::Mesh);
        let absent: BTreeSet<ResourceId> = ids
            .filter(|id| !self.source.records.contains_key(id))
            .collect();
        for id in &absent {
            // What was mirrored of it says more.
            if !self.others.contains_key(id) {
                self.others.insert(id.clone(), Standing::Absent);
            }
        }
        let before = mem::replace(&mut self.absent, absent);
        self.absent.difference(&before).cloned().collect()
    }

    /// Takes note that all that can be done is, as far as the source was taken up.
    pub(super) fn settle(&mut self) {
        let mut others = self.others.values();
        let is_refused =
            others.any(|other| matches!(other, Standing::Failed { .. } | Standing::Blocked { .. }));
        if !is_refused {
            self.mirrored = Some(self.revision);
            self.behind_since = self.later_since;
        }
    }

    /// Whether something of the source is not at the target as it is meant to be there.
    pub(super) fn has_lacks(&self) -> bool {
        !self.absent.is_empty() || self.others.values().any(Standing::is_lack)
    }

    pub(super) fn others(&self) -> &OrdMap<ResourceId, Standing> {
        &self.others
    }

    pub(super) fn mirrored(&self) -> Option<Revision> {
        self.mirrored
    }

    pub(super) fn behind_since(&self) -> Option<Instant> {
        self.behind_since
    }

    /// How many resources the source has, and which; `None` before anybody knows what of it is at the target.
    pub(super) fn declared(&self) -> Option<(usize, &Records)> {
        self.is_compared
            .then_some((self.declared, &self.source.records))
    }

    fn count(&mut self) {
        self.declared = match &self.scope {
            Scope::All => self.source.records.len(),
            Scope::Named(_) => {
                let meshes = self.source.model.meshes();
                let meshes = meshes.filter(|(name, _)| self.scope.includes(name));
                let sizes = meshes
                    .map(|(name, mesh)| usize::from(mesh.spec.is_some()) + mesh.ids(name).count());
                sizes.sum()
            }
        };
    }
}

/// Whether a resource is the same, wherever it is declared.
fn is_same(old: &Record, new: &Record) -> bool {
    (&old.uid, old.version, &old.tags) == (&new.uid, new.version, &new.tags)
}

/// Whether another update of the same resource follows.
pub(super) fn is_interim(step: &Step) -> bool {
    let Action::Update { how, .. } = step.action else {
        return false;
    };
    how == How::Interim
}

/// What a step would change.
pub(super) fn difference(step: &Step) -> String {
    match &step.action {
        Action::Create { .. } => "it was deleted".to_owned(),
        Action::Delete => "it is there again".to_owned(),
        Action::Update { changes, .. } => {
            let changes: Vec<String> = changes.iter().map(ToString::to_string).collect();
            changes.join(", ")
        }
    }
}

#[cfg(test)]
mod tests;
