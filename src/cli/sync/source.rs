//! The source of a mirror, over the API: everything that a control plane has, as the store itself holds it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use hyper::Method;
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

    /// The same without what is registered for its virtual nodes.
    ///
    /// # Errors
    /// As of [`Self::read`].
    pub(super) async fn read_mesh(client: &Client, args: &TargetArgs) -> Result<Self, SourceError> {
        if args.mesh.is_empty() {
            let listing = client.listing(None).await?;
            if listing.is_limited && args.prune {
                return Err(SourceError::Unfit(limited()));
            }
            return Self::of(&[listing]);
        }
        let mut listings = Vec::new();
        for mesh in &args.mesh {
            // Of a mesh that is not there, that is nothing; of one that the key may not read, a refusal.
            listings.push(client.listing(Some(mesh.as_str())).await?);
        }
        Self::of(&listings)
    }

    fn of(listings: &[Listing]) -> Result<Self, SourceError> {
        let servers = listings.iter().map(|listing| listing.server.clone());
        let servers: BTreeSet<String> = servers.flatten().collect();
        let mut servers = servers.into_iter();
        let (Some(server), another) = (servers.next(), servers.next()) else {
            return Err(SourceError::Unfit(nameless()));
        };
        if another.is_some() {
            return Err(SourceError::Unfit(another_server()));
        }
        let revisions = listings.iter().map(|listing| listing.revision);
        let mut stored = Stored {
            // What has changed since the first of them was read may be in none.
            revision: Revision::new(revisions.min().unwrap_or_default()),
            changed_at: Some(Instant::now()),
            ..Stored::default()
        };
        for remote in listings.iter().flat_map(|list| list.resources.values()) {
            put(&mut stored, remote)?;
        }
        Ok(Self {
            server,
            stored,
            registered: Vec::new(),
        })
    }
}

/// Why a source cannot be mirrored.
#[derive(Debug)]
pub(super) enum SourceError {
    /// It does not answer as it should.
    Api(ApiError),
    /// What it answers cannot be mirrored.
    Unfit(CliError),
}

impl From<ApiError> for SourceError {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

impl From<SourceError> for CliError {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::Api(error) => error.into(),
            SourceError::Unfit(error) => error,
        }
    }
}

/// Takes in a resource.
///
/// # Errors
/// When this version cannot read it. Left out, it would count as gone.
pub(super) fn put(stored: &mut Stored, remote: &Remote) -> Result<(), SourceError> {
    let Some(Resource { id, spec }) = remote.resource.clone() else {
        return Err(SourceError::Unfit(CliError::unable(miette!(
            help = "use the `outrigger` of the source's own version",
            "the source has `{}` with what this version does not know",
            remote.id
        ))));
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

/// A control plane in the place of the one that was there before.
pub(super) fn another_server() -> CliError {
    CliError::unable(miette!(
        help = "start it again, if that server is to be mirrored; what the other one's mirror made is then somebody else's, \
                which --adopt takes over",
        "the source is another server than before"
    ))
}

/// What a key may not read would count as gone.
fn limited() -> CliError {
    CliError::no(miette!(
        help = "name the meshes with --mesh, or use a key for all",
        "the key reads some of the source's meshes only, so --prune would delete the others at the target"
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn listing(server: &str, revision: u64, mesh: &str) -> Listing {
        let mesh = json!({ "kind": "Mesh", "meshName": mesh, "spec": {} });
        let listing = json!({ "server": server, "revision": revision, "resources": [mesh] });
        Listing::read(listing).unwrap()
    }

    #[test]
    fn of_several_lists_the_first_one_says_what_has_been_seen() {
        let lists = [listing("x", 5, "a"), listing("x", 7, "b")];
        let source = Source::of(&lists).unwrap();
        assert_eq!(source.stored.revision, Revision::new(5));
        assert_eq!(source.stored.records.len(), 2);
        let [a, b] = lists;
        let source = Source::of(&[b, a]).unwrap();
        assert_eq!(source.stored.revision, Revision::new(5));
    }

    #[test]
    fn what_several_servers_say_is_no_source() {
        for (lists, words) in [
            (
                vec![listing("x", 5, "a"), listing("y", 5, "b")],
                "another server",
            ),
            (
                vec![Listing::read(json!({ "resources": [] })).unwrap()],
                "does not say which",
            ),
        ] {
            let error = CliError::from(Source::of(&lists).unwrap_err()).text();
            assert!(error.contains(words), "{error}");
        }
    }
}
