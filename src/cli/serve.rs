//! `outrigger serve`.

use std::path::PathBuf;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::output::CliError;
use crate::app;
use crate::config::Layer;
use crate::telemetry;

/// Serve mesh files to Envoy sidecars
#[derive(Debug, clap::Args)]
pub struct ServeArgs {
    /// Configuration file (YAML); flags and variables win over it
    #[arg(long, value_name = "FILE", env = "OUTRIGGER_CONFIG")]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: Layer,
}

/// Serves until SIGINT or SIGTERM; a second signal ends the process at once.
pub async fn run(args: ServeArgs) -> Result<(), CliError> {
    let file = args
        .config
        .as_deref()
        .map(Layer::from_file)
        .transpose()
        .map_err(CliError::unable_error)?;
    let settings = args
        .settings
        .over(file.unwrap_or_default())
        .into_settings()
        .map_err(CliError::unable_error)?;
    telemetry::log::init(settings.log_format, &settings.log).map_err(CliError::unable_error)?;
    let grace = settings.shutdown_grace;
    let mut signals = Signals::listen().map_err(CliError::unable_error)?;
    let bound = app::bind(settings).await.map_err(CliError::unable_error)?;
    let stop = CancellationToken::new();
    let serving = bound.run(stop.clone());
    tokio::pin!(serving);
    tokio::select! {
        served = &mut serving => return served.map_err(CliError::unable_error),
        () = signals.next() => {}
    }
    info!("stopping");
    stop.cancel();
    tokio::select! {
        served = serving => served.map_err(CliError::unable_error),
        () = signals.next() => {
            warn!("told to stop again: ending now");
            Ok(())
        }
        () = tokio::time::sleep(grace) => {
            warn!(?grace, "streams were still open at the end of the grace");
            Ok(())
        }
    }
}

/// The signals that end the process. Listened for from the start, so that none is missed between two waits.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Returns at the next of them. Cancel-safe.
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
