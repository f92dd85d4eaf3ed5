//! Virtual gateways and their routes.

use super::node::{BACKEND_DEFAULTS, GATEWAY_HEALTH_CHECK, HTTP_POOL, LOGGING, REQUEST_POOL};
use super::route::{HEADER, METHODS, PATH_MATCH, QUERY_PARAMETER, priority, up_to_ten};
use super::tls::LISTENER_TLS;
use super::{
    Check, Form, Object, PORT, Rule, SERVICE_NAME, Type, list, optional, required, rules, text,
};

pub(super) const PROTOCOLS: Type = Type::Enum(&["http", "http2", "grpc"]);
/// Of the rewrites that are done unless they are disabled.
const DEFAULT_REWRITE: Type = Type::Enum(&["ENABLED", "DISABLED"]);

pub(super) static VIRTUAL_GATEWAY_SPEC: Object = Object {
    name: "VirtualGatewaySpec",
    fields: &[
        optional("backendDefaults", Type::Object(&BACKEND_DEFAULTS)),
        required("listeners", list(&Type::Object(&LISTENER))),
        optional("logging", Type::Object(&LOGGING)),
    ],
    rules: &[Rule::Check(Check(rules::distinct_ports))],
};

static LISTENER: Object = Object {
    name: "VirtualGatewayListener",
    fields: &[
        optional("connectionPool", Type::Object(&CONNECTION_POOL)),
        optional("healthCheck", Type::Object(&GATEWAY_HEALTH_CHECK)),
        required("portMapping", Type::Object(&PORT_MAPPING)),
        optional("tls", Type::Object(&LISTENER_TLS)),
    ],
    rules: &[
        Rule::Check(Check(rules::members_match_protocol)),
        Rule::Check(Check(rules::health_check_port)),
    ],
};

static CONNECTION_POOL: Object = Object {
    name: "VirtualGatewayConnectionPool",
    fields: &[
        optional("grpc", Type::Object(&REQUEST_POOL)),
        optional("http", Type::Object(&HTTP_POOL)),
        optional("http2", Type::Object(&REQUEST_POOL)),
    ],
    rules: &[Rule::ExactlyOne(&["grpc", "http", "http2"])],
};

static PORT_MAPPING: Object = Object {
    name: "VirtualGatewayPortMapping",
    fields: &[required("port", PORT), required("protocol", PROTOCOLS)],
    rules: &[],
};

pub(super) static GATEWAY_ROUTE_SPEC: Object = Object {
    name: "GatewayRouteSpec",
    fields: &[
        optional("grpcRoute", Type::Object(&GRPC_ROUTE)),
        optional("http2Route", Type::Object(&HTTP_ROUTE)),
        optional("httpRoute", Type::Object(&HTTP_ROUTE)),
        priority(),
    ],
    rules: &[Rule::ExactlyOne(&["grpcRoute", "http2Route", "httpRoute"])],
};

static GRPC_ROUTE: Object = Object {
    name: "GrpcGatewayRoute",
    fields: &[
        required("action", Type::Object(&GRPC_ACTION)),
        required("match", Type::Object(&GRPC_MATCH)),
    ],
    rules: &[],
};

static GRPC_ACTION: Object = Object {
    name: "GrpcGatewayRouteAction",
    fields: &[
        optional("rewrite", Type::Object(&GRPC_REWRITE)),
        required("target", Type::Object(&TARGET)),
    ],
    rules: &[],
};

static GRPC_REWRITE: Object = Object {
    name: "GrpcGatewayRouteRewrite",
    fields: &[optional("hostname", Type::Object(&HOST_NAME_REWRITE))],
    rules: &[],
};

static HOST_NAME_REWRITE: Object = Object {
    name: "GatewayRouteHostnameRewrite",
    fields: &[optional("defaultTargetHostname", DEFAULT_REWRITE)],
    rules: &[],
};

