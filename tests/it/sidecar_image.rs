//! App Mesh's own sidecar image as a client: the bootstrap that its agent writes when `APPMESH_XDS_ENDPOINT` names a Unix
//! socket, on the Envoy at hand.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use outrigger::envoy::process::{Envoy, EnvoyOptions};
use outrigger::xds::ServerLimits;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::continuity::load::Load;
use crate::continuity::{A, TTL, a_calls_b, synced};
use crate::frames::FrameProxy;
use crate::hostile::mesh;
use crate::plane::Plane;
use crate::world::{OUTRIGGER, PATIENCE, Service, World, eventually};

const ARN: &str = "arn:aws:appmesh:eu-west-1:123456789012:mesh/appMesh/virtualNode/serviceANode";
const KINDS: [&str; 4] = ["cds", "eds", "lds", "rds"];
/// A certificate that signs nothing: gRPC wants one before it speaks TLS at all.
const AUTHORITY: &str = "-----BEGIN CERTIFICATE-----
MIIBdDCCARugAwIBAgIUbcPJMOJG2rOSeoRWWSPJceunyQMwCgYIKoZIzj0EAwIw
DzENMAsGA1UEAwwEdGVzdDAgFw0yNjExMjIxODU4NTVaGA8yMTI2MTAyOTE4NTg1
NVowDzENMAsGA1UEAwwEdGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABDJe
gx62ErFs6XqiNN10qECAFjSR9ERFYLOzVhNnWg1qJ37g5QgCl5GxXcVVOgVeHQ/t
O68W7Ja+8zzdQkE2tz2jUzBRMB0GA1UdDgQWBBQfj6O2A7w9RaFhJ5dFcA9IDS79
sjAfBgNVHSMEGDAWgBQfj6O2A7w9RaFhJ5dFcA9IDS79sjAPBgNVHRMBAf8EBTAD
AQH/MAoGCCqGSM49BAMCA0cAMEQCIE0Kvf44crMCWnidFR/lbJNnWdQJrj8mkaVR
+TgpMhzJAiA5QA2IDcwcpLQJ+GKWp4WofDHiSEUuXmHNpTaT02Ra0A==
-----END CERTIFICATE-----
";

/// What differs between the bootstraps of two such sidecars.
pub(crate) struct Image {
    id: String,
    /// As gRPC has it: `unix:///path` or `host:port`.
    target: String,
    admin: SocketAddr,
    /// What Outrigger's own bootstrap says of capture, if the image is given it.
    outrigger: Option<Value>,
    keepalive_ms: u32,
    tls: bool,
}

impl Image {
    pub(crate) fn new(id: &str, target: String, admin: SocketAddr) -> Self {
        Self {
            id: id.to_owned(),
            target,
            admin,
            outrigger: None,
            keepalive_ms: 10_000,
            tls: false,
        }
    }

    fn bootstrap(&self) -> Value {
        let ads = json!({ "resource_api_version": "V3", "ads": {}, "initial_fetch_timeout": "0s" });
        json!({
            "admin": { "address": { "socket_address": {
                "address": self.admin.ip().to_string(), "port_value": self.admin.port(),
            } } },
            "node": { "id": self.id, "cluster": self.id, "metadata": self.metadata() },
            "layered_runtime": { "layers": [
                { "name": "static_layer_0", "static_layer": static_runtime() },
                { "name": "admin_layer", "admin_layer": {} },
            ] },
            "dynamic_resources": {
                "ads_config": {
                    "api_type": "GRPC",
                    "transport_api_version": "V3",
                    "grpc_services": [{ "google_grpc": self.google_grpc() }],
                },
                "lds_config": ads,
                "cds_config": ads,
            },
            "cluster_manager": {
                "local_cluster_name": "local_cluster",
                "outlier_detection": { "event_log_path": "/dev/null" },
            },
            "static_resources": { "clusters": [{
                "name": "local_cluster",
                "type": "EDS",
                "eds_cluster_config": { "eds_config": {
                    "resource_api_version": "V3", "ads": {}, "initial_fetch_timeout": "0.001s",
                } },
            }] },
            "stats_config": { "stats_tags": stats_tags() },
        })
    }

