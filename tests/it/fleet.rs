//! A fleet of clients, half of each variant, while the control plane is killed and stopped and comes back with another
//! mesh: in the end each has exactly what is declared, nobody is sent what it has, and nothing leaks.

pub(crate) mod client;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use outrigger::model::endpoint::{Endpoint, EndpointSet, EndpointSource};
use outrigger::model::{Capture, ClientKind, NodeRef, ViewKey};
use outrigger::reconcile::endpoint_sources;
use outrigger::snapshot::{Kind, Snapshot};
use outrigger::translate::{Input, Options, Translator, View};
use tokio::time::Instant;

use crate::hostile;
use crate::plane::model;
use crate::references::references;
use crate::world::{PATIENCE, World, eventually};

use client::{Client, Delta, Resource, Resources, Sotw};

/// Nodes, each with as many clients: one view for all of a node.
const NODES: usize = 10;
const REPLICAS: usize = 20;
const RESTARTS: usize = 20;
/// How soon all have everything, from when the new process was started.
const SYNCED_WITHIN: Duration = Duration::from_secs(20);
/// How much more memory a process may have after the same clients have come and gone again.
const MEMORY_SLACK_KIB: u64 = 8 << 10;

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_clients_have_exactly_the_model_after_twenty_restarts() {
    let mut world = World::new().await;
    world.serve_args = ["--dns-min-ttl", "500ms"].map(str::to_owned).to_vec();
    world.log = "info";
    let mut fleet = Fleet::new(&world);
    fleet.declare(&world, 0);
    world.start_control_plane().await;
    fleet.connect(&world);
    fleet.synced(Instant::now()).await;
    let mut times = Vec::new();
    for restart in 0..RESTARTS {
        // Some changes come just before the end and may or may not reach anybody, others while nobody serves.
        fleet.declare(&world, 2 * restart + 1);
        if restart % 2 == 0 {
            world.kill_control_plane().await;
        } else {
            let (status, took) = world.stop_control_plane().await;
            assert!(status.success(), "{status}");
            assert!(took < Duration::from_secs(5), "stopping took {took:?}");
        }
        if restart % 4 < 2 {
            fleet.declare(&world, 2 * restart + 2);
        }
        let started = Instant::now();
        world.start_control_plane().await;
        let ready = started.elapsed();
        let synced = fleet.has_all(started).await;
        println!("restart {restart}: ready after {ready:?}, all have everything after {synced:?}");
        times.push(synced);
    }
    let exact = fleet.synced(Instant::now()).await;
    println!("and nothing else {exact:?} later");
    times.sort();
    println!(
        "all have everything: median {:?}, longest {:?}",
        times[times.len() / 2],
        times[times.len() - 1]
    );
    fleet.ends_well();
    nothing_leaks(&mut fleet, &world).await;
}

/// Lets all clients go and come again, and looks at what the server keeps of them.
async fn nothing_leaks(fleet: &mut Fleet, world: &World) {
    let pid = world.control.as_ref().unwrap().id().unwrap();
    let mut left = Vec::new();
    for _ in 0..4 {
        fleet.clients.clear();
        eventually("all clients have left", PATIENCE, async || {
            world.clients().await.is_empty().then_some(())
        })
        .await;
        let files = settled(|| {
            std::fs::read_dir(format!("/proc/{pid}/fd"))
                .unwrap()
                .count()
        })
        .await;
        left.push((files, memory(pid)));
        fleet.connect(world);
        fleet.synced(Instant::now()).await;
    }
    println!("open files and KiB of memory, each time all had left: {left:?}");
    let (files, memory) = left[1];
    for (now, then) in left.iter().skip(2).map(|(now, then)| (*now, *then)) {
        assert!(now <= files, "{left:?}");
        assert!(then <= memory + MEMORY_SLACK_KIB, "{left:?}");
    }
}

/// The lowest value of a while, once that of the while before was the same: connections are closed a moment after their
/// clients have left, and each question to DNS has a socket as long as it is open.
async fn settled(mut look: impl FnMut() -> usize) -> usize {
    let (mut before, mut lowest, mut since) = (None, usize::MAX, Instant::now());
    eventually("the value settles", PATIENCE, async || {
        lowest = lowest.min(look());
        if since.elapsed() < Duration::from_millis(500) {
            return None;
        }
        let (now, earlier) = (lowest, before);
        (before, lowest, since) = (Some(now), usize::MAX, Instant::now());
        (earlier == Some(now)).then_some(now)
    })
    .await
}

