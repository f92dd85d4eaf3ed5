//! AWS's SDK for Rust, which reads answers into types of its own and errors into variants.

use aws_sdk_appmesh::Client;
use aws_sdk_appmesh::config::retry::RetryConfig;
use aws_sdk_appmesh::config::{BehaviorVersion, Config, Credentials, Region};
use aws_sdk_appmesh::types::{
    DnsServiceDiscovery, EgressFilter, EgressFilterType, HttpRoute, HttpRouteAction,
    HttpRouteMatch, Listener, MeshSpec, MeshStatusCode, PortMapping, PortProtocol, RouteSpec,
    ServiceDiscovery, TagRef, VirtualNodeSpec, VirtualNodeStatusCode, VirtualRouterListener,
    VirtualRouterSpec, VirtualServiceProvider, VirtualServiceSpec, WeightedTarget,
};
use aws_smithy_http_client::Builder;

use super::served::Served;

fn client(served: &Served) -> Client {
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(served.url())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("key", "secret", None, None, "test"))
        .retry_config(RetryConfig::disabled())
        .http_client(Builder::new().build_http())
        .build();
    Client::from_conf(config)
}

fn port(port: i32) -> PortMapping {
    let protocol = PortProtocol::Http;
    PortMapping::builder()
        .port(port)
        .protocol(protocol)
        .build()
        .unwrap()
}

fn node_spec() -> VirtualNodeSpec {
    let dns = DnsServiceDiscovery::builder()
        .hostname("a.invalid")
        .build()
        .unwrap();
    VirtualNodeSpec::builder()
        .service_discovery(ServiceDiscovery::Dns(dns))
        .listeners(Listener::builder().port_mapping(port(8080)).build())
        .build()
}

fn route_spec(weight: i32) -> RouteSpec {
    let target = WeightedTarget::builder()
        .virtual_node("node")
        .weight(weight);
    let action = HttpRouteAction::builder().weighted_targets(target.build().unwrap());
    let route = HttpRoute::builder()
        .r#match(HttpRouteMatch::builder().prefix("/").build())
        .action(action.build().unwrap());
    RouteSpec::builder().http_route(route.build()).build()
}

/// A mesh, a node, and a router with one route to it.
async fn create(client: &Client) {
    let filter = EgressFilter::builder().r#type(EgressFilterType::AllowAll);
    let spec = MeshSpec::builder().egress_filter(filter.build().unwrap());
    let tag = TagRef::builder().key("team").value("a").build().unwrap();
    let call = client
        .create_mesh()
        .mesh_name("mesh")
        .spec(spec.build())
        .tags(tag);
    let mesh = call.send().await.unwrap().mesh.unwrap();
    assert_eq!(mesh.status.unwrap().status, Some(MeshStatusCode::Active));
    assert_eq!(mesh.metadata.unwrap().version, 1);
    let call = client
        .create_virtual_node()
        .mesh_name("mesh")
        .virtual_node_name("node");
    call.spec(node_spec()).send().await.unwrap();
    let listener = VirtualRouterListener::builder().port_mapping(port(8080));
    let spec = VirtualRouterSpec::builder().listeners(listener.build());
    let call = client
        .create_virtual_router()
        .mesh_name("mesh")
        .virtual_router_name("router");
    call.spec(spec.build()).send().await.unwrap();
    let call = client
        .create_route()
        .mesh_name("mesh")
        .virtual_router_name("router");
    let call = call.route_name("route").spec(route_spec(1));
    call.send().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn resources_come_back_as_they_were_sent() {
    let served = Served::start(&[]).await;
    let client = client(&served);
    create(&client).await;

    let call = client
        .describe_virtual_node()
        .mesh_name("mesh")
        .virtual_node_name("node");
    let node = call.send().await.unwrap().virtual_node.unwrap();
    assert_eq!(node.spec.unwrap(), node_spec());
    let metadata = node.metadata.unwrap();
    assert_eq!(
        metadata.arn,
        "arn:aws:appmesh:us-east-1:000000000000:mesh/mesh/virtualNode/node"
    );
    assert!(metadata.created_at.secs() > 1_700_000_000);

    let call = client
        .update_route()
        .mesh_name("mesh")
        .virtual_router_name("router");
    let call = call.route_name("route").spec(route_spec(7));
    let route = call.send().await.unwrap().route.unwrap();
    assert_eq!(route.spec.unwrap(), route_spec(7));
    assert_eq!(route.metadata.unwrap().version, 2);

    let pages = client
        .list_routes()
        .mesh_name("mesh")
        .virtual_router_name("router");
    let mut pages = pages.into_paginator().page_size(1).items().send();
    let reference = pages.next().await.unwrap().unwrap();
    assert_eq!(
        (reference.route_name.as_str(), reference.version),
        ("route", 2)
    );
    assert!(pages.next().await.is_none());

    let arn = "arn:aws:appmesh:us-east-1:000000000000:mesh/mesh";
    let tags = client
        .list_tags_for_resource()
        .resource_arn(arn)
        .send()
        .await
        .unwrap();
    assert_eq!(
        tags.tags,
        [TagRef::builder().key("team").value("a").build().unwrap()]
    );

    let call = client
        .delete_route()
        .mesh_name("mesh")
        .virtual_router_name("router");
    call.route_name("route").send().await.unwrap();
    let call = client
        .delete_virtual_node()
        .mesh_name("mesh")
        .virtual_node_name("node");
    let deleted = call.send().await.unwrap().virtual_node.unwrap();
    assert_eq!(
        deleted.status.unwrap().status,
        VirtualNodeStatusCode::Deleted
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_are_the_sdks_variants() {
    let served = Served::start(&["--quota", "meshes-per-account=1"]).await;
    let client = client(&served);
    create(&client).await;

    let call = client.describe_mesh().mesh_name("nowhere");
    let error = call.send().await.unwrap_err().into_service_error();
    assert!(error.is_not_found_exception(), "{error:?}");
    let message = "Mesh with name nowhere is not present for account 000000000000";
    assert_eq!(error.meta().message(), Some(message));

    let call = client
        .delete_virtual_node()
        .mesh_name("mesh")
        .virtual_node_name("node");
    let error = call.send().await.unwrap_err().into_service_error();
    assert!(error.is_resource_in_use_exception(), "{error:?}");

    let call = client
        .create_virtual_node()
        .mesh_name("mesh")
        .virtual_node_name("node");
    let call = call.spec(VirtualNodeSpec::builder().build());
    let error = call.send().await.unwrap_err().into_service_error();
    assert!(error.is_conflict_exception(), "{error:?}");

    let call = client.create_mesh().mesh_name("second");
    let error = call.send().await.unwrap_err().into_service_error();
    assert!(error.is_limit_exceeded_exception(), "{error:?}");

    let provider = aws_sdk_appmesh::types::VirtualNodeServiceProvider::builder();
    let provider = provider.virtual_node_name("nobody").build().unwrap();
    let spec =
        VirtualServiceSpec::builder().provider(VirtualServiceProvider::VirtualNode(provider));
    let call = client
        .create_virtual_service()
        .mesh_name("mesh")
        .virtual_service_name("s.local");
    let error = call
        .spec(spec.build())
        .send()
        .await
        .unwrap_err()
        .into_service_error();
    assert!(error.is_bad_request_exception(), "{error:?}");
    assert!(
        error.meta().message().unwrap().contains("nobody"),
        "{error:?}"
    );
}
