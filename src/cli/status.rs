//! `outrigger status [NODE]`: who is connected, what each has acknowledged or rejected, and why.

use std::fmt::Write;
use std::time::Duration;

use hyper::StatusCode;
use serde::Serialize;

use super::connect::{ApiArgs, ApiError};
use super::output::{self, CliError, Output};
use crate::api::operator::generated::{self as api, ListClientsRequest};
use crate::snapshot::Kind;

/// Show who is connected, and what each has acknowledged or rejected and why
#[derive(Clone, Debug, clap::Args)]
pub struct StatusArgs {
    /// Only this node: `mesh/MESH/virtualNode/NODE`, `mesh/MESH/virtualGateway/GATEWAY`, or an ARN
    pub node: Option<String>,
    /// Form of the output
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Output,
    #[command(flatten)]
    pub api: ApiArgs,
}

/// Asks the control plane and returns what to print.
///
/// # Errors
/// When it cannot be reached, or no sidecar of the node that was named is connected.
pub async fn run(args: StatusArgs) -> Result<String, CliError> {
    let node = args.node.clone().unwrap_or_default();
    let mut operator = args.api.connect().await?;
    let response = operator
        .list_clients(ListClientsRequest { node: node.clone() })
        .await;
    let response = response
        .map_err(|status| args.api.error(status))?
        .into_inner();
    let status = Status {
        declared: response.declared,
        clients: response.clients.into_iter().map(Client::from).collect(),
        refused: (response.refused.into_iter())
            .map(RefusedNode::from)
            .collect(),
    };
    if status.clients.is_empty() && !node.is_empty() {
        let message = nobody(&node, &status);
        let status = StatusCode::NOT_FOUND;
        return Err(ApiError::Refused { message, status }.into());
    }
    output::render(args.output, &status, table)
}

