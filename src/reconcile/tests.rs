use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::*;
use crate::model::endpoint::{Endpoint, EndpointSet};
use crate::model::{Capture, ClientKind, MeshName, NodeName, NodeRef, Resource, ResourceId, Spec};
use crate::store::{Store, Writer};
use crate::translate::View;

/// A mesh of one node that is discovered at a host name.
fn model(hostname: &str) -> Model {
    let mesh = MeshName::new("m");
    let spec = json!({ "serviceDiscovery": { "dns": { "hostname": hostname } } });
    Model::from_resources([
        Resource {
            id: ResourceId::Mesh(mesh.clone()),
            spec: Spec::Mesh(Arc::new(
                serde_json::from_value(json!({ "egressFilter": { "type": "ALLOW_ALL" } })).unwrap(),
            )),
        },
        Resource {
            id: ResourceId::VirtualNode(mesh.clone(), NodeName::new("n")),
            spec: Spec::VirtualNode(Arc::new(serde_json::from_value(spec).unwrap())),
        },
        Resource {
            id: ResourceId::VirtualService(mesh, crate::model::ServiceName::new("n.local")),
            spec: Spec::VirtualService(Arc::new(
                serde_json::from_value(json!({
                    "provider": { "virtualNode": { "virtualNodeName": "n" } }
                }))
                .unwrap(),
            )),
        },
    ])
}

fn key() -> ViewKey {
    ViewKey {
        node: NodeRef::VirtualNode(MeshName::new("m"), NodeName::new("n")),
        capture: Capture::Explicit {
            bind: "127.0.0.2".parse().unwrap(),
            applications: BTreeMap::new(),
        },
        client: ClientKind::Envoy,
    }
}

fn source(hostname: &str) -> EndpointSource {
    EndpointSource::Dns {
        hostname: hostname.into(),
        preference: None,
    }
}

fn known(address: &str) -> EndpointSet {
    let endpoint = Endpoint {
        address: address.parse().unwrap(),
        port: None,
        weight: 1,
    };
    EndpointSet::Known([endpoint].into())
}

/// Everything around the task, held by the test.
struct Around {
    writer: Mutex<Writer>,
    table: watch::Sender<EndpointTable>,
    keys: watch::Sender<OrdSet<ViewKey>>,
    wanted: watch::Receiver<OrdSet<EndpointSource>>,
    views: Views,
    stop: CancellationToken,
    /// Ends the task when the test does.
    _tasks: JoinSet<()>,
}

impl Around {
    fn start() -> Self {
        let (store, writer) = Store::in_memory().unwrap();
        let table = watch::Sender::default();
        let keys = watch::Sender::default();
        let sources = watch::Sender::default();
        let wanted = sources.subscribe();
        let views = Views::default();
        let stop = CancellationToken::new();
        let inputs = Inputs {
            model: store.watch(),
            endpoints: table.subscribe(),
            views: keys.subscribe(),
        };
        let metrics = Metrics::new().unwrap();
        let outputs = Outputs {
            views: views.clone(),
            sources,
            metrics,
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(run(Options::default(), inputs, outputs, stop.clone()));
        Self {
            writer: Mutex::new(writer),
            table,
            keys,
            wanted,
            views,
            stop,
            _tasks: tasks,
        }
    }

    fn load(&self, model: Model) {
        let mut writer = self.writer.lock().unwrap();
        writer.replace_files(model.into(), Instant::now()).unwrap();
    }
}

impl Drop for Around {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(10), what).await.unwrap()
}

fn endpoints(published: Option<&Published>) -> usize {
    match published.map(|published| &published.view) {
        Some(View::Serving(snapshot)) => snapshot.len(Kind::Endpoint),
        _ => 0,
    }
}

#[tokio::test]
async fn a_connected_view_follows_model_and_endpoints() {
    let around = Around::start();
    let mut view = around.views.subscribe(&key());
    around.keys.send_replace(OrdSet::unit(key()));
    around.load(model("a.local"));
    let is_published = |published: &Option<Published>| published.is_some();
    soon(view.watch().wait_for(is_published)).await.unwrap();
    let mut wanted = around.wanted.clone();
    soon(wanted.wait_for(|wanted| wanted.contains(&source("a.local"))))
        .await
        .unwrap();
    assert_eq!(
        endpoints(view.watch().borrow().as_ref()),
        0,
        "withheld while unresolved"
    );
    around.table.send_modify(|table| {
        table.insert(source("a.local"), known("10.0.0.1"));
    });
    soon(
        view.watch()
            .wait_for(|published| endpoints(published.as_ref()) == 1),
    )
    .await
    .unwrap();
    around.load(model("b.local"));
    soon(wanted.wait_for(|wanted| *wanted == OrdSet::unit(source("b.local"))))
        .await
        .unwrap();
    assert_eq!(around.views.of_node(&key().node).len(), 1);
}

