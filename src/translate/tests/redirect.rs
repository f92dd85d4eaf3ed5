//! Sidecars to which the kernel redirects connections.

use serde_json::{Value, json};

use super::*;
use crate::model::LOCAL_CLUSTER;
use crate::translate::fixture::{dangling, redirected, translate_for};

const EGRESS_LISTENER: &str = "lds_egress_0.0.0.0_15001";
const INGRESS_LISTENER: &str = "lds_ingress_0.0.0.0_15000";
const DATABASE: &str = "tcp_egress_m_3306";

/// A node `a` with an HTTP and a TCP port that calls three HTTP services on two ports, and a database.
fn mesh(egress: &str) -> Value {
    let node = |host: &str, listeners: Value| json!({"serviceDiscovery": dns(host), "listeners": listeners});
    let mut a = node("a", json!([listener(8080, "http"), listener(9000, "tcp")]));
    a["backends"] = backends(&["b.local", "c.local", "d.local", "db.local"]);
    json!({
        "mesh": {"egressFilter": {"type": egress}},
        "nodes": {
            "a": a,
            "b": node("b", json!([listener(8080, "grpc")])),
            "c": node("c", json!([listener(8080, "http")])),
            "d": node("d", json!([listener(443, "http")])),
            "db": node("db", json!([listener(3306, "tcp")])),
            "other": node("other", json!([listener(8081, "http2")])),
        },
        "services": {
            "b.local": to_node("b"),
            "c.local": to_node("c"),
            "d.local": to_node("d"),
            "db.local": to_node("db"),
            "other.local": to_node("other"),
        },
    })
}

fn redirect(mesh: &Value, options: Options) -> (Arc<Snapshot>, Vec<String>) {
    translate_for(mesh, &redirected("a"), options)
}

fn egress_of(mesh: &Value) -> Value {
    let (snapshot, _) = redirect(mesh, Options::default());
    resource(&snapshot, Kind::Listener, EGRESS_LISTENER)
}

#[test]
fn all_egress_is_allowed() {
    let (snapshot, problems) = redirect(&mesh("ALLOW_ALL"), Options::default());
    assert_eq!(dangling(&snapshot), Vec::<String>::new());
    check(
        "redirect_allow_all",
        &snapshot,
        &[
            (Kind::Cluster, "cds_egress_m_mesh-allow-all"),
            (Kind::Cluster, "cds_ingress_m_a_http_8080"),
            (Kind::Endpoint, LOCAL_CLUSTER),
            (Kind::Listener, EGRESS_LISTENER),
            (Kind::Listener, INGRESS_LISTENER),
            (Kind::Route, "rds_egress_http_15001"),
            (Kind::Route, "rds_egress_http_443"),
            (Kind::Route, "rds_egress_http_8080"),
            (Kind::Extension, DATABASE),
        ],
        &problems,
    );
}

#[test]
fn all_egress_is_dropped_but_for_aws() {
    let (snapshot, problems) = redirect(&mesh("DROP_ALL"), Options::default());
    assert_eq!(dangling(&snapshot), Vec::<String>::new());
    check(
        "redirect_drop_all",
        &snapshot,
        &[
            (Kind::Cluster, "cds_egress_m_amazonaws"),
            (Kind::Listener, EGRESS_LISTENER),
            (Kind::Route, "rds_egress_http_8080"),
        ],
        &problems,
    );
}

/// Then no connection has to be looked at, and no server that speaks first is waited for.
#[test]
fn not_even_aws_is_called() {
    let options = Options {
        aws_egress: false,
        ..Options::default()
    };
    let (snapshot, _) = redirect(&mesh("DROP_ALL"), options.clone());
    let listener = resource(&snapshot, Kind::Listener, EGRESS_LISTENER);
    assert_eq!(listener["listenerFilters"].as_array().unwrap().len(), 1);
    assert!(!listener.to_string().contains("amazonaws"));
    let clusters = names(&snapshot, Kind::Cluster);
    assert!(!clusters.iter().any(|name| name.contains("amazonaws")));
    let (explicit, _) = translate_for(&mesh("DROP_ALL"), &key("a"), options);
    let routes = resource(&explicit, Kind::Route, EGRESS);
    assert!(!routes.to_string().contains("amazonaws"));
}

