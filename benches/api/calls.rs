//! Calls from many clients at a time, and how long each took.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) body: Bytes,
}

impl Call {
    pub(crate) fn get(path: String) -> Self {
        Self {
            method: Method::GET,
            path,
            body: Bytes::new(),
        }
    }
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Client(SendRequest<Full<Bytes>>);

pub(crate) async fn connect(api: SocketAddr) -> Client {
    let stream = TcpStream::connect(api).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    Client(sender)
}

impl Client {
    /// The body of the answer, which must be a good one.
    pub(crate) async fn call(&mut self, call: &Call) -> Bytes {
        let request = Request::builder()
            .method(call.method.clone())
            .uri(&call.path)
            .header("host", "outrigger")
            .header("content-type", "application/json")
            .body(Full::new(call.body.clone()))
            .unwrap();
        // The connection's task may yet have to see that the answer before was read to its end.
        self.0.ready().await.unwrap();
        let response = self.0.send_request(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&body);
        assert!(
            status.is_success(),
            "{} {}: {status} {text}",
            call.method,
            call.path
        );
        body
    }
}

/// Makes the calls from so many clients, each of which takes the next one when its last is answered.
pub(crate) async fn drive(api: SocketAddr, clients: usize, calls: Vec<Call>) -> (Duration, Times) {
    let (calls, next) = (Arc::new(calls), Arc::new(AtomicUsize::new(0)));
    let mut connected = Vec::new();
    for _ in 0..clients {
        connected.push(connect(api).await);
    }
    let began = Instant::now();
    let mut running = JoinSet::new();
    for mut client in connected {
        let (calls, next) = (Arc::clone(&calls), Arc::clone(&next));
        running.spawn(async move {
            let mut times = Vec::new();
            while let Some(call) = calls.get(next.fetch_add(1, Ordering::Relaxed)) {
                let asked = Instant::now();
                client.call(call).await;
                times.push(asked.elapsed());
            }
            times
        });
    }
    let times = running.join_all().await.concat();
    (began.elapsed(), Times::new(times))
}

/// How long each of many took, the shortest first.
#[derive(Debug)]
pub(crate) struct Times(Vec<Duration>);

impl Times {
    pub(crate) fn new(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    pub(crate) fn p50(&self) -> Duration {
        self.0[self.0.len() / 2]
    }

    pub(crate) fn p99(&self) -> Duration {
        self.0[self.0.len() * 99 / 100]
    }

    pub(crate) fn most(&self) -> Duration {
        self.0[self.0.len() - 1]
    }

    pub(crate) fn into_inner(self) -> Vec<Duration> {
        self.0
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p50 {:.1?}, p99 {:.1?}", self.p50(), self.p99())
    }
}
