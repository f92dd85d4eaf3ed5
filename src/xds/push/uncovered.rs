//! The clusters whose load assignment has not been sent after them.
//!
//! A client that starts has all its clusters here at once, so they come and go in sorted rows, one walk each.

use std::sync::Arc;
use std::time::Duration;

use crate::snapshot::ResourceName;

/// Sorted by name, each with when it was sent.
#[derive(Debug, Default)]
pub(super) struct Uncovered(Vec<(ResourceName, Duration)>);

impl Uncovered {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.place(name).is_ok()
    }

    /// When the newest was sent of those that count.
    pub(super) fn newest(&self, counts: impl Fn(&str) -> bool) -> Option<Duration> {
        let counting = self.0.iter().filter(|(name, _)| counts(name));
        counting.map(|(_, since)| *since).max()
    }

    /// Adds clusters, sorted by name, that are sent now.
    pub(super) fn add<'a>(&mut self, names: impl Iterator<Item = &'a ResourceName>, now: Duration) {
        let old = self.0.len();
        self.0.extend(names.map(|name| (Arc::clone(name), now)));
        if old > 0 && self.0.len() > old {
            // Of two equal ones, the later is the newer, and comes first here.
            self.0.reverse();
            self.0.sort_by(|(a, _), (b, _)| a.cmp(b));
            self.0.dedup_by(|(later, _), (first, _)| later == first);
        }
    }

    /// Takes out those of these names, sorted, that are in.
    pub(super) fn remove_all<'a>(
        &mut self,
        names: impl ExactSizeIterator<Item = &'a ResourceName>,
    ) {
        if names.len() <= self.0.len() / 8 {
            let gone = names.filter_map(|name| self.place(name).ok());
            let mut gone = gone.collect::<Vec<_>>().into_iter().peekable();
            let mut place = 0;
            // In one go, so that what stays moves once, however many go.
            self.0.retain(|_| {
                let is_gone = gone.next_if_eq(&place).is_some();
                place += 1;
                !is_gone
            });
        } else {
            let mut names = names.peekable();
            self.0.retain(|(name, _)| {
                while names.next_if(|next| *next < name).is_some() {}
                names.peek() != Some(&name)
            });
        }
        if self.0.is_empty() {
            self.0 = Vec::new();
        }
    }

    fn place(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| (**known).cmp(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<ResourceName> {
        text.split_whitespace().map(ResourceName::from).collect()
    }

    fn print(uncovered: &Uncovered) -> String {
        let entry = |(name, since): &(ResourceName, Duration)| format!("{name}{}", since.as_secs());
        uncovered.0.iter().map(entry).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn rows_come_and_go() {
        let mut uncovered = Uncovered::default();
        uncovered.add(names("a c e").iter(), Duration::from_secs(1));
        uncovered.add(names("b c f").iter(), Duration::from_secs(2));
        assert_eq!(print(&uncovered), "a1 b2 c2 e1 f2");
        assert_eq!(uncovered.newest(|_| true), Some(Duration::from_secs(2)));
        uncovered.remove_all(names("0 b d e g").iter());
        assert_eq!(print(&uncovered), "a1 c2 f2");
        uncovered.remove_all(names("c").iter());
        assert!(uncovered.contains("a") && !uncovered.contains("c"));
        uncovered.remove_all(names("a f").iter());
        assert!(uncovered.is_empty());
    }

    #[test]
    fn a_few_of_many_are_looked_up() {
        let mut uncovered = Uncovered::default();
        let many: Vec<_> = (100..200).map(|n| n.to_string().into()).collect();
        uncovered.add(many.iter(), Duration::ZERO);
        uncovered.remove_all(names("099 100 150 151 199 999").iter());
        let left = many.iter().filter(|name| uncovered.contains(name));
        assert!(left.eq(many[1..50].iter().chain(&many[52..99])));
    }
}
