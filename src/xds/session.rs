//! One stream: waits for requests, changes and timers, lets the protocol state answer, and sends what it says.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body::Frame;
use prost::Message;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::codegen::http::HeaderMap;
use tracing::{debug, info};

use super::body::Outbox;
use super::message::{DeltaRequest, SotwRequest};
use super::names::NameSets;
use super::node::{Claim, Node};
use super::requests::Requests;
use super::server::AdsContext;
use super::{DeltaStream, Held, Limits, Response, SotwStream, Step, StreamError, StreamStatus};
use crate::clients::{ClientInfo, Registration, Variant};
use crate::reconcile::Published;
use crate::snapshot::{Kind, PerKind, Snapshot};
use crate::telemetry::metrics::Refusal;
use crate::translate::View;
use crate::transport::{Peer, Retired, Throttle};

mod report;

use report::{REJECTED_LINES, refusal};

/// Requests that one step takes together.
const BATCH: usize = 64;

/// The protocol state of one variant.
pub(super) trait Protocol: Send + 'static {
    type Request: Message + Default + 'static;
    const VARIANT: Variant;

    fn open(limits: Limits, names: Arc<NameSets>, only: Option<Kind>) -> Self;
    fn node(request: &Self::Request) -> Option<&Bytes>;
    fn step(
        &mut self,
        now: Duration,
        snapshot: &Arc<Snapshot>,
        requests: Vec<Self::Request>,
    ) -> Result<Step, StreamError>;
    fn held(&self) -> Vec<Held>;
    fn status(&self) -> StreamStatus;
}

macro_rules! protocol {
    ($stream:ident, $request:ident, $variant:ident) => {
        impl Protocol for $stream {
            type Request = $request;
            const VARIANT: Variant = Variant::$variant;

            fn open(limits: Limits, names: Arc<NameSets>, only: Option<Kind>) -> Self {
                Self::sharing(limits, names).only(only)
            }

            fn node(request: &$request) -> Option<&Bytes> {
                request.node.as_ref()
            }

            fn step(
                &mut self,
                now: Duration,
                snapshot: &Arc<Snapshot>,
                requests: Vec<$request>,
            ) -> Result<Step, StreamError> {
                $stream::step(self, now, snapshot, requests)
            }

            fn held(&self) -> Vec<Held> {
                $stream::held(self)
            }

            fn status(&self) -> StreamStatus {
                $stream::status(self)
            }
        }
    };
}

protocol!(SotwStream, SotwRequest, Sotw);
protocol!(DeltaStream, DeltaRequest, Delta);

/// How a stream came to its end before all was said.
enum End {
    /// The client is gone, and nothing reaches it any more.
    ClientGone,
    /// The server ends it, and says why.
    Closed(Status),
}

impl From<Status> for End {
    fn from(status: Status) -> Self {
        Self::Closed(status)
    }
}

/// One stream with its two directions.
pub(super) struct Session<P: Protocol> {
    context: Arc<AdsContext>,
    peer: Peer,
    requests: Requests<P::Request>,
    outbox: Outbox,
    /// The one type that the stream serves; `None` for all.
    only: Option<Kind>,
    opened: Instant,
    /// Who the client says it is, once it has.
    claim: Option<Claim>,
    /// The node, from when it is served until its end is logged.
    served: Option<Arc<str>>,
    /// The client has said its last, and may still wait for answers.
    has_finished: bool,
    rejected_lines: Throttle,
}

impl<P: Protocol> Drop for Session<P> {
    /// Most clients leave without a word: their stream is gone, and with it the session.
    fn drop(&mut self) {
        if let Some(node) = &self.served {
            info!(%node, peer = %self.peer, "sidecar left");
        }
    }
}

