//! Logs: to standard error, as text or as JSON lines.

use std::io::{IsTerminal, stderr};
use std::str::FromStr;

use serde::Deserialize;
use thiserror::Error;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people; in colour on a terminal.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Why logging could not be set up.
#[derive(Debug, Error)]
pub enum LogError {
    #[error(
        "log filter `{filter}` cannot be read; use a level (`info`), or levels by module (`info,outrigger::xds=debug`)"
    )]
    Filter { filter: String, source: ParseError },
    #[error("something else in this process has set up logging before")]
    Installed(#[from] TryInitError),
}

/// Sends the process's log lines that pass `filter` to standard error.
///
/// # Errors
/// When the filter cannot be read, or logging is set up already.
pub fn init(format: Format, filter: &str) -> Result<(), LogError> {
    let filter = without_requests(parse(filter)?);
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(stderr)
        .with_ansi(stderr().is_terminal());
    match format {
        Format::Text => lines.finish().try_init()?,
        Format::Json => lines
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .finish()
            .try_init()?,
    }
    Ok(())
}

/// The same without what AWS's SDK tells of its requests, which has their signatures in it. Who names one of its crates still
/// hears of that.
fn without_requests(filter: EnvFilter) -> EnvFilter {
    match "aws_=error".parse() {
        Ok(directive) => filter.add_directive(directive),
        Err(_) => filter,
    }
}

fn parse(filter: &str) -> Result<EnvFilter, LogError> {
    EnvFilter::from_str(filter).map_err(|source| LogError::Filter {
        filter: filter.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_levels_and_levels_by_module() {
        for filter in ["info", "outrigger::xds=debug,warn", "off"] {
            assert_eq!(parse(filter).unwrap().to_string(), filter);
        }
    }

    #[test]
    fn signatures_are_only_told_to_who_asks_for_them() {
        for (filter, is_told) in [("trace", false), ("info,aws_smithy_runtime=trace", true)] {
            let filter = without_requests(parse(filter).unwrap());
            let lines = tracing_subscriber::fmt().with_env_filter(filter);
            tracing::subscriber::with_default(lines.with_writer(std::io::sink).finish(), || {
                let target = tracing::enabled!(
                    target: "aws_smithy_runtime::client::orchestrator",
                    tracing::Level::TRACE
                );
                assert_eq!(target, is_told);
            });
        }
    }

    #[test]
    fn a_bad_filter_is_refused_with_the_way_out() {
        let error = parse("outrigger=loud").unwrap_err().to_string();
        assert!(
            error.contains("`outrigger=loud`") && error.contains("`info`"),
            "{error}"
        );
    }
}
