//! A small xDS client that keeps to the protocol: it asks for clusters and listeners, then for what these name, and
//! acknowledges what it gets. What it holds outlives its streams, as with Envoy: it opens another whenever one ends, and
//! says there what it has.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use outrigger::snapshot::Kind;
use prost::Message;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Endpoint;
use tonic_prost::ProstCodec;

use crate::raw;
use crate::references::{name_of, references};

/// How long a client waits before it tries again.
const RETRY: Duration = Duration::from_millis(100);
/// In the order in which Envoy asks after it has lost a stream.
const KINDS: [Kind; 5] = [
    Kind::Cluster,
    Kind::Endpoint,
    Kind::Listener,
    Kind::Route,
    Kind::Extension,
];

/// What a client has of one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Resource {
    /// Empty in SotW.
    pub(crate) version: String,
    pub(crate) body: Bytes,
    /// What it makes the client ask for.
    pub(crate) references: Vec<(Kind, String)>,
}

impl Resource {
    pub(crate) fn new(kind: Kind, version: String, body: Bytes) -> Self {
        Self {
            references: references(kind, &body),
            version,
            body,
        }
    }
}

pub(crate) type Resources = BTreeMap<Kind, BTreeMap<String, Resource>>;

/// What a client holds, and has seen.
#[derive(Debug, Default)]
pub(crate) struct Held {
    pub(crate) resources: Resources,
    /// The newest version of each kind, for SotW.
    versions: BTreeMap<Kind, String>,
    pub(crate) streams: u64,
    /// Resources that came though the client had said that it has them.
    pub(crate) resent: Vec<String>,
}

/// A client with its streams, one at a time. Dropped, it closes its connection.
pub(crate) struct Client {
    held: Arc<Mutex<Held>>,
    task: JoinHandle<()>,
}

impl Client {
    pub(crate) fn start<V: Variant>(server: SocketAddr, node: Node) -> Self {
        let held = Arc::new(Mutex::new(Held::default()));
        let holding = Arc::clone(&held);
        let task = tokio::spawn(async move {
            loop {
                // How a stream ends says nothing that the client could act on: it comes back in any case.
                let ended = stream::<V>(server, &node, &holding).await;
                drop(ended);
                tokio::time::sleep(RETRY).await;
            }
        });
        Self { held, task }
    }

    pub(crate) fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One of the two variants of the protocol.
pub(crate) trait Variant: Send + Sync + 'static {
    type Request: Message + Send + Sync + 'static;
    type Response: Message + Default + Send + Sync + 'static;
    const PATH: &'static str;
    /// Whether a response about clusters or listeners holds all of them.
    const WHOLE: bool;

    fn request(ask: Ask<'_>) -> Self::Request;
    fn read(response: Self::Response) -> Said;
}

/// What is to be asked, in terms of both variants.
pub(crate) struct Ask<'a> {
    node: Option<Node>,
    kind: Kind,
    names: &'a BTreeSet<String>,
    added: Vec<String>,
    dropped: Vec<String>,
    version: String,
    /// Of the response that this answers.
    verdict: Option<&'a str>,
    /// Of the newest response, whether this answers it or not.
    newest: &'a str,
    has: HashMap<String, String>,
}

/// What was said, in terms of both variants.
pub(crate) struct Said {
    kind: Kind,
    nonce: String,
    version: String,
    resources: Vec<(String, Resource)>,
    removed: Vec<String>,
}

pub(crate) struct Sotw;
pub(crate) struct Delta;

impl Variant for Sotw {
    type Request = DiscoveryRequest;
    type Response = DiscoveryResponse;
    const PATH: &'static str = raw::SOTW;
    const WHOLE: bool = true;

    fn request(ask: Ask<'_>) -> DiscoveryRequest {
        DiscoveryRequest {
            node: ask.node,
            type_url: ask.kind.type_url().to_owned(),
            resource_names: ask.names.iter().cloned().collect(),
            version_info: ask.version,
            response_nonce: ask.newest.to_owned(),
            ..DiscoveryRequest::default()
        }
    }

    fn read(response: DiscoveryResponse) -> Said {
        let kind = Kind::from_type_url(&response.type_url).unwrap();
        let resources = response.resources.into_iter().map(|any| {
            let body = Bytes::from(any.value);
            let name = name_of(kind, &body);
            (name, Resource::new(kind, String::new(), body))
        });
        Said {
            kind,
            resources: resources.collect(),
            nonce: response.nonce,
            version: response.version_info,
            removed: Vec::new(),
        }
    }
}

impl Variant for Delta {
    type Request = DeltaDiscoveryRequest;
    type Response = DeltaDiscoveryResponse;
    const PATH: &'static str = raw::DELTA;
    const WHOLE: bool = false;

    fn request(ask: Ask<'_>) -> DeltaDiscoveryRequest {
        DeltaDiscoveryRequest {
            node: ask.node,
            type_url: ask.kind.type_url().to_owned(),
            resource_names_subscribe: ask.added,
            resource_names_unsubscribe: ask.dropped,
            initial_resource_versions: ask.has,
            response_nonce: ask.verdict.unwrap_or_default().to_owned(),
            ..DeltaDiscoveryRequest::default()
        }
    }

