//! In which order the target takes it all: as AWS's service wanted it, where there is such an order.
//!
//! The steps are tried on the target's model, a phase at a time: each step that the rules let pass, whatever others of its
//! phase are done before. Where nothing passes any more, resources take an interim form ([`super::interim`]). What is then
//! still left goes last, for a target that is less strict.

use std::collections::{BTreeMap, BTreeSet};

use super::ports;
use super::{Action, How, Intent, Step};
use crate::appmesh::known::{Known, json};
use crate::model::admission::{Change, admit, admit_strictly};
use crate::model::difference::changes;
use crate::model::quota::Quotas;
use crate::model::{Model, Resource, ResourceId, ResourceKind, Spec, order as levels};

/// How many users of a resource are named.
const NAMED: usize = 5;

/// The steps, and what cannot be deleted since others use it.
#[derive(Debug, Default)]
pub(super) struct Ordered {
    pub(super) steps: Vec<Step>,
    pub(super) in_use: BTreeMap<ResourceId, Vec<ResourceId>>,
}

/// Orders what is to be done. `restore` says how a resource of the mirror's own that is as it should be gets back to that.
pub(super) fn order(
    intents: &BTreeMap<ResourceId, Intent>,
    target: &Known,
    restore: &dyn Fn(&ResourceId) -> Option<Intent>,
) -> Ordered {
    let mut ordering = Ordering {
        target,
        restore,
        state: target.model().clone(),
        pending: intents.clone(),
        steps: Vec::new(),
        phase: 0,
        earlier: BTreeSet::new(),
        interim_forms: BTreeMap::new(),
    };
    ordering.run();
    let in_use = ordering.pending.into_keys();
    let state = &ordering.state;
    Ordered {
        steps: ordering.steps,
        in_use: in_use
            .map(|id| {
                let by = leaning_on(state, &id).take(NAMED).collect();
                (id, by)
            })
            .collect(),
    }
}

pub(super) struct Ordering<'a> {
    pub(super) target: &'a Known,
    pub(super) restore: &'a dyn Fn(&ResourceId) -> Option<Intent>,
    /// The target after the steps so far.
    pub(super) state: Model,
    pub(super) pending: BTreeMap<ResourceId, Intent>,
    steps: Vec<Step>,
    phase: usize,
    /// What earlier phases changed in a way that matters to others.
    earlier: BTreeSet<ResourceId>,
    /// The interim forms of each resource so far. None comes twice, or this would go on for ever.
    pub(super) interim_forms: BTreeMap<ResourceId, Vec<Spec>>,
}