/// What is printed as JSON and YAML.
#[derive(Debug, Default, Serialize)]
struct Status {
    /// Of the node that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    declared: Option<bool>,
    clients: Vec<Client>,
    refused: Vec<RefusedNode>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RefusedNode {
    node: String,
    peer: String,
    user_agent: String,
    reason: String,
    message: String,
    count: u64,
    first_refused_seconds: f64,
    last_refused_seconds: f64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Client {
    node: String,
    peer: String,
    user_agent: String,
    variant: &'static str,
    view: super::config_dump::View,
    connected_at: String,
    connected_for_seconds: f64,
    kinds: Vec<KindStatus>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct KindStatus {
    kind: String,
    state: &'static str,
    resources: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    sent_version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    acked_version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pending_for_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rejections: Vec<Rejection>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Rejection {
    #[serde(skip_serializing_if = "String::is_empty")]
    resource: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    version: String,
    message: String,
    rejected_for_seconds: f64,
}

impl From<api::Client> for Client {
    fn from(client: api::Client) -> Self {
        let variant = match client.variant() {
            api::Variant::Sotw => "sotw",
            api::Variant::Delta => "delta",
            api::Variant::Unspecified => "unknown",
        };
        Self {
            variant,
            node: client.node,
            peer: client.peer,
            user_agent: client.user_agent,
            view: client.view.unwrap_or_default().into(),
            connected_at: client
                .connected_at
                .map(|time| time.to_string())
                .unwrap_or_default(),
            connected_for_seconds: seconds(client.connected_for).unwrap_or_default(),
            kinds: client.kinds.into_iter().map(KindStatus::from).collect(),
        }
    }
}

impl From<api::RefusedNode> for RefusedNode {
    fn from(refused: api::RefusedNode) -> Self {
        Self {
            node: refused.node,
            peer: refused.peer,
            user_agent: refused.user_agent,
            reason: refused.reason,
            message: refused.message,
            count: refused.count,
            first_refused_seconds: seconds(refused.first_refused).unwrap_or_default(),
            last_refused_seconds: seconds(refused.last_refused).unwrap_or_default(),
        }
    }
}

impl From<api::KindStatus> for KindStatus {
    fn from(status: api::KindStatus) -> Self {
        let state = match status.state() {
            api::State::Synced => "synced",
            api::State::Pending => "pending",
            api::State::Rejected => "rejected",
            api::State::Unspecified => "unknown",
        };
        let rejections = status.rejections.into_iter().map(|rejection| Rejection {
            resource: rejection.resource,
            version: rejection.version,
            message: rejection.message,
            rejected_for_seconds: seconds(rejection.rejected_for).unwrap_or_default(),
        });
        Self {
            state,
            kind: status.kind,
            resources: status.resources,
            sent_version: status.sent_version,
            acked_version: status.acked_version,
            pending_for_seconds: seconds(status.pending_for),
            rejections: rejections.collect(),
        }
    }
}

fn table(status: &Status) -> String {
    let mut text = if status.clients.is_empty() {
        "no sidecar is connected\n".to_owned()
    } else {
        connected(status)
    };
    for client in &status.clients {
        text.push_str(&rejections(client));
    }
    for refused in &status.refused {
        text.push('\n');
        text.push_str(&refusal(refused));
    }
    text
}

/// A line for each client.
fn connected(status: &Status) -> String {
    let kinds: Vec<Kind> = (Kind::ALL.into_iter())
        .filter(|kind| {
            status
                .clients
                .iter()
                .any(|client| client.kind(*kind).is_some())
        })
        .collect();
    let headings = (["NODE", "PEER", "VARIANT", "CONNECTED"]
        .into_iter()
        .map(str::to_owned))
    .chain(kinds.iter().map(|kind| kind.as_str().to_uppercase()));
    let rows = status.clients.iter().map(|client| {
        let cells = [
            client.node.clone(),
            client.peer.clone(),
            client.variant.to_owned(),
            span(client.connected_for_seconds),
        ];
        let kinds = kinds
            .iter()
            .map(|kind| client.kind(*kind).map_or_else(|| "-".to_owned(), cell));
        cells.into_iter().chain(kinds)
    });
    output::columns(headings, rows)
}

impl Client {
    fn kind(&self, kind: Kind) -> Option<&KindStatus> {
        self.kinds
            .iter()
            .find(|status| status.kind == kind.as_str())
    }
}

fn cell(status: &KindStatus) -> String {
    match (status.state, status.pending_for_seconds) {
        ("rejected", _) => format!("rejected {}", status.rejections.len()),
        ("pending", Some(seconds)) => format!("pending {}", span(seconds)),
        ("pending", None) => "pending".to_owned(),
        (state, _) => format!("{state} {}", status.resources),
    }
}

/// What a client rejected, in its own words; empty if nothing.
fn rejections(client: &Client) -> String {
    let mut text = String::new();
    for status in &client.kinds {
        for rejection in &status.rejections {
            let what = match rejection.resource.as_str() {
                "" => format!("a response of {}", status.kind),
                resource => format!("{} {resource}", status.kind),
            };
            let ago = span(rejection.rejected_for_seconds);
            // Writing to a string does not fail.
            let _ = write!(
                text,
                "\n{} at {} rejected {what} {ago} ago",
                client.node, client.peer
            );
            if !rejection.version.is_empty() {
                let _ = write!(text, " (version {})", rejection.version);
            }
            text.push_str(":\n");
            for line in rejection.message.lines() {
                let _ = writeln!(text, "  {line}");
            }
        }
    }
    text
}

/// Why a node's sidecars are not served.
fn refusal(refused: &RefusedNode) -> String {
    let who = match refused.node.as_str() {
        "" => "a sidecar without `node.id`",
        node => node,
    };
    let times = match refused.count {
        1 => String::new(),
        count => format!(", {count} times in {}", span(refused.first_refused_seconds)),
    };
    let ago = span(refused.last_refused_seconds);
    let mut text = format!("{who} at {} was refused {ago} ago{times}:\n", refused.peer);
    for line in refused.message.lines() {
        // Writing to a string does not fail.
        let _ = writeln!(text, "  {line}");
    }
    text
}

/// What is known of a node that no sidecar is connected for.
fn nobody(node: &str, status: &Status) -> String {
    let mut text = match status.declared {
        Some(true) => format!("`{node}` is declared, and no sidecar of it is connected"),
        Some(false) => format!("`{node}` is not declared, and no sidecar of it is connected"),
        None => format!("no sidecar of `{node}` is connected, and no mesh is loaded yet"),
    };
    if status.refused.is_empty() {
        text.push_str(
            "; see who is with `outrigger status`, \
             and which node a sidecar says it is in `node.id` of its bootstrap",
        );
    }
    for refused in &status.refused {
        text.push('\n');
        text.push_str(refusal(refused).trim_end());
    }
    text
}

fn seconds(duration: Option<prost_types::Duration>) -> Option<f64> {
    Duration::try_from(duration?)
        .ok()
        .map(|duration| duration.as_secs_f64())
}

fn span(seconds: f64) -> String {
    output::span(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

#[cfg(test)]
mod tests;
