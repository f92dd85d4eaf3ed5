//! The specs of the seven kinds, field for field as App Mesh's API has them (`appmesh-2019-01-25`).
//!
//! A union of the API is an enum here. A member that the client left out is `None` and stays out when printed, so that a
//! spec is echoed as it came. What the members may hold is checked before a spec is built, in [`crate::model::schema`].

mod gateway;
mod node;
mod route;
mod tls;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use gateway::*;
pub use node::*;
pub use route::*;
pub use tls::*;

use super::names::{NodeName, RouterName};

/// Declares a struct of the API: JSON names in camel case, absent optional members not printed.
macro_rules! api_struct {
    ($($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident: $type:ty,)* })+) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        pub struct $name { $($(#[$field_meta])* pub $field: $type,)* }
    )+};
}

/// Declares a union of the API: exactly one of the members.
macro_rules! api_union {
    ($($(#[$meta:meta])* $name:ident { $($variant:ident($type:ty),)+ })+) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        pub enum $name { $($variant($type),)+ }
    )+};
}

pub(crate) use {api_struct, api_union};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MeshSpec {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub egress_filter: Option<EgressFilter>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_discovery: Option<MeshServiceDiscovery>,
}

impl MeshSpec {
    /// Whether calls to what is no backend pass through. App Mesh's default is to drop them.
    pub fn egress(&self) -> EgressFilterType {
        self.egress_filter
            .as_ref()
            .map_or(EgressFilterType::DropAll, |filter| filter.r#type)
    }

    pub fn ip_preference(&self) -> Option<IpPreference> {
        self.service_discovery
            .as_ref()
            .and_then(|discovery| discovery.ip_preference)
    }
}

api_struct! {
    EgressFilter {
        r#type: EgressFilterType,
    }
    MeshServiceDiscovery {
        #[serde(skip_serializing_if = "Option::is_none")]
        ip_preference: Option<IpPreference>,
    }
    VirtualRouterListener {
        port_mapping: PortMapping,
    }
    PortMapping {
        port: u16,
        protocol: Protocol,
    }
    VirtualNodeServiceProvider {
        virtual_node_name: NodeName,
    }
    VirtualRouterServiceProvider {
        virtual_router_name: RouterName,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum EgressFilterType {
    AllowAll,
    DropAll,
}

/// Which address families a node uses, and which of them first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum IpPreference {
    #[serde(rename = "IPv4_ONLY")]
    Ipv4Only,
    #[serde(rename = "IPv4_PREFERRED")]
    Ipv4Preferred,
    #[serde(rename = "IPv6_ONLY")]
    Ipv6Only,
    #[serde(rename = "IPv6_PREFERRED")]
    Ipv6Preferred,
}

/// A listener's protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    Http,
    Http2,
    Grpc,
    Tcp,
}

impl Protocol {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Http2 => "http2",
            Self::Grpc => "grpc",
            Self::Tcp => "tcp",
        }
    }

    /// Whether requests are told apart, and so routed, by host, path and headers.
    pub fn is_http_like(self) -> bool {
        self != Self::Tcp
    }
}

/// What a virtual service or a virtual router needs nothing else of: no field is required.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VirtualServiceSpec {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<VirtualServiceProvider>,
}

api_union! {
    VirtualServiceProvider {
        VirtualNode(VirtualNodeServiceProvider),
        VirtualRouter(VirtualRouterServiceProvider),
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VirtualRouterSpec {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listeners: Option<Vec<VirtualRouterListener>>,
}

impl VirtualRouterSpec {
    pub fn listeners(&self) -> &[VirtualRouterListener] {
        self.listeners.as_deref().unwrap_or_default()
    }
}

/// App Mesh's duration: a value and its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApiDuration {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<DurationUnit>,
    /// Terraform leaves out a zero.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DurationUnit {
    S,
    Ms,
}

impl ApiDuration {
    /// The time meant. Without a unit the value counts in milliseconds, the smaller of the two.
    pub fn to_duration(self) -> Duration {
        let value = self.value.unwrap_or(0);
        match self.unit {
            Some(DurationUnit::S) => Duration::from_secs(value),
            Some(DurationUnit::Ms) | None => Duration::from_millis(value),
        }
    }
}
