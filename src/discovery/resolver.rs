//! Asks the name servers. The only file of discovery that knows the DNS library.
//!
//! Names are absolute: no search domain is appended, no hosts file read, and nothing is cached here, so that an answer
//! is as old as it says. A truncated UDP answer is asked for again over TCP by the library.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError, NoRecords};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::answer::{Answer, HostAnswer, Service, SourceAnswer};
use super::host::prefers_v6;
use super::metrics::{Ending, Metrics};
use super::source::is_service;
use crate::model::endpoint::EndpointSource;
use crate::model::spec::IpPreference;

/// Questions that wait for an answer at the same time; each has a socket of its own.
const QUESTIONS: usize = 64;
/// Hosts that one SRV answer may name; the rest is ignored, so that one name cannot occupy the resolver.
const SERVICE_HOSTS: usize = 256;

/// The name servers, in order.
#[derive(Debug)]
pub(super) struct Resolver {
    /// One for each server. The library's own fail-over is not used: with several servers it stops at the first one's
    /// SERVFAIL, and a silent server uses up the time of all.
    servers: Vec<TokioResolver>,
    /// The server that is asked first: the one that answered when the one before did not.
    first: AtomicUsize,
    permits: Semaphore,
    /// For each question and server.
    time_limit: Duration,
    metrics: Metrics,
}

/// Why a server gave no answer.
enum Problem {
    /// Nothing came back.
    Silent,
    /// The server could not be reached.
    Unreachable(NetError),
    /// The server answered that it cannot say.
    Refused(Arc<str>),
}

impl Resolver {
    pub(super) fn new(
        mut servers: Vec<SocketAddr>,
        time_limit: Duration,
        metrics: Metrics,
    ) -> Result<Self, NetError> {
        if servers.is_empty() {
            servers = system_servers();
        }
        let servers = servers.into_iter().map(|server| client(server, time_limit));
        Ok(Self {
            servers: servers.collect::<Result<_, _>>()?,
            first: AtomicUsize::new(0),
            permits: Semaphore::new(QUESTIONS),
            time_limit,
            metrics,
        })
    }

    /// Finds all that there is to know of a source. Dropping the future ends its questions.
    pub(super) async fn look_up(self: Arc<Self>, source: EndpointSource) -> SourceAnswer {
        let EndpointSource::Dns {
            hostname,
            preference,
        } = source;
        if is_service(&hostname) {
            self.services(&hostname, preference).await
        } else {
            let answer = self.host(&hostname, preference).await;
            SourceAnswer {
                services: None,
                hosts: vec![(hostname, answer)],
            }
        }
    }

    async fn services(
        self: Arc<Self>,
        hostname: &str,
        preference: Option<IpPreference>,
    ) -> SourceAnswer {
        let services = match absolute(hostname) {
            Some(name) => self.ask(&name, RecordType::SRV, preferred_services).await,
            None => no_such_name(),
        };
        let mut targets = BTreeSet::new();
        if let Answer::Found { records, .. } = &services {
            targets.extend(records.iter().map(|service| Arc::clone(&service.target)));
        }
        let mut asking = JoinSet::new();
        for target in targets.into_iter().take(SERVICE_HOSTS) {
            let resolver = Arc::clone(&self);
            asking.spawn(async move {
                let answer = resolver.host(&target, preference).await;
                (target, answer)
            });
        }
        let mut hosts = Vec::with_capacity(asking.len());
        while let Some(host) = asking.join_next().await {
            hosts.extend(host.ok());
        }
        SourceAnswer {
            services: Some(services),
            hosts,
        }
    }

