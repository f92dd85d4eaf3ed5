//! A gRPC client by hand: it sends whatever bytes it is given, and reads only when it is told to.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};

pub(crate) const SOTW: &str =
    "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources";
pub(crate) const DELTA: &str =
    "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";
/// How much the server may send before the client has read; what HTTP/2 begins with.
const WINDOW: u32 = 65_535;
/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// One stream on a connection of its own.
pub(crate) struct Raw {
    /// `None` once the client has said that it is done.
    requests: Option<mpsc::Sender<Bytes>>,
    response: Response<Incoming>,
    unread: BytesMut,
    connection: JoinHandle<Result<(), hyper::Error>>,
}

/// What came back.
#[derive(Debug)]
pub(crate) enum Answer {
    Message(Bytes),
    Status(Code, String),
    /// No status: the stream was reset, or the connection closed.
    Broken,
}

impl Raw {
    /// Opens a stream; the server's headers have come.
    pub(crate) async fn open(address: SocketAddr, path: &str) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http2::Builder::new(TokioExecutor::new())
                .initial_stream_window_size(WINDOW)
                .initial_connection_window_size(WINDOW)
                .handshake(TokioIo::new(stream))
                .await
                .unwrap();
        let connection = tokio::spawn(connection);
        let (requests, body) = mpsc::channel::<Bytes>(1);
        let body = ReceiverStream::new(body).map(|bytes| Ok::<_, Infallible>(Frame::data(bytes)));
        let request = Request::post(format!("http://{address}{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(StreamBody::new(body))
            .unwrap();
        let response = sender.send_request(request).await.unwrap();
        Self {
            requests: Some(requests),
            response,
            unread: BytesMut::new(),
            connection,
        }
    }

    pub(crate) async fn send(&self, message: &impl Message) {
        self.send_bytes(framed(&message.encode_to_vec())).await;
    }

    /// Whether the stream still took them.
    pub(crate) async fn send_bytes(&self, bytes: impl Into<Bytes>) -> bool {
        let requests = self.requests.as_ref().unwrap();
        requests.send(bytes.into()).await.is_ok()
    }

    /// Says that nothing more will be sent.
    pub(crate) fn finish(&mut self) {
        self.requests = None;
    }

    /// Resets the stream; the connection stays a moment longer.
    pub(crate) fn reset(self) {
        drop(self.response);
    }

    /// Ends the connection without a word.
    pub(crate) fn vanish(self) {
        self.connection.abort();
    }

    /// Waits until the server has closed the connection.
    pub(crate) async fn closed(mut self) {
        self.requests = None;
        drop(self.response);
        tokio::time::timeout(PATIENCE, &mut self.connection)
            .await
            .expect("the connection ends")
            .unwrap()
            .ok();
    }

    pub(crate) async fn answer(&mut self) -> Answer {
        tokio::time::timeout(PATIENCE, self.read())
            .await
            .expect("an answer in time")
    }

    /// The next message, or what ended the stream instead.
    pub(crate) async fn message<M: Message + Default>(&mut self) -> M {
        match self.answer().await {
            Answer::Message(bytes) => M::decode(bytes).unwrap(),
            ended => panic!("no message but {ended:?}"),
        }
    }

    /// The status that ends the stream; messages before it are passed over.
    pub(crate) async fn status(&mut self) -> (Code, String) {
        loop {
            match self.answer().await {
                Answer::Message(_) => {}
                Answer::Status(code, message) => return (code, message),
                Answer::Broken => panic!("the stream ended without a status"),
            }
        }
    }

    async fn read(&mut self) -> Answer {
        if let Some(status) = Status::from_header_map(self.response.headers()) {
            return Answer::Status(status.code(), status.message().to_owned());
        }
        loop {
            if let Some(message) = self.take() {
                return Answer::Message(message);
            }
            match self.response.body_mut().frame().await {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.unread.extend_from_slice(&data),
                    Err(frame) => {
                        let trailers = frame.into_trailers().unwrap();
                        let status = Status::from_header_map(&trailers).unwrap();
                        return Answer::Status(status.code(), status.message().to_owned());
                    }
                },
                Some(Err(_)) | None => return Answer::Broken,
            }
        }
    }

    /// A message that has come whole.
    fn take(&mut self) -> Option<Bytes> {
        let prefix = self.unread.get(..5)?;
        assert_eq!(prefix[0], 0, "nothing is compressed");
        let length = u32::from_be_bytes(prefix[1..].try_into().unwrap()) as usize;
        if self.unread.len() < 5 + length {
            return None;
        }
        self.unread.advance(5);
        Some(self.unread.split_to(length).freeze())
    }
}

/// A message behind gRPC's prefix.
pub(crate) fn framed(message: &[u8]) -> Bytes {
    let mut framed = prefix(u32::try_from(message.len()).unwrap());
    framed.put_slice(message);
    framed.freeze()
}

/// The prefix of a message of that length.
pub(crate) fn prefix(length: u32) -> BytesMut {
    let mut prefix = BytesMut::new();
    prefix.put_u8(0);
    prefix.put_u32(length);
    prefix
}
