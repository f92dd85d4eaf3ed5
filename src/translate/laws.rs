//! Laws of translation, over random models and random sequences of edits.

use std::collections::{BTreeMap, BTreeSet};

use envoy_types::pb::envoy::config::route::v3::RouteConfiguration;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use prost::Message;
use serde_json::{Value, json};

use super::fixture::{dangling, key, known};
use super::*;
use crate::model::endpoint::{EndpointSet, EndpointSource, RegisteredSet};
use crate::model::{
    Capture, ClientKind, MeshName, NodeName, Resource, RouteName, RouterName, ServiceName, Spec,
};
use crate::snapshot::{Kind, canonical};

const NODES: [&str; 4] = ["n0", "n1", "n2", "n3"];
/// Two of them differ in nothing but case, one is another with a port, and one is no host name.
const SERVICES: [&str; 7] = ["s0", "S0", "s1", "s1:8080", "s2", "s3", "*"];
const ROUTERS: [&str; 2] = ["r0", "r1"];
const ROUTES: [&str; 3] = ["x", "y", "z"];
const HOSTS: [&str; 3] = ["h0", "h1", "h2"];

/// One resource, source or view replaced, or taken away.
#[derive(Clone, Debug)]
enum Edit {
    Resource(ResourceId, Option<Value>),
    /// So many addresses; three of them: nobody answered; `None`: unresolved.
    Endpoints(&'static str, Option<usize>),
    Forget(&'static str),
    /// So many endpoints registered for a node, with different ports; `None`: its discovery counts.
    Register(&'static str, Option<usize>),
    View(Box<ViewKey>, bool),
}

fn mesh_name() -> MeshName {
    MeshName::new(fixture::MESH)
}

fn edit() -> impl Strategy<Value = Edit> {
    let resource = |id: ResourceId, spec: Option<Value>| Edit::Resource(id, spec);
    prop_oneof![
        1 => option::weighted(0.9, mesh()).prop_map(move |spec| resource(ResourceId::Mesh(mesh_name()), spec)),
        4 => (select(&NODES[..]), option::weighted(0.9, node())).prop_map(move |(name, spec)| {
            resource(ResourceId::VirtualNode(mesh_name(), NodeName::new(name)), spec)
        }),
        3 => (select(&SERVICES[..]), option::weighted(0.9, service())).prop_map(move |(name, spec)| {
            resource(ResourceId::VirtualService(mesh_name(), ServiceName::new(name)), spec)
        }),
        2 => (select(&ROUTERS[..]), option::weighted(0.9, router())).prop_map(move |(name, spec)| {
            resource(ResourceId::VirtualRouter(mesh_name(), RouterName::new(name)), spec)
        }),
        4 => (select(&ROUTERS[..]), select(&ROUTES[..]), option::weighted(0.9, route())).prop_map(
            move |(router, name, spec)| {
                let id = ResourceId::Route(mesh_name(), RouterName::new(router), RouteName::new(name));
                resource(id, spec)
            }
        ),
        2 => (select(&HOSTS[..]), option::weighted(0.8, 0..4_usize)).prop_map(|(host, count)| Edit::Endpoints(host, count)),
        1 => select(&HOSTS[..]).prop_map(Edit::Forget),
        2 => (select(&NODES[..]), option::weighted(0.7, 0..4_usize)).prop_map(|(node, count)| Edit::Register(node, count)),
        3 => (view_key(), any::<bool>()).prop_map(|(key, there)| Edit::View(Box::new(key), there)),
    ]
}

fn mesh() -> impl Strategy<Value = Value> {
    let filter = select(&["ALLOW_ALL", "ALLOW_ALL", "DROP_ALL"][..]);
    let preference = option::weighted(0.2, select(&["IPv4_ONLY", "IPv6_PREFERRED"][..]));
    (filter, preference).prop_map(|(filter, preference)| match preference {
        None => json!({"egressFilter": {"type": filter}}),
        Some(preference) => {
            json!({"egressFilter": {"type": filter}, "serviceDiscovery": {"ipPreference": preference}})
        }
    })
}

fn node() -> impl Strategy<Value = Value> {
    let discovery = option::weighted(
        0.9,
        (
            select(&HOSTS[..]),
            option::weighted(0.3, select(&["LOADBALANCER", "ENDPOINTS"][..])),
        ),
    );
    let backends = option::of(subsequence(&SERVICES[..], 0..=3));
    let log = option::weighted(0.2, select(&["/dev/stdout", "/tmp/log"][..]));
    (discovery, vec(listener(), 0..3), backends, log).prop_map(
        |(discovery, listeners, backends, log)| {
            let mut spec = json!({"listeners": listeners});
            if let Some((host, response)) = discovery {
                spec["serviceDiscovery"] = json!({"dns": {"hostname": host}});
                if let Some(response) = response {
                    spec["serviceDiscovery"]["dns"]["responseType"] = json!(response);
                }
            }
            if let Some(backends) = backends {
                let backend = |name| {
                    let mut backend = json!({"virtualService": {"virtualServiceName": name}});
                    if name == "s3" {
                        let trust = json!({"file": {"certificateChain": "/ca.pem"}});
                        backend["virtualService"]["clientPolicy"] =
                            json!({"tls": {"ports": [8080, 5432], "validation": {"trust": trust}}});
                    }
                    backend
                };
                spec["backends"] = backends.into_iter().map(backend).collect();
            }
            if let Some(path) = log {
                spec["logging"] = json!({"accessLog": {"file": {"path": path}}});
            }
            spec
        },
    )
}

fn listener() -> impl Strategy<Value = Value> {
    (port(), protocol(), 0..5_u8).prop_map(|(port, protocol, extra)| {
        let mut listener = json!({"portMapping": {"port": port, "protocol": protocol}});
        match extra {
            0 => listener["timeout"] = json!({"http": {"perRequest": {"unit": "s", "value": 1}}}),
            1 => {
                listener["healthCheck"] = json!({
                    "healthyThreshold": 2, "unhealthyThreshold": 2, "protocol": "http", "path": "/ping",
                    "intervalMillis": 5000, "timeoutMillis": 2000,
                });
            }
            2 => listener["connectionPool"] = json!({"http": {"maxConnections": 3}}),
            _ => {}
        }
        listener
    })
}

fn port() -> impl Strategy<Value = u16> {
    select(&[8080, 8081, 5432, 15001][..])
}

fn protocol() -> impl Strategy<Value = &'static str> {
    select(&["http", "http2", "grpc", "tcp", "tcp"][..])
}

fn service() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!({})),
        select(&NODES[..])
            .prop_map(|node| json!({"provider": {"virtualNode": {"virtualNodeName": node}}})),
        select(&ROUTERS[..]).prop_map(
            |router| json!({"provider": {"virtualRouter": {"virtualRouterName": router}}})
        ),
    ]
}

