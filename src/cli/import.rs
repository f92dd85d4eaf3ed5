//! `outrigger import appmesh`: meshes out of any server of App Mesh's API, into mesh files or into a store.

mod into;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{Write as _, stderr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;
use miette::miette;
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::output::CliError;
use super::validate::count;
use crate::appmesh::client::{Client, Held, KeySource, NoTags, TargetOptions};
use crate::appmesh::read::{Scope, Target, read_with_shared};
use crate::model::arn::{Identity, arn, parse_arn};
use crate::model::document::Located;
use crate::model::{MeshName, ResourceId};
use into::Into;

/// How often it is said how far it is.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// What the keys of AWS's own tags begin with, which nobody else may set.
const RESERVED: &str = "aws:";

/// Take over what another server has
#[derive(Debug, clap::Args)]
pub struct ImportArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Appmesh(AppmeshArgs),
}

/// Read meshes from a server of App Mesh's API: AWS's, where one still answers, another Outrigger, a test double
#[derive(Debug, clap::Args)]
struct AppmeshArgs {
    /// Address of the server
    #[arg(long, value_name = "URL")]
    endpoint: String,
    /// Region that requests are signed for [default: that of the environment or the profile]
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
    /// Profile of AWS's configuration files whose key signs the requests [default: where AWS's clients look]
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// Only this mesh; may be repeated [default: all]
    #[arg(long, short, value_name = "MESH")]
    mesh: Vec<String>,
    #[command(flatten)]
    into: Where,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Where {
    /// Write mesh files into this folder, one a mesh
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Fill the empty store of a control plane that does not run, with uids, versions and times as they are
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

/// Reads, writes, and says what there is now.
///
/// # Errors
/// When the server cannot be read whole, or what it has cannot be written.
pub async fn run(args: ImportArgs) -> Result<String, CliError> {
    let Command::Appmesh(args) = args.command;
    // What is in the way is said before anything is read.
    let into = Into::open(args.into.output, args.into.data_dir)?;
    let mut options = TargetOptions::new(args.endpoint);
    options.region = args.region;
    if let Some(profile) = args.profile {
        options.keys = KeySource::Profile(profile);
    }
    let meshes: BTreeSet<MeshName> = args.mesh.into_iter().map(MeshName::new).collect();
    let client = Client::connect(options)
        .await
        .map_err(CliError::unable_error)?;
    let target = read_all(&client, &meshes).await?;
    check_meshes(&client, &meshes, &target)?;
    check_tags(&target)?;
    let left = left_out(client.endpoint(), &target);
    let resources: Vec<Taken> = target.resources.into_iter().map(Taken::new).collect();
    let mut text = into.write(client.endpoint(), &resources)?;
    text += &identity(&resources);
    text += &left;
    let reserved: usize = resources.iter().map(|taken| taken.reserved_tags).sum();
    if reserved > 0 {
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{} left out, since nobody but AWS may set tags that begin with `{RESERVED}`",
            count(reserved, "tag")
        );
    }
    Ok(text)
}

async fn read_all(client: &Client, meshes: &BTreeSet<MeshName>) -> Result<Target, CliError> {
    let scope = Scope::of(meshes.iter().cloned());
    let mut next = Instant::now() + LINE_EVERY;
    let target = read_with_shared(client, &scope, |progress| {
        if Instant::now() >= next {
            next = Instant::now() + LINE_EVERY;
            let line = format!("  … {} of {}\n", progress.read, progress.found);
            // A closed standard error is no reason to stop.
            drop(stderr().write_all(line.as_bytes()));
        }
    });
    target.await.map_err(CliError::unable_error)
}

/// What it has, or may have, and is not among what was read.
fn left_out(endpoint: &str, target: &Target) -> String {
    let mut lines = Vec::new();
    if !target.lacks.is_empty() {
        let kinds: Vec<&str> = target.lacks.iter().map(|kind| kind.as_str()).collect();
        let kinds = kinds.join(", ");
        lines.push(format!(
            "{endpoint} does not know {kinds}: if there are any, they are not here"
        ));
    }
    let mut all = target.resources.values();
    if all.any(|held| held.no_tags == Some(NoTags::Unknown)) {
        lines.push(format!(
            "{endpoint} does not know tags: if there are any, they are not here"
        ));
    }
    for (mesh, owners) in &target.shared {
        let owners: Vec<&str> = owners.iter().map(String::as_str).collect();
        let owners = owners.join(", ");
        lines.push(format!(
            "mesh `{mesh}` of account {owners} is not here, since there is one of that name already"
        ));
    }
    if !target.gone.is_empty() {
        let gone: Vec<String> = target.gone.iter().map(|id| format!("`{id}`")).collect();
        let listed = target.resources.len() + gone.len();
        lines.push(format!(
            "{listed} listed, {} not read, since {endpoint} had them no more when they were asked for: {}",
            gone.len(),
            gone.join(", ")
        ));
    }
    lines.push(String::new());
    lines.join("\n")
}

/// Tags that there are and that cannot be read would be lost.
fn check_tags(target: &Target) -> Result<(), CliError> {
    for (id, held) in &target.resources {
        if let Some(NoTags::Refused(words)) = &held.no_tags {
            return Err(CliError::unable(miette!(
                help = "use a key that may list tags, or take other meshes with `--mesh`",
                "the tags of `{id}` cannot be read: {words}"
            )));
        }
    }
    Ok(())
}

/// There is something, and each mesh that was named.
fn check_meshes(
    client: &Client,
    meshes: &BTreeSet<MeshName>,
    target: &Target,
) -> Result<(), CliError> {
    let is_absent = |mesh: &&MeshName| {
        !target
            .resources
            .contains_key(&ResourceId::Mesh((*mesh).clone()))
    };
    let endpoint = client.endpoint();
    if let Some(mesh) = meshes.iter().find(is_absent) {
        return Err(CliError::no(miette!(
            help = "leave `--mesh` out to take all that there are",
            "{endpoint} has no mesh `{mesh}`"
        )));
    }
    if target.resources.is_empty() {
        return Err(CliError::no(miette!(
            help = "check the address, the region and whose key it is",
            "{endpoint} has no mesh"
        )));
    }
    Ok(())
}

/// A resource that was read.
#[derive(Debug)]
struct Taken {
    id: ResourceId,
    held: Held,
    /// Tags that it had, and that nobody but AWS may set.
    reserved_tags: usize,
}

impl Taken {
    fn new((id, mut held): (ResourceId, Held)) -> Self {
        let before = held.tags.len();
        // Null counts as absent, and some servers answer it; others, that a mesh has no spec at all.
        held.spec = match Located::from(held.spec).to_json() {
            Value::Null => Value::Object(Map::new()),
            spec => spec,
        };
        held.tags
            .retain(|key, _| !key.to_ascii_lowercase().starts_with(RESERVED));
        Self {
            id,
            reserved_tags: before - held.tags.len(),
            held,
        }
    }
}

/// Who the server is in its ARNs, with what flags Outrigger is the same, and for which resources that is not enough.
fn identity(resources: &[Taken]) -> String {
    let mut identities: BTreeMap<(String, String), usize> = BTreeMap::new();
    let arns = resources.iter().map(|taken| &taken.held.metadata.arn);
    for arn in arns.filter_map(|arn| parse_arn(arn).ok()) {
        *identities.entry((arn.account, arn.region)).or_default() += 1;
    }
    let most = identities.iter().max_by_key(|(_, count)| **count);
    let ours = most.and_then(|((account_id, region), _)| {
        Some(Identity {
            account_id: account_id.parse().ok()?,
            region: region.parse().ok()?,
        })
    });
    let Some(ours) = ours else {
        return "there is no ARN among them that could be kept\n".to_owned();
    };
    let Identity { account_id, region } = &ours;
    let flags = format!("`outrigger serve --account-id {account_id} --region {region}`");
    let other_arn = |taken: &&Taken| taken.held.metadata.arn != arn(&ours, &taken.id);
    let others: Vec<&Taken> = resources.iter().filter(other_arn).collect();
    let mut text = match others.first() {
        None => format!("their ARNs stay as they are with {flags}\n"),
        Some(first) => format!(
            "{} of {} stay as they are with {flags}; of the others, `{}` becomes `{}`\n",
            resources.len() - others.len(),
            count(resources.len(), "ARN"),
            first.held.metadata.arn,
            arn(&ours, &first.id)
        ),
    };
    let is_other = |owner: &String| !owner.is_empty() && **owner != *account_id.as_str();
    let owned_by_others = resources.iter().filter(|taken| {
        let metadata = &taken.held.metadata;
        is_other(&metadata.mesh_owner) || is_other(&metadata.resource_owner)
    });
    let owned_by_others = owned_by_others.count();
    if owned_by_others > 0 {
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{} of another account, or in a mesh of one, will be of {account_id}",
            count(owned_by_others, "resource")
        );
    }
    text
}
