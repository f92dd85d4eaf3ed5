//! A store as mesh files: a document for each resource, in the form of `--mesh`, with what a mesh file has no member for
//! in comments, which only `store import` reads.

use std::fmt::{self, Write};

use serde::{Deserialize, Serialize};

use crate::cli::document::Document;
use crate::model::ResourceId;
use crate::store::journal::{FileFact, Loaded, names_of};
use crate::store::{Record, Timestamp};

/// Before format and revision, on the first line.
pub(super) const HEADING: &str = "# outrigger store, format ";
pub(super) const FORMAT: &str = "1";
/// Before the metadata of the document below it.
pub(super) const METADATA: &str = "# metadata: ";
/// Before what is kept of a resource that a mesh file declares, which is no document of its own.
pub(super) const DECLARED: &str = "# declared in a file: ";

/// Before what tells the last line of an export from the last of what is left of one.
pub(super) const END: &str = "# end of the export: ";

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::cli) struct Metadata {
    pub(in crate::cli) uid: String,
    pub(in crate::cli) version: u64,
    pub(in crate::cli) created_at: Timestamp,
    pub(in crate::cli) updated_at: Timestamp,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Declared {
    /// Kind, mesh, router or gateway, and name.
    pub(super) names: [String; 4],
    pub(super) metadata: Metadata,
    /// Of the spec, in hexadecimal.
    pub(super) digest: String,
}

/// How much an export is.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct End {
    pub(super) revision: u64,
    pub(super) resources: usize,
    pub(super) declared_in_files: usize,
}

impl End {
    /// Something may have been added by hand.
    pub(super) fn is_all_of(&self, said: &Self) -> bool {
        self.revision == said.revision
            && self.resources >= said.resources
            && self.declared_in_files >= said.declared_in_files
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            revision,
            resources,
            declared_in_files,
        } = self;
        write!(
            f,
            "revision {revision}, {resources} resources, {declared_in_files} declared in files"
        )
    }
}

impl From<&Record> for Metadata {
    fn from(record: &Record) -> Self {
        Self {
            uid: record.uid.clone(),
            version: record.version,
            created_at: record.created_at,
            updated_at: record.updated_at,
        }
    }
}

impl From<&FileFact> for Metadata {
    fn from(fact: &FileFact) -> Self {
        Self {
            uid: fact.uid.clone(),
            version: fact.version,
            created_at: fact.created_at,
            updated_at: fact.updated_at,
        }
    }
}

/// All of a store but the client tokens, which are of no use an hour later.
pub(in crate::cli) fn print(loaded: &Loaded) -> String {
    let mut text = format!("{HEADING}{FORMAT}, revision {}\n", loaded.revision);
    // Writing to a string does not fail.
    for (id, fact) in &loaded.files {
        let _ = writeln!(text, "{DECLARED}{}", json(&declared(id, fact)));
    }
    for (id, kept) in &loaded.resources {
        let metadata = Metadata::from(kept.record.as_ref());
        let document = Document::new(id, &kept.record.tags, &kept.spec);
        let document = serde_json::to_string_pretty(&document);
        let _ = writeln!(text, "---\n{METADATA}{}", json(&metadata));
        let _ = writeln!(text, "{}", document.unwrap_or_default());
    }
    let end = End {
        revision: loaded.revision.as_u64(),
        resources: loaded.resources.len(),
        declared_in_files: loaded.files.len(),
    };
    let _ = writeln!(text, "{END}{}", json(&end));
    text
}

fn declared(id: &ResourceId, fact: &FileFact) -> Declared {
    let (kind, mesh, parent, name) = names_of(id);
    Declared {
        names: [kind, mesh, parent, name].map(ToOwned::to_owned),
        metadata: fact.into(),
        digest: format!("{:032x}", fact.digest),
    }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
