//! Between resources: what must be there first, and what is in use.

#![expect(
    clippy::too_many_lines,
    clippy::many_single_char_names,
    reason = "tables, with the names of their documents"
)]

use serde_json::json;

use super::{
    Case, Expected, create, delete, gateway, gateway_route, http_route, node, node_of, router,
    service_by_node, service_by_router, service_of, update,
};
use Expected::{Accepted, InUse, Invalid, NotFound};

pub(super) fn cases() -> Vec<Case> {
    let mut all = parents();
    all.extend(deletes());
    all.extend(named());
    all
}

fn in_mesh(mesh: &str, mut document: serde_json::Value) -> serde_json::Value {
    document["meshName"] = json!(mesh);
    document
}

/// "Create parents first", and "both the addressed resource and its parents" of `NotFoundException`.
fn parents() -> Vec<Case> {
    let (n, r) = (node("n", &[(80, "http")]), router("r", &[(80, "http")]));
    vec![
        create(
            "a mesh stands alone",
            &[],
            json!({ "kind": "Mesh", "meshName": "o" }),
            Accepted(&[]),
        ),
        create(
            "a node needs its mesh",
            &[],
            in_mesh("o", n.clone()),
            NotFound("mesh/o"),
        ),
        create(
            "a service needs its mesh",
            &[],
            in_mesh("o", service_of("s", &json!({}))),
            NotFound("mesh/o"),
        ),
        create(
            "a router needs its mesh",
            &[],
            in_mesh("o", r.clone()),
            NotFound("mesh/o"),
        ),
        create(
            "a gateway needs its mesh",
            &[],
            in_mesh("o", gateway("g", &[(80, "http")])),
            NotFound("mesh/o"),
        ),
        create(
            "a route needs its mesh",
            &[],
            in_mesh("o", http_route("r", "x", "n")),
            NotFound("mesh/o"),
        ),
        create(
            "a route needs its router",
            std::slice::from_ref(&n),
            http_route("r", "x", "n"),
            NotFound("mesh/m/virtualRouter/r"),
        ),
        create(
            "a gateway route needs its gateway",
            &[service_of("s", &json!({}))],
            gateway_route("x", None, "s", None),
            NotFound("mesh/m/virtualGateway/g"),
        ),
        update(
            "an update needs the resource",
            &[],
            n.clone(),
            NotFound("mesh/m/virtualNode/n"),
        ),
        update(
            "an update needs the mesh",
            &[],
            in_mesh("o", n.clone()),
            NotFound("mesh/o"),
        ),
        update(
            "an update of a route needs the router",
            std::slice::from_ref(&n),
            http_route("r", "x", "n"),
            NotFound("mesh/m/virtualRouter/r"),
        ),
        update(
            "an update of a route needs the route",
            &[n, r],
            http_route("r", "x", "n"),
            NotFound("mesh/m/virtualRouter/r/route/x"),
        ),
        delete(
            "a delete needs the resource",
            &[],
            "mesh/m/virtualNode/n",
            NotFound("mesh/m/virtualNode/n"),
        ),
        delete(
            "a delete needs the mesh",
            &[],
            "mesh/o/virtualNode/n",
            NotFound("mesh/o"),
        ),
        delete(
            "a delete of a gateway route needs the gateway",
            &[],
            "mesh/m/virtualGateway/g/gatewayRoute/x",
            NotFound("mesh/m/virtualGateway/g"),
        ),
    ]
}

