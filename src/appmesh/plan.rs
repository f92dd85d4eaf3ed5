//! What makes a target what the source is: from the states of both to the steps between them. Pure.
//!
//! **Invariant:** nothing is changed or deleted that does not carry this mirror's tag, but for what an adoption takes over,
//! and that the source declares.
//!
//! Tags are added and changed. Those that the source no longer has stay at the target, where nobody can say whether the
//! mirror or somebody else put them.

mod interim;
mod left;
mod order;
mod ports;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::known::{Known, There, json};
use super::read::Scope;
use crate::model::defaults::fill_defaults;
use crate::model::difference::{Change, changes, tag_changes};
use crate::model::problem::Severity;
use crate::model::tags::{MOST, Tags, is_reserved};
use crate::model::validate::problems_of;
use crate::model::{MeshName, Resource, ResourceId, order as levels};
use crate::store::Stored;

pub use left::{Foreign, ForeignState, Kept, NotMirrored, Orphan, Why};

/// The tag of what a mirror has written, with the id of the server that it was mirrored from.
pub const TAG: &str = "outrigger:mirrored-from";
/// What the tags begin with that are Outrigger's own.
const OWN_TAGS: &str = "outrigger:";

/// How the target is to follow.
#[derive(Clone, Debug)]
pub struct Options {
    /// The id of the server whose mesh is mirrored.
    pub mirror: String,
    /// The target's own id, if it is an Outrigger.
    pub target: Option<String>,
    /// Take over what the source declares and somebody else made at the target.
    pub adopt: bool,
    /// Delete what was mirrored and is no longer there.
    pub prune: bool,
    /// The meshes that are mirrored.
    pub scope: Scope,
}

/// Everything that there is to do, and what is left as it is.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// By phase; those of a phase do not depend on each other.
    pub steps: Vec<Step>,
    pub unchanged: usize,
    /// Of those that have steps, the ones that are as they should be, and are so again when others have changed.
    pub restored: BTreeSet<ResourceId>,
    pub foreign: Vec<Foreign>,
    pub orphaned: Vec<Orphan>,
    pub not_mirrored: Vec<NotMirrored>,
}

/// One write.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    pub id: ResourceId,
    /// What has to be there; `None` of what is made.
    pub there: Option<Existing>,
    pub action: Action,
    /// Everything of an earlier phase is done or given up before.
    pub phase: usize,
    /// Of these no earlier step may have failed, nor of the resource itself.
    pub needs: BTreeSet<ResourceId>,
    /// No order is known in which AWS took this change together with the others; Outrigger takes it.
    pub is_unsure: bool,
}

/// What a step changes or deletes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Existing {
    /// By which the target knows it.
    pub arn: String,
    /// The mirror whose it has to be, still. `None`: anybody's, since the step takes it over.
    pub of: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    Create {
        spec: Value,
        tags: Tags,
    },
    Update {
        /// `None` if only tags differ.
        spec: Option<Value>,
        /// Those to add or to change.
        tags: Tags,
        changes: Vec<Change>,
        how: How,
    },
    Delete,
}

/// Why a resource is updated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// The source says so.
    Follow,
    /// And it was not the mirror's before.
    Adopt,
    /// On the way to what the source says, so that the service takes each step. Another update follows.
    Interim,
}

/// Compares everything within the scope.
pub fn plan(source: &Stored, target: &Known, options: &Options) -> Plan {
    let ids = source.records.keys().chain(target.ids()).cloned();
    plan_of(ids.collect(), source, target, options)
}

/// The meshes to be mirrored of which neither the source has anything nor, as a mirrored one, the target.
pub fn absent(plan: &Plan, source: &Stored, scope: &Scope) -> Vec<MeshName> {
    let Scope::Named(meshes) = scope else {
        return Vec::new();
    };
    let steps = plan.steps.iter().map(|step| &step.id);
    let orphaned = plan.orphaned.iter().map(|orphan| &orphan.id);
    let ids = steps.chain(orphaned).chain(source.records.keys());
    let there: BTreeSet<&MeshName> = ids.map(ResourceId::mesh).collect();
    let absent = meshes.iter().filter(|mesh| !there.contains(mesh));
    absent.cloned().collect()
}

