//! A proxy that counts the HTTP/2 frames which pass it, and can stop passing any.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

const PREFACE: usize = 24;
const DATA: u8 = 0;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const ACK: u8 = 1;

/// Between clients and one server.
pub(crate) struct FrameProxy {
    pub(crate) address: SocketAddr,
    counters: Arc<Counters>,
    frozen: CancellationToken,
}

#[derive(Default)]
struct Counters {
    connections: AtomicU64,
    pings: AtomicU64,
    data: AtomicU64,
    goaways: AtomicU64,
}

/// What has passed so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counts {
    pub(crate) connections: u64,
    /// From clients, answers not counted.
    pub(crate) pings: u64,
    /// From clients.
    pub(crate) data: u64,
    /// From the server.
    pub(crate) goaways: u64,
}

impl FrameProxy {
    pub(crate) async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let counters = Arc::new(Counters::default());
        let counting = Arc::clone(&counters);
        let frozen = CancellationToken::new();
        let cold = frozen.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(server).await.unwrap();
                counting.connections.fetch_add(1, Ordering::Relaxed);
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                let sent = Arc::clone(&counting);
                tokio::spawn(pass(
                    from_client,
                    to_server,
                    PREFACE,
                    cold.clone(),
                    move |kind, flags| {
                        match kind {
                            PING if flags & ACK == 0 => sent.pings.fetch_add(1, Ordering::Relaxed),
                            DATA => sent.data.fetch_add(1, Ordering::Relaxed),
                            _ => 0,
                        };
                    },
                ));
                let received = Arc::clone(&counting);
                tokio::spawn(pass(
                    from_server,
                    to_client,
                    0,
                    cold.clone(),
                    move |kind, _| {
                        if kind == GOAWAY {
                            received.goaways.fetch_add(1, Ordering::Relaxed);
                        }
                    },
                ));
            }
        });
        Self {
            address,
            counters,
            frozen,
        }
    }

    /// From now on nothing passes, and nothing is read; no connection is closed, as by a machine that hangs.
    pub(crate) fn freeze(&self) {
        self.frozen.cancel();
    }

    pub(crate) fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            connections: read(&self.counters.connections),
            pings: read(&self.counters.pings),
            data: read(&self.counters.data),
            goaways: read(&self.counters.goaways),
        }
    }
}

/// Passes on what comes, frame by frame, and shows each frame's type and flags.
async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    preface: usize,
    frozen: CancellationToken,
    seen: impl Fn(u8, u8),
) -> std::io::Result<()> {
    let mut bytes = vec![0; preface];
    from.read_exact(&mut bytes).await?;
    to.write_all(&bytes).await?;
    loop {
        let mut head = [0; 9];
        // Half a head is lost with the rest.
        tokio::select! {
            biased;
            () = frozen.cancelled() => return std::future::pending().await,
            read = from.read_exact(&mut head) => read?,
        };
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        bytes.resize(length as usize, 0);
        from.read_exact(&mut bytes).await?;
        seen(head[3], head[4]);
        to.write_all(&head).await?;
        to.write_all(&bytes).await?;
    }
}
