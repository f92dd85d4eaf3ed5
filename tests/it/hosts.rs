//! Hosts with addresses, users and packet filters of their own: network namespaces of the real kernel, joined by a switch.
//!
//! ```ignore
//! let net = Net::new().await;
//! let a = net.host("a").await;
//! let b = net.host("b").await;
//! let listener = b.app.run(TcpListener::bind((b.v4, 8080))).await.unwrap();
//! let stream = a.app.run(TcpStream::connect((b.v4, 8080))).await.unwrap();
//! ```
//!
//! A [`User`] is a thread that has entered the host and become the user. Whatever a future that it runs opens or starts
//! (sockets, child processes) belongs to both. What it starts dies with it.
//!
//! Nothing outlives the test, however it ends: a namespace goes with the last process in it, and here that is a child that
//! the kernel kills when the test dies. To look around in a host while a test waits: `nsenter --net --target PID`, where
//! PID is that of the `sleep infinity` whose `/proc/PID/environ` names the host.

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use outrigger::envoy::child::{Child, ChildCommand};
use rustix::process::{Gid, Uid};
use rustix::thread::{
    LinkNameSpaceType, move_into_link_name_space, set_thread_groups, set_thread_res_gid,
    set_thread_res_uid,
};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::world::{OUTRIGGER, PATIENCE, eventually};

/// The user that Envoy runs as.
pub(crate) const ENVOY: u32 = 1337;
/// A user that is nobody in particular.
pub(crate) const APP: u32 = 1000;

/// The number of every host's one interface: the first after loopback.
const LINK: u32 = 2;

/// A network of hosts. Each has IPv4 and IPv6, and takes every address for one of a neighbour.
pub(crate) struct Net {
    /// Anybody may read and write here.
    pub(crate) folder: TempDir,
    switch: Namespace,
    hosts: Cell<u8>,
}

/// One host of a [`Net`].
pub(crate) struct Host {
    pub(crate) v4: IpAddr,
    pub(crate) v6: IpAddr,
    /// The host's administrator.
    pub(crate) root: User,
    /// Who runs applications.
    pub(crate) app: User,
    /// Who Envoy runs as.
    pub(crate) envoy: User,
    namespace: Namespace,
}

/// Somebody on a host.
pub(crate) struct User {
    runtime: Handle,
    /// Dropped, the thread ends.
    _stop: oneshot::Sender<()>,
}

/// A network namespace, held by a process that does nothing else.
struct Namespace {
    holder: Child,
}

impl Net {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        open_to_all(folder.path());
        let switch = Namespace::new("switch", folder.path()).await;
        let root = switch.user(0);
        // A switch that floods: no snooping, and nothing learnt that could be stale.
        ip(
            &root,
            "link add switch type bridge mcast_snooping 0 forward_delay 0
             link set switch up",
        )
        .await;
        Self {
            folder,
            switch,
            hosts: Cell::new(0),
        }
    }

    /// Adds a host.
    pub(crate) async fn host(&self, name: &'static str) -> Host {
        let number = self.hosts.get() + 1;
        self.hosts.set(number);
        let namespace = Namespace::new(name, self.folder.path()).await;
        let v4 = Ipv4Addr::new(10, 0, 0, number);
        let v6 = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, number.into());
        let pid = namespace.pid();
        ip(
            &self.switch.user(0),
            &format!(
                "link add port{number} type veth peer name eth0 netns {pid}
                 link set port{number} master switch up"
            ),
        )
        .await;
        let root = namespace.user(0);
        // Without `nodad` an IPv6 address is of no use for the first second.
        ip(
            &root,
            &format!(
                "link set eth0 addrgenmode none
                 link set eth0 up
                 address add {v4}/24 dev eth0
                 address add {v6}/64 dev eth0 nodad
                 address add fe80::{number}/64 dev eth0 nodad
                 route add default dev eth0
                 -6 route add default dev eth0"
            ),
        )
        .await;
        Host {
            v4: v4.into(),
            v6: v6.into(),
            app: namespace.user(APP),
            envoy: namespace.user(ENVOY),
            root,
            namespace,
        }
    }

    /// A program where every user may run it.
    pub(crate) fn program(&self, program: &Path) -> PathBuf {
        let here = self.folder.path().join(program.file_name().unwrap());
        if !here.exists() && std::fs::hard_link(program, &here).is_err() {
            std::fs::copy(program, &here).unwrap();
        }
        here
    }
}

impl Host {
    /// Both addresses of the host, with a port.
    pub(crate) fn at(&self, port: u16) -> [SocketAddr; 2] {
        [self.v4, self.v6].map(|ip| SocketAddr::new(ip, port))
    }

    /// One more address, which the other hosts find here.
    pub(crate) async fn add_address(&self, address: &str) {
        let line = format!("address add {address} dev eth0 nodad");
        let line = if address.contains(':') {
            line
        } else {
            line.trim_end_matches(" nodad").to_owned()
        };
        ip(&self.root, &line).await;
    }

