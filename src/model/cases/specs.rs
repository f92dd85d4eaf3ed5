//! Within one resource: what the service refuses beyond its model's types and bounds.

#![expect(clippy::too_many_lines, reason = "tables")]

use serde_json::{Value as Json, json};

use super::{
    Case, Expected, create, gateway, gateway_route_of, node, node_of, route_of, router, service_of,
    target,
};
use Expected::{Accepted, Invalid};

pub(super) fn cases() -> Vec<Case> {
    let mut all = documents();
    all.extend(routes());
    all.extend(gateway_routes());
    all.extend(listeners());
    all
}

/// The document as such.
fn documents() -> Vec<Case> {
    let with = |member: &str, value: Json| {
        let mut document = service_of("s", &json!({}));
        document[member] = value;
        document
    };
    let tags = |tags: Json| with("tags", tags);
    let tag = |key: &str| json!({ "key": key, "value": "v" });
    let many: Vec<Json> = (0..51).map(|n| tag(&format!("k{n}"))).collect();
    vec![
        create(
            "unknown members are refused",
            &[],
            with("extra", json!(1)),
            Invalid("extra", "unknown field"),
        ),
        create(
            "unknown members of a spec are refused",
            &[],
            service_of("s", &json!({ "extra": 1 })),
            Invalid("spec.extra", "unknown field"),
        ),
        create(
            "null counts as absent",
            &[],
            service_of("s", &json!({ "provider": null, "extra": null })),
            Accepted(&[]),
        ),
        create(
            "a spec is needed",
            &[],
            with("spec", json!(null)),
            Invalid("", "lacks `spec`"),
        ),
        create(
            "but for a mesh",
            &[],
            json!({ "kind": "Mesh", "meshName": "o" }),
            Accepted(&[]),
        ),
        create(
            "types are held to",
            &[],
            with("spec", json!([])),
            Invalid("spec", "must be a map"),
        ),
        create(
            "names have 255 characters at most",
            &[],
            service_of(&"s".repeat(256), &json!({})),
            Invalid("virtualServiceName", "256 characters"),
        ),
        create(
            "names of routers have a form",
            &[],
            router("a b", &[]),
            Invalid("virtualRouterName", "cannot be `a b`"),
        ),
        create(
            "client tokens have 36 characters at most",
            &[],
            with("clientToken", json!("x".repeat(37))),
            Invalid("clientToken", "37 characters"),
        ),
        create(
            "client tokens have a form",
            &[],
            with("clientToken", json!("a b")),
            Invalid("clientToken", "cannot be"),
        ),
        create(
            "UUIDs are client tokens",
            &[],
            with("clientToken", json!("2b9d0c53-1e3c-4a4e-9b0e-2f7a5c1d6e88")),
            Accepted(&[]),
        ),
        create(
            "tags are taken",
            &[],
            tags(json!([tag("team"), { "key": "no value" }, tag("größe")])),
            Accepted(&[]),
        ),
        create(
            "50 tags at most",
            &[],
            tags(json!(many)),
            Invalid("tags", "51 items"),
        ),
        create(
            "a tag's key is not empty",
            &[],
            tags(json!([tag("")])),
            Invalid("tags[0].key", "empty"),
        ),
        create(
            "a tag's key has 128 characters at most",
            &[],
            tags(json!([tag(&"k".repeat(129))])),
            Invalid("tags[0].key", "129 characters"),
        ),
        create(
            "a tag's value has 256 characters at most",
            &[],
            tags(json!([{ "key": "k", "value": "v".repeat(257) }])),
            Invalid("tags[0].value", "257 characters"),
        ),
        create(
            "tags of AWS are reserved",
            &[],
            tags(json!([tag("AWS:team")])),
            Invalid("tags[0].key", "cannot be"),
        ),
        create(
            "tags have no control characters",
            &[],
            tags(json!([tag("a\nb")])),
            Invalid("tags[0].key", "cannot be"),
        ),
        create(
            "a tag's key is given once",
            &[],
            tags(json!([tag("a"), tag("a")])),
            Invalid("tags[1]", "two tags have the key `a`"),
        ),
    ]
}

