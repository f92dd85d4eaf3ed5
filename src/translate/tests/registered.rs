//! Endpoints that orchestrators registered for single nodes.

use serde_json::{Value, json};

use super::resource;
use crate::model::endpoint::{RegisteredEndpoint, RegisteredSet};
use crate::model::{Capture, LOCAL_CLUSTER, MeshName, NodeName, ViewKey};
use crate::snapshot::{Kind, Snapshot};
use crate::translate::fixture::{endpoints, key, model, redirected, registered};
use crate::translate::{Input, Options, Translator, View};

/// `a` calls `b`, whose spec this is.
struct Bed {
    translator: Translator,
    input: Input,
}

impl Bed {
    fn new(b: &Value) -> Self {
        let model = model(&json!({
            "mesh": {"egressFilter": {"type": "ALLOW_ALL"}},
            "nodes": {
                "a": {
                    "serviceDiscovery": {"dns": {"hostname": "a.local"}},
                    "backends": [{"virtualService": {"virtualServiceName": "b.local"}}],
                },
                "b": b,
            },
            "services": {"b.local": {"provider": {"virtualNode": {"virtualNodeName": "b"}}}},
        }));
        let keys = [key("a"), key("b"), redirected("b")];
        let input = Input {
            endpoints: endpoints(&model),
            views: keys.into_iter().collect(),
            model,
        };
        let mut translator = Translator::new(Options {
            default_backends: false,
            ..Options::default()
        });
        translator.apply(input.clone());
        Self { translator, input }
    }

    /// Registers these for `b`, and says whose views changed.
    fn register(&mut self, list: Option<Vec<RegisteredEndpoint>>) -> Vec<ViewKey> {
        let node = (MeshName::new("m"), NodeName::new("b"));
        let set = list.map(RegisteredSet::new);
        self.input.endpoints.register(&node, set.as_ref());
        let touched = self.translator.apply(self.input.clone());
        touched.into_iter().collect()
    }

    fn view(&self, key: &ViewKey) -> &Snapshot {
        match self.translator.view(key) {
            Some(View::Serving(snapshot)) => snapshot,
            other => panic!("{other:?}"),
        }
    }

    /// `zone address:port*weight` of each endpoint.
    fn assigned(&self, key: &ViewKey, cluster: &str) -> Vec<String> {
        let json = resource(self.view(key), Kind::Endpoint, cluster);
        let mut all = Vec::new();
        for locality in json["endpoints"].as_array().into_iter().flatten() {
            for one in locality["lbEndpoints"].as_array().unwrap() {
                let socket = &one["endpoint"]["address"]["socketAddress"];
                all.push(format!(
                    "{} {}:{}*{}",
                    locality["locality"]["zone"].as_str().unwrap(),
                    socket["address"].as_str().unwrap(),
                    socket["portValue"],
                    one["loadBalancingWeight"]
                ));
            }
        }
        all
    }

    fn problems(&self) -> Vec<String> {
        self.translator
            .problems()
            .map(ToString::to_string)
            .collect()
    }
}

const CLUSTER: &str = "cds_egress_m_b_http_8080";

fn http(ports: &[u16]) -> Value {
    let listener = |port| json!({"portMapping": {"port": port, "protocol": "http"}});
    ports.iter().map(listener).collect()
}

fn found_by_dns(ports: &[u16]) -> Value {
    json!({"listeners": http(ports), "serviceDiscovery": {"dns": {"hostname": "b.local"}}})
}

#[test]
fn they_are_used_instead_of_discovery_until_they_go() {
    let mut bed = Bed::new(&found_by_dns(&[8080]));
    let before = bed.assigned(&key("a"), CLUSTER);
    assert_eq!(before, ["default 10.0.0.2:8080*1"]);
    let list = vec![
        registered([10, 1, 0, 2], Some(9999), 3, Some("z2")),
        registered([10, 1, 0, 1], None, 1, Some("z1")),
        registered([10, 1, 0, 3], None, 1, None),
    ];
    let touched = bed.register(Some(list.clone()));
    // The node's redirected sidecar is told, too; the one that binds its listeners itself has nothing of it.
    assert_eq!(touched, [key("a"), redirected("b")]);
    let expected = [
        "default 10.1.0.3:8080*1",
        "z1 10.1.0.1:8080*1",
        "z2 10.1.0.2:9999*3",
    ];
    assert_eq!(bed.assigned(&key("a"), CLUSTER), expected);
    assert_eq!(bed.assigned(&redirected("b"), LOCAL_CLUSTER), expected);
    assert_eq!(bed.register(Some(list)), [], "the same again");
    bed.register(Some(Vec::new()));
    assert_eq!(bed.assigned(&key("a"), CLUSTER), [""; 0]);
    bed.register(None);
    assert_eq!(bed.assigned(&key("a"), CLUSTER), before);
}

