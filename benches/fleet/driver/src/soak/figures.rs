//! What a soak notes in each round, and what of it is not well.

use super::client::Look;
use anyhow::Result;
use std::fmt;
use std::path::Path;
use std::time::Duration;

/// How much more memory than in the second round is no growth: part of it, and so many KiB.
const MEMORY_PART: f64 = 0.1;
const MEMORY_KIB: f64 = 4096.0;
/// The API's connections come and go with the changes that are under way.
const DESCRIPTORS: usize = 12;

/// How server and clients stood at the end of a round; counts are since the start of the soak.
#[derive(Clone, Debug, Default)]
pub(crate) struct Round {
    pub(crate) changes: u64,
    pub(crate) refused: u64,
    pub(crate) delta: Look,
    pub(crate) sotw: Look,
    pub(crate) rss_kib: u64,
    pub(crate) descriptors: usize,
    /// As the server counts them.
    pub(crate) streams: usize,
    pub(crate) connections: usize,
    pub(crate) data_kib: u64,
    /// What the process took to be ready; nothing is told of the first.
    pub(crate) ready: Duration,
}

impl Round {
    pub(crate) const HEAD: &'static str = "changes made | not taken | streams | broke | resent to delta | stale of compared \
         | memory MiB | descriptors | data KiB | ready after";
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>12} | {:>9} | {:>7} | {:>5} | {:>15} | {:>17} | {:>10.1} | {:>11} | {:>8} | {:?}",
            self.changes,
            self.refused,
            self.streams,
            self.delta.broken + self.sotw.broken,
            self.delta.resent,
            format!(
                "{} of {}",
                self.delta.stale + self.sotw.stale,
                self.delta.compared + self.sotw.compared
            ),
            self.rss_kib as f64 / 1024.0,
            self.descriptors,
            self.data_kib,
            self.ready,
        )
    }
}

/// What is not well, and in which round. Of growth, the second round is the measure.
pub(crate) fn complaints(rounds: &[Round], streams: usize) -> Vec<String> {
    let mut complaints = Vec::new();
    let warm = rounds.get(1);
    for (number, round) in (1..).zip(rounds) {
        let mut complain = |text: String| complaints.push(format!("round {number}: {text}"));
        for (mode, look) in [("delta", &round.delta), ("sotw", &round.sotw)] {
            if look.stale > 0 || look.compared == 0 {
                let (stale, compared) = (look.stale, look.compared);
                complain(format!(
                    "{stale} of {compared} services are stale in {mode}"
                ));
            }
            if let Some(failure) = &look.failure {
                complain(format!("{mode}: {failure}"));
            }
        }
        let attached = round.delta.attached + round.sotw.attached;
        if attached != streams {
            complain(format!("{attached} of {streams} streams are open"));
        }
        if (round.streams, round.connections) != (streams, streams) {
            complain(format!(
                "the server counts {} streams on {} connections",
                round.streams, round.connections
            ));
        }
        if round.delta.resent > 0 {
            complain(format!(
                "{} resources were resent to delta",
                round.delta.resent
            ));
        }
        let Some(warm) = warm.filter(|_| number > 2) else {
            continue;
        };
        if round.rss_kib as f64 > warm.rss_kib as f64 * (1.0 + MEMORY_PART) + MEMORY_KIB {
            complain(format!(
                "{} KiB of memory, after {}",
                round.rss_kib, warm.rss_kib
            ));
        }
        if round.descriptors > warm.descriptors + DESCRIPTORS {
            complain(format!(
                "{} descriptors, after {}",
                round.descriptors, warm.descriptors
            ));
        }
        if round.data_kib as f64 > warm.data_kib as f64 * (1.0 + MEMORY_PART) + MEMORY_KIB {
            complain(format!(
                "{} KiB of data, after {}",
                round.data_kib, warm.data_kib
            ));
        }
    }
    complaints
}

/// The memory in `/proc/PID/status`.
pub(crate) fn rss_kib(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// The sum of the metrics' series that begin so.
pub(crate) fn sum(metrics: &str, beginning: &str) -> usize {
    let series = metrics.lines().filter(|line| line.starts_with(beginning));
    let values = series.filter_map(|line| line.rsplit_once(' ')?.1.parse::<usize>().ok());
    values.sum()
}

/// What the files of a folder take.
pub(crate) fn kib_below(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        bytes += entry?.metadata()?.len();
    }
    Ok(bytes / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn well() -> Round {
        let look = Look {
            attached: 5,
            compared: 20,
            ..Look::default()
        };
        Round {
            delta: look.clone(),
            sotw: look,
            rss_kib: 100_000,
            descriptors: 30,
            streams: 10,
            connections: 10,
            data_kib: 2_000,
            ..Round::default()
        }
    }

    #[test]
    fn rounds_that_are_alike_are_well() {
        let mut first = well();
        // Only told.
        (first.rss_kib, first.descriptors) = (1_000, 3);
        assert!(complaints(&[first, well(), well()], 10).is_empty());
    }

    #[test]
    fn each_thing_that_is_not_flat_is_told() {
        type Spoil = fn(&mut Round);
        let broken: [(Spoil, &str); 8] = [
            (
                |round| round.rss_kib = 120_000,
                "120000 KiB of memory, after 100000",
            ),
            (|round| round.descriptors = 43, "43 descriptors, after 30"),
            (
                |round| round.data_kib = 9_000,
                "9000 KiB of data, after 2000",
            ),
            (
                |round| round.streams = 11,
                "the server counts 11 streams on 10 connections",
            ),
            (|round| round.sotw.attached = 4, "9 of 10 streams are open"),
            (
                |round| round.delta.resent = 1,
                "1 resources were resent to delta",
            ),
            (
                |round| round.sotw.stale = 2,
                "2 of 20 services are stale in sotw",
            ),
            (
                |round| round.delta.compared = 0,
                "0 of 0 services are stale in delta",
            ),
        ];
        for (spoil, words) in broken {
            let mut last = well();
            spoil(&mut last);
            assert_eq!(
                complaints(&[well(), well(), last], 10),
                [format!("round 3: {words}")]
            );
        }
    }

    #[test]
    fn the_servers_words_are_read() {
        assert_eq!(rss_kib("VmHWM:\t9 kB\nVmRSS:\t  123 kB\n"), Some(123));
        let metrics = "# TYPE outrigger_xds_streams gauge\noutrigger_xds_streams{variant=\"delta\"} 5\n\
                       outrigger_xds_streams{variant=\"sotw\"} 7\nother 1\n";
        assert_eq!(sum(metrics, "outrigger_xds_streams{"), 12);
    }
}
