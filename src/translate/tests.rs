mod proxyless;
mod redirect;
mod registered;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::fixture::{endpoints, key, known, model, translate};
use super::*;
use crate::model::{Capture, ClientKind, GatewayName, MeshName, NodeName, NodeRef};
use crate::snapshot::{Kind, descriptors};

/// Compares resources and problems with the committed file of that name.
#[track_caller]
fn check(name: &str, snapshot: &Snapshot, wanted: &[(Kind, &str)], problems: &[String]) {
    let mut out = String::new();
    for (kind, name) in wanted {
        let json = serde_json::to_string_pretty(&resource(snapshot, *kind, name)).unwrap();
        writeln!(out, "# {kind} {name}\n{json}").unwrap();
    }
    for problem in problems {
        writeln!(out, "# {problem}").unwrap();
    }
    insta::with_settings!({omit_expression => true}, { insta::assert_snapshot!(name, out) });
}

#[track_caller]
fn resource(snapshot: &Snapshot, kind: Kind, name: &str) -> Value {
    let resource = snapshot.get(kind, name);
    let resource = resource.unwrap_or_else(|| panic!("no {kind} {name} in {snapshot:?}"));
    descriptors::to_json(kind.type_url(), resource.body()).unwrap()
}

fn names(snapshot: &Snapshot, kind: Kind) -> Vec<String> {
    let resources = snapshot.resources(kind);
    resources
        .map(|resource| resource.name().to_string())
        .collect()
}

/// The five resources that the project began from: two nodes without listeners or backends, and a service.
fn first_mesh() -> Value {
    json!({
        "mesh": {"egressFilter": {"type": "ALLOW_ALL"}},
        "nodes": {
            "a": {"serviceDiscovery": {"dns": {"hostname": "service-a.local"}}},
            "b": {"serviceDiscovery": {"dns": {"hostname": "service-b.local"}}},
        },
        "services": {
            "service-a.local": {"provider": {"virtualNode": {"virtualNodeName": "a"}}},
            "service-b.local": {"provider": {"virtualNode": {"virtualNodeName": "b"}}},
        },
    })
}

#[test]
fn nodes_without_listeners_and_backends_reach_each_other() {
    let (snapshot, problems) = translate(&first_mesh(), "a");
    assert_eq!(
        names(&snapshot, Kind::Listener),
        ["lds_egress_127.0.0.2_15001", "lds_ingress_127.0.0.2_8080"]
    );
    assert_eq!(
        names(&snapshot, Kind::Cluster),
        [
            "cds_egress_m_a_http_8080",
            "cds_egress_m_b_http_8080",
            "cds_egress_m_mesh-allow-all",
            "cds_ingress_m_a_http_8080"
        ]
    );
    check(
        "first_mesh",
        &snapshot,
        &[
            (Kind::Cluster, "cds_egress_m_b_http_8080"),
            (Kind::Endpoint, "cds_egress_m_b_http_8080"),
            (Kind::Cluster, "cds_egress_m_mesh-allow-all"),
            (Kind::Cluster, "cds_ingress_m_a_http_8080"),
            (Kind::Listener, "lds_egress_127.0.0.2_15001"),
            (Kind::Listener, "lds_ingress_127.0.0.2_8080"),
            (Kind::Route, "rds_egress_http_15001"),
            (Kind::Route, "rds_ingress_http_8080"),
        ],
        &problems,
    );
}

fn dns(host: &str) -> Value {
    json!({"dns": {"hostname": host}})
}

fn listener(port: u16, protocol: &str) -> Value {
    json!({"portMapping": {"port": port, "protocol": protocol}})
}

fn to_router(router: &str) -> Value {
    json!({"provider": {"virtualRouter": {"virtualRouterName": router}}})
}

fn to_node(node: &str) -> Value {
    json!({"provider": {"virtualNode": {"virtualNodeName": node}}})
}

fn backends(services: &[&str]) -> Value {
    let backend = |name| json!({"virtualService": {"virtualServiceName": name}});
    services.iter().map(backend).collect()
}

