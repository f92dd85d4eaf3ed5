//! Puts the mesh files of the given paths together: resources, and reports of all that is wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;
use xxhash_rust::xxh3::Xxh3;

use super::find::{Odd, find};
use super::read::{Content, Document, Reader, standard_input};
use super::report::{Report, Source};
use crate::model::defaults::fill_defaults;
use crate::model::document::{self, Located, Span};
use crate::model::problem::{Problem, Severity};
use crate::model::tags::Tags;
use crate::model::validate::{Unread, validate};
use crate::model::{Model, Resource, ResourceId};
use crate::store::{self, Files};

/// Why files could not be read at all.
#[derive(Debug, Error)]
pub enum LoadError {
    #[error("`{}` does not exist; name a mesh file or a folder of them", path.display())]
    Missing { path: PathBuf },
    #[error("`{}` cannot be read; give this user the permission to read it", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error(
        "`{}` has no mesh files; put a file ending in `.yaml`, `.yml` or `.json` there, or name another folder",
        path.display()
    )]
    Empty { path: PathBuf },
    #[error(
        "`{}` is {what}; name a mesh file or a folder of them (`validate -` reads what is piped into it)",
        path.display()
    )]
    NoFile { path: PathBuf, what: &'static str },
}

/// Files that hold errors; each is among the reports.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the mesh files have {errors} {}; nothing of them is taken until it is fixed", if *errors == 1 { "error" } else { "errors" })]
pub struct Invalid {
    pub errors: usize,
}

/// Everything that was read.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// The resources of the documents without errors.
    pub resources: Vec<Declared>,
    /// By file, then by place.
    pub reports: Vec<Report>,
    /// Which files were read.
    pub files: Vec<PathBuf>,
    /// What could not be read though it is there: pipes, links to nowhere, and what went away meanwhile.
    pub unread: BTreeSet<PathBuf>,
    /// Whether a document could not be identified, so that anything might be declared by it.
    pub has_unidentified: bool,
    /// Equal for equal files with equal content.
    pub fingerprint: u64,
    /// What the resources make together.
    model: Model,
    /// What the files declare, that with errors included.
    pub(super) ids: BTreeSet<ResourceId>,
}

/// A resource and where it is declared.
#[derive(Clone, Debug)]
pub struct Declared {
    pub resource: Resource,
    pub file: Arc<Path>,
    /// Where the document begins.
    pub span: Option<Span>,
    /// The tags that it is created with.
    pub tags: Tags,
    /// The same as a line, counted from 1; 0 if it is not known.
    pub line: u32,
}

impl Loaded {
    /// What the files declare, as the store takes it, if nothing is wrong with it. Warnings do not count.
    ///
    /// # Errors
    /// As [`Loaded::model`].
    pub fn declared(&self) -> Result<Files, Invalid> {
        let places = self.resources.iter().map(|declared| {
            let place = store::Place {
                path: Arc::clone(&declared.file),
                line: declared.line,
            };
            (declared.resource.id.clone(), place)
        });
        let tagged = self.resources.iter().filter(|one| !one.tags.is_empty());
        Ok(Files {
            model: self.model()?,
            places: places.collect(),
            tags: tagged
                .map(|one| (one.resource.id.clone(), one.tags.clone()))
                .collect(),
        })
    }

    /// The model, if nothing is wrong with it. Warnings do not count.
    ///
    /// # Errors
    /// [`Invalid`] with the count of the errors among the reports.
    pub fn model(&self) -> Result<Model, Invalid> {
        match self.errors() {
            0 => Ok(self.model.clone()),
            errors => Err(Invalid { errors }),
        }
    }

    /// What the files declare, that with errors included.
    pub fn ids(&self) -> &BTreeSet<ResourceId> {
        &self.ids
    }

    pub fn errors(&self) -> usize {
        self.reports
            .iter()
            .filter(|report| report.severity() == Severity::Error)
            .count()
    }
}

