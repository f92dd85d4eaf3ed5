//! `outrigger sync status`: how the mirror of a running `serve` stands, as a whole and with each resource.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime};

use miette::miette;
use serde::{Serialize, Serializer};

use crate::api::operator::generated::{self as api, MirrorStatusRequest};
use crate::cli::connect::ApiArgs;
use crate::cli::output::{self, CliError, Output, span};

#[derive(Clone, Debug, clap::Args)]
pub(super) struct StatusArgs {
    /// Form of the output
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
    #[command(flatten)]
    api: ApiArgs,
}

/// Asks the control plane and returns what to print.
///
/// # Errors
/// When it cannot be reached, or mirrors nothing.
pub(super) async fn run(args: StatusArgs) -> Result<String, CliError> {
    let mut operator = args.api.connect().await?;
    let response = operator.mirror_status(MirrorStatusRequest {}).await;
    let response = response.map_err(|status| args.api.error(status))?;
    let Some(mirror) = response.into_inner().mirror else {
        return Err(CliError::no(miette!(
            help = "start it with --mirror-endpoint, or see `outrigger sync plan`",
            "the control plane at {} mirrors nothing",
            args.api.url()
        )));
    };
    let status = MirrorStatus::from(mirror);
    output::render(args.output, &status, |status| {
        status.table(SystemTime::now())
    })
}

/// What is printed as JSON and YAML.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MirrorStatus {
    endpoint: String,
    pub(super) state: String,
    #[serde(rename = "inStateForSeconds", serialize_with = "whole")]
    pub(super) in_state_for: Duration,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) error: String,
    #[serde(
        rename = "nextTryInSeconds",
        serialize_with = "whole_if_any",
        skip_serializing_if = "Option::is_none"
    )]
    next_try_in: Option<Duration>,
    source_revision: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    mirrored_revision: Option<u64>,
    /// Zero only if it is not behind.
    #[serde(rename = "lagSeconds", serialize_with = "begun")]
    lag: Duration,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_success: Option<Moment>,
    #[serde(
        rename = "lastReadSecondsAgo",
        serialize_with = "whole_if_any",
        skip_serializing_if = "Option::is_none"
    )]
    last_read: Option<Duration>,
    in_step: u64,
    /// At the target, of names that the source has not.
    beside: u64,
    pub(super) resources: Vec<Resource>,
}

/// One that is not in step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Resource {
    pub(super) id: String,
    pub(super) standing: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) detail: String,
}

impl From<api::Mirror> for MirrorStatus {
    fn from(mirror: api::Mirror) -> Self {
        let resources = mirror.resources.into_iter().map(|resource| Resource {
            id: resource.id,
            standing: resource.standing,
            detail: resource.detail,
        });
        Self {
            endpoint: mirror.endpoint,
            state: mirror.state,
            in_state_for: duration(mirror.in_state_for).unwrap_or_default(),
            error: mirror.error,
            next_try_in: duration(mirror.next_try_in),
            source_revision: mirror.source_revision,
            mirrored_revision: mirror.mirrored_revision,
            lag: duration(mirror.lag).unwrap_or_default(),
            last_success: mirror.last_success.and_then(Moment::of),
            last_read: duration(mirror.last_read),
            in_step: mirror.in_step,
            beside: mirror.beside,
            resources: resources.collect(),
        }
    }
}

impl MirrorStatus {
    fn table(&self, now: SystemTime) -> String {
        let row = |name: &str, value: String| [name.to_owned(), value];
        let mut rows = vec![row("target", self.endpoint.clone())];
        let state = spoken(&self.state);
        rows.push(row(
            "state",
            format!("{state} for {}", span(self.in_state_for)),
        ));
        if !self.error.is_empty() {
            rows.push(row("error", self.error.clone()));
        }
        if let Some(next) = self.next_try_in {
            rows.push(row("next try", format!("in {}", span(next))));
        }
        rows.push(row("revision", self.revision()));
        if !self.lag.is_zero() {
            rows.push(row("behind for", span(self.lag)));
        }
        let last = match self.last_success {
            Some(last) => last.and_how_long_ago(now),
            None => "never".to_owned(),
        };
        rows.push(row("last in step", last));
        if let Some(ago) = self.last_read {
            rows.push(row("target read", format!("{} ago", span(ago))));
        }
        rows.push(row("resources", self.counts()));
        let [head, rest @ ..] = rows.as_slice() else {
            return String::new();
        };
        let mut text = output::columns(head.clone(), rest.iter().cloned());
        if !self.resources.is_empty() {
            let headings = ["RESOURCE", "STANDING", "DETAIL"].map(str::to_owned);
            let rows = self.resources.iter().map(|resource| {
                let standing = spoken(&resource.standing);
                [resource.id.clone(), standing, resource.detail.clone()]
            });
            text.push('\n');
            text.push_str(&output::columns(headings, rows));
        }
        text
    }

