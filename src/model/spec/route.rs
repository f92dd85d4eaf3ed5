//! Routes of virtual routers.

use super::{ApiDuration, HttpTimeout, TcpTimeout, api_struct, api_union};
use crate::model::names::NodeName;

/// A route: a priority, and exactly one of the four kinds of route.
///
/// Not a union in the API (`priority` stands beside the members), but only one of the four may be present.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RouteSpec {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grpc_route: Option<GrpcRoute>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http2_route: Option<HttpRoute>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_route: Option<HttpRoute>,
    /// 0 is tried first; a route without a priority after those with one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp_route: Option<TcpRoute>,
}

impl RouteSpec {
    /// The targets, whatever the kind of route.
    pub fn weighted_targets(&self) -> &[WeightedTarget] {
        if let Some(route) = &self.grpc_route {
            &route.action.weighted_targets
        } else if let Some(route) = self.http2_route.as_ref().or(self.http_route.as_ref()) {
            &route.action.weighted_targets
        } else if let Some(route) = &self.tcp_route {
            &route.action.weighted_targets
        } else {
            &[]
        }
    }

    /// The router's port that the route is for, if it says one.
    pub fn match_port(&self) -> Option<u16> {
        if let Some(route) = &self.grpc_route {
            route.r#match.port
        } else if let Some(route) = self.http2_route.as_ref().or(self.http_route.as_ref()) {
            route.r#match.port
        } else {
            self.tcp_route
                .as_ref()
                .and_then(|route| route.r#match.as_ref())
                .and_then(|matched| matched.port)
        }
    }
}

api_struct! {
    GrpcRoute {
        action: RouteAction,
        r#match: GrpcRouteMatch,
        #[serde(skip_serializing_if = "Option::is_none")]
        retry_policy: Option<GrpcRetryPolicy>,
        #[serde(skip_serializing_if = "Option::is_none")]
        timeout: Option<HttpTimeout>,
    }
    HttpRoute {
        action: RouteAction,
        r#match: HttpRouteMatch,
        #[serde(skip_serializing_if = "Option::is_none")]
        retry_policy: Option<HttpRetryPolicy>,
        #[serde(skip_serializing_if = "Option::is_none")]
        timeout: Option<HttpTimeout>,
    }
    TcpRoute {
        action: RouteAction,
        #[serde(skip_serializing_if = "Option::is_none")]
        r#match: Option<TcpRouteMatch>,
        #[serde(skip_serializing_if = "Option::is_none")]
        timeout: Option<TcpTimeout>,
    }
    RouteAction {
        weighted_targets: Vec<WeightedTarget>,
    }
    WeightedTarget {
        #[serde(skip_serializing_if = "Option::is_none")]
        port: Option<u16>,
        virtual_node: NodeName,
        weight: u32,
    }
    GrpcRouteMatch {
        #[serde(skip_serializing_if = "Option::is_none")]
        metadata: Option<Vec<HeaderMatch>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        method_name: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        port: Option<u16>,
        #[serde(skip_serializing_if = "Option::is_none")]
        service_name: Option<String>,
    }
    HttpRouteMatch {
        #[serde(skip_serializing_if = "Option::is_none")]
        headers: Option<Vec<HeaderMatch>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        method: Option<HttpMethod>,
        #[serde(skip_serializing_if = "Option::is_none")]
        path: Option<HttpPathMatch>,
        #[serde(skip_serializing_if = "Option::is_none")]
        port: Option<u16>,
        #[serde(skip_serializing_if = "Option::is_none")]
        prefix: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        query_parameters: Option<Vec<HttpQueryParameter>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        scheme: Option<HttpScheme>,
    }
    TcpRouteMatch {
        #[serde(skip_serializing_if = "Option::is_none")]
        port: Option<u16>,
    }
    /// Of an HTTP header, or of gRPC metadata, whose members are the same. Without `match` it tests for presence.
    HeaderMatch {
        #[serde(skip_serializing_if = "Option::is_none")]
        invert: Option<bool>,
        #[serde(skip_serializing_if = "Option::is_none")]
        r#match: Option<HeaderMatchMethod>,
        name: String,
    }
    /// `start <= value < end`.
    MatchRange {
        /// Terraform leaves out a zero.
        #[serde(skip_serializing_if = "Option::is_none")]
        start: Option<i64>,
        end: i64,
    }
    /// `exact` or `regex`, one of the two.
    HttpPathMatch {
        #[serde(skip_serializing_if = "Option::is_none")]
        exact: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        regex: Option<String>,
    }
    HttpQueryParameter {
        #[serde(skip_serializing_if = "Option::is_none")]
        r#match: Option<QueryParameterMatch>,
        name: String,
    }
    QueryParameterMatch {
        #[serde(skip_serializing_if = "Option::is_none")]
        exact: Option<String>,
    }
    GrpcRetryPolicy {
        #[serde(skip_serializing_if = "Option::is_none")]
        grpc_retry_events: Option<Vec<GrpcRetryEvent>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        http_retry_events: Option<Vec<String>>,
        max_retries: u64,
        per_retry_timeout: ApiDuration,
        #[serde(skip_serializing_if = "Option::is_none")]
        tcp_retry_events: Option<Vec<TcpRetryEvent>>,
    }
    HttpRetryPolicy {
        #[serde(skip_serializing_if = "Option::is_none")]
        http_retry_events: Option<Vec<String>>,
        max_retries: u64,
        per_retry_timeout: ApiDuration,
        #[serde(skip_serializing_if = "Option::is_none")]
        tcp_retry_events: Option<Vec<TcpRetryEvent>>,
    }
}

api_union! {
    HeaderMatchMethod {
        Exact(String),
        Prefix(String),
        Range(MatchRange),
        Regex(String),
        Suffix(String),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum HttpMethod {
    Get,
    Head,
    Post,
    Put,
    Delete,
    Connect,
    Options,
    Trace,
    Patch,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HttpScheme {
    Http,
    Https,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GrpcRetryEvent {
    Cancelled,
    DeadlineExceeded,
    Internal,
    ResourceExhausted,
    Unavailable,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TcpRetryEvent {
    ConnectionError,
}
