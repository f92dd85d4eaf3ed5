//! What the API says there is: every resource with its records, from one call.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use serde_json::Value;

use crate::appmesh::client::Metadata;
use crate::model::document::Located;
use crate::model::tags::Tags;
use crate::model::{Model, Resource, ResourceId, schema};

/// One resource as the server has it.
#[derive(Clone, Debug)]
pub(super) struct Remote {
    pub(super) id: ResourceId,
    /// As the server sent it.
    pub(super) spec: Value,
    /// The same in the model's types, unless this version cannot read it.
    pub(super) resource: Option<Resource>,
    pub(super) metadata: Metadata,
    pub(super) status: String,
    pub(super) tags: Tags,
    pub(super) owner: Owner,
}

/// Who may change a resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Owner {
    #[default]
    Api,
    /// The mesh file that declares it.
    File { path: String, line: u64 },
}

/// Everything that the server has, by id.
#[derive(Clone, Debug, Default)]
pub(super) struct Listing {
    pub(super) resources: BTreeMap<ResourceId, Remote>,
    pub(super) revision: u64,
    /// Which server it is, unless it is of an older version.
    pub(super) server: Option<String>,
    /// Whether there may be meshes that the key does not read.
    pub(super) is_limited: bool,
}

/// What has changed since a revision.
#[derive(Clone, Debug, Default)]
pub(super) struct News {
    /// What is new, or is no longer as it was.
    pub(super) listing: Listing,
    pub(super) deleted: Vec<ResourceId>,
    /// Whether this is everything, and what is not in it is gone.
    pub(super) is_full: bool,
}

#[derive(Debug, Deserialize)]
struct Answer {
    resources: Vec<Value>,
    #[serde(default)]
    revision: u64,
    #[serde(default)]
    server: Option<String>,
    #[serde(default)]
    limited: bool,
    #[serde(default)]
    full: bool,
    #[serde(default)]
    deleted: Vec<Value>,
}

/// What stands beside the document itself.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Records {
    metadata: Metadata,
    status: Status,
    tags: Tags,
    owner: WireOwner,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    status: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct WireOwner {
    file: Option<String>,
    line: u64,
}

/// An answer that is no list of resources.
#[derive(Debug, thiserror::Error)]
pub(super) enum ListingError {
    #[error("the answer is no list of resources")]
    Form(#[from] serde_json::Error),
    #[error("the answer has a resource without kind and names: {entry}")]
    Nameless { entry: String },
}

impl Listing {
    /// Reads the answer of `GET /outrigger/v1/resources`.
    pub(super) fn read(answer: Value) -> Result<Self, ListingError> {
        Self::of(serde_json::from_value(answer)?)
    }

    fn of(answer: Answer) -> Result<Self, ListingError> {
        let mut resources = BTreeMap::new();
        for entry in answer.resources {
            let remote = Remote::read(entry)?;
            resources.insert(remote.id.clone(), remote);
        }
        Ok(Self {
            resources,
            revision: answer.revision,
            server: answer.server,
            is_limited: answer.limited,
        })
    }

    /// The resources that this version can read.
    pub(super) fn model(&self) -> Model {
        let known = self.resources.values();
        Model::from_resources(known.filter_map(|remote| remote.resource.clone()))
    }
}

impl News {
    /// Reads the answer of `GET /outrigger/v1/changes`.
    pub(super) fn read(answer: Value) -> Result<Self, ListingError> {
        let mut answer: Answer = serde_json::from_value(answer)?;
        let deleted = std::mem::take(&mut answer.deleted).into_iter();
        let named = |entry: Value| {
            let read = schema::read(&Located::from(entry.clone()));
            read.id.ok_or_else(|| ListingError::Nameless {
                entry: entry.to_string(),
            })
        };
        Ok(Self {
            deleted: deleted.map(named).collect::<Result<_, _>>()?,
            is_full: answer.full,
            listing: Listing::of(answer)?,
        })
    }
}

impl Remote {
    fn read(mut entry: Value) -> Result<Self, ListingError> {
        let records = Records::deserialize(&entry)?;
        if let Some(members) = entry.as_object_mut() {
            for record in ["metadata", "status", "tags", "owner"] {
                members.remove(record);
            }
        }
        let spec = entry.get("spec").cloned().unwrap_or_default();
        let read = schema::read(&Located::from(entry.clone()));
        let id = read.id.ok_or_else(|| ListingError::Nameless {
            entry: entry.to_string(),
        })?;
        let owner = match records.owner.file {
            None => Owner::Api,
            Some(path) => Owner::File {
                path,
                line: records.owner.line,
            },
        };
        Ok(Self {
            id,
            spec,
            resource: read.resource,
            metadata: records.metadata,
            status: records.status.status,
            tags: records.tags,
            owner,
        })
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Api => f.write_str("API"),
            Self::File { path, line } => write!(f, "{path}:{line}"),
        }
    }
}

/// A moment of the API: seconds since 1970.
pub(super) fn moment(seconds: f64) -> SystemTime {
    UNIX_EPOCH + Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_entry_is_read_with_its_records() {
        let listing = Listing::read(json!({ "revision": 7, "resources": [
            { "kind": "Mesh", "meshName": "m", "spec": {}, "owner": { "api": true } },
            { "kind": "VirtualNode", "meshName": "m", "virtualNodeName": "n", "spec": { "newer": 1 },
              "metadata": { "arn": "arn", "createdAt": 1.5, "version": 3 }, "status": { "status": "ACTIVE" },
              "tags": { "k": "v" }, "owner": { "file": "mesh/a.yaml", "line": 4 } },
        ]}))
        .unwrap();
        let [mesh, node] = listing.resources.values().collect::<Vec<_>>()[..] else {
            panic!("{listing:?}");
        };
        assert_eq!(mesh.owner, Owner::Api);
        assert!(mesh.resource.is_some());
        assert_eq!(node.owner.to_string(), "mesh/a.yaml:4");
        assert!(node.resource.is_none(), "a newer server's");
        assert_eq!(node.metadata.version, 3);
        assert_eq!(node.tags["k"], "v");
        assert_eq!(node.spec, json!({ "newer": 1 }));
    }

    #[test]
    fn news_are_what_is_there_and_what_is_gone() {
        let answer = json!({ "server": "x", "revision": 7, "full": false, "limited": true,
            "deleted": [{ "kind": "Route", "meshName": "m", "virtualRouterName": "r", "routeName": "x" }],
            "resources": [{ "kind": "Mesh", "meshName": "m", "spec": {} }] });
        let news = News::read(answer).unwrap();
        assert_eq!(
            news.deleted[0].to_string(),
            "mesh/m/virtualRouter/r/route/x"
        );
        let Listing {
            resources,
            revision,
            server,
            is_limited,
        } = news.listing;
        assert_eq!(
            (resources.len(), revision, is_limited, news.is_full),
            (1, 7, true, false)
        );
        assert_eq!(server.as_deref(), Some("x"));
        assert!(News::read(json!({ "resources": [], "deleted": [{}] })).is_err());
    }

    #[test]
    fn another_answer_is_refused() {
        assert!(Listing::read(json!({ "meshes": [] })).is_err());
        let nameless = json!({ "resources": [{ "kind": "Mesh" }] });
        let error = Listing::read(nameless).unwrap_err().to_string();
        assert!(error.contains("Mesh"), "{error}");
    }
}