fn router() -> impl Strategy<Value = Value> {
    vec((port(), protocol()), 0..3).prop_map(|listeners| {
        let listener =
            |(port, protocol)| json!({"portMapping": {"port": port, "protocol": protocol}});
        json!({"listeners": listeners.into_iter().map(listener).collect::<Vec<_>>()})
    })
}

fn route() -> impl Strategy<Value = Value> {
    let targets = vec(
        (select(&NODES[..]), 0..3_u32, option::weighted(0.3, port())),
        0..3,
    );
    let kind = select(
        &[
            "httpRoute",
            "httpRoute",
            "http2Route",
            "grpcRoute",
            "tcpRoute",
        ][..],
    );
    let prefix = select(&["/", "/a", "/long/path", "no-slash"][..]);
    (
        kind,
        targets,
        prefix,
        option::weighted(0.3, port()),
        option::of(0..3_u32),
    )
        .prop_map(|(kind, targets, prefix, port, priority)| {
            let target = |(node, weight, port): (&str, u32, Option<u16>)| {
                let mut target = json!({"virtualNode": node, "weight": weight});
                if let Some(port) = port {
                    target["port"] = json!(port);
                }
                target
            };
            let targets: Vec<Value> = targets.into_iter().map(target).collect();
            let mut matched = match kind {
                "tcpRoute" => json!({}),
                "grpcRoute" => json!({"serviceName": "pkg.Service"}),
                _ => json!({"prefix": prefix}),
            };
            if let Some(port) = port {
                matched["port"] = json!(port);
            }
            let mut spec =
                json!({kind: {"action": {"weightedTargets": targets}, "match": matched}});
            if let Some(priority) = priority {
                spec["priority"] = json!(priority);
            }
            spec
        })
}