fn routes() -> Vec<Case> {
    let given = [node("n", &[(80, "http")]), router("r", &[])];
    let action = || json!({ "weightedTargets": [target("n", None)] });
    let http = |matches: Json| json!({ "httpRoute": { "match": matches, "action": action() } });
    let grpc = |matches: Json| json!({ "grpcRoute": { "match": matches, "action": action() } });
    let retry = |policy: Json| json!({ "httpRoute": { "match": { "prefix": "/" }, "action": action(), "retryPolicy": policy } });
    let header = |header: Json| http(json!({ "prefix": "/", "headers": [header] }));
    let weights = |weights: &[u8]| {
        let targets: Vec<Json> = weights
            .iter()
            .map(|weight| json!({ "virtualNode": "n", "weight": weight }))
            .collect();
        json!({ "tcpRoute": { "action": { "weightedTargets": targets } } })
    };
    let both = json!({ "tcpRoute": { "action": action() }, "httpRoute": { "match": { "prefix": "/" }, "action": action() } });
    let taken = |rule, spec: Json| create(rule, &given, route_of("r", "x", &spec), Accepted(&[]));
    let refused = |rule, spec: Json, path, what| {
        create(rule, &given, route_of("r", "x", &spec), Invalid(path, what))
    };
    vec![
        refused(
            "a route has a type",
            json!({ "priority": 1 }),
            "spec",
            "has none of",
        ),
        refused("a route has one type", both, "spec", "only one of them"),
        taken("weights may add up to less than 100", weights(&[1, 2])),
        taken("weights may add up to 100", weights(&[60, 40])),
        refused(
            "weights add up to 100 at most",
            weights(&[60, 41]),
            "spec.tcpRoute.action",
            "add up to 101",
        ),
        refused(
            "a weight is 100 at most",
            weights(&[101]),
            "spec.tcpRoute.action.weightedTargets[0].weight",
            "from 0 to 100",
        ),
        create(
            "weights of nothing but 0 are reported",
            &given,
            route_of("r", "x", &weights(&[0])),
            Accepted(&["every weight"]),
        ),
        refused(
            "a route has 10 targets at most",
            weights(&[1; 11]),
            "spec.tcpRoute.action.weightedTargets",
            "11 items",
        ),
        refused(
            "a prefix starts with a slash",
            http(json!({ "prefix": "a" })),
            "spec.httpRoute.match.prefix",
            "cannot be",
        ),
        refused(
            "an http match has a prefix or a path",
            http(json!({})),
            "spec.httpRoute.match",
            "has none of",
        ),
        refused(
            "an http match has not both",
            http(json!({ "prefix": "/", "path": { "exact": "/" } })),
            "spec.httpRoute.match",
            "only one of them",
        ),
        refused(
            "a path is exact or a regex",
            http(json!({ "path": {} })),
            "spec.httpRoute.match.path",
            "has none of",
        ),
        refused(
            "a path is not both",
            http(json!({ "path": { "exact": "/", "regex": "/" } })),
            "spec.httpRoute.match.path",
            "only one of them",
        ),
        refused(
            "a method is one of HTTP's",
            http(json!({ "prefix": "/", "method": "get" })),
            "spec.httpRoute.match.method",
            "cannot be",
        ),
        taken(
            "a header without match tests for presence",
            header(json!({ "name": "x" })),
        ),
        refused(
            "a header has one match",
            header(json!({ "name": "x", "match": { "exact": "a", "prefix": "b" } })),
            "spec.httpRoute.match.headers[0].match",
            "only one of them",
        ),
        refused(
            "no pseudo headers",
            header(json!({ "name": ":authority" })),
            "spec.httpRoute.match.headers[0].name",
            "cannot be",
        ),
        refused(
            "a range grows",
            header(json!({ "name": "x", "match": { "range": { "start": 2, "end": 2 } } })),
            "spec.httpRoute.match.headers[0].match.range",
            "range ends at 2",
        ),
        taken("an empty grpc match is taken", grpc(json!({}))),
        refused(
            "a grpc method needs a service",
            grpc(json!({ "methodName": "Get" })),
            "spec.grpcRoute.match",
            "needs `serviceName`",
        ),
        refused(
            "a retry policy has events",
            retry(json!({ "maxRetries": 1, "perRetryTimeout": {} })),
            "spec.httpRoute.retryPolicy",
            "has none of",
        ),
        create(
            "an unknown http retry event is reported",
            &given,
            route_of(
                "r",
                "x",
                &retry(
                    json!({ "maxRetries": 1, "perRetryTimeout": {}, "httpRetryEvents": ["5xx"] }),
                ),
            ),
            Accepted(&["is no HTTP retry event"]),
        ),
        refused(
            "a tcp retry event is known",
            retry(json!({ "maxRetries": 1, "perRetryTimeout": {}, "tcpRetryEvents": ["reset"] })),
            "spec.httpRoute.retryPolicy.tcpRetryEvents[0]",
            "cannot be",
        ),
        refused(
            "a priority is 1000 at most",
            json!({ "priority": 1001, "tcpRoute": { "action": action() } }),
            "spec.priority",
            "from 0 to 1000",
        ),
    ]
}

