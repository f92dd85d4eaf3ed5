//! What App Mesh's clients send, and must be able to.

#![expect(clippy::too_many_lines, reason = "tables")]

use serde_json::{Value as Json, json};

use super::{
    Case, Expected, create, gateway_route_of, node, node_of, route_of, router, service_of, target,
    update,
};
use Expected::Accepted;

/// Terraform leaves out zeros and writes some defaults out; all of it is read back as it was sent.
pub(super) fn cases() -> Vec<Case> {
    let given = [
        node("n", &[(80, "http")]),
        router("r", &[(80, "http")]),
        super::gateway("g", &[(80, "http")]),
        service_of("s", &json!({})),
    ];
    let taken = |rule, document: Json| create(rule, &given, document, Accepted(&[]));
    let action = || json!({ "weightedTargets": [target("n", None)] });
    let http = |mut route: Json| {
        route["action"] = action();
        route_of("r", "x", &json!({ "httpRoute": route }))
    };
    let listening = |listener: Json| {
        let discovery = json!({ "dns": { "hostname": "a.local" } });
        node_of(
            "n2",
            &json!({ "serviceDiscovery": discovery, "listeners": [listener] }),
        )
    };
    let mapping = || json!({ "port": 80, "protocol": "http" });
    let zero = || json!({ "unit": "s" });
    let header = json!({ "name": "x", "invert": false, "match": { "range": { "end": 3 } } });
    let outliers = json!({
        "maxServerErrors": 5, "interval": { "unit": "s", "value": 10 },
        "baseEjectionDuration": { "unit": "ms", "value": 10 },
    });
    let tls = json!({ "enforce": true, "validation": { "trust": { "file": { "certificateChain": "/ca.pem" } } } });
    let empty_tcp = json!({ "tcpRoute": { "match": {}, "action": action() } });
    let target = json!({ "virtualService": { "virtualServiceName": "s" } });
    let gateway_route = json!({ "priority": 1, "httpRoute": { "match": { "prefix": "/" }, "action": { "target": target, "rewrite": { "hostname": { "defaultTargetHostname": "DISABLED" } } } } });
    vec![
        taken(
            "a time-out of zero has no value",
            http(
                json!({ "match": { "prefix": "/" }, "timeout": { "idle": zero(), "perRequest": zero() } }),
            ),
        ),
        taken(
            "a listener's time-out of zero has no value",
            listening(
                json!({ "portMapping": mapping(), "timeout": { "http": { "perRequest": zero() } } }),
            ),
        ),
        taken(
            "a range from zero has no start",
            http(json!({ "match": { "prefix": "/", "headers": [header] } })),
        ),
        taken(
            "a priority of zero is left out",
            http(json!({ "match": { "prefix": "/" } })),
        ),
        taken(
            "no ejection at all is left out",
            listening(json!({ "portMapping": mapping(), "outlierDetection": outliers })),
        ),
        taken(
            "enforce true is written out",
            node_of(
                "n2",
                &json!({ "backendDefaults": { "clientPolicy": { "tls": tls } } }),
            ),
        ),
        taken(
            "an empty grpc match is a map",
            route_of(
                "r2",
                "x",
                &json!({ "grpcRoute": { "match": {}, "action": action() } }),
            ),
        )
        .after(router("r2", &[(80, "grpc")])),
        create(
            "an empty tcp match is a map",
            &given,
            route_of("r3", "x", &empty_tcp),
            Accepted(&["which speaks http"]),
        )
        .after(router("r3", &[(80, "tcp")])),
        taken(
            "empty lists stay",
            node_of("n2", &json!({ "backends": [], "listeners": [] })),
        ),
        taken(
            "an egress filter's default is written out",
            json!({ "kind": "Mesh", "meshName": "o", "spec": { "egressFilter": { "type": "DROP_ALL" } } }),
        ),
        taken(
            "a mesh needs no spec",
            json!({ "kind": "Mesh", "meshName": "o" }),
        ),
        taken(
            "an empty spec stays",
            json!({ "kind": "Mesh", "meshName": "o", "spec": {} }),
        ),
        taken(
            "rewrites that are off stay",
            gateway_route_of("g", "x", &gateway_route),
        ),
        update(
            "an update replaces the whole spec",
            &given,
            node_of("n", &json!({})),
            Accepted(&[]),
        ),
    ]
}

impl Case {
    fn after(mut self, document: Json) -> Self {
        self.given.push(document);
        self
    }
}
