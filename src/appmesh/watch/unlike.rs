//! What a target has otherwise than it was told: some add or leave out members, and would be told the same for ever.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Watch;
use crate::appmesh::client::Written;
use crate::appmesh::plan::{Action, How, Plan, Step};
use crate::model::ResourceId;
use crate::model::difference::changes;

/// By resource: what the target was told last, and what it made of that.
#[derive(Clone, Debug, Default)]
pub(super) struct Unlike {
    known: BTreeMap<ResourceId, (Value, Value)>,
    /// Those of a plan that are not told again, and what differs.
    pub(super) aside: BTreeMap<ResourceId, String>,
}

impl Unlike {
    /// Takes note of what the target answered to a write.
    pub(super) fn wrote(&mut self, step: &Step, written: Option<&Written>) {
        let sent = match &step.action {
            Action::Create { spec, .. } => Some(spec),
            Action::Update { spec, .. } => spec.as_ref(),
            Action::Delete => {
                self.known.remove(&step.id);
                None
            }
        };
        let (Some(sent), Some(written)) = (sent, written) else {
            return;
        };
        if changes(&written.spec, sent).is_empty() {
            self.known.remove(&step.id);
        } else {
            let both = (sent.clone(), written.spec.clone());
            self.known.insert(step.id.clone(), both);
        }
    }

    /// Whether a step would tell the target what it has made something else of.
    fn is_told(&self, step: &Step, there: Option<&Value>) -> bool {
        let Action::Update {
            spec: Some(spec),
            tags,
            how: How::Follow,
            ..
        } = &step.action
        else {
            return false;
        };
        let told = self.known.get(&step.id);
        tags.is_empty() && told.is_some_and(|(sent, made)| sent == spec && there == Some(made))
    }
}

impl Watch {
    /// Takes out of a plan what the target was told already.
    pub(super) fn set_aside(&mut self, plan: &mut Plan) {
        let (unlike, known) = (&mut self.unlike, &self.known);
        let mut aside = BTreeMap::new();
        plan.steps.retain(|step| {
            let there = known.get(&step.id).map(|there| there.spec);
            let is_told = unlike.is_told(step, there.as_ref());
            if let Action::Update { changes, .. } = &step.action
                && is_told
            {
                let changes: Vec<String> = changes.iter().map(ToString::to_string).collect();
                aside.insert(step.id.clone(), changes.join(", "));
            }
            !is_told
        });
        unlike.aside = aside;
    }
}
