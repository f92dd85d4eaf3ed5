//! The client status discovery service (CSDS): how each connected client stands with each resource that it asked for, in
//! the form that standard tools read.
//!
//! A stream is asked when somebody asks here, and not before. One that is busy sending to a slow client does not answer
//! in time; its client is then listed without resources.
//!
//! **Invariant:** a response has a bounded size, whatever the number of clients and resources, only one is put together at
//! a time, and few exist: each counts until it has been sent, however slow its reader. A stream that asks for nothing keeps
//! nobody out, and ends. Secrets are named, and never shown.

mod convert;
mod few;
mod matcher;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use envoy_types::pb::envoy::service::status::v3::client_status_discovery_service_server::{
    ClientStatusDiscoveryService, ClientStatusDiscoveryServiceServer,
};
use envoy_types::pb::envoy::service::status::v3::{
    ClientConfig, ClientStatusRequest, ClientStatusResponse,
};
use prost::Message;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status, Streaming};

use crate::clients::{ClientState, Clients};
use few::{Few, Turns};
use matcher::Matchers;

/// Answers that exist at the same time; operators' tools ask for one.
const CALLS: usize = 4;
/// Streaming calls at the same time, most of them idle.
const STREAMS: usize = 64;
/// How long a streaming call may go without a request.
const IDLE: Duration = Duration::from_mins(1);
/// Streams that are asked at the same time.
const ASKED_AT_ONCE: usize = 16;
/// How long they may take to answer.
const ANSWER: Duration = Duration::from_secs(1);
/// How long all of a response may take. Who has not been asked by then is listed without resources.
const ALL_ANSWERS: Duration = Duration::from_secs(10);
/// Bytes of a response. Clients of gRPC take 4 MiB unless told otherwise.
const RESPONSE: usize = 32 << 20;
/// Bytes of a request.
const REQUEST: usize = 1 << 20;

/// The service. A clone is a handle on the same one.
#[derive(Clone, Debug)]
pub(super) struct ClientStatus {
    clients: Clients,
    tasks: TaskTracker,
    stop: CancellationToken,
    /// Has one permit: whose response is put together.
    turn: Arc<Semaphore>,
    limit: usize,
}

impl ClientStatus {
    pub(super) fn new(clients: Clients, tasks: TaskTracker, stop: CancellationToken) -> Self {
        Self {
            clients,
            tasks,
            stop,
            turn: Arc::new(Semaphore::new(1)),
            limit: RESPONSE,
        }
    }

    pub(super) fn into_service(self) -> Few<ClientStatusDiscoveryServiceServer<Self>> {
        let service = ClientStatusDiscoveryServiceServer::new(self);
        let service = service.max_decoding_message_size(REQUEST);
        Few::new(service, CALLS, STREAMS, "/StreamClientStatus")
    }

    async fn answer(&self, request: ClientStatusRequest) -> Result<ClientStatusResponse, Status> {
        let matchers = Matchers::new(request.node_matchers)?;
        let _turn = self.turn.acquire().await;
        let last = Instant::now() + ALL_ANSWERS;
        let mut clients = self.clients.list();
        clients.retain(|client| matchers.take(&client.info.node.to_string()));
        let mut response = ClientStatusResponse::default();
        let mut size = 0;
        for some in clients.chunks(ASKED_AT_ONCE) {
            let contents = !request.exclude_resource_contents;
            for config in self.ask(some, contents, last).await {
                size += config.encoded_len();
                if size > self.limit {
                    return Err(self.too_large(clients.len(), request.exclude_resource_contents));
                }
                convert::add(&mut response.config, config);
            }
        }
        Ok(response)
    }

    /// Answers a stream's requests, one after the other, until it ends, goes without one, or gets an error.
    async fn serve(
        &self,
        mut requests: Streaming<ClientStatusRequest>,
        turns: &Turns,
        answers: &mpsc::Sender<Answer>,
    ) {
        loop {
            let request = timeout(IDLE, requests.message()).await;
            // Before anything is put together: the answer before it has been taken.
            let Ok(place) = answers.reserve().await else {
                return;
            };
            let turn = match request {
                Ok(Ok(Some(request))) => turns.take().map(|turn| (turn, request)),
                Ok(_) => return,
                Err(_) => Err(Status::deadline_exceeded(format!(
                    "no request came within {IDLE:?}; call again"
                ))),
            };
            match turn {
                Ok((turn, request)) => {
                    let answer = self.answer(request).await;
                    let failed = answer.is_err();
                    place.send((answer, Some(turn)));
                    if failed {
                        return;
                    }
                }
                Err(status) => {
                    place.send((Err(status), None));
                    return;
                }
            }
        }
    }

    /// How these clients stand. One that left meanwhile is left out.
    async fn ask(
        &self,
        clients: &[ClientState],
        contents: bool,
        last: Instant,
    ) -> Vec<ClientConfig> {
        let deadline = last.min(Instant::now() + ANSWER);
        let asked: Vec<_> = (clients.iter())
            .map(|client| (client, self.clients.inquire(client.id)))
            .collect();
        let mut configs = Vec::new();
        for (client, answer) in asked {
            let Some(answer) = answer else {
                continue;
            };
            match timeout_at(deadline, answer).await {
                Ok(Ok(held)) => configs.push(convert::client(&client.info, held, contents)),
                Ok(Err(_)) => {}
                Err(_) => configs.push(convert::client(&client.info, Vec::new(), contents)),
            }
        }
        configs
    }

    fn too_large(&self, clients: usize, excluded: bool) -> Status {
        let or = if excluded {
            ""
        } else {
            ", or set `exclude_resource_contents`"
        };
        Status::resource_exhausted(format!(
            "the configuration of the {clients} clients that match is more than {} bytes; name fewer of them with \
             `node_matchers`{or}",
            self.limit
        ))
    }
}

/// What a stream is told, and the turn in which it was put together.
type Answer = (
    Result<ClientStatusResponse, Status>,
    Option<OwnedSemaphorePermit>,
);

/// The answers of a stream.
#[derive(Debug)]
pub(super) struct Answers {
    outgoing: mpsc::Receiver<Answer>,
    turns: Turns,
}

impl Stream for Answers {
    type Item = Result<ClientStatusResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let answer = ready!(self.outgoing.poll_recv(context));
        Poll::Ready(answer.map(|(answer, turn)| {
            if let Some(turn) = turn {
                self.turns.hand(turn);
            }
            answer
        }))
    }
}

#[tonic::async_trait]
impl ClientStatusDiscoveryService for ClientStatus {
    type StreamClientStatusStream = Answers;

    async fn stream_client_status(
        &self,
        request: Request<Streaming<ClientStatusRequest>>,
    ) -> Result<Response<Self::StreamClientStatusStream>, Status> {
        let (answers, outgoing) = mpsc::channel(1);
        let turns = request.extensions().get::<Turns>().cloned();
        let turns = turns.ok_or_else(|| Status::internal("the call does not count"))?;
        let (service, requests) = (self.clone(), request.into_inner());
        let answering = turns.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = service.serve(requests, &answering, &answers) => {}
                // The caller has gone, whatever the other half of the call still says.
                () = answers.closed() => {}
                () = service.stop.cancelled() => {}
            }
        });
        Ok(Response::new(Answers { outgoing, turns }))
    }

    async fn fetch_client_status(
        &self,
        request: Request<ClientStatusRequest>,
    ) -> Result<Response<ClientStatusResponse>, Status> {
        self.answer(request.into_inner()).await.map(Response::new)
    }
}

#[cfg(test)]
mod tests;
