//! Routes of virtual routers, and the matches that gateway routes share with them.

use super::node::{HTTP_TIMEOUT, TCP_TIMEOUT};
use super::{
    Check, DURATION, Form, NAME, Object, PORT, Rule, TEXT, Type, optional, required, rules, text,
};

const PRIORITY: Type = Type::Int { min: 0, max: 1000 };
pub(super) const METHODS: Type = Type::Enum(&[
    "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
]);

pub(super) const fn priority() -> super::Field {
    optional("priority", PRIORITY)
}

pub(super) const fn up_to_ten(item: &'static Type) -> Type {
    Type::List {
        item,
        min: 1,
        max: 10,
    }
}

pub(super) static ROUTE_SPEC: Object = Object {
    name: "RouteSpec",
    fields: &[
        optional("grpcRoute", Type::Object(&GRPC_ROUTE)),
        optional("http2Route", Type::Object(&HTTP_ROUTE)),
        optional("httpRoute", Type::Object(&HTTP_ROUTE)),
        priority(),
        optional("tcpRoute", Type::Object(&TCP_ROUTE)),
    ],
    rules: &[Rule::ExactlyOne(&[
        "grpcRoute",
        "http2Route",
        "httpRoute",
        "tcpRoute",
    ])],
};

static GRPC_ROUTE: Object = Object {
    name: "GrpcRoute",
    fields: &[
        required("action", Type::Object(&ACTION)),
        required("match", Type::Object(&GRPC_MATCH)),
        optional("retryPolicy", Type::Object(&GRPC_RETRY)),
        optional("timeout", Type::Object(&HTTP_TIMEOUT)),
    ],
    rules: &[],
};

static HTTP_ROUTE: Object = Object {
    name: "HttpRoute",
    fields: &[
        required("action", Type::Object(&ACTION)),
        required("match", Type::Object(&HTTP_MATCH)),
        optional("retryPolicy", Type::Object(&HTTP_RETRY)),
        optional("timeout", Type::Object(&HTTP_TIMEOUT)),
    ],
    rules: &[],
};

static TCP_ROUTE: Object = Object {
    name: "TcpRoute",
    fields: &[
        required("action", Type::Object(&ACTION)),
        optional("match", Type::Object(&TCP_MATCH)),
        optional("timeout", Type::Object(&TCP_TIMEOUT)),
    ],
    rules: &[],
};

static ACTION: Object = Object {
    name: "RouteAction",
    fields: &[required(
        "weightedTargets",
        up_to_ten(&Type::Object(&WEIGHTED_TARGET)),
    )],
    rules: &[Rule::Check(Check(rules::weights))],
};

static WEIGHTED_TARGET: Object = Object {
    name: "WeightedTarget",
    fields: &[
        optional("port", PORT),
        required("virtualNode", NAME),
        required("weight", Type::Int { min: 0, max: 100 }),
    ],
    rules: &[],
};

static GRPC_MATCH: Object = Object {
    name: "GrpcRouteMatch",
    fields: &[
        optional("metadata", up_to_ten(&Type::Object(&HEADER))),
        optional("methodName", text(1, 50)),
        optional("port", PORT),
        optional("serviceName", TEXT),
    ],
    rules: &[Rule::Requires("methodName", "serviceName")],
};

static HTTP_MATCH: Object = Object {
    name: "HttpRouteMatch",
    fields: &[
        optional("headers", up_to_ten(&Type::Object(&HEADER))),
        optional("method", METHODS),
        optional("path", Type::Object(&PATH_MATCH)),
        optional("port", PORT),
        optional(
            "prefix",
            Type::Text {
                min: 1,
                max: usize::MAX,
                form: Form::PathPrefix,
            },
        ),
        optional(
            "queryParameters",
            up_to_ten(&Type::Object(&QUERY_PARAMETER)),
        ),
        optional("scheme", Type::Enum(&["http", "https"])),
    ],
    rules: &[Rule::ExactlyOne(&["prefix", "path"])],
};

static TCP_MATCH: Object = Object {
    name: "TcpRouteMatch",
    fields: &[optional("port", PORT)],
    rules: &[],
};

pub(super) static HEADER: Object = Object {
    name: "HttpRouteHeader",
    fields: &[
        optional("invert", Type::Bool),
        optional("match", Type::Object(&HEADER_MATCH)),
        required(
            "name",
            Type::Text {
                min: 1,
                max: 50,
                form: Form::HeaderName,
            },
        ),
    ],
    rules: &[],
};

static HEADER_MATCH: Object = Object {
    name: "HeaderMatchMethod",
    fields: &[
        optional("exact", text(1, 255)),
        optional("prefix", text(1, 255)),
        optional("range", Type::Object(&RANGE)),
        optional("regex", text(1, 255)),
        optional("suffix", text(1, 255)),
    ],
    rules: &[Rule::ExactlyOne(&[
        "exact", "prefix", "range", "regex", "suffix",
    ])],
};

const ANY_NUMBER: Type = Type::Int {
    min: i64::MIN,
    max: i64::MAX,
};

static RANGE: Object = Object {
    name: "MatchRange",
    fields: &[optional("start", ANY_NUMBER), required("end", ANY_NUMBER)],
    rules: &[Rule::Check(Check(rules::range_grows))],
};

pub(super) static PATH_MATCH: Object = Object {
    name: "HttpPathMatch",
    fields: &[
        optional("exact", text(1, 255)),
        optional("regex", text(1, 255)),
    ],
    rules: &[Rule::ExactlyOne(&["exact", "regex"])],
};

pub(super) static QUERY_PARAMETER: Object = Object {
    name: "HttpQueryParameter",
    fields: &[
        optional("match", Type::Object(&QUERY_MATCH)),
        required("name", text(1, usize::MAX)),
    ],
    rules: &[],
};

static QUERY_MATCH: Object = Object {
    name: "QueryParameterMatch",
    fields: &[optional("exact", TEXT)],
    rules: &[],
};

const RETRIES: Type = Type::Int {
    min: 0,
    max: i64::MAX,
};
const HTTP_EVENTS: Type = Type::List {
    item: &Type::Text {
        min: 1,
        max: 25,
        form: Form::HttpRetryEvent,
    },
    min: 1,
    max: 25,
};
const TCP_EVENTS: Type = Type::List {
    item: &Type::Enum(&["connection-error"]),
    min: 1,
    max: 1,
};

static GRPC_RETRY: Object = Object {
    name: "GrpcRetryPolicy",
    fields: &[
        optional(
            "grpcRetryEvents",
            Type::List {
                item: &Type::Enum(&[
                    "cancelled",
                    "deadline-exceeded",
                    "internal",
                    "resource-exhausted",
                    "unavailable",
                ]),
                min: 1,
                max: 5,
            },
        ),
        optional("httpRetryEvents", HTTP_EVENTS),
        required("maxRetries", RETRIES),
        required("perRetryTimeout", Type::Object(&DURATION)),
        optional("tcpRetryEvents", TCP_EVENTS),
    ],
    rules: &[Rule::AtLeastOne(&[
        "grpcRetryEvents",
        "httpRetryEvents",
        "tcpRetryEvents",
    ])],
};

static HTTP_RETRY: Object = Object {
    name: "HttpRetryPolicy",
    fields: &[
        optional("httpRetryEvents", HTTP_EVENTS),
        required("maxRetries", RETRIES),
        required("perRetryTimeout", Type::Object(&DURATION)),
        optional("tcpRetryEvents", TCP_EVENTS),
    ],
    rules: &[Rule::AtLeastOne(&["httpRetryEvents", "tcpRetryEvents"])],
};
