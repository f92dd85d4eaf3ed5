//! Drives the same mesh through go-control-plane, the floor and Outrigger, and compares what they cost.

mod mesh;
mod register;

use anyhow::Result;
use clap::{Parser, Subcommand};
use mesh::Mesh;
use std::path::PathBuf;

#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
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
async fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Mesh { folder, shape } => {
            Mesh::new(shape.services, shape.backends)?.write(&folder)
        }
        Command::Register { api_url, shape } => {
            let mesh = Mesh::new(shape.services, shape.backends)?;
            register::endpoints(&api_url, mesh).await
        }
    }
}
