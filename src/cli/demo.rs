//! `outrigger demo`, and the hidden command that is its services.

use std::net::Ipv4Addr;

use super::output::{CliError, Exit};
use crate::config::EnvoyEnvironment;
use crate::demo::service::{self, ServiceOptions};
use crate::demo::{self, DemoMode, DemoOptions, Network};
use crate::envoy::binary::BinarySource;
use crate::telemetry;
use crate::telemetry::log::Format;

/// Run a whole mesh on this machine: control plane, DNS, services, and an Envoy beside each
#[derive(Debug, clap::Args)]
pub struct DemoArgs {
    /// Check traffic and changes, print how long changes take, and end; exit 0 if all is well
    #[arg(long)]
    check: bool,
    /// Run a second control plane that only the first one feeds, with services and sidecars of its own
    #[arg(long)]
    mirror: bool,
    /// The loopback network that everything binds addresses of
    #[arg(long, value_name = "ADDR", default_value_t = Ipv4Addr::new(127, 0, 0, 0))]
    network: Ipv4Addr,
}

/// Runs the demo until it is told to end, or its check is over.
pub async fn run(args: DemoArgs) -> Result<(), CliError> {
    // A mesh file that was edited wrongly says so here.
    telemetry::log::init(Format::Text, "warn").map_err(CliError::unable_error)?;
    let environment = EnvoyEnvironment::read();
    let options = DemoOptions {
        mode: if args.check {
            DemoMode::Check
        } else {
            DemoMode::Stay
        },
        network: Network::of(args.network),
        mirror: args.mirror,
        binary: BinarySource {
            named: environment.binary,
            cache: environment.cache,
        },
        guard: std::env::current_exe().map_err(CliError::unable_error)?,
    };
    demo::run(options).await.map_err(|error| CliError {
        exit: Exit::No,
        ..CliError::unable_error(error)
    })
}

/// Runs one of the demo's services until it is killed.
pub async fn serve(options: ServiceOptions) -> Result<(), CliError> {
    service::run(options).await.map_err(CliError::unable_error)
}
