//! What `sync plan` and `sync apply` print: each resource that differs, what is done about it and how that went, and what is
//! left as it is.

use serde::Serialize;

use super::source::Source;
use super::target::Target;
use crate::appmesh::plan::{Action, Foreign, ForeignState, How, Kept, Plan, Step, Why};
use crate::appmesh::sync::Outcome;
use crate::cli::output::{Exit, one_line};
use crate::cli::report::{Entry, Report, Result};
use crate::cli::run::Ended;
use crate::cli::step::Verb;
use crate::cli::validate::count;
use crate::model::difference::Change;

/// Of what is left alone, so many are named for people.
const SHOWN: usize = 10;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SyncReport {
    source: Side,
    target: Side,
    #[serde(flatten)]
    report: Report,
    foreign: Vec<ForeignLine>,
    orphaned: Vec<Left>,
    not_mirrored: Vec<Left>,
    /// How much is left as it is, and what would change that; may be empty.
    #[serde(skip)]
    left: String,
    /// Whether something that the source has is not at the target as it has it.
    #[serde(skip)]
    is_incomplete: bool,
}

/// One of the two sides.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Side {
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ForeignLine {
    id: String,
    state: &'static str,
    /// The server whose mirror made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    mirrored_from: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    changes: Vec<Change>,
    #[serde(skip)]
    text: String,
}

#[derive(Debug, Serialize)]
struct Left {
    id: String,
    why: String,
}

impl SyncReport {
    /// Of what would be done.
    pub(super) fn planned(source: &Source, target: &Target, mut plan: Plan) -> Self {
        let steps = std::mem::take(&mut plan.steps);
        let mut report = Report::default();
        report.dry_run = true;
        for step in steps {
            report.add(entry(step), Result::Planned, None, None);
        }
        Self::of(source, target, plan, report)
    }

    /// Of what was done.
    pub(super) fn done(
        source: &Source,
        target: &Target,
        plan: Plan,
        outcomes: Vec<(Step, Outcome)>,
    ) -> Self {
        let mut report = Report::default();
        for (step, outcome) in outcomes {
            let entry = entry(step);
            match outcome {
                Outcome::Done(_) => report.add(entry, Result::Done, None, None),
                Outcome::Failed(error) => {
                    report.add(entry, Result::Failed, Some(one_line(&error)), None);
                }
                Outcome::Unavailable(error) => {
                    report.ended = Some(Ended::Unavailable);
                    report.add(entry, Result::Failed, Some(one_line(&error)), None);
                }
                Outcome::Blocked { by } => {
                    let error = format!("needs {by}, which failed");
                    report.add(entry, Result::Blocked, Some(error), None);
                }
                Outcome::NotTried => {
                    report.ended.get_or_insert(Ended::Interrupted);
                    report.add(entry, Result::NotTried, None, None);
                }
            }
        }
        Self::of(source, target, plan, report)
    }

    fn of(source: &Source, target: &Target, plan: Plan, mut report: Report) -> Self {
        report.unchanged = plan.unchanged;
        let is_missing = plan.not_mirrored.iter().any(|left| left.why.is_lack());
        let left = left(&plan);
        let orphaned = plan.orphaned.into_iter().map(|orphan| Left {
            id: orphan.id.to_string(),
            why: orphan.why.to_string(),
        });
        let not_mirrored = plan.not_mirrored.into_iter().map(|left| Left {
            id: left.id.to_string(),
            why: left.why.to_string(),
        });
        Self {
            source: Side {
                endpoint: None,
                server: Some(source.server.clone()),
                revision: Some(source.stored.revision.as_u64()),
            },
            target: Side {
                endpoint: Some(target.client.endpoint().to_owned()),
                server: target.server.clone(),
                revision: None,
            },
            is_incomplete: is_missing || plan.foreign.iter().any(Foreign::is_in_the_way),
            left,
            foreign: plan.foreign.into_iter().map(ForeignLine::from).collect(),
            orphaned: orphaned.collect(),
            not_mirrored: not_mirrored.collect(),
            report,
        }
    }

    /// What the shell is told of an apply.
    pub(super) fn exit(&self) -> Option<Exit> {
        self.report
            .exit()
            .or(self.is_incomplete.then_some(Exit::No))
    }

    /// How much of each there is.
    fn closing(&self) -> String {
        let left = &self.left;
        if left.is_empty() {
            self.report.sums()
        } else if self.report.is_anything() {
            format!("{}; {left}", self.report.sums())
        } else {
            let unchanged = count(self.report.unchanged, "resource");
            format!("nothing to do: {unchanged} unchanged; {left}")
        }
    }

