//! `outrigger sync`: the mesh of a control plane at another endpoint that speaks App Mesh's API.
//!
//! The source is asked as by every client command, the target as any client of AWS's does. Nothing is remembered between two
//! runs: each begins with what both sides have.

mod follow;
mod report;
mod source;
mod status;
mod target;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::client::Client;
use super::connect::ApiArgs;
use super::output::{CliError, Exit, Output, render};
use super::run::{Interrupt, Progress};
use crate::appmesh::known::Known;
use crate::appmesh::plan::{NotMirrored, Plan, Why, absent, plan};
use crate::appmesh::read::read;
use crate::appmesh::sync::{self, Outcome};
use report::SyncReport;
use source::Source;
use target::{Target, TargetArgs};

/// Mirror the mesh to another endpoint that speaks App Mesh's API: AWS's, or another Outrigger
#[derive(Debug, clap::Args)]
pub struct SyncArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Show what differs at the target, and what `apply` would do about it
    Plan(PlanArgs),
    /// Make the target what the source is
    Apply(ApplyArgs),
    /// Do the same for as long as it runs: with each change of the source, and with what others change at the target
    Watch(Box<follow::FollowArgs>),
    /// Show how the mirror of a running `serve` stands, as a whole and with each resource
    Status(status::StatusArgs),
}

#[derive(Debug, clap::Args)]
struct PlanArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// Form of the output
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
    #[command(flatten)]
    api: ApiArgs,
}

#[derive(Debug, clap::Args)]
struct ApplyArgs {
    #[command(flatten)]
    plan: PlanArgs,
}

/// How long the source is waited for while it does not answer, or is too busy.
const PATIENCE: Duration = Duration::from_secs(15);

/// Does it, and returns what to print; the answer is no if the target is not as the source.
///
/// # Errors
/// When one of the two sides cannot be reached or is not what it should be.
pub async fn run(args: SyncArgs) -> Result<(String, Option<Exit>), CliError> {
    match args.command {
        Command::Plan(args) => print_plan(args).await,
        Command::Apply(args) => apply(args.plan).await,
        Command::Watch(args) => follow::run(*args).await.map(|()| (String::new(), None)),
        Command::Status(args) => status::run(args).await.map(|text| (text, None)),
    }
}

async fn print_plan(args: PlanArgs) -> Result<(String, Option<Exit>), CliError> {
    let (source, target, plan) = compare(&args).await?;
    let report = SyncReport::planned(&source, &target, plan);
    let text = render(args.output, &report, SyncReport::table)?;
    Ok((text, None))
}

async fn apply(args: PlanArgs) -> Result<(String, Option<Exit>), CliError> {
    let (source, target, mut plan) = compare(&args).await?;
    let steps = std::mem::take(&mut plan.steps);
    let interrupt = Interrupt::default();
    let mut progress = Progress::new(steps.len());
    let running = sync::run(&target.client, steps, &interrupt.once, |_, outcome| {
        if matches!(outcome, Outcome::Done(_)) {
            progress.advance();
        }
    });
    let outcomes = tokio::select! {
        outcomes = running => outcomes,
        () = interrupt.clone().listen() => {
            return Err(CliError::unable(miette::miette!(
                help = "run it again: it begins with what the target then has",
                "interrupted twice; what was under way may have been done or not"
            )));
        }
    };
    progress.clear();
    let report = SyncReport::done(&source, &target, plan, outcomes);
    let text = render(args.output, &report, SyncReport::table)?;
    Ok((text, report.exit()))
}

/// Reads both sides.
async fn compare(args: &PlanArgs) -> Result<(Source, Target, Plan), CliError> {
    let client = Arc::new(Client::new(&args.api, PATIENCE)?);
    let source = Source::read(&client, &args.target).await?;
    let mut target = Target::connect(&args.target).await?;
    let progress = Mutex::new(Progress::new(0));
    let there = read(&target.client, &args.target.scope(), |at| {
        let mut progress = progress
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        progress.at(at.read, at.found);
    })
    .await;
    progress
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .clear();
    let there = there.map_err(CliError::unable_error)?;
    target.server = target.client.server_id();
    target.refuse_source(&source)?;
    let recognised = target.client.recognise(&there, &source.server);
    recognised.map_err(CliError::unable_error)?;
    let known = Known::read(there, &source.stored.model);
    let options = args.target.options(&source, &target);
    let mut plan = plan(&source.stored, &known, &options);
    let absent = absent(&plan, &source.stored, &options.scope);
    if !absent.is_empty() {
        return Err(source::without(&client, &args.api.url(), &absent).await);
    }
    let registered = source.registered.iter().cloned();
    let registered = registered.map(|(id, count)| NotMirrored {
        id,
        why: Why::Endpoints { count },
    });
    plan.not_mirrored.extend(registered);
    Ok((source, target, plan))
}
