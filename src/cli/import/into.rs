//! Where what was read goes: mesh files, or a store.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use miette::miette;

use super::Taken;
use crate::api::auth::sigv4::encode as escaped;
use crate::cli::document::{Document, others};
use crate::cli::output::CliError;
use crate::cli::store::Empty;
use crate::cli::store::export::Metadata;
use crate::cli::store::import::{kept, made_now};
use crate::cli::validate::count;
use crate::model::document::Located;
use crate::model::problem::Severity;
use crate::model::schema;
use crate::store::journal::Batch;
use crate::store::{Revision, Timestamp};

/// Bytes of a file's name before its extension: file systems take 255 in all.
const LONGEST_STEM: usize = 200;

/// Where it goes, which nothing is in the way of.
#[derive(Debug)]
pub(super) enum Into {
    Files(PathBuf),
    Store(Box<Empty>),
}

impl Into {
    /// One of the two.
    ///
    /// # Errors
    /// When it is not empty, or cannot be made.
    pub(super) fn open(
        files: Option<PathBuf>,
        data_dir: Option<PathBuf>,
    ) -> Result<Self, CliError> {
        match (files, data_dir) {
            (_, Some(folder)) => Ok(Self::Store(Box::new(Empty::open(&folder)?))),
            (Some(folder), None) => open_folder(&folder).map(|()| Self::Files(folder)),
            (None, None) => Err(CliError::unable(miette!(
                "say where it goes: --output DIR or --data-dir DIR"
            ))),
        }
    }

    /// Writes everything, and says what there is now.
    ///
    /// # Errors
    /// When it cannot be written, or the store would not take it.
    pub(super) fn write(self, endpoint: &str, resources: &[Taken]) -> Result<String, CliError> {
        match self {
            Self::Files(folder) => write_files(&folder, endpoint, resources),
            Self::Store(store) => store.fill(batch(resources)?),
        }
    }
}

impl Taken {
    /// As a document that was read, with all its tags.
    fn located(&self) -> Located {
        let document = Document::new(&self.id, &self.held.tags, &self.held.spec);
        // Texts and numbers have a form in JSON.
        Located::from(serde_json::to_value(document).unwrap_or_default())
    }

    fn has_errors(&self) -> bool {
        let problems = schema::read(&self.located()).problems;
        let mut severities = problems.iter().map(|problem| problem.severity);
        severities.any(|severity| severity == Severity::Error)
    }

    /// What the server says, and where it says nothing, what a new resource has.
    fn metadata(&self) -> Metadata {
        let (said, new) = (&self.held.metadata, made_now());
        Metadata {
            uid: if said.uid.is_empty() {
                new.uid
            } else {
                said.uid.clone()
            },
            version: said.version.max(new.version),
            created_at: time(said.created_at).unwrap_or(new.created_at),
            updated_at: time(said.last_updated_at).unwrap_or(new.updated_at),
        }
    }
}

/// A time of the API, to the millisecond that is nearest; no resource was made at 0.
fn time(seconds: f64) -> Option<Timestamp> {
    let half = Duration::from_micros(500);
    let since = Duration::try_from_secs_f64(seconds)
        .ok()?
        .checked_add(half)?;
    let millis = u64::try_from(since.as_millis()).ok()?;
    (millis > 0).then(|| Timestamp::from_millis(millis))
}

pub(super) fn batch(resources: &[Taken]) -> Result<Batch, CliError> {
    let mut batch = Batch {
        revision: Revision::new(1),
        ..Batch::default()
    };
    for taken in resources {
        let kept = kept(&taken.located(), || taken.metadata());
        let (id, kept) = kept.map_err(|problem| {
            CliError::no(miette!(
                help = "import into files with `--output`, mend them, and go on with `outrigger store import`",
                "`{}` is nothing that a store takes: `{}`: {}",
                taken.id,
                problem.path,
                problem.what
            ))
        })?;
        batch.resources.push((id, Some(kept)));
    }
    Ok(batch)
}

fn open_folder(folder: &Path) -> Result<(), CliError> {
    let first = fs::create_dir_all(folder).and_then(|()| fs::read_dir(folder)?.next().transpose());
    match first {
        Ok(None) => Ok(()),
        Ok(Some(entry)) => Err(CliError::no(miette!(
            help = "name a folder that is empty, or not there yet",
            "`{}` is not empty: it has `{}`",
            folder.display(),
            entry.file_name().display()
        ))),
        Err(error) => Err(unwritable(folder, &error)),
    }
}

fn write_files(folder: &Path, endpoint: &str, resources: &[Taken]) -> Result<String, CliError> {
    let mut files: BTreeMap<&str, Vec<&Taken>> = BTreeMap::new();
    for taken in resources {
        let mesh = taken.id.mesh().as_str();
        files.entry(mesh).or_default().push(taken);
    }
    let mut text = String::new();
    let names = file_names(files.keys().copied());
    for ((_, resources), name) in files.into_iter().zip(names) {
        let path = folder.join(name);
        let content = content(endpoint, &resources)?;
        write_whole(&path, &content).map_err(|error| unwritable(&path, &error))?;
        let resources = count(resources.len(), "resource");
        // Writing to a string does not fail.
        let _ = writeln!(text, "`{}` has {resources}", path.display());
    }
    let broken = resources.iter().filter(|taken| taken.has_errors()).count();
    if broken > 0 {
        let _ = writeln!(
            text,
            "{broken} of them cannot be served as they are: `outrigger validate {}` says why",
            folder.display()
        );
    }
    Ok(text)
}

/// A mesh's own name where a file may have it that `--mesh` finds: short enough, and none that a file system without capitals
/// takes for another's.
fn file_names<'a>(meshes: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut taken = BTreeSet::new();
    let name_of = |mesh: &str| {
        let mut stem = escaped(mesh);
        if let Some(rest) = stem.strip_prefix('.') {
            stem = format!("%2E{rest}");
        }
        // What is escaped is ASCII.
        stem.truncate(LONGEST_STEM);
        let stems = (1..).map(|number| match number {
            1 => stem.clone(),
            number => format!("{stem}~{number}"),
        });
        let mut stems = stems.filter(|stem| taken.insert(stem.to_lowercase()));
        format!("{}.yaml", stems.next().unwrap_or_default())
    };
    meshes.map(name_of).collect()
}

pub(super) fn content(endpoint: &str, resources: &[&Taken]) -> Result<String, CliError> {
    let mut documents = Vec::new();
    for taken in resources {
        let document = Document::new(&taken.id, others(&taken.held.tags), &taken.held.spec);
        let yaml = serde_saphyr::to_string(&document).map_err(|error| {
            CliError::unable(miette!("`{}` has no form in YAML: {error}", taken.id))
        })?;
        // The last line may be one of a text, with blanks that count.
        let end = if yaml.ends_with('\n') { "" } else { "\n" };
        documents.push(yaml + end);
    }
    Ok(format!("# From {endpoint}.\n{}", documents.join("---\n")))
}

/// All of it or nothing, also where the machine ends meanwhile.
fn write_whole(path: &Path, content: &str) -> io::Result<()> {
    let partial = path.with_extension("partial");
    let mut file = File::create(&partial)?;
    file.write_all(content.as_bytes())?;
    file.sync_all()?;
    fs::rename(partial, path)
}

fn unwritable(path: &Path, error: &io::Error) -> CliError {
    CliError::unable(miette!(
        help = "name a folder where this user may write, on a disk with room",
        "cannot write `{}`: {error}",
        path.display()
    ))
}
