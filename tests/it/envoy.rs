//! The real Envoy: found or fetched, and pleased with every bootstrap that Outrigger writes.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use outrigger::envoy::binary::{self, BinarySource};
use outrigger::envoy::bootstrap::{BootstrapOptions, XdsProtocol, bootstrap};
use outrigger::envoy::process::{Envoy, EnvoyError, EnvoyOptions};
use outrigger::envoy::progress::Progress;
use outrigger::model::{Capture, NodeRef};
use serde_json::{Value, json};

pub(crate) const OUTRIGGER: &str = env!("CARGO_BIN_EXE_outrigger");

/// Where what tests fetch is kept.
pub(crate) fn cache() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache"),
        PathBuf::from,
    );
    cache.join("outrigger")
}

/// The Envoy of this machine; the first test that asks has it fetched.
pub(crate) async fn binary() -> PathBuf {
    let source = BinarySource {
        named: std::env::var_os("OUTRIGGER_ENVOY").map(PathBuf::from),
        cache: cache(),
    };
    binary::find(&source, &Progress::stderr())
        .await
        .unwrap()
        .path
}

/// What `envoy --mode validate` says of a bootstrap, at the level that includes warnings.
pub(crate) fn validate(envoy: &Path, bootstrap: &Value) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("bootstrap.json");
    std::fs::write(&config, bootstrap.to_string()).unwrap();
    Command::new(envoy)
        .args([
            "--mode",
            "validate",
            "--log-level",
            "warning",
            "--config-path",
        ])
        .arg(&config)
        .output()
        .unwrap()
}

#[tokio::test]
async fn envoy_accepts_every_bootstrap_without_a_warning() {
    let envoy = binary().await;
    let explicit = |bind: &str, applications: &[(u16, &str)]| Capture::Explicit {
        bind: bind.parse().unwrap(),
        applications: applications
            .iter()
            .map(|(port, application)| (*port, application.parse().unwrap()))
            .collect(),
    };
    let captures = [
        Capture::Redirect,
        explicit("127.0.0.2", &[(8080, "127.0.0.1:18080"), (8081, "[::1]:1")]),
        explicit("::1", &[]),
    ];
    for (index, capture) in captures.into_iter().enumerate() {
        for protocol in [XdsProtocol::Delta, XdsProtocol::StateOfTheWorld] {
            for xds in [
                "127.0.0.1:18000",
                "[::1]:18000",
                "control-plane.local:18000",
                "unix:///run/outrigger/xds.sock",
            ] {
                let id = ["mesh/m/virtualNode/n", "mesh/m/virtualGateway/g"][index % 2];
                let node = NodeRef::parse(id).unwrap();
                let mut options =
                    BootstrapOptions::new(node, xds.parse().unwrap(), capture.clone());
                options.protocol = protocol;
                options.stats = (index == 0).then(|| "0.0.0.0:9902".parse().unwrap());
                let bootstrap = bootstrap(&options).unwrap();
                let output = validate(&envoy, &bootstrap);
                let said = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success(), "{bootstrap:#}\n{said}");
                assert!(said.trim().is_empty(), "{bootstrap:#}\n{said}");
            }
        }
    }
}

/// Envoy's own limit would refuse it, and with it every route of the sidecar; App Mesh's sidecars took it.
#[tokio::test]
async fn a_sidecar_takes_the_regular_expressions_that_app_mesh_took() {
    let envoy = binary().await;
    let node = NodeRef::parse("mesh/m/virtualNode/n").unwrap();
    let xds = "127.0.0.1:18000".parse().unwrap();
    let options = BootstrapOptions::new(node, xds, Capture::Redirect);
    let mut bootstrap = bootstrap(&options).unwrap();
    bootstrap["static_resources"]["listeners"] = json!([{
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 15001}},
        "filter_chains": [{"filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                "stat_prefix": "egress",
                "http_filters": [{
                    "name": "envoy.filters.http.router",
                    "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
                }],
                "route_config": {"virtual_hosts": [{"name": "h", "domains": ["*"], "routes": [{
                    "match": {"safe_regex": {"regex": "/api/v[0-9]+/[a-z0-9-]{1,63}/.*"}},
                    "direct_response": {"status": 200},
                }]}]},
            },
        }]}],
    }]);
    let output = validate(&envoy, &bootstrap);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

#[tokio::test]
async fn envoy_refuses_a_bootstrap_with_an_unknown_member() {
    let envoy = binary().await;
    let node = NodeRef::parse("mesh/m/virtualNode/n").unwrap();
    let xds = "127.0.0.1:18000".parse().unwrap();
    let options = BootstrapOptions::new(node, xds, Capture::Redirect);
    let mut bootstrap = bootstrap(&options).unwrap();
    bootstrap["node"]["unknown"] = Value::from(1);
    let output = validate(&envoy, &bootstrap);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("unknown"));
}

#[tokio::test]
async fn an_envoy_without_a_control_plane_runs_and_does_not_serve() {
    let binary = binary().await;
    let folder = tempfile::tempdir().unwrap();
    let node = NodeRef::parse("mesh/m/virtualNode/n").unwrap();
    // Nobody listens on the port that was free a moment ago.
    let xds = free_address();
    let mut options = BootstrapOptions::new(node, xds.into(), Capture::Redirect);
    options.admin = Some(free_address());
    let start = EnvoyOptions::new("alone", OUTRIGGER.as_ref(), &binary, folder.path());
    let mut envoy = Envoy::start(&start, &bootstrap(&options).unwrap(), options.admin()).unwrap();

    let serving = envoy.ready(Duration::from_millis(1)).await.unwrap_err();
    assert!(matches!(serving, EnvoyError::NotReady { .. }), "{serving}");
    let admin = envoy.admin();
    while admin.get("/server_info").await.is_err() {
        assert!(
            envoy.child().ended().is_none(),
            "{:?}",
            envoy.child().last_lines(9)
        );
        tokio::task::yield_now().await;
    }
    assert!(!admin.is_ready().await);
    let info = admin.get_json("/server_info").await.unwrap();
    assert_eq!(info["node"]["metadata"]["outrigger"]["capture"], "redirect");

    assert!(envoy.stop(Duration::from_secs(20)).await.unwrap().success());
    let log = std::fs::read_to_string(folder.path().join("alone.log")).unwrap();
    assert!(log.contains("starting main dispatch loop"), "{log}");
    for warning in ["no configured limit", "eprecated"] {
        assert!(!log.contains(warning), "{log}");
    }
}

#[tokio::test]
async fn an_envoy_that_ends_says_why() {
    let binary = binary().await;
    let folder = tempfile::tempdir().unwrap();
    let start = EnvoyOptions::new("broken", OUTRIGGER.as_ref(), &binary, folder.path());
    let broken = serde_json::json!({ "no_such_member": 1 });
    let mut envoy = Envoy::start(&start, &broken, free_address()).unwrap();
    let error = envoy.ready(Duration::from_mins(1)).await.unwrap_err();
    assert!(matches!(error, EnvoyError::Ended { .. }), "{error}");
    assert!(error.to_string().contains("no_such_member"), "{error}");
}

fn free_address() -> std::net::SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}
