//! The thin binary: parses, starts, runs, and returns the exit code.

use std::process::ExitCode;

use clap::Parser;
use outrigger::cli::{self, Cli};

fn main() -> ExitCode {
    let cli = Cli::parse();
    cli::main(cli)
}
