//! What a run of writes prints: each resource that was touched and how it went, and the sums.

use std::collections::BTreeMap;

use serde::Serialize;

use super::output::Exit;
use super::run::{Ended, Outcome, Outcomes};
use super::step::{Action, Step, Verb};
use super::validate::count;
use crate::model::ResourceId;
use crate::model::difference::Change;

/// Of what was not tried, so many are named for people.
const SHOWN: usize = 10;

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    /// Of an apply.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) set: Option<String>,
    pub(super) dry_run: bool,
    created: usize,
    updated: usize,
    deleted: usize,
    pub(super) unchanged: usize,
    failed: usize,
    not_tried: usize,
    resources: Vec<Line>,
    #[serde(skip)]
    pub(super) ended: Option<Ended>,
}

/// One write, as it is printed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry {
    pub(super) id: String,
    pub(super) action: Verb,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) changes: Vec<Change>,
    /// From whom the resource is taken over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) takes_over: Option<String>,
    /// What else there is to say of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) notes: Vec<String>,
    /// Another write of the same resource follows, which is the one that counts.
    #[serde(skip)]
    pub(super) is_interim: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    #[serde(flatten)]
    entry: Entry,
    result: Result,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Result {
    Planned,
    Done,
    Failed,
    /// What it needs has failed; of a plan, something is in the way.
    Blocked,
    NotTried,
    /// It may have been done.
    Unknown,
}

impl Report {
    /// Of what would be done, and of what would be refused and why.
    pub(super) fn planned(steps: Vec<Step>, refused: &BTreeMap<ResourceId, String>) -> Self {
        let mut report = Self {
            dry_run: true,
            ..Self::default()
        };
        for step in steps {
            match refused.get(&step.id).cloned() {
                None => report.add(step.into(), Result::Planned, None, None),
                why => report.add(step.into(), Result::Blocked, why, None),
            }
        }
        report
    }

    /// Of what was done.
    pub(super) fn done(outcomes: Outcomes) -> Self {
        let mut report = Self {
            ended: outcomes.ended,
            ..Self::default()
        };
        for (step, outcome) in outcomes.steps {
            match outcome {
                Outcome::Done => report.add(step.into(), Result::Done, None, None),
                Outcome::Failed(error) => {
                    let help = miette::Diagnostic::help(&error).map(|help| help.to_string());
                    let error = super::output::one_line(&error);
                    report.add(step.into(), Result::Failed, Some(error), help);
                }
                Outcome::Blocked { by } => {
                    let error = format!("needs {by}, which failed");
                    report.add(step.into(), Result::Blocked, Some(error), None);
                }
                Outcome::NotTried => report.add(step.into(), Result::NotTried, None, None),
                Outcome::Unknown => report.add(step.into(), Result::Unknown, None, None),
            }
        }
        report
    }

    pub(super) fn add(
        &mut self,
        entry: Entry,
        result: Result,
        error: Option<String>,
        help: Option<String>,
    ) {
        match (result, entry.action) {
            (Result::Planned | Result::Done, _) if entry.is_interim => {}
            (Result::Planned | Result::Done, Verb::Create) => self.created += 1,
            (Result::Planned | Result::Done, Verb::Update) => self.updated += 1,
            (Result::Planned | Result::Done, Verb::Delete) => self.deleted += 1,
            (Result::Failed | Result::Blocked, _) => self.failed += 1,
            (Result::NotTried | Result::Unknown, _) => self.not_tried += 1,
        }
        self.resources.push(Line {
            entry,
            result,
            error,
            help,
        });
    }

    /// What the shell is told.
    pub(super) fn exit(&self) -> Option<Exit> {
        if matches!(self.ended, Some(Ended::Interrupted | Ended::Unavailable)) {
            return Some(Exit::Unable);
        }
        (self.failed > 0 || self.not_tried > 0).then_some(Exit::No)
    }

    /// For people.
    pub(super) fn table(&self) -> String {
        if self.set.is_none() && !self.is_anything() {
            return "nothing to delete\n".to_owned();
        }
        let mut lines = self.lines();
        let mut sums = self.sums();
        if self.dry_run && self.is_anything() {
            sums += "; nothing was written, since this is a dry run";
        }
        lines.push(sums);
        lines.extend(self.why().map(str::to_owned));
        format!("{}\n", lines.join("\n"))
    }