    fn metadata(&self) -> Value {
        let mut metadata = json!({
            "aws.appmesh.static_runtime": static_runtime(),
            "aws.appmesh.task.interfaces": { "ipv4": { "eth0": ["169.254.172.42/22"] } },
            "aws.appmesh.platformInfo": {
                "AvailabilityZone": "eu-west-1a",
                "ecsPlatformInfo": { "ecsLaunchType": "EC2" },
            },
        });
        if let Some(outrigger) = &self.outrigger {
            metadata["outrigger"] = outrigger.clone();
        }
        metadata
    }

    fn google_grpc(&self) -> Value {
        let number = |number: u32| json!({ "int_value": number });
        let mut service = json!({
            "target_uri": self.target,
            "stat_prefix": "ads",
            "channel_args": { "args": {
                "grpc.http2.max_pings_without_data": number(0),
                "grpc.keepalive_time_ms": number(self.keepalive_ms),
                "grpc.keepalive_timeout_ms": number(20_000),
                "grpc.initial_reconnect_backoff_ms": number(10_000),
                "grpc.max_connection_age_ms": number(2_400_000),
                "grpc.max_connection_age_grace_ms": number(5_000),
            } },
        });
        if self.tls {
            service["channel_credentials"] =
                json!({ "ssl_credentials": { "root_certs": { "inline_string": AUTHORITY } } });
        }
        service
    }

    pub(crate) fn start(&self, name: &str, binary: &Path, folder: &Path) -> Envoy {
        let mut options = EnvoyOptions::new(name, OUTRIGGER.as_ref(), binary, folder);
        options.drain = Duration::from_secs(1);
        Envoy::start(&options, &self.bootstrap(), self.admin).unwrap()
    }
}

fn static_runtime() -> Value {
    json!({
        "envoy.features.enable_all_deprecated_features": true,
        "re2.max_program_size.error_level": 1000,
        "envoy.reloadable_features.http_set_tracing_decision_in_request_id": true,
        "envoy.reloadable_features.no_extension_lookup_by_name": true,
    })
}

fn stats_tags() -> Value {
    json!([
        { "tag_name": "appmesh.listener_protocol", "regex": r"^(?:http|tcp)\.(?:ingress|egress)\.((http|http2|grpc|tcp)\.)\d+\." },
        { "tag_name": "appmesh.listener_port", "regex": r"^(?:http|tcp)\.(?:ingress|egress)\.(?:http|http2|grpc|tcp)\.((\d+)\.)" },
        { "tag_name": "envoy.rds_route_config", "regex": r"^(?:http)\.(?:ingress|egress)\.(?:http|http2|grpc)\.\d+\.rds\.(([^.]+)\.)" },
    ])
}

/// Capture as our bootstrap has it, for a host of the world.
fn explicit(world: &World, host: u8) -> Value {
    json!({
        "capture": "explicit",
        "bind": world.ip(host).to_string(),
        "applications": { "8080": world.application(host).to_string() },
    })
}

/// Hosts 2 and 3 are sidecars of a, host 9 is b.
async fn a_world() -> (World, Service) {
    let mut world = World::new().await;
    world.zone.set("service-a.local", TTL, vec![world.ip(2)]);
    world.zone.set("service-b.local", TTL, vec![world.ip(9)]);
    world.serve(&a_calls_b("")).await;
    let b = Service::start(&world, world.at(9, 8080), "b").await;
    (world, b)
}

fn start(world: &World, host: u8, id: &'static str, target: String) -> Envoy {
    let mut image = Image::new(id, target, world.at(host, 9901));
    image.outrigger = Some(explicit(world, host));
    image.start(&format!("image-{host}"), &world.envoy, world.folder.path())
}

