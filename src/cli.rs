//! The command line: one file a subcommand.
//!
//! Exit codes: 0 for success, 1 when the answer is no (problems were found, a node is unknown, a check failed), 2 when the
//! command could not do its work (a flag, a file, an address, a server that does not answer).

pub mod bootstrap;
pub mod config_dump;
pub mod connect;
pub mod output;
pub mod serve;
pub mod status;
pub mod validate;

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use output::CliError;

/// A control plane for Envoy sidecars that speaks AWS App Mesh's model
#[derive(Debug, Parser)]
#[command(name = "outrigger", version, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(Box<serve::ServeArgs>),
    Validate(validate::ValidateArgs),
    Bootstrap(bootstrap::BootstrapArgs),
    Status(status::StatusArgs),
    Config(config_dump::ConfigArgs),
}

/// Runs the command that was typed, and returns its exit code.
pub fn main(cli: Cli) -> ExitCode {
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(run(cli)),
        Err(error) => fail(&CliError::unable_error(error)),
    }
}

async fn run(cli: Cli) -> ExitCode {
    let printed = match cli.command {
        Command::Serve(args) => serve::run(*args).await.map(|()| String::new()),
        Command::Validate(args) => match validate::run(&args) {
            Ok((text, exit)) => return print(&text, exit.map_or(ExitCode::SUCCESS, Into::into)),
            Err(error) => Err(error),
        },
        Command::Bootstrap(args) => bootstrap::run(args),
        Command::Status(args) => status::run(args).await,
        Command::Config(args) => config_dump::run(args).await,
    };
    match printed {
        Ok(text) => print(&text, ExitCode::SUCCESS),
        Err(error) => fail(&error),
    }
}

fn fail(error: &CliError) -> ExitCode {
    drop(writeln!(std::io::stderr(), "{:?}", error.report));
    error.exit.into()
}

fn print(text: &str, exit: ExitCode) -> ExitCode {
    // A reader that has seen enough (`| head`) is no failure.
    drop(std::io::stdout().write_all(text.as_bytes()));
    exit
}
