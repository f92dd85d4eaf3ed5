//! One HTTP request on a connection of its own: what is needed to ask Envoy, and to send through it.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper::{Request, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// The largest answer that is read.
const ANSWER_BYTES: usize = 256 << 20;

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Gets `uri` from `peer`. A `uri` with a host goes out whole, which makes `peer` a proxy.
///
/// Without a limit in time: the caller has one.
pub(crate) async fn get(peer: SocketAddr, uri: &Uri) -> Result<(StatusCode, Bytes), BoxError> {
    let host = uri
        .authority()
        .map_or_else(|| peer.to_string(), ToString::to_string);
    let request = Request::get(uri)
        .header(header::HOST, host)
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())?;
    let stream = TcpStream::connect(peer).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let answer = async move {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES)
            .collect()
            .await?;
        Ok((status, body.to_bytes()))
    };
    // The connection moves the bytes while the answer is read, and ends with it: nobody else can send on it.
    let (answer, _) = tokio::join!(answer, connection);
    answer
}