/// A node `a` that calls `b.local`, a router before `b` (http 80, tcp 5432) and `c`, with these routes.
fn routed(routes: &Value) -> Value {
    let server = |host: &str| json!({"serviceDiscovery": dns(host), "listeners": [listener(80, "http"), listener(5432, "tcp")]});
    json!({
        "mesh": {},
        "nodes": {"a": {"backends": backends(&["b.local"])}, "b": server("b"), "c": server("c")},
        "services": {"b.local": to_router("r")},
        "routers": {"r": {"listeners": [listener(80, "http"), listener(5432, "tcp")]}},
        "routes": {"r": routes},
    })
}

fn http(matched: &Value) -> Value {
    json!({"httpRoute": {"match": matched, "action": {"weightedTargets": [{"virtualNode": "b", "weight": 1}]}}})
}

fn tcp(weights: [u32; 2]) -> Value {
    let target = |(node, weight): (&str, u32)| json!({"virtualNode": node, "weight": weight});
    let targets: Vec<Value> = ["b", "c"].into_iter().zip(weights).map(target).collect();
    json!({"tcpRoute": {"action": {"weightedTargets": targets}}})
}

const EGRESS: &str = "rds_egress_http_15001";

#[test]
fn routes_are_asked_in_the_order_of_their_matches() {
    let mut first = http(&json!({"prefix": "/"}));
    first["priority"] = json!(0);
    let mut second = http(&json!({"prefix": "/z"}));
    second["priority"] = json!(7);
    let routes = json!({
        "a-short-prefix": http(&json!({"prefix": "/a"})),
        "b-long-prefix": http(&json!({"prefix": "/a/b"})),
        "c-exact": http(&json!({"path": {"exact": "/a/b"}})),
        "d-regex": http(&json!({"path": {"regex": "/a.b"}})),
        "e-conditions": http(&json!({"prefix": "/a/b", "method": "GET"})),
        "f-same": http(&json!({"prefix": "/a/c"})),
        "y-second": second,
        "z-first": first,
    });
    let (snapshot, problems) = translate(&routed(&routes), "a");
    let json = resource(&snapshot, Kind::Route, EGRESS);
    let routes = json["virtualHosts"][0]["routes"].as_array().unwrap();
    let names: Vec<&str> = routes
        .iter()
        .map(|route| route["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "z-first",
            "y-second",
            "c-exact",
            "e-conditions",
            "b-long-prefix",
            "f-same",
            "d-regex",
            "a-short-prefix"
        ]
    );
    assert_eq!(problems, Vec::<String>::new());
}

#[test]
fn every_condition_of_a_route_is_envoys() {
    let routes = json!({
        "http": {"httpRoute": {
            "match": {
                "prefix": "/p", "method": "DELETE", "scheme": "https",
                "headers": [
                    {"name": "exact", "match": {"exact": "1"}}, {"name": "prefix", "match": {"prefix": "2"}},
                    {"name": "suffix", "match": {"suffix": "3"}, "invert": true}, {"name": "regex", "match": {"regex": "4+"}},
                    {"name": "range", "match": {"range": {"start": -5, "end": 6}}}, {"name": "present"},
                ],
                "queryParameters": [{"name": "exact", "match": {"exact": "7"}}, {"name": "present"}],
            },
            "action": {"weightedTargets": [{"virtualNode": "b", "weight": 30}, {"virtualNode": "c", "weight": 0}]},
            "timeout": {"perRequest": {"unit": "s", "value": 0}, "idle": {"unit": "ms", "value": 1500}},
            "retryPolicy": {
                "httpRetryEvents": ["server-error", "client-error", "stream-error"], "tcpRetryEvents": ["connection-error"],
                "maxRetries": 3, "perRetryTimeout": {"unit": "ms", "value": 250},
            },
        }},
        "grpc": {"grpcRoute": {
            "match": {"port": 80, "serviceName": "pkg.S", "methodName": "M", "metadata": [{"name": "k", "match": {"exact": "v"}}]},
            "action": {"weightedTargets": [{"virtualNode": "b", "weight": 1}]},
            "retryPolicy": {
                "grpcRetryEvents": ["unavailable", "cancelled"], "httpRetryEvents": ["gateway-error", "no-error"],
                "maxRetries": 0, "perRetryTimeout": {"unit": "s", "value": 1},
            },
        }},
    });
    let (snapshot, problems) = translate(&routed(&routes), "a");
    check("conditions", &snapshot, &[(Kind::Route, EGRESS)], &problems);
}

