//! Virtual nodes, and the small kinds: meshes, virtual services, virtual routers.

use super::tls::{CLIENT_POLICY, LISTENER_TLS};
use super::{
    COUNT, Check, DURATION, Form, IP_PREFERENCES, NAME, Object, PORT, Rule, SERVICE_NAME, Type,
    list, optional, required, rules, text,
};

const PROTOCOLS: Type = Type::Enum(&["http", "tcp", "http2", "grpc"]);

pub(super) static MESH_SPEC: Object = Object {
    name: "MeshSpec",
    fields: &[
        optional("egressFilter", Type::Object(&EGRESS_FILTER)),
        optional("serviceDiscovery", Type::Object(&MESH_DISCOVERY)),
    ],
    rules: &[],
};

static EGRESS_FILTER: Object = Object {
    name: "EgressFilter",
    fields: &[required("type", Type::Enum(&["ALLOW_ALL", "DROP_ALL"]))],
    rules: &[],
};

static MESH_DISCOVERY: Object = Object {
    name: "MeshServiceDiscovery",
    fields: &[optional("ipPreference", IP_PREFERENCES)],
    rules: &[],
};

pub(super) static VIRTUAL_SERVICE_SPEC: Object = Object {
    name: "VirtualServiceSpec",
    fields: &[optional("provider", Type::Object(&PROVIDER))],
    rules: &[],
};

static PROVIDER: Object = Object {
    name: "VirtualServiceProvider",
    fields: &[
        optional("virtualNode", Type::Object(&NODE_PROVIDER)),
        optional("virtualRouter", Type::Object(&ROUTER_PROVIDER)),
    ],
    rules: &[Rule::ExactlyOne(&["virtualNode", "virtualRouter"])],
};

static NODE_PROVIDER: Object = Object {
    name: "VirtualNodeServiceProvider",
    fields: &[required("virtualNodeName", NAME)],
    rules: &[],
};

static ROUTER_PROVIDER: Object = Object {
    name: "VirtualRouterServiceProvider",
    fields: &[required("virtualRouterName", NAME)],
    rules: &[],
};

pub(super) static VIRTUAL_ROUTER_SPEC: Object = Object {
    name: "VirtualRouterSpec",
    fields: &[optional("listeners", list(&Type::Object(&ROUTER_LISTENER)))],
    rules: &[Rule::Check(Check(rules::distinct_ports))],
};

static ROUTER_LISTENER: Object = Object {
    name: "VirtualRouterListener",
    fields: &[required("portMapping", Type::Object(&PORT_MAPPING))],
    rules: &[],
};

static PORT_MAPPING: Object = Object {
    name: "PortMapping",
    fields: &[required("port", PORT), required("protocol", PROTOCOLS)],
    rules: &[],
};

pub(super) static VIRTUAL_NODE_SPEC: Object = Object {
    name: "VirtualNodeSpec",
    fields: &[
        optional("backendDefaults", Type::Object(&BACKEND_DEFAULTS)),
        optional("backends", list(&Type::Object(&BACKEND))),
        optional("listeners", list(&Type::Object(&LISTENER))),
        optional("logging", Type::Object(&LOGGING)),
        optional("serviceDiscovery", Type::Object(&DISCOVERY)),
    ],
    rules: &[
        Rule::Check(Check(rules::listeners_need_discovery)),
        Rule::Check(Check(rules::distinct_ports)),
    ],
};

pub(super) static BACKEND_DEFAULTS: Object = Object {
    name: "BackendDefaults",
    fields: &[optional("clientPolicy", Type::Object(&CLIENT_POLICY))],
    rules: &[],
};

static BACKEND: Object = Object {
    name: "Backend",
    fields: &[optional("virtualService", Type::Object(&SERVICE_BACKEND))],
    rules: &[Rule::ExactlyOne(&["virtualService"])],
};

static SERVICE_BACKEND: Object = Object {
    name: "VirtualServiceBackend",
    fields: &[
        optional("clientPolicy", Type::Object(&CLIENT_POLICY)),
        required("virtualServiceName", SERVICE_NAME),
    ],
    rules: &[],
};

static LISTENER: Object = Object {
    name: "Listener",
    fields: &[
        optional("connectionPool", Type::Object(&CONNECTION_POOL)),
        optional("healthCheck", Type::Object(&HEALTH_CHECK)),
        optional("outlierDetection", Type::Object(&OUTLIER_DETECTION)),
        required("portMapping", Type::Object(&PORT_MAPPING)),
        optional("timeout", Type::Object(&LISTENER_TIMEOUT)),
        optional("tls", Type::Object(&LISTENER_TLS)),
    ],
    rules: &[
        Rule::Check(Check(rules::members_match_protocol)),
        Rule::Check(Check(rules::health_check_port)),
    ],
};

static CONNECTION_POOL: Object = Object {
    name: "VirtualNodeConnectionPool",
    fields: &[
        optional("grpc", Type::Object(&REQUEST_POOL)),
        optional("http", Type::Object(&HTTP_POOL)),
        optional("http2", Type::Object(&REQUEST_POOL)),
        optional("tcp", Type::Object(&TCP_POOL)),
    ],
    rules: &[Rule::ExactlyOne(&["grpc", "http", "http2", "tcp"])],
};

pub(super) static REQUEST_POOL: Object = Object {
    name: "VirtualNodeHttp2ConnectionPool",
    fields: &[required("maxRequests", COUNT)],
    rules: &[],
};

pub(super) static HTTP_POOL: Object = Object {
    name: "VirtualNodeHttpConnectionPool",
    fields: &[
        required("maxConnections", COUNT),
        optional("maxPendingRequests", COUNT),
    ],
    rules: &[],
};

