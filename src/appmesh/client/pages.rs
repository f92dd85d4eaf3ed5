//! The pages of one list.

use std::collections::BTreeSet;

use super::answer::Answer;
use super::error::TargetError;

/// Pages of one list at most: at App Mesh's size of a page, a million resources.
const MOST: usize = 10_000;

/// The tokens of a list so far. One that comes again leads round in circles, and a list with ever new ones has no end.
#[derive(Debug, Default)]
pub(super) struct Pages(BTreeSet<String>);

impl Pages {
    /// The token of the page after this one, if there is one.
    pub(super) fn next(&mut self, page: &Answer) -> Result<Option<String>, TargetError> {
        let Some(token) = page.next_token() else {
            return Ok(None);
        };
        if self.0.len() == MOST || !self.0.insert(token.to_owned()) {
            return Err(page.nonsense());
        }
        Ok(Some(token.to_owned()))
    }

    pub(super) fn is_first(&self) -> bool {
        self.0.is_empty()
    }
}
