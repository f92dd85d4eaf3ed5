//! A small world for tests: a control plane as a process of its own, a DNS server, applications and real Envoy sidecars,
//! each on a loopback address that no other test uses.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use outrigger::api::operator::generated::operator_client::OperatorClient;
use outrigger::api::operator::generated::{Client, ListClientsRequest};
use outrigger::demo::dns::{DnsServer, Zone};
use outrigger::demo::service::ServiceOptions;
use outrigger::envoy::bootstrap::{BootstrapOptions, XdsAddress, XdsProtocol, bootstrap};
use outrigger::envoy::child::{Child, ChildCommand};
use outrigger::envoy::process::{Envoy, EnvoyOptions};
use outrigger::model::{Capture, NodeRef};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, interval};
use tokio_util::sync::CancellationToken;

/// The binary under test, which is also the guard of every child process.
pub(crate) const OUTRIGGER: &str = env!("CARGO_BIN_EXE_outrigger");
/// Longest wait for anything; what should be quick is asserted with a bound of its own.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until `look` yields something. The only way that tests here wait.
pub(crate) async fn eventually<T>(
    what: &str,
    within: Duration,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> T {
    let deadline = Instant::now() + within;
    let mut every = interval(Duration::from_millis(10));
    loop {
        every.tick().await;
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {within:?}: {what}");
    }
}

/// Everything that one test runs.
pub(crate) struct World {
    subnet: [u8; 3],
    pub(crate) folder: TempDir,
    pub(crate) zone: Zone,
    pub(crate) control: Option<Child>,
    /// What the control plane logs.
    pub(crate) log: &'static str,
    pub(crate) envoy: PathBuf,
    /// Who resolves the mesh's names.
    pub(crate) dns_server: SocketAddr,
    /// Whether `serve` is given mesh files, or its mesh is what the API is told.
    pub(crate) has_mesh_files: bool,
    /// Further arguments of `serve`.
    pub(crate) serve_args: Vec<String>,
    stop: CancellationToken,
}

impl World {
    /// A DNS server with an empty zone, and nothing else yet.
    pub(crate) async fn new() -> Self {
        static NEXT: AtomicU8 = AtomicU8::new(1);
        let second = 64 + u8::try_from(std::process::id() % 128).unwrap();
        let subnet = [127, second, NEXT.fetch_add(1, Ordering::Relaxed)];
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("mesh")).unwrap();
        let zone = Zone::default();
        let stop = CancellationToken::new();
        let envoy = crate::envoy::binary().await;
        let [a, b, c] = subnet;
        let world = Self {
            subnet,
            folder,
            zone,
            control: None,
            log: "info,outrigger=debug",
            envoy,
            dns_server: (Ipv4Addr::new(a, b, c, 1), 10053).into(),
            has_mesh_files: true,
            serve_args: Vec::new(),
            stop,
        };
        let dns = DnsServer::bind(world.dns_server, world.zone.clone())
            .await
            .unwrap();
        tokio::spawn(dns.run(world.stop.clone()));
        world
    }

    /// Starts a control plane that serves `mesh` (YAML documents) and waits until it is ready. Names that the zone has by
    /// now resolve at once.
    pub(crate) async fn serve(&mut self, mesh: &str) {
        self.write_mesh(mesh);
        self.start_control_plane().await;
    }

    /// Host `host` of the world's own network.
    pub(crate) fn ip(&self, host: u8) -> IpAddr {
        let [a, b, c] = self.subnet;
        Ipv4Addr::new(a, b, c, host).into()
    }

    pub(crate) fn at(&self, host: u8, port: u16) -> SocketAddr {
        SocketAddr::new(self.ip(host), port)
    }

    /// Where a host's application listens.
    pub(crate) fn application(&self, host: u8) -> SocketAddr {
        self.at(host, 18080)
    }

    /// The Unix socket of the control plane.
    pub(crate) fn xds_socket(&self) -> PathBuf {
        self.folder.path().join("xds.sock")
    }

    /// Saves the mesh as an editor does: aside, then renamed into place.
    pub(crate) fn write_mesh(&self, yaml: &str) {
        let path = self.folder.path().join("mesh/mesh.yaml");
        let aside = self.folder.path().join("mesh.yaml.new");
        std::fs::write(&aside, yaml).unwrap();
        std::fs::rename(aside, path).unwrap();
    }

    pub(crate) async fn start_control_plane(&mut self) {
        self.spawn_control_plane();
        eventually("the control plane is ready", PATIENCE, async || {
            let status = self
                .get(self.at(1, 9081), "ignored", "/readyz")
                .await
                .ok()?
                .0;
            (status == 200).then_some(())
        })
        .await;
    }

    /// Starts the control plane without waiting for it to be ready.
    pub(crate) fn spawn_control_plane(&mut self) {
        let log = self.folder.path().join("control-plane.log");
        let mesh = self.folder.path().join("mesh");
        let mesh = [OsString::from("--mesh"), mesh.into()].into_iter();
        let child = ChildCommand::new(OUTRIGGER, OUTRIGGER)
            .arg("serve")
            .args(mesh.filter(|_| self.has_mesh_files))
            .args(["--xds-addr", &self.at(1, 18000).to_string()])
            .arg("--xds-socket")
            .arg(self.xds_socket())
            .args(["--api-addr", &self.at(1, 9080).to_string()])
            .args(["--admin-addr", &self.at(1, 9081).to_string()])
            .args(["--dns-server", &self.dns_server.to_string()])
            .args(["--log", self.log])
            .args(&self.serve_args)
            .spawn("control plane", &log)
            .unwrap();
        self.control = Some(child);
    }

    /// Waits until the control plane answers at all.
    pub(crate) async fn answers_health(&self) {
        eventually("the control plane is alive", PATIENCE, async || {
            let answer = self.get(self.at(1, 9081), "ignored", "/healthz").await;
            (answer.ok()?.0 == 200).then_some(())
        })
        .await;
    }

    /// Ends the control plane as a crash would.
    pub(crate) async fn kill_control_plane(&mut self) {
        self.control.take().unwrap().kill().await.unwrap();
    }

    /// Asks the control plane to end, and says how it did and how long that took.
    pub(crate) async fn stop_control_plane(&mut self) -> (ExitStatus, Duration) {
        let asked = Instant::now();
        let status = self.control.take().unwrap().stop(PATIENCE).await.unwrap();
        (status, asked.elapsed())
    }

    /// The last lines of the control plane's log, for a failing assertion's message.
    pub(crate) fn control_log(&self) -> String {
        let log = std::fs::read_to_string(self.folder.path().join("control-plane.log"))
            .unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }

    /// A real Envoy as the sidecar of `node` on a host, whose application is that host's; it is ready.
    pub(crate) async fn sidecar(&self, node: &str, host: u8, protocol: XdsProtocol) -> Envoy {
        let mut envoy = self.start_sidecar(node, host, protocol);
        if let Err(error) = envoy.ready(PATIENCE).await {
            panic!("{error}\ncontrol plane:\n{}", self.control_log());
        }
        envoy
    }

    /// How traffic enters a host's sidecar: its application listens ten thousand ports above each listener.
    pub(crate) fn capture(&self, host: u8) -> Capture {
        let ports = [7000, 8080, 8090, 9000].into_iter();
        Capture::Explicit {
            bind: self.ip(host),
            applications: ports
                .map(|port| (port, self.at(host, port + 10_000)))
                .collect(),
        }
    }

    /// The same, without waiting.
    pub(crate) fn start_sidecar(&self, node: &str, host: u8, protocol: XdsProtocol) -> Envoy {
        let xds = self.at(1, 18000).into();
        self.start_sidecar_of(xds, node, host, protocol)
    }

    /// The same, with the control plane at another address.
    pub(crate) fn start_sidecar_of(
        &self,
        xds: XdsAddress,
        node: &str,
        host: u8,
        protocol: XdsProtocol,
    ) -> Envoy {
        let node = NodeRef::parse(node).unwrap();
        let mut options = BootstrapOptions::new(node, xds, self.capture(host));
        options.protocol = protocol;
        self.start_envoy(host, &bootstrap(&options).unwrap(), options.admin())
    }

    /// A real Envoy on a host, with any bootstrap.
    pub(crate) fn start_envoy(&self, host: u8, bootstrap: &Value, admin: SocketAddr) -> Envoy {
        let name = format!("envoy-{host}");
        let mut start =
            EnvoyOptions::new(name, OUTRIGGER.as_ref(), &self.envoy, self.folder.path());
        // What a change of a listener cuts off is cut off while the test still looks.
        start.drain = Duration::from_secs(1);
        Envoy::start(&start, bootstrap, admin).unwrap()
    }

    /// `GET http://authority/path`, sent to `address`: the status and the body.
    pub(crate) async fn get(
        &self,
        address: SocketAddr,
        authority: &str,
        path: &str,
    ) -> Result<(u16, String), Box<dyn std::error::Error + Send + Sync>> {
        get(address, authority, path).await
    }

    /// A request by service name through the egress listener of a host's sidecar.
    pub(crate) async fn call(&self, host: u8, authority: &str, path: &str) -> (u16, String) {
        match get(self.at(host, 15001), authority, path).await {
            Ok(answer) => answer,
            Err(error) => (0, error.to_string()),
        }
    }

    /// The control plane's metrics as text.
    pub(crate) async fn metrics(&self) -> String {
        self.get(self.at(1, 9081), "ignored", "/metrics")
            .await
            .unwrap()
            .1
    }

    /// The value of one series, such as `outrigger_xds_streams{variant="delta"}`.
    pub(crate) async fn metric(&self, series: &str) -> u64 {
        let metrics = self.metrics().await;
        let line = metrics.lines().find_map(|line| line.strip_prefix(series));
        line.unwrap_or_else(|| panic!("no {series} in\n{metrics}"))
            .trim()
            .parse()
            .unwrap()
    }

    /// Who is connected, as `outrigger status` shows it; nobody while the control plane does not answer.
    pub(crate) async fn clients(&self) -> Vec<Client> {
        let url = format!("http://{}", self.at(1, 9080));
        let Ok(mut operator) = OperatorClient::connect(url).await else {
            return Vec::new();
        };
        let list = operator.list_clients(ListClientsRequest::default()).await;
        list.map(|list| list.into_inner().clients)
            .unwrap_or_default()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
        if std::thread::panicking() {
            eprintln!("control plane's last lines:\n{}", self.control_log());
        }
    }
}

