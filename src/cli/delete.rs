//! `outrigger delete`: deletes resources, each after what needs it. What is in the way of one that stays, the server says.

use std::collections::BTreeSet;
use std::path::PathBuf;

use hyper::StatusCode;

use super::apply::{piped, print_reports};
use super::blockers::blockers;
use super::connect::ApiError;
use super::output::{CliError, Exit};
use super::report::Report;
use super::run::{Outcome, Outcomes};
use super::select::{Resolved, Selection};
use super::step::Step;
use super::write::{WriteArgs, write};
use crate::files;
use crate::model::ResourceId;

/// Delete resources: those that are named, or those that files declare
#[derive(Debug, clap::Args)]
pub struct DeleteArgs {
    #[command(flatten)]
    selection: Selection,
    /// Delete what these mesh files and folders declare; `-` is standard input
    #[arg(long, short = 'f', value_name = "PATH")]
    filename: Vec<PathBuf>,
    /// What does not exist counts as deleted
    #[arg(long)]
    ignore_not_found: bool,
    #[command(flatten)]
    write: WriteArgs,
}

/// Deletes, and returns what to print; the answer is no if something was refused.
///
/// # Errors
/// When nothing is named, or the server cannot be reached.
pub async fn run(args: DeleteArgs) -> Result<(String, Option<Exit>), CliError> {
    let by_name = !args.selection.is_empty() || args.filename.is_empty();
    let named = if by_name {
        args.selection.named()?
    } else {
        Vec::new()
    };
    let declared = declared(&args.filename)?;
    let client = args.write.client()?;
    let listing = client.listing(None).await?;
    let mut resolved = args.selection.resolve(&named, &listing)?;
    resolved.ids.extend(declared);
    if args.ignore_not_found {
        resolved.ids.retain(|id| listing.resources.contains_key(id));
        resolved.unknown.clear();
    }
    refuse_unknown(&resolved)?;
    let mut steps: Vec<Step> = resolved.ids.into_iter().map(Step::delete).collect();
    steps.sort_by(|a, b| (a.phase(), &a.id).cmp(&(b.phase(), &b.id)));
    let report = if args.write.dry_run {
        let refused = blockers(&listing, listing.model(), &steps);
        Report::planned(steps, &refused)
    } else {
        let mut outcomes = write(&client, steps).await;
        if args.ignore_not_found {
            forgive_not_found(&mut outcomes);
        }
        Report::done(outcomes)
    };
    args.write.print(&report)
}

/// What the files declare, be it wrong or right. Where a document cannot be identified, none is deleted.
fn declared(paths: &[PathBuf]) -> Result<BTreeSet<ResourceId>, CliError> {
    if paths.is_empty() {
        return Ok(BTreeSet::new());
    }
    let piped = piped(paths.iter())?;
    let loaded = files::load_with(paths, piped).map_err(CliError::unable_error)?;
    if loaded.has_unidentified || !loaded.unread.is_empty() {
        print_reports(&loaded);
        return Err(CliError::no(miette::miette!(
            help = "mend or remove what cannot be read, or name what is to be deleted",
            "the files cannot all be read, so what they declare is not known; nothing was deleted"
        )));
    }
    Ok(loaded.ids().clone())
}

fn refuse_unknown(resolved: &Resolved) -> Result<(), CliError> {
    if resolved.unknown.is_empty() {
        return Ok(());
    }
    Err(CliError::no(miette::miette!(
        help =
            "`outrigger get all` lists what there is; with --ignore-not-found it counts as deleted",
        "there is no {}; nothing was deleted",
        resolved.unknown.join(", ")
    )))
}

fn forgive_not_found(outcomes: &mut Outcomes) {
    for (_, outcome) in &mut outcomes.steps {
        let not_found = matches!(
            outcome,
            Outcome::Failed(ApiError::Exception { status, .. }) if *status == StatusCode::NOT_FOUND
        );
        if not_found {
            *outcome = Outcome::Done;
        }
    }
}
