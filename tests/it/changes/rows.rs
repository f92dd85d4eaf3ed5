//! Every kind of change, each from the base and back.

use super::setup::{
    ADDED, CALLEES, Callee, Setup, V2, action, route, routed, router, to_side, versioned,
};
use super::streams::Way;
use crate::continuity::{listener, node, service};

/// A kind of change.
pub(super) struct Row {
    pub(super) name: &'static str,
    /// The long-lived streams that Envoy cuts when its listener drains; all others must live.
    pub(super) cuts: &'static [Way],
    /// What is saved one after the other; the base follows.
    pub(super) stages: &'static [fn(&mut Setup)],
}

const B: &str = "serviceBNode";
const B2: &str = "serviceBNodeV2";
/// All that a caller sends through its HTTP egress listener.
const HTTP: &[Way] = &[Way::Events, Way::Socket, Way::Call];
const ALL: &[Way] = &[Way::Events, Way::Socket, Way::Call, Way::Tcp];
const OUTLIERS: &str = ", outlierDetection: { maxServerErrors: 5, maxEjectionPercent: 50, \
                        interval: { unit: s, value: 10 }, baseEjectionDuration: { unit: s, value: 10 } }";
const HEALTH_CHECK: &str = ", healthCheck: { protocol: http, path: /health, healthyThreshold: 2, \
                            unhealthyThreshold: 2, intervalMillis: 5000, timeoutMillis: 2000 }";
const POOL: &str = ", connectionPool: { http: { maxConnections: 1000, maxPendingRequests: 1000 } }";
const LOG: &str = ", logging: { accessLog: { file: { path: /dev/null } } }";
const LOOSE_POLICY: &str = "extra.local, clientPolicy: { tls: { enforce: false, validation: \
                            { trust: { file: { certificateChain: /etc/ssl/trust.pem } } } } }";

const fn row(name: &'static str, stages: &'static [fn(&mut Setup)]) -> Row {
    cutting(name, &[], stages)
}

const fn cutting(
    name: &'static str,
    cuts: &'static [Way],
    stages: &'static [fn(&mut Setup)],
) -> Row {
    Row { name, cuts, stages }
}

