//! What the tests of both variants share: snapshots written as text, and a client that prints what it is sent.
//!
//! A snapshot reads `cds a=1 b=2; eds a=1 b=?`: resources with their content, `?` for one that is withheld, and `!` for one that
//! is overdue. What a
//! client is sent reads the same, a response a part, `-a` for a name that is removed: `cds a=1; eds a=1 -b`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryResponse, DiscoveryResponse};
use envoy_types::pb::google::protobuf::Any;
use prost::Message;

use super::message::{DeltaRequest, ErrorDetail, SotwRequest};
use super::{DeltaStream, Event, Limits, Response, SotwStream, Step, StreamError};
use crate::snapshot::{Kind, PerKind, Resource, Snapshot, Withheld};

/// Stands in for a resource of any kind: all of Envoy's have their name in field 1.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Labelled {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "1000")]
    pub(super) label: String,
}

pub(super) fn resource(kind: Kind, name: &str, label: &str) -> Arc<Resource> {
    let message = Labelled {
        name: name.to_owned(),
        label: label.to_owned(),
    };
    Arc::new(Resource::new(kind, name.into(), &message, None))
}

/// What a resource is told by.
pub(super) fn label(resource: &Resource) -> String {
    Labelled::decode(resource.body()).unwrap().label
}

pub(super) fn kind(text: &str) -> Kind {
    let mut kinds = Kind::ALL.into_iter();
    kinds
        .find(|kind| kind.as_str() == text)
        .unwrap_or_else(|| panic!("no kind `{text}`"))
}

pub(super) fn snapshot(text: &str) -> Snapshot {
    let mut snapshot = Snapshot::default();
    for part in text.split(';').filter(|part| !part.trim().is_empty()) {
        let (of, entries) = part.trim().split_once(' ').unwrap_or((part.trim(), ""));
        for entry in entries.split_whitespace() {
            match entry.split_once('=').unwrap() {
                (name, "?") => snapshot.withhold(kind(of), name.into(), Withheld::Awaited),
                (name, "!") => snapshot.withhold(kind(of), name.into(), Withheld::Overdue),
                (name, label) => snapshot.insert(resource(kind(of), name, label)),
            }
        }
    }
    snapshot
}

/// What the client reads in a response.
#[derive(Clone, Debug, Default)]
pub(super) struct Received {
    pub(super) type_url: String,
    pub(super) version: String,
    pub(super) nonce: String,
    /// Name, content and, in delta, version.
    pub(super) resources: Vec<(String, String, String)>,
    pub(super) removed: Vec<String>,
}

impl Received {
    pub(super) fn kind(&self) -> Option<Kind> {
        Kind::from_type_url(&self.type_url)
    }

    fn print(&self) -> String {
        let mut text = self.kind().map_or("unknown", Kind::as_str).to_owned();
        for (name, label, _) in &self.resources {
            text.extend([" ", name, "=", label]);
        }
        for name in &self.removed {
            text.extend([" -", name]);
        }
        text
    }
}

/// One of the two variants.
pub(super) trait Variant {
    type Request;
    fn new(limits: Limits) -> Self;
    fn step(
        &mut self,
        now: Duration,
        snapshot: &Arc<Snapshot>,
        requests: Vec<Self::Request>,
    ) -> Result<Step, StreamError>;
    fn decode(message: &[u8]) -> Received;
}

fn decode_any(type_url: &str, any: &Any) -> (String, String) {
    assert_eq!(any.type_url, type_url, "§5.5: all of the response's type");
    let Labelled { name, label } = Labelled::decode(&*any.value).unwrap();
    (name, label)
}

impl Variant for SotwStream {
    type Request = SotwRequest;

    fn new(limits: Limits) -> Self {
        Self::new(limits)
    }

    fn step(
        &mut self,
        now: Duration,
        snapshot: &Arc<Snapshot>,
        requests: Vec<SotwRequest>,
    ) -> Result<Step, StreamError> {
        let step = self.step(now, snapshot, requests);
        // Checks its own counts.
        drop(self.status());
        step
    }