fn gateway_routes() -> Vec<Case> {
    let given = [gateway("g", &[(80, "http")]), service_of("s", &json!({}))];
    let target = || json!({ "virtualService": { "virtualServiceName": "s" } });
    let http = |matches: Json, rewrite: Json| json!({ "httpRoute": { "match": matches, "action": { "target": target(), "rewrite": rewrite } } });
    let grpc = |matches: Json| json!({ "grpcRoute": { "match": matches, "action": { "target": target() } } });
    let prefix = || json!({ "prefix": "/a" });
    let taken = |rule, spec: Json| {
        create(
            rule,
            &given,
            gateway_route_of("g", "x", &spec),
            Accepted(&[]),
        )
    };
    let refused = |rule, spec: Json, path, what| {
        create(
            rule,
            &given,
            gateway_route_of("g", "x", &spec),
            Invalid(path, what),
        )
    };
    vec![
        refused(
            "a gateway route has a type",
            json!({}),
            "spec",
            "has none of",
        ),
        refused(
            "a gateway route matches something",
            http(json!({}), json!(null)),
            "spec.httpRoute.match",
            "has none of",
        ),
        taken(
            "a host name is enough",
            http(json!({ "hostname": { "exact": "a.example" } }), json!(null)),
        ),
        refused(
            "prefix and path exclude each other",
            http(
                json!({ "prefix": "/", "path": { "exact": "/" } }),
                json!(null),
            ),
            "spec.httpRoute.match",
            "only one of them",
        ),
        refused(
            "a host name is exact or a suffix",
            http(
                json!({ "hostname": { "exact": "a.b", "suffix": ".b" } }),
                json!(null),
            ),
            "spec.httpRoute.match.hostname",
            "only one of them",
        ),
        refused(
            "a grpc match has a service or a host name",
            grpc(json!({})),
            "spec.grpcRoute.match",
            "has none of",
        ),
        refused(
            "prefixes of App Mesh are reserved",
            http(json!({ "prefix": "/aws-app-mesh/x" }), json!(null)),
            "spec.httpRoute.match.prefix",
            "cannot be",
        ),
        refused(
            "services of App Mesh are reserved",
            grpc(json!({ "serviceName": "/aws.app-mesh.x" })),
            "spec.grpcRoute.match.serviceName",
            "cannot be",
        ),
        taken(
            "a prefix is rewritten",
            http(prefix(), json!({ "prefix": { "value": "/b/" } })),
        ),
        refused(
            "a rewritten prefix ends with a slash",
            http(prefix(), json!({ "prefix": { "value": "/b" } })),
            "spec.httpRoute.action.rewrite.prefix.value",
            "cannot be",
        ),
        refused(
            "a prefix is rewritten by default or to a value",
            http(
                prefix(),
                json!({ "prefix": { "value": "/b/", "defaultPrefix": "DISABLED" } }),
            ),
            "spec.httpRoute.action.rewrite.prefix",
            "only one of them",
        ),
        refused(
            "a rewritten prefix was matched",
            http(
                json!({ "path": { "exact": "/" } }),
                json!({ "prefix": { "value": "/b/" } }),
            ),
            "spec.httpRoute",
            "needs `match.prefix`",
        ),
        refused(
            "a rewritten path was matched",
            http(prefix(), json!({ "path": { "exact": "/" } })),
            "spec.httpRoute",
            "needs `match.path`",
        ),
        refused(
            "prefix and path are not both rewritten",
            http(
                prefix(),
                json!({ "prefix": { "value": "/b/" }, "path": { "exact": "/" } }),
            ),
            "spec.httpRoute.action.rewrite",
            "only one of them",
        ),
    ]
}

