//! What ten thousand names cost: time and queries until the table is full, the pace of refreshes, and memory.
//!
//! `cargo bench --bench discovery -- NAMES TTL` takes another number of names, or time to live in seconds. The name server
//! is a thread here that answers at once, so that what shows is discovery's own pace.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a program that measures, prints and ends"
)]

use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use outrigger::discovery::{Discovery, Settings};
use outrigger::model::endpoint::{EndpointSet, EndpointSource, EndpointTable};
use outrigger::telemetry::Ready;
use prometheus::Registry;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Queries are counted in slices of this length.
const SLICE: Duration = Duration::from_millis(100);

/// When each query came.
type Arrivals = Arc<Mutex<Vec<Instant>>>;

#[tokio::main]
async fn main() {
    let mut numbers = std::env::args()
        .skip(1)
        .filter_map(|text| text.parse().ok());
    let names: u32 = numbers.next().unwrap_or(10_000);
    let ttl: u32 = numbers.next().unwrap_or(30);
    let arrivals = Arrivals::default();
    arrivals.lock().unwrap().reserve(40 * names as usize);
    let server = serve(ttl, Arc::clone(&arrivals));
    let settings = Settings {
        servers: vec![server],
        ..Settings::default()
    };
    let (sources, wanted) = watch::channel(imbl::OrdSet::new());
    let (published, mut table) = watch::channel(EndpointTable::new());
    let discovery = Discovery::new(settings, &Registry::new()).unwrap();
    let stop = CancellationToken::new();
    let running = discovery.run(wanted, published, Ready::default(), stop.clone());
    let running = tokio::task::spawn(running);

    let before = resident();
    let start = Instant::now();
    sources.send_replace((0..names).map(source).collect());
    let is_full = |table: &EndpointTable| {
        let known = |set: &EndpointSet| matches!(set, EndpointSet::Known(all) if all.len() == 1);
        table.len() == names as usize && table.values().all(known)
    };
    while !is_full(&table.borrow_and_update()) {
        table.changed().await.unwrap();
    }
    let full = Instant::now();
    let grown = resident().saturating_sub(before);
    println!("{names} names, time to live {ttl} s");
    println!("| | time | queries | queries/s | most in 100 ms | mean in 100 ms |");
    println!("|---|---|---|---|---|---|");
    row("until the table is full", &arrivals, start, full);
    let period = Duration::from_secs(ttl.into());
    for (what, from, to) in [
        ("first time to live", 0, 1),
        ("second", 1, 2),
        ("third", 2, 3),
    ] {
        let (from, to) = (full + period * from, full + period * to);
        tokio::time::sleep_until(to.into()).await;
        row(what, &arrivals, from, to);
    }
    println!(
        "resident memory: {} KiB before, {} KiB more with all names known: {} bytes a name",
        before / 1024,
        grown / 1024,
        grown / u64::from(names)
    );
    stop.cancel();
    running.await.unwrap();
}

fn row(what: &str, arrivals: &Arrivals, from: Instant, to: Instant) {
    let arrivals = arrivals.lock().unwrap();
    let slices = (to - from).as_millis().div_ceil(SLICE.as_millis());
    let mut counts = vec![0_u32; usize::try_from(slices).unwrap()];
    for at in arrivals.iter().filter(|at| **at >= from && **at < to) {
        let slice = (*at - from).as_millis() / SLICE.as_millis();
        counts[usize::try_from(slice).unwrap()] += 1;
    }
    let total: u32 = counts.iter().sum();
    let seconds = (to - from).as_secs_f64();
    let most = counts.iter().max().unwrap();
    println!(
        "| {what} | {seconds:.2} s | {total} | {:.0} | {most} | {:.1} |",
        f64::from(total) / seconds,
        f64::from(total) / counts.len() as f64
    );
}

fn source(number: u32) -> EndpointSource {
    EndpointSource::Dns {
        hostname: format!("name-{number}.bench.test").into(),
        preference: None,
    }
}

/// Answers every question for an A record with one address, and all others with nothing.
fn serve(ttl: u32, arrivals: Arrivals) -> SocketAddr {
    let socket = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 512];
        loop {
            let (length, client) = socket.recv_from(&mut buffer).unwrap();
            arrivals.lock().unwrap().push(Instant::now());
            let answer = answer(&buffer[..length], ttl);
            socket.send_to(&answer, client).unwrap();
        }
    });
    address
}

fn answer(question: &[u8], ttl: u32) -> Vec<u8> {
    // After the head of 12 bytes come the name, up to its empty label, and four bytes of type and class.
    let name = question[12..].iter().position(|byte| *byte == 0).unwrap();
    let end = 12 + name + 1 + 4;
    let is_a = question[end - 4..end - 2] == [0, 1];
    let mut answer = question[..end].to_vec();
    // A response, recursion available; one question, and perhaps one answer.
    answer[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, u8::from(is_a), 0, 0, 0, 0]);
    if is_a {
        // The name of the question, A, IN.
        answer.extend([0xc0, 12, 0, 1, 0, 1]);
        answer.extend(ttl.to_be_bytes());
        answer.extend([0, 4, 10, 0, 0, 1]);
    }
    answer
}

/// Bytes of this process in memory.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    let resident = pages.split_whitespace().nth(1).unwrap();
    resident.parse::<u64>().unwrap() * 4096
}
