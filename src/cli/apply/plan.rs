//! What an apply does: from what there is and what is declared to the steps between them. Pure.
//!
//! **Invariant:** nothing is deleted that the set did not apply, that is still declared, or that belongs to a file of the
//! server.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

use crate::cli::remote::{Listing, Owner, Remote};
use crate::cli::step::{Action, Step};
use crate::model::defaults::fill_defaults;
use crate::model::difference::{changes, tag_changes};
use crate::model::tags::{MOST, Tags};
use crate::model::{MeshName, Resource, ResourceId, Spec, order};

/// The tag that says which set a resource belongs to.
pub(super) const SET_TAG: &str = "outrigger:applied-by";

/// A resource as the files declare it, with what the service would fill in.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) resource: Resource,
    pub(super) tags: Tags,
}

impl Wanted {
    pub(super) fn new(mut resource: Resource, tags: Tags) -> Self {
        fill_defaults(&mut resource.spec);
        Self { resource, tags }
    }
}

/// How to get from one to the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Options<'a> {
    /// Whose resources these are.
    pub(super) set: &'a str,
    /// Delete what the set applied and nothing declares any more, as far as this reaches.
    pub(super) prune: Option<Reach>,
    /// Take over what another set applied, or another tool made.
    pub(super) take_over: bool,
}

/// In which meshes a prune looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// In those that the files declare or name. For a set of no name of its own, which any other files may share.
    Named,
    /// And in those that the set itself declared.
    Own,
    /// In all.
    Everywhere,
}

/// Why a declared resource cannot be applied, which is known before anything is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Conflict {
    OwnedByFile {
        id: ResourceId,
        file: Owner,
    },
    OfAnotherSet {
        id: ResourceId,
        set: String,
    },
    /// Another tool made it, and it differs.
    OfNoSet {
        id: ResourceId,
    },
    TooManyTags {
        id: ResourceId,
        count: usize,
    },
}

/// Everything that an apply does.
#[derive(Clone, Debug, Default)]
pub(super) struct Plan {
    /// In an order in which they can be done: creates and updates, then deletes.
    pub(super) steps: Vec<Step>,
    pub(super) unchanged: usize,
    pub(super) conflicts: Vec<Conflict>,
}

/// Compares what there is with what is declared.
pub(super) fn plan(current: &Listing, declared: &[Wanted], options: Options<'_>) -> Plan {
    let mut plan = Plan::default();
    for wanted in declared {
        let id = &wanted.resource.id;
        match current.resources.get(id) {
            None => {
                limit_tags(&mut plan, id, &Tags::new(), &tags(wanted, options.set));
                plan.steps.push(create(wanted, options));
            }
            Some(there) => update(&mut plan, there, wanted, options),
        }
    }
    if let Some(reach) = options.prune {
        let declared = declared.iter().map(|wanted| wanted.resource.id.clone());
        let gone = orphans(current, &declared.collect(), options.set, reach);
        plan.steps.extend(gone.into_iter().map(Step::delete));
    }
    plan.steps
        .sort_by(|a, b| (a.phase(), &a.id).cmp(&(b.phase(), &b.id)));
    plan
}

/// What the set applied and nothing declares any more.
pub(super) fn orphans(
    current: &Listing,
    declared: &BTreeSet<ResourceId>,
    set: &str,
    reach: Reach,
) -> BTreeSet<ResourceId> {
    let is_of_set = |there: &Remote| {
        there.owner == Owner::Api && there.tags.get(SET_TAG).is_some_and(|of| of == set)
    };
    let named: BTreeSet<&MeshName> = declared.iter().map(ResourceId::mesh).collect();
    let is_reached = |mesh: &MeshName| match reach {
        Reach::Everywhere => true,
        Reach::Named => named.contains(mesh),
        Reach::Own => {
            let own = current.resources.get(&ResourceId::Mesh(mesh.clone()));
            named.contains(mesh) || own.is_some_and(is_of_set)
        }
    };
    let is_orphan = |there: &&Remote| {
        is_of_set(there) && !declared.contains(&there.id) && is_reached(there.id.mesh())
    };
    let orphans = current.resources.values().filter(is_orphan);
    orphans.map(|there| there.id.clone()).collect()
}

