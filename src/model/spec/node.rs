//! Virtual nodes: listeners, discovery, backends, logging.

use std::sync::Arc;

use super::{
    ApiDuration, ClientPolicy, IpPreference, ListenerTls, MeshSpec, PortMapping, Protocol,
    api_struct, api_union,
};
use crate::model::endpoint::EndpointSource;
use crate::model::names::ServiceName;

#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VirtualNodeSpec {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend_defaults: Option<BackendDefaults>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backends: Option<Vec<Backend>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listeners: Option<Vec<Listener>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logging: Option<Logging>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_discovery: Option<ServiceDiscovery>,
}

impl VirtualNodeSpec {
    pub fn listeners(&self) -> &[Listener] {
        self.listeners.as_deref().unwrap_or_default()
    }

    pub fn backends(&self) -> &[Backend] {
        self.backends.as_deref().unwrap_or_default()
    }

    /// Where the control plane takes the node's endpoints from; `None` if the node has no discovery that it serves, or if
    /// Envoy resolves the name itself (`LOADBALANCER` stated explicitly).
    pub fn endpoint_source(&self, mesh: &MeshSpec) -> Option<EndpointSource> {
        match self.service_discovery.as_ref()? {
            ServiceDiscovery::Dns(dns)
                if dns.response_type != Some(DnsResponseType::Loadbalancer) =>
            {
                let hostname = dns.hostname.trim_end_matches('.').to_ascii_lowercase();
                Some(EndpointSource::Dns {
                    hostname: Arc::from(hostname),
                    preference: dns.ip_preference.or(mesh.ip_preference()),
                })
            }
            ServiceDiscovery::Dns(_) | ServiceDiscovery::AwsCloudMap(_) => None,
        }
    }
}

impl Listener {
    /// The health check, unless Envoy would refuse it: one by gRPC is for hosts that speak HTTP/2.
    pub fn possible_health_check(&self) -> Option<&HealthCheckPolicy> {
        let http2 = matches!(self.port_mapping.protocol, Protocol::Http2 | Protocol::Grpc);
        let check = self.health_check.as_ref();
        check.filter(|check| http2 || check.protocol != Protocol::Grpc)
    }
}

api_struct! {
    BackendDefaults {
        #[serde(skip_serializing_if = "Option::is_none")]
        client_policy: Option<ClientPolicy>,
    }
    VirtualServiceBackend {
        #[serde(skip_serializing_if = "Option::is_none")]
        client_policy: Option<ClientPolicy>,
        virtual_service_name: ServiceName,
    }
    Listener {
        #[serde(skip_serializing_if = "Option::is_none")]
        connection_pool: Option<ConnectionPool>,
        #[serde(skip_serializing_if = "Option::is_none")]
        health_check: Option<HealthCheckPolicy>,
        #[serde(skip_serializing_if = "Option::is_none")]
        outlier_detection: Option<OutlierDetection>,
        port_mapping: PortMapping,
        #[serde(skip_serializing_if = "Option::is_none")]
        timeout: Option<ListenerTimeout>,
        #[serde(skip_serializing_if = "Option::is_none")]
        tls: Option<ListenerTls>,
    }
    HttpConnectionPool {
        max_connections: u32,
        #[serde(skip_serializing_if = "Option::is_none")]
        max_pending_requests: Option<u32>,
    }
    RequestConnectionPool {
        max_requests: u32,
    }
    TcpConnectionPool {
        max_connections: u32,
    }
    HealthCheckPolicy {
        healthy_threshold: u32,
        interval_millis: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        path: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        port: Option<u16>,
        protocol: Protocol,
        timeout_millis: u64,
        unhealthy_threshold: u32,
    }
    OutlierDetection {
        base_ejection_duration: ApiDuration,
        interval: ApiDuration,
        /// Terraform leaves out a zero, though the member is required.
        #[serde(skip_serializing_if = "Option::is_none")]
        max_ejection_percent: Option<u32>,
        max_server_errors: u64,
    }
    /// Of `http` and `http2` listeners and routes, and of `grpc` ones, whose members are the same.
    HttpTimeout {
        #[serde(skip_serializing_if = "Option::is_none")]
        idle: Option<ApiDuration>,
        #[serde(skip_serializing_if = "Option::is_none")]
        per_request: Option<ApiDuration>,
    }
    TcpTimeout {
        #[serde(skip_serializing_if = "Option::is_none")]
        idle: Option<ApiDuration>,
    }
    Logging {
        #[serde(skip_serializing_if = "Option::is_none")]
        access_log: Option<AccessLog>,
    }
    FileAccessLog {
        #[serde(skip_serializing_if = "Option::is_none")]
        format: Option<LoggingFormat>,
        path: String,
    }
    JsonFormatRef {
        key: String,
        value: String,
    }
    AwsCloudMapServiceDiscovery {
        #[serde(skip_serializing_if = "Option::is_none")]
        attributes: Option<Vec<AwsCloudMapInstanceAttribute>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        ip_preference: Option<IpPreference>,
        namespace_name: String,
        service_name: String,
    }
    AwsCloudMapInstanceAttribute {
        key: String,
        value: String,
    }
    DnsServiceDiscovery {
        hostname: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        ip_preference: Option<IpPreference>,
        #[serde(skip_serializing_if = "Option::is_none")]
        response_type: Option<DnsResponseType>,
    }
}

api_union! {
    Backend {
        VirtualService(VirtualServiceBackend),
    }
    /// Limits of a listener's connections to its application, by the listener's protocol.
    ConnectionPool {
        Grpc(RequestConnectionPool),
        Http(HttpConnectionPool),
        Http2(RequestConnectionPool),
        Tcp(TcpConnectionPool),
    }
    ListenerTimeout {
        Grpc(HttpTimeout),
        Http(HttpTimeout),
        Http2(HttpTimeout),
        Tcp(TcpTimeout),
    }
    AccessLog {
        File(FileAccessLog),
    }
    LoggingFormat {
        Json(Vec<JsonFormatRef>),
        Text(String),
    }
    ServiceDiscovery {
        AwsCloudMap(AwsCloudMapServiceDiscovery),
        Dns(DnsServiceDiscovery),
    }
}

/// Whether a DNS answer's addresses are endpoints to balance over, or one load balancer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum DnsResponseType {
    Loadbalancer,
    Endpoints,
}
