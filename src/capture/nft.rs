//! The program `nft`, which talks to the kernel.

use std::ffi::OsStr;
use std::io;
use std::process::{ExitStatus, Stdio};

use thiserror::Error;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::listing::{self, InForce, ListingError};
use super::{Redirection, TABLE, ruleset};

const PROGRAM: &str = "nft";

/// Why the rules could not be read or changed.
#[derive(Debug, Error)]
pub enum NftError {
    #[error("there is no program `{PROGRAM}` on the PATH; install the package `nftables`")]
    Missing,
    #[error("cannot run `{PROGRAM}`")]
    Run(#[source] io::Error),
    #[error(
        "the kernel lets only the network's administrator see or change its rules; run this as root, or with the \
         capability CAP_NET_ADMIN (a container: `--cap-add NET_ADMIN`)"
    )]
    NotPermitted,
    #[error(
        "`{PROGRAM}` failed ({status}); NAT in tables of family `inet` needs Linux 5.2 or newer with the modules \
         nft_chain_nat, nft_redir and nft_fib_inet; it said:\n{said}"
    )]
    Failed { status: ExitStatus, said: String },
    #[error(transparent)]
    Listing(#[from] ListingError),
}

/// Puts the redirection in place of what `outrigger` had set up before, in one step.
pub async fn install(redirection: &Redirection) -> Result<(), NftError> {
    run(["--file", "-"], &ruleset::installation(redirection)).await?;
    Ok(())
}

/// Takes the redirection away, and says whether there was one.
pub async fn remove() -> Result<bool, NftError> {
    let found = is_installed().await?;
    run(["--file", "-"], &ruleset::removal()).await?;
    Ok(found)
}

/// The redirection that the kernel carries out.
pub async fn in_force() -> Result<Option<InForce>, NftError> {
    if !is_installed().await? {
        return Ok(None);
    }
    let table = ["--json", "--numeric", "list", "table", "inet", TABLE];
    Ok(Some(listing::parse(&run(table, "").await?)?))
}

async fn is_installed() -> Result<bool, NftError> {
    let tables = run(["--json", "list", "tables"], "").await?;
    Ok(listing::has_table(&tables)?)
}

/// What the program prints, given this input.
async fn run(
    arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    input: &str,
) -> Result<String, NftError> {
    let mut child = Command::new(PROGRAM)
        .args(arguments)
        // Its words are looked at.
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => NftError::Missing,
            _ => NftError::Run(source),
        })?;
    if let Some(mut stdin) = child.stdin.take() {
        match stdin.write_all(input.as_bytes()).await {
            // It may end without reading; how it ended says why.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                return Err(NftError::Run(error));
            }
            _ => {}
        }
    }
    let output = child.wait_with_output().await.map_err(NftError::Run)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains("Operation not permitted") {
        return Err(NftError::NotPermitted);
    }
    Err(NftError::Failed {
        status: output.status,
        said: said.trim().to_owned(),
    })
}
