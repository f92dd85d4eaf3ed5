//! A soak: Outrigger under a fleet of both variants and steady changes, killed every so often.
//!
//! In each round the server is asked and looked at at the same point, so that what is left behind shows as growth from
//! round to round. The first round, of clients that hold nothing yet, is only told.

mod changes;
mod client;
mod figures;

use crate::mesh::Mesh;
use crate::register;
use crate::server::{Kind, Programs, Server};
use anyhow::{Context, Result, ensure};
use changes::Changes;
use client::Client;
use figures::Round;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long changes go on after the server was looked at, before it is killed under them.
const BEFORE_THE_KILL: Duration = Duration::from_secs(2);
/// How long the last streams may take to be gone.
const LEAVE: Duration = Duration::from_secs(10);
const GLANCE: Duration = Duration::from_millis(100);

#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// How long, such as 90s, 10m or 2h
    #[arg(long = "for", default_value = "10m", value_parser = duration)]
    length: Duration,
    /// Time from one kill to the next
    #[arg(long, default_value = "30s", value_parser = duration)]
    round: Duration,
    /// How long the server stays killed
    #[arg(long, default_value = "1s", value_parser = duration)]
    down: Duration,
    /// Sidecars, half of them of each variant
    #[arg(long, default_value_t = 1000)]
    streams: usize,
    /// Changes a second
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// Services in the mesh
    #[arg(long, default_value_t = 1000)]
    services: usize,
    /// Services that each sidecar has
    #[arg(long, default_value_t = 20)]
    backends: usize,
    /// Where the programs are that this one starts [default: beside this one]
    #[arg(long)]
    programs: Option<PathBuf>,
    /// Outrigger's program [default: among the others]
    #[arg(long)]
    outrigger: Option<PathBuf>,
}

/// # Errors
/// Says what was not well, and in which round.
pub(crate) async fn run(args: Args) -> Result<()> {
    ensure!(args.streams >= 2, "both variants need a stream");
    let mesh = Mesh::new(args.services, args.backends)?;
    let data = tempfile::tempdir()?;
    let programs = programs(&args, data.path())?;
    let mut server = Server::start(&programs, Kind::Outrigger, mesh).await?;
    let half = args.streams / 2;
    let mut clients = [
        Client::start(&programs.load, &server, mesh, "delta", args.streams - half)?,
        Client::start(&programs.load, &server, mesh, "sotw", half)?,
    ];
    for client in &mut clients {
        client
            .look()
            .await
            .context("connecting for the first time")?;
    }
    let changes = Changes::start(server.trigger.clone(), args.services, args.rate);
    let end = Instant::now() + args.length;
    let mut rounds: Vec<Round> = Vec::new();
    println!("{}", Round::HEAD);
    let mut ready = Duration::ZERO;
    loop {
        sleep(args.round.saturating_sub(BEFORE_THE_KILL)).await;
        let round = look(&server, &mut clients, &changes, data.path()).await?;
        let round = Round { ready, ..round };
        println!("{round}");
        rounds.push(round);
        if Instant::now() + args.round / 2 > end {
            break;
        }
        sleep(BEFORE_THE_KILL).await;
        changes.expect_refusals(true);
        let killed = Instant::now();
        server.restart(args.down).await?;
        ready = killed.elapsed().saturating_sub(args.down);
        changes.expect_refusals(false);
    }
    let mut complaints = figures::complaints(&rounds, args.streams);
    complaints.extend(changes.end());
    for client in clients {
        complaints.extend(client.end().await?);
    }
    let left = open(&server, 0).await?;
    if left != (0, 0) {
        complaints.push(format!(
            "{} streams and {} connections are left after all clients",
            left.0, left.1
        ));
    }
    server.stop().await?;
    ensure!(
        complaints.is_empty(),
        "not well:\n{}",
        complaints.join("\n")
    );
    Ok(())
}

/// Lets changes rest, waits until they are everywhere, and notes how server and clients stand.
async fn look(
    server: &Server,
    clients: &mut [Client; 2],
    changes: &Changes,
    data: &Path,
) -> Result<Round> {
    let resting = changes.rest().await?;
    let [delta, sotw] = clients;
    let (delta, sotw) = tokio::try_join!(delta.look(), sotw.look())?;
    let (streams, connections) = open(server, delta.attached + sotw.attached).await?;
    let proc = PathBuf::from(format!("/proc/{}", server.pid));
    let round = Round {
        changes: changes.made(),
        refused: changes.refused(),
        delta,
        sotw,
        rss_kib: figures::rss_kib(&std::fs::read_to_string(proc.join("status"))?)
            .context("unexpected form of /proc/PID/status")?,
        descriptors: std::fs::read_dir(proc.join("fd"))?.count(),
        streams,
        connections,
        data_kib: figures::kib_below(data)?,
        ready: Duration::ZERO,
    };
    drop(resting);
    Ok(round)
}

/// How many streams and connections are open, once it is as many as are expected, or has not been for long.
///
/// Those of the clients that compare have just left.
async fn open(server: &Server, expected: usize) -> Result<(usize, usize)> {
    let limit = Instant::now() + LEAVE;
    loop {
        let metrics = register::text(&server.metrics).await?;
        let streams = figures::sum(&metrics, "outrigger_xds_streams{");
        let connections = figures::sum(&metrics, "outrigger_connections{listener=\"xds\"}");
        if (streams, connections) == (expected, expected) || Instant::now() > limit {
            return Ok((streams, connections));
        }
        sleep(GLANCE).await;
    }
}

fn programs(args: &Args, data: &Path) -> Result<Programs> {
    let own = std::env::current_exe().context("finding this program")?;
    let beside = own.parent().unwrap_or(Path::new(".")).to_owned();
    let folder = args.programs.clone().unwrap_or(beside);
    let outrigger = args.outrigger.clone();
    let data = data
        .to_str()
        .context("a temporary folder that is no text")?;
    Ok(Programs {
        peer: folder.join("fleet-peer"),
        floor: folder.join("xds-floor"),
        load: folder.join("xds-load"),
        outrigger: outrigger.unwrap_or_else(|| folder.join("outrigger")),
        outrigger_args: ["--data-dir", data, "--log", "warn"]
            .map(str::to_owned)
            .into(),
    })
}

/// A number and `s`, `m` or `h`.
fn duration(text: &str) -> Result<Duration> {
    let units = [("s", 1), ("m", 60), ("h", 3600)];
    let found = units.iter().find_map(|(unit, seconds)| {
        let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
        number.checked_mul(*seconds)
    });
    let seconds = found.with_context(|| format!("`{text}` is no time such as 90s, 10m or 2h"))?;
    Ok(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit() {
        let seconds = |text| duration(text).map(|time| time.as_secs()).ok();
        assert_eq!(["90s", "10m", "2h"].map(seconds), [90, 600, 7200].map(Some));
        assert_eq!(["", "10", "m", "-1s", "1d"].map(seconds), [None; 5]);
    }
}
