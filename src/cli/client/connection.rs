//! One connection to the API, on which one request after another goes out.
//!
//! The connection moves only while a request is under way; nothing runs in the background.

use std::pin::pin;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::Request;
use hyper::client::conn::http1;
use hyper::http::uri::Authority;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::Answer;

/// The largest answer that is read.
const ANSWER_BYTES: usize = 512 << 20;

pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug)]
pub(super) struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    io: http1::Connection<TokioIo<TcpStream>, Full<Bytes>>,
    ended: bool,
}

impl Connection {
    /// Connects to the first of a name's addresses that takes it.
    pub(super) async fn open(authority: &Authority) -> Result<Self, BoxError> {
        let port = authority.port_u16().unwrap_or(80);
        let stream = TcpStream::connect((authority.host().trim_matches(['[', ']']), port)).await?;
        stream.set_nodelay(true)?;
        let (sender, io) = http1::handshake(TokioIo::new(stream)).await?;
        Ok(Self {
            sender,
            io,
            ended: false,
        })
    }

    /// Whether another request can be sent.
    pub(super) fn is_open(&self) -> bool {
        !self.ended && !self.sender.is_closed()
    }

    /// Sends a request and reads the whole answer. A connection of which this was dropped half-way is of no more use.
    pub(super) async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Answer, BoxError> {
        let sender = &mut self.sender;
        let mut answer = pin!(async move {
            sender.ready().await?;
            let response = sender.send_request(request).await?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, ANSWER_BYTES).collect().await?;
            Ok(Answer {
                status: head.status,
                headers: head.headers,
                body: body.to_bytes(),
            })
        });
        tokio::select! {
            biased;
            answer = &mut answer => return answer,
            _ = &mut self.io => self.ended = true,
        }
        // The other end has closed, maybe behind the answer.
        answer.await
    }
}
