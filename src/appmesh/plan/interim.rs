//! Forms between what a resource is and what it becomes, so that others can go on.

use std::collections::BTreeMap;
use std::mem::take;

use super::order::{Ordering, leaning_on};
use super::ports;
use super::{Action, How, Intent};
use crate::appmesh::known::json;
use crate::model::difference::changes;
use crate::model::tags::Tags;
use crate::model::{Resource, ResourceId, Spec};

/// Interim forms of one resource at most.
const MOST: usize = 4;

/// How an interim form is made.
#[derive(Clone, Copy, Debug)]
enum Sort {
    /// What it becomes, with the ports named that it needs to name until then.
    NewWithPorts,
    /// What it is, with the ports named that it needs to name from then on.
    OldWithPorts,
    /// What it becomes, with the listeners besides that are still in use.
    AllListeners,
}

impl Ordering<'_> {
    /// Brings resources into a form between the old and the new one. Returns whether there was any to bring.
    pub(super) fn interim(&mut self) -> bool {
        let sorts = [Sort::NewWithPorts, Sort::OldWithPorts, Sort::AllListeners];
        sorts.into_iter().any(|sort| self.interim_of(sort))
    }

    fn interim_of(&mut self, sort: Sort) -> bool {
        let forms = match sort {
            Sort::NewWithPorts => self.new_with_ports(),
            Sort::OldWithPorts => self.old_with_ports(),
            Sort::AllListeners => self.with_all_listeners(),
        };
        let mut intents = Vec::new();
        for form in forms {
            let id = form.id.clone();
            let before = self.interim_forms.get(&id).map_or(&[][..], Vec::as_slice);
            let is_new = Some(&form.spec) != self.state.get(&id).as_ref();
            let may_be = is_new && before.len() < MOST && !before.contains(&form.spec);
            if !may_be || !self.fits(&form) {
                continue;
            }
            let spec = form.spec.clone();
            let Some(mut intent) = self.interim_intent(form) else {
                continue;
            };
            if !self.pending.contains_key(&id) {
                let Some(back) = (self.restore)(&id) else {
                    continue;
                };
                self.pending.insert(id.clone(), back);
            }
            self.tag_first(&mut intent, &id);
            self.interim_forms.entry(id.clone()).or_default().push(spec);
            intents.push((id, intent));
        }
        self.do_all(intents, false)
    }

    /// Lets an interim form bring the tags, so that what is adopted carries the mirror's before anything of it is changed.
    fn tag_first(&mut self, interim: &mut Intent, id: &ResourceId) {
        let last = self.pending.get_mut(id).map(|intent| &mut intent.action);
        let (
            Action::Update { tags, changes, .. },
            Some(Action::Update {
                tags: last_tags,
                changes: last_changes,
                ..
            }),
        ) = (&mut interim.action, last)
        else {
            return;
        };
        let (of_tags, rest) = take(last_changes)
            .into_iter()
            .partition(|change| change.path.starts_with("tags."));
        *last_changes = rest;
        *tags = take(last_tags);
        changes.extend::<Vec<_>>(of_tags);
    }

    /// What is stuck, as it is and as it becomes.
    fn stuck(&self) -> impl Iterator<Item = (Spec, &Resource)> {
        self.pending.iter().filter_map(|(id, intent)| {
            let new = intent.resource.as_ref()?;
            Some((self.state.get(id)?, new))
        })
    }

    fn new_with_ports(&self) -> Vec<Resource> {
        let port = |holder: &ResourceId| {
            let now = self.state.get(holder);
            // What has one listener needs none named.
            let is_needed = ports::only_port(now.as_ref()).is_none();
            let port = ports::only_port(self.becomes(holder).as_ref());
            port.filter(|_| is_needed)
        };
        let forms = self
            .stuck()
            .filter_map(|(_, new)| ports::pin(new, &self.state, port));
        forms.collect()
    }

    /// Of what others made there is none.
    fn old_with_ports(&self) -> Vec<Resource> {
        let holders = self.stuck().filter_map(|(old, new)| {
            let port = ports::only_port(Some(&old))?;
            let is_changed = old.port_mappings() != new.spec.port_mappings();
            is_changed.then(|| (new.id.clone(), port))
        });
        let holders: BTreeMap<ResourceId, u16> = holders.collect();
        let mut forms = BTreeMap::new();
        for id in holders
            .keys()
            .flat_map(|holder| leaning_on(&self.state, holder))
        {
            if !self.pending.contains_key(&id) && (self.restore)(&id).is_none() {
                continue;
            }
            let Some(spec) = self.state.get(&id) else {
                continue;
            };
            let old = Resource { id, spec };
            let form = ports::pin(&old, &self.state, |holder| holders.get(holder).copied());
            forms.extend(form.map(|form| (old.id, form)));
        }
        forms.into_values().collect()
    }

    fn with_all_listeners(&self) -> Vec<Resource> {
        let forms = self
            .stuck()
            .filter_map(|(old, new)| ports::with_listeners_of(new, &old));
        forms.collect()
    }

    /// What a resource is in the end.
    fn becomes(&self, id: &ResourceId) -> Option<Spec> {
        let pending = self.pending.get(id);
        let new = pending.and_then(|intent| intent.resource.as_ref());
        new.map_or_else(|| self.state.get(id), |new| Some(new.spec.clone()))
    }

    fn interim_intent(&self, form: Resource) -> Option<Intent> {
        let before = self.state.get(&form.id)?;
        let spec = json(&form.spec);
        Some(Intent {
            action: Action::Update {
                changes: changes(&json(&before), &spec),
                spec: Some(spec),
                tags: Tags::new(),
                how: How::Interim,
            },
            resource: Some(form),
        })
    }
}
