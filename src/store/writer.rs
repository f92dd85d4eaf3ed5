//! The one task that changes what the store holds.
//!
//! While one group of writes is brought to the journal the next one gathers, so that the number of writes a second does not
//! depend on how long the disk takes.

mod group;

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::files::Files;
use super::journal::{Batch, CommitError, Journal, Loaded};
use super::metrics::{Metrics, Outcome};
use super::record::{Record, Timestamp};
use super::state::{Applied, Around, State};
use super::write::{Trouble, Write, WriteError, Written};
use super::{Options, Revision, Stored};
use crate::model::ResourceId;
use group::{Answered, Group, Touched};

/// Requests that are taken together at most.
const GROUP: usize = 512;
/// Names that one line of the log has.
const NAMED: usize = 10;

type Answer<T> = oneshot::Sender<Result<T, WriteError>>;

/// What the writer is asked for.
#[derive(Debug)]
pub(super) enum Request {
    Write {
        write: Write,
        /// The resource when the caller asked.
        seen: Option<Arc<Record>>,
        answer: Answer<Written>,
    },
    Files {
        files: Files,
        seen_at: Instant,
        answer: Answer<Option<Revision>>,
    },
}

/// Answers writes, once it runs.
#[derive(Debug)]
pub struct Writer {
    core: Core,
    waiting: mpsc::Receiver<Request>,
}

/// All that blocks: it goes to a thread for each group, and comes back.
#[derive(Debug)]
struct Core {
    state: State,
    journal: Box<dyn Journal>,
    options: Options,
    metrics: Metrics,
    publish: watch::Sender<Stored>,
    /// What the one commit was about that failed with nothing in doubt before it. Whether the journal has it nobody knows:
    /// before anything else is brought there, it is told again what there is. Empty unless the newest commit failed.
    doubtful: Touched,
}

impl Writer {
    pub(super) fn new(
        journal: Box<dyn Journal>,
        loaded: Loaded,
        options: Options,
        metrics: Metrics,
        waiting: mpsc::Receiver<Request>,
        publish: watch::Sender<Stored>,
    ) -> Self {
        let core = Core {
            state: State::new(loaded),
            journal,
            options,
            metrics,
            publish,
            doubtful: Touched::default(),
        };
        if !core.options.awaits_files {
            core.publish(Instant::now());
        }
        Self { core, waiting }
    }

    /// Replaces what mesh files declare, at once; for whoever has the writer and no runtime.
    ///
    /// Returns the new revision, or `None` if nothing differs.
    ///
    /// # Errors
    /// [`WriteError::Unavailable`], and then what was declared before stays.
    pub fn replace_files(
        &mut self,
        files: Files,
        seen_at: Instant,
    ) -> Result<Option<Revision>, WriteError> {
        let (answer, mut answered) = oneshot::channel();
        self.core.take(vec![Request::Files {
            files,
            seen_at,
            answer,
        }]);
        answered
            .try_recv()
            .unwrap_or_else(|_| Err(Trouble::Stopping.into()))
    }

    /// Answers writes until told to stop; those that wait then are still done.
    pub async fn run(self, stop: CancellationToken) {
        let Self {
            mut core,
            mut waiting,
        } = self;
        let mut group = Vec::new();
        loop {
            // Both are cancel-safe; what waits comes first, so that a stop leaves nobody without an answer.
            tokio::select! {
                biased;
                received = waiting.recv_many(&mut group, GROUP) => if received == 0 { return },
                () = stop.cancelled(), if !waiting.is_closed() => {
                    waiting.close();
                    continue;
                }
            }
            let requests = std::mem::take(&mut group);
            let taking = spawn_blocking(move || {
                core.take(requests);
                core
            });
            let Ok(returned) = taking.await else {
                return;
            };
            core = returned;
        }
    }
}

