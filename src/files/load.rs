//! Reads the mesh files of the given paths into resources and reports.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;
use xxhash_rust::xxh3::Xxh3;

use super::parse::parse;
use super::report::{Report, Source};
use crate::model::document::{Located, Span};
use crate::model::problem::{Problem, Severity};
use crate::model::validate::{Unread, not_served, validate};
use crate::model::{Model, Resource, ResourceId, schema};

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
    /// Those of them without a byte: a file is often emptied just before it is written.
    pub(super) blank: BTreeSet<PathBuf>,
    /// Equal for equal files with equal content.
    pub fingerprint: u64,
}

/// A resource and where it is declared.
#[derive(Clone, Debug)]
pub struct Declared {
    pub resource: Resource,
    pub file: PathBuf,
    /// Where the document begins.
    pub span: Option<Span>,
}

impl Loaded {
    /// The model, if nothing is wrong with it. Warnings do not count.
    ///
    /// # Errors
    /// [`Invalid`] with the count of the errors among the reports.
    pub fn model(&self) -> Result<Model, Invalid> {
        match self.errors() {
            0 => Ok(Model::from_resources(
                self.resources
                    .iter()
                    .map(|declared| declared.resource.clone()),
            )),
            errors => Err(Invalid { errors }),
        }
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
    let mut loading = Loading::default();
    for file in find(paths)? {
        loading.read(file)?;
    }
    Ok(loading.finish())
}

/// Looks whether there are mesh files, without reading them.
///
/// # Errors
/// As [`load`].
pub fn check_paths(paths: &[PathBuf]) -> Result<(), LoadError> {
    find(paths).map(drop)
}

/// The mesh files of the given paths, sorted within each folder.
pub(super) fn find(paths: &[PathBuf]) -> Result<Vec<PathBuf>, LoadError> {
    let mut found = Found::default();
    for path in paths {
        let before = found.count;
        let metadata = fs::metadata(path).map_err(|source| unreadable(path, source))?;
        if metadata.is_dir() {
            found.folder(path)?;
            if found.count == before {
                return Err(LoadError::Empty { path: path.clone() });
            }
        } else {
            found.file(path.clone())?;
        }
    }
    Ok(found.files)
}

fn unreadable(path: &Path, source: io::Error) -> LoadError {
    let path = path.to_path_buf();
    if source.kind() == io::ErrorKind::NotFound {
        LoadError::Missing { path }
    } else {
        LoadError::Unreadable { path, source }
    }
}

#[derive(Default)]
struct Found {
    files: Vec<PathBuf>,
    /// With those that were reached before.
    count: usize,
    /// What has been reached, without symbolic links: they may form circles, and lead to one file twice.
    seen: BTreeSet<PathBuf>,
}

impl Found {
    fn folder(&mut self, folder: &Path) -> Result<(), LoadError> {
        if !self.is_new(folder)? {
            return Ok(());
        }
        let mut entries = fs::read_dir(folder)
            .and_then(|entries| {
                entries
                    .map(|entry| entry.map(|entry| entry.path()))
                    .collect::<io::Result<Vec<_>>>()
            })
            .map_err(|source| unreadable(folder, source))?;
        entries.sort();
        for path in entries {
            if is_hidden(&path) {
                continue;
            }
            // A link to nowhere, or a file that has gone since it was listed, is no mesh file.
            match fs::metadata(&path) {
                Ok(metadata) if metadata.is_dir() => self.folder(&path)?,
                Ok(_) if is_mesh_file(&path) => self.file(path)?,
                Ok(_) | Err(_) => {}
            }
        }
        Ok(())
    }

    fn file(&mut self, path: PathBuf) -> Result<(), LoadError> {
        self.count += 1;
        if self.is_new(&path)? {
            self.files.push(path);
        }
        Ok(())
    }