#[test]
fn a_tcp_backend_has_a_listener_and_its_targets_by_ecds() {
    let mesh = |weights| routed(&json!({"t": tcp(weights)}));
    let (snapshot, problems) = translate(&mesh([90, 10]), "a");
    let extension = "tcp_egress_m_5432";
    check(
        "tcp_backend",
        &snapshot,
        &[
            (Kind::Listener, "lds_egress_127.0.0.2_5432"),
            (Kind::Extension, extension),
            (Kind::Route, EGRESS),
        ],
        &problems,
    );
    let (shifted, _) = translate(&mesh([0, 10]), "a");
    for kind in Kind::ALL {
        let expected: &[&str] = match kind {
            Kind::Extension => &[extension],
            Kind::Route => &[EGRESS],
            _ => &[],
        };
        let changed = shifted.changed_since(&snapshot, kind);
        assert!(
            changed
                .iter()
                .map(AsRef::as_ref)
                .eq(expected.iter().copied()),
            "{kind}: {changed:?}"
        );
    }
    let json = resource(&shifted, Kind::Extension, extension);
    assert_eq!(
        json["typedConfig"]["cluster"], "cds_egress_m_c_tcp_5432",
        "weight 0 is left out"
    );
    let (closed, _) = translate(&mesh([0, 0]), "a");
    let json = resource(&closed, Kind::Extension, extension);
    assert_eq!(
        json["typedConfig"]["cluster"],
        "cds_egress_m_mesh-no-endpoints"
    );
}

#[test]
fn a_node_shapes_its_clients_and_its_own_way_in() {
    let health = |protocol: &str| {
        json!({
            "healthyThreshold": 2, "unhealthyThreshold": 3, "intervalMillis": 5000, "timeoutMillis": 2000,
            "protocol": protocol, "path": "/ping", "port": 80,
        })
    };
    let mesh = json!({
        "mesh": {},
        "nodes": {"a": {
            "serviceDiscovery": {"dns": {"hostname": "a", "responseType": "LOADBALANCER", "ipPreference": "IPv4_PREFERRED"}},
            "backends": backends(&["a.local"]),
            "listeners": [{
                "portMapping": {"port": 80, "protocol": "http2"},
                "healthCheck": health("http2"),
                "outlierDetection": {"baseEjectionDuration": {"unit": "s", "value": 30}, "interval": {"unit": "s", "value": 10},
                                     "maxEjectionPercent": 50, "maxServerErrors": 5},
                "connectionPool": {"http2": {"maxRequests": 7}},
                "timeout": {"http2": {"perRequest": {"unit": "s", "value": 40}, "idle": {"unit": "s", "value": 0}}},
            }],
            "logging": {"accessLog": {"file": {"path": "/dev/stderr", "format": {"json": [
                {"key": "path", "value": "%REQ(:PATH)%"}, {"key": "code", "value": "%RESPONSE_CODE%"}]}}}},
        }},
        "services": {"a.local": to_node("a")},
    });
    let (snapshot, problems) = translate(&mesh, "a");
    check(
        "node",
        &snapshot,
        &[
            (Kind::Cluster, "cds_egress_m_a_http2_80"),
            (Kind::Cluster, "cds_ingress_m_a_http2_80"),
            (Kind::Route, "rds_ingress_http2_80"),
            (Kind::Listener, "lds_ingress_127.0.0.2_80"),
        ],
        &problems,
    );
    assert_eq!(
        snapshot.len(Kind::Endpoint),
        0,
        "Envoy resolves the name itself"
    );
}

