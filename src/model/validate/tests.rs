//! Models out of JSON documents in, findings out.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};

use super::{Unread, not_served, served, validate};
use crate::model::document::Located;
use crate::model::names::{MeshName, NodeName, ResourceId, ResourceKind};
use crate::model::problem::Severity;
use crate::model::registry::Model;
use crate::model::schema;

fn model(documents: &[Json]) -> Model {
    Model::from_resources(documents.iter().map(|document| {
        let read = schema::read(&Located::from(document.clone()));
        read.resource
            .unwrap_or_else(|| panic!("{:#?}", read.problems))
    }))
}

/// `id path: what; help` of each finding; the mesh itself need not be given.
fn findings(documents: &[Json], unread: &Unread) -> String {
    let mut documents = documents.to_vec();
    documents.push(json!({ "kind": "Mesh", "meshName": "m" }));
    let line = |finding: super::Finding| {
        let problem = finding.problem;
        let mark = if problem.severity == Severity::Warning {
            "warning: "
        } else {
            ""
        };
        format!(
            "{mark}{} {}: {}; {}",
            finding.id, problem.path, problem.what, problem.help
        )
    };
    let lines: Vec<String> = validate(&model(&documents), unread)
        .into_iter()
        .map(line)
        .collect();
    lines.join("\n")
}

fn check(documents: &[Json]) -> String {
    findings(documents, &Unread::default())
}

fn node(name: &str, ports: &[(u16, &str)]) -> Json {
    json!({ "kind": "VirtualNode", "meshName": "m", "virtualNodeName": name, "spec": {
        "serviceDiscovery": { "dns": { "hostname": "a.local" } },
        "listeners": listeners(ports),
    } })
}

fn listeners(ports: &[(u16, &str)]) -> Json {
    ports
        .iter()
        .map(|(port, protocol)| json!({ "portMapping": { "port": port, "protocol": protocol } }))
        .collect()
}

fn router(name: &str, ports: &[(u16, &str)]) -> Json {
    json!({ "kind": "VirtualRouter", "meshName": "m", "virtualRouterName": name, "spec": { "listeners": listeners(ports) } })
}

fn service(name: &str, provider: &Json) -> Json {
    json!({ "kind": "VirtualService", "meshName": "m", "virtualServiceName": name, "spec": { "provider": provider } })
}

fn route(router: &str, field: &str, port: Option<u16>, target: &Json) -> Json {
    let matches = match field {
        "tcpRoute" | "grpcRoute" => json!({ "port": port }),
        _ => json!({ "port": port, "prefix": "/" }),
    };
    json!({ "kind": "Route", "meshName": "m", "virtualRouterName": router, "routeName": "x", "spec": {
        field: { "match": matches, "action": { "weightedTargets": [target] } },
    } })
}

fn target(node: &str, port: Option<u16>) -> Json {
    json!({ "virtualNode": node, "weight": 1, "port": port })
}

#[test]
fn a_mesh_that_holds_has_no_finding() {
    let documents = [
        node("cart", &[(80, "http")]),
        router("carts", &[(80, "http")]),
        route("carts", "httpRoute", None, &target("cart", None)),
        service(
            "cart.local",
            &json!({ "virtualRouter": { "virtualRouterName": "carts" } }),
        ),
    ];
    assert_eq!(check(&documents), "");
}

#[test]
fn names_must_be_declared() {
    let backend = json!({ "kind": "VirtualNode", "meshName": "m", "virtualNodeName": "cart", "spec": {
        "backends": [{ "virtualService": { "virtualServiceName": "cart.locl" } }],
    } });
    insta::assert_snapshot!(check(&[
        backend,
        service(
            "cart.local",
            &json!({ "virtualNode": { "virtualNodeName": "cat" } })
        ),
        service(
            "other.local",
            &json!({ "virtualRouter": { "virtualRouterName": "carts" } })
        ),
        route("cart", "httpRoute", None, &target("cartt", None)),
        json!({ "kind": "GatewayRoute", "meshName": "m", "virtualGatewayName": "g", "gatewayRouteName": "x", "spec": {
            "httpRoute": {
                "match": { "prefix": "/" },
                "action": { "target": { "virtualService": { "virtualServiceName": "cart.loca" } } },
            },
        } }),
    ]));
}

#[test]
fn the_mesh_must_be_declared() {
    let mut stray = node("cart", &[]);
    stray["meshName"] = json!("n");
    insta::assert_snapshot!(check(&[stray]));
}