fn memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let value = line.unwrap().trim().trim_end_matches(" kB");
    value.parse().unwrap()
}

struct Fleet {
    translator: Translator,
    keys: Vec<ViewKey>,
    wanted: Vec<Resources>,
    /// Where each node is found.
    addresses: Vec<IpAddr>,
    clients: Vec<(usize, bool, Client)>,
}

impl Fleet {
    fn new(world: &World) -> Self {
        let key = |number| ViewKey {
            node: NodeRef::parse(&format!("mesh/m/virtualNode/n{number}")).unwrap(),
            capture: Capture::Explicit {
                bind: "127.0.0.2".parse().unwrap(),
                applications: BTreeMap::new(),
            },
            client: ClientKind::Envoy,
        };
        let keys: Vec<ViewKey> = (0..NODES).map(key).collect();
        let addresses: Vec<IpAddr> = (0..NODES).map(|number| address(world, number, 0)).collect();
        for (number, address) in addresses.iter().enumerate() {
            world
                .zone
                .set(&hostname(number), Duration::ZERO, vec![*address]);
        }
        Self {
            translator: Translator::new(Options::default()),
            wanted: vec![Resources::new(); keys.len()],
            keys,
            addresses,
            clients: Vec::new(),
        }
    }

    fn connect(&mut self, world: &World) {
        let server = world.at(1, 18000);
        for number in 0..NODES {
            for replica in 0..REPLICAS {
                let node = hostile::sidecar(&format!("mesh/m/virtualNode/n{number}"));
                let is_delta = replica % 2 == 0;
                let client = if is_delta {
                    Client::start::<Delta>(server, node)
                } else {
                    Client::start::<Sotw>(server, node)
                };
                self.clients.push((number, is_delta, client));
            }
        }
    }

    /// Saves a mesh that differs from the one before in resources of every type, and notes what follows from it.
    fn declare(&mut self, world: &World, revision: usize) {
        let moved = revision % NODES;
        let address = address(world, moved, revision);
        self.addresses[moved] = address;
        world
            .zone
            .set(&hostname(moved), Duration::ZERO, vec![address]);
        let yaml = mesh(revision);
        world.write_mesh(&yaml);
        let model = model(&yaml);
        let known = |source: EndpointSource| {
            let EndpointSource::Dns { hostname: name, .. } = &source;
            let number = (0..NODES).find(|number| hostname(*number) == **name);
            let endpoint = Endpoint {
                address: self.addresses[number.unwrap()],
                port: None,
                weight: 1,
            };
            (source, EndpointSet::Known(Arc::new([endpoint])))
        };
        let endpoints = endpoint_sources(&model).into_iter().map(known).collect();
        self.translator.apply(Input {
            model,
            endpoints,
            views: self.keys.iter().cloned().collect(),
        });
        let view = |key| match self.translator.view(key) {
            Some(View::Serving(snapshot)) => wanted(snapshot),
            other => panic!("{other:?}"),
        };
        self.wanted = self.keys.iter().map(view).collect();
    }

    /// Waits until every client holds what is declared. It may still have clusters that are gone: these stay for a while.
    async fn has_all(&self, since: Instant) -> Duration {
        self.wait(since, false).await
    }

    /// Waits until every client holds what is declared, no more and no less.
    async fn synced(&self, since: Instant) -> Duration {
        self.wait(since, true).await
    }

    async fn wait(&self, since: Instant, exact: bool) -> Duration {
        let deadline = Instant::now() + SYNCED_WITHIN;
        eventually("every client has exactly the model", PATIENCE, async || {
            let mut lacking = self
                .clients
                .iter()
                .filter_map(|(number, is_delta, client)| {
                    let held = client.held();
                    let lacks = difference(&held.resources, &self.wanted[*number], *is_delta);
                    let lacks = lacks.filter(|lacks| exact || lacks.is_missing)?.text;
                    Some(format!(
                        "n{number}, delta: {is_delta}, {} streams: {lacks}",
                        held.streams
                    ))
                });
            let first = lacking.next();
            if let (Some(first), true) = (&first, Instant::now() > deadline) {
                panic!("{} clients lack something: {first}", 1 + lacking.count());
            }
            first.is_none().then(|| since.elapsed())
        })
        .await
    }

    fn ends_well(&self) {
        for (number, is_delta, client) in &self.clients {
            let held = client.held();
            let who = format!("a client of n{number}, delta: {is_delta}");
            assert!(held.streams > RESTARTS as u64, "{who}: {}", held.streams);
            assert!(
                held.resent.is_empty(),
                "{who} was sent again: {:?}",
                held.resent
            );
        }
    }
}