    fn read(response: DeltaDiscoveryResponse) -> Said {
        let kind = Kind::from_type_url(&response.type_url).unwrap();
        let resources = response.resources.into_iter().map(|resource| {
            let body = Bytes::from(resource.resource.unwrap().value);
            (resource.name, Resource::new(kind, resource.version, body))
        });
        Said {
            kind,
            resources: resources.collect(),
            nonce: response.nonce,
            version: String::new(),
            removed: response.removed_resources,
        }
    }
}

/// One stream, from its first request to its end.
struct Session<'a, V: Variant> {
    node: Option<Node>,
    held: &'a Mutex<Held>,
    names: BTreeMap<Kind, BTreeSet<String>>,
    nonces: BTreeMap<Kind, String>,
    requests: mpsc::Sender<V::Request>,
}

async fn stream<V: Variant>(
    server: SocketAddr,
    node: &Node,
    held: &Mutex<Held>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let endpoint = Endpoint::from_shared(format!("http://{server}"))?;
    let mut grpc = tonic::client::Grpc::new(endpoint.connect().await?);
    grpc.ready().await?;
    // A batch of requests never waits for a response to be read.
    let (requests, outgoing) = mpsc::channel(64);
    let mut session = Session::<V> {
        node: Some(node.clone()),
        held,
        names: BTreeMap::new(),
        nonces: BTreeMap::new(),
        requests,
    };
    session.begin().await;
    let request = tonic::Request::new(ReceiverStream::new(outgoing));
    let codec = ProstCodec::<V::Request, V::Response>::default();
    let path = PathAndQuery::from_static(V::PATH);
    let mut responses = grpc.streaming(request, path, codec).await?.into_inner();
    held.lock().unwrap().streams += 1;
    while let Some(response) = responses.message().await? {
        session.take(V::read(response)).await;
    }
    Ok(())
}

impl<V: Variant> Session<'_, V> {
    /// Asks for all at once, and says what is there from earlier streams.
    async fn begin(&mut self) {
        for kind in KINDS {
            let named = self.named(kind);
            if kind.is_wildcard() || !named.is_empty() {
                self.names.insert(kind, named.clone());
                let has = {
                    let held = self.held.lock().unwrap();
                    let has = held.resources.get(&kind).into_iter().flatten();
                    has.map(|(name, resource)| (name.clone(), resource.version.clone()))
                        .collect()
                };
                self.ask(kind, named.into_iter().collect(), Vec::new(), None, has)
                    .await;
            }
        }
    }

    /// The names of a kind that held resources of others have.
    fn named(&self, kind: Kind) -> BTreeSet<String> {
        let held = self.held.lock().unwrap();
        let parents = held.resources.values().flat_map(BTreeMap::values);
        let named = parents.flat_map(|parent| &parent.references);
        named
            .filter(|(named, _)| *named == kind)
            .map(|(_, name)| name.clone())
            .collect()
    }

    async fn ask(
        &mut self,
        kind: Kind,
        added: Vec<String>,
        dropped: Vec<String>,
        verdict: Option<&str>,
        has: HashMap<String, String>,
    ) {
        let version = self.held.lock().unwrap().versions.get(&kind).cloned();
        let empty = BTreeSet::new();
        let ask = Ask {
            node: self.node.take(),
            kind,
            names: self.names.get(&kind).unwrap_or(&empty),
            added,
            dropped,
            version: version.unwrap_or_default(),
            verdict,
            newest: self.nonces.get(&kind).map_or("", String::as_str),
            has,
        };
        // A stream that has ended takes none; that shows when it is read.
        self.requests.send(V::request(ask)).await.ok();
    }

    async fn take(&mut self, said: Said) {
        let kind = said.kind;
        self.nonces.insert(kind, said.nonce.clone());
        self.hold(&said);
        self.ask(
            kind,
            Vec::new(),
            Vec::new(),
            Some(&said.nonce),
            HashMap::new(),
        )
        .await;
        let children: &[Kind] = match kind {
            Kind::Cluster => &[Kind::Endpoint],
            Kind::Listener => &[Kind::Route, Kind::Extension],
            _ => &[],
        };
        for child in children {
            let named = self.named(*child);
            let before = self.names.insert(*child, named.clone()).unwrap_or_default();
            let added: Vec<String> = named.difference(&before).cloned().collect();
            let dropped: Vec<String> = before.difference(&named).cloned().collect();
            {
                let mut held = self.held.lock().unwrap();
                let held = held.resources.entry(*child).or_default();
                held.retain(|name, _| named.contains(name));
            }
            if !added.is_empty() || !dropped.is_empty() {
                self.ask(*child, added, dropped, None, HashMap::new()).await;
            }
        }
    }

    fn hold(&self, said: &Said) {
        let mut guard = self.held.lock().unwrap();
        let held = &mut *guard;
        held.versions.insert(said.kind, said.version.clone());
        let resources = held.resources.entry(said.kind).or_default();
        if V::WHOLE && said.kind.is_wildcard() {
            resources.clear();
        }
        for name in &said.removed {
            resources.remove(name);
        }
        // As Envoy does, it passes over what it no longer asks for.
        let is_asked = |name: &String| {
            let names = self.names.get(&said.kind);
            said.kind.is_wildcard() || names.is_some_and(|names| names.contains(name))
        };
        for (name, resource) in said.resources.iter().filter(|(name, _)| is_asked(name)) {
            let before = resources.insert(name.clone(), resource.clone());
            if before.as_ref() == Some(resource) && !V::WHOLE {
                held.resent.push(format!("{} {name}", said.kind));
            }
        }
    }
}
