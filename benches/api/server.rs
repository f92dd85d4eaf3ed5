//! A `serve` process, `apply` and `sync`.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::sleep;

const OUTRIGGER: &str = env!("CARGO_BIN_EXE_outrigger");
/// How often it is asked whether it is ready.
const ASKED_EACH: Duration = Duration::from_millis(5);
const LONGEST: Duration = Duration::from_mins(2);

#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) api: SocketAddr,
}

impl Server {
    /// Starts it, and says how long it took until it was ready.
    pub(crate) async fn start(data: &Path, dns: SocketAddr) -> (Self, Duration) {
        let [xds, api, admin] = free_addresses();
        let log = std::fs::File::create(data.with_extension("log")).unwrap();
        let began = Instant::now();
        let child = Command::new(OUTRIGGER)
            .arg("serve")
            .arg("--data-dir")
            .arg(data)
            .args([
                "--xds-addr",
                &xds.to_string(),
                "--api-addr",
                &api.to_string(),
            ])
            .args([
                "--admin-addr",
                &admin.to_string(),
                "--dns-server",
                &dns.to_string(),
            ])
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut server = Self { child, api };
        while !is_ready(admin).await {
            let ended = server.child.try_wait().unwrap();
            assert!(
                ended.is_none(),
                "ended: {ended:?}; see {}",
                data.with_extension("log").display()
            );
            assert!(began.elapsed() < LONGEST, "not ready within {LONGEST:?}");
            sleep(ASKED_EACH).await;
        }
        (server, began.elapsed())
    }

    fn pid(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// Bytes in memory, now and at most.
    pub(crate) fn memory(&self) -> (u64, u64) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let bytes = |name: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib: u64 = line
                .unwrap()
                .trim()
                .trim_end_matches(" kB")
                .parse()
                .unwrap();
            kib * 1024
        };
        (bytes("VmRSS:"), bytes("VmHWM:"))
    }

    /// What it has computed so far, in hundredths of a second.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        let fields: Vec<&str> = stat
            .rsplit_once(')')
            .unwrap()
            .1
            .split_whitespace()
            .collect();
        let ticks = fields[11..13]
            .iter()
            .map(|ticks| ticks.parse::<u64>().unwrap());
        Duration::from_millis(ticks.sum::<u64>() * 10)
    }

    /// Waits until a second goes by in which it has next to nothing to do: what a start begins has ended.
    pub(crate) async fn settle(&self) {
        loop {
            let before = self.cpu();
            sleep(Duration::from_secs(1)).await;
            if self.cpu().saturating_sub(before) < Duration::from_millis(50) {
                return;
            }
        }
    }

    pub(crate) async fn stop(mut self) {
        let pid = Pid::from_raw(self.pid().cast_signed()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        let status = self.child.wait().await.unwrap();
        assert!(status.success(), "{status}");
    }

    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}

/// Runs `outrigger apply` on a folder; how long it took.
pub(crate) async fn apply(files: &Path, api: SocketAddr) -> Duration {
    run(Command::new(OUTRIGGER).arg("apply").arg(files), api).await
}

/// Runs `outrigger sync`; how long it took.
pub(crate) async fn sync(command: &str, source: SocketAddr, target: SocketAddr) -> Duration {
    let target = format!("http://{target}");
    let mut outrigger = Command::new(OUTRIGGER);
    let arguments = ["sync", command, "--rate", "0", "--endpoint", &target];
    run(outrigger.args(arguments), source).await
}

async fn run(command: &mut Command, api: SocketAddr) -> Duration {
    let began = Instant::now();
    let output = command
        .args(["--api-url", &format!("http://{api}")])
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let took = began.elapsed();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    took
}

async fn is_ready(admin: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect(admin).await else {
        return false;
    };
    let request = "GET /readyz HTTP/1.1\r\nhost: outrigger\r\nconnection: close\r\n\r\n";
    let mut answer = String::new();
    stream.write_all(request.as_bytes()).await.is_ok()
        && stream.read_to_string(&mut answer).await.is_ok()
        && answer.starts_with("HTTP/1.1 200 ")
}

/// Addresses that nobody else had a moment ago.
fn free_addresses() -> [SocketAddr; 3] {
    let listeners = [(); 3].map(|()| TcpListener::bind(("127.0.0.1", 0)).unwrap());
    listeners.map(|listener| listener.local_addr().unwrap())
}