/// The value of one of Envoy's statistics.
async fn stat(envoy: &Envoy, name: &str) -> Option<u64> {
    let stats = envoy
        .admin()
        .get(&format!("/stats?filter=^{name}$"))
        .await
        .ok()?;
    let stats = String::from_utf8_lossy(&stats).into_owned();
    stats
        .trim()
        .strip_prefix(name)?
        .strip_prefix(": ")?
        .parse()
        .ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_image_is_served_over_a_socket_and_tcp_and_outlives_a_restart() {
    let (mut world, _b) = a_world().await;
    let socket = format!("unix://{}", world.xds_socket().display());
    let targets = [(2, ARN, socket), (3, A, world.at(1, 18000).to_string())];
    let mut sidecars = Vec::new();
    for (host, id, target) in targets {
        let started = Instant::now();
        let mut envoy = start(&world, host, id, target);
        if let Err(error) = envoy.ready(PATIENCE).await {
            panic!("{error}\ncontrol plane:\n{}", world.control_log());
        }
        println!("{id}: ready after {:?}", started.elapsed());
        assert_eq!(world.call(host, "service-b.local", "/").await.0, 200);
        // The request for its own cluster is answered, whatever there is to say.
        let answered = "cluster.local_cluster.update_success";
        eventually(
            "`local_cluster` is answered",
            Duration::from_secs(5),
            async || (stat(&envoy, answered).await? > 0).then_some(()),
        )
        .await;
        assert_eq!(
            stat(&envoy, "cluster.local_cluster.update_rejected").await,
            Some(0)
        );
        sidecars.push(envoy);
    }
    // Under both names it is the same node, and it is told so in its short form.
    let clients = synced(&world, A, 2, &KINDS).await;
    assert!(
        clients
            .iter()
            .all(|client| client.user_agent.starts_with("envoy"))
    );

    let loads = [2, 3].map(|host| Load::start("b", world.at(host, 15001), &["service-b.local"]));
    restarts(&mut world, &loads).await;
    outage(&mut world, &sidecars, &loads).await;
    for load in loads {
        println!("{}", load.stop().await.unwrap());
    }
}

/// A control plane that is stopped, and one that is killed, and at once there again.
async fn restarts(world: &mut World, loads: &[Load]) {
    for (phase, restart) in [("stopped", false), ("killed", true)] {
        for load in loads {
            load.phase(phase);
            load.answers(20).await;
        }
        if restart {
            world.kill_control_plane().await;
        } else {
            let mut control = world.control.take().unwrap();
            let asked = Instant::now();
            assert!(
                control
                    .stop(Duration::from_secs(20))
                    .await
                    .unwrap()
                    .success()
            );
            println!("the control plane stopped in {:?}", asked.elapsed());
        }
        let down = Instant::now();
        world.start_control_plane().await;
        let up = down.elapsed();
        back(world, 2).await;
        println!(
            "{phase}: up again after {up:?}, both sidecars back after {:?}",
            down.elapsed()
        );
    }
}

/// A control plane that is away for seconds, and then back: gRPC waits ten seconds after a try that was refused, and Envoy
/// up to thirty between two.
async fn outage(world: &mut World, sidecars: &[Envoy], loads: &[Load]) {
    world.kill_control_plane().await;
    for (envoy, load) in sidecars.iter().zip(loads) {
        load.phase("away");
        eventually("Envoy has noticed", PATIENCE, async || {
            (stat(envoy, "control_plane.connected_state").await? == 0).then_some(())
        })
        .await;
        // Three seconds of requests, in which it has tried more than once.
        load.answers(300).await;
    }
    world.start_control_plane().await;
    let up = Instant::now();
    back(world, sidecars.len()).await;
    println!(
        "away: all sidecars back {:?} after the control plane",
        up.elapsed()
    );
}

/// Waits for as long as the two back-offs may take together.
async fn back(world: &World, count: usize) {
    eventually(
        "the sidecars are back",
        Duration::from_mins(2),
        async || (world.clients().await.len() == count).then_some(()),
    )
    .await;
    synced(world, A, count, &KINDS).await;
}

/// Whether this is a test that runs with a network and mounts of its own; else it is run so, and has succeeded.
pub(crate) fn alone_in_a_network(test: &str) -> bool {
    const INSIDE: &str = "OUTRIGGER_TEST_INSIDE";
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let alone = std::process::Command::new("unshare")
        .args(["--net", "--mount", "sh", "-c"])
        .args(["ip link set lo up && exec \"$@\"", "sh"])
        .arg(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(INSIDE, "1")
        .status()
        .unwrap();
    assert!(
        alone.success(),
        "it needs root, `unshare` and `ip`: {alone}"
    );
    false
}

/// The image as it is, with nothing of Outrigger's in its bootstrap: App Mesh's own ports are opened, so that the test
/// runs itself again in a network of its own.
#[tokio::test(flavor = "multi_thread")]
async fn the_image_is_served_with_nothing_changed_in_its_bootstrap() {
    if !alone_in_a_network(
        "sidecar_image::the_image_is_served_with_nothing_changed_in_its_bootstrap",
    ) {
        return;
    }
    let (mut world, _b) = a_world().await;
    let target = format!("unix://{}", world.xds_socket().display());
    let image = Image::new(ARN, target, world.at(2, 9901));
    let mut envoy = image.start("image", &world.envoy, world.folder.path());
    if let Err(error) = envoy.ready(PATIENCE).await {
        panic!("{error}\ncontrol plane:\n{}", world.control_log());
    }
    // The node's own endpoints, for routing by zone.
    let own = format!("local_cluster::{}:8080::", world.ip(2));
    eventually(
        "`local_cluster` has them",
        Duration::from_secs(5),
        async || {
            let clusters = envoy.admin().get("/clusters").await.ok()?;
            String::from_utf8_lossy(&clusters)
                .contains(&own)
                .then_some(())
        },
    )
    .await;
    let egress = SocketAddr::from(([127, 0, 0, 1], 15001));
    let load = Load::start("b", egress, &["service-b.local"]);
    load.answers(20).await;
    world.kill_control_plane().await;
    load.phase("away");
    load.answers(20).await;
    world.start_control_plane().await;
    back(&world, 1).await;
    let clients = world.clients().await;
    let view = clients[0].view.as_ref().unwrap();
    assert_eq!(view.capture, "redirect");
    load.answers(20).await;
    println!("unchanged: {}", load.stop().await.unwrap());
}

/// App Mesh's sidecars send a PING every 10 s although they have nothing to say; here it is every second.
#[tokio::test(flavor = "multi_thread")]
async fn pings_without_data_never_cost_a_sidecar_its_connection() {
    let plane = Plane::start(ServerLimits::default());
    plane.declare(&mesh(1));
    let proxy = FrameProxy::start(plane.address).await;
    let (folder, binary) = (tempfile::tempdir().unwrap(), crate::envoy::binary().await);
    let admin = SocketAddr::from(([127, 0, 3, 11], 9901));
    let mut image = Image::new(crate::hostile::A, proxy.address.to_string(), admin);
    image.outrigger = Some(json!({
        "capture": "explicit", "bind": "127.0.3.11", "applications": { "8080": "127.0.3.12:8080" },
    }));
    image.keepalive_ms = 1_000;
    let mut envoy = image.start("pings", &binary, folder.path());
    envoy.ready(PATIENCE).await.unwrap();

    let before = proxy.counts();
    let start = Instant::now();
    eventually("eight PINGs came", PATIENCE, async || {
        (proxy.counts().pings >= before.pings + 8).then_some(())
    })
    .await;
    let after = proxy.counts();
    println!(
        "{} PINGs in {:?}: {after:?}",
        after.pings - before.pings,
        start.elapsed()
    );
    assert_eq!(after.data, before.data, "nothing but PINGs was sent");
    assert_eq!((after.connections, after.goaways), (1, 0));

    plane.declare(&mesh(2));
    eventually("Envoy has the new cluster", PATIENCE, async || {
        let clusters = envoy.admin().get("/clusters").await.ok()?;
        let clusters = String::from_utf8_lossy(&clusters).into_owned();
        clusters.contains("cds_egress_m_b2_http_8080").then_some(())
    })
    .await;
    assert_eq!((proxy.counts().connections, proxy.counts().goaways), (1, 0));
}

/// `APPMESH_XDS_ENDPOINT=host:port`: the image keeps TLS, and the plaintext port says what is wrong.
#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_that_speaks_tls_to_the_plaintext_port_is_told_of_in_the_log() {
    let (world, _b) = a_world().await;
    let mut image = Image::new(A, world.at(1, 18000).to_string(), world.at(2, 9901));
    image.tls = true;
    let _envoy = image.start("tls", &world.envoy, world.folder.path());
    let log = eventually("the log says so", PATIENCE, async || {
        let log = std::fs::read_to_string(world.folder.path().join("control-plane.log")).ok()?;
        let line = log.lines().find(|line| line.contains("speaks TLS"))?;
        Some(line.to_owned())
    })
    .await;
    for words in [
        "WARN",
        "listener=xds",
        "--xds-socket",
        "APPMESH_XDS_ENDPOINT=unix://",
    ] {
        assert!(log.contains(words), "`{words}` in {log}");
    }
    let series = "outrigger_closed_connections_total{listener=\"xds\",reason=\"tls\"}";
    assert!(world.metric(series).await >= 1);
}

/// What it was told stands in `status`, until it is served.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_sidecar_is_in_the_status_until_it_is_served() {
    let (world, _b) = a_world().await;
    let undeclared = "mesh/appMesh/virtualNode/serviceCNode";
    let socket = format!("unix://{}", world.xds_socket().display());
    let mut envoy = start(&world, 2, undeclared, socket);
    let pid = envoy.child().id().unwrap();
    let status = async |node: Option<&str>| {
        let arguments = node.into_iter().collect::<Vec<_>>();
        let mut command = std::process::Command::new(OUTRIGGER);
        command.arg("status").args(arguments);
        command.args(["--api-url", &format!("http://{}", world.at(1, 9080))]);
        let output = command.output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        String::from_utf8(said)
            .unwrap()
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    };
    let text = eventually("it is refused", PATIENCE, async || {
        let text = status(None).await;
        text.contains("was refused").then_some(text)
    })
    .await;
    let words = format!("{undeclared} at unix:pid={pid} was refused");
    assert!(
        text.contains(&words) && text.contains("is not declared; declare it"),
        "{text}"
    );
    let of_it = status(Some(undeclared)).await.replace("│ ", "");
    assert!(
        of_it.contains("is not declared, and no sidecar of it"),
        "{of_it}"
    );
    let of_b = status(Some("mesh/appMesh/virtualNode/serviceBNode"))
        .await
        .replace("│ ", "");
    assert!(of_b.contains("is declared, and no sidecar of it"), "{of_b}");

    let declared = format!(
        "{}---\nkind: VirtualNode\nmeshName: appMesh\nvirtualNodeName: serviceCNode\nspec: {{}}\n",
        a_calls_b("")
    );
    world.write_mesh(&declared);
    envoy.ready(PATIENCE).await.unwrap();
    synced(&world, undeclared, 1, &KINDS).await;
    let text = status(None).await;
    assert!(!text.contains("was refused"), "{text}");
}

#[tokio::test]
async fn every_bootstrap_here_is_one_that_envoy_takes() {
    let envoy = crate::envoy::binary().await;
    for tls in [false, true] {
        let mut image = Image::new(
            ARN,
            "unix:///run/xds.sock".to_owned(),
            ([127, 0, 0, 1], 9901).into(),
        );
        image.tls = tls;
        let output = crate::envoy::validate(&envoy, &image.bootstrap());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
    }
}