impl<P: Protocol> Session<P> {
    pub(super) fn new(
        context: Arc<AdsContext>,
        peer: Peer,
        requests: Requests<P::Request>,
        outbox: Outbox,
        only: Option<Kind>,
    ) -> Self {
        Self {
            context,
            peer,
            requests,
            outbox,
            only,
            opened: Instant::now(),
            claim: None,
            served: None,
            has_finished: false,
            rejected_lines: Throttle::of(REJECTED_LINES),
        }
    }

    /// Serves the stream to its end. A client that leaves is an ordinary end.
    pub(super) async fn run(mut self, stop: CancellationToken, retired: Retired) {
        let served = tokio::select! {
            served = self.serve() => served,
            () = retired.wait() => {
                self.served = None;
                let why = if stop.is_cancelled() {
                    "this control plane is stopping; connect again"
                } else {
                    "the connection is to end; connect again"
                };
                Err(Status::unavailable(why).into())
            }
        };
        let status = match served {
            Ok(()) => Status::ok(""),
            Err(End::Closed(status)) => status,
            Err(End::ClientGone) => return,
        };
        let mut trailers = HeaderMap::new();
        if status.add_header(&mut trailers).is_ok() {
            self.outbox.send([Frame::trailers(trailers)]).await;
        }
    }

    /// Ends well when the client has said its last and has its answers.
    async fn serve(&mut self) -> Result<(), End> {
        let Some(first) = self.first_request().await? else {
            return Ok(());
        };
        self.claim = Some(Claim::read(P::node(&first)));
        let node = Node::read(P::node(&first))
            .map_err(|error| self.refuse(Refusal::MalformedNode, error.to_string()))?;
        if self.context.model.borrow().changed_at.is_none() {
            self.context.metrics.stream_refused(Refusal::NotReady);
            return Err(Status::unavailable("no mesh is loaded yet; connect again").into());
        }
        let name: Arc<str> = node.key.node.to_string().into();
        let mut view = self.context.views.subscribe(&node.key);
        let registration = self.context.clients.register(ClientInfo {
            node: node.key.node.clone(),
            key: node.key,
            peer: self.peer,
            variant: P::VARIANT,
            user_agent: node.user_agent,
            connected_at: std::time::SystemTime::now(),
        });
        let open = self.context.metrics.stream_opened(P::VARIANT);
        self.served = Some(Arc::clone(&name));
        let served = self.stream(first, view.watch(), &registration, &name).await;
        drop(open);
        if let Err(End::Closed(status)) = &served {
            info!(node = %name, peer = %self.peer, reason = status.message(), "stream closed");
            self.served = None;
        }
        served
    }

    async fn first_request(&mut self) -> Result<Option<P::Request>, End> {
        let limit = self.context.limits.first_request;
        if let Ok(request) = timeout(limit, self.requests.message()).await {
            return self.received(request);
        }
        self.context.metrics.stream_refused(Refusal::Silent);
        Err(Status::deadline_exceeded(format!("no request came within {limit:?}")).into())
    }

    /// Steps until one of the sides ends the stream.
    async fn stream(
        &mut self,
        first: P::Request,
        view: &mut watch::Receiver<Option<Published>>,
        registration: &Registration,
        node: &str,
    ) -> Result<(), End> {
        let mut state = P::open(
            self.context.limits.stream.clone(),
            Arc::clone(&self.context.sharing.names),
            self.only,
        );
        let mut batch = vec![first];
        let mut pushed = PerKind::<Option<std::time::Instant>>::default();
        let mut seen = None;
        loop {
            let published = current(view).await?;
            let snapshot = self.snapshot(&published, node)?;
            if seen.is_none() {
                let variant = P::VARIANT.as_str();
                info!(node, peer = %self.peer, variant, "sidecar connected");
                self.context.clients.forget_refusals(node);
            }
            let step = state.step(self.opened.elapsed(), &snapshot, std::mem::take(&mut batch));
            let step = step.map_err(|error| self.refuse(refusal(&error), error.to_string()))?;
            let is_change = seen
                .replace(published.changed_at)
                .is_some_and(|seen| seen != published.changed_at);
            self.observe(
                &step,
                is_change.then_some(published.changed_at),
                &mut pushed,
                node,
            );
            registration.update(state.status(), self.opened.elapsed());
            registration.answer(|| state.held());
            for response in step.responses {
                self.send(&response).await;
            }
            if self.has_finished && step.wake_at.is_none() {
                return Ok(());
            }
            batch = self.next(view, step.wake_at, registration).await?;
        }
    }