/// A chain by name, and the listener without its chains.
fn parts(listener: &Value) -> (BTreeMap<String, Value>, Value) {
    let mut rest = listener.clone();
    let chains = rest["filterChains"].take();
    let chains = chains.as_array().unwrap().iter();
    let by_name = chains.map(|chain| (chain["name"].as_str().unwrap().to_owned(), chain.clone()));
    (by_name.collect(), rest)
}

/// Connections on other ports go on: their chains stay what they are, and so does all that is outside the chains.
#[test]
fn a_backend_on_a_new_port_adds_chains() {
    for (egress, added) in [
        ("ALLOW_ALL", &["egress_http2_8081"][..]),
        ("DROP_ALL", &["egress_amazonaws_8081", "egress_http2_8081"]),
    ] {
        let mut mesh = mesh(egress);
        let (before, rest_before) = parts(&egress_of(&mesh));
        mesh["nodes"]["a"]["backends"] =
            backends(&["b.local", "c.local", "d.local", "db.local", "other.local"]);
        let (mut after, rest_after) = parts(&egress_of(&mesh));
        assert_eq!(rest_before, rest_after, "{egress}");
        for name in added {
            assert!(after.remove(*name).is_some(), "{egress}: {name}");
        }
        assert_eq!(before, after, "{egress}");
    }
}

/// Only where AWS's services are told by name, and servers may speak first, is there a price.
#[test]
fn a_tcp_backend_that_goes_takes_its_chain() {
    for (egress, same) in [("ALLOW_ALL", true), ("DROP_ALL", false)] {
        let mut mesh = mesh(egress);
        let (mut before, rest_before) = parts(&egress_of(&mesh));
        mesh["nodes"]["a"]["backends"] = backends(&["b.local", "c.local", "d.local"]);
        let (after, rest_after) = parts(&egress_of(&mesh));
        assert_eq!(rest_before == rest_after, same, "{egress}");
        assert!(before.remove("egress_tcp_3306").is_some());
        assert_eq!(before, after, "{egress}");
    }
}

#[test]
fn another_service_on_a_tcp_port_changes_no_listener() {
    let mut mesh = mesh("ALLOW_ALL");
    let (before, _) = redirect(&mesh, Options::default());
    mesh["nodes"]["new"] =
        json!({"serviceDiscovery": dns("new"), "listeners": [listener(3306, "tcp")]});
    mesh["services"]["new.local"] = to_node("new");
    mesh["nodes"]["a"]["backends"] = backends(&["b.local", "c.local", "d.local", "new.local"]);
    let (after, _) = redirect(&mesh, Options::default());
    assert!(after.same(&before, Kind::Listener));
    let proxy = resource(&after, Kind::Extension, DATABASE);
    assert_eq!(proxy["typedConfig"]["cluster"], "cds_egress_m_new_tcp_3306");
}

#[test]
fn a_port_has_one_tcp_service_and_none_where_calls_are_http() {
    let mut mesh = mesh("ALLOW_ALL");
    for (name, port) in [("e", 3306), ("f", 8080), ("g", 15001)] {
        mesh["nodes"][name] =
            json!({"serviceDiscovery": dns(name), "listeners": [listener(port, "tcp")]});
        mesh["services"][format!("{name}.local")] = to_node(name);
    }
    let all = ["b.local", "db.local", "e.local", "f.local", "g.local"];
    mesh["nodes"]["a"]["backends"] = backends(&all);
    let (snapshot, problems) = redirect(&mesh, Options::default());
    assert_eq!(dangling(&snapshot), Vec::<String>::new());
    assert_eq!(names(&snapshot, Kind::Extension), [DATABASE]);
    for (name, text) in [
        ("e.local", "belongs to virtual service `db.local`"),
        ("f.local", "reach HTTP services"),
        ("g.local", "is the sidecar's own"),
    ] {
        let told = problems.iter().filter(|problem| problem.contains(name));
        let told: Vec<&String> = told.collect();
        assert!(
            told.len() == 1 && told[0].contains(text),
            "{name}: {problems:?}"
        );
    }
    assert_eq!(problems.len(), 3, "{problems:?}");
}

