//! Short forms for the protobuf messages that Envoy's resources are made of.

use std::net::{IpAddr, SocketAddr};

use envoy_types::pb::envoy::config::core::v3::config_source::ConfigSourceSpecifier;
use envoy_types::pb::envoy::config::core::v3::socket_address::PortSpecifier;
use envoy_types::pb::envoy::config::core::v3::{
    Address, AggregatedConfigSource, ApiVersion, ConfigSource, SocketAddress, address,
};
use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use envoy_types::pb::envoy::r#type::matcher::v3::{RegexMatcher, StringMatcher};
use envoy_types::pb::google::protobuf::{Any, BoolValue, Duration, UInt32Value};
use prost::{Message, Name};

pub(crate) fn any<M: Message + Name>(message: &M) -> Any {
    Any {
        type_url: M::type_url(),
        value: message.encode_to_vec(),
    }
}

/// As long as Envoy can count in nanoseconds, which is some 292 years: it refuses more (measured on Envoy 1.40).
pub(crate) fn duration(duration: std::time::Duration) -> Duration {
    const LONGEST: u64 = 9_223_372_035;
    Duration {
        seconds: i64::try_from(duration.as_secs().min(LONGEST)).unwrap_or_default(),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or_default(),
    }
}

pub(crate) fn uint(value: u32) -> UInt32Value {
    UInt32Value { value }
}

pub(crate) fn yes() -> BoolValue {
    BoolValue { value: true }
}

/// "From the stream that this resource came by."
pub(crate) fn ads() -> ConfigSource {
    ConfigSource {
        resource_api_version: ApiVersion::V3.into(),
        config_source_specifier: Some(ConfigSourceSpecifier::Ads(AggregatedConfigSource {})),
        ..Default::default()
    }
}

pub(crate) fn address(at: SocketAddr) -> Address {
    host_address(at.ip().to_string(), at.port())
}

pub(crate) fn ip_address(ip: IpAddr, port: u16) -> Address {
    host_address(ip.to_string(), port)
}

pub(crate) fn host_address(host: String, port: u16) -> Address {
    let socket = SocketAddress {
        address: host,
        port_specifier: Some(PortSpecifier::PortValue(u32::from(port))),
        ..Default::default()
    };
    Address {
        address: Some(address::Address::SocketAddress(socket)),
    }
}

pub(crate) fn text(pattern: MatchPattern) -> StringMatcher {
    StringMatcher {
        match_pattern: Some(pattern),
        ..Default::default()
    }
}

pub(crate) fn regex(pattern: &str) -> RegexMatcher {
    RegexMatcher {
        regex: pattern.to_owned(),
        ..Default::default()
    }
}
