//! Reads an export, or any mesh file: what a document says of itself in no comment is made up as for a new resource.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

use miette::{Report, miette};
use serde::de::DeserializeOwned;

use super::export::{DECLARED, Declared, END, End, FORMAT, HEADING, METADATA, Metadata};
use crate::files;
use crate::model::defaults::fill_defaults;
use crate::model::document::{Located, Path, Span};
use crate::model::problem::{Problem, Severity};
use crate::model::tags::Tags;
use crate::model::{ResourceId, schema};
use crate::store::journal::{Batch, FileFact, Kept, id_of};
use crate::store::{Owner, Record, Revision, Timestamp, new_uid};

/// What the text would make of an empty store.
///
/// # Errors
/// A report that names the line.
pub(super) fn read(text: &str) -> Result<Batch, Report> {
    // An export of an empty store has its heading; what an export that failed left behind has not even that.
    if text.trim().is_empty() {
        return Err(at(
            1,
            "there is nothing to import",
            "export anew, with `--file`, which leaves no half of a file",
        ));
    }
    let comments = Comments::read(text)?;
    let (documents, problems) = files::parse(text);
    if let Some(problem) = problems.first() {
        return Err(at(
            line_of(text, problem.span),
            &problem.what,
            &problem.help,
        ));
    }
    let mut batch = Batch {
        revision: comments.revision.unwrap_or(Revision::new(1)),
        files: comments.files,
        ..Batch::default()
    };
    let mut metadata = comments.metadata.into_iter().peekable();
    let mut places = BTreeMap::new();
    for document in &documents {
        let begin = document.pointer();
        let is_before = |one: &Of| begin.is_some_and(|begin| one.begin < begin.start);
        let own = metadata.next_if(is_before);
        // Of one of the two, the document is gone.
        if let Some(second) = metadata.next_if(is_before) {
            return Err(wrong(second.line));
        }
        let metadata = || own.map_or_else(made_now, |own| own.metadata);
        let (id, kept) = kept(document, metadata).map_err(|problem| {
            let line = line_of(text, problem.span.or(document.pointer()));
            at(line, &problem.what, &problem.help)
        })?;
        if places.insert(id.clone(), begin).is_some() {
            let what = format!("`{id}` is there twice");
            return Err(at(line_of(text, begin), &what, "keep one of the two"));
        }
        batch.resources.push((id, Some(kept)));
    }
    if let Some(nobodys) = metadata.next() {
        return Err(wrong(nobodys.line));
    }
    check_end(comments.revision, comments.end, &batch)?;
    check_parents(text, &places, &batch)?;
    Ok(batch)
}

/// What stands in comments, each on a line of its own.
#[derive(Debug, Default)]
struct Comments {
    /// Of an export; other mesh files have none.
    revision: Option<Revision>,
    end: Option<End>,
    files: Vec<(ResourceId, Option<FileFact>)>,
    metadata: Vec<Of>,
}

/// Metadata of the document that begins next.
#[derive(Debug)]
struct Of {
    /// The comment's first byte.
    begin: usize,
    line: usize,
    metadata: Metadata,
}

impl Comments {
    fn read(text: &str) -> Result<Self, Report> {
        let mut comments = Self::default();
        let mut next = 0;
        for (text, line) in text.split_inclusive('\n').zip(1..) {
            let begin = next;
            next += text.len();
            if let Some(heading) = text.strip_prefix(HEADING) {
                comments.revision = Some(revision(heading, line)?);
            } else if let Some(declared) = text.strip_prefix(DECLARED) {
                comments.files.push(fact(json(declared, line)?, line)?);
            } else if let Some(metadata) = text.strip_prefix(METADATA) {
                comments.metadata.push(Of {
                    begin,
                    line,
                    metadata: json(metadata, line)?,
                });
            } else if let Some(end) = text.strip_prefix(END) {
                comments.end = Some(json(end, line)?);
            }
        }
        Ok(comments)
    }
}

