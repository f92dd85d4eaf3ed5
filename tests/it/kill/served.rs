//! A whole control plane is killed a hundred times while the API is written to: what was answered is there when it comes
//! back, what was never asked for is not, and connected sidecars are sent nothing that they had.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use outrigger::snapshot::Kind;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::fleet::client::{Client, Delta};
use crate::hostile::sidecar;
use crate::world::{PATIENCE, World, eventually};

const KILLS: usize = 100;
/// Each with a route of its own.
const WRITERS: usize = 4;
/// Sidecars of the node that calls all routes.
const SIDECARS: usize = 3;
const MESH: &str = "/v20190125/meshes/m";

/// What one writer was answered last, and asked for last.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    kept: u64,
    asked: u64,
}

struct Api(SendRequest<Full<Bytes>>);

impl Api {
    async fn connect(api: SocketAddr) -> Option<Self> {
        let stream = TcpStream::connect(api).await.ok()?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.ok()?;
        tokio::spawn(connection);
        Some(Self(sender))
    }

    /// The status and the body; `None` if the server went away.
    async fn call(&mut self, method: &str, path: &str, body: &Value) -> Option<(u16, Value)> {
        let request = hyper::Request::builder()
            .method(method)
            .uri(path)
            .header("host", "outrigger")
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body.to_string())))
            .unwrap();
        self.0.ready().await.ok()?;
        let response = self.0.send_request(request).await.ok()?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.ok()?.to_bytes();
        Some((status, serde_json::from_slice(&body).ok()?))
    }

    async fn create(&mut self, collection: &str, body: Value) {
        let path = format!("{MESH}{collection}");
        let (status, answer) = self.call("PUT", &path, &body).await.unwrap();
        assert_eq!(status, 200, "{answer}");
    }
}

fn route(writer: usize) -> String {
    format!("{MESH}/virtualRouter/r{writer}/routes/x")
}

/// Says which write it is.
fn prefix(writer: usize, number: u64) -> String {
    format!("/writer-{writer}/write-{number}/")
}

fn spec(writer: usize, number: u64) -> Value {
    json!({ "httpRoute": {
        "match": { "prefix": prefix(writer, number) },
        "action": { "weightedTargets": [{ "virtualNode": "target", "weight": 1 }] },
    }})
}

/// A node that calls a service for each writer, each of them with a router and a route.
async fn create_mesh(api: &mut Api) {
    let (status, answer) = api
        .call("PUT", "/v20190125/meshes", &json!({ "meshName": "m" }))
        .await
        .unwrap();
    assert_eq!(status, 200, "{answer}");
    let listeners = json!([{ "portMapping": { "port": 8080, "protocol": "http" } }]);
    let discovery = json!({ "dns": { "hostname": "target.local" } });
    let target = json!({ "listeners": listeners, "serviceDiscovery": discovery });
    api.create(
        "/virtualNodes",
        json!({ "virtualNodeName": "target", "spec": target }),
    )
    .await;
    let mut backends = Vec::new();
    for writer in 0..WRITERS {
        let router = format!("r{writer}");
        let created = json!({ "virtualRouterName": router, "spec": { "listeners": listeners } });
        api.create("/virtualRouters", created).await;
        let created = json!({ "routeName": "x", "spec": spec(writer, 0) });
        api.create(&format!("/virtualRouter/{router}/routes"), created)
            .await;
        let service = format!("s{writer}.local");
        let provider = json!({ "virtualRouter": { "virtualRouterName": router } });
        let created = json!({ "virtualServiceName": service, "spec": { "provider": provider } });
        api.create("/virtualServices", created).await;
        backends.push(json!({ "virtualService": { "virtualServiceName": service } }));
    }
    let caller = json!({ "virtualNodeName": "caller", "spec": { "backends": backends } });
    api.create("/virtualNodes", caller).await;
}

/// Writes until the server is gone. `kept` counts what all writers were answered.
async fn write_on(
    api: SocketAddr,
    writer: usize,
    mut progress: Progress,
    kept: Arc<AtomicUsize>,
) -> Progress {
    let Some(mut api) = Api::connect(api).await else {
        return progress;
    };
    loop {
        progress.asked += 1;
        let body = json!({ "spec": spec(writer, progress.asked) });
        let Some((status, answer)) = api.call("PUT", &route(writer), &body).await else {
            return progress;
        };
        assert_eq!(status, 200, "{answer}");
        progress.kept = progress.asked;
        kept.fetch_add(1, Ordering::Relaxed);
    }
}

