//! The names a DNS server answers for: a handle that is shared and changed while the server runs.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use hickory_server::proto::op::ResponseCode;
use hickory_server::proto::rr::rdata::{CNAME, SOA, SRV};
use hickory_server::proto::rr::{Name, RData, Record, RecordType};

/// How long a denial may be kept, in seconds.
const NEGATIVE_TTL: u32 = 1;
/// Aliases followed within one answer.
const ALIAS_DEPTH: usize = 8;

/// The names of a [`DnsServer`](super::DnsServer). Clones share the same names.
#[derive(Clone, Debug, Default)]
pub struct Zone {
    names: Arc<RwLock<BTreeMap<String, Node>>>,
}

/// One SRV record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    pub priority: u16,
    pub weight: u16,
    pub port: u16,
    pub target: String,
}

/// How a name misbehaves, for tests and for showing an outage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Every question is answered with SERVFAIL.
    ServFail,
    /// No question is ever answered.
    Timeout,
    /// Over UDP the answer is empty and marked as truncated; over TCP it is whole.
    Truncate,
}

#[derive(Debug, Default)]
struct Node {
    ttl: u32,
    records: Vec<RData>,
    failure: Option<Failure>,
    questions: u64,
}

impl Zone {
    /// Replaces the records of a name by addresses.
    pub fn set(&self, name: &str, ttl: Duration, addresses: Vec<IpAddr>) {
        self.put(name, ttl, addresses.into_iter().map(RData::from).collect());
    }

    /// Replaces the records of a name by services. A target that is no domain name is left out.
    pub fn set_services(&self, name: &str, ttl: Duration, services: &[Service]) {
        let records = services.iter().filter_map(|service| {
            let target = absolute(&service.target)?;
            let service = SRV::new(service.priority, service.weight, service.port, target);
            Some(RData::SRV(service))
        });
        self.put(name, ttl, records.collect());
    }

    /// Makes a name an alias (CNAME) of another.
    pub fn set_alias(&self, name: &str, ttl: Duration, target: &str) {
        let records = absolute(target).map(|target| RData::CNAME(CNAME(target)));
        self.put(name, ttl, records.into_iter().collect());
    }

    /// Forgets a name, its failure included.
    pub fn remove(&self, name: &str) {
        self.write().remove(&key(name));
    }

    /// Makes a name misbehave, or with `None` behave again; its records stay.
    pub fn fail(&self, name: &str, failure: Option<Failure>) {
        self.write().entry(key(name)).or_default().failure = failure;
    }

    /// How many questions came for a name since it was added.
    pub fn questions(&self, name: &str) -> u64 {
        self.read().get(&key(name)).map_or(0, |node| node.questions)
    }

    pub(super) fn reply(&self, name: &Name, kind: RecordType, udp: bool) -> Reply {
        let asked = key(&name.to_ascii());
        if let Some(node) = self.write().get_mut(&asked) {
            node.questions += 1;
        }
        let names = self.read();
        let Some(node) = names.get(&asked) else {
            // A name above an existing one exists, without records (RFC 8020).
            let below = format!(".{asked}");
            return if names.keys().any(|name| name.ends_with(&below)) {
                Reply::NoRecords(Vec::new())
            } else {
                Reply::NoName
            };
        };
        match node.failure {
            Some(Failure::ServFail) => return Reply::Failed(ResponseCode::ServFail),
            Some(Failure::Timeout) => return Reply::Silence,
            Some(Failure::Truncate) if udp => return Reply::Truncated,
            Some(Failure::Truncate) | None => {}
        }
        follow(&names, name, kind)
    }

    fn put(&self, name: &str, ttl: Duration, records: Vec<RData>) {
        let mut names = self.write();
        let node = names.entry(key(name)).or_default();
        node.ttl = u32::try_from(ttl.as_secs()).unwrap_or(u32::MAX);
        node.records = records;
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<String, Node>> {
        self.names.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<String, Node>> {
        self.names.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is to be said about a question.
pub(super) enum Reply {
    Records(Vec<Record>),
    /// The name exists, but not with the records asked for; aliases that led there come along.
    NoRecords(Vec<Record>),
    NoName,
    Failed(ResponseCode),
    Truncated,
    Silence,
}

/// The SOA record that says for how long a denial holds. The zone has no origin of its own: it is the root's.
pub(super) fn authority() -> Record {
    let soa = SOA::new(
        Name::root(),
        Name::root(),
        1,
        3600,
        600,
        86_400,
        NEGATIVE_TTL,
    );
    Record::from_rdata(Name::root(), NEGATIVE_TTL, RData::SOA(soa))
}

/// The records of a name, and of the names that it is an alias of.
fn follow(names: &BTreeMap<String, Node>, name: &Name, kind: RecordType) -> Reply {
    let mut found = Vec::new();
    let mut name = name.clone();
    for _ in 0..ALIAS_DEPTH {
        let Some(node) = names.get(&key(&name.to_ascii())) else {
            break;
        };
        let records = |kind: RecordType| {
            let matching = node.records.iter();
            matching.filter(move |data| kind == RecordType::ANY || data.record_type() == kind)
        };
        let record = |data: &RData| Record::from_rdata(name.clone(), node.ttl, data.clone());
        let before = found.len();
        found.extend(records(kind).map(record));
        if found.len() > before {
            return Reply::Records(found);
        }
        let Some(RData::CNAME(CNAME(target))) = records(RecordType::CNAME).next() else {
            break;
        };
        found.extend(records(RecordType::CNAME).map(record));
        name = target.clone();
    }
    Reply::NoRecords(found)
}

fn absolute(name: &str) -> Option<Name> {
    let mut name = Name::from_ascii(name).ok()?;
    name.set_fqdn(true);
    Some(name)
}

fn key(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}