/// Envoy refuses a gRPC health check of hosts that do not speak HTTP/2 (measured on Envoy 1.40), cluster and all.
#[test]
fn a_health_check_that_envoy_would_refuse_is_left_out() {
    let health = json!({"healthyThreshold": 2, "unhealthyThreshold": 3, "intervalMillis": 5000, "timeoutMillis": 2000,
                        "protocol": "grpc"});
    let checked = |protocol: &str| {
        let mut listener = listener(80, protocol);
        listener["healthCheck"] = health.clone();
        let mesh = json!({
            "mesh": {},
            "nodes": {"a": {"backends": backends(&["b.local"])}, "b": {"serviceDiscovery": dns("b"), "listeners": [listener]}},
            "services": {"b.local": to_node("b")},
        });
        let (snapshot, problems) = translate(&mesh, "a");
        let cluster = format!("cds_egress_m_b_{protocol}_80");
        let json = resource(&snapshot, Kind::Cluster, &cluster);
        (json.get("healthChecks").is_some(), problems.join("\n"))
    };
    for protocol in ["http2", "grpc"] {
        assert_eq!(checked(protocol), (true, String::new()), "{protocol}");
    }
    for protocol in ["http", "tcp"] {
        let (there, problems) = checked(protocol);
        assert!(!there, "{protocol}");
        assert!(problems.contains("`healthCheck.protocol`"), "{problems}");
    }
}

/// A TCP backend dialled through CONNECT is as patient as one that is dialled directly.
#[test]
fn a_tunnel_has_the_idle_time_of_its_route() {
    let mut route = tcp([1, 1]);
    let idle = |route: &Value| {
        let (snapshot, _) = translate(&routed(&json!({"t": route})), "a");
        resource(&snapshot, Kind::Route, EGRESS)["virtualHosts"][1]["routes"][0]["route"]["idleTimeout"]
            .clone()
    };
    assert_eq!(idle(&route), "0s", "not Envoy's five minutes");
    route["tcpRoute"]["timeout"] = json!({"idle": {"unit": "s", "value": 7200}});
    assert_eq!(idle(&route), "7200s");
}

/// Longer ones than Envoy takes would cost the whole route configuration.
#[test]
fn an_endless_time_is_the_longest_that_envoy_takes() {
    let mut route = http(&json!({"prefix": "/"}));
    route["httpRoute"]["timeout"] = json!({"perRequest": {"unit": "s", "value": i64::MAX}});
    let (snapshot, _) = translate(&routed(&json!({"x": route})), "a");
    let json = resource(&snapshot, Kind::Route, EGRESS);
    let timeout = &json["virtualHosts"][0]["routes"][0]["route"]["timeout"];
    // Measured on Envoy 1.40: a second more is refused.
    assert_eq!(timeout, "9223372035s");
}

/// What is broken is left out alone, and says how to be mended.
#[test]
fn what_is_broken_is_told_and_the_rest_is_served() {
    let mesh = json!({
        "mesh": {},
        "nodes": {
            "a": {
                "serviceDiscovery": dns("a"),
                "listeners": [listener(80, "http"), listener(5432, "tcp"), listener(15001, "http"), listener(80, "grpc")],
                "backends": backends(&["b.local", "B.local", "db.local", "gone.local"]),
            },
            "b": {"listeners": [listener(80, "http"), listener(5432, "tcp")]},
        },
        "services": {
            "b.local": to_router("r"), "B.local": to_node("b"), "db.local": to_node("b"),
            "lost.local": to_node("nobody"), "*": to_router("none"),
        },
        "routers": {"r": {"listeners": [listener(80, "http")]}},
        "routes": {"r": {
            "ghost": {"httpRoute": {"match": {"prefix": "/"}, "action": {"weightedTargets": [{"virtualNode": "nobody", "weight": 1}]}}},
            "idle": {"httpRoute": {"match": {"prefix": "/i"}, "action": {"weightedTargets": [{"virtualNode": "b", "weight": 0}]}}},
            "port": {"httpRoute": {"match": {"prefix": "/", "port": 81}, "action": {"weightedTargets": []}}},
            "slash": http(&json!({"prefix": "x"})),
            "header": http(&json!({"prefix": "/h", "headers": [{"name": "h", "match": {"prefix": ""}}]})),
            "tcp": tcp([1, 1]),
            "none": {},
        }},
    });
    let (snapshot, problems) = translate(&mesh, "a");
    check("broken", &snapshot, &[(Kind::Route, EGRESS)], &problems);
}

