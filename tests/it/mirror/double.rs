//! A server that answers what it is told to, whatever it is asked.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// One answer.
#[derive(Clone, Debug)]
pub(super) enum Reply {
    /// Status, exception and body.
    Answer(u16, Option<&'static str>, String),
    /// The head of an answer, half of its body, and the end of the connection.
    CutOff,
    /// An answer that goes on for as long as somebody reads it.
    Endless,
    /// With this status, the signature and the session token that it was sent.
    Echo(u16),
    /// Nothing at all.
    Silence,
}

/// What it was asked: the first line, and the body.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Asked {
    pub(super) line: String,
    pub(super) body: String,
}

pub(super) struct Double {
    pub(super) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    task: JoinHandle<()>,
}

impl Double {
    /// Gives these answers one after the other, and the last one from then on.
    pub(super) async fn start(replies: Vec<Reply>) -> Self {
        let given = AtomicUsize::new(0);
        Self::by(move |_| {
            let next = given.fetch_add(1, Ordering::Relaxed);
            replies[next.min(replies.len() - 1)].clone()
        })
        .await
    }

    /// Gives the answer that this has for what it is asked.
    pub(super) async fn by(reply: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let reply = Arc::new(reply);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let all = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(answer(stream, Arc::clone(&reply), Arc::clone(&all)));
            }
        });
        Self {
            address,
            asked,
            task,
        }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Reads one request and answers it.
async fn answer(
    mut stream: TcpStream,
    reply: Arc<impl Fn(&Asked) -> Reply>,
    all: Arc<Mutex<Vec<Asked>>>,
) {
    let mut request = Vec::new();
    let (head, length) = loop {
        let mut chunk = [0; 4096];
        let Ok(read @ 1..) = stream.read(&mut chunk).await else {
            return;
        };
        request.extend_from_slice(&chunk[..read]);
        let text = String::from_utf8_lossy(&request).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length")
                    .then(|| value.trim().parse().unwrap())
            });
            let length: usize = length.unwrap_or(0);
            if body.len() >= length {
                break (head.to_owned(), length);
            }
        }
    };
    let body = String::from_utf8(request[request.len() - length..].to_vec()).unwrap();
    let line = head.lines().next().unwrap().to_owned();
    let asked = Asked { line, body };
    all.lock().unwrap().push(asked.clone());
    let text = match reply(&asked) {
        Reply::Answer(status, exception, body) => {
            let exception = exception.map(|name| format!("x-amzn-errortype: {name}\r\n"));
            format!(
                "HTTP/1.1 {status} Told\r\n{}content-length: {}\r\nconnection: close\r\n\r\n{body}",
                exception.unwrap_or_default(),
                body.len()
            )
        }
        Reply::Echo(status) => echo(status, &head),
        Reply::CutOff => "HTTP/1.1 200 OK\r\ncontent-length: 999\r\n\r\n{\"meshes\": [".to_owned(),
        Reply::Endless => {
            let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
            let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
            let mut sent = stream.write_all(head.as_bytes()).await;
            while sent.is_ok() {
                sent = stream.write_all(chunk.as_bytes()).await;
            }
            return;
        }
        Reply::Silence => {
            // Until the client leaves.
            drop(stream.read(&mut [0; 1]).await);
            return;
        }
    };
    drop(stream.write_all(text.as_bytes()).await);
    drop(stream.shutdown().await);
}

/// An answer that repeats the secrets of a request's head.
fn echo(status: u16, head: &str) -> String {
    let secret = |line: &&str| {
        let line = line.to_ascii_lowercase();
        line.starts_with("x-amz-security-token") || line.starts_with("authorization")
    };
    let body: Vec<&str> = head.lines().filter(secret).collect();
    let body = format!("you sent {}", body.join(", "));
    let length = body.len();
    format!("HTTP/1.1 {status} Told\r\ncontent-length: {length}\r\n\r\n{body}")
}
