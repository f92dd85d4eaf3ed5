//! Drives the same mesh through go-control-plane, the floor and Outrigger, and compares what they cost.

mod campaign;
mod files;
mod load;
mod mesh;
mod register;
mod rows;
mod scenario;
mod server;
mod soak;
mod table;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use mesh::Mesh;
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

/// Drives the same mesh through go-control-plane, the floor and Outrigger, and compares what they cost.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure all servers and print the table
    Run(campaign::Args),
    /// Kill Outrigger every so often under a fleet of both variants and steady changes, and see that nothing grows
    Soak(soak::Args),
    /// Write the mesh folder that Outrigger is measured with
    Mesh {
        folder: PathBuf,
        #[command(flatten)]
        shape: Shape,
    },
    /// Register the endpoints of its services with a running Outrigger
    Register {
        /// Outrigger's API
        #[arg(long, default_value = "http://127.0.0.1:9080")]
        api_url: String,
        #[command(flatten)]
        shape: Shape,
    },
}

#[derive(clap::Args, Clone, Copy)]
struct Shape {
    /// Services in the mesh
    #[arg(long, default_value_t = 1000)]
    services: usize,
    /// Services that each sidecar has
    #[arg(long, default_value_t = 20)]
    backends: usize,
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = tokio::select! {
        done = execute(Cli::parse().command) => done,
        // What was started is killed as it is dropped.
        stopped = told_to_stop() => stopped.map(|()| false),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(2),
        Err(error) => {
            eprintln!("bench-fleet: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn execute(command: Command) -> Result<bool> {
    match command {
        Command::Run(args) => {
            files::raise_limit();
            campaign::run(args).await
        }
        Command::Soak(args) => {
            files::raise_limit();
            soak::run(args).await?;
            Ok(true)
        }
        Command::Mesh { folder, shape } => {
            Mesh::new(shape.services, shape.backends)?.write(&folder)?;
            Ok(true)
        }
        Command::Register { api_url, shape } => {
            let mesh = Mesh::new(shape.services, shape.backends)?;
            register::endpoints(&api_url, mesh).await?;
            Ok(true)
        }
    }
}

async fn told_to_stop() -> Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("listening for signals")?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted.context("listening for signals"),
        _ = terminate.recv() => Ok(()),
    }
}