fn listeners() -> Vec<Case> {
    let listening = |listener: Json| {
        let discovery = json!({ "dns": { "hostname": "a.local" } });
        node_of(
            "n",
            &json!({ "serviceDiscovery": discovery, "listeners": [listener] }),
        )
    };
    let mapping = |protocol: &str| json!({ "port": 80, "protocol": protocol });
    let check = |port: Option<u16>, protocol: &str| json!({ "port": port, "protocol": protocol, "healthyThreshold": 2, "unhealthyThreshold": 2, "intervalMillis": 5000, "timeoutMillis": 2000 });
    let mut mapped = gateway("g", &[(80, "tcp")]);
    mapped["spec"]["listeners"][0]["portMapping"]["protocol"] = json!("tcp");
    let no_listeners =
        json!({ "kind": "VirtualGateway", "meshName": "m", "virtualGatewayName": "g", "spec": {} });
    vec![
        create(
            "listeners need discovery",
            &[],
            node_of(
                "n",
                &json!({ "listeners": [{ "portMapping": mapping("http") }] }),
            ),
            Invalid("spec", "needs `serviceDiscovery`"),
        ),
        create(
            "discovery needs no listener here",
            &[],
            node_of(
                "n",
                &json!({ "serviceDiscovery": { "dns": { "hostname": "a.local" } } }),
            ),
            Accepted(&[]),
        ),
        create(
            "a pool follows the protocol",
            &[],
            listening(
                json!({ "portMapping": mapping("http"), "connectionPool": { "tcp": { "maxConnections": 1 } } }),
            ),
            Invalid("spec.listeners[0].connectionPool", "protocol `http`"),
        ),
        create(
            "a timeout follows the protocol",
            &[],
            listening(json!({ "portMapping": mapping("grpc"), "timeout": { "http": {} } })),
            Invalid("spec.listeners[0].timeout", "protocol `grpc`"),
        ),
        create(
            "a health check asks the listener's port",
            &[],
            listening(
                json!({ "portMapping": mapping("http"), "healthCheck": check(Some(81), "http") }),
            ),
            Invalid("spec.listeners[0].healthCheck.port", "asks port 81"),
        ),
        create(
            "a health check's port is filled in",
            &[],
            listening(
                json!({ "portMapping": mapping("http"), "healthCheck": check(None, "http") }),
            ),
            Accepted(&[]),
        ),
        create(
            "a health check has all it needs",
            &[],
            listening(
                json!({ "portMapping": mapping("http"), "healthCheck": { "protocol": "http" } }),
            ),
            Invalid("spec.listeners[0].healthCheck", "lacks `healthyThreshold`"),
        ),
        create(
            "a grpc health check of an http listener is reported",
            &[],
            listening(
                json!({ "portMapping": mapping("http"), "healthCheck": check(None, "grpc") }),
            ),
            Accepted(&["cannot be checked by gRPC"]),
        ),
        create(
            "listeners have ports of their own",
            &[],
            node("n", &[(80, "http"), (80, "tcp")]),
            Invalid("spec.listeners[1]", "two listeners have port 80"),
        ),
        create(
            "a gateway speaks no tcp",
            &[],
            mapped,
            Invalid("spec.listeners[0].portMapping.protocol", "cannot be `tcp`"),
        ),
        create(
            "a gateway has listeners",
            &[],
            no_listeners,
            Invalid("spec", "lacks `listeners`"),
        ),
    ]
}
