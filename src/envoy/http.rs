//! One GET on a connection of its own: what is needed to ask Envoy, and to send through it.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper::{Request, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, ToSocketAddrs};

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
    send(peer, request(uri.clone(), &host)?).await
}

/// Gets an `http` URL from the host that it names.
///
/// Without a limit in time: the caller has one.
pub(crate) async fn get_url(url: &Uri) -> Result<(StatusCode, Bytes), BoxError> {
    let (Some("http"), Some(authority)) = (url.scheme_str(), url.authority()) else {
        return Err(format!("`{url}` is no URL like `http://HOST:PORT/PATH`").into());
    };
    let port = authority.port_u16().unwrap_or(80);
    let name = format!("{}:{port}", authority.host());
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let request = request(path.parse()?, authority.as_str())?;
    send(name.as_str(), request).await
}

fn request(target: Uri, host: &str) -> Result<Request<Empty<Bytes>>, BoxError> {
    let request = Request::builder()
        .uri(target)
        .header(header::HOST, host)
        .header(header::CONNECTION, "close")
        .body(Empty::new())?;
    Ok(request)
}

/// Of a name's addresses, the first that answers is taken.
async fn send(
    peer: impl ToSocketAddrs,
    request: Request<Empty<Bytes>>,
) -> Result<(StatusCode, Bytes), BoxError> {
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
