//! Every kind of change, made ten times and undone ten times under real traffic: no request fails whose route exists
//! before and after, and no stream is cut but those that Envoy itself must cut.
//!
//! Envoys drain for one second here instead of ten minutes, so that what a drain would cut is cut while the test looks.

pub(crate) mod expected;
mod rows;
mod setup;
mod streams;

use std::net::IpAddr;
use std::time::Duration;

use outrigger::api::operator::generated::ListClientsRequest;
use outrigger::api::operator::generated::operator_client::OperatorClient;
use outrigger::envoy::bootstrap::XdsProtocol;
use outrigger::envoy::process::Envoy;
use tokio::time::Instant;
use tonic::transport::Channel;

use crate::continuity::load::Load;
use crate::continuity::{A, B, sidecar};
use crate::world::{PATIENCE, World, eventually};

use expected::Expected;
use rows::{ROWS, Row};
use setup::{ADDED, CALLEES, DELTA_CALLER, SOTW_CALLER, Setup, V2, V3, base};
use streams::{Egress, Stream, Way};

const TIMES: usize = 10;
/// How soon every sidecar has acknowledged a change.
const AT_ONCE: Duration = Duration::from_secs(10);
const DELTA: XdsProtocol = XdsProtocol::Delta;
const SOTW: XdsProtocol = XdsProtocol::StateOfTheWorld;
/// What each caller sends a request to every 10 ms, in turn.
const AUTHORITIES: &[&str] = &["service-b.local:8080", "plain.local", "side.local"];

