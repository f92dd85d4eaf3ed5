//! `outrigger apply`: makes the server's resources what files declare.
//!
//! Everything is checked before the first write: the files by themselves and against what the server has, who owns what is
//! there already, and what a prune would take. What fails afterwards is listed, and the same command goes on from there.

mod plan;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::io::{Write, stderr};
use std::path::{Path, PathBuf};

use miette::miette;

use super::blockers::blockers;
use super::output::{CliError, Exit};
use super::remote::Listing;
use super::report::Report;
use super::validate::{drawn, standard_input};
use super::write::{WriteArgs, write};
use crate::files::{self, LoadError, Loaded};
use crate::model::problem::Severity;
use crate::model::tags::check_value;
use crate::model::{Model, ResourceId};
use plan::{Conflict, Options, Reach, Wanted, orphans, plan};

/// The set of files that are given no other.
const DEFAULT_SET: &str = "default";
/// Of the warnings, so many are printed.
const WARNINGS: usize = 20;

/// Make the server's resources what files declare: create what is missing and update what differs, in the right order
#[derive(Debug, clap::Args)]
pub struct ApplyArgs {
    /// Mesh files and folders, taken together; `-` is standard input
    #[arg(required_unless_present = "filename", value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The same, as `kubectl` has it; may be repeated
    #[arg(long, short = 'f', value_name = "PATH")]
    filename: Vec<PathBuf>,
    /// Name of the set that these files are, which `--prune` goes by [default: default]
    #[arg(long, value_name = "NAME", value_parser = set_name)]
    set: Option<String>,
    #[command(flatten)]
    prune: Prune,
    /// Apply also what was applied as part of another set, or made by another tool, which makes it part of this set
    #[arg(long)]
    take_over: bool,
    #[command(flatten)]
    write: WriteArgs,
}

/// What is deleted.
#[derive(Clone, Copy, Debug, clap::Args)]
struct Prune {
    /// Delete what was applied as part of this set and the files no longer declare, in the meshes that they name
    #[arg(long)]
    prune: bool,
    /// With --prune and --set, delete all of the set where the files declare nothing
    #[arg(long, requires = "prune")]
    prune_all: bool,
}

/// A set's name is the value of a tag.
fn set_name(name: &str) -> Result<String, String> {
    if !(1..=256).contains(&name.chars().count()) {
        return Err("a set's name has 1 to 256 characters".to_owned());
    }
    check_value(name)?;
    Ok(name.to_owned())
}

/// Applies, and returns what to print; the answer is no if something was refused.
///
/// # Errors
/// When the files have errors, the server cannot be reached, or what is declared belongs to others.
pub async fn run(args: ApplyArgs) -> Result<(String, Option<Exit>), CliError> {
    let client = args.write.client()?;
    let piped = piped(args.paths.iter().chain(&args.filename))?;
    let listing = client.listing(None).await?;
    let loaded = load(&args, piped, &listing)?;
    check(&loaded)?;
    if args.prune.prune {
        refuse_unread(&loaded)?;
    }
    let declared = wanted(&loaded);
    if args.prune.prune && declared.is_empty() && !args.takes_all() {
        return Err(nothing_declared(args.set()));
    }
    let plan = plan(&listing, &declared, args.options(declared.is_empty()));
    refuse_conflicts(&plan.conflicts, args.set())?;
    let mut report = if args.write.dry_run {
        let mut after = listing.model();
        for wanted in declared {
            after.insert(wanted.resource);
        }
        let refused = blockers(&listing, after, &plan.steps);
        Report::planned(plan.steps, &refused)
    } else {
        Report::done(write(&client, plan.steps).await)
    };
    report.set = Some(args.set().to_owned());
    report.unchanged = plan.unchanged;
    args.write.print(&report)
}

/// What is piped in, if a path asks for it.
pub(super) fn piped<'a>(
    mut paths: impl Iterator<Item = &'a PathBuf>,
) -> Result<Option<Vec<u8>>, CliError> {
    let asked = paths.any(|path| path == Path::new("-"));
    let piped = asked.then(standard_input).transpose();
    piped.map_err(CliError::unable_error)
}

impl ApplyArgs {
    fn set(&self) -> &str {
        self.set.as_deref().unwrap_or(DEFAULT_SET)
    }

    /// Whether all of the set is to go. The default set is of all files that were given no other, so it has no "all".
    fn takes_all(&self) -> bool {
        self.prune.prune_all && self.set.is_some()
    }

    fn options(&self, declares_nothing: bool) -> Options<'_> {
        Options {
            set: self.set(),
            prune: self.reach(declares_nothing),
            take_over: self.take_over,
        }
    }

    /// Where a prune looks, if there is one.
    fn reach(&self, declares_nothing: bool) -> Option<Reach> {
        let reach = match self.set {
            None => Reach::Named,
            Some(_) if declares_nothing && self.takes_all() => Reach::Everywhere,
            Some(_) => Reach::Own,
        };
        self.prune.prune.then_some(reach)
    }
}