pub(super) const ROWS: &[Row] = &[
    // Virtual nodes.
    row("node added, removed", &[|setup| extra_node(setup, 8080)]),
    row(
        "node with a service that is a backend added, removed",
        &[|setup| {
            extra_node(setup, 8080);
            setup.put("service late", service("late.local", "extraNode"));
        }],
    ),
    row(
        "node's name in DNS changed",
        &[|setup| {
            setup.put("node V2", node(B2, "service-b-v3.local", &versioned()));
        }],
    ),
    row(
        "listener timeout of the caller changed",
        &[|setup| {
            let timeout = ", timeout: { http: { perRequest: { unit: s, value: 30 } } }";
            setup.caller(&listener(8080, "http", timeout), "", &[]);
        }],
    ),
    row(
        "listener timeout of the callee changed",
        &[|setup| {
            let timeout = "perRequest: { unit: s, value: 1000 }";
            let callee = Callee {
                timeout,
                ..Callee::default()
            };
            setup.callee(callee);
        }],
    ),
    row(
        "connection pool added, removed",
        &[|setup| main_listener(setup, POOL)],
    ),
    row(
        "outlier detection added, removed",
        &[|setup| main_listener(setup, OUTLIERS)],
    ),
    row(
        "health check added, removed",
        &[|setup| main_listener(setup, HEALTH_CHECK)],
    ),
    cutting(
        "access log of the caller added, removed",
        HTTP,
        &[|setup| setup.caller(&listener(8080, "http", ""), LOG, &[])],
    ),
    cutting(
        "access log of the callee added, removed",
        ALL,
        &[|setup| {
            let callee = Callee {
                rest: LOG,
                ..Callee::default()
            };
            setup.callee(callee);
        }],
    ),
    // Listeners of nodes.
    row(
        "listener of the caller added, removed",
        &[|setup| {
            let two = "listeners: [{ portMapping: { port: 8080, protocol: http } }, \
                       { portMapping: { port: 8090, protocol: http } }]";
            setup.caller(two, "", &[]);
        }],
    ),
    row(
        "listeners of the callee added, removed",
        &[|setup| {
            let listeners = ", { portMapping: { port: 8100, protocol: http2 } }, \
                             { portMapping: { port: 9100, protocol: tcp } }";
            let callee = Callee {
                listeners,
                ..Callee::default()
            };
            setup.callee(callee);
        }],
    ),
    row(
        "protocol of a listener changed, http to http2",
        &[|setup| {
            let callee = Callee {
                side: "http2",
                ..Callee::default()
            };
            setup.callee(callee);
        }],
    ),
    // Routes.
    row(
        "route added, its match changed, removed",
        &[
            |setup| extra_route(setup, "prefix: /extra", 5),
            |setup| extra_route(setup, "prefix: /extra, headers: [{ name: x-extra }]", 5),
            |setup| extra_route(setup, "path: { regex: '/e.*' }, method: POST", 5),
        ],
    ),
    row(
        "routes put in another order",
        &[
            |setup| extra_route(setup, "prefix: /extra", 30),
            |setup| {
                extra_route(setup, "prefix: /extra", 1);
                main_route(setup, 15, "");
            },
        ],
    ),
    row(
        "retry policy of a route added, removed",
        &[|setup| {
            let retries = ", retryPolicy: { maxRetries: 1, perRetryTimeout: { unit: s, value: 5 }, \
                           httpRetryEvents: [gateway-error], tcpRetryEvents: [connection-error] }";
            main_route(setup, 20, retries);
        }],
    ),
    row(
        "timeout of a route changed",
        &[|setup| {
            main_route(
                setup,
                20,
                ", timeout: { perRequest: { unit: s, value: 30 } }",
            );
        }],
    ),
    row(
        "weights changed, 0 and 100 among them",
        &[
            |setup| setup.main(&[(B, 0), (B2, 100)], 20, ""),
            |setup| setup.main(&[(B, 100), (B2, 0)], 20, ""),
            |setup| setup.main(&[(B, 50), (B2, 50)], 20, ""),
        ],
    ),
    row(
        "weighted target added, removed",
        &[
            |setup| {
                extra_node(setup, 8080);
                setup.main(&[(B, 40), (B2, 30), ("extraNode", 30)], 20, "");
            },
            |setup| setup.main(&[(B, 1)], 20, ""),
        ],
    ),
    row(
        "only target replaced",
        &[
            |setup| setup.main(&[(B2, 1)], 20, ""),
            |setup| {
                extra_node(setup, 8080);
                setup.main(&[("extraNode", 1)], 20, "");
            },
        ],
    ),
    row(
        "route of a virtual router replaced by one of another name",
        &[|setup| {
            setup.remove("route main");
            let text = format!(
                "priority: 21, httpRoute: {{ match: {{ prefix: / }}, {} }}",
                action(8080, &[(B, 1)])
            );
            setup.put("route other", route("router-b", "other", &text));
        }],
    ),
    // TCP routes.
    row(
        "weights of a TCP route changed, 0 and 100 among them",
        &[
            |setup| setup.queue(&[(B, 50), (B2, 50)]),
            |setup| setup.queue(&[(B, 0), (B2, 100)]),
            |setup| setup.queue(&[(B, 100), (B2, 0)]),
        ],
    ),
    row(
        "target of a TCP route replaced",
        &[|setup| setup.queue(&[(B2, 1)])],
    ),
    // Backends.
    row(
        "backend added, its client policy changed, removed",
        &[
            |setup| extra_backend(setup, 8080, "http", "extra.local"),
            |setup| extra_backend(setup, 8080, "http", LOOSE_POLICY),
        ],
    ),
    row(
        "backend on a new port added, removed",
        &[|setup| extra_backend(setup, 8200, "http2", "extra.local")],
    ),
    row(
        "TCP backend added, removed",
        &[|setup| extra_backend(setup, 9200, "tcp", "extra.local")],
    ),
    // Virtual services.
    row(
        "provider changed, node to router",
        &[|setup| {
            setup.put("service plain", routed("plain.local", "router-plain"));
            setup.put(
                "router plain",
                router("router-plain", &listener(8080, "http", "")),
            );
            let text = format!(
                "httpRoute: {{ match: {{ prefix: / }}, {} }}",
                action(8080, &[(B2, 1)])
            );
            setup.put("route plain", route("router-plain", "all", &text));
        }],
    ),
    row(
        "provider changed, node to node",
        &[|setup| {
            extra_node(setup, 8080);
            setup.put("service plain", service("plain.local", "extraNode"));
        }],
    ),
    // Virtual routers.
    row(
        "listener of a router added, removed",
        &[|setup| {
            let two = "listeners: [{ portMapping: { port: 8090, protocol: http } }, \
                       { portMapping: { port: 8085, protocol: http } }]";
            setup.put("router side", router("router-side", two));
            let text = to_side().replace("prefix: /", "prefix: /, port: 8090");
            setup.put("route side", route("router-side", "side", &text));
        }],
    ),
    row(
        "listener of a router changed, http to http2 on another port",
        &[|setup| {
            setup.put(
                "router side",
                router("router-side", &listener(8091, "http2", "")),
            );
        }],
    ),
    row(
        "router renamed with its routes",
        &[|setup| {
            setup.put("service side", routed("side.local", "router-two"));
            setup.remove("router side");
            setup.remove("route side");
            setup.put(
                "router two",
                router("router-two", &listener(8090, "http", "")),
            );
            setup.put("route two", route("router-two", "two", &to_side()));
        }],
    ),
    // Endpoints.
    row(
        "endpoint added, another removed, all replaced",
        &[
            |setup| names(setup, "service-b.local", &[CALLEES[0], CALLEES[1], ADDED]),
            |setup| names(setup, "service-b.local", &[CALLEES[1], ADDED]),
            |setup| names(setup, "service-b.local", &[ADDED]),
        ],
    ),
    row(
        "endpoints of a target replaced",
        &[|setup| names(setup, "service-b-v2.local", &[V2[1]])],
    ),
    // Meshes.
    row(
        "egress filter changed, ALLOW_ALL to DROP_ALL",
        &[|setup| setup.egress("DROP_ALL")],
    ),
    // Several at once.
    row(
        "node renamed and its routes moved over, in one save",
        &[|setup| {
            setup.remove("node V2");
            setup.put(
                "node V2 renamed",
                node("renamed", "service-b-v2.local", &versioned()),
            );
            setup.main(&[(B, 50), ("renamed", 50)], 20, "");
            setup.queue(&[(B, 50), ("renamed", 50)]);
        }],
    ),
    row(
        "all sorts of things in one save",
        &[|setup| {
            extra_backend(setup, 9200, "tcp", "extra.local");
            main_listener(setup, OUTLIERS);
            setup.remove("node V2");
            setup.put("node V3", node("three", "service-b-v3.local", &versioned()));
            let text = format!(
                "priority: 5, httpRoute: {{ match: {{ prefix: /extra }}, {} }}",
                action(8080, &[("three", 1)])
            );
            setup.put("route extra", route("router-b", "extra", &text));
            setup.main(&[(B, 20), ("three", 80)], 19, "");
            setup.queue(&[("three", 1)]);
            names(setup, "service-b.local", &[CALLEES[0], CALLEES[1], ADDED]);
        }],
    ),
];

