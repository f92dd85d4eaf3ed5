//! What is declared and where names lead, as something to be edited: the mesh that every change starts from and ends at.

use std::collections::BTreeMap;

use crate::continuity::{listener, node};

/// Hosts: the callers, the callee's replicas with sidecars, and applications without.
pub(super) const DELTA_CALLER: u8 = 2;
pub(super) const SOTW_CALLER: u8 = 5;
pub(super) const CALLEES: [u8; 2] = [3, 4];
pub(super) const ADDED: u8 = 6;
pub(super) const V2: [u8; 2] = [7, 9];
pub(super) const V3: u8 = 8;

/// Never cut short, never idle for too long.
const FOR_EVER: &str = "perRequest: { unit: s, value: 0 }, idle: { unit: s, value: 0 }";

/// The documents of a mesh by a name of the test's own, and the hosts of each name in DNS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setup {
    documents: BTreeMap<&'static str, String>,
    pub(super) names: BTreeMap<&'static str, Vec<u8>>,
}

impl Setup {
    pub(super) fn yaml(&self) -> String {
        let documents: Vec<&str> = self.documents.values().map(String::as_str).collect();
        documents.join("---\n")
    }

    /// Declares a document, in place of the one of that name.
    pub(super) fn put(&mut self, name: &'static str, document: String) {
        self.documents.insert(name, document);
    }

    pub(super) fn remove(&mut self, name: &'static str) {
        self.documents.remove(name).unwrap();
    }

    pub(super) fn egress(&mut self, filter: &str) {
        self.put(
            "mesh",
            format!(
                "kind: Mesh\nmeshName: appMesh\nspec: {{ egressFilter: {{ type: {filter} }} }}\n"
            ),
        );
    }

    /// The callers' node, with more of its spec behind a comma, and more backends.
    pub(super) fn caller(&mut self, listeners: &str, rest: &str, backends: &[&str]) {
        let known = [
            "service-b.local",
            "plain.local",
            "side.local",
            "calls.local",
            "queue.local",
            // Not declared at first.
            "late.local",
        ];
        let backends = (known.iter().chain(backends))
            .map(|backend| format!("{{ virtualService: {{ virtualServiceName: {backend} }} }}"));
        let backends = backends.collect::<Vec<_>>().join(", ");
        let spec = format!("{listeners}, backends: [{backends}]{rest}");
        self.put("node A", node("serviceANode", "service-a.local", &spec));
    }

    /// The callee's node: each argument is more of a member, behind a comma.
    pub(super) fn callee(&mut self, callee: Callee<'_>) {
        let Callee {
            timeout,
            main,
            side,
            listeners,
            rest,
        } = callee;
        let spec = format!(
            "listeners: [\
             {{ portMapping: {{ port: 8080, protocol: http }}, timeout: {{ http: {{ {timeout} }} }}{main} }}, \
             {{ portMapping: {{ port: 7000, protocol: grpc }}, timeout: {{ grpc: {{ {FOR_EVER} }} }} }}, \
             {{ portMapping: {{ port: 8090, protocol: {side} }} }}, \
             {{ portMapping: {{ port: 9000, protocol: tcp }} }}{listeners}]{rest}"
        );
        self.put("node B", node("serviceBNode", "service-b.local", &spec));
    }

    /// The route of most of the load.
    pub(super) fn main(&mut self, targets: &[(&str, u32)], priority: u32, rest: &str) {
        let text = format!(
            "priority: {priority}, httpRoute: {{ match: {{ prefix: / }}, {}{rest} }}",
            action(8080, targets)
        );
        self.put("route main", route("router-b", "main", &text));
    }

    pub(super) fn queue(&mut self, targets: &[(&str, u32)]) {
        let text = format!("tcpRoute: {{ {} }}", action(9000, targets));
        self.put("route queue", route("router-queue", "queue", &text));
    }
}

/// What varies of the callee's node.
#[derive(Clone, Copy)]
pub(super) struct Callee<'a> {
    pub(super) timeout: &'a str,
    pub(super) main: &'a str,
    pub(super) side: &'a str,
    pub(super) listeners: &'a str,
    pub(super) rest: &'a str,
}

impl Default for Callee<'_> {
    fn default() -> Self {
        Self {
            timeout: FOR_EVER,
            main: "",
            side: "http",
            listeners: "",
            rest: "",
        }
    }
}

