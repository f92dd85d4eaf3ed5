//! What the management API costs with ten thousand resources: a real `serve` with a data folder, `outrigger apply` and
//! `outrigger sync`, each a process of its own, over loopback.
//!
//! `cargo bench --bench api -- RESOURCES` takes another number of resources. A DNS server in this process answers for the
//! virtual nodes; no sidecar is connected. The callers share the machine with what they measure.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program that measures, prints and ends"
)]

mod calls;
mod mesh;
mod server;

use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use outrigger::demo::dns::{DnsServer, Zone};
use tokio_util::sync::CancellationToken;

use calls::{Call, Times, drive};
use mesh::Part;
use server::{Server, apply, sync};

/// Clients that write at the same time.
const CLIENTS: usize = 16;
/// Resources of the files that are applied.
const APPLIED: usize = 5_000;
/// Resources of the mesh that is mirrored.
const MIRRORED: usize = 1_000;
/// Resources that are created, and deleted again, where there are many already.
const MORE: usize = 2_000;
const READS: usize = 5_000;
/// Starts of which the median is told.
const STARTS: usize = 5;
const SYNCS: usize = 200;

#[tokio::main]
async fn main() {
    let mut numbers = std::env::args().skip(1);
    let resources = numbers.find_map(|text| text.parse().ok());
    let resources: usize = resources.unwrap_or(10_000);
    // Not in memory, as a system's folder for temporary files may be.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let folder = folder.path();
    let dns = name_server(resources + MORE).await;
    println!("load average at the start: {}", load());
    println!("| with {resources} resources | measured | aim | met |");
    println!("|---|---|---|---|");
    disk(folder);
    let parts = mesh::parts(0..resources);
    let mut server = Server::start(&folder.join("data"), dns).await.0;
    fill(&server, &parts).await;
    read(&server, &parts).await;
    more(&server, resources).await;
    update(&server, &parts).await;
    memory("memory after all that", &server);
    server.stop().await;
    server = start(folder, dns).await;
    memory("memory after a start, names resolved", &server);
    server.kill().await;
    let (server, took) = Server::start(&folder.join("data"), dns).await;
    row("start after a kill", &format!("{took:.2?}"), "", true);
    server.stop().await;
    apply_files(folder, dns).await;
    mirror(folder, dns).await;
    println!("load average at the end: {}", load());
}

/// A line of the table; one without an aim is told for what it explains.
fn row(what: &str, measured: &str, aim: &str, met: bool) {
    let met = match (aim, met) {
        ("", _) => "",
        (_, true) => "yes",
        (_, false) => "**no**",
    };
    println!("| {what} | {measured} | {aim} | {met} |");
}

/// What one sync costs, whoever asks for it.
fn disk(folder: &Path) {
    let mut file = File::create(folder.join("synced")).unwrap();
    let sync = |_| {
        let began = Instant::now();
        file.write_all(&[7; 4096]).unwrap();
        file.sync_data().unwrap();
        began.elapsed()
    };
    let times = Times::new((0..SYNCS).map(sync).collect());
    row(
        "4 KiB written and synced (fdatasync)",
        &times.to_string(),
        "",
        true,
    );
}

/// The resources, as 16 clients create them: what stands in a phase needs nothing but what stands in those before.
async fn fill(server: &Server, parts: &[Part]) {
    let (rate, times, cpu) = write(server, parts, Part::create).await;
    let measured = format!("{rate:.0}/s; {times}; {cpu:.0?} CPU each");
    row(
        "created from nothing, 16 clients",
        &measured,
        "≥ 500/s",
        rate >= 500.0,
    );
}

async fn read(server: &Server, parts: &[Part]) {
    let describes: Vec<Call> = (0..READS)
        .map(|index| parts[index * 37 % parts.len()].describe())
        .collect();
    let lists = pages(server, READS / 5).await;
    let fast = Duration::from_millis(2);
    for (what, calls) in [("describe", describes), ("list, pages of 100", lists)] {
        for clients in [1, CLIENTS] {
            let cpu = server.cpu();
            let (wall, times) = drive(server.api, clients, calls.clone()).await;
            let cpu = server.cpu().saturating_sub(cpu) / u32::try_from(calls.len()).unwrap();
            let measured = format!(
                "{times}; {:.0}/s; {cpu:.0?} CPU each",
                per_second(&calls, wall)
            );
            let what = format!("{what}, {clients} at a time");
            match clients {
                1 => row(&what, &measured, "p99 < 2 ms", times.p99() < fast),
                _ => row(&what, &measured, "", true),
            }
        }
    }
}

/// The pages of all virtual nodes, again and again.
async fn pages(server: &Server, wanted: usize) -> Vec<Call> {
    let mut client = calls::connect(server.api).await;
    let mut pages = vec![Call::get(mesh::NODES.to_owned())];
    loop {
        let answer = client.call(&pages[pages.len() - 1]).await;
        let list: serde_json::Value = serde_json::from_slice(&answer).unwrap();
        let Some(token) = list["nextToken"].as_str() else {
            break;
        };
        pages.push(Call::get(format!("{}?nextToken={token}", mesh::NODES)));
    }
    pages.into_iter().cycle().take(wanted).collect()
}

/// More resources where there are many, and then less.
async fn more(server: &Server, resources: usize) {
    let parts = mesh::parts(resources..resources + MORE);
    let (rate, times, cpu) = write(server, &parts, Part::create).await;
    let measured = format!("{rate:.0}/s; {times}; {cpu:.0?} CPU each");
    row(
        "created beside them, 16 clients",
        &measured,
        "≥ 500/s",
        rate >= 500.0,
    );
    let parts: Vec<Part> = parts.into_iter().rev().collect();
    let (rate, times, cpu) = write(server, &parts, Part::delete).await;
    let measured = format!("{rate:.0}/s; {times}; {cpu:.0?} CPU each");
    row("deleted again, 16 clients", &measured, "", true);
}

