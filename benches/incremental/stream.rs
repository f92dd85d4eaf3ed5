//! One sidecar's stream: what it does when its view changes, with as many clusters held as the mesh has nodes.

use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryResponse, DiscoveryResponse};
use outrigger::snapshot::{Kind, Snapshot};
use outrigger::translate::View;
use outrigger::xds::message::{DeltaRequest, SotwRequest};
use outrigger::xds::{DeltaStream, Limits, Response, SotwStream, Step};
use prost::Message;

use crate::mesh::{Change, Mesh, key};
use crate::meter::Meter;
use crate::translation::Translated;

/// When everything happens: nothing here waits.
const NOW: Duration = Duration::from_secs(1);
/// What Envoy asks for.
const KINDS: [Kind; 4] = [Kind::Cluster, Kind::Endpoint, Kind::Listener, Kind::Route];

/// One of the two variants, with what it has not acknowledged yet.
trait Client {
    const NAME: &str;
    fn open(snapshot: &Arc<Snapshot>) -> Self;
    fn observe(&mut self, snapshot: &Arc<Snapshot>);
    fn acknowledge(&mut self, snapshot: &Arc<Snapshot>);
}

pub(crate) fn run(mesh: Mesh, mut state: Translated, meter: &mut Meter) {
    for change in [Change::Endpoint, Change::Weight] {
        client::<Delta>(change, mesh, &mut state, meter);
        client::<Sotw>(change, mesh, &mut state, meter);
    }
}

fn client<C: Client>(change: Change, mesh: Mesh, state: &mut Translated, meter: &mut Meter) {
    let mut snapshot = view(state);
    let mut client = C::open(&snapshot);
    let names = change.names().map(|name| format!("{}: {name}", C::NAME));
    let clients = &mut client;
    meter.change(
        names.each_ref().map(String::as_str),
        &mut (state, clients),
        |(state, client), forth| {
            client.acknowledge(&snapshot);
            change.edit(mesh, &mut state.input, forth);
            state.translator.apply(state.input.clone());
            snapshot = view(state);
            Arc::clone(&snapshot)
        },
        |(_, client), snapshot| client.observe(&snapshot),
    );
}

fn view(state: &Translated) -> Arc<Snapshot> {
    match state.translator.view(&key(0)) {
        Some(View::Serving(snapshot)) => Arc::clone(snapshot),
        other => panic!("the sidecar is served, not {other:?}"),
    }
}

/// The names that Envoy asks for by name.
fn names(kind: Kind, snapshot: &Snapshot) -> Vec<String> {
    match kind {
        Kind::Endpoint | Kind::Route => {
            let resources = snapshot.resources(kind);
            resources
                .map(|resource| resource.name().to_string())
                .collect()
        }
        _ => Vec::new(),
    }
}

fn message(response: &Response) -> Vec<u8> {
    response.encode()
}

struct Delta {
    stream: DeltaStream,
    responses: Vec<Response>,
}

impl Client for Delta {
    const NAME: &str = "delta";

    fn open(snapshot: &Arc<Snapshot>) -> Self {
        let requests = KINDS.map(|kind| DeltaRequest {
            type_url: kind.type_url().to_owned(),
            resource_names_subscribe: names(kind, snapshot),
            ..DeltaRequest::default()
        });
        let mut client = Self {
            stream: DeltaStream::new(Limits::default()),
            responses: Vec::new(),
        };
        client.step(snapshot, requests.into());
        client.acknowledge(snapshot);
        client
    }

    fn observe(&mut self, snapshot: &Arc<Snapshot>) {
        self.step(snapshot, Vec::new());
        assert!(!self.responses.is_empty(), "the change is sent");
    }

    fn acknowledge(&mut self, snapshot: &Arc<Snapshot>) {
        let responses = std::mem::take(&mut self.responses);
        let acks = responses.iter().map(|response| {
            let message = message(response);
            let message = DeltaDiscoveryResponse::decode(&*message).expect("a response");
            DeltaRequest {
                type_url: message.type_url,
                response_nonce: message.nonce,
                ..DeltaRequest::default()
            }
        });
        self.step(snapshot, acks.collect());
    }
}

impl Delta {
    fn step(&mut self, snapshot: &Arc<Snapshot>, requests: Vec<DeltaRequest>) {
        let step = self.stream.step(NOW, snapshot, requests);
        let Step { responses, .. } = step.expect("a stream that goes on");
        self.responses.extend(responses);
    }
}

struct Sotw {
    stream: SotwStream,
    responses: Vec<Response>,
}

impl Client for Sotw {
    const NAME: &str = "state of the world";

    fn open(snapshot: &Arc<Snapshot>) -> Self {
        let requests = KINDS.map(|kind| SotwRequest {
            type_url: kind.type_url().to_owned(),
            resource_names: names(kind, snapshot),
            ..SotwRequest::default()
        });
        let mut client = Self {
            stream: SotwStream::new(Limits::default()),
            responses: Vec::new(),
        };
        client.step(snapshot, requests.into());
        client.acknowledge(snapshot);
        client
    }

    fn observe(&mut self, snapshot: &Arc<Snapshot>) {
        self.step(snapshot, Vec::new());
        assert!(!self.responses.is_empty(), "the change is sent");
    }

    fn acknowledge(&mut self, snapshot: &Arc<Snapshot>) {
        let responses = std::mem::take(&mut self.responses);
        let acks = responses.iter().map(|response| {
            let message = message(response);
            let message = DiscoveryResponse::decode(&*message).expect("a response");
            let kind = Kind::from_type_url(&message.type_url).expect("a type that was asked for");
            SotwRequest {
                type_url: message.type_url,
                version_info: message.version_info,
                resource_names: names(kind, snapshot),
                response_nonce: message.nonce,
                ..SotwRequest::default()
            }
        });
        self.step(snapshot, acks.collect());
    }
}

impl Sotw {
    fn step(&mut self, snapshot: &Arc<Snapshot>, requests: Vec<SotwRequest>) {
        let step = self.stream.step(NOW, snapshot, requests);
        let Step { responses, .. } = step.expect("a stream that goes on");
        self.responses.extend(responses);
    }
}