/// Most of a change's time is waiting, so three worlds have a third of the changes each.
async fn no_change_fails_a_request_or_cuts_a_stream_that_it_does_not_touch(third: usize) {
    let mut stage = Stage::set_up().await;
    for row in ROWS.iter().skip(third).step_by(3) {
        stage.play(row).await;
    }
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_and_traffic_first_third() {
    no_change_fails_a_request_or_cuts_a_stream_that_it_does_not_touch(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_and_traffic_second_third() {
    no_change_fails_a_request_or_cuts_a_stream_that_it_does_not_touch(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_and_traffic_last_third() {
    no_change_fails_a_request_or_cuts_a_stream_that_it_does_not_touch(2).await;
}

/// The world of all changes.
struct Stage {
    world: World,
    operator: OperatorClient<Channel>,
    expected: Expected,
    now: Setup,
    callers: Vec<Caller>,
    callees: Vec<Envoy>,
    loads: Vec<Load>,
    failures: Vec<String>,
}

/// A sidecar that calls, and the streams that are open through it.
struct Caller {
    envoy: Envoy,
    egress: Egress,
    streams: Vec<Open>,
}

struct Open {
    way: Way,
    replica: &'static str,
    stream: Stream,
}

/// The callee's replicas, as they call themselves.
const REPLICAS: [&str; 2] = ["b-3", "b-4"];

impl Stage {
    async fn set_up() -> Self {
        let mut world = World::new().await;
        // Names are asked for again and again: a change of theirs is seen at once.
        world.serve_args = ["--dns-min-ttl", "100ms"].map(str::to_owned).to_vec();
        let now = base();
        for (name, hosts) in &now.names {
            world
                .zone
                .set(name, Duration::ZERO, addresses(&world, hosts));
        }
        serve_applications(&world).await;
        world.serve(&now.yaml()).await;
        let sidecars = [
            (B, CALLEES[0], DELTA),
            (B, CALLEES[1], SOTW),
            (A, DELTA_CALLER, DELTA),
            (A, SOTW_CALLER, SOTW),
        ];
        let mut envoys = Vec::new();
        for (node, host, protocol) in sidecars {
            envoys.push(world.sidecar(node, host, protocol).await);
        }
        let captures = sidecars.map(|(node, host, _)| (node, world.capture(host)));
        let url = format!("http://{}", world.at(1, 9080));
        let callers = envoys.split_off(CALLEES.len());
        let callers = callers.into_iter().zip([DELTA_CALLER, SOTW_CALLER]);
        let mut stage = Self {
            operator: OperatorClient::connect(url).await.unwrap(),
            expected: Expected::new(captures),
            now,
            callers: callers
                .map(|(envoy, host)| Caller::new(envoy, &world, host))
                .collect(),
            callees: envoys,
            loads: Vec::new(),
            failures: Vec::new(),
            world,
        };
        stage.synced("the start").await;
        for caller in &mut stage.callers {
            for way in Way::ALL {
                caller.open(way).await;
            }
        }
        for (caller, name) in stage.callers.iter().zip(["delta", "sotw"]) {
            let load = Load::start(name, caller.egress.http, AUTHORITIES);
            stage.loads.push(load);
        }
        stage
    }

    /// Makes the change and undoes it, ten times, and looks at what came of it.
    async fn play(&mut self, row: &Row) {
        for load in &self.loads {
            load.phase(row.name);
        }
        let base = self.now.clone();
        let mut took = Vec::new();
        for _ in 0..TIMES {
            for stage in row.stages {
                let mut next = base.clone();
                stage(&mut next);
                took.push(self.change(next, row.name).await);
            }
            took.push(self.change(base.clone(), row.name).await);
        }
        self.drained(row.name).await;
        let failed: usize = self.loads.iter().map(Load::failures).sum();
        let cut = self.look_at_streams(row).await;
        took.sort();
        let (median, longest) = (took[took.len() / 2], took[took.len() - 1]);
        println!(
            "{}: {} saves, all sidecars in step after {median:?} (longest {longest:?}), cut {cut:?}, {failed} requests \
             failed so far",
            row.name,
            took.len()
        );
    }

    /// Saves, and waits until every sidecar has acknowledged what follows from it.
    async fn change(&mut self, next: Setup, what: &str) -> Duration {
        let saved = Instant::now();
        for (name, hosts) in &next.names {
            if self.now.names.get(name) != Some(hosts) {
                let addresses = addresses(&self.world, hosts);
                self.world.zone.set(name, Duration::ZERO, addresses);
            }
        }
        if next.yaml() != self.now.yaml() {
            self.world.write_mesh(&next.yaml());
        }
        self.now = next;
        self.synced(what).await;
        saved.elapsed()
    }

    async fn synced(&mut self, what: &str) {
        let (world, names) = (&self.world, &self.now.names);
        self.expected.is(&self.now.yaml(), |name| {
            addresses(world, names.get(name).unwrap())
        });
        let deadline = Instant::now() + AT_ONCE;
        let (operator, expected) = (&self.operator, &self.expected);
        eventually(what, PATIENCE, async || {
            let mut operator = operator.clone();
            let list = operator.list_clients(ListClientsRequest::default());
            let lacking = expected.lacking(&list.await.unwrap().into_inner().clients);
            if let (Some(lacking), true) = (&lacking, Instant::now() > deadline) {
                panic!("{what}: {lacking}");
            }
            lacking.is_none().then_some(())
        })
        .await;
    }

    /// Waits until nothing is left that a drain is still to cut.
    async fn drained(&self, what: &str) {
        let callers = self.callers.iter().map(|caller| &caller.envoy);
        for envoy in callers.chain(&self.callees) {
            let what = format!("{what}: nothing drains in {}", envoy.name());
            for left in ["total_listeners_draining", "total_filter_chains_draining"] {
                let gauge = format!("listener_manager.{left}");
                eventually(&what, PATIENCE, async || {
                    (sidecar::stat(envoy, &gauge).await == 0).then_some(())
                })
                .await;
            }
        }
    }

    /// Says which streams were cut, and opens others for them.
    async fn look_at_streams(&mut self, row: &Row) -> Vec<Way> {
        let mut cut = Vec::new();
        for caller in &mut self.callers {
            for way in Way::ALL {
                let (failures, lost) = caller.look_at(way, row).await;
                self.failures.extend(failures);
                if lost {
                    caller.streams.retain(|open| open.way != way);
                    caller.open(way).await;
                    cut.push(way);
                }
            }
        }
        cut
    }

    async fn end(self) {
        let mut failures = self.failures;
        for load in self.loads {
            match load.stop().await {
                Ok(text) => println!("{text}"),
                Err(text) => failures.push(text),
            }
        }
        assert!(failures.is_empty(), "{}", failures.join("\n"));
    }
}

impl Caller {
    /// The one place that says how an application on a host reaches its sidecar.
    fn new(envoy: Envoy, world: &World, host: u8) -> Self {
        let egress = Egress {
            http: world.at(host, 15001),
            queue: world.at(host, 9000),
        };
        Self {
            envoy,
            egress,
            streams: Vec::new(),
        }
    }

    /// Opens a stream to each of the callee's replicas.
    async fn open(&mut self, way: Way) {
        for replica in REPLICAS {
            let what = format!("{way:?} reaches {replica} through {}", self.envoy.name());
            let stream = eventually(&what, PATIENCE, async || {
                let (stream, reached) = Stream::open(way, self.egress).await.ok()?;
                (reached == replica).then_some(stream)
            })
            .await;
            self.streams.push(Open {
                way,
                replica,
                stream,
            });
        }
    }

    /// What is wrong with the streams of a kind after a change, and whether one is lost.
    async fn look_at(&mut self, way: Way, row: &Row) -> (Vec<String>, bool) {
        let (mut failures, mut lost) = (Vec::new(), false);
        let may_be_cut = row.cuts.contains(&way);
        for open in self.streams.iter_mut().filter(|open| open.way == way) {
            let (name, envoy, replica) = (row.name, self.envoy.name(), open.replica);
            match open.stream.is_alive().await {
                Ok(()) if may_be_cut => failures.push(format!(
                    "{name}: {way:?} to {replica} through {envoy} lives, which the table says is cut"
                )),
                Ok(()) => {}
                Err(error) => {
                    lost = true;
                    if !may_be_cut {
                        failures.push(format!(
                            "{name}: {way:?} to {replica} through {envoy} is cut: {error}"
                        ));
                    }
                }
            }
        }
        (failures, lost)
    }
}

/// What answers: behind the callee's sidecars, and without any.
async fn serve_applications(world: &World) {
    for (host, name) in CALLEES.into_iter().zip(REPLICAS) {
        let http = [18080, 18090].map(|port| world.at(host, port));
        streams::serve(
            name,
            &http,
            Some(world.at(host, 17000)),
            world.at(host, 19000),
        )
        .await;
    }
    for (host, name) in [
        (ADDED, "b-6"),
        (V2[0], "v2-7"),
        (V2[1], "v2-9"),
        (V3, "v3-8"),
    ] {
        let http = [8080, 8090].map(|port| world.at(host, port));
        streams::serve(name, &http, None, world.at(host, 9000)).await;
    }
}

fn addresses(world: &World, hosts: &[u8]) -> Vec<IpAddr> {
    hosts.iter().map(|host| world.ip(*host)).collect()
}
