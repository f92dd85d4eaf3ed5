//! The control planes that are compared: how each is started, and how it is asked for a change.

use crate::mesh::{self, Mesh};
use crate::register;
use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::Instant;

/// How long a server may take until it serves.
const START: Duration = Duration::from_secs(20);
const GLANCE: Duration = Duration::from_millis(20);

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// go-control-plane, one snapshot for each group
    Peer,
    /// The bare server
    Floor,
    /// The bare server, past tonic's encoder
    ZeroCopy,
    Outrigger,
}

impl Kind {
    pub(crate) const ALL: [Kind; 4] = [Kind::Peer, Kind::Floor, Kind::ZeroCopy, Kind::Outrigger];

    pub(crate) fn title(self) -> &'static str {
        match self {
            Kind::Peer => "go-control-plane",
            Kind::Floor => "floor",
            Kind::ZeroCopy => "floor, zero-copy",
            Kind::Outrigger => "Outrigger",
        }
    }

    pub(crate) fn key(self) -> &'static str {
        match self {
            Kind::Peer => "peer",
            Kind::Floor => "floor",
            Kind::ZeroCopy => "zero-copy",
            Kind::Outrigger => "outrigger",
        }
    }
}

/// Where the programs are, and what Outrigger is told beside its addresses and mesh.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    pub(crate) peer: PathBuf,
    pub(crate) floor: PathBuf,
    pub(crate) outrigger: PathBuf,
    pub(crate) load: PathBuf,
    pub(crate) outrigger_args: Vec<String>,
}

impl Programs {
    pub(crate) fn of(&self, kind: Kind) -> &Path {
        match kind {
            Kind::Peer => &self.peer,
            Kind::Floor | Kind::ZeroCopy => &self.floor,
            Kind::Outrigger => &self.outrigger,
        }
    }
}

/// How the load client asks for a change, and what it then waits for.
#[derive(Clone, Debug)]
pub(crate) struct Trigger {
    pub(crate) method: &'static str,
    pub(crate) url: String,
    pub(crate) body: String,
    pub(crate) resource: &'static str,
}

/// A running server; dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) pid: u32,
    pub(crate) ads: String,
    pub(crate) trigger: Trigger,
    folder: TempDir,
}

impl Server {
    /// Starts one on free ports, and waits until it serves the whole mesh.
    pub(crate) async fn start(programs: &Programs, kind: Kind, mesh: Mesh) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let [ads, side, admin] = free_addresses()?;
        let mut command = Command::new(programs.of(kind));
        match kind {
            Kind::Outrigger => {
                let files = folder.path().join("mesh");
                mesh.write(&files)?;
                command.arg("serve").arg("--mesh").arg(files);
                command.args(["--xds-addr", &ads.to_string()]);
                command.args(["--api-addr", &side.to_string()]);
                command.args(["--admin-addr", &admin.to_string()]);
                command.args(&programs.outrigger_args);
            }
            Kind::Peer | Kind::Floor | Kind::ZeroCopy => {
                command.args(["--addr", &ads.to_string(), "--admin", &side.to_string()]);
                command.args(["--services", &mesh.services.to_string()]);
                command.args(["--backends", &mesh.backends.to_string()]);
                command.args((kind == Kind::ZeroCopy).then_some("--zero-copy"));
            }
        }
        let log = File::create(folder.path().join("log"))?;
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let child = command.kill_on_drop(true).spawn();
        let child = child.with_context(|| format!("starting {}", programs.of(kind).display()))?;
        let mut server = Self {
            pid: child.id().context("the server ended at once")?,
            child,
            ads: format!("http://{ads}"),
            trigger: trigger(kind, side),
            folder,
        };
        let ready = (kind == Kind::Outrigger).then(|| format!("http://{admin}/readyz"));
        server.wait([ads, side], ready.as_deref()).await?;
        if kind == Kind::Outrigger {
            let registered = register::endpoints(&format!("http://{side}"), mesh).await;
            registered.with_context(|| server.last_words())?;
        }
        Ok(server)
    }

    async fn wait(&mut self, addresses: [SocketAddr; 2], ready: Option<&str>) -> Result<()> {
        let limit = Instant::now() + START;
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended with {status}: {}", self.last_words());
            }
            let mut serves = match ready {
                Some(url) => register::is_answered(url).await,
                None => true,
            };
            for address in addresses {
                serves &= TcpStream::connect(address).await.is_ok();
            }
            if serves {
                return Ok(());
            }
            if Instant::now() > limit {
                bail!(
                    "the server does not serve after {START:?}: {}",
                    self.last_words()
                );
            }
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// Kills the server and waits for its end.
    pub(crate) async fn stop(mut self) -> Result<()> {
        self.child.kill().await.context("ending the server")
    }

    /// The end of what the server printed.
    pub(crate) fn last_words(&self) -> String {
        let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let mut lines: Vec<_> = log.lines().rev().take(5).collect();
        lines.reverse();
        lines.join("\n")
    }
}

fn trigger(kind: Kind, side: SocketAddr) -> Trigger {
    if kind == Kind::Outrigger {
        return Trigger {
            method: "PUT",
            url: format!("http://{side}{}", mesh::ENDPOINTS_PATH),
            body: mesh::endpoints_body(),
            resource: "cds_egress_bench_svc-{service}_http_8080",
        };
    }
    Trigger {
        method: "GET",
        url: format!("http://{side}/bump?service={{service}}"),
        body: String::new(),
        resource: "svc-{service}",
    }
}

/// Addresses on loopback that nobody listens on. Another program may take one before the server does; it then says so.
fn free_addresses<const N: usize>() -> Result<[SocketAddr; N]> {
    let mut listeners = Vec::new();
    for _ in 0..N {
        listeners.push(TcpListener::bind("127.0.0.1:0")?);
    }
    let addresses: Result<Vec<_>, _> = listeners.iter().map(TcpListener::local_addr).collect();
    addresses?
        .try_into()
        .ok()
        .context("as many addresses as listeners")
}
