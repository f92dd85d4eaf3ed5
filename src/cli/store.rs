//! `outrigger store check|compact|export|import`: the file in which `serve` keeps what the API was told.
//!
//! Each takes the data folder for itself, so that none runs while a control plane has it.

pub(super) mod export;
pub(super) mod import;
#[cfg(test)]
mod tests;

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use miette::miette;
use serde::Serialize;

use super::output::{CliError, Output, render};
use crate::data_dir::DataDir;
use crate::model::Model;
use crate::model::Resource;
use crate::model::problem::Severity;
use crate::model::validate::{Unread, validate};
use crate::store::journal::{Batch, Journal, Kept, LoadError, Loaded, Redb};
use crate::store::{Revision, STORE_FILE};

/// Check, compact, export and import what the API was told; the control plane must not run meanwhile
#[derive(Clone, Debug, clap::Args)]
pub struct StoreArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    Check(CheckArgs),
    Compact(CompactArgs),
    Export(ExportArgs),
    Import(ImportArgs),
}

#[derive(Clone, Debug, clap::Args)]
struct Folder {
    /// The data folder of the control plane
    #[arg(long, value_name = "DIR", env = "OUTRIGGER_DATA_DIR")]
    data_dir: PathBuf,
}

/// Read all of the store and say whether it is whole
#[derive(Clone, Debug, clap::Args)]
struct CheckArgs {
    #[command(flatten)]
    folder: Folder,
    /// How to print what is found
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// Give back the room that the store's file has and does not need
#[derive(Clone, Debug, clap::Args)]
struct CompactArgs {
    #[command(flatten)]
    folder: Folder,
}

/// Print all that the store holds as mesh files, which `--mesh`, `apply` and `store import` read
#[derive(Clone, Debug, clap::Args)]
struct ExportArgs {
    #[command(flatten)]
    folder: Folder,
    /// Write to this new file instead of standard output
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

/// Fill an empty store from an export, or from any mesh file
#[derive(Clone, Debug, clap::Args)]
struct ImportArgs {
    #[command(flatten)]
    folder: Folder,
    /// The export; `-` is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// What `check` found.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Checked {
    file: String,
    bytes: u64,
    revision: u64,
    resources: usize,
    /// Resources of mesh files of which uid and version are kept.
    declared_in_files: usize,
    /// What serving would report of the resources, taken by themselves.
    errors: usize,
    warnings: usize,
}

/// Runs the subcommand, and returns what to print.
pub fn run(args: StoreArgs) -> Result<String, CliError> {
    match args.command {
        Command::Check(args) => check(&args),
        Command::Compact(args) => compact(&args.folder),
        Command::Export(args) => export(&args),
        Command::Import(args) => import(&args),
    }
}

fn check(args: &CheckArgs) -> Result<String, CliError> {
    let (_lock, file) = args.folder.take()?;
    let loaded = load(&file)?;
    let resources = loaded.resources.iter();
    let model = Model::from_resources(resources.map(|(id, Kept { spec, .. })| Resource {
        id: id.clone(),
        spec: spec.clone(),
    }));
    let findings = validate(&model, &Unread::default());
    let errors = findings
        .iter()
        .filter(|finding| finding.problem.severity == Severity::Error)
        .count();
    let checked = Checked {
        bytes: fs::metadata(&file).map_or(0, |file| file.len()),
        file: file.display().to_string(),
        revision: loaded.revision.as_u64(),
        resources: loaded.resources.len(),
        declared_in_files: loaded.files.len(),
        errors,
        warnings: findings.len() - errors,
    };
    render(args.output, &checked, |checked| {
        format!(
            "`{}` is whole: {} resources at revision {}, {} declared in files, {} bytes\n",
            checked.file,
            checked.resources,
            checked.revision,
            checked.declared_in_files,
            checked.bytes
        )
    })
}

fn compact(folder: &Folder) -> Result<String, CliError> {
    let (_lock, file) = folder.take()?;
    let (before, after) = Redb::new(&file).compact().map_err(damaged)?;
    Ok(format!(
        "`{}` had {before} bytes and has {after}\n",
        file.display()
    ))
}

fn export(args: &ExportArgs) -> Result<String, CliError> {
    let (_lock, file) = args.folder.take()?;
    let text = export::print(&load(&file)?);
    let Some(to) = &args.file else {
        return Ok(text);
    };
    let written = fs::File::create_new(to).and_then(|mut new| {
        std::io::Write::write_all(&mut new, text.as_bytes())?;
        new.sync_all()
    });
    written.map_err(|error| {
        CliError::unable(miette!(
            help = "name a file that does not exist, in a folder where this user may write",
            "cannot write `{}`: {error}",
            to.display()
        ))
    })?;
    Ok(String::new())
}

fn import(args: &ImportArgs) -> Result<String, CliError> {
    let text = read(&args.file).map_err(|error| {
        CliError::unable(miette!(
            help = "name an export, or `-` for standard input",
            "cannot read `{}`: {error}",
            args.file.display()
        ))
    })?;
    let batch = import::read(&text).map_err(CliError::no)?;
    Empty::open(&args.folder.data_dir)?.fill(batch)
}

/// A store without resources, in a folder that is nobody else's.
#[derive(Debug)]
pub(super) struct Empty {
    file: PathBuf,
    journal: Redb,
    revision: Revision,
    _lock: DataDir,
}

impl Empty {
    /// Takes the folder, which is made if it is not there.
    ///
    /// # Errors
    /// When another process has it, or there is something in its store.
    pub(super) fn open(folder: &Path) -> Result<Self, CliError> {
        let lock = DataDir::open(folder).map_err(CliError::unable_error)?;
        let file = lock.file(STORE_FILE);
        let mut journal = Redb::new(&file);
        let loaded = journal.load().map_err(damaged)?;
        if !loaded.resources.is_empty() || !loaded.files.is_empty() {
            return Err(CliError::no(miette!(
                help = "name an empty folder, or stop here and move the `mesh.*` files of this one away first",
                "`{}` is not empty: it has {} resources, and {} that are declared in files",
                file.display(),
                loaded.resources.len(),
                loaded.files.len()
            )));
        }
        Ok(Self {
            file,
            journal,
            revision: loaded.revision,
            _lock: lock,
        })
    }

