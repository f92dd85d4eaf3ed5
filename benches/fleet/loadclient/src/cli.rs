//! Command line.

use anyhow::{Context, Result, bail};
use clap::{Parser, ValueEnum};
use serde::Serialize;
use std::path::PathBuf;
use std::str::FromStr;

/// Load an xDS control plane with simulated sidecars and measure it.
///
/// Opens ADS streams, each with its own node id, subscribes as Envoy does and
/// accepts every response. Reports in JSON how long the fleet takes to be fully
/// configured, how long a change takes to reach the sidecars it affects, and
/// what the server spends on both.
#[derive(Parser, Debug, Serialize)]
#[command(version)]
pub(crate) struct Args {
    /// Server to load, as a URL.
    #[arg(long, default_value = "http://127.0.0.1:18000")]
    pub(crate) server: String,

    /// Variant of the protocol.
    #[arg(long, value_enum, default_value = "sotw")]
    pub(crate) mode: Mode,

    /// Number of sidecars, which is the number of ADS streams.
    #[arg(long, short = 'n', default_value_t = 100, value_parser = positive)]
    pub(crate) streams: usize,

    /// Streams on each connection. Real sidecars have one.
    #[arg(long, default_value_t = 1, value_parser = positive)]
    pub(crate) streams_per_connection: usize,

    /// Connections being opened at a time.
    #[arg(long, default_value_t = 256, value_parser = positive)]
    pub(crate) connect_concurrency: usize,

    /// Node id; {n} is the sidecar's number, {g} its number modulo --groups.
    #[arg(long, default_value = "node-{n}")]
    pub(crate) node_id: String,

    /// Node cluster; as --node-id.
    #[arg(long, default_value = "load")]
    pub(crate) node_cluster: String,

    /// Bytes to pad each node to, with extensions, as Envoy's own is (some 60,000).
    #[arg(long, default_value_t = 0)]
    pub(crate) node_bytes: usize,

    /// Send the node with every request, as App Mesh's sidecars do.
    #[arg(long)]
    pub(crate) node_every_request: bool,

    /// Metadata of the node, as a JSON object.
    #[arg(long)]
    pub(crate) node_metadata: Option<String>,

    /// What {g} counts up to.
    #[arg(long, default_value_t = 1, value_parser = positive)]
    pub(crate) groups: usize,

    /// Bumps to measure, as NAME:SERVICES:COUNT, once per phase. SERVICES is a
    /// number or a range such as 50-999; COUNT bumps are spread evenly over it.
    #[arg(long = "phase", value_name = "PHASE")]
    pub(crate) phases: Vec<Phase>,

    /// After the phases, change services at this rate without waiting for each.
    #[arg(long, value_name = "PER_SECOND", value_parser = positive, requires = "rate_for")]
    pub(crate) rate: Option<usize>,

    /// How many seconds to keep up --rate.
    #[arg(long = "for", id = "rate_for", value_name = "SECONDS", value_parser = positive, requires = "rate")]
    pub(crate) rate_seconds: Option<usize>,

    /// Services that --rate changes, in turn; the last change is of the first of them.
    #[arg(long, value_name = "SERVICES", default_value = "0-999")]
    pub(crate) rate_services: Services,

    /// After that, close all streams and bring them back at once, this many times.
    #[arg(long, value_name = "TIMES", default_value_t = 0)]
    pub(crate) reconnect: usize,

    /// Service that is changed after each reconnect, to see that all streams are served again.
    #[arg(long, value_name = "SERVICE", default_value_t = 0)]
    pub(crate) reconnect_probe: usize,

    /// Bring back streams that break, and answer each line of standard input with a line of JSON, how the fleet stands,
    /// until its end. The services are those of --rate-services.
    #[arg(long, conflicts_with_all = ["rate", "reconnect"])]
    pub(crate) follow: bool,

    /// How long nothing may be received until the fleet counts as quiet.
    #[arg(long, default_value_t = 1000)]
    pub(crate) quiet_ms: u64,

    /// Name of a service's endpoint resource; {service} is its number.
    #[arg(long, default_value = "svc-{service}")]
    pub(crate) resource: String,

