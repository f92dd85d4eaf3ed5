//! What a target has otherwise than it was told: some add or leave out members, and would be told the same for ever. Pure.

use std::collections::BTreeMap;

use serde_json::Value;

use super::ledger::difference;
use crate::appmesh::client::Written;
use crate::appmesh::known::Known;
use crate::appmesh::plan::{Action, How, Plan, Step};
use crate::model::ResourceId;
use crate::model::difference::changes;

/// By resource: what the target was told last, and what it made of that.
#[derive(Clone, Debug, Default)]
pub(super) struct Unlike(BTreeMap<ResourceId, (Value, Value)>);

impl Unlike {
    /// Takes note of what the target answered to a write, and returns what is otherwise now.
    pub(super) fn wrote(&mut self, step: &Step, written: Option<&Written>) -> Option<String> {
        let id = &step.id;
        let sent = match &step.action {
            Action::Create { spec, .. } => Some(spec),
            Action::Update { spec, .. } => spec.as_ref(),
            Action::Delete => {
                self.0.remove(id);
                None
            }
        };
        if let (Some(sent), Some(written)) = (sent, written) {
            if changes(&written.spec, sent).is_empty() {
                self.0.remove(id);
            } else {
                self.0
                    .insert(id.clone(), (sent.clone(), written.spec.clone()));
            }
        }
        let (sent, made) = self.0.get(id)?;
        let changes = changes(made, sent);
        let changes: Vec<String> = changes.iter().map(ToString::to_string).collect();
        Some(changes.join(", "))
    }

    /// Takes out of a plan what the target was told already, and returns what differs there.
    pub(super) fn set_aside(&self, plan: &mut Plan, known: &Known) -> BTreeMap<ResourceId, String> {
        let mut aside = BTreeMap::new();
        plan.steps.retain(|step| {
            let there = known.get(&step.id).map(|there| there.spec);
            let is_told = self.is_told(step, there.as_ref());
            if is_told {
                aside.insert(step.id.clone(), difference(step));
            }
            !is_told
        });
        aside
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
        let told = self.0.get(&step.id);
        tags.is_empty() && told.is_some_and(|(sent, made)| sent == spec && there == Some(made))
    }
}
