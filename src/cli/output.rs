//! How every command prints data, and how it fails.

use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

use comfy_table::{ContentArrangement, Table, presets};
use miette::Report;
use serde::Serialize;

/// The form in which a command prints data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
    /// For programs and people.
    Yaml,
}

/// What the exit code of a command that fails means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The command did its work and the answer is no: not found, not valid, refused.
    No = 1,
    /// The command could not do its work: wrong usage, no connection, no file.
    Unable = 2,
}

/// Why a command failed, for people, and for the shell.
#[derive(Debug)]
pub struct CliError {
    pub exit: Exit,
    pub report: Report,
}

impl CliError {
    /// The answer is no.
    pub fn no(error: impl Into<Report>) -> Self {
        Self {
            exit: Exit::No,
            report: error.into(),
        }
    }

    /// The command could not do its work.
    pub fn unable(error: impl Into<Report>) -> Self {
        Self {
            exit: Exit::Unable,
            report: error.into(),
        }
    }
}

impl CliError {
    /// The command could not do its work, as an error of the library says.
    pub fn unable_error(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self {
            exit: Exit::Unable,
            report: Report::from_err(error),
        }
    }
}

impl CliError {
    /// The error, what caused it and what to do, each on a line of its own, without colours or wrapping.
    ///
    /// Libraries like to repeat a cause in what it caused; the same words are printed once.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut last = String::new();
        for (index, error) in self.report.chain().enumerate() {
            let words = error.to_string();
            if !last.ends_with(&words) {
                text += if index == 0 {
                    "error: "
                } else {
                    "  caused by: "
                };
                text += &words;
                text.push('\n');
            }
            last = words;
        }
        if let Some(help) = self.report.help() {
            text += "  help: ";
            text += &help.to_string();
            text.push('\n');
        }
        text
    }
}

/// An error and what caused it, in one line that says nothing twice.
pub(super) fn one_line(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        if !text.ends_with(&words) {
            text += ": ";
            text += &words;
        }
        source = cause.source();
    }
    text
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.report, f)
    }
}

/// Data as JSON or YAML; `table` makes the text for people.
///
/// # Errors
/// When the data has no JSON or YAML form, as a map with keys that are no strings.
pub fn render<T: Serialize>(
    output: Output,
    data: &T,
    table: impl FnOnce(&T) -> String,
) -> Result<String, CliError> {
    let text = match output {
        Output::Table => return Ok(table(data)),
        Output::Json => serde_json::to_string_pretty(data).map_err(|error| error.to_string()),
        Output::Yaml => serde_saphyr::to_string(data).map_err(|error| error.to_string()),
    };
    let text = text.map_err(|error| CliError::unable(miette::miette!("cannot print: {error}")))?;
    Ok(format!("{}\n", text.trim_end()))
}

/// Columns under headings, two spaces apart, without lines: easy to read, and to cut with other tools.
pub fn columns<R: IntoIterator<Item = String>>(
    headings: impl IntoIterator<Item = String>,
    rows: impl IntoIterator<Item = R>,
) -> String {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(headings.into_iter().collect::<Vec<_>>());
    table.add_rows(
        rows.into_iter()
            .map(|row| row.into_iter().collect::<Vec<_>>()),
    );
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let lines: Vec<String> = table
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect();
    format!("{}\n", lines.join("\n"))
}

/// A time span for people: the two largest units, or tenths of a second.
pub fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", duration.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86400 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86400, seconds / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_nothing_twice() {
        #[derive(Debug, thiserror::Error)]
        #[error("{0}")]
        struct Link(&'static str, #[source] Option<Box<Link>>);
        let link = |words, source| Link(words, Some(Box::new(source)));
        let refused = link("tcp: refused", Link("refused", None));
        let error = link("cannot connect", link("tcp: refused", refused));
        assert_eq!(
            CliError::unable_error(error).text(),
            "error: cannot connect\n  caused by: tcp: refused\n"
        );
        let helped = miette::miette!(help = "do this", "broken");
        assert_eq!(
            CliError::no(helped).text(),
            "error: broken\n  help: do this\n"
        );
    }

    #[test]
    fn a_span_has_the_units_that_matter() {
        let spans = [0.04, 9.96, 59.0, 61.0, 7260.0, 90_000.0];
        let printed = spans.map(|seconds| span(Duration::from_secs_f64(seconds)));
        assert_eq!(
            printed,
            [
                "0.0 s",
                "10.0 s",
                "59 s",
                "1 min 1 s",
                "2 h 1 min",
                "1 d 1 h"
            ]
        );
    }

    #[test]
    fn columns_are_aligned_and_end_without_spaces() {
        let row = |cells: [&str; 2]| cells.map(str::to_owned);
        let table = columns(
            row(["NAME", "VERSION"]),
            [row(["a", "1"]), row(["longer", "2"])],
        );
        assert_eq!(table, "NAME    VERSION\na       1\nlonger  2\n");
    }

    #[test]
    fn data_prints_as_json_and_as_yaml() {
        let data = serde_json::json!({ "port": 8080, "name": "yes" });
        let print = |output| render(output, &data, |_| "table".to_owned()).unwrap();
        assert_eq!(
            print(Output::Json),
            "{\n  \"name\": \"yes\",\n  \"port\": 8080\n}\n"
        );
        assert_eq!(print(Output::Yaml), "name: \"yes\"\nport: 8080\n");
        assert_eq!(print(Output::Table), "table");
    }
}