    /// Each write and how it went.
    pub(super) fn lines(&self) -> Vec<String> {
        let tried = |line: &&Line| line.result != Result::NotTried;
        let mut lines: Vec<String> = self
            .resources
            .iter()
            .filter(tried)
            .flat_map(Line::lines)
            .collect();
        let rest: Vec<&Line> = self.resources.iter().filter(|line| !tried(line)).collect();
        lines.extend(rest.iter().take(SHOWN).flat_map(|line| line.lines()));
        if rest.len() > SHOWN {
            lines.push(format!(
                "and {} more that were not tried",
                rest.len() - SHOWN
            ));
        }
        lines
    }

    /// Whether anything differs.
    pub(super) fn is_anything(&self) -> bool {
        let touched = self.created + self.updated + self.deleted;
        touched + self.failed + self.not_tried > 0
    }

    /// How many of each.
    pub(super) fn sums(&self) -> String {
        if !self.is_anything() {
            let unchanged = count(self.unchanged, "resource");
            return format!("nothing differs: {unchanged} unchanged");
        }
        let [created, updated, deleted, failed] = if self.dry_run {
            ["to create", "to update", "to delete", "to be refused"]
        } else {
            ["created", "updated", "deleted", "failed"]
        };
        let mut sums = Vec::new();
        let mut sum =
            |count: usize, what: &str| sums.extend((count > 0).then(|| format!("{count} {what}")));
        sum(self.created, created);
        sum(self.updated, updated);
        sum(self.deleted, deleted);
        sum(self.unchanged, "unchanged");
        sum(self.failed, failed);
        sum(self.not_tried, "not tried");
        sums.join(", ")
    }

    /// Why not all was done, and what to do.
    pub(super) fn why(&self) -> Option<&'static str> {
        match self.ended {
            _ if self.dry_run => None,
            Some(Ended::Interrupted) => {
                Some("interrupted; run it again, and it goes on where it ended")
            }
            Some(Ended::Unavailable) => Some(
                "the server is not available; run it again when it is, and it goes on where it ended",
            ),
            Some(Ended::Unpruned) => Some(
                "nothing was pruned, since not everything could be applied; mend that and run it again",
            ),
            None if self.failed > 0 => {
                Some("mend what failed and run it again: what is done stays done")
            }
            None => None,
        }
    }
}

impl From<Step> for Entry {
    fn from(step: Step) -> Self {
        let action = step.action.verb();
        let (changes, takes_over) = match step.action {
            Action::Update {
                changes,
                takes_over,
                ..
            } => (changes, takes_over),
            Action::Create { .. } | Action::Delete => (Vec::new(), None),
        };
        Self {
            id: step.id.to_string(),
            action,
            changes,
            takes_over,
            notes: Vec::new(),
            is_interim: false,
        }
    }
}

impl Line {
    /// How it went, and below it what there is to say of that.
    fn lines(&self) -> Vec<String> {
        let (action, id) = (self.entry.action.as_str(), &self.entry.id);
        let past = self.entry.action.past();
        let mut lines = vec![match self.result {
            Result::Planned => format!("{action} {id}"),
            Result::Done => format!("{past} {id}"),
            Result::Failed => format!("failed to {action} {id}"),
            Result::Blocked => format!("could not {action} {id}"),
            Result::NotTried => format!("did not try to {action} {id}"),
            Result::Unknown => format!("may or may not have {past} {id}"),
        }];
        let from = self.entry.takes_over.iter();
        lines.extend(from.map(|from| format!("    takes over from {from}")));
        lines.extend(self.entry.notes.iter().map(|note| format!("    {note}")));
        lines.extend(
            self.entry
                .changes
                .iter()
                .map(|change| format!("    {change}")),
        );
        lines.extend(self.error.iter().map(|error| format!("    {error}")));
        lines.extend(self.help.iter().map(|help| format!("    help: {help}")));
        lines
    }
}