impl Ordering<'_> {
    fn run(&mut self) {
        loop {
            while self.write_what_fits() {}
            let is_stuck = !self.pending.is_empty();
            if !(is_stuck && (self.interim() || self.delete_what_fits() || self.force())) {
                break;
            }
        }
        // What is wrong by itself with what others made: the target has the last word.
        for level in 0..levels::LEVELS {
            self.batch(level, true, |_, intent| intent.action != Action::Delete);
        }
        while self.delete_what_fits() {}
    }

    /// Does what a target takes that minds each resource by itself. A service first: others have interim forms to follow it.
    fn force(&mut self) -> bool {
        let is_taken = |intent: &Intent| {
            let change = intent
                .resource
                .as_ref()
                .map(|resource| self.change(resource));
            change.is_some_and(|change| admit(&self.state, change, &Quotas::default()).is_ok())
        };
        let pending = self.pending.iter().filter(|(_, intent)| is_taken(intent));
        let mut ready: BTreeMap<(bool, usize), Vec<ResourceId>> = BTreeMap::new();
        for (id, _) in pending {
            let rank = (
                id.kind() != ResourceKind::VirtualService,
                levels::level(id.kind()),
            );
            ready.entry(rank).or_default().push(id.clone());
        }
        ready
            .into_values()
            .next()
            .is_some_and(|ids| self.take(ids, true))
    }

    fn write_what_fits(&mut self) -> bool {
        let mut any = false;
        for level in 0..levels::LEVELS {
            any |= self.batch(level, false, |this, intent| {
                intent.action != Action::Delete
                    && !this.is_early(intent)
                    && this.fits_intent(intent)
            });
        }
        any
    }

    fn delete_what_fits(&mut self) -> bool {
        let mut any = false;
        for level in (0..levels::LEVELS).rev() {
            let state = self.state.clone();
            let is_free = |id: &ResourceId| {
                // What this version cannot read may well be deleted.
                !state.contains(id) || admit_strictly(&state, Change::Delete(id))
            };
            let pending = self.pending.iter();
            let ready = pending.filter(|(id, intent)| {
                intent.action == Action::Delete && levels::level(id.kind()) == level && is_free(id)
            });
            let ready: Vec<ResourceId> = ready.map(|(id, _)| id.clone()).collect();
            any |= self.take(ready, false);
        }
        any
    }

    /// Does the pending steps of one level for which `is_ready` holds, as a phase.
    fn batch(
        &mut self,
        level: usize,
        is_unsure: bool,
        is_ready: impl Fn(&Self, &Intent) -> bool,
    ) -> bool {
        let pending = self.pending.iter();
        let ready = pending
            .filter(|(id, intent)| levels::level(id.kind()) == level && is_ready(self, intent));
        let ready: Vec<ResourceId> = ready.map(|(id, _)| id.clone()).collect();
        self.take(ready, is_unsure)
    }

    fn take(&mut self, ids: Vec<ResourceId>, is_unsure: bool) -> bool {
        let taken: Vec<(ResourceId, Intent)> = ids
            .into_iter()
            .filter_map(|id| self.pending.remove_entry(&id))
            .collect();
        self.do_all(taken, is_unsure)
    }

    /// Adds a phase.
    pub(super) fn do_all(&mut self, intents: Vec<(ResourceId, Intent)>, is_unsure: bool) -> bool {
        if intents.is_empty() {
            return false;
        }
        for (id, intent) in &intents {
            self.steps.push(Step {
                id: id.clone(),
                there: None,
                action: self.since_interim(id, intent.action.clone()),
                phase: self.phase,
                needs: self.needs(id, intent),
                is_unsure,
            });
        }
        for (id, intent) in intents {
            if matters(self.state.get(&id).as_ref(), &intent) {
                self.earlier.insert(id.clone());
            }
            match intent.resource {
                Some(resource) => self.state.insert(resource),
                None if intent.action == Action::Delete => self.state.remove(&id),
                None => {}
            }
        }
        self.phase += 1;
        true
    }

    /// The same update, as seen from the interim form that the resource has, if it has one.
    fn since_interim(&self, id: &ResourceId, mut action: Action) -> Action {
        let had_interim = self.interim_forms.contains_key(id);
        if let (
            Action::Update {
                spec: Some(spec),
                changes: told,
                how,
                ..
            },
            Some(before),
            true,
        ) = (&mut action, self.state.get(id), had_interim)
            && *how != How::Interim
        {
            told.retain(|change| change.path.starts_with("tags."));
            told.splice(0..0, changes(&json(&before), spec));
        }
        action
    }

    /// What an intent stands on, of what earlier phases changed.
    fn needs(&self, id: &ResourceId, intent: &Intent) -> BTreeSet<ResourceId> {
        let mut needs = BTreeSet::new();
        if let Some(resource) = &intent.resource {
            needs.extend(levels::needs(resource));
            needs.extend(ports::meant(resource, &self.state));
        }
        let changes = intent.resource.is_some() && !matches!(id, ResourceId::Mesh(_));
        if changes || intent.action == Action::Delete {
            // Those too that no longer do.
            needs.extend(leaning_on(self.target.model(), id));
            needs.extend(leaning_on(&self.state, id));
        }
        needs.retain(|id| self.earlier.contains(id));
        needs
    }

    /// Whether a resource would only be in the way, since it names no port of what is about to have several.
    fn is_early(&self, intent: &Intent) -> bool {
        let Some(resource) = &intent.resource else {
            return false;
        };
        let is_new = matches!(intent.action, Action::Create { .. });
        if !is_new && !self.interim_forms.contains_key(&resource.id) {
            return false;
        }
        ports::meant_without_port(resource, &self.state)
            .iter()
            .any(|holder| {
                let pending = self.pending.get(holder);
                let becomes = pending.and_then(|intent| intent.resource.as_ref());
                let becomes = becomes.map(|resource| resource.spec.port_mappings());
                let is = self.state.get(holder);
                becomes.is_some() && becomes != is.as_ref().map(Spec::port_mappings)
            })
    }

    fn fits_intent(&self, intent: &Intent) -> bool {
        (intent.resource.as_ref()).is_none_or(|resource| self.fits(resource))
    }

    pub(super) fn fits(&self, resource: &Resource) -> bool {
        admit_strictly(&self.state, self.change(resource))
    }

    fn change<'a>(&self, resource: &'a Resource) -> Change<'a> {
        if self.state.contains(&resource.id) {
            Change::Update(resource)
        } else {
            Change::Create(resource)
        }
    }
}

/// What uses a resource, and what stands in it; of a service's provider also what uses the service.
pub(super) fn leaning_on<'a>(
    model: &'a Model,
    id: &'a ResourceId,
) -> impl Iterator<Item = ResourceId> + 'a {
    let through = |user: &'a ResourceId| {
        let is_service = matches!(user, ResourceId::VirtualService(..));
        is_service
            .then(|| model.users_of(user))
            .into_iter()
            .flatten()
    };
    let users = model.users_of(id);
    let users = users.flat_map(move |user| std::iter::once(user).chain(through(user)));
    users.cloned().chain(model.inside(id))
}

/// Whether others depend on what a change makes different.
fn matters(before: Option<&Spec>, intent: &Intent) -> bool {
    let Some(after) = &intent.resource else {
        return intent.action == Action::Delete;
    };
    match (before, &after.spec) {
        (Some(Spec::Mesh(_)), Spec::Mesh(_)) => false,
        (
            Some(
                before @ (Spec::VirtualNode(_) | Spec::VirtualRouter(_) | Spec::VirtualGateway(_)),
            ),
            after,
        ) => before.port_mappings() != after.port_mappings(),
        _ => true,
    }
}
