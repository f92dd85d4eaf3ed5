//! The whole mesh on one machine, without containers: control plane, DNS, services, and a real Envoy beside each.
//!
//! `demo` runs until Ctrl-C and says what to try; `demo --check` sends traffic, changes the mesh, and exits with the
//! verdict. Every process that it starts ends with it, also when it is killed.

mod check;
mod control_plane;
pub mod dns;
mod folder;
mod layout;
mod page;
mod poll;
mod ports;
pub mod service;
mod start;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};

use crate::envoy::binary::{BinaryError, BinarySource};
use crate::envoy::bootstrap::BootstrapError;
use crate::envoy::child::ChildError;
use crate::envoy::process::EnvoyError;
use crate::envoy::progress::Progress;
use folder::Folder;
pub use layout::Network;
use page::Page;
use start::{Ended, Running};

/// How to run the demo.
#[derive(Clone, Debug)]
pub struct DemoOptions {
    pub mode: DemoMode,
    /// Whose addresses everything binds.
    pub network: Network,
    /// Whether a second control plane, with sidecars of its own, is fed by the first one.
    pub mirror: bool,
    /// Where Envoy comes from.
    pub binary: BinarySource,
    /// The `outrigger` binary: it starts the services, and ties every child's life to the demo's.
    pub guard: PathBuf,
}

impl DemoOptions {
    /// Each is a mesh with a control plane and services of its own, the one that feeds the other first.
    fn networks(&self) -> impl Iterator<Item = Network> {
        let mirror = self.mirror.then(|| self.network.mirror());
        std::iter::once(self.network).chain(mirror)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DemoMode {
    /// Runs until it is told to end.
    Stay,
    /// Checks traffic and changes, and ends.
    Check,
}

#[derive(Debug, Error)]
pub enum DemoError {
    #[error(
        "the demo runs on Linux only: it needs the loopback addresses 127.0.0.2 to 127.0.0.5, and Envoy's release \
             for Linux"
    )]
    NotLinux,
    #[error(
        "{address} ({purpose}) is in use; end what listens there, perhaps another demo, and start again"
    )]
    InUse {
        address: SocketAddr,
        purpose: String,
    },
    #[error(
        "{address} ({purpose}) cannot be bound; the demo needs all of 127.0.0.0/8 on the loopback interface, as Linux \
             has it by default"
    )]
    NoAddress {
        address: SocketAddr,
        purpose: String,
        #[source]
        source: io::Error,
    },
    #[error("cannot make the working folder `{path}`")]
    Folder {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    Binary(#[from] BinaryError),
    #[error("the demo's DNS server failed")]
    Dns(#[source] io::Error),
    #[error("the control plane failed")]
    ControlPlane(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error(transparent)]
    Bootstrap(#[from] BootstrapError),
    #[error(transparent)]
    Child(#[from] ChildError),
    #[error(transparent)]
    Envoy(#[from] EnvoyError),
    #[error("{name} ended ({status}); its last lines:\n    {lines}")]
    Application {
        name: String,
        status: ExitStatus,
        lines: String,
    },
    #[error("{from} does not answer through {via} within {} s", within.as_secs())]
    NoAnswer {
        from: String,
        via: SocketAddr,
        within: Duration,
    },
    #[error("a part of the demo ended that should not have")]
    EndedEarly,
    #[error("a part of the demo failed")]
    Task(#[source] tokio::task::JoinError),
    #[error("cannot listen for signals")]
    Signals(#[source] io::Error),
    #[error("interrupted before all checks were done")]
    Interrupted,
    #[error("{failed} of {checks} checks failed")]
    Check { failed: usize, checks: usize },
}

/// Runs the demo; call it from the runtime's main task, on whose thread the children's lives hang.
///
/// # Errors
/// [`DemoError`] when something cannot be started, ends early, or a check fails.
pub async fn run(options: DemoOptions) -> Result<(), DemoError> {
    if !cfg!(target_os = "linux") {
        return Err(DemoError::NotLinux);
    }
    for network in options.networks() {
        start::check_ports(network)?;
    }
    let path = std::env::temp_dir().join(format!("outrigger-demo-{}", std::process::id()));
    let mut folder = Folder::create(path.clone()).map_err(|source| DemoError::Folder {
        path: path.clone(),
        source,
    })?;
    let mut signals = Signals::new().map_err(DemoError::Signals)?;
    let outcome = start_and_drive(&options, &folder, &mut signals).await;
    if outcome.is_err() {
        folder.keep();
        say(&format!(
            "Everything has been ended. Logs and bootstraps are kept in {}",
            path.display()
        ));
    }
    outcome
}

async fn start_and_drive(
    options: &DemoOptions,
    folder: &Folder,
    signals: &mut Signals,
) -> Result<(), DemoError> {
    let started = Instant::now();
    let progress = Progress::stderr();
    let mut running = tokio::select! {
        running = start::start(options, folder, &progress) => running?,
        () = signals.received() => return interrupted(options.mode),
    };
    let outcome = tokio::select! {
        outcome = drive(options, folder, &mut running, started) => outcome,
        () = signals.received() => interrupted(options.mode),
    };
    running.stop().await;
    outcome
}

async fn drive(
    options: &DemoOptions,
    folder: &Folder,
    running: &mut Running,
    started: Instant,
) -> Result<(), DemoError> {
    match options.mode {
        DemoMode::Stay => {
            say(&page(options, folder, running).text());
            stay(running).await
        }
        DemoMode::Check => check::check(options, running, folder, started).await,
    }
}

/// Ending is what a person asks for; a check that is ended has not passed.
fn interrupted(mode: DemoMode) -> Result<(), DemoError> {
    match mode {
        DemoMode::Stay => Ok(()),
        DemoMode::Check => Err(DemoError::Interrupted),
    }
}

fn page<'a>(options: &'a DemoOptions, folder: &'a Folder, running: &Running) -> Page<'a> {
    let [_, replica, ..] = options.network.instances();
    let id = running.applications.get(1).copied().flatten();
    Page {
        network: options.network,
        mirror: options.mirror.then(|| options.network.mirror()),
        folder,
        outrigger: &options.guard,
        replica: (replica, id),
    }
}

/// Watches until a part ends that the mesh needs.
async fn stay(running: &mut Running) -> Result<(), DemoError> {
    loop {
        match running.ended().await {
            Ended::Asked => return Err(DemoError::EndedEarly),
            Ended::Needed(error) => return Err(error),
            Ended::Application {
                name,
                status,
                lines,
            } => {
                say(&format!(
                    "{name} ended ({status}); the mesh goes on without it"
                ));
                for line in lines {
                    say(&format!("    {line}"));
                }
            }
        }
    }
}

/// Ctrl-C and SIGTERM.
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn received(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Writes a line to standard output. A reader that has gone is no reason to stop.
fn say(line: &str) {
    writeln!(io::stdout(), "{line}").ok();
}