#[test]
fn an_application_at_the_sidecars_own_address_is_not_called() {
    let model = model(&first_mesh());
    let mut looping = key("a");
    if let Capture::Explicit { bind, .. } = &mut looping.capture {
        *bind = Ipv4Addr::LOCALHOST.into();
    }
    let mut translator = Translator::new(Options::default());
    let views = [looping.clone()].into_iter().collect();
    translator.apply(Input {
        endpoints: endpoints(&model),
        model,
        views,
    });
    let Some(View::Serving(snapshot)) = translator.view(&looping) else {
        panic!("not served")
    };
    assert_eq!(
        names(snapshot, Kind::Listener),
        ["lds_egress_127.0.0.1_15001"]
    );
    let problems: Vec<String> = translator.problems().map(ToString::to_string).collect();
    assert!(problems[0].contains("mesh/m/virtualNode/a gets no calls on port 8080: its application is said to be at 127.0.0.1:8080"), "{problems:?}");
}

#[test]
fn calls_that_must_be_encrypted_are_not_made_in_plain_text() {
    let mut mesh = routed(&json!({"x": http(&json!({"prefix": "/"})), "t": tcp([1, 1])}));
    let trust = json!({"file": {"certificateChain": "/ca.pem"}});
    let policy = |enforce| json!({"clientPolicy": {"tls": {"enforce": enforce, "validation": {"trust": trust}}}});
    mesh["nodes"]["a"]["backendDefaults"] = policy(true);
    let (snapshot, problems) = translate(&mesh, "a");
    let json = resource(&snapshot, Kind::Route, EGRESS);
    assert_eq!(
        json["virtualHosts"][0]["routes"][0]["directResponse"]["status"],
        503
    );
    let json = resource(&snapshot, Kind::Extension, "tcp_egress_m_5432");
    assert_eq!(
        json["typedConfig"]["cluster"],
        "cds_egress_m_mesh-no-endpoints"
    );
    assert!(
        problems[0].contains("TLS is not served yet"),
        "{problems:?}"
    );
    mesh["nodes"]["a"]["backendDefaults"] = policy(false);
    let (snapshot, problems) = translate(&mesh, "a");
    let json = resource(&snapshot, Kind::Route, EGRESS);
    assert_eq!(
        json["virtualHosts"][0]["routes"][0]["route"]["cluster"],
        "cds_egress_m_b_http_80"
    );
    assert_eq!(problems, Vec::<String>::new());
}

#[test]
fn what_is_not_served_says_so() {
    let key = |node: NodeRef, capture: Option<Capture>, client| ViewKey {
        capture: capture.unwrap_or_else(|| key("a").capture),
        node,
        client,
    };
    let node = |name: &str| NodeRef::VirtualNode(MeshName::new("m"), NodeName::new(name));
    let gateway = NodeRef::VirtualGateway(MeshName::new("m"), GatewayName::new("g"));
    let elsewhere = NodeRef::VirtualNode(MeshName::new("other"), NodeName::new("a"));
    let cases = [
        (key(node("zzz"), None, ClientKind::Grpc), ""),
        (key(node("zzz"), None, ClientKind::Envoy), ""),
        (key(gateway, None, ClientKind::Envoy), ""),
        (key(elsewhere, None, ClientKind::Envoy), ""),
    ];
    let views = cases.iter().map(|(key, _)| key.clone()).collect();
    let mut translator = Translator::new(Options::default());
    translator.apply(Input {
        model: model(&first_mesh()),
        views,
        ..Input::default()
    });
    for (key, text) in cases {
        match translator.view(&key) {
            Some(View::NotFound) => assert_eq!(text, "", "{key:?}"),
            Some(View::Unsupported(reason)) => {
                assert!(!text.is_empty() && reason.contains(text), "{reason}");
            }
            other => panic!("{key:?}: {other:?}"),
        }
    }
}