#[test]
fn how_far_a_new_list_reaches_is_told_before_it_is_taken() {
    let Bed {
        mut translator,
        input: mut next,
    } = Bed::new(&found_by_dns(&[8080]));
    let node = (MeshName::new("m"), NodeName::new("b"));
    let list = |last| RegisteredSet::new(vec![registered([10, 1, 0, last], None, 1, None)]);
    next.endpoints.register(&node, Some(&list(1)));
    let is_told = translator.reaches_at_most(&next, usize::MAX);
    assert!(!is_told, "that anything is registered changes more");
    translator.apply(next.clone());
    next.endpoints.register(&node, Some(&list(2)));
    // One endpoint, the view of `a`, and both of `b`.
    assert!(translator.reaches_at_most(&next, 4));
    assert!(!translator.reaches_at_most(&next, 3));
    translator.apply(next.clone());
    assert!(translator.reaches_at_most(&next, 0), "nothing new");
    next.views.remove(&key("a"));
    assert!(!translator.reaches_at_most(&next, 100), "a view less");
}

#[test]
fn with_several_listeners_a_port_says_which() {
    let mut bed = Bed::new(&found_by_dns(&[8080, 9090]));
    bed.register(Some(vec![
        registered([10, 1, 0, 1], None, 1, None),
        registered([10, 1, 0, 2], Some(9090), 1, None),
        registered([10, 1, 0, 3], Some(7777), 1, None),
    ]));
    let first = bed.assigned(&redirected("b"), LOCAL_CLUSTER);
    assert_eq!(first, ["default 10.1.0.1:8080*1"]);
    assert_eq!(bed.assigned(&key("a"), CLUSTER), first);
    let problems = bed.problems();
    let told = problems.iter().any(|text| {
        text.contains("virtualNode/b has 1 registered endpoints with a port that none")
    });
    assert!(told, "{problems:?}");
    bed.register(None);
    assert_eq!(bed.problems(), [""; 0]);
}

#[test]
fn a_node_without_discovery_or_listeners_is_served_on_the_default_port() {
    let mut bed = Bed::new(&json!({}));
    let Capture::Explicit { bind, .. } = key("b").capture else {
        panic!("an explicit sidecar")
    };
    let listener = format!("lds_ingress_{bind}_8080");
    let listens = |bed: &Bed| bed.view(&key("b")).get(Kind::Listener, &listener).is_some();
    assert!(!listens(&bed));
    bed.register(Some(vec![registered([10, 1, 0, 1], None, 1, None)]));
    assert!(listens(&bed));
    let expected = ["default 10.1.0.1:8080*1"];
    assert_eq!(bed.assigned(&key("a"), CLUSTER), expected);
    bed.register(None);
    assert!(!listens(&bed));
    assert!(bed.view(&key("a")).get(Kind::Cluster, CLUSTER).is_none());
}

#[test]
fn a_load_balancers_name_is_not_resolved_meanwhile() {
    let balancer = json!({"hostname": "b.local", "responseType": "LOADBALANCER"});
    let mut bed =
        Bed::new(&json!({"listeners": http(&[8080]), "serviceDiscovery": {"dns": balancer}}));
    let kind = |bed: &Bed| resource(bed.view(&key("a")), Kind::Cluster, CLUSTER)["type"].clone();
    assert_eq!(kind(&bed), "LOGICAL_DNS");
    bed.register(Some(vec![registered([10, 1, 0, 1], None, 1, None)]));
    assert_eq!(kind(&bed), "EDS");
    assert_eq!(
        bed.assigned(&key("a"), CLUSTER),
        ["default 10.1.0.1:8080*1"]
    );
    bed.register(None);
    assert_eq!(kind(&bed), "LOGICAL_DNS");
    assert!(bed.view(&key("a")).get(Kind::Endpoint, CLUSTER).is_none());
}

#[test]
fn without_discovery_nothing_is_left_when_they_go() {
    let mut bed = Bed::new(&json!({"listeners": http(&[8080])}));
    let told = |bed: &Bed| {
        bed.problems()
            .iter()
            .any(|text| text.contains("no `serviceDiscovery`"))
    };
    assert!(told(&bed));
    bed.register(Some(vec![registered([10, 1, 0, 1], None, 1, None)]));
    assert!(!told(&bed));
    bed.register(None);
    assert!(told(&bed));
    assert_eq!(bed.assigned(&key("a"), CLUSTER), [""; 0]);
}

/// Envoy refuses sums beyond 32 bits, of a locality and of all localities.
#[test]
fn large_weights_keep_their_proportion_over_all_zones() {
    let mut bed = Bed::new(&found_by_dns(&[8080]));
    let list = (1..=4).map(|last| {
        let zone = if last < 3 { "z1" } else { "z2" };
        registered([10, 1, 0, last], None, u32::MAX, Some(zone))
    });
    bed.register(Some(list.collect()));
    let json = resource(bed.view(&key("a")), Kind::Endpoint, CLUSTER);
    let localities = json["endpoints"].as_array().unwrap();
    let weight = |json: &Value| json["loadBalancingWeight"].as_u64().unwrap();
    let sum: u64 = localities.iter().map(weight).sum();
    assert!(u32::try_from(sum).is_ok(), "{json}");
    assert_eq!(weight(&localities[0]), weight(&localities[1]));
    let hosts = localities[0]["lbEndpoints"].as_array().unwrap();
    let hosts: u64 = hosts.iter().map(weight).sum();
    assert!(u32::try_from(hosts).is_ok() && hosts > 1 << 28, "{json}");
}
