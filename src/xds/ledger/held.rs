//! How a client stands with each resource that it asked for: looked up name by name, and only when somebody asks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Behind, Has, Ledger};
use crate::snapshot::{Kind, ResourceName, Snapshot};
use crate::xds::{Held, HeldState, Rejection};

impl Ledger {
    pub(in crate::xds) fn held(&self, kind: Kind, seen: &Snapshot) -> Vec<Held> {
        let rejections: BTreeMap<ResourceName, Rejection> = (self.quarantine.rejections())
            .into_iter()
            .filter_map(|rejection| Some((rejection.resource.clone()?, rejection)))
            .collect();
        let in_flight = self.in_flight.iter();
        let unanswered: BTreeSet<&ResourceName> = in_flight
            .flat_map(|response| &response.batch.sent)
            .map(|sent| sent.resource.name())
            .collect();
        let mut names: BTreeSet<ResourceName> = self.subscription.names().iter().cloned().collect();
        if self.subscription.is_wildcard() {
            names.extend(
                seen.resources(kind)
                    .map(|resource| Arc::clone(resource.name())),
            );
            names.extend(self.behind.keys().cloned());
        }
        let held = names.into_iter().map(|name| {
            let resource = seen.get(kind, &name).cloned();
            let state = match rejections.get(&name) {
                Some(rejection) => HeldState::Rejected(rejection.clone()),
                None if unanswered.contains(&name) => HeldState::Unanswered,
                None if self.fresh.is_some() => HeldState::NotSent,
                None => state(
                    self.behind.get(&name),
                    resource.is_some(),
                    seen.is_withheld(kind, &name),
                ),
            };
            Held {
                kind,
                name,
                resource,
                state,
            }
        });
        held.collect()
    }
}

fn state(behind: Option<&Behind>, is_there: bool, is_withheld: bool) -> HeldState {
    match behind.map(|behind| &behind.has) {
        None if is_there => HeldState::Current,
        None | Some(Has::Nothing) if is_there || is_withheld => HeldState::NotSent,
        None | Some(Has::Nothing) => HeldState::Absent,
        Some(_) => HeldState::Older,
    }
}