    fn decode(message: &[u8]) -> Received {
        let response = DiscoveryResponse::decode(message).unwrap();
        assert_eq!(
            response.control_plane.unwrap().identifier,
            "outrigger",
            "§1.6"
        );
        let entry = |any: &Any| {
            let (name, label) = decode_any(&response.type_url, any);
            (name, label, String::new())
        };
        Received {
            resources: response.resources.iter().map(entry).collect(),
            type_url: response.type_url,
            version: response.version_info,
            nonce: response.nonce,
            removed: Vec::new(),
        }
    }
}

impl Variant for DeltaStream {
    type Request = DeltaRequest;

    fn new(limits: Limits) -> Self {
        Self::new(limits)
    }

    fn step(
        &mut self,
        now: Duration,
        snapshot: &Arc<Snapshot>,
        requests: Vec<DeltaRequest>,
    ) -> Result<Step, StreamError> {
        let step = self.step(now, snapshot, requests);
        // Checks its own counts.
        drop(self.status());
        step
    }

    fn decode(message: &[u8]) -> Received {
        let response = DeltaDiscoveryResponse::decode(message).unwrap();
        assert_eq!(
            response.control_plane.unwrap().identifier,
            "outrigger",
            "§1.6"
        );
        let mut resources = Vec::new();
        for entry in &response.resources {
            let (name, label) = decode_any(&response.type_url, entry.resource.as_ref().unwrap());
            assert_eq!(name, entry.name);
            resources.push((name, label, entry.version.clone()));
        }
        Received {
            resources,
            type_url: response.type_url,
            version: response.system_version_info,
            nonce: response.nonce,
            removed: response.removed_resources,
        }
    }
}

/// A client at the other end of a stream, with a clock of its own.
pub(super) struct Client<V> {
    pub(super) stream: V,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) now: Duration,
    pub(super) wake_at: Option<Duration>,
    /// Everything received on the stream.
    pub(super) received: Vec<Received>,
    pub(super) events: Vec<Event>,
    /// What the newest response of each type says it is.
    pub(super) newest: PerKind<Received>,
    pub(super) names: PerKind<Vec<String>>,
    /// The version that was accepted last, which a NACK names.
    accepted: PerKind<String>,
    nonces: BTreeSet<String>,
}

impl<V: Variant> Client<V> {
    pub(super) fn new(text: &str) -> Self {
        Self::with(Limits::default(), text)
    }

    pub(super) fn with(limits: Limits, text: &str) -> Self {
        Self {
            stream: V::new(limits),
            snapshot: Arc::new(snapshot(text)),
            now: Duration::ZERO,
            wake_at: None,
            received: Vec::new(),
            events: Vec::new(),
            newest: PerKind::default(),
            names: PerKind::default(),
            accepted: PerKind::default(),
            nonces: BTreeSet::new(),
        }
    }

    /// Publishes a snapshot and prints what is sent.
    pub(super) fn publish(&mut self, text: &str) -> String {
        self.snapshot = Arc::new(snapshot(text));
        self.send(Vec::new())
    }

    pub(super) fn send(&mut self, requests: Vec<V::Request>) -> String {
        let received = self.step(requests);
        let printed: Vec<_> = received.iter().map(Received::print).collect();
        printed.join("; ")
    }

    pub(super) fn step(&mut self, requests: Vec<V::Request>) -> Vec<Received> {
        let step = self
            .stream
            .step(self.now, &self.snapshot, requests)
            .unwrap();
        assert!(
            step.wake_at.is_none_or(|at| at > self.now),
            "a wake-up in the past never ends"
        );
        self.wake_at = step.wake_at;
        self.events.extend(step.events);
        let received: Vec<_> = step
            .responses
            .iter()
            .map(|response| self.receive(response))
            .collect();
        self.received.extend(received.iter().cloned());
        received
    }

