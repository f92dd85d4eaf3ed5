//! A control plane as a process of its own, and a client of each variant that does all it should.
//!
//! What an attack costs shows in how soon these two have the next change, and in what the process says of itself.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};
use outrigger::snapshot::Kind;
use prost::Message;
use serde_json::json;
use tokio::time::Instant;

use super::{A, cluster, mesh, sidecar};
use crate::endpoints::client::Client as Orchestrator;
use crate::fleet::client::{Client, Delta, Sotw};
use crate::raw::{DELTA, framed};
use crate::world::{PATIENCE, World, eventually};

/// The endpoints that change.
const CHANGED: &str = "/outrigger/v1/meshes/m/virtualNodes/b1/endpoints";
/// What a busy machine may add to any change.
const HICCUP: Duration = Duration::from_millis(250);

pub(super) struct Neighbours {
    pub(super) world: World,
    orchestrator: Orchestrator,
    clients: [Client; 2],
    changed: u32,
}

/// How long changes took to reach both clients.
pub(super) struct Times(Vec<Duration>);

impl Neighbours {
    /// Serves a mesh with this many backends, which both clients have.
    pub(super) async fn start(backends: usize) -> Self {
        let mut world = World::new().await;
        // With one line for each stream and rejection, an attack would measure the disk.
        world.log = "error";
        // Addresses, of which nobody has to ask.
        let yaml = (1..=backends).fold(mesh(backends), |yaml, number| {
            yaml.replace(&format!("hostname: b{number}.local"), "hostname: 127.0.0.1")
        });
        world.serve(&yaml).await;
        let server = world.at(1, 18000);
        let clients = [
            Client::start::<Delta>(server, sidecar(A)),
            Client::start::<Sotw>(server, sidecar(A)),
        ];
        let mut neighbours = Self {
            orchestrator: Orchestrator::of(&world),
            world,
            clients,
            changed: 0,
        };
        neighbours.change().await;
        neighbours
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.world.at(1, 18000)
    }

    /// Makes so many changes, one after the other, and waits for each.
    pub(super) async fn changes(&mut self, count: usize) -> Times {
        let mut times = Vec::with_capacity(count);
        for _ in 0..count {
            times.push(self.change().await);
        }
        times.sort();
        Times(times)
    }

    /// Moves an endpoint; says how long it took until both clients had it.
    async fn change(&mut self) -> Duration {
        self.changed += 1;
        let [_, a, b, c] = self.changed.to_be_bytes();
        let address = format!("10.{a}.{b}.{c}");
        let began = Instant::now();
        let endpoints = json!({ "endpoints": [{ "address": address, "port": 8080 }] });
        let (status, answer) = self.orchestrator.put(CHANGED, &endpoints).await;
        assert_eq!(status, 200, "{answer}");
        // As protobuf has it, length first: no address is the beginning of another.
        let length = char::from(u8::try_from(address.len()).unwrap());
        let written = format!("{length}{address}");
        let name = cluster(1);
        let has = |client: &Client| {
            let held = client.held();
            let endpoints = held.resources.get(&Kind::Endpoint);
            endpoints
                .and_then(|endpoints| endpoints.get(&name))
                .is_some_and(|held| contains(&held.body, written.as_bytes()))
        };
        eventually("both neighbours have the change", PATIENCE, async || {
            self.clients.iter().all(has).then_some(())
        })
        .await;
        began.elapsed()
    }

    /// A gauge or counter of the process; both are whole numbers.
    pub(super) async fn gauge(&self, series: &str) -> u64 {
        self.world.metric(series).await
    }

    /// Responses of a type so far, to whomever.
    pub(super) async fn pushes(&self, kind: &str) -> u64 {
        self.gauge(&format!("outrigger_xds_pushes_total{{type=\"{kind}\"}}"))
            .await
    }

    pub(super) async fn open_streams(&self) -> u64 {
        self.gauge("outrigger_xds_streams{variant=\"sotw\"}").await
            + self.gauge("outrigger_xds_streams{variant=\"delta\"}").await
    }

    /// Waits until so many streams are open, those of the two included.
    pub(super) async fn streams(&self, count: u64) {
        let what = format!("{count} streams are open");
        eventually(&what, PATIENCE, async || {
            (self.open_streams().await == count).then_some(())
        })
        .await;
    }

    /// Neither of the two ever lost its stream, nor was sent what it had.
    pub(super) fn were_left_in_peace(&self) {
        for client in &self.clients {
            let held = client.held();
            assert_eq!((held.streams, &held.resent), (1, &Vec::new()));
        }
    }
}

impl Times {
    fn median(&self) -> Duration {
        self.0[self.0.len() / 2]
    }

    /// Fails if these are not about as quick as others were; the median counts, for the machine is not the test's alone.
    pub(super) fn is_like(&self, others: &Self) {
        assert!(
            self.median() <= 3 * others.median() + HICCUP,
            "{self}, and before {others}"
        );
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let longest = self.0.last().unwrap();
        write!(f, "{:?} (longest {longest:?})", self.median())
    }
}

/// A request for these load assignments, without a node.
pub(super) fn subscription(path: &str, names: Vec<String>) -> Bytes {
    let type_url = Kind::Endpoint.type_url().to_owned();
    let request = if path == DELTA {
        let request = DeltaDiscoveryRequest {
            type_url,
            resource_names_subscribe: names,
            ..DeltaDiscoveryRequest::default()
        };
        request.encode_to_vec()
    } else {
        let request = DiscoveryRequest {
            type_url,
            resource_names: names,
            ..DiscoveryRequest::default()
        };
        request.encode_to_vec()
    };
    framed(&request)
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}