/// Changes, and what a reader sees of them.
async fn update(server: &Server, parts: &[Part]) {
    let nodes = parts.iter().filter(|part| part.is_node()).take(MORE);
    let nodes: Vec<Part> = nodes.cloned().collect();
    let stop = CancellationToken::new();
    let reading = tokio::spawn({
        let (stop, api) = (stop.clone(), server.api);
        let calls: Vec<Call> = nodes.iter().map(Part::describe).collect();
        async move {
            let mut client = calls::connect(api).await;
            let mut times = Vec::new();
            for call in calls.iter().cycle() {
                let began = Instant::now();
                client.call(call).await;
                times.push(began.elapsed());
                if stop.is_cancelled() {
                    break;
                }
            }
            Times::new(times)
        }
    });
    let (rate, times, cpu) = write(server, &nodes, Part::update).await;
    stop.cancel();
    let meanwhile = reading.await.unwrap();
    let measured = format!("{rate:.0}/s; {times}; {cpu:.0?} CPU each, with that of the reads");
    row("updated, 16 clients, one reads", &measured, "", true);
    row("describe meanwhile", &meanwhile.to_string(), "", true);
}

/// Phase by phase: writes a second, how long each took, and what the server computed for one.
async fn write(
    server: &Server,
    parts: &[Part],
    call: impl Fn(&Part) -> Call,
) -> (f64, Times, Duration) {
    let (mut wall, mut times, cpu) = (Duration::ZERO, Vec::new(), server.cpu());
    for phase in parts.chunk_by(|a, b| a.phase == b.phase) {
        let (took, each) = drive(server.api, CLIENTS, phase.iter().map(&call).collect()).await;
        wall += took;
        times.extend(each.into_inner());
    }
    let count = u32::try_from(parts.len()).unwrap();
    let cpu = server.cpu().saturating_sub(cpu) / count;
    (
        f64::from(count) / wall.as_secs_f64(),
        Times::new(times),
        cpu,
    )
}

/// Starts a few times; returns the last.
async fn start(folder: &Path, dns: SocketAddr) -> Server {
    let mut times = Vec::new();
    loop {
        let (server, took) = Server::start(&folder.join("data"), dns).await;
        times.push(took);
        if times.len() == STARTS {
            let times = Times::new(times);
            let measured = format!("{:.2?}, at most {:.2?}", times.p50(), times.most());
            let aim = Duration::from_secs(2);
            row("start, until ready", &measured, "< 2 s", times.p50() < aim);
            server.settle().await;
            return server;
        }
        server.stop().await;
    }
}

fn memory(what: &str, server: &Server) {
    let (now, most) = server.memory();
    let measured = format!("{} MB, at most {} MB", now / 1_000_000, most / 1_000_000);
    row(what, &measured, "< 100 MB", now < 100_000_000);
}

/// Files of a mesh on an empty server, and once more when there is nothing left to do.
async fn apply_files(folder: &Path, dns: SocketAddr) {
    let files = folder.join("files");
    mesh::write_files(&files, APPLIED);
    let (server, _) = Server::start(&folder.join("applied"), dns).await;
    let took = apply(&files, server.api).await;
    let aim = Duration::from_secs(10);
    let what = format!("`apply` of {APPLIED} resources");
    row(&what, &format!("{took:.2?}"), "< 10 s", took < aim);
    let took = apply(&files, server.api).await;
    row(
        "`apply` with nothing to do",
        &format!("{took:.2?}"),
        "",
        true,
    );
    memory("memory after that", &server);
    server.stop().await;
}

/// A mesh on another, empty server, as fast as that takes it, and once more when there is nothing left to do.
async fn mirror(folder: &Path, dns: SocketAddr) {
    let files = folder.join("mirrored");
    mesh::write_files(&files, MIRRORED);
    let (source, _) = Server::start(&folder.join("source"), dns).await;
    let (target, _) = Server::start(&folder.join("target"), dns).await;
    apply(&files, source.api).await;
    for (command, what, aim) in [
        ("apply", "`sync apply` of 1,000 resources", 30),
        ("plan", "`sync plan` with nothing to do", 5),
    ] {
        let took = sync(command, source.api, target.api).await;
        let met = took < Duration::from_secs(aim);
        row(what, &format!("{took:.2?}"), &format!("< {aim} s"), met);
    }
    source.stop().await;
    target.stop().await;
}

/// Knows the virtual nodes' names; runs as long as this process.
async fn name_server(nodes: usize) -> SocketAddr {
    let zone = Zone::default();
    for node in 0..nodes {
        let [.., a, b, c] = node.to_be_bytes();
        let address = SocketAddr::from(([10, a, b, c], 0)).ip();
        zone.set(
            &mesh::hostname(node),
            Duration::from_secs(30),
            vec![address],
        );
    }
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let bound = DnsServer::bind(any, zone).await.unwrap();
    let address = bound.addr();
    tokio::spawn(bound.run(CancellationToken::new()));
    address
}

fn per_second(calls: &[Call], wall: Duration) -> f64 {
    f64::from(u32::try_from(calls.len()).unwrap()) / wall.as_secs_f64()
}

/// Who else wants the processors.
fn load() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap();
    load.split_whitespace().take(1).collect()
}
