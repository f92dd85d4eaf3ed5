//! The command line: one file a subcommand.
//!
//! Exit codes: 0 for success, 1 when the answer is no (problems were found, a node is unknown, a check failed), 2 when the
//! command could not do its work (a flag, a file, an address, a server that does not answer).

pub mod apply;
mod blockers;
pub mod bootstrap;
pub mod capture;
mod client;
pub mod config_dump;
pub mod connect;
pub mod delete;
pub mod demo;
pub mod describe;
mod document;
pub mod endpoints;
pub mod get;
pub mod health;
pub mod import;
pub mod migrate;
pub mod output;
mod paths;
mod remote;
mod report;
mod run;
mod select;
pub mod serve;
pub mod sign;
pub mod status;
mod step;
pub mod store;
pub mod sync;
pub mod validate;
mod write;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::demo::service::ServiceOptions;
use crate::envoy;
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
    Apply(Box<apply::ApplyArgs>),
    Get(get::GetArgs),
    Describe(describe::DescribeArgs),
    Delete(Box<delete::DeleteArgs>),
    Bootstrap(bootstrap::BootstrapArgs),
    Capture(capture::CaptureArgs),
    Import(import::ImportArgs),
    Migrate(migrate::MigrateArgs),
    Status(status::StatusArgs),
    Config(config_dump::ConfigArgs),
    Endpoints(endpoints::EndpointsArgs),
    Store(store::StoreArgs),
    Sync(Box<sync::SyncArgs>),
    Health(health::HealthArgs),
    Demo(demo::DemoArgs),
    /// Is one of the demo's services
    #[command(name = ServiceOptions::SUBCOMMAND, hide = true)]
    DemoService(ServiceOptions),
    /// Becomes a command that ends when its parent does
    #[command(name = envoy::child::SUBCOMMAND, hide = true)]
    RunChild {
        #[arg(long)]
        parent: u32,
        #[arg(required = true, last = true)]
        command: Vec<OsString>,
    },
}

/// Runs the command that was typed, and returns its exit code.
pub fn main(cli: Cli) -> ExitCode {
    if let Command::RunChild { parent, command } = &cli.command {
        return run_child(*parent, command);
    }
    match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => {
            let code = runtime.block_on(run(cli));
            // Else the end would wait for whatever still reads, be it a folder on a server that is gone.
            runtime.shutdown_background();
            code
        }
        Err(error) => fail(&CliError::unable_error(error)),
    }
}

async fn run(cli: Cli) -> ExitCode {
    let printed = match cli.command {
        Command::Serve(args) => serve::run(*args).await.map(|()| String::new()),
        Command::Validate(args) => return answer(validate::run(&args)),
        Command::Capture(args) => return answer(capture::run(args).await),
        Command::Apply(args) => return answer(apply::run(*args).await),
        Command::Delete(args) => return answer(delete::run(*args).await),
        Command::Sync(args) => return answer(sync::run(*args).await),
        Command::Get(args) => get::run(args).await,
        Command::Describe(args) => describe::run(args).await,
        Command::Bootstrap(args) => bootstrap::run(args),
        Command::Import(args) => import::run(args).await,
        Command::Migrate(args) => migrate::run(args),
        Command::Status(args) => status::run(args).await,
        Command::Config(args) => config_dump::run(args).await,
        Command::Endpoints(args) => endpoints::run(args).await,
        Command::Store(args) => store::run(args),
        Command::Health(args) => health::run(args).await,
        Command::Demo(args) => demo::run(args).await.map(|()| String::new()),
        Command::DemoService(options) => demo::serve(options).await.map(|()| String::new()),
        Command::RunChild { .. } => Ok(String::new()),
    };
    match printed {
        Ok(text) => print(&text, ExitCode::SUCCESS),
        Err(error) => fail(&error),
    }
}

/// Prints an answer that may be no.
fn answer(answer: Result<(String, Option<output::Exit>), CliError>) -> ExitCode {
    match answer {
        Ok((text, exit)) => print(&text, exit.map_or(ExitCode::SUCCESS, Into::into)),
        Err(error) => fail(&error),
    }
}

/// Before any thread is started: the tie to the parent is this thread's.
fn run_child(parent: u32, command: &[OsString]) -> ExitCode {
    let Some((program, arguments)) = command.split_first() else {
        return ExitCode::FAILURE;
    };
    match envoy::child::run_child(parent, program.as_ref(), arguments) {
        Ok(never) => match never {},
        Err(error) => fail(&CliError::unable_error(error)),
    }
}

fn fail(error: &CliError) -> ExitCode {
    drop(std::io::stderr().write_all(error.text().as_bytes()));
    error.exit.into()
}

fn print(text: &str, exit: ExitCode) -> ExitCode {
    // A reader that has seen enough (`| head`) is no failure.
    drop(std::io::stdout().write_all(text.as_bytes()));
    exit
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each command that is listed by its parent's help, with the line that says what it does.
    fn listed(command: &clap::Command) -> Vec<(String, String)> {
        let listed = command.get_subcommands().filter(|one| !one.is_hide_set());
        listed
            .flat_map(|one| {
                let about = one.get_about().map(ToString::to_string);
                let inside = listed_below(one);
                std::iter::once((one.get_name().to_owned(), about.unwrap_or_default()))
                    .chain(inside)
            })
            .collect()
    }

    fn listed_below(command: &clap::Command) -> Vec<(String, String)> {
        let below = listed(command).into_iter();
        let name = command.get_name();
        below
            .map(|(below, about)| (format!("{name} {below}"), about))
            .collect()
    }

    #[test]
    fn every_command_says_what_to_do_in_one_mood() {
        let command = <Cli as clap::CommandFactory>::command();
        let listed = listed(&command);
        assert!(listed.len() > 25, "{listed:?}");
        for (name, about) in listed {
            let verb = about.split([' ', ',']).next().unwrap_or_default();
            let begins = verb.starts_with(|first: char| first.is_ascii_uppercase());
            assert!(begins && !verb.ends_with('s'), "{name}: {about}");
            assert!(!["The", "How", "What"].contains(&verb), "{name}: {about}");
        }
    }
}
