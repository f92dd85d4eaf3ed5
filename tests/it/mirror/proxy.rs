//! What stands between a mirror and its target: passes on what it is sent, or does to it what networks and servers do.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What becomes of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Passes,
    /// It is refused with this status, and the target never hears of it.
    Refused(u16),
    /// The target does it, and the answer is lost.
    Unanswered,
    /// The target does it, and half of the answer comes.
    CutOff,
    /// Nothing comes of it, for as long as the client waits.
    Swallowed,
    /// It passes, by a clock that is late.
    Late,
    /// It passes, and an empty spec comes back with a member.
    Otherwise,
}

type Fates = dyn Fn(usize, &str) -> Fate + Send + Sync;

/// One address, whoever is behind it.
pub(super) struct Proxy {
    pub(super) address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    target: Mutex<SocketAddr>,
    fates: Mutex<Arc<Fates>>,
    /// The first lines of all calls.
    calls: Mutex<Vec<String>>,
}

impl Proxy {
    pub(super) async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            target: Mutex::new(target),
            fates: Mutex::new(Arc::new(|_, _| Fate::Passes)),
            calls: Mutex::default(),
        });
        let all = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, Arc::clone(&all)));
            }
        });
        Self {
            address,
            shared,
            task,
        }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The target is elsewhere now.
    pub(super) fn point_at(&self, target: SocketAddr) {
        *self.shared.target.lock().unwrap() = target;
    }

    /// What becomes of a call, by how many came before it and its first line.
    pub(super) fn set(&self, fates: impl Fn(usize, &str) -> Fate + Send + Sync + 'static) {
        *self.shared.fates.lock().unwrap() = Arc::new(fates);
    }

    /// The first lines of all calls so far.
    pub(super) fn calls(&self) -> Vec<String> {
        self.shared.calls.lock().unwrap().clone()
    }

    /// Those of them that change something.
    pub(super) fn writes(&self) -> Vec<String> {
        let mut calls = self.calls();
        calls.retain(|line| !line.starts_with("GET "));
        calls
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The calls of one connection.
async fn serve(mut client: TcpStream, shared: Arc<Shared>) {
    while let Some(request) = message(&mut client).await {
        let text = String::from_utf8_lossy(&request);
        let line = text.lines().next().unwrap_or_default().to_owned();
        let before = {
            let mut calls = shared.calls.lock().unwrap();
            calls.push(line.clone());
            calls.len() - 1
        };
        let fates = Arc::clone(&shared.fates.lock().unwrap());
        let fate = fates(before, &line);
        let answer = match fate {
            Fate::Refused(status) => {
                let body = r#"{"message":"told so"}"#;
                let length = body.len();
                format!("HTTP/1.1 {status} Told\r\ncontent-length: {length}\r\n\r\n{body}")
                    .into_bytes()
            }
            Fate::Swallowed => {
                // Until the client leaves.
                drop(client.read(&mut [0; 1]).await);
                return;
            }
            _ => {
                let target = *shared.target.lock().unwrap();
                let Some(answer) = forward(target, &request).await else {
                    return;
                };
                answer
            }
        };
        let answer = match fate {
            Fate::Unanswered => return,
            Fate::CutOff => {
                drop(
                    client
                        .write_all(&answer[..answer.len() - answer.len() / 3])
                        .await,
                );
                return;
            }
            Fate::Late => late(answer),
            Fate::Otherwise => otherwise(answer),
            _ => answer,
        };
        if client.write_all(&answer).await.is_err() {
            return;
        }
    }
}

/// The same by a clock that is late.
fn late(answer: Vec<u8>) -> Vec<u8> {
    let text = String::from_utf8(answer).unwrap();
    let lines = text.split("\r\n").map(|line| {
        if line.starts_with("date:") {
            "date: Thu, 01 Jan 2026 00:00:00 GMT"
        } else {
            line
        }
    });
    lines.collect::<Vec<_>>().join("\r\n").into_bytes()
}

/// The same with a member in an empty spec.
fn otherwise(answer: Vec<u8>) -> Vec<u8> {
    let text = String::from_utf8(answer).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let body = body.replace(r#""spec":{}"#, r#""spec":{"serviceDiscovery":{}}"#);
    let lines = head.split("\r\n").map(|line| {
        if line.starts_with("content-length:") {
            format!("content-length: {}", body.len())
        } else {
            line.to_owned()
        }
    });
    let head = lines.collect::<Vec<_>>().join("\r\n");
    format!("{head}\r\n\r\n{body}").into_bytes()
}

/// The target's answer, if there is one.
async fn forward(target: SocketAddr, request: &[u8]) -> Option<Vec<u8>> {
    let mut stream = TcpStream::connect(target).await.ok()?;
    stream.write_all(request).await.ok()?;
    message(&mut stream).await
}

/// One request or answer, with a body of the length that it says.
async fn message(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, _)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                let is_length = name.eq_ignore_ascii_case("content-length");
                is_length.then(|| value.trim().parse::<usize>().unwrap())
            });
            if bytes.len() >= head.len() + 4 + length.unwrap_or(0) {
                return Some(bytes);
            }
        }
        let mut chunk = vec![0; 16384];
        match stream.read(&mut chunk).await {
            Ok(read @ 1..) => bytes.extend_from_slice(&chunk[..read]),
            _ => return None,
        }
    }
}
