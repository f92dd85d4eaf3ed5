use super::*;
use envoy_types::pb::envoy::config::cluster::v3 as cluster;
use envoy_types::pb::envoy::config::listener::v3 as listener;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3 as hcm;
use envoy_types::pb::envoy::service::discovery::v3 as discovery;
use envoy_types::pb::google::protobuf::Any;

fn eds_cluster(name: &str, service_name: &str) -> cluster::Cluster {
    cluster::Cluster {
        name: name.into(),
        cluster_discovery_type: Some(cluster::cluster::ClusterDiscoveryType::Type(3)),
        eds_cluster_config: Some(cluster::cluster::EdsClusterConfig {
            service_name: service_name.into(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn http_filter_chain(route: &str) -> listener::FilterChain {
    let manager = hcm::HttpConnectionManager {
        stat_prefix: "x".into(),
        route_specifier: Some(hcm::http_connection_manager::RouteSpecifier::Rds(
            hcm::Rds {
                route_config_name: route.into(),
                ..Default::default()
            },
        )),
        ..Default::default()
    };
    let any = Any {
        type_url: HCM.into(),
        value: manager.encode_to_vec(),
    };
    listener::FilterChain {
        filters: vec![listener::Filter {
            name: "http".into(),
            config_type: Some(listener::filter::ConfigType::TypedConfig(any)),
        }],
        ..Default::default()
    }
}

#[test]
fn full_types_read_the_requests() {
    // A node with `user_agent_name` "u".
    let node = Bytes::from_static(b"\x32\x01u");
    let lean = SotwRequest {
        version_info: "7".into(),
        node: Some(node.clone()),
        resource_names: vec!["a".into(), "b".into()],
        type_url: "t".into(),
        response_nonce: "n".into(),
    };
    let full = discovery::DiscoveryRequest::decode(&lean.encode_to_vec()[..]).unwrap();
    assert_eq!(full.encode_to_vec(), lean.encode_to_vec());
    assert_eq!(full.node.unwrap().user_agent_name, "u");
    assert_eq!(
        (full.version_info.as_str(), full.response_nonce.as_str()),
        ("7", "n")
    );
    assert_eq!(
        (full.type_url.as_str(), &full.resource_names[..]),
        ("t", &["a".into(), "b".into()][..])
    );

    let lean = DeltaRequest {
        node: Some(node),
        type_url: "t".into(),
        resource_names_subscribe: vec!["a".into()],
        resource_names_unsubscribe: vec!["b".into()],
        initial_resource_versions: HashMap::from([("a".into(), "1".into())]),
        response_nonce: "n".into(),
    };
    let full = discovery::DeltaDiscoveryRequest::decode(&lean.encode_to_vec()[..]).unwrap();
    assert_eq!(full.encode_to_vec(), lean.encode_to_vec());
    assert_eq!(full.initial_resource_versions["a"], "1");
    assert_eq!(
        (
            full.resource_names_subscribe,
            full.resource_names_unsubscribe
        ),
        (vec!["a".into()], vec!["b".into()])
    );
}

#[test]
fn reads_a_full_sotw_response() {
    let full = discovery::DiscoveryResponse {
        version_info: "7".into(),
        type_url: Kind::Cluster.type_url().into(),
        nonce: "n".into(),
        resources: vec![Any {
            type_url: Kind::Cluster.type_url().into(),
            value: eds_cluster("a", "").encode_to_vec(),
        }],
        ..Default::default()
    };
    let lean = SotwResponse::decode(Bytes::from(full.encode_to_vec())).unwrap();
    assert_eq!(
        (lean.version_info.as_str(), lean.nonce.as_str()),
        ("7", "n")
    );
    let resource = Resource::unnamed(lean.resources[0].value.clone());
    assert_eq!(resource.name(), b"a");
}

#[test]
fn reads_a_full_delta_response() {
    let full = discovery::DeltaDiscoveryResponse {
        system_version_info: "7".into(),
        type_url: Kind::Cluster.type_url().into(),
        nonce: "n".into(),
        removed_resources: vec!["gone".into()],
        resources: vec![discovery::Resource {
            name: "a".into(),
            version: "1".into(),
            resource: Some(Any {
                type_url: String::new(),
                value: vec![1, 2, 3],
            }),
            ..Default::default()
        }],
        ..Default::default()
    };
    let lean = DeltaResponse::decode(Bytes::from(full.encode_to_vec())).unwrap();
    assert_eq!(lean.removed_resources, ["gone"]);
    assert_eq!(&lean.resources[0].name[..], b"a");
    assert_eq!(lean.resources[0].version, "1");
    assert_eq!(
        &lean.resources[0].resource.as_ref().unwrap().value[..],
        [1, 2, 3]
    );
}

#[test]
fn cluster_asks_for_its_service_name_or_its_own() {
    let names = |c: cluster::Cluster| dependents(Kind::Cluster, c.encode_to_vec().into()).unwrap();
    assert_eq!(names(eds_cluster("a", "")), ["a"]);
    assert_eq!(names(eds_cluster("a", "b")), ["b"]);
    let fixed = cluster::Cluster {
        name: "a".into(),
        ..Default::default()
    };
    assert!(names(fixed).is_empty());
}

#[test]
fn listener_asks_for_the_routes_of_all_its_chains() {
    let l = listener::Listener {
        name: "l".into(),
        filter_chains: vec![http_filter_chain("r1"), http_filter_chain("r2")],
        default_filter_chain: Some(http_filter_chain("r3")),
        ..Default::default()
    };
    let names = dependents(Kind::Listener, l.encode_to_vec().into()).unwrap();
    assert_eq!(names, ["r1", "r2", "r3"]);
}

#[test]
fn name_is_found_behind_other_fields_and_absent_in_garbage() {
    // Field 2 (varint 5), then field 1 "ab".
    assert_eq!(
        first_string(&[0x10, 5, 0x0a, 2, b'a', b'b']),
        Some(&b"ab"[..])
    );
    assert_eq!(first_string(&[0x0a, 9, b'a']), None);
    assert_eq!(first_string(&[]), None);
}