impl Core {
    /// Does what a group asks for, in its order: all that can be done is kept together, or none of it.
    fn take(&mut self, requests: Vec<Request>) {
        let now = Timestamp::from(SystemTime::now());
        let mut next = self.state.clone();
        let mut group = Group::default();
        let mut is_loaded = self.publish.borrow().changed_at.is_some();
        for request in requests {
            match request {
                Request::Write {
                    write,
                    seen,
                    answer,
                } => {
                    let action = write.action.name();
                    let is_tentative = group.is_tentative;
                    let outcome = if is_loaded {
                        self.write(&mut next, &mut group, write, seen, now)
                    } else {
                        Err(WriteError::NotLoaded)
                    };
                    group.answers.push(Answered::Write {
                        action,
                        outcome,
                        is_tentative,
                        answer,
                    });
                }
                Request::Files {
                    files,
                    seen_at,
                    answer,
                } => {
                    let mut replaced = next.replace_files(&files, now, &mut new_uid);
                    if !is_loaded {
                        is_loaded = true;
                        replaced.revision = Some(next.revision);
                    }
                    let (facts, shown) = (&replaced.facts, &replaced.shown);
                    group.touched.files.extend(facts.iter().cloned());
                    group.touched.resources.extend(shown.iter().cloned());
                    group.is_tentative = true;
                    group.seen_at.get_or_insert(seen_at);
                    group.answers.push(Answered::Files { replaced, answer });
                }
            }
        }
        if let Err(error) = self.commit(&mut next, &mut group, now) {
            self.refuse(group, error);
            return;
        }
        let before = std::mem::replace(&mut self.state, next);
        // Files whose resources only stand elsewhere now change records and no revision.
        let is_same = before.records.ptr_eq(&self.state.records);
        let was_loaded = self.publish.borrow().changed_at.is_some();
        if !is_same || was_loaded != is_loaded {
            self.publish(group.seen_at.unwrap_or_else(Instant::now));
        }
        self.answer(group);
    }

    fn write(
        &self,
        next: &mut State,
        group: &mut Group,
        write: Write,
        seen: Option<Arc<Record>>,
        now: Timestamp,
    ) -> Result<Applied, WriteError> {
        let id = write.action.id().clone();
        let token = write.token.as_ref().map(|token| token.token.clone());
        let mut around = Around {
            now,
            quotas: &self.options.quotas,
            new_uid: &mut new_uid,
            seen,
        };
        let applied = next.apply(write, &mut around)?;
        group.writes += 1;
        group.is_tentative |= applied.changed || token.is_some();
        if applied.changed {
            group.touched.resources.insert(id);
        }
        group.touched.tokens.extend(token);
        Ok(applied)
    }

    /// Brings what a group changed to the journal.
    fn commit(
        &mut self,
        next: &mut State,
        group: &mut Group,
        now: Timestamp,
    ) -> Result<(), Trouble> {
        // A token of a write that was sent again is kept already.
        let before = &self.state.tokens;
        let is_new = |token: &String| before.get_any(token) != next.tokens.get_any(token);
        group.touched.tokens.retain(is_new);
        if group.touched.is_empty() {
            return Ok(());
        }
        let was_failing = !self.doubtful.is_empty();
        let kept = self.settle_and_keep(next, group, now);
        match &kept {
            Ok(()) if was_failing => info!("writes are kept again"),
            // Said once, not with each write.
            Err(Trouble::NotKept { source } | Trouble::InDoubt { source }) if !was_failing => {
                let cause = &source.source;
                warn!("writes are refused until they can be kept: {source}: {cause}");
            }
            _ => {}
        }
        kept
    }

    fn settle_and_keep(
        &mut self,
        next: &mut State,
        group: &mut Group,
        now: Timestamp,
    ) -> Result<(), Trouble> {
        self.settle()
            .map_err(|source| Trouble::NotKept { source })?;
        group.touched.tokens.extend(next.tokens.forget(now));
        self.keep(&group.touched.batch(next), group.writes)
            .map_err(|source| {
                self.doubtful = std::mem::take(&mut group.touched);
                // Should the journal have it after all, nothing else may ever have this revision.
                self.state.revision = next.revision;
                Trouble::InDoubt { source }
            })
    }

