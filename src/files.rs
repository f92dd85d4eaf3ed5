//! Mesh files: YAML or JSON, read with positions, checked, watched.
//!
//! A file that does not hold is reported whole: every problem, with its place. What is read is either a model without
//! errors or nothing; keeping the last good model is the caller's part.

mod described;
mod find;
mod json;
mod load;
mod parse;
mod read;
mod report;
#[cfg(test)]
mod tests;
mod watch;

pub use load::{Declared, Invalid, LoadError, Loaded, check_paths, load, load_beside, load_with};
pub use parse::parse;
pub use report::{Position, Report};
pub use watch::{MeshFiles, Outcome};
