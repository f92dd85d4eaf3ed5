//! `outrigger describe`: all that is known of a resource.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::SystemTime;

use miette::miette;
use serde::Serialize;
use serde_json::Value;

use super::client::{Client, PATIENCE};
use super::connect::ApiArgs;
use super::output::{CliError, Output, render, span};
use super::remote::{Listing, Remote, moment};
use super::select::Selection;
use crate::appmesh::client::Metadata;
use crate::model::tags::Tags;
use crate::model::validate::{Finding, Unread, validate};
use crate::model::{Model, ResourceId, order};

/// Of what uses a resource, so many are named for people.
const SHOWN: usize = 20;

/// Show all that is known of resources: records, tags, spec, what uses them and what is wrong
#[derive(Debug, clap::Args)]
pub struct DescribeArgs {
    #[command(flatten)]
    selection: Selection,
    /// Form of the output
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
    #[command(flatten)]
    api: ApiArgs,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Described<'a> {
    id: String,
    owner: String,
    status: &'a str,
    metadata: &'a Metadata,
    tags: &'a Tags,
    spec: &'a Value,
    used_by: Vec<String>,
    problems: Vec<String>,
}

/// Asks the API and returns what to print.
///
/// # Errors
/// When it cannot be reached, or a resource does not exist.
pub async fn run(args: DescribeArgs) -> Result<String, CliError> {
    let named = args.selection.named()?;
    let client = Client::new(&args.api, PATIENCE)?;
    let mesh = args.selection.mesh(&named);
    let listing = client.listing(mesh.as_deref()).await?;
    let resolved = args.selection.resolve(&named, &listing)?;
    let missing = |id: &&ResourceId| !listing.resources.contains_key(id);
    let missing = resolved.ids.iter().filter(missing).map(ToString::to_string);
    let unknown: Vec<String> = resolved.unknown.iter().cloned().chain(missing).collect();
    if !unknown.is_empty() {
        return Err(CliError::no(miette!(
            help = "`outrigger get all` lists what there is",
            "there is no {}",
            unknown.join(", ")
        )));
    }
    let model = listing.model();
    let findings = validate(&model, &Unread::default());
    let found = resolved
        .ids
        .iter()
        .filter_map(|id| listing.resources.get(id));
    let described: Vec<Described<'_>> = found
        .map(|remote| describe(remote, &listing, &model, &findings))
        .collect();
    let now = SystemTime::now();
    render(args.output, &described, |described| {
        let texts: Vec<String> = described.iter().map(|one| table(one, now)).collect();
        texts.join("\n")
    })
}

fn describe<'a>(
    remote: &'a Remote,
    listing: &Listing,
    model: &Model,
    findings: &[Finding],
) -> Described<'a> {
    let used_by = users(listing, model, &remote.id);
    let problems = findings.iter().filter(|finding| finding.id == remote.id);
    let problem = |finding: &Finding| {
        let problem = &finding.problem;
        format!(
            "{}: {}: {}; {}",
            problem.severity, problem.path, problem.what, problem.help
        )
    };
    Described {
        id: remote.id.to_string(),
        owner: remote.owner.to_string(),
        status: &remote.status,
        metadata: &remote.metadata,
        tags: &remote.tags,
        spec: &remote.spec,
        used_by: used_by.iter().map(ToString::to_string).collect(),
        problems: problems.map(problem).collect(),
    }
}

/// What names it as provider, target or backend, or stands in it.
fn users(listing: &Listing, model: &Model, id: &ResourceId) -> BTreeSet<ResourceId> {
    let resources = listing.resources.values();
    let others = resources.filter(|remote| {
        let resource = remote.resource.as_ref();
        remote.id.parent().as_ref() == Some(id)
            || resource.is_some_and(|resource| order::backends(resource).contains(id))
    });
    let others = others.map(|remote| remote.id.clone());
    model.users_of(id).cloned().chain(others).collect()
}

fn table(described: &Described<'_>, now: SystemTime) -> String {
    let metadata = described.metadata;
    let when = |seconds: f64| {
        let then = moment(seconds);
        let age = now.duration_since(then).unwrap_or_default();
        format!(
            "{} ({} ago)",
            humantime::format_rfc3339_seconds(then),
            span(age)
        )
    };
    let mut text = format!("{}\n", described.id);
    let mut row = |heading: &str, value: &str| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "  {heading:<9} {value}");
    };
    row("ARN", &metadata.arn);
    row("UID", &metadata.uid);
    row("Version", &metadata.version.to_string());
    row("Created", &when(metadata.created_at));
    row("Updated", &when(metadata.last_updated_at));
    row("Owner", &described.owner);
    row("Status", described.status);
    let tags = described
        .tags
        .iter()
        .map(|(key, value)| format!("{key}={value}"));
    rows(&mut row, "Tags", &tags.collect::<Vec<_>>());
    rows(&mut row, "Used by", &shortened(&described.used_by));
    rows(&mut row, "Problems", &described.problems);
    let spec = serde_saphyr::to_string(described.spec).unwrap_or_default();
    text += "  Spec\n";
    for line in spec.lines() {
        let _ = writeln!(text, "    {line}");
    }
    text
}

fn rows(row: &mut impl FnMut(&str, &str), heading: &str, values: &[String]) {
    for (index, value) in values.iter().enumerate() {
        row(if index == 0 { heading } else { "" }, value);
    }
}

fn shortened(names: &[String]) -> Vec<String> {
    let mut shown: Vec<String> = names.iter().take(SHOWN).cloned().collect();
    if names.len() > SHOWN {
        shown.push(format!("and {} more", names.len() - SHOWN));
    }
    shown
}
