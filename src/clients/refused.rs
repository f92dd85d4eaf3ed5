//! Who was lately not served, and why: a sidecar with a wrong `node.id` is found without reading logs.
//!
//! **Invariant:** at most [`MOST`] are remembered, one a node, each for at most [`RECENT`]; what clients say of
//! themselves is kept in bounds and without control characters.

use std::time::Duration;

use tokio::time::Instant;

use crate::telemetry::metrics::Refusal;
use crate::transport::Peer;

/// Nodes that are remembered. Beyond it, the one that has been quiet for the longest is forgotten.
const MOST: usize = 256;
/// How long. A sidecar that is refused tries again within half a minute, so one that is quiet for an hour is gone.
const RECENT: Duration = Duration::from_hours(1);
/// Characters that are kept of a node's id: more than the longest that is valid.
const ID: usize = 600;

/// A node that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedNode {
    /// As the client says it, in its short form if it is one of the two; may be empty.
    pub node: String,
    /// Of the newest refusal, as all that follows.
    pub peer: Peer,
    pub user_agent: String,
    pub reason: Refusal,
    /// What the client was told.
    pub message: String,
    /// Refusals since the first.
    pub count: u64,
    pub first: Instant,
    pub last: Instant,
}

/// The list, oldest refusal first.
#[derive(Debug, Default)]
pub(super) struct Refused(Vec<RefusedNode>);

impl Refused {
    pub(super) fn add(&mut self, mut refused: RefusedNode) {
        refused.node = sanitized(&refused.node);
        let known = self.0.iter().position(|old| old.node == refused.node);
        if let Some(old) = known.map(|index| self.0.remove(index))
            && !is_old(&old, refused.last)
        {
            refused.count += old.count;
            refused.first = old.first;
        }
        if self.0.len() == MOST {
            self.0.remove(0);
        }
        self.0.push(refused);
    }

    pub(super) fn forget(&mut self, node: &str) {
        self.0.retain(|refused| refused.node != node);
    }

    /// Newest first.
    pub(super) fn list(&mut self, now: Instant) -> Vec<RefusedNode> {
        self.0.retain(|refused| !is_old(refused, now));
        self.0.iter().rev().cloned().collect()
    }
}

fn is_old(refused: &RefusedNode, now: Instant) -> bool {
    now.saturating_duration_since(refused.last) > RECENT
}

fn sanitized(id: &str) -> String {
    let mut kept = String::new();
    for character in id.chars().take(ID) {
        if character.is_control() {
            kept.extend(character.escape_default());
        } else {
            kept.push(character);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(node: &str, message: &str, at: Instant) -> RefusedNode {
        RefusedNode {
            node: node.to_owned(),
            peer: Peer::Unix { pid: Some(7) },
            user_agent: "envoy".to_owned(),
            reason: Refusal::UnknownNode,
            message: message.to_owned(),
            count: 1,
            first: at,
            last: at,
        }
    }

    #[test]
    fn a_node_is_there_once_with_its_newest_refusal_and_their_number() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut list = Refused::default();
        list.add(refused("a", "old", start));
        list.add(refused("b", "other", start + second));
        list.add(refused("a", "new", start + 2 * second));
        let found = list.list(start + 3 * second);
        let words: Vec<_> = (found.iter())
            .map(|it| (it.node.as_str(), it.message.as_str(), it.count))
            .collect();
        assert_eq!(words, [("a", "new", 2), ("b", "other", 1)]);
        assert_eq!(found[0].first, start);
        list.forget("a");
        assert_eq!(list.list(start + 3 * second).len(), 1);
    }

    #[test]
    fn what_is_old_is_forgotten() {
        let (start, after) = (Instant::now(), RECENT + Duration::from_secs(1));
        let mut list = Refused::default();
        list.add(refused("a", "", start));
        list.add(refused("b", "", start));
        list.add(refused("b", "", start + after));
        let found = list.list(start + after);
        assert_eq!((found.len(), found[0].count), (1, 1));
        assert_eq!(found[0].first, start + after, "counted anew");
    }

    #[test]
    fn strangers_cannot_make_it_grow() {
        let start = Instant::now();
        let mut list = Refused::default();
        for number in 0..2 * MOST {
            list.add(refused(&format!("{number}"), "", start));
        }
        assert_eq!(list.list(start).len(), MOST);
        assert_eq!(list.list(start)[0].node, format!("{}", 2 * MOST - 1));

        list.add(refused(&"\u{1b}[2J".repeat(1000), "", start));
        let node = &list.list(start)[0].node;
        assert!(
            node.len() <= 6 * ID && node.starts_with("\\u{1b}[2J"),
            "{node}"
        );
    }
}