/// Reads the files as a part of what the server will have besides them.
fn load(args: &ApplyArgs, piped: Option<Vec<u8>>, listing: &Listing) -> Result<Loaded, CliError> {
    let beside = |declared: &BTreeSet<ResourceId>| -> Model {
        let mut model = listing.model();
        if let Some(reach) = args.reach(declared.is_empty()) {
            for id in orphans(listing, declared, args.set(), reach) {
                model.remove(&id);
            }
        }
        model
    };
    let paths = [args.paths.as_slice(), &args.filename].concat();
    match files::load_beside(&paths, piped, &beside) {
        Ok(loaded) => Ok(loaded),
        Err(LoadError::Empty { .. }) if args.takes_all() && paths.len() == 1 => {
            Ok(Loaded::default())
        }
        Err(LoadError::Empty { .. }) if args.prune.prune => Err(nothing_declared(args.set())),
        Err(error) => Err(CliError::unable_error(error)),
    }
}

/// What could not be read may declare what a prune would delete.
fn refuse_unread(loaded: &Loaded) -> Result<(), CliError> {
    if loaded.unread.is_empty() {
        return Ok(());
    }
    let paths = loaded.unread.iter().map(|path| path.display().to_string());
    let paths: Vec<String> = paths.collect();
    Err(CliError::no(miette!(
        help = "mend or remove it, or apply without --prune; nothing was written",
        "not everything could be read, so --prune might delete what is declared:\n  {}",
        paths.join("\n  ")
    )))
}

fn nothing_declared(set: &str) -> CliError {
    CliError::no(miette!(
        help =
            "is it the right folder? pass --prune-all, and the set as --set, if all of it is to go",
        "the files declare nothing, so --prune would delete everything of set `{set}`"
    ))
}

/// Prints what is wrong with the files.
pub(super) fn print_reports(loaded: &Loaded) {
    let (errors, warnings): (Vec<_>, Vec<_>) = loaded
        .reports
        .iter()
        .partition(|report| report.severity() == Severity::Error);
    let mut lines: Vec<String> = errors
        .iter()
        .map(|report| drawn(report, &stderr()))
        .collect();
    let shown = warnings.iter().take(WARNINGS);
    lines.extend(shown.map(|warning| format!("warning: {}", warning.line())));
    if warnings.len() > WARNINGS {
        let more = warnings.len() - WARNINGS;
        lines.push(format!(
            "and {more} more warnings; `outrigger validate` prints all"
        ));
    }
    lines.push(String::new());
    // A closed standard error is no reason to stop.
    drop(stderr().write_all(lines.join("\n").as_bytes()));
}

/// Prints what is wrong with the files, and ends if there are errors.
fn check(loaded: &Loaded) -> Result<(), CliError> {
    print_reports(loaded);
    match loaded.model() {
        Ok(_) => Ok(()),
        Err(invalid) => Err(CliError::no(miette!(
            help = "nothing was written",
            "{invalid}"
        ))),
    }
}

fn wanted(loaded: &Loaded) -> Vec<Wanted> {
    let declared = loaded.resources.iter();
    let wanted =
        declared.map(|declared| Wanted::new(declared.resource.clone(), declared.tags.clone()));
    wanted.collect()
}

fn refuse_conflicts(conflicts: &[Conflict], set: &str) -> Result<(), CliError> {
    if conflicts.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = conflicts.iter().map(ToString::to_string).collect();
    // Each kind's help once, in the order of the kinds.
    let helps: BTreeSet<(u8, String)> = conflicts
        .iter()
        .map(|conflict| help(conflict, set))
        .collect();
    let help: Vec<String> = helps.into_iter().map(|(_, help)| help).collect();
    Err(CliError::no(miette!(
        help = help.join("; "),
        "nothing was written, because of:\n  {}",
        lines.join("\n  ")
    )))
}

fn help(conflict: &Conflict, set: &str) -> (u8, String) {
    match conflict {
        Conflict::OwnedByFile { .. } => (
            0,
            "change what belongs to a file of the server there, or take it out of there first"
                .to_owned(),
        ),
        Conflict::OfAnotherSet { .. } => (
            1,
            format!("pass --set with the set's name, or --take-over to make it part of `{set}`"),
        ),
        Conflict::OfNoSet { .. } => (
            2,
            format!(
                "leave to another tool what it made, or pass --take-over to make it part of `{set}`"
            ),
        ),
        Conflict::TooManyTags { .. } => (3, "remove tags from the file or the resource".to_owned()),
    }
}