/// Reads the given files, and those ending in `.yaml`, `.yml` or `.json` in the given folders and the folders in them.
///
/// Hidden files and folders are passed over, symbolic links followed; a file that is reached twice is read once.
///
/// # Errors
/// [`LoadError`] when a path is not there, cannot be read, or is a folder without mesh files. What is wrong inside the
/// files is no error here but among the reports.
pub fn load(paths: &[PathBuf]) -> Result<Loaded, LoadError> {
    load_with(paths, None)
}

/// The same, with standard input's content for the path `-`.
///
/// # Errors
/// As [`load`].
pub fn load_with(paths: &[PathBuf], standard_input: Option<Vec<u8>>) -> Result<Loaded, LoadError> {
    load_beside(paths, standard_input, &|_| Model::default())
}

/// The same, checked as a part of what there is besides: references may lead to it. `beside` gets what the files declare,
/// which goes before what it returns.
///
/// # Errors
/// As [`load`].
pub fn load_beside(
    paths: &[PathBuf],
    standard_input: Option<Vec<u8>>,
    beside: &dyn Fn(&BTreeSet<ResourceId>) -> Model,
) -> Result<Loaded, LoadError> {
    let mut paths = paths.to_vec();
    let piped = standard_input.map(self::standard_input);
    if piped.is_some() {
        paths.retain(|path| path != Path::new("-"));
    }
    let found = find(&paths);
    match (found.error, found.gone.first()) {
        // What the link leads to may be where the files are.
        (Some(LoadError::Empty { .. }), Some(gone)) => {
            return Err(LoadError::Missing { path: gone.clone() });
        }
        (Some(error), _) => return Err(error),
        (None, _) => {}
    }
    let mut contents = Reader::default().read(&found.files);
    let read: BTreeSet<PathBuf> = contents
        .iter()
        .map(|content| content.path().into())
        .collect();
    contents.extend(piped);
    let mut loaded = assemble_beside(&contents, &found.odd, beside);
    let files = found.files.into_iter().map(|file| file.path);
    loaded
        .unread
        .extend(files.filter(|path| !read.contains(path)));
    loaded
        .unread
        .extend(found.odd.into_iter().map(|odd| odd.path));
    loaded.unread.extend(found.gone);
    Ok(loaded)
}

/// Looks whether there are mesh files, without reading them.
///
/// # Errors
/// As [`load`].
pub fn check_paths(paths: &[PathBuf]) -> Result<(), LoadError> {
    match find(paths).error {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// Equal for equal files with equal content.
pub(super) fn fingerprint(contents: &[Arc<Content>], odd: &[Odd]) -> u64 {
    let mut fingerprint = Xxh3::new();
    for content in contents {
        fingerprint.update(content.path().as_os_str().as_encoded_bytes());
        fingerprint.update(&[0]);
        fingerprint.update(&content.hash.to_le_bytes());
    }
    for odd in odd {
        fingerprint.update(odd.path.as_os_str().as_encoded_bytes());
        fingerprint.update(odd.what.as_bytes());
    }
    fingerprint.digest()
}

/// Checks what was read against each other.
pub(super) fn assemble(contents: &[Arc<Content>], odd: &[Odd]) -> Loaded {
    assemble_beside(contents, odd, &|_| Model::default())
}

fn assemble_beside(
    contents: &[Arc<Content>],
    odd: &[Odd],
    beside: &dyn Fn(&BTreeSet<ResourceId>) -> Model,
) -> Loaded {
    let mut assembly = Assembly {
        contents,
        loaded: Loaded {
            fingerprint: fingerprint(contents, odd),
            ..Loaded::default()
        },
        first: BTreeMap::new(),
    };
    for (file, content) in contents.iter().enumerate() {
        assembly.file(file, content);
    }
    assembly.cross_check(beside);
    let Assembly {
        mut loaded, first, ..
    } = assembly;
    let order: BTreeMap<&PathBuf, usize> = loaded.files.iter().zip(0..).collect();
    loaded.reports.sort_by_key(|report| {
        let start = report.problem.span.map(|span| span.start);
        (order.get(&report.file).copied(), start)
    });
    loaded.reports.extend(odd.iter().map(not_read));
    loaded.ids = first.into_keys().collect();
    loaded.has_unidentified = contents.iter().any(|content| content.has_unidentified());
    loaded
}

struct Assembly<'a> {
    contents: &'a [Arc<Content>],
    loaded: Loaded,
    /// Where each resource was declared first.
    first: BTreeMap<ResourceId, Place<'a>>,
}

/// Where a document stands.
#[derive(Clone, Copy)]
struct Place<'a> {
    file: usize,
    document: usize,
    content: &'a Content,
    at: Option<Span>,
}

