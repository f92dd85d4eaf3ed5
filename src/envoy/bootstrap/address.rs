//! The addresses that a bootstrap is told, parsed once.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use serde_json::{Value, json};
use thiserror::Error;

/// Where the control plane's xDS is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum XdsAddress {
    Ip(SocketAddr),
    /// Envoy resolves the name, and follows it.
    Name {
        host: String,
        port: u16,
    },
    /// A Unix socket of the sidecar's own machine.
    Unix(PathBuf),
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AddressError {
    #[error(
        "`{text}` is no `host:port`; write `control-plane.local:18000`, `127.0.0.1:18000`, `[::1]:18000`, \
             or `unix:///run/outrigger/xds.sock`"
    )]
    Xds { text: String },
    #[error(
        "`{text}` is no `PORT=ADDRESS`; write the listener's port and where the application listens, \
             like `8080=127.0.0.1:18080`"
    )]
    Application { text: String },
}

impl XdsAddress {
    /// As Envoy's `core.v3.Address`.
    pub(super) fn envoy_address(&self) -> Value {
        match self {
            Self::Unix(path) => json!({ "pipe": { "path": path } }),
            Self::Ip(address) => super::socket_address(*address),
            Self::Name { host, port } => {
                json!({ "socket_address": { "address": host, "port_value": port } })
            }
        }
    }
}

impl From<SocketAddr> for XdsAddress {
    fn from(address: SocketAddr) -> Self {
        Self::Ip(address)
    }
}

impl FromStr for XdsAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        // gRPC's two ways to write an absolute path.
        if let Some(path) = text.strip_prefix("unix:")
            && let path = path.strip_prefix("//").unwrap_or(path)
            && path.starts_with('/')
        {
            return Ok(Self::Unix(path.into()));
        }
        if let Ok(address) = text.parse::<SocketAddr>()
            && address.port() != 0
        {
            return Ok(Self::Ip(address));
        }
        name_and_port(text).ok_or_else(|| AddressError::Xds {
            text: text.to_owned(),
        })
    }
}

fn name_and_port(text: &str) -> Option<XdsAddress> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok().filter(|&port| port != 0)?;
    let is_name = host
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_'));
    // A last label of digits is a mistyped IPv4 address.
    let last = host.trim_end_matches('.').rsplit('.').next()?;
    let is_number = last.chars().all(|c| c.is_ascii_digit());
    (is_name && !is_number && host.len() <= 253).then(|| XdsAddress::Name {
        host: host.to_owned(),
        port,
    })
}

impl fmt::Display for XdsAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Name { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

/// Reads `PORT=ADDRESS`: for which listener's port the application is where.
///
/// # Errors
/// [`AddressError::Application`] when it is anything else, or a port is 0.
pub fn parse_application(text: &str) -> Result<(u16, SocketAddr), AddressError> {
    let parsed = text.split_once('=').and_then(|(port, application)| {
        let port: u16 = port.trim().parse().ok()?;
        let application: SocketAddr = application.trim().parse().ok()?;
        (port != 0 && application.port() != 0).then_some((port, application))
    });
    parsed.ok_or_else(|| AddressError::Application {
        text: text.to_owned(),
    })
}
