//! A Unix socket at a path: taken over from a server that is gone, and from nobody else.
//!
//! **Invariant:** the only file that is ever removed is a socket that nobody listens on, or our own.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::Deserialize;
use thiserror::Error;
use tokio::net::{UnixListener, UnixStream};

use super::tcp::BACKLOG;

/// The longest path, as Linux has it: 108 bytes with the zero that ends it.
const MAX_PATH: usize = 107;

/// Who may connect to a socket, as permission bits.
///
/// The default is 0660, the socket's user and group: whoever connects can say to be any node. A sidecar that runs as
/// another user needs the group, or 0666 in a folder that only sidecars can enter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct SocketMode(u32);

/// Text that is no mode.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{text}` is no mode of a socket; write it in octal, such as \"0660\" or \"0666\"")]
pub struct SocketModeError {
    text: String,
}

/// Why there is no socket at a path.
#[derive(Debug, Error)]
pub enum SocketError {
    #[error(
        "`{}` is {length} bytes long, and the path of a socket takes {MAX_PATH}; choose a shorter --xds-socket",
        path.display()
    )]
    TooLong { path: PathBuf, length: usize },
    #[error("there is no folder `{}` for the socket `{}`; make it first", folder.display(), path.display())]
    NoFolder { folder: PathBuf, path: PathBuf },
    #[error(
        "another process listens on `{}`; end it, or choose another --xds-socket",
        path.display()
    )]
    InUse { path: PathBuf },
    #[error(
        "`{}` is there and is no socket, so it is left alone; remove it, or choose another --xds-socket",
        path.display()
    )]
    NotASocket { path: PathBuf },
    #[error(
        "cannot listen on the socket `{}` (--xds-socket); may this user write to its folder?",
        path.display()
    )]
    Failed { path: PathBuf, source: io::Error },
}

impl Default for SocketMode {
    fn default() -> Self {
        Self(0o660)
    }
}

impl FromStr for SocketMode {
    type Err = SocketModeError;

    fn from_str(text: &str) -> Result<Self, SocketModeError> {
        let digits = text.strip_prefix("0o").unwrap_or(text);
        match u32::from_str_radix(digits, 8) {
            // Reading alone connects nobody.
            Ok(mode) if mode <= 0o777 && mode & 0o222 != 0 => Ok(Self(mode)),
            _ => Err(SocketModeError {
                text: text.to_owned(),
            }),
        }
    }
}

impl TryFrom<String> for SocketMode {
    type Error = SocketModeError;

    fn try_from(text: String) -> Result<Self, SocketModeError> {
        text.parse()
    }
}

/// A bound socket. Dropping it removes its file.
#[derive(Debug)]
pub struct UnixSocket {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode of the file, so that another server's socket at the same path is never removed.
    file: Option<(u64, u64)>,
}

impl UnixSocket {
    /// Binds the path. Nobody can connect before the file has its mode.
    ///
    /// # Errors
    /// [`SocketError`] when the path is taken by a server that lives or by a file that is no socket, or cannot be had.
    pub async fn bind(path: &Path, mode: SocketMode) -> Result<Self, SocketError> {
        check_path(path)?;
        remove_stale(path).await?;
        let fail = |source| SocketError::Failed {
            path: path.to_owned(),
            source,
        };
        let socket = tokio::net::UnixSocket::new_stream().map_err(fail)?;
        socket.bind(path).map_err(fail)?;
        fs::set_permissions(path, fs::Permissions::from_mode(mode.0)).map_err(fail)?;
        let listener = socket.listen(BACKLOG).map_err(fail)?;
        Ok(Self {
            listener,
            path: path.to_owned(),
            file: identity(path),
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Cancel-safe.
    pub(super) async fn accept(&self) -> io::Result<UnixStream> {
        Ok(self.listener.accept().await?.0)
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        if self.file.is_some() && identity(&self.path) == self.file {
            // A folder that is gone took the socket with it.
            drop(fs::remove_file(&self.path));
        }
    }
}

fn check_path(path: &Path) -> Result<(), SocketError> {
    let length = path.as_os_str().as_bytes().len();
    if length > MAX_PATH {
        return Err(SocketError::TooLong {
            path: path.to_owned(),
            length,
        });
    }
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    if folder.is_dir() {
        return Ok(());
    }
    Err(SocketError::NoFolder {
        folder: folder.to_owned(),
        path: path.to_owned(),
    })
}

/// Removes what a server that is gone left behind.
async fn remove_stale(path: &Path) -> Result<(), SocketError> {
    let path = path.to_owned();
    match fs::symlink_metadata(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(SocketError::Failed { path, source }),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(SocketError::NotASocket { path });
        }
        Ok(_) => {}
    }
    match UnixStream::connect(&path).await {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            fs::remove_file(&path).map_err(|source| SocketError::Failed { path, source })
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        // A full backlog is a server too.
        Ok(_) | Err(_) => Err(SocketError::InUse { path }),
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let metadata = fs::symlink_metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests;
