//! A problem together with the file it is in: as one line for logs, and as a `miette` report for the terminal.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use miette::{Diagnostic, LabeledSpan, NamedSource, SourceSpan};

use crate::model::document::Span;
use crate::model::problem::{Problem, Severity};

/// A problem in a file.
#[derive(Clone, Debug)]
pub struct Report {
    pub file: PathBuf,
    pub problem: Problem,
    source: Source,
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
    /// Where its lines begin; a large file may have a problem in each.
    lines: Arc<OnceLock<Vec<usize>>>,
}

impl Source {
    pub(super) fn new(file: PathBuf, text: Arc<str>) -> Self {
        let name = file.display().to_string();
        Self {
            file,
            text: Arc::new(NamedSource::new(name, text).with_language("yaml")),
            lines: Arc::default(),
        }
    }

    pub(super) fn text(&self) -> &str {
        self.text.inner()
    }

    /// The position of a span's first byte.
    pub(super) fn position(&self, span: Span) -> Position {
        let text = self.text();
        let lines = self.lines.get_or_init(|| {
            let ends = text.match_indices('\n').map(|(at, _)| at + 1);
            std::iter::once(0).chain(ends).collect()
        });
        let line = lines.partition_point(|begin| *begin <= span.start);
        let begin = lines.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let before = text.get(begin..span.start).unwrap_or_default();
        Position {
            line,
            column: before.chars().count() + 1,
        }
    }

    pub(super) fn report(&self, problem: Problem) -> Report {
        Report {
            file: self.file.clone(),
            problem,
            source: self.clone(),
        }
    }
}

impl Report {
    pub fn severity(&self) -> Severity {
        self.problem.severity
    }

    /// Where the problem is in its file, if it is at a place.
    pub fn position(&self) -> Option<Position> {
        Some(self.source.position(self.problem.span?))
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
            .map(|_| &*self.source.text as &dyn miette::SourceCode)
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
