//! Processes that never outlive the one that started them, not even when that one is killed.
//!
//! Linux tells a process when its parent dies, if the process asked for that itself. So our own binary is started first, as
//! `outrigger run-child`; it asks, and becomes the command. `PR_SET_PDEATHSIG` watches the parent's *thread*: spawn from
//! the main thread or a runtime worker, never from `spawn_blocking`, whose threads come and go.
//!
//! A child's output goes to a file: a person can follow it, and nobody has to read a pipe to keep the child going.

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use thiserror::Error;
use tokio::process::Command;

/// The hidden subcommand that [`ChildCommand`] starts and [`run_child`] carries out.
pub const SUBCOMMAND: &str = "run-child";
/// How much of the end of its log is read for a child's last lines.
const TAIL_BYTES: u64 = 16 << 10;

#[derive(Debug, Error)]
pub enum ChildError {
    #[error("cannot start {name} (`{program}`)")]
    Start {
        name: String,
        program: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot write {name}'s log `{path}`")]
    Log {
        name: String,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot wait for {name}")]
    Wait {
        name: String,
        #[source]
        source: io::Error,
    },
    #[error("process {parent}, for which this one was started, is gone")]
    Orphan { parent: u32 },
    #[error("cannot tie `{program}` to the life of its parent; this works on Linux only")]
    Tie {
        program: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// A command to be started as a child that dies with us.
#[derive(Clone, Debug)]
pub struct ChildCommand {
    guard: PathBuf,
    program: PathBuf,
    arguments: Vec<OsString>,
}

/// A running child. Dropped, it is killed.
#[derive(Debug)]
pub struct Child {
    name: String,
    log: PathBuf,
    process: tokio::process::Child,
}

impl ChildCommand {
    /// `guard` is the `outrigger` binary; normally `std::env::current_exe()`.
    pub fn new(guard: impl Into<PathBuf>, program: impl Into<PathBuf>) -> Self {
        Self {
            guard: guard.into(),
            program: program.into(),
            arguments: Vec::new(),
        }
    }

    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    #[must_use]
    pub fn args(mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        for argument in arguments {
            self.arguments.push(argument.as_ref().to_owned());
        }
        self
    }

    /// Starts the command; what it prints goes to the end of `log`.
    ///
    /// # Errors
    /// [`ChildError`] when the log cannot be written or the guard cannot be started. A program that the guard cannot
    /// start shows as a child that ends with a line in its log.
    pub fn spawn(&self, name: impl Into<String>, log: &Path) -> Result<Child, ChildError> {
        let name = name.into();
        let log_error = |source| ChildError::Log {
            name: name.clone(),
            path: log.to_owned(),
            source,
        };
        let output = File::options()
            .create(true)
            .append(true)
            .open(log)
            .map_err(log_error)?;
        let errors = output.try_clone().map_err(log_error)?;
        let mut command = Command::new(&self.guard);
        command
            .args([SUBCOMMAND, "--parent"])
            .arg(std::process::id().to_string())
            .arg("--")
            .arg(&self.program)
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            // Ctrl-C in the terminal reaches the whole foreground group; who ends first is ours to say.
            .process_group(0)
            .kill_on_drop(true);
        let process = command.spawn().map_err(|source| ChildError::Start {
            name: name.clone(),
            program: self.guard.clone(),
            source,
        })?;
        Ok(Child {
            name,
            log: log.to_owned(),
            process,
        })
    }
}

impl Child {
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The process id, until the child's end has been waited for.
    pub fn id(&self) -> Option<u32> {
        self.process.id()
    }

    /// Waits for the child to end by itself. Cancel-safe.
    pub async fn wait(&mut self) -> Result<ExitStatus, ChildError> {
        self.process
            .wait()
            .await
            .map_err(|source| ChildError::Wait {
                name: self.name.clone(),
                source,
            })
    }

    /// How the child ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.process.try_wait().ok().flatten()
    }

    /// Asks the child to end, and kills it if it has not within `grace`.
    pub async fn stop(&mut self, grace: Duration) -> Result<ExitStatus, ChildError> {
        self.signal(Signal::TERM);
        if let Ok(ended) = tokio::time::timeout(grace, self.wait()).await {
            return ended;
        }
        self.signal(Signal::KILL);
        self.wait().await
    }

    /// Ends the child at once, as a crash would.
    pub async fn kill(&mut self) -> Result<ExitStatus, ChildError> {
        self.signal(Signal::KILL);
        self.wait().await
    }

    /// A child that has been waited for has no id, so that no other process can be meant.
    fn signal(&self, signal: Signal) {
        let pid = self.process.id().and_then(|id| i32::try_from(id).ok());
        if let Some(pid) = pid.and_then(Pid::from_raw) {
            // It may just have ended; waiting for it says so.
            rustix::process::kill_process(pid, signal).ok();
        }
    }

    /// The last lines that the child printed.
    pub fn last_lines(&self, count: usize) -> Vec<String> {
        let tail = tail(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&tail);
        let lines: Vec<&str> = text.lines().collect();
        let shown = lines.len().saturating_sub(count);
        lines.into_iter().skip(shown).map(str::to_owned).collect()
    }
}

fn tail(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Becomes the command, as a process that the system kills when `parent` dies.
///
/// # Errors
/// [`ChildError`] when the parent has died already, or the command cannot be started.
pub fn run_child(
    parent: u32,
    program: &Path,
    arguments: &[OsString],
) -> Result<Infallible, ChildError> {
    use std::os::unix::process::CommandExt;

    tie_to_parent().map_err(|source| ChildError::Tie {
        program: program.to_owned(),
        source,
    })?;
    // The parent may have died before the system was told to watch it; then this process has another one by now.
    if std::os::unix::process::parent_id() != parent {
        return Err(ChildError::Orphan { parent });
    }
    let source = std::process::Command::new(program).args(arguments).exec();
    Err(ChildError::Start {
        name: program.display().to_string(),
        program: program.to_owned(),
        source,
    })
}

#[cfg(target_os = "linux")]
fn tie_to_parent() -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn tie_to_parent() -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
