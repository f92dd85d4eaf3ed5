//! `outrigger sync watch`: the mirror as a command, for a control plane that is only reached over its API.

use std::fs::File;
use std::io::{Write, stdout};
use std::os::fd::AsFd;
use std::time::{Duration, Instant, SystemTime};

use miette::miette;
use prometheus::Registry;
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::PATIENCE;
use super::source::{Source, SourceError, another_server, nameless, put, remove};
use super::status::{MirrorStatus, Resource, spoken};
use super::target::TargetArgs;
use crate::api::operator::mirror_message;
use crate::appmesh::status::{Mirror, State};
use crate::appmesh::watch::{Drift, Settings, Watch, checked_interval};
use crate::cli::client::{BACK_OFF, Client};
use crate::cli::connect::{ApiArgs, ApiError};
use crate::cli::output::{CliError, Output, span};
use crate::store::{Revision, Stored};

/// How long one question for changes waits for some, in seconds.
const WAIT: u64 = 20;
/// Of what is not in step, so much is told for people.
const SHOWN: usize = 20;
/// Ways to stand of which there is no more to tell than how many.
const UNTOLD: [&str; 3] = ["pending", "blocked", "foreign_alike"];

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
    let settings = Settings {
        target: args.target.target(),
        scope: args.target.scope(),
        adopt: args.target.adopt,
        prune: args.target.prune,
        drift: args.drift,
        drift_interval: args.drift_interval,
    };
    // A target is waited for, and one that cannot be called would be for ever.
    settings.target.check().map_err(CliError::unable_error)?;
    let client = Client::new(&args.api, PATIENCE)?;
    let source = Source::read_mesh(&client, &args.target).await?;
    let changes = watch::Sender::new(source.stored);
    let (watch, mirror) = Watch::new(
        settings,
        source.server.clone(),
        changes.subscribe(),
        &Registry::new(),
    )
    .map_err(CliError::unable_error)?;
    let away = watch::Sender::new(None);
    let told = away.subscribe();
    let follower = Follower {
        // It is the follower that waits, and tells of it.
        client: Client::new(&args.api, Duration::ZERO)?,
        server: source.server,
        target: args.target,
        interval: args.drift_interval,
        changes,
        away,
    };
    let mut terminate = signal(SignalKind::terminate()).map_err(CliError::unable_error)?;
    print_beside(mirror.clone(), told, args.output)?;
    let stop = CancellationToken::new();
    tokio::select! {
        () = watch.run(stop) => Ok(()),
        error = refused(mirror) => Err(error),
        error = follower.run() => Err(error),
        interrupted = tokio::signal::ctrl_c() => interrupted.map_err(CliError::unable_error),
        _ = terminate.recv() => Ok(()),
    }
}

/// What follows a source over its API.
///
/// What the source says has changed is put to what was read of it. That it has everything, and so what is not in there is
/// gone, is said by a reading only, which is refused where a key hides something.
#[derive(Debug)]
struct Follower {
    client: Client,
    server: String,
    target: TargetArgs,
    /// How often all of the source is read: one that was put back to what it was yesterday does not say so.
    interval: Duration,
    changes: watch::Sender<Stored>,
    away: watch::Sender<Option<Away>>,
}

/// A source that does not answer as it should.
#[derive(Clone, Debug, PartialEq)]
struct Away {
    since: SystemTime,
    began: Instant,
    error: String,
}

/// What a source was asked for and has told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Everything,
    Changes,
    /// There is more to it than what has changed.
    More,
}

impl Follower {
    /// Follows until the source cannot be followed any more.
    async fn run(&self) -> CliError {
        let mut waits = 0;
        let mut read_at = Instant::now() + self.interval;
        loop {
            let left = read_at.saturating_duration_since(Instant::now());
            let told = if left.is_zero() {
                self.read().await
            } else {
                self.take_changes(left).await
            };
            match told {
                Ok(told) => {
                    match told {
                        Told::Everything => read_at = Instant::now() + self.interval,
                        Told::Changes => {}
                        Told::More => read_at = Instant::now(),
                    }
                    self.away.send_if_modified(|away| away.take().is_some());
                    waits = 0;
                }
                Err(SourceError::Api(error)) if error.is_of_server() => {
                    self.is_away(&error);
                    sleep(BACK_OFF.spread(waits)).await;
                    waits = waits.saturating_add(1);
                    read_at = Instant::now();
                }
                Err(error) => return error.into(),
            }
        }
    }

    /// Reads all of the source.
    async fn read(&self) -> Result<Told, SourceError> {
        let source = Source::read_mesh(&self.client, &self.target).await?;
        self.check(Some(&source.server))?;
        self.put(source.stored);
        Ok(Told::Everything)
    }

