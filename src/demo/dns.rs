//! A small authoritative DNS server for the names of one machine: the demo's services, and the tests of discovery.
//!
//! It answers for every name of its [`Zone`], which may change while it runs, and denies all others. It does not
//! recurse, transfer or sign.

#[cfg(test)]
mod tests;
mod zone;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use hickory_server::Server;
use hickory_server::net::runtime::Time;
use hickory_server::net::xfer::Protocol;
use hickory_server::proto::op::{
    Edns, Header, HeaderCounts, MessageType, Metadata, OpCode, ResponseCode,
};
use hickory_server::proto::rr::Record;
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;
use tokio::net::{TcpListener, UdpSocket};
use tokio_util::sync::CancellationToken;

use zone::Reply;
pub use zone::{Failure, Service, Zone};

/// An idle TCP connection is closed after this long.
const TCP_IDLE: Duration = Duration::from_secs(10);
/// Answers that one TCP connection may have waiting.
const TCP_BACKLOG: usize = 64;
/// The size of a UDP answer that every path carries unfragmented (DNS flag day 2020).
const UDP_PAYLOAD: u16 = 1232;
/// With port 0, how many UDP ports are tried until one is free for TCP too.
const PORT_ATTEMPTS: usize = 20;

/// Serves a [`Zone`] over UDP and TCP.
#[derive(Debug)]
pub struct DnsServer;

impl DnsServer {
    /// Binds UDP and TCP to one address; port 0 takes a port that is free for both.
    pub async fn bind(addr: SocketAddr, zone: Zone) -> io::Result<Bound> {
        let mut attempts = if addr.port() == 0 { PORT_ATTEMPTS } else { 1 };
        loop {
            let udp = UdpSocket::bind(addr).await?;
            let addr = udp.local_addr()?;
            attempts -= 1;
            match TcpListener::bind(addr).await {
                Ok(tcp) => {
                    return Ok(Bound {
                        addr,
                        udp,
                        tcp,
                        zone,
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && attempts > 0 => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// A server that has its port and answers once it runs.
#[derive(Debug)]
pub struct Bound {
    addr: SocketAddr,
    udp: UdpSocket,
    tcp: TcpListener,
    zone: Zone,
}

impl Bound {
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Answers until told to stop.
    pub async fn run(self, stop: CancellationToken) -> io::Result<()> {
        let mut server = Server::new(Handler { zone: self.zone });
        server.register_socket(self.udp);
        server.register_listener(self.tcp, TCP_IDLE, TCP_BACKLOG);
        let ended = tokio::select! {
            () = stop.cancelled() => server.shutdown_gracefully().await,
            ended = server.block_until_done() => ended,
        };
        ended.map_err(io::Error::other)
    }
}

struct Handler {
    zone: Zone,
}

impl Handler {
    async fn answer<R: ResponseHandler>(
        &self,
        request: &Request,
        mut respond: R,
    ) -> Option<ResponseInfo> {
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.authoritative = true;
        let mut answers: Vec<Record> = Vec::new();
        let mut authority: Vec<Record> = Vec::new();
        match self.reply(request) {
            Reply::Silence => return None,
            Reply::Truncated => metadata.truncation = true,
            Reply::Failed(code) => metadata.response_code = code,
            Reply::Records(records) => answers = records,
            Reply::NoRecords(records) => {
                answers = records;
                authority.push(zone::authority());
            }
            Reply::NoName => {
                metadata.response_code = ResponseCode::NXDomain;
                authority.push(zone::authority());
            }
        }
        let edns = request.edns.as_ref().map(|asked| {
            let mut edns = Edns::new();
            edns.set_max_payload(asked.max_payload().clamp(512, UDP_PAYLOAD));
            edns
        });
        let response = MessageResponseBuilder::new(&request.queries, edns.as_ref()).build(
            metadata,
            &answers,
            &[],
            &authority,
            &[],
        );
        respond.send_response(response).await.ok()
    }

    fn reply(&self, request: &Request) -> Reply {
        if request.metadata.op_code != OpCode::Query {
            return Reply::Failed(ResponseCode::NotImp);
        }
        match request.request_info() {
            Ok(asked) => self.zone.reply(
                asked.query.original().name(),
                asked.query.query_type(),
                asked.protocol == Protocol::Udp,
            ),
            Err(_) => Reply::Failed(ResponseCode::FormErr),
        }
    }
}

/// What `#[async_trait]` would write, so that the crate is not needed for one function.
impl RequestHandler for Handler {
    fn handle_request<'handler, 'request, 'answer, R, T>(
        &'handler self,
        request: &'request Request,
        respond: R,
    ) -> Pin<Box<dyn Future<Output = ResponseInfo> + Send + 'answer>>
    where
        'handler: 'answer,
        'request: 'answer,
        R: ResponseHandler + 'answer,
        T: Time + 'answer,
        Self: 'answer,
    {
        Box::pin(async move {
            let id = request.metadata.id;
            self.answer(request, respond)
                .await
                .unwrap_or_else(|| unanswered(id))
        })
    }
}

/// The server wants a header even where nothing was sent.
fn unanswered(id: u16) -> ResponseInfo {
    let mut metadata = Metadata::new(id, MessageType::Response, OpCode::Query);
    metadata.response_code = ResponseCode::ServFail;
    ResponseInfo::from(Header {
        metadata,
        counts: HeaderCounts::default(),
    })
}