    fn snapshot(&self, published: &Published, node: &str) -> Result<Arc<Snapshot>, End> {
        match &published.view {
            View::Serving(snapshot) => Ok(Arc::clone(snapshot)),
            View::NotFound => {
                let message = format!(
                    "`{node}` is not declared; declare it, or correct `node.id` in the sidecar's bootstrap"
                );
                self.note_refusal(Refusal::UnknownNode, &message);
                Err(Status::not_found(message).into())
            }
            View::Unsupported(reason) => {
                let message = format!("`{node}` cannot be served: {reason}");
                self.note_refusal(Refusal::Unsupported, &message);
                Err(Status::failed_precondition(message).into())
            }
        }
    }

    /// Waits for requests, a change of the view, the time to step again, or somebody who asks how the stream stands.
    async fn next(
        &mut self,
        view: &mut watch::Receiver<Option<Published>>,
        wake_at: Option<Duration>,
        registration: &Registration,
    ) -> Result<Vec<P::Request>, End> {
        let wake = async {
            match wake_at {
                Some(at) => sleep_until(self.opened + at).await,
                None => std::future::pending().await,
            }
        };
        let mut batch = Vec::new();
        // Each branch is cancel-safe: a partly read request stays in the decoder, a change stays marked.
        tokio::select! {
            biased;
            request = self.requests.message(), if !self.has_finished => {
                batch.extend(self.received(request)?);
            }
            changed = view.changed() => stopped_if(changed.is_err())?,
            () = wake => {}
            () = registration.asked() => {}
        }
        while batch.len() < BATCH && !self.has_finished {
            let more = tokio::select! {
                biased;
                request = self.requests.message() => request,
                () = std::future::ready(()) => break,
            };
            batch.extend(self.received(more)?);
        }
        Ok(batch)
    }

    /// `None` when the client has said its last.
    fn received(
        &mut self,
        request: Result<Option<P::Request>, Status>,
    ) -> Result<Option<P::Request>, End> {
        match request {
            Ok(request) => {
                self.has_finished = request.is_none();
                Ok(request)
            }
            // What the client broke is told to it; what the connection broke can be told to nobody.
            Err(status) if is_the_clients(&status) => {
                Err(self.refuse(Refusal::Protocol, status.message().to_owned()))
            }
            Err(status) => {
                debug!(peer = %self.peer, error = status.message(), "stream broken");
                Err(End::ClientGone)
            }
        }
    }

    async fn send(&mut self, response: &Response) {
        let frames = self.context.sharing.bodies.frames(response);
        let frames = frames.into_iter().filter(|frame| !frame.is_empty());
        self.outbox.send(frames.map(Frame::data)).await;
    }
}

/// The view as it stands; waits while it has not been translated.
async fn current(view: &mut watch::Receiver<Option<Published>>) -> Result<Published, End> {
    loop {
        if let Some(published) = view.borrow_and_update().clone() {
            return Ok(published);
        }
        stopped_if(view.changed().await.is_err())?;
    }
}

fn stopped_if(stopped: bool) -> Result<(), End> {
    if stopped {
        Err(Status::unavailable("this control plane is stopping; connect again").into())
    } else {
        Ok(())
    }
}

fn is_the_clients(status: &Status) -> bool {
    use tonic::Code;
    matches!(
        status.code(),
        Code::InvalidArgument | Code::OutOfRange | Code::Internal | Code::Unimplemented
    )
}