    /// Takes what has changed, for which it waits no longer than this.
    async fn take_changes(&self, wait: Duration) -> Result<Told, SourceError> {
        let mut stored = self.changes.borrow().clone();
        let wait = WAIT.min(wait.as_secs() + 1);
        let news = self.client.changes(stored.revision.as_u64(), wait).await?;
        self.check(news.listing.server.as_deref())?;
        if news.is_full {
            return Ok(Told::More);
        }
        stored.revision = Revision::new(news.listing.revision);
        stored.changed_at = Some(Instant::now());
        for id in &news.deleted {
            remove(&mut stored, id);
        }
        let scope = self.target.scope();
        for (id, remote) in &news.listing.resources {
            if scope.includes(id.mesh()) {
                put(&mut stored, remote)?;
            }
        }
        self.put(stored);
        Ok(Told::Changes)
    }

    fn check(&self, server: Option<&str>) -> Result<(), SourceError> {
        match server {
            None => Err(SourceError::Unfit(nameless())),
            Some(server) if server == self.server => Ok(()),
            Some(_) => Err(SourceError::Unfit(another_server())),
        }
    }

    fn put(&self, stored: Stored) {
        self.changes.send_if_modified(|before| {
            let is_same = before.revision == stored.revision && before.records == stored.records;
            if !is_same {
                *before = stored;
            }
            !is_same
        });
    }

    /// Takes note of trouble.
    fn is_away(&self, error: &ApiError) {
        let error = error.to_string();
        self.away.send_if_modified(|away| {
            let before = away.clone();
            let away = away.get_or_insert_with(|| Away {
                since: SystemTime::now(),
                began: Instant::now(),
                error: String::new(),
            });
            away.error = error;
            before.as_ref() != Some(away)
        });
    }
}

/// Waits until what was asked for makes no sense, which no waiting mends.
async fn refused(mut mirror: Mirror) -> CliError {
    loop {
        if let State::Refused { error, .. } = mirror.state() {
            return CliError::unable(miette!("{error}"));
        }
        if !mirror.changed().await {
            std::future::pending::<()>().await;
        }
    }
}

/// Prints on a thread of its own, so that whoever reads the output slowly, or not at all, keeps nothing else waiting. Of
/// what comes meanwhile, the newest counts. Nobody waits for the thread, which may never end.
fn print_beside(
    mirror: Mirror,
    away: watch::Receiver<Option<Away>>,
    output: Output,
) -> Result<(), CliError> {
    // Not by way of `stdout`, whose lock would be kept meanwhile.
    let out = stdout().as_fd().try_clone_to_owned();
    let out = File::from(out.map_err(CliError::unable_error)?);
    let runtime = Handle::current();
    drop(spawn_blocking(move || {
        runtime.block_on(print(mirror, away, output, out));
    }));
    Ok(())
}

/// Says how it stands whenever that is something else.
async fn print(
    mut mirror: Mirror,
    mut away: watch::Receiver<Option<Away>>,
    output: Output,
    mut out: File,
) {
    let mut last = String::new();
    let mut was_away = None;
    loop {
        let is_away = away.borrow_and_update().clone();
        // Looked at before a text is made of thousands of resources, as there is one step for each.
        let is_passing = matches!(mirror.state(), State::Reading | State::Writing);
        if !is_passing || is_away != was_away {
            let mut status = MirrorStatus::from(mirror_message(&mirror));
            if let Some(away) = &is_away {
                without_source(&mut status, away);
            }
            let lines = lines(&status);
            if lines != last {
                let back = was_away.filter(|_| is_away.is_none());
                let text = match output {
                    Output::Table => back.as_ref().map(Away::over).unwrap_or_default() + &lines,
                    Output::Json | Output::Yaml => {
                        let json = serde_json::to_string(&status).unwrap_or_default();
                        format!("{json}\n")
                    }
                };
                // Who has closed the output wants to hear no more, and the mirror goes on.
                drop(out.write_all(text.as_bytes()));
                last = lines;
            }
            was_away = is_away;
        }
        let is_there = tokio::select! {
            is_there = mirror.changed() => is_there,
            changed = away.changed() => changed.is_ok(),
        };
        if !is_there {
            return;
        }
    }
}

impl Away {
    fn over(&self) -> String {
        format!(
            "source reached again after {}\n",
            span(self.began.elapsed())
        )
    }
}

/// How it stands while the source does not answer: nobody knows whether the target is as it is now.
fn without_source(status: &mut MirrorStatus, away: &Away) {
    "source_unreachable".clone_into(&mut status.state);
    status.in_state_for = away.began.elapsed();
    let of_target = std::mem::take(&mut status.error);
    let since = humantime::format_rfc3339_seconds(away.since);
    let error = format!("since {since}: {}", away.error);
    status.error = if of_target.is_empty() {
        error
    } else {
        format!("{error}; and {of_target}")
    };
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
