//! The name servers: how each is asked, in which order, and where their list comes from.
//!
//! **Invariant:** the order is the operator's. A server that does not answer is left out for a while, and then tried by
//! one question alone, so that it costs nobody else its time-out; when it answers, it is the first again.

#[cfg(test)]
mod tests;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::xfer::{DnsHandle, FirstAnswer};
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::{DnsRequestOptions, Message, Query};
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::{NameServerPool, PoolContext, TlsConfig, system_conf};
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

/// How long a server that does not answer is left out, in time-outs.
const REST: u32 = 10;

/// One name server.
pub(super) struct Server {
    address: SocketAddr,
    /// The library's pool of one: with several servers, its fail-over stops at the first one's SERVFAIL, and a silent
    /// server uses up the time of all. It repeats lost UDP packets, and asks over TCP where an answer was cut short.
    client: NameServerPool<TokioRuntimeProvider>,
    time_limit: Duration,
    /// Set while it does not answer.
    rests_until: Mutex<Option<Instant>>,
}

/// Why a server gave no answer.
#[derive(Debug)]
pub(super) enum Problem {
    /// Nothing came back.
    Silent,
    /// The server could not be reached, or what came back is no DNS message.
    Unreachable(NetError),
    /// The server answered that it cannot say, or something useless.
    Refused(Arc<str>),
}

impl Server {
    fn new(address: SocketAddr, time_limit: Duration) -> Result<Self, NetError> {
        let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
        for connection in &mut connections {
            connection.port = address.port();
        }
        // A server that denies is believed: what is not trusted is the denial's permanence, in `host`.
        let config = NameServerConfig::new(address.ip(), true, connections);
        let mut options = ResolverOpts::default();
        options.timeout = time_limit;
        options.case_randomization = false;
        options.num_concurrent_reqs = 1;
        options.max_active_requests = super::resolver::QUESTIONS;
        let context = Arc::new(PoolContext::new(options, TlsConfig::new()?));
        let provider = TokioRuntimeProvider::default();
        Ok(Self {
            address,
            client: NameServerPool::from_config([config], context, provider),
            time_limit,
            rests_until: Mutex::new(None),
        })
    }

    /// Asks once. The answer is a message about this question, of whatever content. Dropping the future ends it.
    pub(super) async fn ask(&self, name: &Name, kind: RecordType) -> Result<Message, Problem> {
        let question = Query::query(name.clone(), kind);
        let mut options = DnsRequestOptions::default();
        options.use_edns = true;
        options.recursion_desired = true;
        let answer = self.client.lookup(question, options).first_answer();
        let answered = match timeout(self.time_limit, answer).await {
            Err(_) | Ok(Err(NetError::Timeout)) => Err(Problem::Silent),
            Ok(Ok(response)) => Ok(response.into_message()),
            Ok(Err(NetError::Dns(DnsError::NoRecordsFound(denial)))) => Ok(message_of(&denial)),
            Ok(Err(NetError::Dns(error))) => Err(Problem::Refused(error.to_string().into())),
            Ok(Err(error)) => Err(Problem::Unreachable(error)),
        };
        let rests = matches!(answered, Err(Problem::Silent | Problem::Unreachable(_)));
        *self.rest() = rests.then(|| self.rest_from(Instant::now()));
        answered
    }

    /// Whether it is left out. The first that hears that it no longer is tries it on behalf of all.
    fn rests(&self, now: Instant) -> bool {
        let mut rests_until = self.rest();
        match *rests_until {
            None => false,
            Some(until) if now < until => true,
            Some(_) => {
                *rests_until = Some(self.rest_from(now));
                false
            }
        }
    }

    fn rest(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.rests_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn rest_from(&self, now: Instant) -> Instant {
        now + self.time_limit * REST
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.address)
    }
}

