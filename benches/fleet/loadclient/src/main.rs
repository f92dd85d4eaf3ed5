//! A load client for xDS control planes; see README.md.

mod bumps;
mod cli;
mod codec;
mod follow;
mod node;
mod process;
mod protocol;
mod rate;
mod reconnect;
mod recorder;
mod report;
mod run;
mod session;
mod stats;
mod stream;
mod trigger;
mod wire;

use anyhow::{Context, Result};
use clap::Parser;
use cli::{Args, Mode};
use protocol::{Delta, Sotw};
use report::Report;
use run::Run;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args = Args::parse();
    match measure(args).and_then(|report| publish(&report).map(|()| report.ok)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!(
                "xds-load: the run is not clean, see ok, *failure*, incomplete, missed, detached and stale in the report"
            );
            ExitCode::from(2)
        }
        Err(error) => {
            eprintln!("xds-load: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(args: Args) -> Result<Report> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(args.threads)
        .enable_all()
        .build()
        .context("starting the runtime")?;
    let outcome = runtime.block_on(async {
        match args.mode {
            Mode::Sotw => Run::new(args)?.measure::<Sotw>().await,
            Mode::Delta => Run::new(args)?.measure::<Delta>().await,
        }
    });
    runtime.shutdown_background();
    outcome
}

fn publish(report: &Report) -> Result<()> {
    let json = serde_json::to_string_pretty(report)?;
    let Some(path) = &report.config.output else {
        println!("{json}");
        return Ok(());
    };
    std::fs::write(
        path,
        json + "
",
    )
    .with_context(|| path.display().to_string())
}