static TARGET: Object = Object {
    name: "GatewayRouteTarget",
    fields: &[
        optional("port", PORT),
        required("virtualService", Type::Object(&TARGET_SERVICE)),
    ],
    rules: &[],
};

static TARGET_SERVICE: Object = Object {
    name: "GatewayRouteVirtualService",
    fields: &[required("virtualServiceName", SERVICE_NAME)],
    rules: &[],
};

static GRPC_MATCH: Object = Object {
    name: "GrpcGatewayRouteMatch",
    fields: &[
        optional("hostname", Type::Object(&HOST_NAME_MATCH)),
        optional("metadata", up_to_ten(&Type::Object(&HEADER))),
        optional("port", PORT),
        optional(
            "serviceName",
            Type::Text {
                min: 0,
                max: usize::MAX,
                form: Form::GatewayGrpcService,
            },
        ),
    ],
    rules: &[Rule::AtLeastOne(&["serviceName", "hostname"])],
};

static HOST_NAME_MATCH: Object = Object {
    name: "GatewayRouteHostnameMatch",
    fields: &[
        optional(
            "exact",
            Type::Text {
                min: 1,
                max: 253,
                form: Form::HostName,
            },
        ),
        optional(
            "suffix",
            Type::Text {
                min: 1,
                max: 253,
                form: Form::HostNameSuffix,
            },
        ),
    ],
    rules: &[Rule::ExactlyOne(&["exact", "suffix"])],
};

static HTTP_ROUTE: Object = Object {
    name: "HttpGatewayRoute",
    fields: &[
        required("action", Type::Object(&HTTP_ACTION)),
        required("match", Type::Object(&HTTP_MATCH)),
    ],
    rules: &[Rule::Check(Check(rules::rewrites_need_matches))],
};

static HTTP_ACTION: Object = Object {
    name: "HttpGatewayRouteAction",
    fields: &[
        optional("rewrite", Type::Object(&HTTP_REWRITE)),
        required("target", Type::Object(&TARGET)),
    ],
    rules: &[],
};

static HTTP_REWRITE: Object = Object {
    name: "HttpGatewayRouteRewrite",
    fields: &[
        optional("hostname", Type::Object(&HOST_NAME_REWRITE)),
        optional("path", Type::Object(&PATH_REWRITE)),
        optional("prefix", Type::Object(&PREFIX_REWRITE)),
    ],
    rules: &[Rule::AtMostOne(&["prefix", "path"])],
};

static PATH_REWRITE: Object = Object {
    name: "HttpGatewayRoutePathRewrite",
    fields: &[optional("exact", text(1, 255))],
    rules: &[],
};

static PREFIX_REWRITE: Object = Object {
    name: "HttpGatewayRoutePrefixRewrite",
    fields: &[
        optional("defaultPrefix", DEFAULT_REWRITE),
        optional(
            "value",
            Type::Text {
                min: 1,
                max: 255,
                form: Form::PrefixRewrite,
            },
        ),
    ],
    rules: &[Rule::ExactlyOne(&["defaultPrefix", "value"])],
};

static HTTP_MATCH: Object = Object {
    name: "HttpGatewayRouteMatch",
    fields: &[
        optional("headers", up_to_ten(&Type::Object(&HEADER))),
        optional("hostname", Type::Object(&HOST_NAME_MATCH)),
        optional("method", METHODS),
        optional("path", Type::Object(&PATH_MATCH)),
        optional("port", PORT),
        optional(
            "prefix",
            Type::Text {
                min: 1,
                max: usize::MAX,
                form: Form::GatewayPathPrefix,
            },
        ),
        optional(
            "queryParameters",
            up_to_ten(&Type::Object(&QUERY_PARAMETER)),
        ),
    ],
    rules: &[
        Rule::AtLeastOne(&["prefix", "path", "hostname"]),
        Rule::AtMostOne(&["prefix", "path"]),
    ],
};
