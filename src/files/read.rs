//! Reads mesh files, each once for each state that it is in.
//!
//! What was read is kept by path: a reload after one change of ten thousand files parses one. The parsed documents
//! themselves are not kept, for they take many times the room of the resources; the rare problem between resources that
//! needs a place has its file parsed again.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use xxhash_rust::xxh3::xxh3_64;

use super::described::described;
use super::find::{File, Stamp, oddness};
use super::parse::parse;
use super::report::Source;
use crate::model::document::{self, Located, Span};
use crate::model::problem::Problem;
use crate::model::tags::Tags;
use crate::model::validate::not_served;
use crate::model::{Resource, ResourceId, schema};

/// Largest file that is read: some 250,000 resources.
const MAX_BYTES: u64 = 64 * 1024 * 1024;
/// A file that was changed this recently when it was read may be changed again without its times telling: they are as
/// coarse as two seconds on some file systems.
const TELLING_SECONDS: i64 = 2;

/// The content of one file.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) source: Source,
    /// Of the bytes, or of why there are none.
    pub(super) hash: u64,
    pub(super) documents: Vec<Document>,
    /// What is wrong with the file or its syntax.
    pub(super) problems: Vec<Problem>,
}

/// One document of a file.
#[derive(Debug)]
pub(super) struct Document {
    /// Which resource, if that could be read.
    pub(super) id: Option<ResourceId>,
    /// The resource, if nothing is wrong with it by itself.
    pub(super) resource: Option<Resource>,
    /// Where it begins.
    pub(super) at: Option<Span>,
    pub(super) tags: Tags,
    pub(super) problems: Vec<Problem>,
    pub(super) not_served: Vec<Problem>,
}

/// Reads files, and remembers what was in them.
#[derive(Debug, Default)]
pub(super) struct Reader {
    cache: BTreeMap<PathBuf, Cached>,
    /// How many files have been parsed so far.
    pub(super) parsed: usize,
}

#[derive(Debug)]
struct Cached {
    /// `None` if the file is to be read again whatever its stamp.
    stamp: Option<Stamp>,
    content: Arc<Content>,
}

impl Reader {
    /// The files' contents, without those that have gone.
    pub(super) fn read(&mut self, files: &[File]) -> Vec<Arc<Content>> {
        let (mut before, parsed) = (std::mem::take(&mut self.cache), self.parsed);
        for file in files {
            let old = before.remove(&file.path);
            if let Some(cached) = self.read_file(file, old) {
                self.cache.insert(file.path.clone(), cached);
            }
        }
        let parsed = self.parsed - parsed;
        tracing::debug!(files = files.len(), parsed, "mesh files read");
        let contents = files.iter().filter_map(|file| self.cache.get(&file.path));
        contents.map(|cached| Arc::clone(&cached.content)).collect()
    }

    fn read_file(&mut self, file: &File, old: Option<Cached>) -> Option<Cached> {
        if let Some(old) = old.as_ref().filter(|old| old.stamp == Some(file.stamp)) {
            return Some(Cached {
                stamp: old.stamp,
                content: Arc::clone(&old.content),
            });
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
        let tells = file.stamp.changed_at() + TELLING_SECONDS < now;
        let bytes = match read_bytes(&file.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                let content = Content::unreadable(&file.path, &error);
                return Some(Cached {
                    stamp: None,
                    content: Arc::new(content),
                });
            }
        };
        let content = match old {
            // What could not be read as text is kept as the empty one.
            Some(old) if !bytes.is_empty() && old.content.source.text().as_bytes() == bytes => {
                old.content
            }
            _ => {
                self.parsed += 1;
                Arc::new(Content::of(file.path.clone(), bytes))
            }
        };
        Some(Cached {
            stamp: tells.then_some(file.stamp),
            content,
        })
    }
}

/// A file's bytes. Never waits, whatever the file has become since it was found.
fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(nonblocking)
        .open(path)?;
    let metadata = file.metadata()?;
    if let Some(what) = oddness(metadata.file_type()) {
        return Err(io::Error::other(format!("it is {what}")));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len().min(MAX_BYTES)).unwrap_or(0));
    if file.take(MAX_BYTES + 1).read_to_end(&mut bytes)? as u64 > MAX_BYTES {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}

impl Content {
    pub(super) fn of(path: PathBuf, bytes: Vec<u8>) -> Self {
        let hash = xxh3_64(&bytes);
        let text: Arc<str> = match String::from_utf8(bytes) {
            Ok(text) => text.into(),
            Err(error) => {
                return Self {
                    source: Source::new(path, Arc::from("")),
                    hash,
                    documents: Vec::new(),
                    problems: vec![not_utf8(&error)],
                };
            }
        };
        let (documents, problems) = parse(&text);
        Self {
            source: Source::new(path, text),
            hash,
            documents: documents.into_iter().map(Document::of).collect(),
            problems,
        }
    }

    fn unreadable(path: &Path, error: &io::Error) -> Self {
        let (what, help) = if error.kind() == io::ErrorKind::FileTooLarge {
            (
                format!("the file is larger than {} MiB", MAX_BYTES >> 20),
                "split it: a folder may hold any number of files",
            )
        } else {
            (
                format!("the file cannot be read: {error}"),
                "give this user the permission to read it, or remove it",
            )
        };
        Self {
            hash: xxh3_64(what.as_bytes()),
            source: Source::new(path.into(), Arc::from("")),
            documents: Vec::new(),
            problems: vec![Problem::error(
                document::Path::default(),
                what,
                "not read",
                help,
            )],
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.source.file
    }

    /// The documents anew, for places in them.
    pub(super) fn parse_again(&self) -> Vec<Located> {
        let (documents, _) = parse(self.source.text());
        let unwrapped = documents.into_iter().map(|document| described(document).0);
        unwrapped.collect()
    }

    /// Whether something in the file could not even be identified, so that anything might be declared by it.
    pub(super) fn has_unidentified(&self) -> bool {
        !self.problems.is_empty() || self.documents.iter().any(|document| document.id.is_none())
    }
}

impl Document {
    fn of(document: Located) -> Self {
        let (document, problem) = described(document);
        let at = document.pointer();
        let read = schema::read(&document);
        let not_served = read.id.as_ref().map(|id| not_served(id.kind(), &document));
        Self {
            id: read.id,
            resource: read.resource.filter(|_| problem.is_none()),
            at,
            tags: schema::tags_of(&document),
            problems: problem.into_iter().chain(read.problems).collect(),
            not_served: not_served.unwrap_or_default(),
        }
    }
}

fn not_utf8(error: &std::string::FromUtf8Error) -> Problem {
    let at = error.utf8_error().valid_up_to();
    let what = match error.as_bytes() {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "the file is UTF-16 text, not UTF-8".to_owned(),
        _ => format!("the file is no UTF-8 text: byte {at} is part of no character"),
    };
    Problem::error(
        document::Path::default(),
        what,
        "not UTF-8",
        "save it as UTF-8",
    )
}

/// What standard input holds, as a file of its own.
pub(super) fn standard_input(bytes: Vec<u8>) -> Arc<Content> {
    Arc::new(Content::of(PathBuf::from("-"), bytes))
}
