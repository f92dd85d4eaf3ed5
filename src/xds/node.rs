//! Who a client says it is: its `node`, read once, as a view key.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use envoy_types::pb::google::protobuf::{Struct, value};
use prost::Message;
use thiserror::Error;

use crate::model::metadata;
use crate::model::{Capture, ClientKind, NodeRef, NodeRefError, ViewKey};

/// Characters of a client's name for itself that are kept.
const USER_AGENT: usize = 100;

/// What the server reads of a `node`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub key: ViewKey,
    /// `user_agent_name`, such as `envoy` or `gRPC Go`.
    pub user_agent: String,
}

/// What a client says of itself, whether or not it can be served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claim {
    pub id: String,
    pub user_agent: String,
}

/// Why a `node` cannot be served.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NodeError {
    #[error("the stream's first request has no `node`; every bootstrap must set `node.id`")]
    Missing,
    #[error("`node` is not an `envoy.config.core.v3.Node`")]
    Undecodable,
    #[error(transparent)]
    Id(#[from] NodeRefError),
    #[error(
        "`node.metadata.{member}` is `{value}`, {want}; make the bootstrap anew with `outrigger bootstrap`"
    )]
    Metadata {
        member: String,
        value: String,
        want: &'static str,
    },
}

/// The fields of `envoy.config.core.v3.Node` that matter here.
#[derive(Clone, PartialEq, Message)]
struct WireNode {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(message, optional, tag = "3")]
    metadata: Option<Struct>,
    #[prost(string, tag = "6")]
    user_agent_name: String,
}

impl Claim {
    /// Reads what can be read; the rest is empty.
    pub fn read(encoded: Option<&Bytes>) -> Self {
        let node = encoded.and_then(|encoded| WireNode::decode(encoded.clone()).ok());
        let node = node.unwrap_or_default();
        let id = NodeRef::parse(&node.id).map_or(node.id, |id| id.to_string());
        Self {
            id,
            user_agent: user_agent(&node.user_agent_name),
        }
    }
}

impl Node {
    /// Reads the `node` of a stream's first request.
    ///
    /// # Errors
    /// [`NodeError`] when there is none, it names no resource, or its metadata is not what the bootstrap writes.
    pub fn read(encoded: Option<&Bytes>) -> Result<Self, NodeError> {
        let encoded = encoded.ok_or(NodeError::Missing)?;
        let node = WireNode::decode(encoded.clone()).map_err(|_| NodeError::Undecodable)?;
        let client = if node.user_agent_name.starts_with("gRPC") {
            ClientKind::Grpc
        } else {
            ClientKind::Envoy
        };
        let key = ViewKey {
            node: NodeRef::parse(&node.id)?,
            capture: capture(node.metadata.as_ref())?,
            client,
        };
        Ok(Self {
            key,
            user_agent: user_agent(&node.user_agent_name),
        })
    }
}

fn user_agent(name: &str) -> String {
    name.chars().take(USER_AGENT).collect()
}

/// How traffic enters: what our bootstrap wrote, or App Mesh's way where it wrote nothing.
fn capture(metadata: Option<&Struct>) -> Result<Capture, NodeError> {
    let Some(ours) = metadata.and_then(|metadata| member(metadata, metadata::OUTRIGGER)) else {
        return Ok(Capture::Redirect);
    };
    let value::Kind::StructValue(ours) = ours else {
        return Err(refused("", Some(ours), "not an object"));
    };
    match member(ours, metadata::CAPTURE) {
        None => Ok(Capture::Redirect),
        Some(value::Kind::StringValue(mode)) if mode == metadata::REDIRECT => Ok(Capture::Redirect),
        Some(value::Kind::StringValue(mode)) if mode == metadata::EXPLICIT => explicit(ours),
        other => Err(refused(
            metadata::CAPTURE,
            other,
            "neither `explicit` nor `redirect`",
        )),
    }
}

fn explicit(ours: &Struct) -> Result<Capture, NodeError> {
    let bind = member(ours, metadata::BIND);
    let bind: IpAddr = text(bind)
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| refused(metadata::BIND, bind, "not an IP address"))?;
    let mut applications = BTreeMap::new();
    match member(ours, metadata::APPLICATIONS) {
        None => {}
        Some(value::Kind::StructValue(entries)) => {
            for (port, address) in &entries.fields {
                let address_text = text(address.kind.as_ref());
                let parsed = address_text.and_then(|text| text.parse::<SocketAddr>().ok());
                let (port, address) = port.parse::<u16>().ok().zip(parsed).ok_or_else(|| {
                    let want = "not a port with an `address:port`";
                    refused(metadata::APPLICATIONS, address.kind.as_ref(), want)
                })?;
                applications.insert(port, address);
            }
        }
        other => return Err(refused(metadata::APPLICATIONS, other, "not an object")),
    }
    Ok(Capture::Explicit { bind, applications })
}

fn member<'a>(object: &'a Struct, name: &str) -> Option<&'a value::Kind> {
    object.fields.get(name)?.kind.as_ref()
}

fn text(value: Option<&value::Kind>) -> Option<&str> {
    match value {
        Some(value::Kind::StringValue(text)) => Some(text),
        _ => None,
    }
}

fn refused(member: &str, value: Option<&value::Kind>, want: &'static str) -> NodeError {
    let value = match value {
        Some(value::Kind::StringValue(text)) => text
            .chars()
            .take(100)
            .flat_map(char::escape_debug)
            .collect(),
        Some(value::Kind::NumberValue(number)) => number.to_string(),
        Some(value::Kind::BoolValue(value)) => value.to_string(),
        Some(value::Kind::StructValue(_)) => "an object".to_owned(),
        Some(value::Kind::ListValue(_)) => "a list".to_owned(),
        Some(value::Kind::NullValue(_)) | None => "absent".to_owned(),
    };
    let member = if member.is_empty() {
        metadata::OUTRIGGER.to_owned()
    } else {
        format!("{}.{member}", metadata::OUTRIGGER)
    };
    NodeError::Metadata {
        member,
        value,
        want,
    }
}

#[cfg(test)]
mod tests;
