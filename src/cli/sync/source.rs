//! The source of a mirror, over the API: everything that a control plane has, as the store itself holds it.

use std::time::{Duration, Instant};

use hyper::{Method, StatusCode};
use miette::miette;
use serde::Deserialize;

use super::target::TargetArgs;
use crate::cli::client::{Call, Client};
use crate::cli::connect::ApiError;
use crate::cli::output::CliError;
use crate::cli::remote::{Listing, Owner as RemoteOwner, Remote};
use crate::model::{MeshName, NodeName, Resource, ResourceId, ResourceKind};
use crate::store::{Owner, Record, Revision, Stored, Timestamp};

/// Of a source's meshes, so many are named.
const SHOWN: usize = 20;

/// What is mirrored.
#[derive(Clone, Debug)]
pub(super) struct Source {
    /// The id of its server.
    pub(super) server: String,
    pub(super) stored: Stored,
    /// The virtual nodes that have endpoints registered, and how many.
    pub(super) registered: Vec<(ResourceId, usize)>,
}

/// The list of registered endpoints.
#[derive(Debug, Deserialize)]
struct Registrations {
    registrations: Vec<Registered>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Registered {
    mesh_name: MeshName,
    virtual_node_name: NodeName,
    endpoints: usize,
    declared: bool,
}

impl Source {
    /// Reads what is to be mirrored.
    ///
    /// # Errors
    /// When the source cannot be asked, or does not show what a mirror has to know.
    pub(super) async fn read(client: &Client, args: &TargetArgs) -> Result<Self, CliError> {
        let mut source = Self::read_mesh(client, args).await?;
        let call = Call {
            method: Method::GET,
            path: "/outrigger/v1/endpoints".to_owned(),
            body: None,
        };
        let answer = client.call(&call).await?;
        let Registrations { registrations } =
            serde_json::from_value(answer).map_err(CliError::unable_error)?;
        let scope = args.scope();
        let registered = registrations.into_iter();
        let registered = registered.filter(|one| one.declared && scope.includes(&one.mesh_name));
        source.registered = registered
            .map(|one| {
                let id = ResourceId::VirtualNode(one.mesh_name, one.virtual_node_name);
                (id, one.endpoints)
            })
            .collect();
        Ok(source)
    }

    async fn read_mesh(client: &Client, args: &TargetArgs) -> Result<Self, CliError> {
        if args.mesh.is_empty() {
            let listing = client.listing(None).await?;
            if listing.is_limited && args.prune {
                return Err(limited());
            }
            return Self::of(&[listing]);
        }
        let mut listings = Vec::new();
        for mesh in &args.mesh {
            match client.listing(Some(mesh.as_str())).await {
                Ok(listing) => listings.push(listing),
                Err(ApiError::Exception { status, .. }) if status == StatusCode::NOT_FOUND => {}
                Err(error) => return Err(error.into()),
            }
        }
        Self::of(&listings)
    }

    fn of(listings: &[Listing]) -> Result<Self, CliError> {
        let server = listings.iter().find_map(|listing| listing.server.clone());
        let mut stored = Stored {
            changed_at: Some(Instant::now()),
            ..Stored::default()
        };
        for listing in listings {
            stored.revision = Revision::new(listing.revision);
            for remote in listing.resources.values() {
                put(&mut stored, remote)?;
            }
        }
        Ok(Self {
            server: server.ok_or_else(nameless)?,
            stored,
            registered: Vec::new(),
        })
    }
}

/// Takes in a resource.
///
/// # Errors
/// When this version cannot read it. Left out, it would count as gone.
pub(super) fn put(stored: &mut Stored, remote: &Remote) -> Result<(), CliError> {
    let Some(Resource { id, spec }) = remote.resource.clone() else {
        return Err(CliError::unable(miette!(
            help = "use the `outrigger` of the source's own version",
            "the source has `{}` with what this version does not know",
            remote.id
        )));
    };
    let metadata = &remote.metadata;
    let record = Record {
        uid: metadata.uid.clone(),
        created_at: timestamp(metadata.created_at),
        updated_at: timestamp(metadata.last_updated_at),
        version: metadata.version,
        tags: remote.tags.clone(),
        owner: match &remote.owner {
            RemoteOwner::Api => Owner::Api,
            RemoteOwner::File { path, line } => Owner::File {
                path: std::path::Path::new(path).into(),
                line: u32::try_from(*line).unwrap_or_default(),
            },
        },
    };
    stored.records.insert(id.clone(), record.into());
    stored.model.insert(Resource { id, spec });
    Ok(())
}

pub(super) fn remove(stored: &mut Stored, id: &ResourceId) {
    stored.records.remove(id);
    stored.model.remove(id);
}

fn timestamp(seconds: f64) -> Timestamp {
    let since = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    Timestamp::default().saturating_add(since)
}

/// Meshes that were asked for, and that the source has not.
pub(super) async fn without(client: &Client, url: &str, absent: &[MeshName]) -> CliError {
    let listing = match client.listing(None).await {
        Ok(listing) => listing,
        Err(error) => return error.into(),
    };
    let quoted = |names: &mut dyn Iterator<Item = &MeshName>| {
        let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
        names.join(", ")
    };
    let meshes = listing
        .resources
        .keys()
        .filter(|id| id.kind() == ResourceKind::Mesh);
    let help = match quoted(&mut meshes.take(SHOWN).map(ResourceId::mesh)).as_str() {
        "" => "it has no mesh at all; does --api-url name the right control plane?".to_owned(),
        meshes => format!("name one that it has with --mesh: {meshes}"),
    };
    let absent = quoted(&mut absent.iter());
    CliError::unable(miette!(
        help = help,
        "the source {url} has no mesh {absent}, nor has the target any of it that was mirrored"
    ))
}

/// A control plane that says nothing of who it is.
pub(super) fn nameless() -> CliError {
    CliError::unable(miette!(
        help = "is --api-url the --api-addr of an `outrigger serve` of this version?",
        "the source does not say which server it is"
    ))
}

/// What a key may not read would count as gone.
pub(super) fn limited() -> CliError {
    CliError::no(miette!(
        help = "name the meshes with --mesh, or use a key for all",
        "the key reads some of the source's meshes only, so --prune would delete the others at the target"
    ))
}
