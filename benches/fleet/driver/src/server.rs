//! The control planes that are compared: how each is started, and how it is asked for a change.

use crate::mesh::{self, Mesh};
use crate::register;
use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use std::ffi::OsString;
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
    /// Where its metrics are, if it is Outrigger.
    pub(crate) metrics: String,
    program: PathBuf,
    args: Vec<OsString>,
    addresses: [SocketAddr; 2],
    /// What answers once the server is ready.
    ready: Option<String>,
    folder: TempDir,
}

impl Server {
    /// Starts one on free ports, and waits until it serves the whole mesh.
    pub(crate) async fn start(programs: &Programs, kind: Kind, mesh: Mesh) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let [ads, side, admin] = free_addresses()?;
        let mut args: Vec<OsString> = Vec::new();
        let mut option = |name: &str, value: OsString| args.extend([name.into(), value]);
        match kind {
            Kind::Outrigger => {
                let files = folder.path().join("mesh");
                mesh.write(&files)?;
                option("--mesh", files.into());
                option("--xds-addr", ads.to_string().into());
                option("--api-addr", side.to_string().into());
                option("--admin-addr", admin.to_string().into());
                args.insert(0, "serve".into());
                args.extend(programs.outrigger_args.iter().map(OsString::from));
            }
            Kind::Peer | Kind::Floor | Kind::ZeroCopy => {
                option("--addr", ads.to_string().into());
                option("--admin", side.to_string().into());
                option("--services", mesh.services.to_string().into());
                option("--backends", mesh.backends.to_string().into());
                args.extend((kind == Kind::ZeroCopy).then(|| "--zero-copy".into()));
            }
        }
        let program = programs.of(kind).to_owned();
        let child = spawn(&program, &args, &folder)?;
        let ready = (kind == Kind::Outrigger).then(|| format!("http://{admin}/readyz"));
        let mut server = Self {
            pid: child.id().context("the server ended at once")?,
            child,
            ads: format!("http://{ads}"),
            trigger: trigger(kind, side),
            metrics: format!("http://{admin}/metrics"),
            program,
            args,
            addresses: [ads, side],
            ready,
            folder,
        };
        server.wait().await?;
        if kind == Kind::Outrigger {
            let registered = register::endpoints(&format!("http://{side}"), mesh).await;
            registered.with_context(|| server.last_words())?;
        }
        Ok(server)
    }

    /// Kills the server, leaves it dead for so long, and starts it as it was, on the same addresses.
    pub(crate) async fn restart(&mut self, down: Duration) -> Result<()> {
        self.child.kill().await.context("killing the server")?;
        tokio::time::sleep(down).await;
        self.child = spawn(&self.program, &self.args, &self.folder)?;
        self.pid = self.child.id().context("the server ended at once")?;
        self.wait().await
    }

    async fn wait(&mut self) -> Result<()> {
        let limit = Instant::now() + START;
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended with {status}: {}", self.last_words());
            }
            let mut serves = match &self.ready {
                Some(url) => register::is_answered(url).await,
                None => true,
            };
            for address in self.addresses {
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

fn spawn(program: &Path, args: &[OsString], folder: &TempDir) -> Result<Child> {
    let log = File::create(folder.path().join("log"))?;
    let child = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .kill_on_drop(true)
        .spawn();
    child.with_context(|| format!("starting {}", program.display()))
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
