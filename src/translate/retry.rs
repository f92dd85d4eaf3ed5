//! Retry policies: App Mesh's events as Envoy's conditions.

use envoy_types::pb::envoy::config::route::v3::RetryPolicy;
use envoy_types::pb::envoy::config::route::v3::retry_policy::{
    RetryHostPredicate, retry_host_predicate,
};
use envoy_types::pb::envoy::extensions::retry::host::previous_hosts::v3::PreviousHostsPredicate;

use crate::model::spec::{
    ApiDuration, GrpcRetryEvent, GrpcRetryPolicy, HttpRetryPolicy, TcpRetryEvent,
};

use super::{Options, defaults, proto};

const PREVIOUS_HOSTS: &str = "envoy.retry_host_predicates.previous_hosts";

/// What App Mesh gave every HTTP-like route without a policy of its own.
pub(crate) fn default_policy(options: &Options) -> Option<RetryPolicy> {
    options.default_retry_policy.then(|| RetryPolicy {
        retry_on: defaults::DEFAULT_RETRY_ON.to_owned(),
        num_retries: Some(proto::uint(defaults::DEFAULT_RETRIES)),
        retriable_status_codes: vec![defaults::DEFAULT_RETRY_STATUS],
        ..other_hosts_first()
    })
}

/// A route's own policy, and those of its HTTP events that mean nothing.
pub(crate) fn http_policy(policy: &HttpRetryPolicy) -> (RetryPolicy, Vec<&str>) {
    convert(
        policy.http_retry_events.as_deref().unwrap_or_default(),
        &[],
        policy.tcp_retry_events.as_deref().unwrap_or_default(),
        policy.max_retries,
        policy.per_retry_timeout,
    )
}

/// The same for a gRPC route.
pub(crate) fn grpc_policy(policy: &GrpcRetryPolicy) -> (RetryPolicy, Vec<&str>) {
    convert(
        policy.http_retry_events.as_deref().unwrap_or_default(),
        policy.grpc_retry_events.as_deref().unwrap_or_default(),
        policy.tcp_retry_events.as_deref().unwrap_or_default(),
        policy.max_retries,
        policy.per_retry_timeout,
    )
}

fn convert<'a>(
    http: &'a [String],
    grpc: &[GrpcRetryEvent],
    tcp: &[TcpRetryEvent],
    max_retries: u64,
    per_retry_timeout: ApiDuration,
) -> (RetryPolicy, Vec<&'a str>) {
    let has = |event: &str| http.iter().any(|known| known == event);
    let codes: Vec<u32> = if has("server-error") {
        vec![500, 501, 502, 503, 504, 505, 506, 507, 508, 510, 511]
    } else if has("gateway-error") {
        vec![502, 503, 504]
    } else {
        Vec::new()
    };
    let mut conditions = Vec::new();
    if !codes.is_empty() {
        conditions.push("reset");
    }
    if !tcp.is_empty() {
        conditions.push("connect-failure");
    }
    if has("stream-error") {
        conditions.push("refused-stream");
    }
    for (event, condition) in GRPC_CONDITIONS {
        if grpc.contains(event) {
            conditions.push(condition);
        }
    }
    let conflict = has("client-error").then_some(409);
    let codes: Vec<u32> = codes.into_iter().chain(conflict).collect();
    if !codes.is_empty() {
        conditions.push("retriable-status-codes");
    }
    let policy = RetryPolicy {
        retry_on: conditions.join(","),
        num_retries: Some(proto::uint(u32::try_from(max_retries).unwrap_or(u32::MAX))),
        per_try_timeout: Some(proto::duration(per_retry_timeout.to_duration())),
        retriable_status_codes: codes,
        ..other_hosts_first()
    };
    let unknown = http
        .iter()
        .map(String::as_str)
        .filter(|event| !HTTP_EVENTS.contains(event));
    (policy, unknown.collect())
}

const HTTP_EVENTS: [&str; 4] = [
    "server-error",
    "gateway-error",
    "client-error",
    "stream-error",
];
const GRPC_CONDITIONS: &[(GrpcRetryEvent, &str)] = &[
    (GrpcRetryEvent::Cancelled, "cancelled"),
    (GrpcRetryEvent::DeadlineExceeded, "deadline-exceeded"),
    (GrpcRetryEvent::Internal, "internal"),
    (GrpcRetryEvent::ResourceExhausted, "resource-exhausted"),
    (GrpcRetryEvent::Unavailable, "unavailable"),
];

fn other_hosts_first() -> RetryPolicy {
    RetryPolicy {
        retry_host_predicate: vec![RetryHostPredicate {
            name: PREVIOUS_HOSTS.to_owned(),
            config_type: Some(retry_host_predicate::ConfigType::TypedConfig(proto::any(
                &PreviousHostsPredicate {},
            ))),
        }],
        host_selection_retry_max_attempts: defaults::HOST_SELECTION_ATTEMPTS,
        ..Default::default()
    }
}
