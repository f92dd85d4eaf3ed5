//! How many calls a second register endpoints: a whole `serve` in this process, with meshes of 100 and of 10,000 services,
//! in memory and with a data folder. Each call registers other endpoints for another node.
//!
//! `cargo bench --bench endpoints -- CALLS` makes another number of calls. No sidecar is connected: what shows is the way
//! of a call to its answer, and the translation beside it. The callers are in the same process, and in its CPU time.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program that measures, prints and ends"
)]

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use outrigger::app;
use outrigger::config::Settings;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Callers at the same time, each with a connection of its own.
const CALLERS: usize = 32;
/// A mesh that has errors is never taken.
const LOADED_WITHIN: Duration = Duration::from_mins(1);
const SIZES: [usize; 2] = [100, 10_000];

#[tokio::main]
async fn main() {
    let mut numbers = std::env::args()
        .skip(1)
        .filter_map(|text| text.parse().ok());
    let calls: usize = numbers.next().unwrap_or(10_000);
    println!("| services | kept | calls a second | CPU a call | p50 | p99 | slowest |");
    println!("|---:|---|---:|---:|---:|---:|---:|");
    for services in SIZES {
        for durable in [false, true] {
            measure(services, durable, calls).await;
        }
    }
}

async fn measure(services: usize, durable: bool, calls: usize) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("mesh.yaml"), mesh(services)).unwrap();
    let stop = CancellationToken::new();
    let bound = app::bind(settings(folder.path(), durable)).await.unwrap();
    let api = bound.api;
    let serving = tokio::spawn(bound.run(stop.clone()));
    let mut first = connect(api).await;
    let loaded = async {
        while put(&mut first, 0, 0).await != 200 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(LOADED_WITHIN, loaded).await.unwrap();
    let (started, cpu) = (Instant::now(), cpu());
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        callers.spawn(async move {
            let mut connection = connect(api).await;
            let mut times = Vec::new();
            for call in (caller..calls).step_by(CALLERS) {
                let asked = Instant::now();
                let status = put(&mut connection, call % services, call).await;
                assert_eq!(status, 200);
                times.push(asked.elapsed());
            }
            times
        });
    }
    let mut times: Vec<Duration> = callers.join_all().await.into_iter().flatten().collect();
    let (wall, cpu) = (started.elapsed(), self::cpu().saturating_sub(cpu));
    times.sort_unstable();
    let count = u32::try_from(times.len()).unwrap();
    println!(
        "| {services} | {} | {:.0} | {:.0} µs | {:.1?} | {:.1?} | {:.1?} |",
        if durable { "on disk" } else { "in memory" },
        f64::from(count) / wall.as_secs_f64(),
        cpu.as_secs_f64() / f64::from(count) * 1e6,
        times[times.len() / 2],
        times[times.len() * 99 / 100],
        times[times.len() - 1],
    );
    drop(first);
    stop.cancel();
    serving.await.unwrap().unwrap();
}

fn settings(folder: &Path, durable: bool) -> Settings {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    Settings {
        mesh: vec![folder.join("mesh.yaml")],
        data_dir: durable.then(|| folder.join("data")),
        xds_addr: any,
        api_addr: any,
        admin_addr: any,
        ..Settings::default()
    }
}

/// Nodes whose discovery asks nobody, each with a service.
fn mesh(services: usize) -> String {
    let mut text = "kind: Mesh\nmeshName: m\nspec: {}\n".to_owned();
    for index in 0..services {
        write!(
            text,
            "---\nkind: VirtualNode\nmeshName: m\nvirtualNodeName: n{index}\n\
             spec: {{ listeners: [{{ portMapping: {{ port: 8080, protocol: http }} }}], \
             serviceDiscovery: {{ awsCloudMap: {{ namespaceName: ns, serviceName: s{index} }} }} }}\n\
             ---\nkind: VirtualService\nmeshName: m\nvirtualServiceName: s{index}.local\n\
             spec: {{ provider: {{ virtualNode: {{ virtualNodeName: n{index} }} }} }}\n"
        )
        .unwrap();
    }
    text
}

async fn connect(api: SocketAddr) -> SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(api).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// Registers three endpoints, of which one is another with each call.
async fn put(connection: &mut SendRequest<Full<Bytes>>, node: usize, call: usize) -> u16 {
    let [.., a, b, c] = call.to_be_bytes();
    let changing = format!("10.{a}.{b}.{c}");
    let list = json!({
        "endpoints": [{"address": "10.200.0.1"}, {"address": "10.200.0.2"}, {"address": changing, "port": 9000}],
        "leaseSeconds": 3600,
    });
    let path = format!("/outrigger/v1/meshes/m/virtualNodes/n{node}/endpoints");
    let request = hyper::Request::put(path)
        .header("host", "outrigger")
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(list.to_string())))
        .unwrap();
    connection.ready().await.unwrap();
    let response = connection.send_request(request).await.unwrap();
    let status = response.status().as_u16();
    response.into_body().collect().await.unwrap();
    status
}

/// What this process has used so far.
fn cpu() -> Duration {
    let usage = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = usage
        .rsplit_once(')')
        .unwrap()
        .1
        .split_whitespace()
        .collect();
    let ticks: u64 = fields[11..13]
        .iter()
        .map(|ticks| ticks.parse::<u64>().unwrap())
        .sum();
    // Linux shows hundredths of a second, whatever its own clock.
    Duration::from_millis(ticks * 10)
}