/// What a client of a view is to hold: clusters and listeners, and what these name.
fn wanted(snapshot: &Snapshot) -> Resources {
    let mut wanted = Resources::new();
    let mut take = |kind, name: &str| {
        let resource = snapshot.get(kind, name).unwrap();
        let version = resource.version().to_string();
        let resource = Resource::new(kind, version, Bytes::copy_from_slice(resource.body()));
        let of_kind = wanted.entry(kind).or_default();
        of_kind.insert(name.to_owned(), resource);
    };
    for kind in [Kind::Cluster, Kind::Listener] {
        for resource in snapshot.resources(kind) {
            take(kind, resource.name());
            for (kind, name) in references(kind, resource.body()) {
                take(kind, &name);
            }
        }
    }
    wanted
}

struct Difference {
    /// Or else too much.
    is_missing: bool,
    text: String,
}

/// A difference between what is held and what is wanted: what is missing comes first.
fn difference(held: &Resources, wanted: &Resources, with_versions: bool) -> Option<Difference> {
    let none = BTreeMap::new();
    let of_kind = |kind| held.get(kind).unwrap_or(&none);
    let missing = wanted.iter().find_map(|(kind, wanted)| {
        let held = of_kind(kind);
        wanted.iter().find_map(|(name, want)| {
            let same = held.get(name).is_some_and(|have| {
                have.body == want.body && (!with_versions || have.version == want.version)
            });
            (!same).then(|| Difference {
                is_missing: true,
                text: format!("{kind} {name} is {:?}, not {want:?}", held.get(name)),
            })
        })
    });
    missing.or_else(|| {
        held.iter().find_map(|(kind, held)| {
            let wanted = wanted.get(kind).unwrap_or(&none);
            let extra = held.keys().find(|name| !wanted.contains_key(*name))?;
            Some(Difference {
                is_missing: false,
                text: format!("{kind} {extra} is too much"),
            })
        })
    })
}

fn hostname(number: usize) -> String {
    format!("n{number}.local")
}

/// Where a node is found as of a revision.
fn address(world: &World, number: usize, revision: usize) -> IpAddr {
    world.ip(u8::try_from(10 + (number + revision) % 200).unwrap())
}

/// A mesh in which node, service, listener, route and TCP backend of some number differ from revision to revision.
fn mesh(revision: usize) -> String {
    let mut yaml =
        "kind: Mesh\nmeshName: m\nspec: { egressFilter: { type: ALLOW_ALL } }\n".to_owned();
    for number in 0..NODES {
        let mut listeners = "{ portMapping: { port: 8080, protocol: http } }".to_owned();
        if number == (revision + 3) % NODES {
            listeners += ", { portMapping: { port: 9000, protocol: tcp } }";
        }
        write!(
            yaml,
            "---\nkind: VirtualNode\nmeshName: m\nvirtualNodeName: n{number}\nspec: {{ serviceDiscovery: \
             {{ dns: {{ hostname: {} }} }}, listeners: [{listeners}] }}\n",
            hostname(number)
        )
        .unwrap();
        // Two services, and the clusters behind them, come and go.
        if number == (revision + 5) % NODES {
            continue;
        }
        write!(
            yaml,
            "---\nkind: VirtualService\nmeshName: m\nvirtualServiceName: s{number}.local\n\
             spec: {{ provider: {{ virtualNode: {{ virtualNodeName: n{number} }} }} }}\n"
        )
        .unwrap();
    }
    let (first, second) = (revision % NODES, (revision + 1) % NODES);
    write!(
        yaml,
        "---\nkind: VirtualService\nmeshName: m\nvirtualServiceName: split.local\n\
         spec: {{ provider: {{ virtualRouter: {{ virtualRouterName: r }} }} }}\n\
         ---\nkind: VirtualRouter\nmeshName: m\nvirtualRouterName: r\n\
         spec: {{ listeners: [{{ portMapping: {{ port: 8080, protocol: http }} }}] }}\n\
         ---\nkind: Route\nmeshName: m\nvirtualRouterName: r\nrouteName: all\n\
         spec: {{ httpRoute: {{ match: {{ prefix: / }}, action: {{ weightedTargets: [\
         {{ virtualNode: n{first}, weight: {}, port: 8080 }}, {{ virtualNode: n{second}, weight: 50, port: 8080 }}] }} }} }}\n",
        1 + revision % 40
    )
    .unwrap();
    yaml
}