/// What cannot be deleted while it is in use.
fn deletes() -> Vec<Case> {
    let (n, r) = (node("n", &[(80, "http")]), router("r", &[(80, "http")]));
    let (g, s) = (gateway("g", &[(80, "http")]), service_of("s", &json!({})));
    let x = http_route("r", "x", "n");
    let backend = json!({ "backends": [{ "virtualService": { "virtualServiceName": "s" } }] });
    vec![
        delete("an empty mesh can be deleted", &[], "mesh/m", Accepted(&[])),
        delete(
            "a mesh holds its nodes",
            std::slice::from_ref(&n),
            "mesh/m",
            InUse(&["mesh/m/virtualNode/n"]),
        ),
        delete(
            "a mesh holds its services",
            std::slice::from_ref(&s),
            "mesh/m",
            InUse(&["mesh/m/virtualService/s"]),
        ),
        delete(
            "a mesh holds its gateways",
            std::slice::from_ref(&g),
            "mesh/m",
            InUse(&["mesh/m/virtualGateway/g"]),
        ),
        delete(
            "a mesh holds its routers and routes",
            &[n.clone(), r.clone(), x.clone()],
            "mesh/m",
            InUse(&[
                "mesh/m/virtualNode/n",
                "mesh/m/virtualRouter/r",
                "mesh/m/virtualRouter/r/route/x",
            ]),
        ),
        delete(
            "a router holds its routes",
            &[n.clone(), r.clone(), x.clone()],
            "mesh/m/virtualRouter/r",
            InUse(&["mesh/m/virtualRouter/r/route/x"]),
        ),
        delete(
            "a router is a provider",
            &[r.clone(), service_by_router("p", "r")],
            "mesh/m/virtualRouter/r",
            InUse(&["mesh/m/virtualService/p"]),
        ),
        delete(
            "a router that nothing uses goes",
            &[r.clone(), router("r2", &[])],
            "mesh/m/virtualRouter/r",
            Accepted(&[]),
        ),
        delete(
            "a node is a route's target",
            &[n.clone(), r.clone(), x.clone()],
            "mesh/m/virtualNode/n",
            InUse(&["mesh/m/virtualRouter/r/route/x"]),
        ),
        delete(
            "a node is a provider",
            &[n.clone(), service_by_node("p", "n")],
            "mesh/m/virtualNode/n",
            InUse(&["mesh/m/virtualService/p"]),
        ),
        delete(
            "a service is a gateway route's target",
            &[g.clone(), s.clone(), gateway_route("x", None, "s", None)],
            "mesh/m/virtualService/s",
            InUse(&["mesh/m/virtualGateway/g/gatewayRoute/x"]),
        ),
        delete(
            "backends do not hold a service",
            &[s.clone(), node_of("b", &backend)],
            "mesh/m/virtualService/s",
            Accepted(&[]),
        ),
        delete(
            "a gateway holds its routes",
            &[g.clone(), s.clone(), gateway_route("x", None, "s", None)],
            "mesh/m/virtualGateway/g",
            InUse(&["mesh/m/virtualGateway/g/gatewayRoute/x"]),
        ),
        delete(
            "a gateway route goes",
            &[g, s, gateway_route("x", None, "s", None)],
            "mesh/m/virtualGateway/g/gatewayRoute/x",
            Accepted(&[]),
        ),
        delete(
            "a route goes",
            &[n.clone(), r.clone(), x.clone()],
            "mesh/m/virtualRouter/r/route/x",
            Accepted(&[]),
        ),
        delete(
            "the last route of a router in use is reported",
            &[n, r, x, service_by_router("p", "r")],
            "mesh/m/virtualRouter/r/route/x",
            Accepted(&["has no route"]),
        ),
    ]
}

/// What a resource names must be there, but for backends.
fn named() -> Vec<Case> {
    let (n, r, g) = (
        node("n", &[(80, "http")]),
        router("r", &[(80, "http")]),
        gateway("g", &[(80, "http")]),
    );
    let backend = json!({ "backends": [{ "virtualService": { "virtualServiceName": "later" } }] });
    vec![
        create(
            "a service needs no provider",
            &[],
            service_of("s", &json!({})),
            Accepted(&[]),
        ),
        update(
            "its provider may come later",
            &[n.clone(), service_of("s", &json!({}))],
            service_by_node("s", "n"),
            Accepted(&[]),
        ),
        update(
            "its provider may change",
            &[
                n.clone(),
                r.clone(),
                http_route("r", "x", "n"),
                service_by_node("s", "n"),
            ],
            service_by_router("s", "r"),
            Accepted(&[]),
        ),
        create(
            "a provider node must be there",
            &[],
            service_by_node("s", "n"),
            Invalid(
                "spec.provider.virtualNode.virtualNodeName",
                "names no virtual node",
            ),
        ),
        create(
            "a provider router must be there",
            std::slice::from_ref(&n),
            service_by_router("s", "n"),
            Invalid(
                "spec.provider.virtualRouter.virtualRouterName",
                "names no virtual router",
            ),
        ),
        create(
            "a router without routes is reported where it is used",
            std::slice::from_ref(&r),
            service_by_router("s", "r"),
            Accepted(&["has no route"]),
        ),
        create(
            "a route's targets must be there",
            std::slice::from_ref(&r),
            http_route("r", "x", "n"),
            Invalid(
                "spec.httpRoute.action.weightedTargets[0].virtualNode",
                "names no virtual node",
            ),
        ),
        update(
            "they must be there in an update too",
            &[n.clone(), r.clone(), http_route("r", "x", "n")],
            http_route("r", "x", "n2"),
            Invalid(
                "spec.httpRoute.action.weightedTargets[0].virtualNode",
                "names no virtual node",
            ),
        ),
        create(
            "a gateway route's service must be there",
            &[g],
            gateway_route("x", None, "s", None),
            Invalid(
                "spec.httpRoute.action.target.virtualService.virtualServiceName",
                "names no virtual service",
            ),
        ),
        create(
            "a backend may come later",
            &[],
            node_of("b", &backend),
            Accepted(&["names no virtual service"]),
        ),
        create(
            "two nodes may be each other's backends",
            &[node("n2", &[(80, "http")]), service_by_node("later", "n2")],
            node_of("b", &backend),
            Accepted(&[]),
        ),
    ]
}
