//! `outrigger delete`: deletes resources, each after what needs it. What is in the way of one
//! that stays, the server says.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;

use super::apply::{piped, print_reports, write};
use super::client::Client;
use super::connect::{ApiArgs, ApiError};
use super::output::{CliError, Exit, Output, render};
use super::report::Report;
use super::run::{Outcome, Outcomes};
use super::select::{Resolved, Selection};
use super::step::Step;
use crate::files;
use crate::model::ResourceId;

/// Deletes resources: those that are named, or those that files declare
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
    /// Print what would be deleted, and delete nothing
    #[arg(long)]
    dry_run: bool,
    /// How long to wait for a server that does not answer or is too busy
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = humantime::parse_duration)]
    retry_for: Duration,
    /// Form of the output
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
    #[command(flatten)]
    api: ApiArgs,
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
    let client = Arc::new(Client::new(&args.api, args.retry_for)?);
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
    let report = if args.dry_run {
        Report::planned(steps)
    } else {
        let mut outcomes = write(&client, steps).await;
        if args.ignore_not_found {
            forgive_not_found(&mut outcomes);
        }
        Report::done(outcomes)
    };
    let text = render(args.output, &report, Report::table)?;
    Ok((text, report.exit()))
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
