//! What gRPC's own clients get, which route calls themselves: no sidecar stands between them and the endpoints.
//!
//! A channel's target is the name of a listener without an address (gRFC A27), which refers to the routes of one port of
//! a service. Clusters and load assignments are those of sidecars: what gRPC does not know in them (active health
//! checks, ejection by consecutive errors, protocol options) it passes over.
//!
//! Routes are made from those of sidecars. Not every client passes over what it does not know there: some reject the
//! whole configuration, so each field here is one that gRPC is specified to read (gRFC A28, A31, A36, A44, A63).

use std::collections::BTreeSet;

use envoy_types::pb::envoy::config::listener::v3::{ApiListener, Listener};
use envoy_types::pb::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier;
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_action::MaxStreamDuration;
use envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier;
use envoy_types::pb::envoy::config::route::v3::{
    HeaderMatcher, NonForwardingAction, RetryPolicy, Route, RouteAction, RouteConfiguration,
    RouteMatch, VirtualHost,
};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::RouteSpecifier;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, Rds,
};
use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;

use crate::model::ServiceName;
use crate::model::spec::Protocol;

use super::service::{ServicePort, Traffic};
use super::{chain, proto};

/// A listener for channels whose target has its name.
pub(crate) fn listener(name: &str, routes: &str) -> Listener {
    let manager = HttpConnectionManager {
        stat_prefix: name.to_owned(),
        route_specifier: Some(RouteSpecifier::Rds(Rds {
            config_source: Some(proto::ads()),
            route_config_name: routes.to_owned(),
        })),
        http_filters: vec![chain::router()],
        ..Default::default()
    };
    Listener {
        name: name.to_owned(),
        api_listener: Some(ApiListener {
            api_listener: Some(proto::any(&manager)),
        }),
        ..Default::default()
    }
}

/// The routes of one port of a service, whatever authority the calls name: the listener has said which service is meant.
pub(crate) fn routes(name: &str, service: &ServiceName, routes: &[Route]) -> RouteConfiguration {
    RouteConfiguration {
        name: name.to_owned(),
        virtual_hosts: vec![VirtualHost {
            name: service.to_string(),
            domains: vec!["*".to_owned()],
            routes: routes.iter().filter_map(route).collect(),
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// The port that a target without one means: the first that speaks gRPC, else the first that could.
pub(crate) fn bare_port(ports: &[ServicePort]) -> Option<u16> {
    let http = ports
        .iter()
        .filter(|port| matches!(port.traffic, Traffic::Http(_)));
    let nearest = http.min_by_key(|port| match port.protocol {
        Protocol::Grpc => 0,
        Protocol::Http2 => 1,
        Protocol::Http | Protocol::Tcp => 2,
    });
    nearest.map(|port| port.port)
}

/// A sidecar's route as gRPC reads it; `None` for one that no gRPC call can match.
fn route(route: &Route) -> Option<Route> {
    let action = match route.action.as_ref()? {
        Action::Route(action) => Action::Route(RouteAction {
            cluster_specifier: action.cluster_specifier.clone(),
            // gRPC does not read `timeout`, since it has the call's own deadline: the earlier of the two counts.
            max_stream_duration: action.timeout.map(|timeout| MaxStreamDuration {
                max_stream_duration: Some(timeout),
                ..Default::default()
            }),
            retry_policy: action.retry_policy.as_ref().and_then(retry),
            ..Default::default()
        }),
        // Calls that it matches fail with UNAVAILABLE.
        _ => Action::NonForwardingAction(NonForwardingAction {}),
    };
    Some(Route {
        name: route.name.clone(),
        r#match: Some(matched(route.r#match.as_ref()?)?),
        action: Some(action),
        ..Default::default()
    })
}

/// A match without what all gRPC calls have in common, which gRPC's matchers do not see; `None` if it asks for what none
/// has.
fn matched(matched: &RouteMatch) -> Option<RouteMatch> {
    let path = match matched.path_specifier.as_ref()? {
        path
        @ (PathSpecifier::Prefix(_) | PathSpecifier::Path(_) | PathSpecifier::SafeRegex(_)) => {
            path.clone()
        }
        _ => return None,
    };
    if !matched.query_parameters.is_empty() {
        return None;
    }
    let mut headers = Vec::new();
    for header in &matched.headers {
        match common_value(&header.name) {
            None => headers.push(header.clone()),
            Some(value) if asks_for(header, value) => {}
            Some(_) => return None,
        }
    }
    Some(RouteMatch {
        path_specifier: Some(path),
        headers,
        ..Default::default()
    })
}

/// What every call without TLS has in a pseudo-header.
fn common_value(header: &str) -> Option<&'static str> {
    match header {
        ":method" => Some("POST"),
        ":scheme" => Some("http"),
        _ => None,
    }
}

fn asks_for(header: &HeaderMatcher, value: &str) -> bool {
    let Some(HeaderMatchSpecifier::StringMatch(matcher)) = &header.header_match_specifier else {
        return false;
    };
    matcher.match_pattern == Some(MatchPattern::Exact(value.to_owned()))
}

/// The conditions that gRPC retries on. It knows statuses only: a connection that fails, and a gateway that does, are
/// UNAVAILABLE to it.
const CONDITIONS: [&str; 5] = [
    "cancelled",
    "deadline-exceeded",
    "internal",
    "resource-exhausted",
    UNAVAILABLE,
];
const UNAVAILABLE: &str = "unavailable";
const GATEWAY_ERRORS: [u32; 3] = [502, 503, 504];

/// `None` if nothing that gRPC can retry on is left; it rejects a policy without retries.
fn retry(policy: &RetryPolicy) -> Option<RetryPolicy> {
    let mut conditions = BTreeSet::new();
    for condition in policy.retry_on.split(',') {
        let gateway = condition == "retriable-status-codes"
            && (policy.retriable_status_codes.iter()).any(|code| GATEWAY_ERRORS.contains(code));
        if gateway || condition == "connect-failure" {
            conditions.insert(UNAVAILABLE);
        } else if CONDITIONS.contains(&condition) {
            conditions.insert(condition);
        }
    }
    let retries = policy.num_retries.filter(|retries| retries.value > 0)?;
    (!conditions.is_empty()).then(|| RetryPolicy {
        retry_on: conditions.into_iter().collect::<Vec<_>>().join(","),
        num_retries: Some(retries),
        ..Default::default()
    })
}
