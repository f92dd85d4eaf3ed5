//! `outrigger config NODE`: the exact resources that a node's sidecars get.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;
use serde_json::{Value, json};

use super::connect::ApiArgs;
use super::output::{self, CliError, Output};
use crate::api::operator::generated::{self as api, GetConfigRequest, GetConfigResponse};
use crate::snapshot::descriptors;

/// Show the exact resources a node's sidecars get
#[derive(Clone, Debug, clap::Args)]
pub struct ConfigArgs {
    /// `mesh/MESH/virtualNode/NODE`, `mesh/MESH/virtualGateway/GATEWAY`, or an ARN
    pub node: String,
    /// Only these types; repeatable
    #[arg(long = "type", short = 't', value_name = "TYPE", value_delimiter = ',',
          value_parser = ["cds", "eds", "sds", "lds", "rds", "ecds"])]
    pub types: Vec<String>,
    /// Form of the output; a table has names and versions only
    #[arg(long, short, value_enum, default_value_t = Output::Json)]
    pub output: Output,
    #[command(flatten)]
    pub api: ApiArgs,
}

/// Asks the control plane and returns what to print.
///
/// # Errors
/// When it cannot be reached, or no sidecar of the node is connected.
pub async fn run(args: ConfigArgs) -> Result<String, CliError> {
    let mut operator = args.api.connect().await?;
    let request = GetConfigRequest {
        node: args.node.clone(),
        kinds: args.types.clone(),
    };
    let response = operator.get_config(request).await;
    let config = response
        .map_err(|status| args.api.error(status))?
        .into_inner();
    output::render(args.output, &Config::from(config), table)
}

/// What is printed as JSON and YAML.
#[derive(Debug, Serialize)]
struct Config {
    node: String,
    views: Vec<ViewConfig>,
}

#[derive(Debug, Serialize)]
struct ViewConfig {
    view: View,
    /// By type.
    resources: BTreeMap<String, Vec<Resource>>,
}

/// What of a sidecar, beside its node, decides which resources it gets.
#[derive(Debug, Serialize)]
pub(super) struct View {
    client: String,
    capture: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    bind: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    applications: BTreeMap<u32, String>,
}

#[derive(Debug, Serialize)]
struct Resource {
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    version: String,
    /// Why there is no body.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'static str>,
    #[serde(rename = "resource", skip_serializing_if = "Option::is_none")]
    body: Option<Value>,
}

impl From<GetConfigResponse> for Config {
    fn from(config: GetConfigResponse) -> Self {
        let views = config.views.into_iter().map(|config| {
            let mut resources = BTreeMap::<String, Vec<Resource>>::new();
            for resource in config.resources {
                let kind = resource.kind.clone();
                resources.entry(kind).or_default().push(resource.into());
            }
            ViewConfig {
                view: config.view.unwrap_or_default().into(),
                resources,
            }
        });
        Self {
            node: config.node,
            views: views.collect(),
        }
    }
}

impl From<api::View> for View {
    fn from(view: api::View) -> Self {
        Self {
            client: view.client,
            capture: view.capture,
            bind: view.bind,
            applications: view.applications,
        }
    }
}

impl From<api::Resource> for Resource {
    fn from(resource: api::Resource) -> Self {
        let note = match (&resource.body, resource.version.as_str()) {
            (Some(_), _) => None,
            (None, "") => Some("withheld: not sent yet, as when its addresses are being looked up"),
            (None, _) => Some("secrets are not shown"),
        };
        let body = resource.body.map(|body| {
            // A type that this version does not know is named, not guessed at.
            descriptors::to_json(&body.type_url, &body.value)
                .unwrap_or_else(|| json!({ "@type": body.type_url, "bytes": body.value.len() }))
        });
        Self {
            name: resource.name,
            version: resource.version,
            note,
            body,
        }
    }
}

fn table(config: &Config) -> String {
    let mut text = String::new();
    for (index, view) in config.views.iter().enumerate() {
        if index > 0 {
            text.push('\n');
        }
        // Writing to a string does not fail.
        let _ = writeln!(text, "{}, {}", config.node, describe(&view.view));
        let headings = ["TYPE", "NAME", "VERSION"].map(str::to_owned);
        let rows = view.resources.iter().flat_map(|(kind, resources)| {
            resources.iter().map(|resource| {
                let version = match resource.version.as_str() {
                    "" => "withheld".to_owned(),
                    version => version.to_owned(),
                };
                [kind.clone(), resource.name.clone(), version]
            })
        });
        text.push_str(&output::columns(headings, rows));
    }
    text
}

fn describe(view: &View) -> String {
    let mut text = format!("{}, {}", view.client, view.capture);
    if !view.bind.is_empty() {
        let _ = write!(text, " at {}", view.bind);
    }
    for (port, application) in &view.applications {
        let _ = write!(text, ", {port} to {application}");
    }
    text
}

#[cfg(test)]
mod tests;