fn view_key() -> impl Strategy<Value = ViewKey> {
    (select(&NODES[..]), 0..8_u8).prop_map(|(node, kind)| {
        let mut view = key(node);
        match kind {
            0..=1 => view.capture = Capture::Redirect,
            2..=3 => view.client = ClientKind::Grpc,
            4 => {
                view.capture = Capture::Explicit {
                    bind: [127, 0, 0, 1].into(),
                    applications: BTreeMap::new(),
                }
            }
            _ => {}
        }
        view
    })
}

fn source(host: &str) -> impl Iterator<Item = EndpointSource> {
    use crate::model::spec::IpPreference;
    let preferences = [
        None,
        Some(IpPreference::Ipv4Only),
        Some(IpPreference::Ipv6Preferred),
    ];
    preferences
        .map(|preference| EndpointSource::Dns {
            hostname: host.into(),
            preference,
        })
        .into_iter()
}

fn perform(input: &mut Input, edit: &Edit) {
    match edit {
        Edit::Resource(id, None) => input.model.remove(id),
        Edit::Resource(id, Some(json)) => input.model.insert(Resource {
            spec: spec(id, json),
            id: id.clone(),
        }),
        Edit::Endpoints(host, count) => {
            let all = ["10.0.0.1", "10.0.0.2"].map(|text| text.parse().unwrap());
            for source in source(host) {
                let set = match count {
                    None => EndpointSet::Unresolved,
                    Some(3) => EndpointSet::Unanswered,
                    Some(count) => known(&all[..*count]),
                };
                input.endpoints.insert(source, set);
            }
        }
        Edit::Forget(host) => {
            for source in source(host) {
                input.endpoints.remove(&source);
            }
        }
        Edit::Register(name, count) => {
            let ports = [None, Some(8080), Some(9999)];
            let endpoint = |(port, last)| fixture::registered([10, 0, 1, last], port, 1, None);
            let all = ports.into_iter().zip(1..).map(endpoint);
            let set = count.map(|count| RegisteredSet::new(all.take(count).collect()));
            let node = (mesh_name(), NodeName::new(*name));
            input.endpoints.register(&node, set.as_ref());
        }
        Edit::View(key, true) => drop(input.views.insert(key.as_ref().clone())),
        Edit::View(key, false) => drop(input.views.remove(key.as_ref())),
    }
}

fn spec(id: &ResourceId, json: &Value) -> Spec {
    match id {
        ResourceId::Mesh(..) => Spec::Mesh(fixture::spec(json)),
        ResourceId::VirtualNode(..) => Spec::VirtualNode(fixture::spec(json)),
        ResourceId::VirtualService(..) => Spec::VirtualService(fixture::spec(json)),
        ResourceId::VirtualRouter(..) => Spec::VirtualRouter(fixture::spec(json)),
        _ => Spec::Route(fixture::spec(json)),
    }
}

fn views(translator: &Translator, input: &Input) -> BTreeMap<ViewKey, View> {
    let view = |key: &ViewKey| (key.clone(), translator.view(key).unwrap().clone());
    input.views.iter().map(view).collect()
}

fn differing(old: &BTreeMap<ViewKey, View>, new: &BTreeMap<ViewKey, View>) -> BTreeSet<ViewKey> {
    let keys = old.keys().chain(new.keys());
    keys.filter(|key| old.get(key) != new.get(key))
        .cloned()
        .collect()
}

/// All resources of a mesh, so that the edits have something to change.
fn whole_mesh() -> impl Strategy<Value = Vec<Edit>> {
    (
        vec(edit(), 30..60),
        mesh(),
        vec(node(), NODES.len()),
        vec(service(), SERVICES.len()),
    )
        .prop_map(|(mut edits, mesh, nodes, services)| {
            edits.push(Edit::Resource(ResourceId::Mesh(mesh_name()), Some(mesh)));
            for (name, spec) in NODES.into_iter().zip(nodes) {
                let id = ResourceId::VirtualNode(mesh_name(), NodeName::new(name));
                edits.push(Edit::Resource(id, Some(spec)));
                edits.push(Edit::View(Box::new(key(name)), true));
            }
            for (name, spec) in SERVICES.into_iter().zip(services) {
                let id = ResourceId::VirtualService(mesh_name(), ServiceName::new(name));
                edits.push(Edit::Resource(id, Some(spec)));
            }
            edits
        })
}