/// An endpoint that comes or goes is one load assignment; a cluster that changes brings its load assignment after it.
#[test]
fn a_change_touches_what_depends_on_it() {
    let mut json = first_mesh();
    let model_of = |json: &Value| model(json);
    let input = |json: &Value| {
        let model = model_of(json);
        Input {
            endpoints: endpoints(&model),
            model,
            views: [key("a")].into_iter().collect(),
        }
    };
    let mut translator = Translator::new(Options::default());
    let serving = |translator: &Translator| match translator.view(&key("a")) {
        Some(View::Serving(snapshot)) => Arc::clone(snapshot),
        other => panic!("{other:?}"),
    };
    let mut changed = input(&json);
    let source = changed.endpoints.keys().next_back().unwrap().clone();
    changed.endpoints.remove(&source);
    translator.apply(changed.clone());
    let before = serving(&translator);
    let cluster = "cds_egress_m_b_http_8080";
    assert!(before.is_withheld(Kind::Endpoint, cluster));

    changed.endpoints.insert(source.clone(), known(&[]));
    assert_eq!(translator.apply(changed.clone()).len(), 1);
    let after = serving(&translator);
    let changes = |before: &Snapshot, after: &Snapshot| -> Vec<String> {
        let of = |kind: Kind| {
            after
                .changed_since(before, kind)
                .into_iter()
                .map(move |name| format!("{kind} {name}"))
        };
        Kind::ALL.into_iter().flat_map(of).collect()
    };
    assert_eq!(changes(&before, &after), [format!("eds {cluster}")]);
    assert_eq!(
        translator.apply(changed),
        std::collections::BTreeSet::new(),
        "nothing changed"
    );

    json["nodes"]["b"]["listeners"] = json!([{"portMapping": {"port": 8080, "protocol": "http"}, "outlierDetection": {
        "baseEjectionDuration": {"unit": "s", "value": 30}, "interval": {"unit": "s", "value": 10}, "maxServerErrors": 5}}]);
    let mut changed = input(&json);
    changed.endpoints.insert(source, known(&[]));
    translator.apply(changed);
    assert_eq!(
        changes(&after, &serving(&translator)),
        [format!("cds {cluster}"), format!("eds {cluster}")]
    );
}

/// Trap 14 of the notes on the xDS protocol: an order that means nothing must not look like a change.
#[test]
fn the_order_of_backends_is_no_change() {
    let mut json = first_mesh();
    let version = |json: &Value| {
        let (snapshot, _) = translate(json, "a");
        Kind::ALL.map(|kind| snapshot.version(kind))
    };
    json["nodes"]["a"]["backends"] = backends(&["service-a.local", "service-b.local"]);
    let first = version(&json);
    json["nodes"]["a"]["backends"] = backends(&["service-b.local", "service-a.local"]);
    assert_eq!(version(&json), first);
    json["nodes"]["a"]["backends"] = backends(&["service-b.local"]);
    assert_ne!(version(&json), first);
}

/// Trap 20: whatever of a sidecar changes its resources is part of its view's key.
#[test]
fn views_with_other_addresses_are_other_views() {
    let model = model(&first_mesh());
    let mut keys = [key("a"), key("a"), key("a"), key("b")];
    for (key, number) in keys.iter_mut().zip(0_u16..).skip(1).take(2) {
        let Capture::Explicit { bind, applications } = &mut key.capture else {
            continue;
        };
        if number == 1 {
            *bind = "127.0.0.77".parse().unwrap();
        } else {
            applications.insert(8080, "127.0.0.1:7777".parse().unwrap());
        }
    }
    let mut translator = Translator::new(Options::default());
    let views = keys.iter().cloned().collect();
    translator.apply(Input {
        endpoints: endpoints(&model),
        model,
        views,
    });
    let snapshots = keys.iter().map(|key| match translator.view(key) {
        Some(View::Serving(snapshot)) => Arc::clone(snapshot),
        other => panic!("{other:?}"),
    });
    let snapshots: Vec<_> = snapshots.collect();
    for (n, snapshot) in snapshots.iter().enumerate() {
        assert!(
            snapshots.iter().skip(n + 1).all(|other| other != snapshot),
            "{:?}",
            keys[n]
        );
    }
}

#[test]
fn an_application_for_a_port_without_listener_is_told() {
    let model = model(&first_mesh());
    let mut key = key("a");
    let Capture::Explicit { applications, .. } = &mut key.capture else {
        panic!("explicit by default");
    };
    applications.insert(9999, "127.0.0.1:7777".parse().unwrap());
    let mut translator = Translator::new(Options::default());
    let views = [key].into_iter().collect();
    translator.apply(Input {
        endpoints: endpoints(&model),
        model,
        views,
    });
    let problems: Vec<String> = translator.problems().map(ToString::to_string).collect();
    let [problem] = problems.as_slice() else {
        panic!("one problem: {problems:?}");
    };
    assert!(
        problem.contains("port 9999") && problem.contains("--app"),
        "{problem}"
    );
}