    /// Fills it, and says what is in it now.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn fill(mut self, mut batch: Batch) -> Result<String, CliError> {
        // What was emptied has had contents of its own: no two ever have the same revision.
        batch.revision = batch.revision.max(self.revision.next());
        self.journal
            .commit(&batch)
            .map_err(CliError::unable_error)?;
        Ok(format!(
            "`{}` has {} resources at revision {}\n",
            self.file.display(),
            batch.resources.len(),
            batch.revision
        ))
    }
}

impl Folder {
    /// The folder's lock and the store in it, which must be there.
    fn take(&self) -> Result<(DataDir, PathBuf), CliError> {
        let absent = || {
            CliError::unable(miette!(
                help = "name the folder that `serve` has as --data-dir",
                "there is no store in `{}`",
                self.data_dir.display()
            ))
        };
        if !self.data_dir.is_dir() {
            return Err(absent());
        }
        let lock = DataDir::open(&self.data_dir).map_err(CliError::unable_error)?;
        let file = lock.file(STORE_FILE);
        if !file.exists() {
            return Err(absent());
        }
        Ok((lock, file))
    }
}

fn load(file: &Path) -> Result<Loaded, CliError> {
    Redb::new(file).look().map_err(damaged)
}

/// A store that cannot be used is an answer.
fn damaged(error: LoadError) -> CliError {
    CliError::no(miette::Report::from_err(error))
}

fn read(path: &Path) -> std::io::Result<String> {
    if path != Path::new("-") {
        return fs::read_to_string(path);
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    Ok(text)
}
