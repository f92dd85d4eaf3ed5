//! The requests of both variants, decoded by types of our own.
//!
//! Envoy repeats its `node`, some 60 KB, on every request unless told not to; here it stays undecoded bytes that cost a
//! slice, and only the first request's is ever looked at. Field numbers are those of
//! `envoy.service.discovery.v3.DiscoveryRequest` and `DeltaDiscoveryRequest`.

use std::collections::HashMap;

use bytes::Bytes;

/// `DiscoveryRequest`: state of the world.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SotwRequest {
    #[prost(string, tag = "1")]
    pub version_info: String,
    /// An encoded `envoy.config.core.v3.Node`.
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub node: Option<Bytes>,
    #[prost(string, repeated, tag = "3")]
    pub resource_names: Vec<String>,
    #[prost(string, tag = "4")]
    pub type_url: String,
    #[prost(string, tag = "5")]
    pub response_nonce: String,
    #[prost(message, optional, tag = "6")]
    pub error_detail: Option<ErrorDetail>,
}

/// `DeltaDiscoveryRequest`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct DeltaRequest {
    /// An encoded `envoy.config.core.v3.Node`.
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub node: Option<Bytes>,
    #[prost(string, tag = "2")]
    pub type_url: String,
    #[prost(string, repeated, tag = "3")]
    pub resource_names_subscribe: Vec<String>,
    #[prost(string, repeated, tag = "4")]
    pub resource_names_unsubscribe: Vec<String>,
    #[prost(map = "string, string", tag = "5")]
    pub initial_resource_versions: HashMap<String, String>,
    #[prost(string, tag = "6")]
    pub response_nonce: String,
    #[prost(message, optional, tag = "7")]
    pub error_detail: Option<ErrorDetail>,
}

/// `google.rpc.Status`: why a response was rejected. Its presence is what makes a NACK.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ErrorDetail {
    #[prost(int32, tag = "1")]
    pub code: i32,
    #[prost(string, tag = "2")]
    pub message: String,
}