/// One request on a connection of its own.
pub(crate) async fn get(
    address: SocketAddr,
    authority: &str,
    path: &str,
) -> Result<(u16, String), Box<dyn std::error::Error + Send + Sync>> {
    let exchange = async {
        let stream = TcpStream::connect(address).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let request = hyper::Request::get(path)
            .header("host", authority)
            .body(Empty::<Bytes>::new())?;
        let response = sender.send_request(request).await?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await?.to_bytes();
        connection.abort();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    };
    tokio::time::timeout(Duration::from_secs(20), exchange).await?
}

/// An application: answers every request with its name, and counts them. It lives in the test's own process; one that
/// is to be killed is a [`Service`].
pub(crate) struct Application {
    requests: Arc<AtomicU64>,
    server: JoinHandle<()>,
}

impl Application {
    pub(crate) async fn start(address: SocketAddr, name: &'static str) -> Self {
        let requests = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&requests);
        let router = Router::new().fallback(move |_: Request| {
            counted.fetch_add(1, Ordering::Relaxed);
            async move { name }
        });
        let listener = TcpListener::bind(address).await.unwrap();
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { requests, server }
    }

    pub(crate) fn count(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// An application in a process of its own, which can be killed with every connection that it has. It answers with who it
/// is, as JSON.
pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    name: &'static str,
    log: PathBuf,
    child: Child,
}

impl Service {
    pub(crate) async fn start(world: &World, address: SocketAddr, name: &'static str) -> Self {
        let log = world.folder.path().join(format!("service-{address}.log"));
        let child = Self::spawn(address, name, &log).await;
        Self {
            address,
            name,
            log,
            child,
        }
    }

    /// Ends it as a crash would.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    pub(crate) async fn restart(&mut self) {
        self.child = Self::spawn(self.address, self.name, &self.log).await;
    }

    async fn spawn(address: SocketAddr, name: &'static str, log: &Path) -> Child {
        let listen = address.to_string();
        let mut child = ChildCommand::new(OUTRIGGER, OUTRIGGER)
            .args([ServiceOptions::SUBCOMMAND, "--name", name])
            .args(["--version", "test", "--listen", &listen])
            // Nothing here has it call others.
            .args(["--proxy", &listen])
            .spawn(name, log)
            .unwrap();
        eventually("the service answers", PATIENCE, async || {
            assert!(child.ended().is_none(), "{:?}", child.last_lines(9));
            let (status, _) = get(address, name, "/health").await.ok()?;
            (status == 200).then_some(())
        })
        .await;
        child
    }
}
