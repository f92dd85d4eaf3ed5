//! Routes of virtual hosts: a match, and clusters by weight.

use std::time::Duration;

use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_action::upgrade_config::ConnectConfig;
use envoy_types::pb::envoy::config::route::v3::route_action::{ClusterSpecifier, UpgradeConfig};
use envoy_types::pb::envoy::config::route::v3::route_match::{ConnectMatcher, PathSpecifier};
use envoy_types::pb::envoy::config::route::v3::weighted_cluster::ClusterWeight;
use envoy_types::pb::envoy::config::route::v3::{
    DirectResponseAction, RetryPolicy, Route, RouteAction, RouteMatch, WeightedCluster,
};

use crate::model::spec::{ApiDuration, HttpTimeout, RouteSpec};
use crate::model::{NodeName, RouteName};
use crate::snapshot::ResourceName;

use super::{Options, defaults, proto, retry, route_match};

/// A weighted target that was found, or the only target of a virtual service without a router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) cluster: ResourceName,
    pub(crate) weight: u32,
}

/// An HTTP-like route, and what about it could not be served as it stands.
///
/// # Errors
/// Why Envoy would refuse the route, so that it is left out.
pub(crate) fn http_like(
    name: &RouteName,
    spec: &RouteSpec,
    targets: &[Target],
    options: &Options,
) -> Result<(Route, Vec<String>), String> {
    let (matched, timeout, (policy, unknown_events)) = if let Some(route) = &spec.grpc_route {
        let policy = route.retry_policy.as_ref().map(retry::grpc_policy);
        (
            route_match::grpc(&route.r#match)?,
            route.timeout.as_ref(),
            policy.map_or_else(
                || (retry::default_policy(options), Vec::new()),
                |(policy, unknown)| (Some(policy), unknown),
            ),
        )
    } else if let Some(route) = spec.http2_route.as_ref().or(spec.http_route.as_ref()) {
        let policy = route.retry_policy.as_ref().map(retry::http_policy);
        (
            route_match::http(&route.r#match)?,
            route.timeout.as_ref(),
            policy.map_or_else(
                || (retry::default_policy(options), Vec::new()),
                |(policy, unknown)| (Some(policy), unknown),
            ),
        )
    } else {
        return Err("is no HTTP route".to_owned());
    };
    let mut problems: Vec<String> = unknown_events
        .iter()
        .map(|event| {
            format!(
                "retries on `{event}`, which is no HTTP event; use `server-error`, `gateway-error`, `client-error` or \
                 `stream-error`"
            )
        })
        .collect();
    let action = if let Some(clusters) = split(targets) {
        forward(clusters, timeout, policy)
    } else {
        problems.push(no_target(targets));
        unavailable()
    };
    Ok((named(name.as_str(), matched, action), problems))
}

fn no_target(targets: &[Target]) -> String {
    if targets.is_empty() {
        "has no target left, so its requests get 503; name at least one that exists".to_owned()
    } else {
        "has no target with a weight above 0, so its requests get 503; give one a weight".to_owned()
    }
}

/// All requests to the one node behind a virtual service without a router.
pub(crate) fn to_node(node: &NodeName, cluster: &ResourceName, options: &Options) -> Route {
    let clusters = ClusterSpecifier::Cluster(cluster.as_ref().to_owned());
    let action = forward(clusters, None, retry::default_policy(options));
    named(node.as_str(), route_match::everything(), action)
}

/// Ends CONNECT tunnels at these clusters; [`defaults::NO_TIMEOUT`] lets them be silent for ever.
pub(crate) fn tunnel(name: &str, clusters: ClusterSpecifier, idle_timeout: Duration) -> Route {
    let matched = RouteMatch {
        path_specifier: Some(PathSpecifier::ConnectMatcher(ConnectMatcher {})),
        ..Default::default()
    };
    let action = Action::Route(RouteAction {
        cluster_specifier: Some(clusters),
        timeout: Some(proto::duration(defaults::NO_TIMEOUT)),
        idle_timeout: Some(proto::duration(idle_timeout)),
        upgrade_configs: vec![UpgradeConfig {
            upgrade_type: "CONNECT".to_owned(),
            connect_config: Some(ConnectConfig::default()),
            ..Default::default()
        }],
        ..Default::default()
    });
    named(name, matched, action)
}

/// All requests to one cluster, for as long as they take.
pub(crate) fn pass(name: &str, cluster: String) -> Route {
    let action = Action::Route(RouteAction {
        cluster_specifier: Some(ClusterSpecifier::Cluster(cluster)),
        timeout: Some(proto::duration(defaults::NO_TIMEOUT)),
        // Envoy's own five minutes would cut a stream that is silent for longer.
        idle_timeout: Some(proto::duration(defaults::NO_TIMEOUT)),
        ..Default::default()
    });
    named(name, route_match::everything(), action)
}

/// All requests to the node's own application, within its listener's time.
pub(crate) fn to_application(
    node: &NodeName,
    cluster: String,
    timeout: Option<&HttpTimeout>,
) -> Route {
    let action = forward(ClusterSpecifier::Cluster(cluster), timeout, None);
    named(node.as_str(), route_match::everything(), action)
}

/// The clusters by weight; `None` if no target has any.
///
/// Targets of weight 0 stay in: it shows in Envoy that they are meant.
pub(crate) fn split(targets: &[Target]) -> Option<ClusterSpecifier> {
    let total: u64 = targets.iter().map(|target| u64::from(target.weight)).sum();
    // Envoy refuses a sum beyond 32 bits; App Mesh's own limit is 100.
    let scale = total / u64::from(u32::MAX) + 1;
    match targets {
        [] => None,
        _ if total == 0 => None,
        [only] => Some(ClusterSpecifier::Cluster(only.cluster.as_ref().to_owned())),
        _ => {
            let clusters = targets.iter().map(|target| ClusterWeight {
                name: target.cluster.as_ref().to_owned(),
                weight: Some(proto::uint(
                    u32::try_from(u64::from(target.weight) / scale).unwrap_or(u32::MAX),
                )),
                ..Default::default()
            });
            Some(ClusterSpecifier::WeightedClusters(WeightedCluster {
                clusters: clusters.collect(),
                ..Default::default()
            }))
        }
    }
}

fn forward(
    clusters: ClusterSpecifier,
    timeout: Option<&HttpTimeout>,
    retry_policy: Option<RetryPolicy>,
) -> Action {
    let request = timeout.and_then(|timeout| timeout.per_request);
    let idle = timeout.and_then(|timeout| timeout.idle);
    Action::Route(RouteAction {
        cluster_specifier: Some(clusters),
        timeout: Some(proto::duration(
            request.map_or(defaults::REQUEST_TIMEOUT, ApiDuration::to_duration),
        )),
        idle_timeout: idle.map(|idle| proto::duration(idle.to_duration())),
        retry_policy,
        ..Default::default()
    })
}

fn unavailable() -> Action {
    Action::DirectResponse(DirectResponseAction {
        status: defaults::NO_TARGET_STATUS,
        ..Default::default()
    })
}

/// Answers every request with 503.
pub(crate) fn refuse(name: &str) -> Route {
    named(name, route_match::everything(), unavailable())
}

fn named(name: &str, matched: RouteMatch, action: Action) -> Route {
    Route {
        name: name.to_owned(),
        r#match: Some(matched),
        action: Some(action),
        ..Default::default()
    }
}