    /// Both families are asked at once; when the preferred one answers, the other is not waited for.
    async fn host(&self, hostname: &str, preference: Option<IpPreference>) -> HostAnswer {
        let Some(name) = absolute(hostname) else {
            let (v4, v6) = (no_such_name(), no_such_name());
            return HostAnswer { v4, v6 };
        };
        let v4 = self.ask(&name, RecordType::A, addresses);
        let v6 = self.ask(&name, RecordType::AAAA, addresses);
        let (v4, v6) = match preference {
            Some(IpPreference::Ipv4Only) => (v4.await, Answer::NotAsked),
            Some(IpPreference::Ipv6Only) => (Answer::NotAsked, v6.await),
            _ if prefers_v6(preference) => {
                let (v6, v4) = race(v6, v4).await;
                (v4, v6)
            }
            _ => race(v4, v6).await,
        };
        HostAnswer { v4, v6 }
    }

    /// Asks one server after the other until one knows, each for the time limit.
    async fn ask<T>(
        &self,
        name: &Name,
        kind: RecordType,
        records: impl Fn(&Lookup) -> Vec<T>,
    ) -> Answer<T> {
        // The semaphore is never closed; without a permit the question would only be unbounded, not wrong.
        let _permit = self.permits.acquire().await.ok();
        let _flight = self.metrics.flight();
        let first = self.first.load(Ordering::Relaxed);
        let mut problem = None;
        for step in 0..self.servers.len() {
            let position = (first + step) % self.servers.len();
            let Some(server) = self.servers.get(position) else {
                break;
            };
            match self.ask_server(server, name, kind, &records).await {
                Ok((answer, ending)) => {
                    if matches!(problem, Some(Problem::Silent | Problem::Unreachable(_))) {
                        self.first.store(position, Ordering::Relaxed);
                    }
                    self.metrics.ended(ending);
                    return answer;
                }
                Err(new) => problem = Some(new),
            }
        }
        self.failed(problem)
    }

    async fn ask_server<T>(
        &self,
        server: &TokioResolver,
        name: &Name,
        kind: RecordType,
        records: impl Fn(&Lookup) -> Vec<T>,
    ) -> Result<(Answer<T>, Ending), Problem> {
        // Boxed: the library's future is several kilobytes, in every task that waits for a permit.
        let lookup = Box::pin(server.lookup(name.clone(), kind));
        let Ok(result) = timeout(self.time_limit, lookup).await else {
            return Err(Problem::Silent);
        };
        match result {
            Ok(lookup) => {
                let ttl = lookup.answers().iter().map(|record| record.ttl).min();
                let ttl = Duration::from_secs(ttl.unwrap_or_default().into());
                let records = records(&lookup);
                if records.is_empty() {
                    Ok((Answer::NoRecords { ttl }, Ending::NoRecords))
                } else {
                    Ok((Answer::Found { records, ttl }, Ending::Answer))
                }
            }
            Err(NetError::Dns(DnsError::NoRecordsFound(denial))) => denied(&denial),
            Err(NetError::Dns(error)) => Err(Problem::Refused(error.to_string().into())),
            Err(NetError::Timeout) => Err(Problem::Silent),
            Err(error) => Err(Problem::Unreachable(error)),
        }
    }

    fn failed<T>(&self, problem: Option<Problem>) -> Answer<T> {
        let (ending, text) = match problem {
            Some(Problem::Silent) => (Ending::Timeout, "no answer in time".into()),
            Some(Problem::Unreachable(error)) => (Ending::Error, error.to_string().into()),
            Some(Problem::Refused(text)) => (Ending::Error, text),
            None => (Ending::Error, "there is no name server".into()),
        };
        self.metrics.ended(ending);
        Answer::Failed(text)
    }
}

/// Waits for both, unless the preferred one finds something.
async fn race<T>(
    preferred: impl Future<Output = Answer<T>>,
    other: impl Future<Output = Answer<T>>,
) -> (Answer<T>, Answer<T>) {
    tokio::pin!(preferred, other);
    tokio::select! {
        answer = &mut preferred => {
            let other = if answer.is_found() { Answer::NotAsked } else { other.await };
            (answer, other)
        }
        other = &mut other => (preferred.await, other),
    }
}

