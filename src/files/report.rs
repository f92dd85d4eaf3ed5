//! A problem together with the file it is in: as one line for logs, and as a `miette` report for the terminal.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use miette::{Diagnostic, LabeledSpan, NamedSource, SourceSpan};

use crate::model::document::Span;
use crate::model::problem::{Problem, Severity};

/// A problem in a file.
#[derive(Clone, Debug)]
pub struct Report {
    pub file: PathBuf,
    pub problem: Problem,
    /// The file's text, shared by its reports.
    source: Arc<NamedSource<Arc<str>>>,
}

/// A place in a file: both counted from 1, the column in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub line: usize,
    pub column: usize,
}

/// A file's path and text.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) file: PathBuf,
    text: Arc<NamedSource<Arc<str>>>,
}

impl Source {
    pub(super) fn new(file: PathBuf, text: Arc<str>) -> Self {
        let name = file.display().to_string();
        Self {
            file,
            text: Arc::new(NamedSource::new(name, text).with_language("yaml")),
        }
    }

    pub(super) fn position(&self, span: Span) -> Position {
        Position::of(self.text.inner(), span.start)
    }

    pub(super) fn report(&self, problem: Problem) -> Report {
        Report {
            file: self.file.clone(),
            problem,
            source: Arc::clone(&self.text),
        }
    }
}

impl Report {
    pub fn severity(&self) -> Severity {
        self.problem.severity
    }

    /// Where the problem is in its file, if it is at a place.
    pub fn position(&self) -> Option<Position> {
        let start = self.problem.span?.start;
        Some(Position::of(self.source.inner(), start))
    }
}

impl Position {
    /// The position of a byte of a text.
    pub fn of(text: &str, byte: usize) -> Self {
        let before = text.get(..byte).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let begin = before.rfind('\n').map_or(0, |at| at + 1);
        let column = before.get(begin..).unwrap_or_default().chars().count() + 1;
        Self { line, column }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// The problem's own text, without its place: what `miette` prints as headline.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem.what)
    }
}

impl Report {
    /// `file:line:column: what; help`, in one line.
    pub fn line(&self) -> String {
        let file = self.file.display();
        let Problem {
            what, help, path, ..
        } = &self.problem;
        let path = path.to_string();
        let within = if path.is_empty() {
            String::new()
        } else {
            format!("{path}: ")
        };
        match self.position() {
            Some(position) => format!("{file}:{position}: {within}{what}; {help}"),
            None => format!("{file}: {within}{what}; {help}"),
        }
    }
}

impl std::error::Error for Report {}

impl Diagnostic for Report {
    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.problem.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(&self.problem.help))
    }

    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        self.problem
            .span
            .map(|_| &*self.source as &dyn miette::SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let span = self.problem.span?;
        let label = LabeledSpan::new_with_span(
            Some(self.problem.label.clone()),
            SourceSpan::new(span.start.into(), span.len),
        );
        Some(Box::new(std::iter::once(label)))
    }
}