fn revision(heading: &str, line: usize) -> Result<Revision, Report> {
    let parts = heading.trim_end().split_once(", revision ");
    let (format, revision) = parts.ok_or_else(|| wrong(line))?;
    if format != FORMAT {
        return Err(at(
            line,
            &format!("the export has format {format}, and this program knows format {FORMAT}"),
            "import it with the program that exported it",
        ));
    }
    let revision = revision.parse().map_err(|_| wrong(line))?;
    Ok(Revision::new(revision))
}

/// A document of a mesh file as the store keeps it.
///
/// # Errors
/// The first thing that is wrong with it.
pub(in crate::cli) fn kept(
    document: &Located,
    metadata: impl FnOnce() -> Metadata,
) -> Result<(ResourceId, Kept), Box<Problem>> {
    let read = schema::read(document);
    let is_error = |problem: &Problem| problem.severity == Severity::Error;
    if let Some(error) = read.problems.into_iter().find(is_error) {
        return Err(Box::new(error));
    }
    let mut resource = read.resource.ok_or_else(|| {
        Box::new(Problem::error(
            Path::default(),
            "the document declares nothing",
            "empty",
            "remove it",
        ))
    })?;
    fill_defaults(&mut resource.spec);
    let record = record(metadata(), schema::tags_of(document));
    let kept = Kept {
        spec: resource.spec,
        record: Arc::new(record),
    };
    Ok((resource.id, kept))
}

/// An export says at its end how much it is; one that was cut between two documents would be taken for a smaller one.
fn check_end(revision: Option<Revision>, end: Option<End>, batch: &Batch) -> Result<(), Report> {
    const ANEW: &str = "export anew, with `--file`, which leaves no half of a file";
    let found = End {
        revision: batch.revision.as_u64(),
        resources: batch.resources.len(),
        declared_in_files: batch.files.len(),
    };
    match (revision, end) {
        // Any other mesh file.
        (None, None) => Ok(()),
        (Some(_), None) => Err(miette!(
            help = ANEW,
            "the export is cut off: the line at its end is missing, which begins with `{END}`"
        )),
        (_, Some(end)) if found.is_all_of(&end) => Ok(()),
        (_, Some(end)) => Err(miette!(
            help =
                format!("{ANEW}; or, if you have removed something, say at its end what there is"),
            "the export is cut off: at its end it says {end}, and there is {found}"
        )),
    }
}

/// Nothing stands in what is not there; what mesh files declare is.
fn check_parents(
    text: &str,
    places: &BTreeMap<ResourceId, Option<Span>>,
    batch: &Batch,
) -> Result<(), Report> {
    let declared: BTreeSet<&ResourceId> = batch.files.iter().map(|(id, _)| id).collect();
    let is_gone = |id: &ResourceId| !places.contains_key(id) && !declared.contains(id);
    for (id, place) in places {
        if let Some(parent) = id.parent().filter(is_gone) {
            let what = format!("`{id}` stands in `{parent}`, which is not there");
            let help = format!("add `{parent}` to the text, or remove what stands in it");
            return Err(at(line_of(text, *place), &what, &help));
        }
    }
    Ok(())
}

fn record(metadata: Metadata, tags: Tags) -> Record {
    Record {
        uid: metadata.uid,
        created_at: metadata.created_at,
        updated_at: metadata.updated_at,
        version: metadata.version,
        tags,
        owner: Owner::Api,
    }
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

fn fact(declared: Declared, line: usize) -> Result<(ResourceId, Option<FileFact>), Report> {
    let Declared {
        names: [kind, mesh, parent, name],
        metadata,
        digest,
    } = declared;
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

fn json<T: DeserializeOwned>(text: &str, line: usize) -> Result<T, Report> {
    serde_json::from_str(text).map_err(|_| wrong(line))
}

/// Counted from 1; without a place, the first.
fn line_of(text: &str, span: Option<Span>) -> usize {
    let before = span.and_then(|span| text.get(..span.start));
    before.unwrap_or_default().matches('\n').count() + 1
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