    /// An address that is the host's on its neighbours' link only.
    pub(crate) fn link_local(&self, port: u16) -> SocketAddr {
        let IpAddr::V6(ip) = self.v6 else {
            unreachable!()
        };
        let [.., number] = ip.segments();
        let ip = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, number);
        SocketAddrV6::new(ip, port, 0, LINK).into()
    }

    /// Somebody else on the host, for as long as the value lives.
    pub(crate) fn user(&self, uid: u32) -> User {
        self.namespace.user(uid)
    }

    /// Runs `outrigger` on the host as its administrator.
    pub(crate) async fn outrigger(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(OUTRIGGER);
        command.args(arguments);
        self.root.output(command).await
    }
}

impl User {
    /// Starts something that goes on by itself, as long as the user is there.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.runtime.spawn(future)
    }

    /// Has it done by this user, on this host.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> T {
        match self.spawn(future).await {
            Ok(value) => value,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    /// What a program does and prints.
    pub(crate) async fn output(&self, mut command: Command) -> Output {
        self.run(async move { command.output().unwrap() }).await
    }
}

impl Namespace {
    async fn new(name: &str, folder: &Path) -> Self {
        let log = folder.join(format!("{name}.holder.log"));
        let script = "ip link set lo up && echo up && exec sleep infinity";
        let holder = ChildCommand::new(OUTRIGGER, "unshare")
            .args(["--net", "env"])
            .arg(format!("OUTRIGGER_TEST_HOST={name}"))
            .args(["sh", "-c", script])
            .spawn(name, &log);
        let mut holder = holder.unwrap();
        let is_up = eventually("a network namespace", PATIENCE, async || {
            if holder.ended().is_some() {
                return Some(false);
            }
            (holder.last_lines(1) == ["up"]).then_some(true)
        });
        assert!(
            is_up.await,
            "tests with hosts need root and the package iproute2: {:?}",
            std::fs::read_to_string(log)
        );
        Self { holder }
    }

    fn pid(&self) -> u32 {
        self.holder.id().unwrap()
    }

    fn user(&self, uid: u32) -> User {
        let namespace = File::open(format!("/proc/{}/ns/net", self.pid())).unwrap();
        let (started, handle) = std::sync::mpsc::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        std::thread::spawn(move || {
            become_user(&namespace, uid);
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            started.send(runtime.handle().clone()).unwrap();
            runtime.block_on(stopped).ok();
            runtime.shutdown_timeout(Duration::from_millis(1));
        });
        User {
            runtime: handle.recv().expect("the user's thread says why not"),
            _stop: stop,
        }
    }
}

/// For this thread only, which is how the kernel has it; the C library's functions are for the process.
fn become_user(namespace: &File, uid: u32) {
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
    if uid != 0 {
        let (user, group) = (Uid::from_raw(uid), Gid::from_raw(uid));
        set_thread_groups(&[]).unwrap();
        set_thread_res_gid(group, group, group).unwrap();
        set_thread_res_uid(user, user, user).unwrap();
    }
}

/// Runs commands of `ip`, one a line.
async fn ip(user: &User, lines: &str) {
    for line in lines.lines() {
        let mut command = Command::new("ip");
        command.args(line.split_whitespace());
        let output = user.output(command).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "ip {}: {said}", line.trim());
    }
}

fn open_to_all(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o777)).unwrap();
}

/// Answers every connection with its name and where the connection was meant to go, then with whatever it is sent.
pub(crate) async fn greet(user: &User, address: impl Into<SocketAddr>, name: &'static str) {
    let listener = TcpListener::bind(address.into());
    let listener = user.run(listener).await.unwrap();
    user.spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let meant = original_destination(&stream).unwrap();
                let line = format!("{name} for {meant}\n");
                // The other side may have heard enough.
                stream.write_all(line.as_bytes()).await.ok();
                let (mut from, mut to) = stream.split();
                tokio::io::copy(&mut from, &mut to).await.ok();
            });
        }
    });
}

fn original_destination(stream: &TcpStream) -> io::Result<SocketAddr> {
    let local = stream.local_addr()?;
    let found = match local {
        SocketAddr::V4(_) => rustix::net::sockopt::ip_original_dst(stream).map(SocketAddr::V4),
        SocketAddr::V6(_) => rustix::net::sockopt::ipv6_original_dst(stream).map(SocketAddr::V6),
    };
    // A host without NAT rules does not track connections; this one was not redirected.
    let meant = found.unwrap_or(local);
    Ok(SocketAddr::new(meant.ip().to_canonical(), meant.port()))
}

/// What the server at this address says first, or how it ends without.
pub(crate) async fn greeting(address: SocketAddr) -> String {
    match TcpStream::connect(address).await {
        Ok(mut stream) => first_line(&mut stream).await,
        Err(error) => error.kind().to_string(),
    }
}

pub(crate) async fn first_line(stream: &mut TcpStream) -> String {
    let mut line = String::new();
    loop {
        match stream.read_u8().await.map(char::from) {
            Ok('\n') => return line,
            Ok(character) => line.push(character),
            Err(error) => return format!("{line}{}", error.kind()),
        }
    }
}