#[test]
fn a_mistyped_mesh_is_one_finding_and_drags_no_other_along() {
    let provider = json!({ "virtualNode": { "virtualNodeName": "cart" } });
    let mut mistyped = node("cart", &[(80, "http")]);
    mistyped["meshName"] = json!("mm");
    let used = service("cart.local", &provider);
    assert_eq!(
        check(&[mistyped.clone(), used.clone()]),
        "mesh/mm/virtualNode/cart meshName: mesh `mm` is not declared; add a document with `kind: Mesh` and `meshName: mm`; \
         did you mean `m`? known meshes: m"
    );
    // The other way round: the mesh itself is mistyped, and every resource of it would say so.
    let mut used = used;
    used["meshName"] = json!("mm");
    assert_eq!(
        check(&[mistyped, used]),
        "mesh/mm/virtualNode/cart meshName: mesh `mm` is not declared, though 2 resources name it; add a document with \
         `kind: Mesh` and `meshName: mm`; did you mean `m`? known meshes: m"
    );
}

#[test]
fn what_is_declared_with_errors_does_not_dangle() {
    let service = service(
        "cart.local",
        &json!({ "virtualNode": { "virtualNodeName": "cart" } }),
    );
    let broken = ResourceId::VirtualNode(MeshName::new("m"), NodeName::new("cart"));
    let ids = Unread {
        ids: BTreeSet::from([broken]),
        unidentified: false,
    };
    let unidentified = Unread {
        unidentified: true,
        ..Unread::default()
    };
    assert_ne!(check(std::slice::from_ref(&service)), "");
    assert_eq!(findings(std::slice::from_ref(&service), &ids), "");
    assert_eq!(findings(&[service], &unidentified), "");
}

#[test]
fn ports_pick_one_of_several_listeners() {
    let both = [(80, "http"), (81, "http")];
    insta::assert_snapshot!(
        [
            check(&[
                node("n", &both),
                router("r", &[(80, "http")]),
                route("r", "httpRoute", None, &target("n", None))
            ]),
            check(&[
                node("n", &both),
                router("r", &[(80, "http")]),
                route("r", "httpRoute", None, &target("n", Some(82)))
            ]),
            check(&[
                node("n", &both),
                router("r", &both),
                route("r", "httpRoute", None, &target("n", Some(81)))
            ]),
            check(&[
                node("n", &both),
                router("r", &both),
                route("r", "httpRoute", Some(83), &target("n", Some(81)))
            ]),
        ]
        .join("\n")
    );
    let fits = [
        node("n", &both),
        router("r", &both),
        route("r", "httpRoute", Some(81), &target("n", Some(80))),
    ];
    assert_eq!(check(&fits), "");
}

#[test]
fn routes_fit_their_routers_protocol() {
    let case = |field: &str, router_speaks: &str, node_speaks: &str| {
        check(&[
            node("n", &[(80, node_speaks)]),
            router("r", &[(80, router_speaks)]),
            route("r", field, None, &target("n", None)),
        ])
    };
    assert_eq!(case("tcpRoute", "tcp", "tcp"), "");
    assert_eq!(case("grpcRoute", "grpc", "http2"), "");
    insta::assert_snapshot!(
        [
            case("httpRoute", "tcp", "tcp"),
            case("tcpRoute", "http", "http"),
            case("httpRoute", "http2", "http"),
            case("httpRoute", "http", "tcp"),
        ]
        .join("\n")
    );
}

#[test]
fn a_router_without_routes_is_noticed_where_it_is_used() {
    let provider = json!({ "virtualRouter": { "virtualRouterName": "r" } });
    assert_eq!(check(&[router("r", &[])]), "");
    insta::assert_snapshot!(check(&[
        router("r", &[]),
        service("a", &provider),
        service("b", &provider)
    ]));
}

#[test]
fn a_grpc_health_check_needs_a_listener_that_speaks_http2() {
    let checked = |protocol: &str| {
        let mut node = node("n", &[(80, protocol)]);
        node["spec"]["listeners"][0]["healthCheck"] = json!({
            "protocol": "grpc", "healthyThreshold": 2, "unhealthyThreshold": 2, "intervalMillis": 5000, "timeoutMillis": 2000,
        });
        check(&[node])
    };
    assert_eq!(checked("http2") + &checked("grpc"), "");
    assert_eq!(
        checked("http"),
        "warning: mesh/m/virtualNode/n spec.listeners[0].healthCheck.protocol: a listener of protocol `http` cannot be \
         checked by gRPC, so it is not checked; set `healthCheck.protocol` to `http`, or the listener's protocol to \
         `http2` or `grpc`"
    );
}