fn client(server: SocketAddr, time_limit: Duration) -> Result<TokioResolver, NetError> {
    let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
    for connection in &mut connections {
        connection.port = server.port();
    }
    // A server that denies is believed: what is not trusted is the denial's permanence, in `host`.
    let server = NameServerConfig::new(server.ip(), true, connections);
    let config = ResolverConfig::from_name_servers(vec![server]);
    let mut options = ResolverOpts::default();
    options.timeout = time_limit;
    options.attempts = 0; // UDP is still retransmitted within the time limit; what fails is retried by `source`.
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    options.case_randomization = false;
    options.num_concurrent_reqs = 1;
    options.max_active_requests = QUESTIONS;
    let provider = TokioRuntimeProvider::default();
    TokioResolver::builder_with_config(config, provider)
        .with_options(options)
        .build()
}

/// The servers of `/etc/resolv.conf`; without any, the local machine's, as resolv.conf(5) says.
fn system_servers() -> Vec<SocketAddr> {
    let servers: Vec<SocketAddr> = match hickory_resolver::system_conf::read_system_conf() {
        Ok((config, _)) => {
            let ports = |server: &NameServerConfig| {
                let port = server.connections.first().map_or(53, |one| one.port);
                SocketAddr::new(server.ip, port)
            };
            config.name_servers().iter().map(ports).collect()
        }
        Err(error) => {
            tracing::warn!(%error, "the system names no DNS servers; asking 127.0.0.1:53");
            Vec::new()
        }
    };
    if servers.is_empty() {
        vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 53))]
    } else {
        servers
    }
}

fn denied<T>(denial: &NoRecords) -> Result<(Answer<T>, Ending), Problem> {
    let ttl = denial.negative_ttl;
    let ttl = ttl.map_or(Duration::MAX, |ttl| Duration::from_secs(ttl.into()));
    if denial.response_code == ResponseCode::NXDomain {
        Ok((Answer::NoName { ttl }, Ending::NoName))
    } else if denial.ns.is_some() && denial.soa.is_none() {
        let text = "the server refers to others instead of asking them (it does not recurse)";
        Err(Problem::Refused(text.into()))
    } else {
        Ok((Answer::NoRecords { ttl }, Ending::NoRecords))
    }
}

/// The answer for a text that is no domain name and so can never be one.
fn no_such_name<T>() -> Answer<T> {
    Answer::NoName { ttl: Duration::MAX }
}

fn absolute(hostname: &str) -> Option<Name> {
    let mut name = Name::from_str_relaxed(hostname).ok()?;
    name.set_fqdn(true);
    Some(name)
}

fn addresses(lookup: &Lookup) -> Vec<IpAddr> {
    let records = lookup.answers().iter();
    let address = |data: &RData| match data {
        RData::A(address) => Some(IpAddr::V4(address.0)),
        RData::AAAA(address) => Some(IpAddr::V6(address.0)),
        _ => None,
    };
    records.filter_map(|record| address(&record.data)).collect()
}

/// The services of the lowest priority. A target of `.` says that the service is not offered (RFC 2782).
fn preferred_services(lookup: &Lookup) -> Vec<Service> {
    let records = lookup.answers().iter();
    let services: Vec<&SRV> = records
        .filter_map(|record| match &record.data {
            RData::SRV(service) if !service.target.is_root() => Some(service),
            _ => None,
        })
        .collect();
    let lowest = services.iter().map(|service| service.priority).min();
    let preferred = services
        .into_iter()
        .filter(|service| Some(service.priority) == lowest);
    preferred
        .map(|service| Service {
            target: host_name(&service.target),
            port: service.port,
            weight: service.weight,
        })
        .collect()
}

fn host_name(name: &Name) -> Arc<str> {
    let name = name.to_ascii().to_ascii_lowercase();
    name.trim_end_matches('.').into()
}