static TCP_POOL: Object = Object {
    name: "VirtualNodeTcpConnectionPool",
    fields: &[required("maxConnections", COUNT)],
    rules: &[],
};

const THRESHOLD: Type = Type::Int { min: 2, max: 10 };
const INTERVAL_MILLIS: Type = Type::Int {
    min: 5_000,
    max: 300_000,
};
const TIMEOUT_MILLIS: Type = Type::Int {
    min: 2_000,
    max: 60_000,
};

static HEALTH_CHECK: Object = health_check(&[
    required("healthyThreshold", THRESHOLD),
    required("intervalMillis", INTERVAL_MILLIS),
    optional("path", text(0, usize::MAX)),
    optional("port", PORT),
    required("protocol", PROTOCOLS),
    required("timeoutMillis", TIMEOUT_MILLIS),
    required("unhealthyThreshold", THRESHOLD),
]);

pub(super) static GATEWAY_HEALTH_CHECK: Object = health_check(&[
    required("healthyThreshold", THRESHOLD),
    required("intervalMillis", INTERVAL_MILLIS),
    optional("path", text(0, usize::MAX)),
    optional("port", PORT),
    required("protocol", super::gateway::PROTOCOLS),
    required("timeoutMillis", TIMEOUT_MILLIS),
    required("unhealthyThreshold", THRESHOLD),
]);

const fn health_check(fields: &'static [super::Field]) -> Object {
    Object {
        name: "HealthCheckPolicy",
        fields,
        rules: &[],
    }
}

static OUTLIER_DETECTION: Object = Object {
    name: "OutlierDetection",
    fields: &[
        required("baseEjectionDuration", Type::Object(&DURATION)),
        required("interval", Type::Object(&DURATION)),
        optional("maxEjectionPercent", Type::Int { min: 0, max: 100 }),
        required(
            "maxServerErrors",
            Type::Int {
                min: 1,
                max: i64::MAX,
            },
        ),
    ],
    rules: &[],
};

static LISTENER_TIMEOUT: Object = Object {
    name: "ListenerTimeout",
    fields: &[
        optional("grpc", Type::Object(&HTTP_TIMEOUT)),
        optional("http", Type::Object(&HTTP_TIMEOUT)),
        optional("http2", Type::Object(&HTTP_TIMEOUT)),
        optional("tcp", Type::Object(&TCP_TIMEOUT)),
    ],
    rules: &[Rule::ExactlyOne(&["grpc", "http", "http2", "tcp"])],
};

pub(super) static HTTP_TIMEOUT: Object = Object {
    name: "HttpTimeout",
    fields: &[
        optional("idle", Type::Object(&DURATION)),
        optional("perRequest", Type::Object(&DURATION)),
    ],
    rules: &[],
};

pub(super) static TCP_TIMEOUT: Object = Object {
    name: "TcpTimeout",
    fields: &[optional("idle", Type::Object(&DURATION))],
    rules: &[],
};

pub(super) static LOGGING: Object = Object {
    name: "Logging",
    fields: &[optional("accessLog", Type::Object(&ACCESS_LOG))],
    rules: &[],
};

static ACCESS_LOG: Object = Object {
    name: "AccessLog",
    fields: &[optional("file", Type::Object(&FILE_ACCESS_LOG))],
    rules: &[Rule::ExactlyOne(&["file"])],
};

static FILE_ACCESS_LOG: Object = Object {
    name: "FileAccessLog",
    fields: &[
        optional("format", Type::Object(&LOGGING_FORMAT)),
        required("path", text(1, 255)),
    ],
    rules: &[],
};

static LOGGING_FORMAT: Object = Object {
    name: "LoggingFormat",
    fields: &[
        optional("json", list(&Type::Object(&JSON_FORMAT))),
        optional("text", text(1, 1000)),
    ],
    rules: &[Rule::ExactlyOne(&["json", "text"])],
};

static JSON_FORMAT: Object = Object {
    name: "JsonFormatRef",
    fields: &[
        required("key", text(1, 100)),
        required("value", text(1, 100)),
    ],
    rules: &[],
};

static DISCOVERY: Object = Object {
    name: "ServiceDiscovery",
    fields: &[
        optional("awsCloudMap", Type::Object(&CLOUD_MAP)),
        optional("dns", Type::Object(&DNS)),
    ],
    rules: &[Rule::ExactlyOne(&["awsCloudMap", "dns"])],
};

static CLOUD_MAP: Object = Object {
    name: "AwsCloudMapServiceDiscovery",
    fields: &[
        optional("attributes", list(&Type::Object(&CLOUD_MAP_ATTRIBUTE))),
        optional("ipPreference", IP_PREFERENCES),
        required("namespaceName", text(1, 1024)),
        required("serviceName", text(1, 1024)),
    ],
    rules: &[],
};

static CLOUD_MAP_ATTRIBUTE: Object = Object {
    name: "AwsCloudMapInstanceAttribute",
    fields: &[
        required(
            "key",
            Type::Text {
                min: 1,
                max: 255,
                form: Form::AttributeKey,
            },
        ),
        required(
            "value",
            Type::Text {
                min: 1,
                max: 1024,
                form: Form::AttributeValue,
            },
        ),
    ],
    rules: &[],
};

static DNS: Object = Object {
    name: "DnsServiceDiscovery",
    fields: &[
        required(
            "hostname",
            Type::Text {
                min: 1,
                max: 254,
                form: Form::HostName,
            },
        ),
        optional("ipPreference", IP_PREFERENCES),
        optional("responseType", Type::Enum(&["LOADBALANCER", "ENDPOINTS"])),
    ],
    rules: &[],
};