    /// URL that makes the server change a service's endpoints; {service} is its
    /// number, {high} and {low} are that number's bytes, {count} is the number of
    /// bumps before this one, {octet} is 200 to 249 and changes with each bump of
    /// the service.
    #[arg(long, default_value = "http://127.0.0.1:18001/bump?service={service}")]
    pub(crate) trigger_url: String,

    /// HTTP method of the trigger.
    #[arg(long, default_value = "GET")]
    pub(crate) trigger_method: String,

    /// Body of the trigger; as --trigger-url.
    #[arg(long, default_value = "")]
    pub(crate) trigger_body: String,

    /// Bumps at the start of each phase that are not measured.
    #[arg(long, default_value_t = 1)]
    pub(crate) warmup: usize,

    /// Pause after each bump, for the server to take in the ACKs.
    #[arg(long, default_value_t = 100)]
    pub(crate) interval_ms: u64,

    /// Time limit for one bump to reach all streams it affects.
    #[arg(long, default_value_t = 30)]
    pub(crate) bump_timeout_s: u64,

    /// Time limit for the fleet to be fully configured.
    #[arg(long, default_value_t = 180)]
    pub(crate) storm_timeout_s: u64,

    /// Pause between the connect storm and the first bump, in which the
    /// server's idle CPU use is measured.
    #[arg(long, default_value_t = 2000)]
    pub(crate) settle_ms: u64,

    /// Process id of the server, to measure its CPU time and memory.
    #[arg(long)]
    pub(crate) pid: Option<u32>,

    /// Worker threads of this client.
    #[arg(long, default_value_t = 2, value_parser = positive)]
    pub(crate) threads: usize,

    /// Text to carry into the report.
    #[arg(long, default_value = "")]
    pub(crate) label: String,

    /// File for the report, instead of standard output.
    #[arg(long, short)]
    pub(crate) output: Option<PathBuf>,
}

#[derive(ValueEnum, Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// State of the world
    Sotw,
    /// Incremental
    Delta,
}

/// A range of service numbers.
#[derive(Clone, Copy, Debug, Serialize, PartialEq)]
pub(crate) struct Services {
    pub(crate) first: usize,
    pub(crate) last: usize,
}

impl Services {
    pub(crate) fn len(self) -> usize {
        self.last - self.first + 1
    }

    pub(crate) fn all(self) -> impl Iterator<Item = usize> {
        self.first..=self.last
    }
}

impl FromStr for Services {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let first = first.parse().context("SERVICES")?;
        let last = last.parse().context("SERVICES")?;
        if last < first {
            bail!("SERVICES is an empty range");
        }
        Ok(Services { first, last })
    }
}

#[derive(Clone, Debug, Serialize, PartialEq)]
pub(crate) struct Phase {
    pub(crate) name: String,
    pub(crate) services: Services,
    pub(crate) count: usize,
}

impl Phase {
    /// The services to bump, in order: `count` of them, spread over the range.
    pub(crate) fn services(&self) -> impl Iterator<Item = usize> + '_ {
        let (first, span) = (self.services.first, self.services.len());
        (0..self.count).map(move |i| first + i * span / self.count)
    }
}

impl FromStr for Phase {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let [name, services, count] = text.split(':').collect::<Vec<_>>()[..] else {
            bail!("not of the form NAME:SERVICES:COUNT");
        };
        Ok(Phase {
            name: name.into(),
            services: services.parse()?,
            count: positive(count).context("COUNT")?,
        })
    }
}

fn positive(text: &str) -> Result<usize> {
    match text.parse()? {
        0 => bail!("must be at least 1"),
        n => Ok(n),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn command_line_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn phases_spread_over_their_range() {
        let phase: Phase = "narrow:10-19:5".parse().unwrap();
        assert_eq!(phase.services().collect::<Vec<_>>(), [10, 12, 14, 16, 18]);
        let phase: Phase = "wide:0:3".parse().unwrap();
        assert_eq!(phase.services().collect::<Vec<_>>(), [0, 0, 0]);
    }

    #[test]
    fn malformed_phases_are_refused() {
        for text in ["", "a:1", "a:x:1", "a:5-3:1", "a:1:0", "a:1:1:1"] {
            assert!(text.parse::<Phase>().is_err(), "{text}");
        }
    }
}
