//! Client tokens that were used lately, persistent and ordered by age.

use std::time::Duration;

use imbl::{HashMap, OrdSet};

use super::journal::Remembered;
use super::record::Timestamp;

/// How long a token is remembered.
const REMEMBERED: Duration = Duration::from_hours(1);
/// Tokens that are remembered at most; beyond, the oldest are forgotten first. They take about 300 bytes each.
pub(super) const MOST: usize = 100_000;

#[derive(Clone, Debug, Default)]
pub(super) struct Tokens {
    by_name: HashMap<String, Remembered>,
    by_age: OrdSet<(Timestamp, String)>,
}

impl Tokens {
    pub(super) fn get(&self, token: &str, now: Timestamp) -> Option<&Remembered> {
        let remembered = self.by_name.get(token);
        remembered.filter(|one| !is_old(one.at, now))
    }

    /// The token, however old.
    pub(super) fn get_any(&self, token: &str) -> Option<&Remembered> {
        self.by_name.get(token)
    }

    pub(super) fn insert(&mut self, token: String, remembered: Remembered) {
        let at = remembered.at;
        if let Some(before) = self.by_name.insert(token.clone(), remembered) {
            self.by_age.remove(&(before.at, token.clone()));
        }
        self.by_age.insert((at, token));
    }

    /// Forgets what is too old, or too much; returns the tokens.
    pub(super) fn forget(&mut self, now: Timestamp) -> Vec<String> {
        let mut forgotten = Vec::new();
        while let Some((at, token)) = self.by_age.get_min().cloned() {
            if !is_old(at, now) && self.by_age.len() <= MOST {
                break;
            }
            self.by_name.remove(&token);
            self.by_age.remove(&(at, token.clone()));
            forgotten.push(token);
        }
        forgotten
    }
}

fn is_old(at: Timestamp, now: Timestamp) -> bool {
    at.saturating_add(REMEMBERED) <= now
}
