//! How much there may be.

#![expect(clippy::too_many_lines, reason = "tables")]

use serde_json::json;

use super::{
    Case, Expected, create, gateway, gateway_route, http_route, node, node_of, route, router,
    service_of, target, update,
};
use crate::model::quota::Quota;
use Expected::{Accepted, Limit};

pub(super) fn cases() -> Vec<Case> {
    let one = [(80, "http")];
    let limited = |mut case: Case, quota, limit| {
        case.quotas = vec![(quota, limit)];
        case
    };
    let mesh = |name: &str| json!({ "kind": "Mesh", "meshName": name });
    let base = [
        node("n", &one),
        router("r", &one),
        gateway("g", &one),
        service_of("s", &json!({})),
    ];
    let with = |document: serde_json::Value| [&base[..], &[document]].concat();
    let backend = |name: &str| json!({ "virtualService": { "virtualServiceName": name } });
    let backends = |count: usize| {
        let backends: Vec<_> = ["s", "s2"]
            .iter()
            .take(count)
            .map(|name| backend(name))
            .collect();
        node_of("b", &json!({ "backends": backends }))
    };
    let two_targets = route(
        "r",
        "x",
        "httpRoute",
        &json!({ "prefix": "/" }),
        &[target("n", None), target("n", Some(80))],
    );
    vec![
        limited(
            create(
                "meshes per account",
                &[],
                mesh("o"),
                Limit(Quota::MeshesPerAccount),
            ),
            Quota::MeshesPerAccount,
            1,
        ),
        limited(
            create("as many meshes as the quota", &[], mesh("o"), Accepted(&[])),
            Quota::MeshesPerAccount,
            2,
        ),
        limited(
            create(
                "virtual nodes per mesh",
                &base,
                node("n2", &one),
                Limit(Quota::VirtualNodesPerMesh),
            ),
            Quota::VirtualNodesPerMesh,
            1,
        ),
        limited(
            update(
                "an update adds none",
                &base,
                node("n", &[(81, "http")]),
                Accepted(&[]),
            ),
            Quota::VirtualNodesPerMesh,
            0,
        ),
        limited(
            create(
                "virtual services per mesh",
                &base,
                service_of("s2", &json!({})),
                Limit(Quota::VirtualServicesPerMesh),
            ),
            Quota::VirtualServicesPerMesh,
            1,
        ),
        limited(
            create(
                "virtual routers per mesh",
                &base,
                router("r2", &one),
                Limit(Quota::VirtualRoutersPerMesh),
            ),
            Quota::VirtualRoutersPerMesh,
            1,
        ),
        limited(
            create(
                "virtual gateways per mesh",
                &base,
                gateway("g2", &one),
                Limit(Quota::VirtualGatewaysPerMesh),
            ),
            Quota::VirtualGatewaysPerMesh,
            1,
        ),
        limited(
            create(
                "routes per virtual router",
                &with(http_route("r", "x", "n")),
                http_route("r", "x2", "n"),
                Limit(Quota::RoutesPerVirtualRouter),
            ),
            Quota::RoutesPerVirtualRouter,
            1,
        ),
        limited(
            create(
                "another router's routes do not count",
                &[with(http_route("r", "x", "n")), vec![router("r2", &one)]].concat(),
                http_route("r2", "x", "n"),
                Accepted(&[]),
            ),
            Quota::RoutesPerVirtualRouter,
            1,
        ),
        limited(
            create(
                "gateway routes per virtual gateway",
                &with(gateway_route("x", None, "s", None)),
                gateway_route("x2", None, "s", None),
                Limit(Quota::GatewayRoutesPerVirtualGateway),
            ),
            Quota::GatewayRoutesPerVirtualGateway,
            1,
        ),
        limited(
            create(
                "backends per virtual node",
                &base,
                backends(2),
                Limit(Quota::BackendsPerVirtualNode),
            ),
            Quota::BackendsPerVirtualNode,
            1,
        ),
        limited(
            update(
                "an update adds backends too",
                &with(backends(1)),
                backends(2),
                Limit(Quota::BackendsPerVirtualNode),
            ),
            Quota::BackendsPerVirtualNode,
            1,
        ),
        limited(
            create(
                "weighted targets per route",
                &base,
                two_targets,
                Limit(Quota::WeightedTargetsPerRoute),
            ),
            Quota::WeightedTargetsPerRoute,
            1,
        ),
    ]
}
