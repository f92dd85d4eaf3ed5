//! Reads an export, or any mesh file: what a document says of itself in no comment is made up as for a new resource.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::SystemTime;

use miette::{Report, miette};

use super::export::{DECLARED, Declared, HEADING, METADATA, Metadata};
use crate::files;
use crate::model::defaults::fill_defaults;
use crate::model::document::Located;
use crate::model::problem::{Problem, Severity};
use crate::model::{ResourceId, schema};
use crate::store::journal::{Batch, FileFact, Kept, id_of};
use crate::store::{Owner, Record, Revision, Timestamp, new_uid};

/// What the text would make of an empty store.
///
/// # Errors
/// A report that names the line.
pub(super) fn read(text: &str) -> Result<Batch, Report> {
    let mut batch = Batch {
        revision: Revision::new(1),
        ..Batch::default()
    };
    // An export of an empty store has its heading; what an export that failed left behind has not even that.
    if text.trim().is_empty() {
        return Err(at(
            1,
            "there is nothing to import",
            "export anew, with `--file`, which leaves no half of a file",
        ));
    }
    let mut seen = BTreeSet::new();
    let mut chunk = Chunk::default();
    for (line, number) in text.lines().zip(1..) {
        if let Some(revision) = line.strip_prefix(HEADING) {
            let revision = revision.trim().parse();
            batch.revision = Revision::new(revision.map_err(|_| wrong(number))?);
        } else if let Some(declared) = line.strip_prefix(DECLARED) {
            batch.files.push(fact(declared, number)?);
        } else if let Some(metadata) = line.strip_prefix(METADATA) {
            let metadata = serde_json::from_str(metadata);
            chunk.metadata = Some(metadata.map_err(|_| wrong(number))?);
        } else if line.starts_with("---") {
            std::mem::take(&mut chunk).end(&mut batch, &mut seen)?;
            chunk.line = number + 1;
        } else {
            chunk.text.push_str(line);
            chunk.text.push('\n');
        }
    }
    chunk.end(&mut batch, &mut seen)?;
    Ok(batch)
}

/// One document, as far as it was read.
#[derive(Debug, Default)]
struct Chunk {
    text: String,
    metadata: Option<Metadata>,
    /// Where it begins.
    line: usize,
}

impl Chunk {
    fn end(self, batch: &mut Batch, seen: &mut BTreeSet<ResourceId>) -> Result<(), Report> {
        let Self {
            text,
            metadata,
            line,
        } = self;
        let (documents, problems) = files::parse(&text);
        if let Some(problem) = problems.first() {
            return Err(at(line, &problem.what, &problem.help));
        }
        let mut metadata = metadata;
        for document in documents {
            let metadata = || metadata.take().unwrap_or_else(made_now);
            let kept = kept(&document, metadata);
            let kept = kept.map_err(|problem| at(line, &problem.what, &problem.help))?;
            let Some((id, kept)) = kept else {
                continue;
            };
            if !seen.insert(id.clone()) {
                let what = format!("`{id}` is there twice");
                return Err(at(line, &what, "keep one of the two"));
            }
            batch.resources.push((id, Some(kept)));
        }
        Ok(())
    }
}

/// A document of a mesh file as the store keeps it; `None` of one that declares nothing.
///
/// # Errors
/// The first thing that is wrong with it.
pub(in crate::cli) fn kept(
    document: &Located,
    metadata: impl FnOnce() -> Metadata,
) -> Result<Option<(ResourceId, Kept)>, Box<Problem>> {
    let read = schema::read(document);
    let is_error = |problem: &Problem| problem.severity == Severity::Error;
    if let Some(error) = read.problems.into_iter().find(is_error) {
        return Err(Box::new(error));
    }
    let Some(mut resource) = read.resource else {
        return Ok(None);
    };
    fill_defaults(&mut resource.spec);
    let metadata = metadata();
    let record = Record {
        uid: metadata.uid,
        created_at: metadata.created_at,
        updated_at: metadata.updated_at,
        version: metadata.version,
        tags: schema::tags_of(document),
        owner: Owner::Api,
    };
    let kept = Kept {
        spec: resource.spec,
        record: Arc::new(record),
    };
    Ok(Some((resource.id, kept)))
}

pub(in crate::cli) fn made_now() -> Metadata {
    let now = Timestamp::from(SystemTime::now());
    Metadata {
        uid: new_uid(),
        version: 1,
        created_at: now,
        updated_at: now,
    }
}

fn fact(declared: &str, line: usize) -> Result<(ResourceId, Option<FileFact>), Report> {
    let Declared {
        names: [kind, mesh, parent, name],
        metadata,
        digest,
    } = serde_json::from_str(declared).map_err(|_| wrong(line))?;
    let id = id_of((&kind, &mesh, &parent, &name)).ok_or_else(|| wrong(line))?;
    let fact = FileFact {
        uid: metadata.uid,
        created_at: metadata.created_at,
        updated_at: metadata.updated_at,
        version: metadata.version,
        digest: u128::from_str_radix(&digest, 16).map_err(|_| wrong(line))?,
    };
    Ok((id, Some(fact)))
}

fn wrong(line: usize) -> Report {
    at(
        line,
        "this is not what `store export` prints",
        "export anew, or remove the line",
    )
}

fn at(line: usize, what: &str, help: &str) -> Report {
    miette!(help = help.to_owned(), "line {line}: {what}")
}