/// Route configurations are put together from encoded pieces: the bytes must be those of the whole message.
fn not_canonical(snapshot: &Snapshot) -> Vec<String> {
    let others = snapshot.resources(Kind::Route).filter(|routes| {
        let message = RouteConfiguration::decode(routes.body()).unwrap();
        canonical::encode(Kind::Route.type_url(), &message) != routes.body()
    });
    others.map(|routes| routes.name().to_string()).collect()
}

/// Whether an edit is of endpoints, with the node's registration there as the input is.
fn only_moves_endpoints(input: &Input, edit: &Edit) -> bool {
    match edit {
        Edit::Endpoints(..) | Edit::Forget(_) => true,
        Edit::Register(node, _) => {
            let node = (mesh_name(), NodeName::new(*node));
            input.endpoints.registered(&node).is_some()
        }
        Edit::Resource(..) | Edit::View(..) => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn incremental_is_from_scratch(start in whole_mesh(), steps in vec(vec(edit(), 1..4), 1..12)) {
        let mut input = Input::default();
        let mut translator = Translator::new(Options::default());
        let mut before = BTreeMap::new();
        let mut told_before: BTreeSet<Problem> = BTreeSet::new();
        for edits in std::iter::once(start).chain(steps) {
            let is_small = |input: &Input| edits.iter().all(|edit| only_moves_endpoints(input, edit));
            let was_small = is_small(&input);
            for edit in &edits {
                perform(&mut input, edit);
            }
            if was_small && is_small(&input) {
                prop_assert!(translator.reaches_at_most(&input, usize::MAX), "{edits:?}");
            }
            let reach = (0..64).find(|limit| translator.reaches_at_most(&input, *limit));
            let touched = translator.apply(input.clone());
            prop_assert!(reach.is_none_or(|reach| touched.len() <= reach), "{reach:?} {touched:?}");
            let mut scratch = Translator::new(Options::default());
            scratch.apply(input.clone());
            let after = views(&translator, &input);
            prop_assert_eq!(&after, &views(&scratch, &input));
            prop_assert_eq!(touched, differing(&before, &after));
            let problems: Vec<&Problem> = translator.problems().collect();
            prop_assert_eq!(problems, scratch.problems().collect::<Vec<_>>());
            let told: BTreeSet<Problem> = translator.problems().cloned().collect();
            let new: Vec<&Problem> = told.difference(&told_before).collect();
            prop_assert_eq!(translator.new_problems().collect::<Vec<_>>(), new);
            let mended: Vec<&Problem> = told_before.difference(&told).collect();
            prop_assert_eq!(translator.mended_problems().collect::<Vec<_>>(), mended);
            told_before = told;
            for view in after.values() {
                if let View::Serving(snapshot) = view {
                    prop_assert_eq!(dangling(snapshot), Vec::<String>::new());
                    prop_assert_eq!(not_canonical(snapshot), Vec::<String>::new());
                }
            }
            before = after;
        }
    }
}

/// What is not there any more leaves nothing behind.
#[test]
fn an_empty_input_empties_the_translator() {
    let mut translator = Translator::new(Options::default());
    let model = fixture::model(&json!({
        "mesh": {"egressFilter": {"type": "ALLOW_ALL"}},
        "nodes": {"a": {"listeners": [{"portMapping": {"port": 1, "protocol": "tcp"}}]}},
        "services": {"a.local": {"provider": {"virtualNode": {"virtualNodeName": "a"}}}},
    }));
    let views = [key("a")].into_iter().collect();
    translator.apply(Input {
        model,
        views,
        ..Input::default()
    });
    assert_eq!(translator.problems().count(), 1);
    assert_eq!(
        translator.apply(Input::default()),
        BTreeSet::from([key("a")])
    );
    assert_eq!(translator.problems().count(), 0);
    assert!(translator.is_empty(), "{translator:?}");
}