    /// For people.
    pub(super) fn table(&self) -> String {
        let mut lines = self.report.lines();
        let in_the_way = self
            .foreign
            .iter()
            .filter(|foreign| foreign.state == "differs");
        let in_the_way = in_the_way.map(|foreign| (foreign.id.as_str(), foreign.text.as_str()));

        for (verb, left) in [
            ("leaves alone", in_the_way.collect::<Vec<_>>()),
            ("keeps", lines_of(&self.orphaned)),
            ("does not mirror", lines_of(&self.not_mirrored)),
        ] {
            let shown = left.iter().take(SHOWN);
            lines.extend(shown.map(|(id, why)| format!("{verb} {id}: {why}")));
            if left.len() > SHOWN {
                lines.push(format!("and {} more", left.len() - SHOWN));
            }
        }
        let count = |state| {
            self.foreign
                .iter()
                .filter(|foreign| foreign.state == state)
                .count()
        };
        for (count, what) in [
            (
                count("same"),
                "as the source has them, which do not follow it (--adopt)",
            ),
            (count("beside"), "of names that the source has not"),
        ] {
            if count > 0 {
                lines.push(format!("left alone besides: {count} of others, {what}"));
            }
        }
        lines.push(self.closing());
        if self.report.dry_run && self.report.is_anything() {
            lines.push("nothing was written; `outrigger sync apply` does it".to_owned());
        }
        lines.extend(self.report.why().map(str::to_owned));
        format!("{}\n", lines.join("\n"))
    }
}

/// How much of each is left as it is, and what would change that.
fn left(plan: &Plan) -> String {
    let foreign = plan.foreign.iter();
    let foreign = foreign.filter(|foreign| foreign.is_in_the_way()).count();
    let orphaned = |why: fn(&Kept) -> bool| {
        let orphaned = plan.orphaned.iter();
        orphaned.filter(|orphan| why(&orphan.why)).count()
    };
    let unpruned = orphaned(|why| matches!(why, Kept::Unpruned));
    let in_use = orphaned(|why| matches!(why, Kept::InUse { .. }));
    let kept = [
        (foreign, "foreign (--adopt)"),
        (unpruned, "not in the source (--prune)"),
        (in_use, "not in the source but in use"),
    ];
    let kept_in_all = foreign + plan.orphaned.len();
    let kept = kept.iter().filter(|(count, _)| *count > 0);
    let kept: Vec<String> = kept
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    let not_mirrored = plan.not_mirrored.iter();
    // Registered endpoints are no resources.
    let not_mirrored = not_mirrored.filter(|left| !matches!(left.why, Why::Endpoints { .. }));
    let not_mirrored = not_mirrored.count();
    let kept = (kept_in_all > 0).then(|| format!("{kept_in_all} kept: {}", kept.join(", ")));
    let not_mirrored = (not_mirrored > 0).then(|| format!("{not_mirrored} not mirrored"));
    let left: Vec<String> = kept.into_iter().chain(not_mirrored).collect();
    left.join("; ")
}

fn lines_of(left: &[Left]) -> Vec<(&str, &str)> {
    let left = left.iter();
    left.map(|left| (left.id.as_str(), left.why.as_str()))
        .collect()
}

fn entry(step: Step) -> Entry {
    let mut notes = Vec::new();
    if step.is_unsure {
        notes.push("AWS may refuse it in any order together with the others".to_owned());
    }
    let (action, changes, how) = match step.action {
        Action::Create { .. } => (Verb::Create, Vec::new(), None),
        Action::Update { changes, how, .. } => (Verb::Update, changes, Some(how)),
        Action::Delete => (Verb::Delete, Vec::new(), None),
    };
    match how {
        Some(How::Interim) => notes.push("for a while, so that others can change".to_owned()),
        Some(How::Adopt) => notes.push("takes over what somebody else made".to_owned()),
        Some(How::Follow) | None => {}
    }
    Entry {
        id: step.id.to_string(),
        action,
        changes,
        takes_over: None,
        notes,
        is_interim: how == Some(How::Interim),
    }
}

impl From<Foreign> for ForeignLine {
    fn from(foreign: Foreign) -> Self {
        let text = foreign.to_string();
        let (state, changes) = match foreign.state {
            ForeignState::Beside => ("beside", Vec::new()),
            ForeignState::Same => ("same", Vec::new()),
            ForeignState::Differs(changes) => ("differs", changes),
        };
        Self {
            id: foreign.id.to_string(),
            state,
            mirrored_from: foreign.of,
            changes,
            text,
        }
    }
}
