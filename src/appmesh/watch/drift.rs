//! What somebody else changed at the target.

use std::collections::BTreeMap;

use super::round::is_interim;
use crate::appmesh::plan::{Action, Plan};
use crate::model::ResourceId;

/// The resources that are not as they were left, and what differs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Drifted(BTreeMap<ResourceId, String>);

impl Drifted {
    /// What a plan of everything would do, but for what was to be expected.
    pub(super) fn in_plan(plan: &Plan, is_expected: impl Fn(&ResourceId) -> bool) -> Self {
        let steps = plan.steps.iter();
        let found = steps.filter(|step| !is_interim(step) && !is_expected(&step.id));
        let what = found.map(|step| {
            let what = match &step.action {
                Action::Create { .. } => "it was deleted".to_owned(),
                Action::Delete => "it is there again".to_owned(),
                Action::Update { changes, .. } => {
                    let changes: Vec<String> = changes.iter().map(ToString::to_string).collect();
                    changes.join(", ")
                }
            };
            (step.id.clone(), what)
        });
        Self(what.collect())
    }

    /// What is not in an earlier one.
    pub(super) fn since(&self, earlier: &Self) -> Self {
        let found = self.0.iter();
        let new = found.filter(|(id, what)| earlier.0.get(*id) != Some(*what));
        Self(new.map(|(id, what)| (id.clone(), what.clone())).collect())
    }

    pub(super) fn forget(&mut self, id: &ResourceId) {
        self.0.remove(id);
    }

    pub(super) fn contains(&self, id: &ResourceId) -> bool {
        self.0.contains_key(id)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&ResourceId, &str)> {
        self.0.iter().map(|(id, what)| (id, what.as_str()))
    }
}
