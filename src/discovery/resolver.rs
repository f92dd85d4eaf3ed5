//! Finds out what there is to know of a source: which questions to ask, and of which server.
//!
//! Names are absolute: no search domain is appended, no hosts file read, nothing is special about `.local`, and nothing is
//! cached here, so that an answer is as old as it says.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::net::NetError;
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::answer::{Answer, HostAnswer, Service, SourceAnswer};
use super::host::prefers_v6;
use super::metrics::{Ending, Metrics};
use super::response::{self, ALIASES, Reading};
use super::server::{Problem, Server, Servers};
use super::source::is_service;
use crate::model::endpoint::EndpointSource;
use crate::model::spec::IpPreference;

/// Questions that wait for an answer at the same time; each has a socket of its own.
pub(super) const QUESTIONS: usize = 64;

/// Asks the name servers.
#[derive(Debug)]
pub(super) struct Resolver {
    servers: Servers,
    permits: Semaphore,
    metrics: Metrics,
}

impl Resolver {
    /// `time_limit` is for each question and server.
    pub(super) fn new(
        servers: &[SocketAddr],
        time_limit: Duration,
        metrics: Metrics,
    ) -> Result<Self, NetError> {
        Ok(Self {
            servers: Servers::new(servers, time_limit)?,
            permits: Semaphore::new(QUESTIONS),
            metrics,
        })
    }

    /// Looks whether the system's list of servers changed.
    pub(super) fn follow_system(&self) {
        self.servers.follow_system();
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
        for target in targets {
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
        if is_localhost(hostname) {
            return loopback();
        }
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
        records: impl Fn(&[&Record]) -> Vec<T>,
    ) -> Answer<T> {
        // The semaphore is never closed; without a permit the question would only be unbounded, not wrong.
        let _permit = self.permits.acquire().await.ok();
        let _flight = self.metrics.flight();
        let (servers, order) = self.servers.in_order(Instant::now());
        let mut problem = None;
        for server in order.iter().filter_map(|position| servers.get(*position)) {
            // Boxed: the library's future is several kilobytes, in every task that waits for a permit.
            match Box::pin(ask_server(server, name, kind, &records)).await {
                Ok((answer, ending)) => {
                    self.metrics.ended(ending);
                    return answer;
                }
                Err(new) => problem = Some(new),
            }
        }
        self.failed(problem)
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

/// Asks one server, and again for what a name is an alias of.
async fn ask_server<T>(
    server: &Server,
    name: &Name,
    kind: RecordType,
    records: impl Fn(&[&Record]) -> Vec<T>,
) -> Result<(Answer<T>, Ending), Problem> {
    let mut name = name.clone();
    let (mut aliases, mut aliases_ttl) = (0, Duration::MAX);
    while aliases <= ALIASES {
        let message = server.ask(&name, kind).await?;
        match response::read(&message, &name, kind) {
            Reading::Found {
                records: found,
                ttl,
            } => {
                let (records, ttl) = (records(&found), ttl.min(aliases_ttl));
                return Ok(if records.is_empty() {
                    (Answer::NoRecords { ttl }, Ending::NoRecords)
                } else {
                    (Answer::Found { records, ttl }, Ending::Answer)
                });
            }
            Reading::Alias { target, ttl, steps } => {
                aliases += steps;
                (name, aliases_ttl) = (target, aliases_ttl.min(ttl));
            }
            Reading::NoName { ttl } => return Ok((Answer::NoName { ttl }, Ending::NoName)),
            Reading::NoRecords { ttl } => {
                return Ok((Answer::NoRecords { ttl }, Ending::NoRecords));
            }
            Reading::Useless(text) => return Err(Problem::Refused(text.into())),
        }
    }
    Err(Problem::Refused(response::too_many_aliases().into()))
}

fn is_localhost(hostname: &str) -> bool {
    hostname == "localhost" || hostname.ends_with(".localhost")
}

/// `localhost` is this machine, and never asked of others (RFC 6761).
fn loopback() -> HostAnswer {
    let found = |address: IpAddr| Answer::Found {
        records: vec![address],
        ttl: Duration::MAX,
    };
    HostAnswer {
        v4: found(Ipv4Addr::LOCALHOST.into()),
        v6: found(Ipv6Addr::LOCALHOST.into()),
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

fn addresses(records: &[&Record]) -> Vec<IpAddr> {
    let records = records.iter();
    let address = |data: &RData| match data {
        RData::A(address) => Some(IpAddr::V4(address.0)),
        RData::AAAA(address) => Some(IpAddr::V6(address.0)),
        _ => None,
    };
    records.filter_map(|record| address(&record.data)).collect()
}

/// The services of the lowest priority. A target of `.` says that the service is not offered (RFC 2782).
fn preferred_services(records: &[&Record]) -> Vec<Service> {
    let services: Vec<&SRV> = records
        .iter()
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
