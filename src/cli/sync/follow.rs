//! `outrigger sync watch`: the mirror as a command, for a control plane that is only reached over its API.

use std::io::{Write, stdout};
use std::time::Duration;

use miette::miette;
use prometheus::Registry;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::PATIENCE;
use super::source::{Source, limited, nameless, put, remove};
use super::status::{MirrorStatus, Resource, spoken};
use super::target::TargetArgs;
use crate::api::operator::mirror_message;
use crate::appmesh::status::Mirror;
use crate::appmesh::watch::{Drift, Settings, Watch, checked_interval};
use crate::cli::client::Client;
use crate::cli::connect::ApiArgs;
use crate::cli::output::{CliError, Output};
use crate::store::{Revision, Stored};

/// How long one question for changes waits for some, in seconds.
const WAIT: u64 = 20;
/// Of what is not in step, so much is told for people.
const SHOWN: usize = 20;
/// Ways to stand of which there is no more to tell than how many.
const UNTOLD: [&str; 3] = ["pending", "blocked", "foreign_alike"];
/// How long to wait before a source that did not answer is asked again.
const SOURCE_PAUSE: Duration = Duration::from_secs(3);

#[derive(Debug, clap::Args)]
pub(super) struct FollowArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// What becomes of what somebody else changes at the target
    #[arg(long, value_enum, default_value_t)]
    drift: Drift,
    /// How often all of the target is read
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = checked_interval)]
    drift_interval: Duration,
    /// Form of the output; other than a table it is one JSON object a line
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
    #[command(flatten)]
    api: ApiArgs,
}

/// Mirrors until the user ends it.
///
/// # Errors
/// When the source cannot be asked, or is another server than before. A target that is of no use is waited for.
pub(super) async fn run(args: FollowArgs) -> Result<(), CliError> {
    let client = Client::new(&args.api, PATIENCE)?;
    let Source { server, stored, .. } = Source::read(&client, &args.target).await?;
    let changes = watch::Sender::new(stored);
    let settings = Settings {
        target: args.target.target(),
        scope: args.target.scope(),
        adopt: args.target.adopt,
        prune: args.target.prune,
        drift: args.drift,
        drift_interval: args.drift_interval,
    };
    let (watch, mirror) = Watch::new(
        settings,
        server.clone(),
        changes.subscribe(),
        &Registry::new(),
    )
    .map_err(CliError::unable_error)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(CliError::unable_error)?;
    let stop = CancellationToken::new();
    tokio::select! {
        () = watch.run(stop) => Ok(()),
        ended = print(mirror, args.output) => ended,
        error = follow(&client, &server, &changes, &args.target) => Err(error),
        interrupted = tokio::signal::ctrl_c() => interrupted.map_err(CliError::unable_error),
        _ = terminate.recv() => Ok(()),
    }
}

/// Follows the source until it cannot be followed any more.
async fn follow(
    client: &Client,
    server: &str,
    changes: &watch::Sender<Stored>,
    args: &TargetArgs,
) -> CliError {
    loop {
        let since = changes.borrow().revision.as_u64();
        match client.changes(since, WAIT).await {
            Ok(news) => {
                if news.listing.server.is_none() {
                    return nameless();
                }
                if news.listing.server.as_deref() != Some(server) {
                    return CliError::unable(miette!(
                        help = "start it again, if that server is to be mirrored; what the other one's mirror made is then \
                                somebody else's, which --adopt takes over",
                        "the source is another server than before"
                    ));
                }
                if news.is_full && news.listing.is_limited && args.prune && args.mesh.is_empty() {
                    return limited();
                }
                let mut stored = changes.borrow().clone();
                if news.is_full {
                    stored.model = crate::model::Model::default();
                    stored.records = crate::store::Records::default();
                }
                stored.revision = Revision::new(news.listing.revision);
                stored.changed_at = Some(std::time::Instant::now());
                for id in &news.deleted {
                    remove(&mut stored, id);
                }
                for remote in news.listing.resources.values() {
                    if let Err(error) = put(&mut stored, remote) {
                        return error;
                    }
                }
                changes.send_if_modified(|before| {
                    let is_new = before.revision != stored.revision;
                    *before = stored;
                    is_new
                });
            }
            Err(error) if error.may_pass() => sleep(SOURCE_PAUSE).await,
            Err(error) => return error.into(),
        }
    }
}

/// Says how it stands whenever that is something else.
///
/// # Errors
/// When what was asked for makes no sense.
async fn print(mut mirror: Mirror, output: Output) -> Result<(), CliError> {
    let mut last = String::new();
    loop {
        let status = MirrorStatus::from(mirror_message(&mirror));
        if status.state == "refused" {
            return Err(CliError::unable(miette!("{}", status.error)));
        }
        if !["reading", "writing"].contains(&&*status.state) {
            let lines = lines(&status);
            if lines != last {
                let text = match output {
                    Output::Table => lines.clone(),
                    Output::Json | Output::Yaml => {
                        let json = serde_json::to_string(&status).unwrap_or_default();
                        format!("{json}\n")
                    }
                };
                // Who has closed the output wants to hear no more, and the mirror goes on.
                drop(stdout().write_all(text.as_bytes()));
                last = lines;
            }
        }
        if !mirror.changed().await {
            return Ok(());
        }
    }
}

/// The state, and what keeps the target from being the source.
fn lines(status: &MirrorStatus) -> String {
    let state = spoken(&status.state);
    let mut lines = vec![format!(
        "{state}: revision {}; {}",
        status.revision(),
        status.counts()
    )];
    if !status.error.is_empty() {
        lines.push(format!("  {}", status.error));
    }
    let is_told = |resource: &&Resource| !UNTOLD.contains(&&*resource.standing);
    let mut told = status.resources.iter().filter(is_told);
    for resource in told.by_ref().take(SHOWN) {
        let (id, detail) = (&resource.id, &resource.detail);
        let standing = spoken(&resource.standing);
        lines.push(format!("  {standing} {id}: {detail}"));
    }
    match told.count() {
        0 => {}
        more => lines.push(format!("  and {more} more")),
    }
    lines.push(String::new());
    lines.join("\n")
}
