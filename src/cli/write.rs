//! What commands that write over the API have in common: how they write, and what they print of it.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use super::client::Client;
use super::connect::{ApiArgs, ApiError};
use super::output::{CliError, Exit, Output, render};
use super::report::Report;
use super::run::{Interrupt, Outcomes, Progress, run};
use super::step::Step;

/// How to write.
#[derive(Debug, clap::Args)]
pub(super) struct WriteArgs {
    /// Print what would be done, and do nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// How long to wait for a server that does not answer or is too busy
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = humantime::parse_duration)]
    retry_for: Duration,
    /// Form of the output
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
    #[command(flatten)]
    api: ApiArgs,
}

impl WriteArgs {
    /// A client that waits for as long as was said.
    ///
    /// # Errors
    /// As [`Client::new`].
    pub(super) fn client(&self) -> Result<Arc<Client>, ApiError> {
        Client::new(&self.api, self.retry_for).map(Arc::new)
    }

    /// What is printed of a run, and what the shell is told.
    ///
    /// # Errors
    /// As [`render`].
    pub(super) fn print(&self, report: &Report) -> Result<(String, Option<Exit>), CliError> {
        let text = render(self.output, report, Report::table)?;
        Ok((text, report.exit()))
    }
}

/// Does the steps, with progress, until the user interrupts.
pub(super) async fn write(client: &Arc<Client>, steps: Vec<Step>) -> Outcomes {
    let interrupt = Interrupt::default();
    let mut progress = Progress::new(steps.len());
    let mut running = pin!(run(client, steps, &interrupt, &mut progress));
    tokio::select! {
        outcomes = &mut running => outcomes,
        () = interrupt.clone().listen() => running.await,
    }
}
