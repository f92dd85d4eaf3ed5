//! The `node` that a sidecar sends: who it is, and what its bootstrap adds.
//!
//! It is encoded once and passed on as bytes, since a real one is as large as the rest of the traffic together.

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use prost::Message;
use prost_types::{ListValue, Struct, Value, value};

/// `envoy.config.core.v3.Node`, as far as a server may want to read it.
#[derive(Clone, PartialEq, Message)]
struct Node {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, tag = "2")]
    cluster: String,
    #[prost(message, optional, tag = "3")]
    metadata: Option<Struct>,
    #[prost(string, tag = "6")]
    user_agent_name: String,
    #[prost(message, repeated, tag = "9")]
    extensions: Vec<Extension>,
}

/// `envoy.config.core.v3.Extension`: Envoy lists every one that is built in, which is what makes its node large.
#[derive(Clone, PartialEq, Message)]
struct Extension {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    category: String,
    #[prost(string, repeated, tag = "6")]
    type_urls: Vec<String>,
}

/// What the nodes of a fleet are made from.
#[derive(Debug)]
pub(crate) struct Template {
    id: String,
    cluster: String,
    groups: usize,
    metadata: Option<Struct>,
    /// Bytes to pad each node to.
    size: usize,
}

impl Template {
    pub(crate) fn new(
        id: &str,
        cluster: &str,
        groups: usize,
        metadata: Option<&str>,
        size: usize,
    ) -> Result<Self> {
        Ok(Self {
            id: id.into(),
            cluster: cluster.into(),
            groups,
            metadata: metadata.map(parse_metadata).transpose()?,
            size,
        })
    }

    /// The encoded nodes; sidecar `n` has the one at `n` modulo their number.
    pub(crate) fn nodes(&self, streams: usize) -> Vec<Bytes> {
        let is_own = [&self.id, &self.cluster]
            .iter()
            .any(|template| template.contains("{n}"));
        let distinct = if is_own { streams } else { self.groups };
        (0..distinct).map(|number| self.node(number)).collect()
    }

    fn node(&self, number: usize) -> Bytes {
        let fill = |template: &str| {
            template
                .replace("{n}", &number.to_string())
                .replace("{g}", &(number % self.groups).to_string())
        };
        let mut node = Node {
            id: fill(&self.id),
            cluster: fill(&self.cluster),
            metadata: self.metadata.clone(),
            user_agent_name: "xds-load".into(),
            extensions: Vec::new(),
        };
        let lacking = self.size.saturating_sub(node.encoded_len());
        let one = Node {
            extensions: vec![extension(0)],
            ..Node::default()
        };
        let count = lacking.div_ceil(one.encoded_len());
        node.extensions = (0..count).map(extension).collect();
        node.encode_to_vec().into()
    }
}

/// One of Envoy's extensions, in size.
fn extension(number: usize) -> Extension {
    Extension {
        name: format!("envoy.filters.http.extension_{number:04}"),
        category: "envoy.filters.http".into(),
        type_urls: vec![format!(
            "envoy.extensions.filters.http.extension_{number:04}.v3.Extension"
        )],
    }
}

fn parse_metadata(text: &str) -> Result<Struct> {
    let json = serde_json::from_str(text).context("--node-metadata is not JSON")?;
    match into_value(json).kind {
        Some(value::Kind::StructValue(metadata)) => Ok(metadata),
        _ => bail!("--node-metadata is not a JSON object"),
    }
}

fn into_value(json: serde_json::Value) -> Value {
    use serde_json::Value as Json;
    let kind = match json {
        Json::Null => value::Kind::NullValue(0),
        Json::Bool(value) => value::Kind::BoolValue(value),
        Json::Number(number) => value::Kind::NumberValue(number.as_f64().unwrap_or(f64::NAN)),
        Json::String(text) => value::Kind::StringValue(text),
        Json::Array(values) => value::Kind::ListValue(ListValue {
            values: values.into_iter().map(into_value).collect(),
        }),
        Json::Object(members) => value::Kind::StructValue(Struct {
            fields: members
                .into_iter()
                .map(|(name, value)| (name, into_value(value)))
                .collect(),
        }),
    };
    Value { kind: Some(kind) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use envoy_types::pb::envoy::config::core::v3 as core;

    fn template(size: usize) -> Template {
        let metadata = r#"{"outrigger": {"capture": "explicit", "on": true, "list": [1, null]}}"#;
        Template::new("node-{n}", "c-{g}", 2, Some(metadata), size).unwrap()
    }

    #[test]
    fn the_full_type_reads_a_node() {
        let node = core::Node::decode(template(0).node(3)).unwrap();
        assert_eq!((node.id.as_str(), node.cluster.as_str()), ("node-3", "c-1"));
        assert_eq!(node.user_agent_name, "xds-load");
        assert!(node.extensions.is_empty());
        let outrigger = &node.metadata.unwrap().fields["outrigger"];
        assert!(
            format!("{outrigger:?}").contains("explicit"),
            "{outrigger:?}"
        );
    }

    #[test]
    fn a_node_is_padded_with_extensions() {
        let encoded = template(60_000).node(0);
        assert!((60_000..60_200).contains(&encoded.len()));
        let node = core::Node::decode(encoded).unwrap();
        assert_eq!(node.extensions[7].name, "envoy.filters.http.extension_0007");
    }

    #[test]
    fn sidecars_that_are_named_alike_share_a_node() {
        assert_eq!(template(0).nodes(5).len(), 5);
        let shared = Template::new("group-{g}", "c", 2, None, 0).unwrap();
        assert_eq!(shared.nodes(5).len(), 2);
    }

    #[test]
    fn metadata_must_be_an_object() {
        for text in ["[]", "1", "{"] {
            assert!(
                Template::new("n", "c", 1, Some(text), 0).is_err(),
                "{text} was taken"
            );
        }
    }
}
