//! A real Envoy that is sent what it rejects without naming it: a value that breaks a constraint of the message fails the
//! whole response. The others reach it all the same, within a bounded number of responses.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Instant;

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::google::protobuf::{Duration as ProtoDuration, UInt32Value};
use outrigger::clients::Clients;
use outrigger::envoy::bootstrap::{BootstrapOptions, XdsProtocol, bootstrap};
use outrigger::envoy::process::Envoy;
use outrigger::model::{Model, NodeRef, ViewKey};
use outrigger::reconcile::Views;
use outrigger::snapshot::{Kind, Resource, Snapshot};
use outrigger::store::{Store, Writer};
use outrigger::telemetry::Metrics;
use outrigger::translate::View;
use outrigger::xds::{AdsContext, Server, ServerLimits};
use tokio_util::sync::CancellationToken;

use crate::world::{PATIENCE, World, eventually};

const CLUSTERS: usize = 24;
const POISONED: [usize; 2] = [5, 17];

/// What is wrong with a poisoned cluster.
#[derive(Clone, Copy, Debug)]
enum Poison {
    /// Its connections may take no time at all. Envoy repeats the cluster in its words, and takes nothing of the response.
    BreaksConstraint,
    /// It is no cluster. Envoy's words do not tell which.
    IsNoCluster,
}

impl Poison {
    /// How many responses may be rejected until all that is good has arrived.
    ///
    /// Where Envoy's words tell, each rejection finds one that is bad. Where they do not, k of n are found by halving what
    /// is not accepted: at most 2k⌈log₂ n⌉ + 2 responses. Those rejected among them are the first, and of the parts of one
    /// size no more than k.
    fn rejections(self) -> RangeInclusive<u32> {
        let bad = u32::try_from(POISONED.len()).unwrap();
        let sizes = CLUSTERS.next_power_of_two().ilog2();
        match self {
            Self::BreaksConstraint => bad..=bad,
            Self::IsNoCluster => bad + 1..=bad * sizes + 1,
        }
    }
}

fn cluster(number: usize, patience: i32, poison: Option<Poison>) -> Resource {
    let name = format!("c{number:02}");
    let nanos = match poison {
        Some(Poison::IsNoCluster) => {
            let value = patience.unsigned_abs();
            let other = UInt32Value { value };
            return Resource::new(Kind::Cluster, name.as_str().into(), &other, None);
        }
        Some(Poison::BreaksConstraint) => 0,
        None => patience,
    };
    let connect_timeout = Some(ProtoDuration { seconds: 0, nanos });
    let cluster = Cluster {
        name: name.clone(),
        // So that what is poisoned differs too: what was rejected before is not sent again so soon.
        alt_stat_name: format!("patient-for-{patience}"),
        connect_timeout,
        ..Cluster::default()
    };
    Resource::new(Kind::Cluster, name.as_str().into(), &cluster, None)
}

/// All clusters, of which some may be poisoned; another `patience`, in nanoseconds, makes all of them new.
fn view(patience: i32, poison: Option<Poison>) -> View {
    let mut snapshot = Snapshot::default();
    for number in 0..CLUSTERS {
        let poison = poison.filter(|_| POISONED.contains(&number));
        snapshot.insert(Arc::new(cluster(number, patience, poison)));
    }
    View::Serving(Arc::new(snapshot))
}

/// The xDS server alone; the test says what it serves.
struct Plane {
    clients: Clients,
    views: Views,
    /// The model that is loaded stays.
    _writer: Writer,
}

impl Plane {
    fn start(world: &World, stop: CancellationToken) -> Self {
        let (clients, views) = (Clients::default(), Views::default());
        let (store, mut writer) = Store::in_memory().unwrap();
        let nothing = Model::default().into();
        writer.replace_files(nothing, Instant::now()).unwrap();
        let server = Server::bind(world.at(1, 18000)).unwrap();
        let context = AdsContext {
            sharing: Arc::default(),
            clients: clients.clone(),
            views: views.clone(),
            metrics: Metrics::new().unwrap(),
            limits: ServerLimits::default(),
            model: store.watch(),
        };
        tokio::spawn(server.run(context, stop));
        Self {
            clients,
            views,
            _writer: writer,
        }
    }

    async fn key(&self) -> ViewKey {
        let mut keys = self.clients.views();
        let connected = keys.wait_for(|keys| !keys.is_empty()).await.unwrap();
        connected.iter().next().unwrap().clone()
    }

    /// Waits until these clusters, and nothing that is yet to be found, are held to be what the sidecar rejects: it has the
    /// others before its last words on them are heard.
    async fn holds_rejected(&self, names: &BTreeSet<String>) {
        let what = format!("{names:?} are held to be rejected");
        eventually(&what, PATIENCE, async || {
            (self.rejected() == *names).then_some(())
        })
        .await;
    }