    fn receive(&mut self, response: &Response) -> Received {
        let received = V::decode(&response.encode());
        assert!(
            self.nonces.insert(received.nonce.clone()),
            "§2.1: nonces are fresh"
        );
        assert_eq!(response.kind, received.kind());
        let added = received.resources.iter().map(|(name, _, _)| name);
        let mut names: Vec<_> = added.chain(&received.removed).collect();
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all, "§5.5: a name twice in {received:?}");
        if let Some(kind) = received.kind() {
            self.newest[kind] = received.clone();
        }
        received
    }

    /// Lets time pass, stepping whenever the stream asked to, and prints what is sent.
    pub(super) fn wait(&mut self, time: Duration) -> String {
        let until = self.now + time;
        let mut printed = Vec::new();
        while let Some(at) = self.wake_at.filter(|at| *at <= until) {
            self.now = at;
            printed.push(self.send(Vec::new()));
        }
        self.now = until;
        printed.push(self.send(Vec::new()));
        printed.retain(|text| !text.is_empty());
        printed.join("; ")
    }

    pub(super) fn seconds(&mut self, seconds: u64) -> String {
        self.wait(Duration::from_secs(seconds))
    }
}

pub(super) fn error(message: &str) -> ErrorDetail {
    ErrorDetail {
        code: 13,
        message: message.to_owned(),
    }
}

impl Client<SotwStream> {
    /// The request that a client sends about a type now.
    pub(super) fn request(&self, of: &str) -> SotwRequest {
        let kind = kind(of);
        SotwRequest {
            version_info: self.newest[kind].version.clone(),
            resource_names: self.names[kind].clone(),
            type_url: kind.type_url().to_owned(),
            response_nonce: self.newest[kind].nonce.clone(),
            ..SotwRequest::default()
        }
    }

    /// Asks for these names and no others. `""` is the empty list, `''` an empty name.
    pub(super) fn ask(&mut self, of: &str, names: &str) -> String {
        let name = |name: &str| {
            if name == "''" {
                String::new()
            } else {
                name.to_owned()
            }
        };
        self.names[kind(of)] = names.split_whitespace().map(name).collect();
        self.send(vec![self.request(of)])
    }

    pub(super) fn ack(&mut self, of: &str) -> String {
        self.accepted[kind(of)].clone_from(&self.newest[kind(of)].version);
        self.send(vec![self.request(of)])
    }

    pub(super) fn nack(&mut self, of: &str, message: &str) -> String {
        let request = SotwRequest {
            version_info: self.accepted[kind(of)].clone(),
            error_detail: Some(error(message)),
            ..self.request(of)
        };
        self.send(vec![request])
    }
}

impl Client<DeltaStream> {
    /// A request that adds `+name` and drops `-name`, with the names of `versions` as initial versions: `a=1`, `b=?`.
    pub(super) fn request(of: &str, names: &str) -> DeltaRequest {
        let kind = kind(of);
        let with = |sign: char| {
            let names = names
                .split_whitespace()
                .filter_map(|name| name.strip_prefix(sign));
            names.map(str::to_owned).collect()
        };
        let held = names
            .split_whitespace()
            .filter_map(|name| name.split_once('='));
        let held = held.map(|(name, label)| {
            let version = resource(kind, name, label).version().to_string();
            (name.to_owned(), version)
        });
        DeltaRequest {
            type_url: kind.type_url().to_owned(),
            resource_names_subscribe: with('+'),
            resource_names_unsubscribe: with('-'),
            initial_resource_versions: held.collect(),
            ..DeltaRequest::default()
        }
    }

    pub(super) fn ask(&mut self, of: &str, names: &str) -> String {
        self.send(vec![Self::request(of, names)])
    }

    pub(super) fn ack(&mut self, of: &str) -> String {
        let request = DeltaRequest {
            response_nonce: self.newest[kind(of)].nonce.clone(),
            ..Self::request(of, "")
        };
        self.send(vec![request])
    }

    pub(super) fn nack(&mut self, of: &str, message: &str) -> String {
        let request = DeltaRequest {
            response_nonce: self.newest[kind(of)].nonce.clone(),
            error_detail: Some(error(message)),
            ..Self::request(of, "")
        };
        self.send(vec![request])
    }
}