    fn is_new(&mut self, path: &Path) -> Result<bool, LoadError> {
        let real = fs::canonicalize(path).map_err(|source| unreadable(path, source))?;
        Ok(self.seen.insert(real))
    }
}

fn is_hidden(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

fn is_mesh_file(path: &Path) -> bool {
    path.extension()
        .and_then(|extension| extension.to_str())
        .is_some_and(|extension| {
            ["yaml", "yml", "json"].contains(&extension.to_ascii_lowercase().as_str())
        })
}

#[derive(Default)]
struct Loading {
    loaded: Loaded,
    fingerprint: Xxh3,
    /// Where each resource was declared first.
    first: BTreeMap<ResourceId, Place>,
    /// Whether something could not even be identified.
    unidentified: bool,
}

/// Where a document stands, and its text for reports.
struct Place {
    source: Source,
    document: Located,
}

impl Loading {
    fn read(&mut self, file: PathBuf) -> Result<(), LoadError> {
        let bytes = fs::read(&file).map_err(|source| unreadable(&file, source))?;
        self.fingerprint.update(file.as_os_str().as_encoded_bytes());
        self.fingerprint.update(&[0]);
        self.fingerprint.update(&(bytes.len() as u64).to_le_bytes());
        self.fingerprint.update(&bytes);
        self.loaded.files.push(file.clone());
        if bytes.is_empty() {
            self.loaded.blank.insert(file.clone());
        }
        let text: Arc<str> = match String::from_utf8(bytes) {
            Ok(text) => text.into(),
            Err(error) => {
                self.loaded.reports.push(not_utf8(file, &error));
                self.unidentified = true;
                return Ok(());
            }
        };
        let source = Source::new(file, Arc::clone(&text));
        let (documents, problems) = parse(&text);
        self.unidentified |= !problems.is_empty();
        self.report(&source, problems);
        for document in documents {
            self.document(&source, document);
        }
        Ok(())
    }

    fn document(&mut self, source: &Source, document: Located) {
        let schema::Read {
            id,
            resource,
            problems,
        } = schema::read(&document);
        self.report(source, problems);
        let Some(id) = id else {
            self.unidentified = true;
            return;
        };
        let pointer = document.pointer();
        if let Some(first) = self.first.get(&id) {
            let problem = twice(&id, first, pointer);
            self.loaded.reports.push(source.report(problem));
            return;
        }
        self.loaded
            .resources
            .extend(resource.map(|resource| Declared {
                resource,
                file: source.file.clone(),
                span: pointer,
            }));
        self.first.insert(
            id,
            Place {
                source: source.clone(),
                document,
            },
        );
    }

    fn report(&mut self, source: &Source, problems: Vec<Problem>) {
        let reports = problems.into_iter().map(|problem| source.report(problem));
        self.loaded.reports.extend(reports);
    }

    /// Checks the resources against each other.
    fn cross_check(&mut self) {
        let model = Model::from_resources(
            self.loaded
                .resources
                .iter()
                .map(|declared| declared.resource.clone()),
        );
        let unread = Unread {
            ids: self
                .first
                .keys()
                .filter(|id| !model.contains(id))
                .cloned()
                .collect(),
            unidentified: self.unidentified,
        };
        let mut reports = Vec::new();
        for finding in validate(&model, &unread) {
            if let Some(place) = self.first.get(&finding.id) {
                let span = place.document.locate(&finding.problem.path);
                reports.push(place.source.report(finding.problem.at(span)));
            }
        }
        for (id, place) in &self.first {
            for problem in not_served(id.kind(), &place.document) {
                reports.push(place.source.report(problem));
            }
        }
        self.loaded.reports.extend(reports);
    }

    fn finish(mut self) -> Loaded {
        self.cross_check();
        self.loaded.fingerprint = self.fingerprint.digest();
        let Loaded { reports, files, .. } = &mut self.loaded;
        let order: BTreeMap<&PathBuf, usize> = files.iter().zip(0..).collect();
        reports.sort_by_key(|report| {
            let start = report.problem.span.map(|span| span.start);
            (order.get(&report.file).copied(), start)
        });
        self.loaded
    }
}

fn twice(id: &ResourceId, first: &Place, at: Option<Span>) -> Problem {
    let file = first.source.file.display();
    let place = match first.document.pointer() {
        Some(span) => format!("{file}:{}", first.source.position(span)),
        None => file.to_string(),
    };
    Problem::error(
        crate::model::document::Path::default(),
        format!("`{id}` is declared twice; first at {place}"),
        "declared before",
        "keep one of the two, or rename one",
    )
    .at(at)
}

fn not_utf8(file: PathBuf, error: &std::string::FromUtf8Error) -> Report {
    let at = error.utf8_error().valid_up_to();
    let problem = Problem::error(
        crate::model::document::Path::default(),
        format!("the file is no UTF-8 text: byte {at} is part of no character"),
        "not UTF-8",
        "save it as UTF-8",
    );
    Source::new(file, Arc::from("")).report(problem)
}