/// The number of the write that a writer's route is of.
async fn stored(api: &mut Api, writer: usize) -> u64 {
    let (status, answer) = api.call("GET", &route(writer), &Value::Null).await.unwrap();
    assert_eq!(status, 200, "{answer}");
    let found = answer["spec"]["httpRoute"]["match"]["prefix"].as_str();
    let number = found.and_then(|prefix| {
        let number = prefix.strip_prefix(&format!("/writer-{writer}/write-"))?;
        number.strip_suffix('/')?.parse().ok()
    });
    number.unwrap_or_else(|| panic!("{answer}"))
}

/// Waits until a sidecar has had so many streams.
async fn is_back(sidecar: &Client, streams: u64) {
    eventually("the sidecar is connected again", PATIENCE, async || {
        (sidecar.held().streams > streams).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sidecars_are_sent_nothing_they_had_after_a_hundred_kills() {
    let mut world = World::new().await;
    let data = world.folder.path().join("data");
    world.has_mesh_files = false;
    world.log = "info";
    world.serve_args = vec!["--data-dir".to_owned(), data.to_str().unwrap().to_owned()];
    (world.zone).set("target.local", Duration::from_mins(1), vec![world.ip(9)]);
    world.start_control_plane().await;
    let address = world.at(1, 9080);
    let mut api = Api::connect(address).await.unwrap();
    create_mesh(&mut api).await;
    let node = sidecar("mesh/m/virtualNode/caller");
    let sidecars: Vec<Client> = (0..SIDECARS)
        .map(|_| Client::start::<Delta>(world.at(1, 18000), node.clone()))
        .collect();
    let mut progress = [Progress::default(); WRITERS];
    let mut seen = [0; WRITERS];
    for kill in 0..KILLS {
        for sidecar in &sidecars {
            is_back(sidecar, kill as u64).await;
        }
        let kept = Arc::new(AtomicUsize::new(0));
        let writing: Vec<_> = progress
            .iter()
            .enumerate()
            .map(|(writer, progress)| {
                tokio::spawn(write_on(address, writer, *progress, Arc::clone(&kept)))
            })
            .collect();
        // In the middle of writes, at another moment each time.
        let enough = 1 + kill * 7 % 60;
        eventually("some writes are answered", PATIENCE, async || {
            (kept.load(Ordering::Relaxed) >= enough).then_some(())
        })
        .await;
        world.kill_control_plane().await;
        for (progress, writing) in progress.iter_mut().zip(writing) {
            *progress = writing.await.unwrap();
        }
        world.start_control_plane().await;
        api = Api::connect(address).await.unwrap();
        for writer in 0..WRITERS {
            let Progress { kept, asked } = progress[writer];
            let found = stored(&mut api, writer).await;
            assert!(
                (kept..=asked).contains(&found) && found >= seen[writer],
                "kill {kill}: writer {writer} finds write {found}, was answered {kept}, asked for {asked}"
            );
            seen[writer] = found;
            // What was not answered and is not there never will be.
            progress[writer] = Progress { kept: found, asked };
        }
    }
    has_all(&sidecars, &seen).await;
    let writes: u64 = seen.iter().sum();
    println!("{KILLS} kills, {writes} writes");
    for sidecar in &sidecars {
        let held = sidecar.held();
        assert!(held.streams > KILLS as u64, "{}", held.streams);
        assert_eq!(held.resent, [""; 0]);
    }
}

/// Waits until every sidecar has the routes of these writes.
async fn has_all(sidecars: &[Client], written: &[u64]) {
    for sidecar in sidecars {
        eventually("a sidecar has the last routes", PATIENCE, async || {
            let held = sidecar.held();
            let routes = held.resources.get(&Kind::Route)?;
            let has = |prefix: &String| {
                routes.values().any(|routes| {
                    let mut windows = routes.body.windows(prefix.len());
                    windows.any(|window| window == prefix.as_bytes())
                })
            };
            let mut wanted = written.iter().enumerate();
            wanted
                .all(|(writer, number)| has(&prefix(writer, *number)))
                .then_some(())
        })
        .await;
    }
}