    /// The clusters that the sidecar is held to have rejected.
    fn rejected(&self) -> BTreeSet<String> {
        let clients = self.clients.list();
        let rejections = clients
            .iter()
            .flat_map(|client| &client.status.kinds[Kind::Cluster].rejections);
        rejections
            .map(|rejection| rejection.resource.as_deref().unwrap_or("?").to_owned())
            .collect()
    }
}

/// The clusters that Envoy has, with their time to connect.
async fn active(envoy: &Envoy) -> Option<BTreeSet<(String, String)>> {
    let path = "/config_dump?resource=dynamic_active_clusters";
    let dump = envoy.admin().get_json(path).await.ok()?;
    let configs = dump["configs"].as_array()?;
    let of = |config: &serde_json::Value, member: &str| {
        config["cluster"][member].as_str().map(str::to_owned)
    };
    configs
        .iter()
        .map(|config| Some((of(config, "name")?, of(config, "connect_timeout")?)))
        .collect()
}

/// The responses with clusters that Envoy has rejected so far.
async fn rejections(envoy: &Envoy) -> u32 {
    let path = "/stats?filter=cluster_manager.cds.update_rejected";
    let text = envoy.admin().get(path).await.unwrap();
    let text = String::from_utf8(text.to_vec()).unwrap();
    text.trim().rsplit(' ').next().unwrap().parse().unwrap()
}

fn expected(fresh: &str, old: Option<&str>, poisoned: &[usize]) -> BTreeSet<(String, String)> {
    let clusters = (0..CLUSTERS).filter_map(|number| {
        let timeout = if poisoned.contains(&number) {
            old?
        } else {
            fresh
        };
        Some((format!("c{number:02}"), timeout.to_owned()))
    });
    clusters.collect()
}

async fn has(envoy: &Envoy, what: &str, clusters: BTreeSet<(String, String)>) {
    eventually(what, PATIENCE, async || {
        (active(envoy).await? == clusters).then_some(())
    })
    .await;
}

async fn delivers_all_but(poison: Poison, protocol: XdsProtocol) {
    let world = World::new().await;
    let stop = CancellationToken::new();
    let _guard = stop.clone().drop_guard();
    let plane = Plane::start(&world, stop);
    let node = NodeRef::parse("mesh/m/virtualNode/n").unwrap();
    let xds = world.at(1, 18000).into();
    let mut options = BootstrapOptions::new(node, xds, world.capture(2));
    options.protocol = protocol;
    let envoy = world.start_envoy(2, &bootstrap(&options).unwrap(), options.admin());
    let key = plane.key().await;
    let publish = |view| plane.views.publish(&key, Some(view), Instant::now());
    let expected_rejections = poison.rejections();
    let names: BTreeSet<_> = POISONED.map(|number| format!("c{number:02}")).into();

    publish(view(1_000_000, Some(poison)));
    let fresh = expected("0.001s", None, &POISONED);
    has(&envoy, "all but the poisoned are new", fresh).await;
    plane.holds_rejected(&names).await;
    let first = rejections(&envoy).await;
    assert!(expected_rejections.contains(&first), "{first} rejections");

    // Mended, they come at once.
    publish(view(2_000_000, None));
    has(&envoy, "all are there", expected("0.002s", None, &[])).await;
    plane.holds_rejected(&BTreeSet::new()).await;
    assert_eq!(rejections(&envoy).await, first);

    // Poisoned again, they stay as they were.
    publish(view(3_000_000, Some(poison)));
    let kept = expected("0.003s", Some("0.002s"), &POISONED);
    has(&envoy, "the poisoned stay as they were", kept).await;
    plane.holds_rejected(&names).await;
    let second = rejections(&envoy).await - first;
    assert!(expected_rejections.contains(&second), "{second} rejections");
    println!(
        "{poison:?}, {protocol:?}: {first} and {second} responses rejected of {expected_rejections:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn all_but_what_breaks_a_constraint_comes_by_delta() {
    delivers_all_but(Poison::BreaksConstraint, XdsProtocol::Delta).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_but_what_breaks_a_constraint_comes_by_state_of_the_world() {
    delivers_all_but(Poison::BreaksConstraint, XdsProtocol::StateOfTheWorld).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_but_what_is_no_cluster_comes_by_delta() {
    delivers_all_but(Poison::IsNoCluster, XdsProtocol::Delta).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_but_what_is_no_cluster_comes_by_state_of_the_world() {
    delivers_all_but(Poison::IsNoCluster, XdsProtocol::StateOfTheWorld).await;
}