#[tokio::test]
async fn nothing_is_published_before_the_first_load() {
    let around = Around::start();
    let mut view = around.views.subscribe(&key());
    around.keys.send_replace(OrdSet::unit(key()));
    around.table.send_modify(|table| {
        table.insert(source("a.local"), known("10.0.0.1"));
    });
    // Both inputs above are there before the load is; had they been taken, the view would be NotFound.
    around.load(model("a.local"));
    soon(view.watch().changed()).await.unwrap();
    assert!(matches!(
        view.watch().borrow().as_ref().unwrap().view,
        View::Serving(_)
    ));
}

#[tokio::test]
async fn a_change_wakes_only_the_views_it_touches() {
    let around = Around::start();
    let mut view = around.views.subscribe(&key());
    around.keys.send_replace(OrdSet::unit(key()));
    around.load(model("a.local"));
    soon(view.watch().wait_for(Option::is_some)).await.unwrap();
    view.watch().mark_unchanged();
    around.table.send_modify(|table| {
        table.insert(source("elsewhere.local"), known("10.0.0.9"));
    });
    // The other view, which comes after, is published while this one stays as it was.
    let mut other_key = key();
    other_key.node = NodeRef::VirtualNode(MeshName::new("m"), NodeName::new("nobody"));
    let mut other = around.views.subscribe(&other_key);
    around.keys.send_modify(|keys| {
        keys.insert(other_key.clone());
    });
    soon(other.watch().wait_for(Option::is_some)).await.unwrap();
    assert!(matches!(
        other.watch().borrow().as_ref().unwrap().view,
        View::NotFound
    ));
    assert!(!view.watch().has_changed().unwrap());
}

// Trap 19 of the notes on the xDS protocol: a watch that outlives its stream.
#[tokio::test]
async fn a_view_ends_with_its_last_stream() {
    let around = Around::start();
    let mut view = around.views.subscribe(&key());
    around.keys.send_replace(OrdSet::unit(key()));
    around.load(model("a.local"));
    soon(view.watch().wait_for(Option::is_some)).await.unwrap();
    around.keys.send_replace(OrdSet::new());
    soon(view.watch().wait_for(Option::is_none)).await.unwrap();
    drop(view);
    // The next change finds nobody at the other end.
    let mut other_key = key();
    other_key.node = NodeRef::VirtualNode(MeshName::new("m"), NodeName::new("nobody"));
    let mut other = around.views.subscribe(&other_key);
    around.keys.send_replace(OrdSet::unit(other_key.clone()));
    soon(other.watch().wait_for(Option::is_some)).await.unwrap();
    assert!(around.views.of_node(&key().node).is_empty());
    let mut again = around.views.subscribe(&key());
    assert!(
        again.watch().borrow_and_update().is_none(),
        "nothing stale is kept"
    );
}

#[test]
fn two_nodes_at_one_name_share_a_source() {
    let mut sources = Sources::default();
    let mut model = model("a.local");
    sources.follow(&model);
    let second = ResourceId::VirtualNode(MeshName::new("m"), NodeName::new("second"));
    let spec = json!({ "serviceDiscovery": { "dns": { "hostname": "A.local." } } });
    let spec = Spec::VirtualNode(Arc::new(serde_json::from_value(spec).unwrap()));
    model.insert(Resource {
        id: second.clone(),
        spec,
    });
    sources.follow(&model);
    assert_eq!(sources.wanted(), OrdSet::unit(source("a.local")));
    model.remove(&ResourceId::VirtualNode(
        MeshName::new("m"),
        NodeName::new("n"),
    ));
    sources.follow(&model);
    assert_eq!(sources.wanted(), OrdSet::unit(source("a.local")));
    model.remove(&second);
    sources.follow(&model);
    assert!(sources.wanted().is_empty());
}

#[test]
fn a_preference_of_the_mesh_changes_its_nodes_sources() {
    let mut sources = Sources::default();
    let mut model = model("a.local");
    sources.follow(&model);
    let spec = json!({ "serviceDiscovery": { "ipPreference": "IPv6_ONLY" } });
    let id = ResourceId::Mesh(MeshName::new("m"));
    let spec = Spec::Mesh(Arc::new(serde_json::from_value(spec).unwrap()));
    model.insert(Resource { id, spec });
    sources.follow(&model);
    assert_eq!(sources.wanted(), endpoint_sources(&model));
    assert!(!sources.wanted().contains(&source("a.local")));
    assert_eq!(sources.wanted().len(), 1);
}
