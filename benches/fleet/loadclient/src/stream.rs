//! Connections and streams: the I/O around [`Session`].

use crate::codec::SizedCodec;
use crate::protocol::{Incoming, Protocol};
use crate::recorder::Recorder;
use crate::session::{Plan, Session};
use anyhow::{Context, Result};
use bytes::Bytes;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};

// Envoy's defaults, so that flow control acts as it would on a real sidecar.
const STREAM_WINDOW: u32 = 16 << 20;
const CONNECTION_WINDOW: u32 = 24 << 20;

/// How long a stream that broke waits before it comes back.
const PAUSE: Duration = Duration::from_millis(200);

/// What all streams of a run share.
pub(crate) struct Fleet {
    endpoint: Endpoint,
    connecting: Semaphore,
    nodes: Vec<Bytes>,
    pub(crate) plan: Arc<Plan>,
    pub(crate) recorder: Arc<Recorder>,
    /// Counts up when all streams are to close and come back.
    generation: watch::Sender<u64>,
    is_closed: AtomicBool,
}

impl Fleet {
    /// `nodes` are the sidecars' encoded nodes, taken in turn.
    pub(crate) fn new(
        server: &str,
        connect_concurrency: usize,
        nodes: Vec<Bytes>,
        plan: Arc<Plan>,
        recorder: Arc<Recorder>,
    ) -> Result<Self> {
        let endpoint = Endpoint::from_shared(server.to_owned())
            .context("server address")?
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .tcp_nodelay(true);
        Ok(Self {
            endpoint,
            connecting: Semaphore::new(connect_concurrency),
            nodes,
            plan,
            recorder,
            generation: watch::Sender::new(0),
            is_closed: AtomicBool::new(false),
        })
    }

    /// Opens this many streams, so many on each connection, and keeps them.
    pub(crate) fn open<P: Protocol>(self: &Arc<Self>, streams: usize, per_connection: usize) {
        for first in (0..streams).step_by(per_connection) {
            let streams = first..(first + per_connection).min(streams);
            tokio::spawn(connection::<P>(Arc::clone(self), streams));
        }
    }

    /// Makes every stream close, and come back at once.
    pub(crate) fn reopen(&self) {
        self.generation.send_modify(|generation| *generation += 1);
    }

    /// Makes every stream close.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, SeqCst);
        self.reopen();
    }

    fn session<P: Protocol>(&self, stream: usize) -> Session<P> {
        let node = self.nodes[stream % self.nodes.len()].clone();
        Session::new(node, Arc::clone(&self.plan))
    }
}

/// Keeps one connection with these streams on it; makes it anew with each generation.
async fn connection<P: Protocol>(fleet: Arc<Fleet>, streams: Range<usize>) {
    let generation = fleet.generation.subscribe();
    let mut sessions: Vec<_> = streams
        .map(|stream| (stream, fleet.session::<P>(stream)))
        .collect();
    while !sessions.is_empty() && !fleet.is_closed.load(SeqCst) {
        let channel = match connect(&fleet, sessions.iter().map(|(stream, _)| *stream)).await {
            Ok(channel) => channel,
            Err(_) if fleet.plan.comes_back => {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            Err(error) => return fleet.recorder.failed(&error),
        };
        let mut tasks = JoinSet::new();
        for (stream, session) in sessions.drain(..) {
            let (fleet, channel) = (Arc::clone(&fleet), channel.clone());
            tasks.spawn(serve(fleet, channel, stream, session, generation.clone()));
        }
        drop(channel);
        while let Some(ended) = tasks.join_next().await {
            match ended.context("a stream's task") {
                Ok((stream, session, Ok(()))) => sessions.push((stream, session)),
                Ok((stream, session, Err(_))) if fleet.plan.comes_back => {
                    fleet.recorder.broken.fetch_add(1, SeqCst);
                    sessions.push((stream, session));
                    tokio::time::sleep(PAUSE).await;
                }
                Ok((.., Err(error))) | Err(error) => fleet.recorder.failed(&error),
            }
        }
    }
}

async fn connect(fleet: &Fleet, mut streams: impl Iterator<Item = usize>) -> Result<Channel> {
    let _permit = fleet.connecting.acquire().await?;
    streams
        .by_ref()
        .for_each(|stream| fleet.recorder.opened(stream));
    fleet.endpoint.connect().await.context("connecting")
}

/// Serves a stream to its end, and gives the session back for the stream that comes after.
async fn serve<P: Protocol>(
    fleet: Arc<Fleet>,
    channel: Channel,
    stream: usize,
    mut session: Session<P>,
    generation: watch::Receiver<u64>,
) -> (usize, Session<P>, Result<()>) {
    let ended = follow(&fleet, channel, stream, &mut session, generation).await;
    (stream, session, ended)
}

/// Follows a stream until a new generation begins.
async fn follow<P: Protocol>(
    fleet: &Fleet,
    channel: Channel,
    stream: usize,
    session: &mut Session<P>,
    mut generation: watch::Receiver<u64>,
) -> Result<()> {
    generation.mark_unchanged();
    let (sender, receiver) = mpsc::unbounded_channel();
    for request in session.start() {
        sender.send(request)?;
    }
    let mut grpc = Grpc::new(channel).max_decoding_message_size(usize::MAX);
    grpc.ready().await?;
    let codec = SizedCodec::<P::Request, P::Response>::default();
    let outbound = tonic::Request::new(UnboundedReceiverStream::new(receiver));
    let path = PathAndQuery::from_static(P::PATH);
    let mut inbound = grpc.streaming(outbound, path, codec).await?.into_inner();
    fleet.recorder.attached();
    let _attached = (fleet.plan.comes_back).then(|| Attached(&fleet.recorder));

    let (mut requests, mut events) = (Vec::new(), Vec::new());
    loop {
        let received = tokio::select! {
            received = inbound.message() => received?,
            changed = generation.changed() => {
                changed?;
                return Ok(());
            }
        };
        let Some(received) = received else {
            anyhow::bail!("the server closed stream {stream}");
        };
        let now = fleet.recorder.now();
        let response: Incoming = received.message.into();
        let resources = response.resources.len();
        fleet.recorder.received(received.len, resources, now);
        session.receive(&response, &mut requests, &mut events)?;
        for event in events.drain(..) {
            fleet.recorder.event(stream, &event, now);
        }
        for request in requests.drain(..) {
            sender.send(request)?;
        }
    }
}

/// A stream that counts as attached until this is dropped.
struct Attached<'a>(&'a Recorder);

impl Drop for Attached<'_> {
    fn drop(&mut self) {
        self.0.detached();
    }
}