    /// Takes back what is in doubt. While that fails nothing new is tried, so that no second commit is ever in doubt.
    fn settle(&mut self) -> Result<(), CommitError> {
        if self.doubtful.is_empty() {
            return Ok(());
        }
        self.keep(&self.doubtful.batch(&self.state), 0)?;
        self.doubtful = Touched::default();
        Ok(())
    }

    fn keep(&mut self, batch: &Batch, writes: u32) -> Result<(), CommitError> {
        let began = Instant::now();
        let kept = self.journal.commit(batch);
        self.metrics
            .committed(kept.is_ok(), began.elapsed(), writes);
        kept
    }

    fn publish(&self, changed_at: Instant) {
        let state = &self.state;
        self.metrics.reached(state.revision.as_u64());
        self.publish.send_replace(Stored {
            revision: state.revision,
            model: state.model.clone(),
            records: state.records.clone(),
            changed_at: Some(changed_at),
            feed: state.feed.clone(),
        });
    }

    fn answer(&self, group: Group) {
        for answered in group.answers {
            // Who has left does not want to know.
            match answered {
                Answered::Write {
                    action,
                    outcome,
                    answer,
                    ..
                } => drop(answer.send(self.told(action, outcome))),
                Answered::Files { replaced, answer } => {
                    warn_of_hidden(&replaced.hidden);
                    warn_of_orphans(&replaced.orphans);
                    drop(answer.send(Ok(replaced.revision)));
                }
            }
        }
    }

    fn told(
        &self,
        action: &'static str,
        outcome: Result<Applied, WriteError>,
    ) -> Result<Written, WriteError> {
        self.metrics.wrote(
            action,
            match &outcome {
                Ok(applied) if applied.changed => Outcome::Changed,
                Ok(_) => Outcome::Unchanged,
                Err(error) => error.into(),
            },
        );
        let applied = outcome?;
        // Most are gone with the writes that follow, and whoever serves says what stays.
        if let Some(problem) = applied.problems.first() {
            let (resource, more) = (&applied.written.id, applied.problems.len() - 1);
            debug!(%resource, more, "written, and yet: {}; {}", problem.what, problem.help);
        }
        Ok(applied.written)
    }

    /// Nothing of the group is kept. Who was refused for another reason is told that one, unless the reason may lie in what
    /// is not kept either.
    fn refuse(&self, group: Group, trouble: Trouble) {
        let trouble = Arc::new(trouble);
        let unavailable = || WriteError::Unavailable {
            source: Arc::clone(&trouble),
        };
        for answered in group.answers {
            match answered {
                Answered::Write {
                    action,
                    outcome,
                    is_tentative,
                    answer,
                } => {
                    let outcome = match outcome {
                        Err(error) if !is_tentative => Err(error),
                        Ok(_) | Err(_) => Err(unavailable()),
                    };
                    drop(answer.send(self.told(action, outcome)));
                }
                Answered::Files { answer, .. } => drop(answer.send(Err(unavailable()))),
            }
        }
    }
}

/// A uid that nothing else has.
pub fn new_uid() -> String {
    uuid::Uuid::new_v4().to_string()
}

fn warn_of_hidden(hidden: &[ResourceId]) {
    if !hidden.is_empty() {
        warn!(
            "declared in mesh files and created over the API too, so that the files' count: {}; delete the one or the other",
            names(hidden)
        );
    }
}

fn warn_of_orphans(orphans: &[ResourceId]) {
    if !orphans.is_empty() {
        warn!(
            "created over the API in a mesh, router or gateway that no file declares any longer: {}; declare that again, or delete these",
            names(orphans)
        );
    }
}

/// The first of them, and how many more there are.
fn names(ids: &[ResourceId]) -> String {
    let mut names: Vec<String> = ids.iter().take(NAMED).map(ToString::to_string).collect();
    if ids.len() > NAMED {
        names.push(format!("and {} more", ids.len() - NAMED));
    }
    names.join(", ")
}