fn names(setup: &mut Setup, name: &'static str, hosts: &[u8]) {
    setup.names.insert(name, hosts.to_vec());
}

fn main_listener(setup: &mut Setup, main: &str) {
    let callee = Callee {
        main,
        ..Callee::default()
    };
    setup.callee(callee);
}

fn main_route(setup: &mut Setup, priority: u32, rest: &str) {
    setup.main(&[(B, 80), (B2, 20)], priority, rest);
}

/// A node of its own.
fn extra_node(setup: &mut Setup, port: u16) {
    let listener = listener(port, "http", "");
    setup.put("node extra", node("extraNode", "extra.local", &listener));
}

fn extra_route(setup: &mut Setup, matched: &str, priority: u32) {
    let text = format!(
        "priority: {priority}, httpRoute: {{ match: {{ {matched} }}, {} }}",
        action(8080, &[(B2, 1)])
    );
    setup.put("route extra", route("router-b", "extra", &text));
}

fn extra_backend(setup: &mut Setup, port: u16, protocol: &str, backend: &str) {
    let listeners = listener(port, protocol, "");
    setup.put("node extra", node("extraNode", "extra.local", &listeners));
    setup.put("service extra", service("extra.local", "extraNode"));
    setup.caller(&listener(8080, "http", ""), "", &[backend]);
}