/// The library tells denials as errors; here they are messages like all others.
fn message_of(denial: &hickory_resolver::net::NoRecords) -> Message {
    let mut message = Message::response(0, hickory_resolver::proto::op::OpCode::Query);
    message.metadata.response_code = denial.response_code;
    message.authorities.extend(
        denial
            .authorities
            .iter()
            .flat_map(|records| records.iter().cloned()),
    );
    message
}

/// All name servers.
#[derive(Debug)]
pub(super) struct Servers {
    list: RwLock<Arc<[Server]>>,
    /// Where the list comes from, if it is the system's.
    system: Option<Mutex<SystemFile>>,
    time_limit: Duration,
}

/// `/etc/resolv.conf`, and what it was when it was last read.
#[derive(Debug)]
struct SystemFile {
    path: PathBuf,
    seen: Option<Stamp>,
}

/// Changes when a file does: its place, size and time.
type Stamp = (u64, u64, i64, i64);

impl Servers {
    pub(super) fn new(addresses: &[SocketAddr], time_limit: Duration) -> Result<Self, NetError> {
        if addresses.is_empty() {
            return Self::of_system("/etc/resolv.conf".into(), time_limit);
        }
        Ok(Self {
            list: RwLock::new(servers(addresses, time_limit)?),
            system: None,
            time_limit,
        })
    }

    fn of_system(path: PathBuf, time_limit: Duration) -> Result<Self, NetError> {
        let mut file = SystemFile { path, seen: None };
        file.is_new();
        let addresses = file.addresses();
        Ok(Self {
            list: RwLock::new(servers(&addresses, time_limit)?),
            system: Some(Mutex::new(file)),
            time_limit,
        })
    }

    /// In the order in which to ask them now.
    pub(super) fn in_order(&self, now: Instant) -> (Arc<[Server]>, Vec<usize>) {
        let list = Arc::clone(&self.list.read().unwrap_or_else(PoisonError::into_inner));
        let (resting, mut order): (Vec<usize>, Vec<usize>) = (0..list.len())
            .partition(|position| list.get(*position).is_some_and(|one| one.rests(now)));
        order.extend(resting);
        (list, order)
    }

    /// Takes over a changed list of the system's.
    pub(super) fn follow_system(&self) {
        let Some(file) = &self.system else {
            return;
        };
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        if !file.is_new() {
            return;
        }
        let addresses = file.addresses();
        let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
        if list
            .iter()
            .map(|server| server.address)
            .eq(addresses.iter().copied())
        {
            return;
        }
        match servers(&addresses, self.time_limit) {
            Ok(new) => {
                info!(servers = ?new, "the system's DNS servers changed");
                *list = new;
            }
            Err(error) => warn!(%error, "the system's new DNS servers cannot be used"),
        }
    }
}

fn servers(addresses: &[SocketAddr], time_limit: Duration) -> Result<Arc<[Server]>, NetError> {
    let servers = addresses
        .iter()
        .map(|address| Server::new(*address, time_limit));
    servers.collect()
}

impl SystemFile {
    /// Whether it changed since this was last asked.
    fn is_new(&mut self) -> bool {
        let stamp = fs::metadata(&self.path)
            .ok()
            .map(|file| (file.ino(), file.size(), file.mtime(), file.mtime_nsec()));
        std::mem::replace(&mut self.seen, stamp) != stamp
    }

    /// The servers that it names; without any, the local machine's, as resolv.conf(5) says.
    fn addresses(&self) -> Vec<SocketAddr> {
        let config = fs::read(&self.path)
            .map_err(NetError::from)
            .and_then(system_conf::parse_resolv_conf);
        match config {
            Ok((config, _)) => {
                let servers = config.name_servers().iter();
                servers
                    .map(|server| SocketAddr::new(server.ip, 53))
                    .collect()
            }
            Err(error) => {
                let file = self.path.display();
                warn!(%error, "{file} names no DNS servers; asking 127.0.0.1:53");
                vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 53))]
            }
        }
    }
}