/// What a route does: the weight of each node, all at one port.
pub(super) fn action(port: u16, targets: &[(&str, u32)]) -> String {
    let targets: Vec<String> = targets
        .iter()
        .map(|(node, weight)| format!("{{ virtualNode: {node}, weight: {weight}, port: {port} }}"))
        .collect();
    format!("action: {{ weightedTargets: [{}] }}", targets.join(", "))
}

pub(super) fn route(router: &str, name: &str, spec: &str) -> String {
    format!(
        "kind: Route\nmeshName: appMesh\nvirtualRouterName: {router}\nrouteName: {name}\nspec: {{ {spec} }}\n"
    )
}

pub(super) fn router(name: &str, listeners: &str) -> String {
    format!(
        "kind: VirtualRouter\nmeshName: appMesh\nvirtualRouterName: {name}\nspec: {{ {listeners} }}\n"
    )
}

/// A virtual service that a router provides.
pub(super) fn routed(name: &str, router: &str) -> String {
    format!(
        "kind: VirtualService\nmeshName: appMesh\nvirtualServiceName: {name}\n\
         spec: {{ provider: {{ virtualRouter: {{ virtualRouterName: {router} }} }} }}\n"
    )
}

/// The route to the callee's second HTTP listener.
pub(super) fn to_side() -> String {
    let action = action(8090, &[("serviceBNode", 1)]);
    format!("httpRoute: {{ match: {{ prefix: / }}, {action} }}")
}

/// Listeners of a node of which there are several versions.
pub(super) fn versioned() -> String {
    "listeners: [{ portMapping: { port: 8080, protocol: http } }, { portMapping: { port: 9000, protocol: tcp } }]"
        .to_owned()
}

/// What every change starts from.
pub(super) fn base() -> Setup {
    let mut setup = Setup {
        documents: BTreeMap::new(),
        names: BTreeMap::from([
            ("service-a.local", vec![DELTA_CALLER, SOTW_CALLER]),
            ("service-b.local", CALLEES.to_vec()),
            ("service-b-v2.local", vec![V2[0]]),
            ("service-b-v3.local", vec![V3]),
            ("extra.local", vec![V3]),
        ]),
    };
    setup.egress("ALLOW_ALL");
    setup.caller(&listener(8080, "http", ""), "", &[]);
    setup.callee(Callee::default());
    let plain = listener(8080, "http", "");
    setup.put("node plain", node("plainNode", "service-b.local", &plain));
    setup.put(
        "node V2",
        node("serviceBNodeV2", "service-b-v2.local", &versioned()),
    );
    // Their names are looked up all the time, whoever else comes and goes.
    for (document, name, hostname) in [
        ("node 2", "two", "service-b-v2.local"),
        ("node 3", "spare", "service-b-v3.local"),
        ("node 4", "four", "extra.local"),
    ] {
        setup.put(document, node(name, hostname, &plain));
    }
    setup.put("service B", routed("service-b.local", "router-b"));
    setup.put("router B", router("router-b", &plain));
    for (document, name) in [("route events", "events"), ("route socket", "socket")] {
        let text = format!(
            "priority: 10, httpRoute: {{ match: {{ prefix: /{name} }}, {}, timeout: {{ {FOR_EVER} }} }}",
            action(8080, &[("serviceBNode", 1)])
        );
        setup.put(document, route("router-b", name, &text));
    }
    setup.main(&[("serviceBNode", 80), ("serviceBNodeV2", 20)], 20, "");
    setup.put(
        "service plain",
        crate::continuity::service("plain.local", "plainNode"),
    );
    others(&mut setup);
    setup
}

/// The services beside the main one: on a port of their own, over gRPC, over TCP.
fn others(setup: &mut Setup) {
    setup.put("service side", routed("side.local", "router-side"));
    setup.put(
        "router side",
        router("router-side", &listener(8090, "http", "")),
    );
    setup.put("route side", route("router-side", "side", &to_side()));
    setup.put("service calls", routed("calls.local", "router-calls"));
    setup.put(
        "router calls",
        router("router-calls", &listener(7000, "grpc", "")),
    );
    let calls = format!(
        "grpcRoute: {{ match: {{ serviceName: test.Echo }}, {}, timeout: {{ {FOR_EVER} }} }}",
        action(7000, &[("serviceBNode", 1)])
    );
    setup.put("route calls", route("router-calls", "calls", &calls));
    setup.put("service queue", routed("queue.local", "router-queue"));
    setup.put(
        "router queue",
        router("router-queue", &listener(9000, "tcp", "")),
    );
    setup.queue(&[("serviceBNode", 1)]);
}
