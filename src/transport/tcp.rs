//! TCP addresses.

use std::net::SocketAddr;

use thiserror::Error;
use tokio::net::{TcpListener, TcpSocket};

/// Connections that may wait to be accepted. The usual 128 makes the kernel drop attempts in a storm of a thousand, and
/// those clients then wait a second (measured).
pub(super) const BACKLOG: u32 = 4096;

/// An address that cannot be listened on.
#[derive(Debug, Error)]
#[error("cannot listen on {addr} for {purpose}; is another process using it?")]
pub struct BindError {
    pub addr: SocketAddr,
    pub purpose: &'static str,
    pub source: std::io::Error,
}

/// Binds an address; port 0 takes a free one. `purpose` is for the error.
///
/// # Errors
/// [`BindError`] when the address cannot be had.
pub fn listen(addr: SocketAddr, purpose: &'static str) -> Result<TcpListener, BindError> {
    let socket = if addr.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    };
    let listen = |socket: TcpSocket| {
        socket.set_reuseaddr(true)?;
        socket.bind(addr)?;
        socket.listen(BACKLOG)
    };
    socket.and_then(listen).map_err(|source| BindError {
        addr,
        purpose,
        source,
    })
}
