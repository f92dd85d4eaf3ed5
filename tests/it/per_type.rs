//! Real Envoys that have a stream for each type instead of one for all, as bootstraps without ADS have it.
//!
//! Resources refer to ADS for what they name, so that no one bootstrap has all types by services of their own: one has
//! clusters and listeners by theirs, the other endpoints and routes.

use std::net::SocketAddr;

use outrigger::envoy::bootstrap::{BootstrapOptions, XDS_CLUSTER, XdsProtocol, bootstrap};
use outrigger::envoy::process::Envoy;
use outrigger::model::NodeRef;
use serde_json::{Value, json};

use crate::continuity::{A, B_CLUSTER, TTL, listener, mesh, node, service};
use crate::world::{Application, PATIENCE, World, eventually};

/// A configuration source that is the service of its own type.
fn source(protocol: XdsProtocol) -> Value {
    let api_type = match protocol {
        XdsProtocol::Delta => "DELTA_GRPC",
        XdsProtocol::StateOfTheWorld => "GRPC",
    };
    json!({
        "resource_api_version": "V3",
        "api_config_source": {
            "api_type": api_type,
            "transport_api_version": "V3",
            "grpc_services": [{ "envoy_grpc": { "cluster_name": XDS_CLUSTER } }],
        },
    })
}

fn plain(world: &World, host: u8, protocol: XdsProtocol) -> (Value, SocketAddr) {
    let xds = world.at(1, 18000).into();
    let mut options = BootstrapOptions::new(NodeRef::parse(A).unwrap(), xds, world.capture(host));
    options.protocol = protocol;
    (bootstrap(&options).unwrap(), options.admin())
}

/// Clusters and listeners by services of their own; what they name by ADS.
fn dynamic(world: &World, host: u8, protocol: XdsProtocol) -> Envoy {
    let (mut written, admin) = plain(world, host, protocol);
    for config in ["cds_config", "lds_config"] {
        written["dynamic_resources"][config] = source(protocol);
    }
    world.start_envoy(host, &written, admin)
}

/// Routes and endpoints by services of their own, for a listener and a cluster of the bootstrap. There is no ADS.
fn static_(world: &World, host: u8, protocol: XdsProtocol) -> Envoy {
    let (mut written, admin) = plain(world, host, protocol);
    written.as_object_mut().unwrap().remove("dynamic_resources");
    let resources = &mut written["static_resources"];
    resources["clusters"].as_array_mut().unwrap().push(json!({
        "name": B_CLUSTER,
        "type": "EDS",
        "connect_timeout": "1s",
        "eds_cluster_config": { "eds_config": source(protocol) },
    }));
    let bind = world.at(host, 15001);
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "egress",
        "rds": { "route_config_name": "rds_egress_http_15001", "config_source": source(protocol) },
        "http_filters": [{
            "name": "envoy.filters.http.router",
            "typed_config": { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" },
        }],
    });
    resources["listeners"] = json!([{
        "name": "egress",
        "address": { "socket_address": { "address": bind.ip().to_string(), "port_value": bind.port() } },
        "filter_chains": [{ "filters": [
            { "name": "envoy.filters.network.http_connection_manager", "typed_config": manager },
        ] }],
    }]);
    world.start_envoy(host, &written, admin)
}

fn nodes() -> Vec<String> {
    let http = listener(8080, "http", "");
    vec![
        node("serviceANode", "service-a.local", &http),
        node("serviceBNode", "service-b.local", &http),
        node("serviceCNode", "service-c.local", &http),
    ]
}

fn with(services: &[(&str, &str)]) -> String {
    let services = services.iter().map(|(name, node)| service(name, node));
    mesh(
        "ALLOW_ALL",
        &nodes().into_iter().chain(services).collect::<Vec<_>>(),
    )
}

async fn answers(world: &World, host: u8, authority: &str, expected: &str) {
    eventually(
        &format!("host {host} is answered by {expected} at {authority}"),
        PATIENCE,
        async || (world.call(host, authority, "/").await.1 == expected).then_some(()),
    )
    .await;
}

/// Every type by its own service, in both variants: it starts, follows a change, and comes back.
#[tokio::test(flavor = "multi_thread")]
async fn envoys_with_a_stream_for_each_type_start_follow_and_come_back() {
    let mut world = World::new().await;
    for (name, host) in [
        ("service-a.local", 2),
        ("service-b.local", 9),
        ("service-c.local", 10),
    ] {
        world.zone.set(name, TTL, vec![world.ip(host)]);
    }
    world
        .serve(&with(&[("service-b.local", "serviceBNode")]))
        .await;
    let _b = Application::start(world.at(9, 8080), "b").await;
    let _c = Application::start(world.at(10, 8080), "c").await;
    let _moved = Application::start(world.at(11, 8080), "moved").await;
    let (delta, sotw) = (XdsProtocol::Delta, XdsProtocol::StateOfTheWorld);
    let _envoys = [
        dynamic(&world, 2, delta),
        dynamic(&world, 3, sotw),
        static_(&world, 4, delta),
        static_(&world, 5, sotw),
    ];
    for host in 2..=5 {
        answers(&world, host, "service-b.local", "b").await;
    }
    // Three streams each of the first two (one is ADS, for endpoints and routes), and two each of the others.
    eventually("ten streams are open", PATIENCE, async || {
        (world.clients().await.len() == 10).then_some(())
    })
    .await;

    world.write_mesh(&with(&[
        ("service-b.local", "serviceCNode"),
        ("again.local", "serviceBNode"),
    ]));
    for host in 2..=3 {
        answers(&world, host, "service-b.local", "c").await;
    }
    for host in 2..=5 {
        answers(&world, host, "again.local", "b").await;
    }
    world.zone.set("service-b.local", TTL, vec![world.ip(11)]);
    for host in 2..=5 {
        answers(&world, host, "again.local", "moved").await;
    }

    world.kill_control_plane().await;
    world.write_mesh(&with(&[("service-b.local", "serviceBNode")]));
    world.start_control_plane().await;
    for host in 2..=5 {
        answers(&world, host, "service-b.local", "moved").await;
    }
    for client in world.clients().await {
        for kind in &client.kinds {
            assert!(kind.rejections.is_empty(), "{client:?}");
        }
    }
}