/// AWS's services are called at port 443, whoever else has it.
#[test]
fn a_tcp_backend_on_443_takes_no_call_to_aws() {
    let mut mesh = mesh("DROP_ALL");
    mesh["nodes"]["db"]["listeners"] = json!([listener(443, "tcp")]);
    mesh["nodes"]["a"]["backends"] = backends(&["b.local", "db.local"]);
    let (chains, _) = parts(&egress_of(&mesh));
    let aws = &chains["egress_amazonaws_443"]["filterChainMatch"];
    assert_eq!(aws["destinationPort"], 443);
    assert_eq!(aws["serverNames"][0], "*.amazonaws.com");
    assert_eq!(
        chains["egress_tcp_443"]["filterChainMatch"],
        json!({"destinationPort": 443})
    );
}

#[test]
fn the_sidecars_own_ports_are_no_listeners_of_a_node() {
    let mut mesh = mesh("ALLOW_ALL");
    let ports = [15000, 15001].map(|port| listener(port, "http"));
    mesh["nodes"]["a"]["listeners"] = json!(ports);
    let (snapshot, problems) = redirect(&mesh, Options::default());
    assert_eq!(names(&snapshot, Kind::Listener), [EGRESS_LISTENER]);
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].contains("gets no calls on port 15000"));
}

#[test]
fn a_preference_opens_both_families() {
    let address = |listener: &Value| listener["address"]["socketAddress"]["address"].clone();
    for (preference, application) in [("IPv4_PREFERRED", "127.0.0.1"), ("IPv6_ONLY", "::1")] {
        let mut mesh = mesh("ALLOW_ALL");
        mesh["mesh"]["serviceDiscovery"] = json!({"ipPreference": preference});
        let (snapshot, _) = redirect(&mesh, Options::default());
        let ingress = resource(&snapshot, Kind::Listener, INGRESS_LISTENER);
        assert_eq!(address(&ingress), "::");
        assert_eq!(ingress["address"]["socketAddress"]["ipv4Compat"], true);
        let egress = resource(&snapshot, Kind::Listener, EGRESS_LISTENER);
        assert_eq!(address(&egress), "127.0.0.1");
        assert_eq!(address(&egress["additionalAddresses"][0]), "::1");
        let cluster = resource(&snapshot, Kind::Cluster, "cds_ingress_m_a_http_8080");
        let hosts = &cluster["loadAssignment"]["endpoints"][0]["lbEndpoints"];
        assert_eq!(address(&hosts[0]["endpoint"]), application);
    }
}

/// A sidecar reads in `local_cluster` who its peers are.
#[test]
fn a_sidecar_is_told_its_own_endpoints() {
    let model = model(&mesh("ALLOW_ALL"));
    let mut input = Input {
        endpoints: endpoints(&model),
        views: [redirected("a"), redirected("b")].into_iter().collect(),
        model,
    };
    let mut translator = Translator::new(Options::default());
    translator.apply(input.clone());
    let of = |translator: &Translator, node: &str| match translator.view(&redirected(node)) {
        Some(View::Serving(snapshot)) => Arc::clone(snapshot),
        other => panic!("{other:?}"),
    };
    let before = of(&translator, "a");
    assert!(before.get(Kind::Endpoint, LOCAL_CLUSTER).is_some());
    let source = input.model.mesh(&MeshName::new("m")).and_then(|mesh| {
        let spec = mesh.spec.clone().unwrap_or_default();
        mesh.nodes[&NodeName::new("a")].endpoint_source(&spec)
    });
    let source = source.unwrap();
    let two = [[10, 0, 0, 1], [10, 0, 0, 77]].map(|octets| Ipv4Addr::from(octets).into());
    input.endpoints.insert(source.clone(), known(&two));
    let touched = translator.apply(input.clone());
    assert_eq!(touched, [redirected("a")].into_iter().collect());
    let after = of(&translator, "a");
    let changed = after.changed_since(&before, Kind::Endpoint);
    assert_eq!(changed, [LOCAL_CLUSTER.into()].into_iter().collect());
    let own = resource(&after, Kind::Endpoint, LOCAL_CLUSTER).to_string();
    assert!(own.contains("10.0.0.77") && own.contains("8080"), "{own}");
    input.endpoints.remove(&source);
    translator.apply(input);
    assert!(of(&translator, "a").is_withheld(Kind::Endpoint, LOCAL_CLUSTER));
}