impl<'a> Assembly<'a> {
    fn file(&mut self, file: usize, content: &'a Content) {
        self.loaded.files.push(content.path().into());
        self.report(&content.source, &content.problems);
        let path = Arc::from(content.path());
        for (index, document) in content.documents.iter().enumerate() {
            let place = Place {
                file,
                document: index,
                content,
                at: document.at,
            };
            self.document(place, &path, document);
        }
    }

    fn document(&mut self, place: Place<'a>, path: &Arc<Path>, document: &Document) {
        let source = &place.content.source;
        self.report(source, &document.problems);
        let Some(id) = &document.id else {
            return;
        };
        if let Some(first) = self.first.get(id) {
            let problem = twice(id, first, document.at);
            self.loaded.reports.push(source.report(problem));
            return;
        }
        self.report(source, &document.not_served);
        if let Some(resource) = &document.resource {
            // As the API stores it, so that what moves from the one to the other stays the same.
            let mut stored = resource.clone();
            fill_defaults(&mut stored.spec);
            self.loaded.model.insert(stored);
            let line = document.at.map_or(0, |span| source.position(span).line);
            self.loaded.resources.push(Declared {
                resource: resource.clone(),
                file: Arc::clone(path),
                span: document.at,
                tags: document.tags.clone(),
                line: u32::try_from(line).unwrap_or(u32::MAX),
            });
        }
        self.first.insert(id.clone(), place);
    }

    fn report(&mut self, source: &Source, problems: &[Problem]) {
        let reports = problems
            .iter()
            .map(|problem| source.report(problem.clone()));
        self.loaded.reports.extend(reports);
    }

    /// Checks the resources against each other, and what else there is.
    fn cross_check(&mut self, beside: &dyn Fn(&BTreeSet<ResourceId>) -> Model) {
        let mut whole = beside(&self.first.keys().cloned().collect());
        if whole == Model::default() {
            whole = self.loaded.model.clone();
        } else {
            for declared in &self.loaded.resources {
                whole.insert(declared.resource.clone());
            }
        }
        let model = &self.loaded.model;
        let unread = Unread {
            ids: self
                .first
                .keys()
                .filter(|id| !model.contains(id))
                .cloned()
                .collect(),
            unidentified: self
                .contents
                .iter()
                .any(|content| content.has_unidentified()),
        };
        let mut parsed: BTreeMap<usize, Vec<Located>> = BTreeMap::new();
        let mut reports = Vec::new();
        for finding in validate(&whole, &unread) {
            let Some(place) = self.first.get(&finding.id) else {
                continue;
            };
            let documents = parsed
                .entry(place.file)
                .or_insert_with(|| place.content.parse_again());
            let span = documents
                .get(place.document)
                .and_then(|document| document.locate(&finding.problem.path));
            let problem = finding.problem.at(span);
            reports.push(place.content.source.report(problem));
        }
        self.loaded.reports.extend(reports);
    }
}

fn twice(id: &ResourceId, first: &Place<'_>, at: Option<Span>) -> Problem {
    let source = &first.content.source;
    let file = source.file.display();
    let place = match first.at {
        Some(span) => format!("{file}:{}", source.position(span)),
        None => file.to_string(),
    };
    Problem::error(
        document::Path::default(),
        format!("`{id}` is declared twice; first at {place}"),
        "declared before",
        "keep one of the two, or rename one",
    )
    .at(at)
}

fn not_read(odd: &Odd) -> Report {
    let problem = Problem::warning(
        document::Path::default(),
        format!("this is {}, which is not read", odd.what),
        "not read",
        "put a file there, or remove it",
    );
    Source::new(odd.path.clone(), Arc::from("")).report(problem)
}