#[test]
fn gateway_routes_pick_a_listener_too() {
    let gateway = json!({ "kind": "VirtualGateway", "meshName": "m", "virtualGatewayName": "g", "spec": {
        "listeners": listeners(&[(80, "http"), (81, "http")]),
    } });
    let gateway_route = json!({ "kind": "GatewayRoute", "meshName": "m", "virtualGatewayName": "g", "gatewayRouteName": "x", "spec": {
        "httpRoute": {
            "match": { "prefix": "/" },
            "action": { "target": { "virtualService": { "virtualServiceName": "s" } } },
        },
    } });
    let service = service("s", &json!({ "virtualNode": { "virtualNodeName": "n" } }));
    let node = node("n", &[(1, "http"), (2, "http")]);
    insta::assert_snapshot!(check(&[gateway, gateway_route, service, node]));
}

#[test]
fn the_table_of_what_is_not_served_names_fields_of_the_schema() {
    for (kind, path) in served::table().filter(|(_, path)| !path.is_empty()) {
        let mut r#type = &schema::Type::Object(schema::kind_schema(kind).document);
        for step in path.split('.') {
            let schema::Type::Object(object) = r#type else {
                panic!("{path} has no {step}")
            };
            let name = step.trim_end_matches("[]");
            let field = object.fields.iter().find(|field| field.name == name);
            r#type = &field
                .unwrap_or_else(|| panic!("{path} has no {step}"))
                .r#type;
            if let schema::Type::List { item, .. } = r#type {
                assert!(step.ends_with("[]"), "{path}");
                r#type = item;
            }
        }
    }
}

#[test]
fn what_is_not_served_is_said_for_each_place() {
    let tls = json!({ "mode": "STRICT", "certificate": { "sds": { "secretName": "s" } } });
    let document = json!({ "kind": "VirtualNode", "meshName": "m", "virtualNodeName": "n", "spec": {
        "serviceDiscovery": { "awsCloudMap": { "namespaceName": "n", "serviceName": "s" } },
        "listeners": [
            { "portMapping": { "port": 1, "protocol": "http" } },
            { "portMapping": { "port": 2, "protocol": "http" }, "tls": tls },
        ],
    } });
    let served = not_served(ResourceKind::VirtualNode, &Located::from(document));
    let lines: Vec<String> = served
        .iter()
        .map(|problem| format!("{}: {}", problem.path, problem.what))
        .collect();
    assert_eq!(
        lines,
        [
            "spec.listeners[1].tls: `tls` is not yet served: with mode STRICT the listener gets no calls, else it takes plain text only",
            "spec.serviceDiscovery.awsCloudMap: `awsCloudMap` is not yet served: the node gets no endpoints",
        ]
    );
    assert_eq!(
        not_served(
            ResourceKind::VirtualNode,
            &Located::from(node("n", &[(80, "http")]))
        ),
        []
    );
    let gateway = json!({ "kind": "VirtualGateway", "spec": { "listeners": [] } });
    assert_eq!(
        not_served(ResourceKind::VirtualGateway, &Located::from(gateway)).len(),
        1
    );
}

#[test]
fn of_very_many_unknown_backends_the_first_are_told_and_the_others_counted() {
    let backends: Vec<_> = (0..5_000)
        .map(|number| {
            let name = format!("{number}.{}", "x".repeat(200));
            serde_json::json!({ "virtualService": { "virtualServiceName": name } })
        })
        .collect();
    let spec = serde_json::json!({ "backends": backends });
    let id = |text: &str| ResourceId::parse(text).unwrap();
    let model = Model::from_resources([
        crate::model::Resource {
            id: id("mesh/m"),
            spec: crate::model::Spec::Mesh(std::sync::Arc::default()),
        },
        crate::model::Resource {
            id: id("mesh/m/virtualNode/n"),
            spec: crate::model::Spec::VirtualNode(serde_json::from_value(spec).unwrap()),
        },
    ]);
    let findings = validate(&model, &Unread::default());
    assert_eq!(findings.len(), super::UNKNOWN_BACKENDS + 1);
    let last = &findings[super::UNKNOWN_BACKENDS].problem.what;
    assert_eq!(last, "4990 more backends name no virtual service");
}
