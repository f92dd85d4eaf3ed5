//! What a resource makes a client ask for next.

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{ClusterDiscoveryType, DiscoveryType};
use envoy_types::pb::envoy::config::listener::v3::{Listener, filter};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::RouteSpecifier;
use outrigger::snapshot::Kind;
use prost::{Message, Name};

/// The names that the resource has of other kinds.
pub(crate) fn references(kind: Kind, body: &[u8]) -> Vec<(Kind, String)> {
    match kind {
        Kind::Cluster => {
            let cluster = Cluster::decode(body).unwrap();
            let eds = ClusterDiscoveryType::Type(DiscoveryType::Eds.into());
            let is_eds = cluster.cluster_discovery_type == Some(eds);
            is_eds
                .then_some((Kind::Endpoint, cluster.name))
                .into_iter()
                .collect()
        }
        Kind::Listener => {
            let listener = Listener::decode(body).unwrap();
            let chains = listener.filter_chains.into_iter();
            let chains = chains.chain(listener.default_filter_chain);
            chains
                .flat_map(|chain| chain.filters)
                .filter_map(|filter| match filter.config_type? {
                    filter::ConfigType::ConfigDiscovery(_) => Some((Kind::Extension, filter.name)),
                    filter::ConfigType::TypedConfig(config) => {
                        routes(&config.type_url, &config.value)
                    }
                })
                .collect()
        }
        _ => Vec::new(),
    }
}

fn routes(type_url: &str, body: &[u8]) -> Option<(Kind, String)> {
    if type_url != HttpConnectionManager::type_url() {
        return None;
    }
    match HttpConnectionManager::decode(body)
        .unwrap()
        .route_specifier?
    {
        RouteSpecifier::Rds(rds) => Some((Kind::Route, rds.route_config_name)),
        _ => None,
    }
}

/// The name in a resource's body, for SotW, which names it nowhere else.
pub(crate) fn name_of(kind: Kind, body: &[u8]) -> String {
    /// All of them have it in the first field.
    #[derive(Clone, PartialEq, Message)]
    struct Named {
        #[prost(string, tag = "1")]
        name: String,
    }
    assert_ne!(kind, Kind::Secret, "not asked for");
    Named::decode(body).unwrap().name
}
