//! Between resources: protocols and ports that must fit.

#![expect(clippy::too_many_lines, reason = "tables")]

use serde_json::json;

use super::{
    Case, Expected, create, gateway, gateway_route, http_route, node, route, router,
    service_by_node, service_by_router, service_of, target, update,
};
use Expected::{Accepted, Invalid};

pub(super) fn cases() -> Vec<Case> {
    let mut all = protocols();
    all.extend(ports());
    all.extend(orders());
    all
}

/// A route's type follows its router's listener; what the targets speak is theirs.
fn protocols() -> Vec<Case> {
    let n = |protocol| node("n", &[(80, protocol)]);
    let r = |protocol| router("r", &[(80, protocol)]);
    let tcp = route("r", "x", "tcpRoute", &json!({}), &[target("n", None)]);
    let x = http_route("r", "x", "n");
    vec![
        create(
            "an http route fits an http listener",
            &[n("http"), r("http")],
            x.clone(),
            Accepted(&[]),
        ),
        create(
            "no http route in a tcp router",
            &[n("tcp"), r("tcp")],
            x.clone(),
            Invalid("spec.httpRoute", "is for http"),
        ),
        create(
            "no tcp route in an http router",
            &[n("http"), r("http")],
            tcp.clone(),
            Invalid("spec.tcpRoute", "is for tcp"),
        ),
        create(
            "the kinds of http may be mixed",
            &[n("http2"), r("http2")],
            x.clone(),
            Accepted(&["is for http"]),
        ),
        create(
            "a target that speaks otherwise is reported",
            &[n("tcp"), r("http")],
            x.clone(),
            Accepted(&["which speaks tcp"]),
        ),
        update(
            "a router may change its protocol before its routes",
            &[n("http"), r("http"), x],
            r("tcp"),
            Accepted(&["route/x` no longer fits"]),
        ),
        update(
            "a route may not before its router",
            &[n("http"), r("http"), http_route("r", "x", "n")],
            tcp,
            Invalid("spec.tcpRoute", "is for tcp"),
        ),
    ]
}

/// With several listeners, whoever goes to one says which.
fn ports() -> Vec<Case> {
    let both = [(80, "http"), (81, "http")];
    let one = [(80, "http")];
    let x = |port, target_port| {
        let matches = json!({ "prefix": "/", "port": port });
        route("r", "x", "httpRoute", &matches, &[target("n", target_port)])
    };
    let provided = [
        node("n", &both),
        gateway("g", &one),
        service_by_node("s", "n"),
    ];
    let routed = [
        node("n", &one),
        router("r", &both),
        gateway("g", &one),
        service_by_router("s", "r"),
    ];
    vec![
        create(
            "a route says its router's port",
            &[node("n", &one), router("r", &both)],
            x(None, None),
            Invalid("spec.httpRoute.match.port", "several listeners"),
        ),
        create(
            "a route that says it is taken",
            &[node("n", &one), router("r", &both)],
            x(Some(81), None),
            Accepted(&[]),
        ),
        create(
            "it must be one of the router's",
            &[node("n", &one), router("r", &both)],
            x(Some(82), None),
            Invalid("spec.httpRoute.match.port", "no listener on port 82"),
        ),
        create(
            "with one listener none is needed",
            &[node("n", &one), router("r", &one)],
            x(None, None),
            Accepted(&[]),
        ),
        create(
            "a target says its node's port",
            &[node("n", &both), router("r", &one)],
            x(None, None),
            Invalid(
                "spec.httpRoute.action.weightedTargets[0].port",
                "several listeners",
            ),
        ),
        create(
            "a target that says it is taken",
            &[node("n", &both), router("r", &one)],
            x(None, Some(81)),
            Accepted(&[]),
        ),
        create(
            "it must be one of the node's",
            &[node("n", &both), router("r", &one)],
            x(None, Some(82)),
            Invalid(
                "spec.httpRoute.action.weightedTargets[0].port",
                "no listener on port 82",
            ),
        ),
        create(
            "a gateway route says its gateway's port",
            &[gateway("g", &both), service_of("s", &json!({}))],
            gateway_route("x", None, "s", None),
            Invalid("spec.httpRoute.match.port", "several listeners"),
        ),
        create(
            "a gateway route that says it is taken",
            &[gateway("g", &both), service_of("s", &json!({}))],
            gateway_route("x", Some(80), "s", None),
            Accepted(&[]),
        ),
        create(
            "a gateway route says the provider node's port",
            &provided,
            gateway_route("x", None, "s", None),
            Invalid("spec.httpRoute.action.target.port", "several listeners"),
        ),
        create(
            "a gateway route to one of the node's ports",
            &provided,
            gateway_route("x", None, "s", Some(81)),
            Accepted(&[]),
        ),
        create(
            "a gateway route says the provider router's port",
            &routed,
            gateway_route("x", None, "s", None),
            Invalid("spec.httpRoute.action.target.port", "several listeners"),
        ),
        update(
            "routes that lack the port keep it lacking no longer",
            &[node("n", &one), router("r", &one), x(None, None)],
            x(Some(80), None),
            Accepted(&[]),
        ),
    ]
}

/// Orders of change that AWS refused though their end is sound.
fn orders() -> Vec<Case> {
    let both = [(80, "http"), (81, "http")];
    let one = [(80, "http")];
    let (n, r, g) = (node("n", &one), router("r", &one), gateway("g", &one));
    let (s, gx) = (
        service_by_node("s", "n"),
        gateway_route("x", None, "s", None),
    );
    vec![
        update(
            "a second listener of a router before its routes say ports",
            &[n.clone(), r.clone(), http_route("r", "x", "n")],
            router("r", &both),
            Accepted(&["route/x` no longer fits: virtual router `r` has several listeners"]),
        ),
        update(
            "a second listener of a node before its targets say ports",
            &[n.clone(), r.clone(), http_route("r", "x", "n")],
            node("n", &both),
            Accepted(&["route/x` no longer fits: virtual node `n` has several listeners"]),
        ),
        update(
            "a second listener of a provider before its gateway routes say ports",
            &[n.clone(), g.clone(), s.clone(), gx.clone()],
            node("n", &both),
            Accepted(&[
                "gatewayRoute/x` no longer fits: virtual service `s` has several listeners",
            ]),
        ),
        update(
            "a second listener of a gateway before its routes say ports",
            &[n.clone(), g.clone(), s.clone(), gx.clone()],
            gateway("g", &both),
            Accepted(&[
                "gatewayRoute/x` no longer fits: virtual gateway `g` has several listeners",
            ]),
        ),
        update(
            "a provider with several listeners before its gateway routes say ports",
            &[n, node("n2", &both), g, s, gx],
            service_by_node("s", "n2"),
            Accepted(&[
                "gatewayRoute/x` no longer fits: virtual service `s` has several listeners",
            ]),
        ),
        update(
            "a listener that no route is for",
            &[node("n", &one), r],
            router("r", &both),
            Accepted(&[]),
        ),
    ]
}