    pub(super) fn revision(&self) -> String {
        let source = self.source_revision;
        match self.mirrored_revision {
            Some(mirrored) => format!("{mirrored} of {source}"),
            None => format!("none yet; the source is at {source}"),
        }
    }

    /// How many resources stand in which way.
    pub(super) fn counts(&self) -> String {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for resource in &self.resources {
            *counts.entry(&resource.standing).or_default() += 1;
        }
        let others = counts
            .iter()
            .map(|(standing, count)| format!(", {count} {}", spoken(standing)));
        let in_step = format!("{} in step", self.in_step);
        let beside = (self.beside > 0).then(|| format!(", {} of others besides", self.beside));
        std::iter::once(in_step)
            .chain(others)
            .chain(beside)
            .collect()
    }
}

/// The name of a state as people say it.
pub(super) fn spoken(name: &str) -> String {
    name.replace('_', " ")
}

/// A moment, to the second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment(SystemTime);

impl Moment {
    fn of(time: prost_types::Timestamp) -> Option<Self> {
        SystemTime::try_from(time).ok().map(Self)
    }

    fn and_how_long_ago(self, now: SystemTime) -> String {
        let ago = now.duration_since(self.0).unwrap_or_default();
        format!("{self} ({} ago)", span(ago))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_rfc3339_seconds(self.0).fmt(f)
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

fn duration(duration: Option<prost_types::Duration>) -> Option<Duration> {
    Duration::try_from(duration?).ok()
}

/// Seconds that are over.
fn whole<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(duration.as_secs())
}

#[expect(clippy::ref_option, reason = "serde's form")]
fn whole_if_any<S: Serializer>(
    duration: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let seconds = duration.as_ref().map(Duration::as_secs);
    seconds.serialize(serializer)
}

/// Seconds that have begun.
fn begun<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    let begun = u64::from(duration.subsec_nanos() > 0);
    serializer.serialize_u64(duration.as_secs() + begun)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One whose target is gone.
    fn behind() -> MirrorStatus {
        let duration = |seconds| {
            Some(prost_types::Duration {
                seconds,
                nanos: 400_000_000,
            })
        };
        let resource = |id: &str, standing: &str, detail: &str| api::MirrorResource {
            id: id.to_owned(),
            standing: standing.to_owned(),
            detail: detail.to_owned(),
        };
        MirrorStatus::from(api::Mirror {
            endpoint: "http://standby:9080".to_owned(),
            state: "unavailable".to_owned(),
            in_state_for: duration(65),
            error: "http://standby:9080 does not answer".to_owned(),
            next_try_in: duration(12),
            source_revision: 12,
            mirrored_revision: Some(11),
            lag: duration(70),
            last_success: Some(prost_types::Timestamp {
                seconds: 1_900_000_000,
                nanos: 123_456_789,
            }),
            last_read: duration(200),
            in_step: 3,
            beside: 2,
            resources: vec![
                resource("mesh/m", "pending", ""),
                resource(
                    "mesh/m/virtualNode/n",
                    "not_mirrored",
                    "it was mirrored from the target",
                ),
            ],
        })
    }

    #[test]
    fn a_table_says_what_is_wrong_and_with_what() {
        let status = behind();
        assert_eq!(
            status.table(SystemTime::UNIX_EPOCH + Duration::from_secs(1_900_000_071)),
            "\
target        http://standby:9080
state         unavailable for 1 min 5 s
error         http://standby:9080 does not answer
next try      in 12 s
revision      11 of 12
behind for    1 min 10 s
last in step  2030-03-17T17:46:40Z (1 min 10 s ago)
target read   3 min 20 s ago
resources     3 in step, 1 not mirrored, 1 pending, 2 of others besides

RESOURCE              STANDING      DETAIL
mesh/m                pending
mesh/m/virtualNode/n  not mirrored  it was mirrored from the target
"
        );
        let before = MirrorStatus {
            mirrored_revision: None,
            last_success: None,
            ..status
        };
        let table = before.table(SystemTime::now());
        assert!(
            table.contains("revision      none yet; the source is at 12\n"),
            "{table}"
        );
        assert!(table.contains("last in step  never\n"), "{table}");
    }

    #[test]
    fn times_are_whole_seconds() {
        let json = serde_json::to_value(behind()).unwrap();
        let seconds = [
            "inStateForSeconds",
            "nextTryInSeconds",
            "lagSeconds",
            "lastReadSecondsAgo",
        ];
        assert_eq!(
            seconds.map(|member| json[member].as_u64()),
            [Some(65), Some(12), Some(71), Some(200)]
        );
        assert_eq!(json["lastSuccess"], "2030-03-17T17:46:40Z");
    }
}
