//! Virtual gateways and their routes.

use super::{
    ClientPolicy, HeaderMatch, HealthCheckPolicy, HttpConnectionPool, HttpMethod, HttpPathMatch,
    HttpQueryParameter, ListenerTls, Logging, PortMapping, RequestConnectionPool, api_struct,
    api_union,
};
use crate::model::names::ServiceName;

api_struct! {
    VirtualGatewaySpec {
        #[serde(skip_serializing_if = "Option::is_none")]
        backend_defaults: Option<VirtualGatewayBackendDefaults>,
        listeners: Vec<VirtualGatewayListener>,
        #[serde(skip_serializing_if = "Option::is_none")]
        logging: Option<Logging>,
    }
    VirtualGatewayBackendDefaults {
        #[serde(skip_serializing_if = "Option::is_none")]
        client_policy: Option<ClientPolicy>,
    }
    VirtualGatewayListener {
        #[serde(skip_serializing_if = "Option::is_none")]
        connection_pool: Option<VirtualGatewayConnectionPool>,
        #[serde(skip_serializing_if = "Option::is_none")]
        health_check: Option<HealthCheckPolicy>,
        port_mapping: PortMapping,
        #[serde(skip_serializing_if = "Option::is_none")]
        tls: Option<ListenerTls>,
    }
    GrpcGatewayRoute {
        action: GrpcGatewayRouteAction,
        r#match: GrpcGatewayRouteMatch,
    }
    GrpcGatewayRouteAction {
        #[serde(skip_serializing_if = "Option::is_none")]
        rewrite: Option<GrpcGatewayRouteRewrite>,
        target: GatewayRouteTarget,
    }
    GrpcGatewayRouteRewrite {
        #[serde(skip_serializing_if = "Option::is_none")]
        hostname: Option<GatewayRouteHostnameRewrite>,
    }
    GatewayRouteHostnameRewrite {
        #[serde(skip_serializing_if = "Option::is_none")]
        default_target_hostname: Option<DefaultRewrite>,
    }
    GatewayRouteTarget {
        #[serde(skip_serializing_if = "Option::is_none")]
        port: Option<u16>,
        virtual_service: GatewayRouteVirtualService,
    }
    GatewayRouteVirtualService {
        virtual_service_name: ServiceName,
    }
    /// `exact` or `suffix`, one of the two.
    GatewayRouteHostnameMatch {
        #[serde(skip_serializing_if = "Option::is_none")]
        exact: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        suffix: Option<String>,
    }
    GrpcGatewayRouteMatch {
        #[serde(skip_serializing_if = "Option::is_none")]
        hostname: Option<GatewayRouteHostnameMatch>,
        #[serde(skip_serializing_if = "Option::is_none")]
        metadata: Option<Vec<HeaderMatch>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        port: Option<u16>,
        #[serde(skip_serializing_if = "Option::is_none")]
        service_name: Option<String>,
    }
    HttpGatewayRoute {
        action: HttpGatewayRouteAction,
        r#match: HttpGatewayRouteMatch,
    }
    HttpGatewayRouteAction {
        #[serde(skip_serializing_if = "Option::is_none")]
        rewrite: Option<HttpGatewayRouteRewrite>,
        target: GatewayRouteTarget,
    }
    HttpGatewayRouteRewrite {
        #[serde(skip_serializing_if = "Option::is_none")]
        hostname: Option<GatewayRouteHostnameRewrite>,
        #[serde(skip_serializing_if = "Option::is_none")]
        path: Option<HttpGatewayRoutePathRewrite>,
        #[serde(skip_serializing_if = "Option::is_none")]
        prefix: Option<HttpGatewayRoutePrefixRewrite>,
    }
    HttpGatewayRoutePathRewrite {
        #[serde(skip_serializing_if = "Option::is_none")]
        exact: Option<String>,
    }
    /// `defaultPrefix` or `value`, one of the two.
    HttpGatewayRoutePrefixRewrite {
        #[serde(skip_serializing_if = "Option::is_none")]
        default_prefix: Option<DefaultRewrite>,
        #[serde(skip_serializing_if = "Option::is_none")]
        value: Option<String>,
    }
    HttpGatewayRouteMatch {
        #[serde(skip_serializing_if = "Option::is_none")]
        headers: Option<Vec<HeaderMatch>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        hostname: Option<GatewayRouteHostnameMatch>,
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
    }
}

api_union! {
    VirtualGatewayConnectionPool {
        Grpc(RequestConnectionPool),
        Http(HttpConnectionPool),
        Http2(RequestConnectionPool),
    }
}

/// A gateway route: a priority, and exactly one of the three kinds of route.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GatewayRouteSpec {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grpc_route: Option<GrpcGatewayRoute>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http2_route: Option<HttpGatewayRoute>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_route: Option<HttpGatewayRoute>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<u32>,
}

impl GatewayRouteSpec {
    /// The target, whatever the kind of route.
    pub fn target(&self) -> Option<&GatewayRouteTarget> {
        if let Some(route) = &self.grpc_route {
            Some(&route.action.target)
        } else {
            let route = self.http2_route.as_ref().or(self.http_route.as_ref())?;
            Some(&route.action.target)
        }
    }

    /// The gateway's port that the route is for, if it says one.
    pub fn match_port(&self) -> Option<u16> {
        if let Some(route) = &self.grpc_route {
            route.r#match.port
        } else {
            let route = self.http2_route.as_ref().or(self.http_route.as_ref())?;
            route.r#match.port
        }
    }
}

/// Whether a default rewrite is done; it is unless disabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum DefaultRewrite {
    Enabled,
    Disabled,
}
