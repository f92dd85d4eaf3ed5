//! `outrigger validate`.

use std::io::{IsTerminal, Read, stdin, stdout};
use std::path::{Path, PathBuf};

use miette::{GraphicalReportHandler, GraphicalTheme};
use serde::Serialize;

use super::output::{CliError, Exit, Output, render};
use crate::files::{self, Loaded, Report};
use crate::model::problem::Severity;

/// Columns of a report where there is no terminal to ask.
const PIPED_WIDTH: usize = 120;

/// Check mesh files: every problem at once, each with file, line and a way to fix it
#[derive(Debug, clap::Args)]
pub struct ValidateArgs {
    /// Mesh files and folders, taken together; `-` is standard input
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// How to print what is found
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// What `--output json` and `yaml` print.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Verdict<'a> {
    files: usize,
    resources: usize,
    errors: usize,
    warnings: usize,
    problems: Vec<Found<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Found<'a> {
    severity: &'static str,
    file: String,
    line: Option<usize>,
    column: Option<usize>,
    /// The member that is wrong, such as `spec.listeners[0].portMapping.port`.
    path: String,
    what: &'a str,
    help: &'a str,
}

/// The problems and the verdict, and whether there was an error among them.
pub fn run(args: &ValidateArgs) -> Result<(String, Option<Exit>), CliError> {
    let piped = args.paths.iter().any(|path| path == Path::new("-"));
    let piped = piped
        .then(standard_input)
        .transpose()
        .map_err(CliError::unable_error)?;
    let loaded = files::load_with(&args.paths, piped).map_err(CliError::unable_error)?;
    let errors = loaded.errors();
    let verdict = Verdict {
        files: loaded.files.len(),
        resources: loaded.resources.len(),
        errors,
        warnings: loaded.reports.len() - errors,
        problems: loaded.reports.iter().map(found).collect(),
    };
    let text = render(args.output, &verdict, |verdict| {
        for_people(&loaded, verdict)
    })?;
    Ok((text, (errors > 0).then_some(Exit::No)))
}

pub(super) fn standard_input() -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    stdin().read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn found(report: &Report) -> Found<'_> {
    let position = report.position();
    Found {
        severity: severity(report.severity()),
        file: report.file.display().to_string(),
        line: position.map(|position| position.line),
        column: position.map(|position| position.column),
        path: report.problem.path.to_string(),
        what: &report.problem.what,
        help: &report.problem.help,
    }
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

/// The report with its place drawn: in colour on a terminal that has any, plain in a pipe or a file.
pub(super) fn drawn(report: &Report, on: &impl IsTerminal) -> String {
    if on.is_terminal() {
        return format!("{:?}", miette::Report::new(report.clone()));
    }
    let plain = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor());
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = plain
        .with_width(PIPED_WIDTH)
        .render_report(&mut text, report);
    text
}

fn for_people(loaded: &Loaded, verdict: &Verdict<'_>) -> String {
    let mut lines: Vec<String> = loaded
        .reports
        .iter()
        .map(|report| drawn(report, &stdout()))
        .collect();
    lines.push(format!(
        "{} in {}: {}, {}\n",
        count(verdict.resources, "valid resource"),
        count(verdict.files, "file"),
        count(verdict.errors, "error"),
        count(verdict.warnings, "warning"),
    ));
    lines.join("\n")
}

pub(super) fn count(count: usize, what: &str) -> String {
    if count == 1 {
        format!("1 {what}")
    } else {
        format!("{count} {what}s")
    }
}