/// Compares some resources.
pub fn plan_of(
    ids: BTreeSet<ResourceId>,
    source: &Stored,
    target: &Known,
    options: &Options,
) -> Plan {
    let mut ids: Vec<ResourceId> = ids.into_iter().collect();
    ids.retain(|id| options.scope.includes(id.mesh()));
    // What a resource needs is decided on before the resource.
    ids.sort_by_key(|id| levels::level(id.kind()));
    let mut comparison = Comparison {
        source,
        target,
        options,
        plan: Plan::default(),
        intents: BTreeMap::new(),
    };
    for id in ids {
        comparison.look_at(id);
    }
    comparison.finish()
}

/// What is to become of one resource.
#[derive(Clone, Debug)]
struct Intent {
    action: Action,
    /// What it becomes, if its spec is written.
    resource: Option<Resource>,
}

struct Comparison<'a> {
    source: &'a Stored,
    target: &'a Known,
    options: &'a Options,
    plan: Plan,
    intents: BTreeMap<ResourceId, Intent>,
}

/// A resource as the source has it.
struct Wanted {
    resource: Resource,
    spec: Value,
    /// With the mirror's own.
    tags: Tags,
}

impl Comparison<'_> {
    fn look_at(&mut self, id: ResourceId) {
        let target = self.target;
        match (self.wanted(&id), target.get(&id)) {
            (None, None) => {}
            (Some(wanted), None) => self.create(wanted),
            (Some(wanted), Some(there)) => self.update(wanted, &there),
            (None, Some(there)) if self.is_ours(&there) => {
                if self.options.prune {
                    self.intents.insert(id, Intent::delete());
                } else {
                    let why = Kept::Unpruned;
                    self.plan.orphaned.push(Orphan { id, why });
                }
            }
            (None, Some(there)) => self.foreign(id, &there, ForeignState::Beside),
        }
    }

    fn finish(self) -> Plan {
        let restore = |id: &ResourceId| self.restore(id);
        let ordered = order::order(&self.intents, self.target, &restore);
        let mut plan = self.plan;
        plan.steps = ordered.steps;
        for step in &mut plan.steps {
            step.there = existing(step, self.target, &self.options.mirror);
        }
        let ids = plan.steps.iter().map(|step| &step.id);
        let restored = ids.filter(|id| !self.intents.contains_key(*id));
        plan.restored = restored.cloned().collect();
        let kept = ordered.in_use.into_iter();
        plan.orphaned.extend(kept.map(|(id, by)| Orphan {
            id,
            why: Kept::InUse { by },
        }));
        plan
    }

    fn wanted(&self, id: &ResourceId) -> Option<Wanted> {
        let record = self.source.records.get(id)?;
        let mut spec = self.source.model.get(id)?;
        fill_defaults(&mut spec);
        let resource = Resource {
            id: id.clone(),
            spec,
        };
        let mut tags = record.tags.clone();
        // What Outrigger's own tags say is of this server: a prune at the target must not go by a set that was applied here.
        tags.retain(|key, _| !key.starts_with(OWN_TAGS));
        tags.insert(TAG.to_owned(), self.options.mirror.clone());
        Some(Wanted {
            spec: json(&resource.spec),
            resource,
            tags,
        })
    }

    fn is_ours(&self, there: &There<'_>) -> bool {
        there.tags.get(TAG) == Some(&self.options.mirror)
    }

    fn create(&mut self, wanted: Wanted) {
        if self.is_from_target(&wanted.resource.id) {
            return self.leave_out(wanted.resource.id, Why::FromTarget);
        }
        if let Some(why) = self.hindrance(&wanted, &Tags::new(), true) {
            return self.leave_out(wanted.resource.id, why);
        }
        let action = Action::Create {
            spec: wanted.spec,
            tags: wanted.tags,
        };
        let id = wanted.resource.id.clone();
        let resource = Some(wanted.resource);
        self.intents.insert(id, Intent { action, resource });
    }

    fn update(&mut self, wanted: Wanted, there: &There<'_>) {
        let id = wanted.resource.id.clone();
        let is_ours = self.is_ours(there);
        // What has been mirrored both ways goes the way that a mirror runs now.
        if !is_ours && self.is_from_target(&id) {
            return self.leave_out(id, Why::FromTarget);
        }
        let mut changes = changes(&there.spec, &wanted.spec);
        if !is_ours && (!self.options.adopt || there.no_tags.is_some()) {
            let state = if changes.is_empty() {
                ForeignState::Same
            } else {
                ForeignState::Differs(changes)
            };
            return self.foreign(id, there, state);
        }
        let spec = (!changes.is_empty()).then(|| wanted.spec.clone());
        let mut tags = wanted.tags.clone();
        tags.retain(|key, value| there.tags.get(key) != Some(value));
        changes.extend(tag_changes(there.tags, &tags));
        if changes.is_empty() {
            self.plan.unchanged += 1;
            return;
        }
        if let Some(why) = self.hindrance(&wanted, there.tags, spec.is_some()) {
            return self.leave_out(id, why);
        }
        let resource = spec.is_some().then_some(wanted.resource);
        let action = Action::Update {
            spec,
            tags,
            changes,
            how: if is_ours { How::Follow } else { How::Adopt },
        };
        self.intents.insert(id, Intent { action, resource });
    }

    /// Whether it is a copy of the target's, which goes back there only to be adopted.
    fn is_from_target(&self, id: &ResourceId) -> bool {
        let record = self.source.records.get(id);
        let from = record.and_then(|record| record.tags.get(TAG));
        !self.options.adopt && from.is_some() && from == self.options.target.as_ref()
    }

    /// Why a resource cannot be written.
    fn hindrance(&self, wanted: &Wanted, there: &Tags, writes_spec: bool) -> Option<Why> {
        let id = &wanted.resource.id;
        if let (ResourceId::Mesh(mesh), false) = (id, self.target.contains(id))
            && let Some(owner) = self.target.sharers(mesh).next()
        {
            return Some(Why::Shared {
                owner: owner.to_owned(),
            });
        }
        if self.target.lacks(id.kind()) {
            return Some(Why::Unknown { kind: id.kind() });
        }
        if let Some(key) = wanted.tags.keys().find(|key| is_reserved(key)) {
            return Some(Why::ReservedTag { key: key.clone() });
        }
        let new = wanted.tags.keys().filter(|key| !there.contains_key(*key));
        let count = there.len() + new.count();
        if count > MOST {
            return Some(Why::TooManyTags { count });
        }
        if !writes_spec {
            return None;
        }
        let problems = problems_of(&self.source.model, id);
        let mut problems = problems.into_iter();
        if let Some(error) = problems.find(|problem| problem.severity == Severity::Error) {
            let problem = error.what;
            return Some(Why::Invalid { problem });
        }
        let mut needs = levels::needs(&wanted.resource).into_iter();
        let missing =
            needs.find(|id| !self.target.contains(id) && !self.intents.contains_key(id))?;
        Some(Why::Needs { id: missing })
    }

    fn leave_out(&mut self, id: ResourceId, why: Why) {
        self.plan.not_mirrored.push(NotMirrored { id, why });
    }

    fn foreign(&mut self, id: ResourceId, there: &There<'_>, state: ForeignState) {
        let of = there.tags.get(TAG).cloned();
        let no_tags = there.no_tags.map(str::to_owned);
        self.plan.foreign.push(Foreign {
            id,
            of,
            no_tags,
            state,
        });
    }

    /// The update that brings a resource of ours, which is as the source has it, back to that.
    fn restore(&self, id: &ResourceId) -> Option<Intent> {
        let there = self.target.get(id)?;
        // What an earlier step has adopted is ours too.
        if !self.is_ours(&there) && !self.intents.contains_key(id) {
            return None;
        }
        let wanted = self.wanted(id)?;
        let action = Action::Update {
            spec: Some(wanted.spec),
            tags: Tags::new(),
            changes: Vec::new(),
            how: How::Follow,
        };
        let resource = Some(wanted.resource);
        Some(Intent { action, resource })
    }
}

fn existing(step: &Step, target: &Known, mirror: &str) -> Option<Existing> {
    let is_adopted = match &step.action {
        Action::Create { .. } => return None,
        Action::Update { tags, .. } => tags.contains_key(TAG),
        Action::Delete => false,
    };
    Some(Existing {
        arn: target.arn(&step.id)?.to_owned(),
        of: (!is_adopted).then(|| mirror.to_owned()),
    })
}

impl Step {
    /// What keeps it from being tried, of what is not as the plan wanted it.
    pub fn blocked_by(&self, failed: &BTreeSet<ResourceId>) -> Option<&ResourceId> {
        let mut needs = std::iter::once(&self.id).chain(&self.needs);
        needs.find(|id| failed.contains(*id))
    }
}

impl Intent {
    fn delete() -> Self {
        Self {
            action: Action::Delete,
            resource: None,
        }
    }
}
