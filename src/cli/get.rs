//! `outrigger get`: what there is, as a table, or as mesh files that can be applied again.

use std::time::SystemTime;

use miette::miette;
use serde_json::Value;

use super::client::{Client, PATIENCE};
use super::connect::ApiArgs;
use super::document::{Document, others};
use super::output::{CliError, Output, columns, render, span};
use super::remote::{Listing, Remote, moment};
use super::select;
use crate::model::{ResourceKind, schema};

/// List resources; `-o yaml` and `-o json` print them as mesh files
#[derive(Debug, clap::Args)]
pub struct GetArgs {
    /// Kind in any spelling, such as `VirtualNode`, `virtualnodes` or `vn`; `all` is every kind
    #[arg(value_name = "KIND", value_parser = kinds)]
    kind: Kinds,
    /// Only those of this name; a route's may be `ROUTER/ROUTE`
    name: Option<String>,
    /// Only those of this mesh
    #[arg(long, short, value_name = "MESH")]
    mesh: Option<String>,
    /// Form of the output
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
    #[command(flatten)]
    api: ApiArgs,
}

/// One kind, or all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kinds(Option<ResourceKind>);

fn kinds(text: &str) -> Result<Kinds, String> {
    if text.eq_ignore_ascii_case("all") {
        return Ok(Kinds(None));
    }
    let kind = select::parse_kind(text).map(|kind| Kinds(Some(kind)));
    kind.ok_or_else(|| {
        let kinds = ResourceKind::ALL.map(ResourceKind::as_str).join(", ");
        format!("there is no such kind; known are {kinds}, and `all`")
    })
}

/// Asks the API and returns what to print.
///
/// # Errors
/// When it cannot be reached, or nothing has the name.
pub async fn run(args: GetArgs) -> Result<String, CliError> {
    let client = Client::new(&args.api, PATIENCE)?;
    let listing = client.listing(args.mesh.as_deref()).await?;
    let (kind, name) = (args.kind.0, args.name.as_deref());
    let ids = select::find(&listing, kind, name, args.mesh.as_deref());
    if let (Some(name), []) = (name, ids.as_slice()) {
        return Err(unknown(&listing, kind, name, args.mesh.as_deref()));
    }
    let found: Vec<&Remote> = ids
        .iter()
        .filter_map(|id| listing.resources.get(id))
        .collect();
    print(args.output, kind, &found, SystemTime::now())
}

fn print(
    output: Output,
    kind: Option<ResourceKind>,
    found: &[&Remote],
    now: SystemTime,
) -> Result<String, CliError> {
    let documents: Vec<_> = found.iter().map(|remote| document(remote)).collect();
    if output != Output::Yaml {
        return render(output, &documents, |_| table(kind, found, now));
    }
    let texts = documents
        .iter()
        .map(|document| render(output, document, |_| String::new()));
    Ok(texts.collect::<Result<Vec<_>, _>>()?.join("---\n"))
}

fn unknown(
    listing: &Listing,
    kind: Option<ResourceKind>,
    name: &str,
    mesh: Option<&str>,
) -> CliError {
    let what = kind.map_or("resource", ResourceKind::as_str);
    let place = mesh
        .map(|mesh| format!(" in mesh {mesh}"))
        .unwrap_or_default();
    let known: Vec<String> = select::find(listing, kind, None, mesh)
        .iter()
        .take(20)
        .map(|id| id.name().to_owned())
        .collect();
    let help = match known.as_slice() {
        [] => "there is none at all".to_owned(),
        names => format!("some that there are: {}", names.join(", ")),
    };
    CliError::no(miette!(help = help, "there is no {what} `{name}`{place}"))
}

fn table(kind: Option<ResourceKind>, found: &[&Remote], now: SystemTime) -> String {
    if found.is_empty() {
        return "there are none\n".to_owned();
    }
    let cells = |remote: &Remote| {
        let id = &remote.id;
        let age = now
            .duration_since(moment(remote.metadata.created_at))
            .unwrap_or_default();
        let own = kind.is_none().then(|| id.kind().to_string());
        let parent = has_parents(kind).then(|| id.parent_name().unwrap_or("-").to_owned());
        let mesh = (kind != Some(ResourceKind::Mesh)).then(|| id.mesh().to_string());
        let name = Some(id.name().to_owned());
        let rest = [
            remote.metadata.version.to_string(),
            span(age),
            remote.owner.to_string(),
        ];
        let cells = [own, name, parent, mesh].into_iter().flatten();
        cells.chain(rest).collect::<Vec<_>>()
    };
    let parent = match kind {
        Some(ResourceKind::Route) => "ROUTER",
        Some(ResourceKind::GatewayRoute) => "GATEWAY",
        _ => "OF",
    };
    let headings = [
        kind.is_none().then_some("KIND"),
        Some("NAME"),
        has_parents(kind).then_some(parent),
        (kind != Some(ResourceKind::Mesh)).then_some("MESH"),
        Some("VERSION"),
        Some("AGE"),
        Some("OWNER"),
    ];
    let headings = headings.into_iter().flatten().map(str::to_owned);
    columns(headings, found.iter().map(|remote| cells(remote)))
}

fn has_parents(kind: Option<ResourceKind>) -> bool {
    kind.is_none_or(|kind| schema::kind_schema(kind).parent.is_some())
}

/// As it may be applied again.
fn document(remote: &Remote) -> Document<'_, Value> {
    Document::new(&remote.id, others(&remote.tags), &remote.spec)
}

#[cfg(test)]
mod tests;