fn create(wanted: &Wanted, options: Options<'_>) -> Step {
    Step {
        id: wanted.resource.id.clone(),
        action: Action::Create {
            spec: spec_json(&wanted.resource.spec),
            tags: tags(wanted, options.set),
        },
        needs: order::needs(&wanted.resource),
    }
}

/// What the files say, and whose it is.
fn tags(wanted: &Wanted, set: &str) -> Tags {
    let mut tags = wanted.tags.clone();
    tags.insert(SET_TAG.to_owned(), set.to_owned());
    tags
}

fn update(plan: &mut Plan, there: &Remote, wanted: &Wanted, options: Options<'_>) {
    let id = &there.id;
    let spec = spec_json(&wanted.resource.spec);
    let mut changes = changes(&there.spec, &spec);
    let spec = (!changes.is_empty()).then_some(spec);
    if there.owner != Owner::Api {
        // What a file declares is no business of the API's, and fine if it is what is wanted.
        match spec {
            None => plan.unchanged += 1,
            Some(_) => plan.conflicts.push(Conflict::OwnedByFile {
                id: id.clone(),
                file: there.owner.clone(),
            }),
        }
        return;
    }
    let of = there.tags.get(SET_TAG);
    let is_ours = of.is_some_and(|of| of == options.set);
    if !is_ours && !options.take_over {
        match of {
            Some(set) => plan.conflicts.push(Conflict::OfAnotherSet {
                id: id.clone(),
                set: set.clone(),
            }),
            // As it is wanted it is fine, and stays the other tool's.
            None if spec.is_none() && has_tags(there, wanted) => plan.unchanged += 1,
            None => plan.conflicts.push(Conflict::OfNoSet { id: id.clone() }),
        }
        return;
    }
    let takes_over = (!is_ours).then(|| match of {
        Some(set) => format!("set `{set}`"),
        None => "another tool".to_owned(),
    });
    limit_tags(plan, id, &there.tags, &tags(wanted, options.set));
    let mut new = tags(wanted, options.set);
    new.retain(|key, value| there.tags.get(key) != Some(value));
    changes.extend(tag_changes(&there.tags, &new));
    if changes.is_empty() {
        plan.unchanged += 1;
        return;
    }
    plan.steps.push(Step {
        id: id.clone(),
        action: Action::Update {
            arn: there.metadata.arn.clone(),
            spec,
            tags: new,
            changes,
            takes_over,
        },
        needs: order::needs(&wanted.resource),
    });
}

/// Whether a resource has the tags that the files give it, whoever applied it.
fn has_tags(there: &Remote, wanted: &Wanted) -> bool {
    let mut tags = wanted.tags.iter().filter(|(key, _)| *key != SET_TAG);
    tags.all(|(key, value)| there.tags.get(key) == Some(value))
}

/// Counts what a resource has and what it gets: the server would refuse too many only after others were written.
fn limit_tags(plan: &mut Plan, id: &ResourceId, there: &Tags, new: &Tags) {
    let added = new.keys().filter(|key| !there.contains_key(*key)).count();
    let count = there.len() + added;
    if added > 0 && count > MOST {
        let id = id.clone();
        plan.conflicts.push(Conflict::TooManyTags { id, count });
    }
}

/// A spec as the API has it.
fn spec_json(spec: &Spec) -> Value {
    // The specs are structs with names for keys, which always have a form in JSON.
    serde_json::to_value(spec).unwrap_or_default()
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OwnedByFile { id, file } => write!(
                f,
                "{id} belongs to {file}, a file of the server, and differs from it"
            ),
            Self::OfAnotherSet { id, set } => write!(f, "{id} was applied as part of set `{set}`"),
            Self::OfNoSet { id } => {
                write!(f, "{id} was not applied by `outrigger apply`, and differs")
            }
            Self::TooManyTags { id, count } => write!(
                f,
                "{id} would have {count} tags with `{SET_TAG}`, of {MOST} that a resource can have"
            ),
        }
    }
}
