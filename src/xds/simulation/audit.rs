//! What a server may say, and what it must: every message has a cause, every request that is owed an answer gets one, and
//! equal content has an equal version, whichever replica sends it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::mux::Ask;
use crate::snapshot::{Kind, PerKind, Snapshot};
use crate::xds::testing::{Received, label};
use crate::xds::wire;

/// How long an answer may take.
const OWED: Duration = Duration::from_secs(3);
/// How long a rejected resource is at least left alone.
const LEFT_ALONE: Duration = Duration::from_secs(30);

/// What the client has of a name, as far as its server can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Held {
    Content(String),
    Version(String),
}

/// What is known of one type on one stream.
#[derive(Debug, Default)]
struct Book {
    is_asked: bool,
    names: BTreeSet<String>,
    /// By when the first wildcard request, or one anew, is to be answered.
    answer: Option<Duration>,
    owed: BTreeMap<String, Duration>,
    /// Names that may be sent though the client has them.
    reasons: BTreeSet<String>,
    held: BTreeMap<String, Held>,
    /// A rejection was heard, after which a whole response may be repeated.
    is_rejected: bool,
    rejected: BTreeMap<String, (String, Duration)>,
    /// What each response held.
    sent: BTreeMap<u64, Vec<(String, String)>>,
    /// The newest response that the client has said anything of.
    heard: u64,
    /// State of the world: names that stale requests have left out since the last that counts.
    left_out: BTreeSet<String>,
    newest: String,
    /// State of the world: the client came with a version, and may have anything.
    may_have: bool,
    /// State of the world: what changed since the newest response was accepted.
    unsettled: BTreeSet<String>,
    /// Delta: what the client came with.
    came_with: BTreeSet<String>,
}

#[derive(Debug, Default)]
pub(super) struct Audit {
    is_whole: bool,
    books: PerKind<Book>,
    /// Of content and what it depends on.
    versions: BTreeMap<(Kind, String, String), String>,
    pub(super) messages: usize,
    pub(super) resources: usize,
}

impl Audit {
    pub(super) fn new(is_whole: bool) -> Self {
        Self {
            is_whole,
            ..Self::default()
        }
    }

    pub(super) fn reconnect(&mut self) {
        self.books = PerKind::default();
    }

    /// Whether the type was asked for on this stream.
    pub(super) fn is_asked(&self, kind: Kind) -> bool {
        self.books[kind].is_asked
    }

    /// A request has arrived.
    pub(super) fn request(&mut self, ask: &Ask, now: Duration) {
        let Some(kind) = ask.kind else { return };
        let is_whole = self.is_whole;
        let book = &mut self.books[kind];
        let is_first = !std::mem::replace(&mut book.is_asked, true);
        let is_stale = is_whole && !is_first && ask.nonce != book.newest;
        if !ask.nonce.is_empty() && !is_first {
            self.verdict(kind, ask, now);
        }
        let book = &mut self.books[kind];
        if is_stale && !ask.nonce.is_empty() {
            let is_out = |name: &&String| !ask.names.contains(name);
            let out = book.names.iter().filter(is_out).cloned();
            book.left_out.extend(out);
            return;
        }
        if is_first && kind.is_wildcard() {
            book.answer = Some(now + OWED);
        }
        if is_whole && !is_first && ask.nonce.is_empty() {
            // It asks for all of it anew.
            book.answer = Some(now + OWED);
            book.reasons.extend(book.names.iter().cloned());
            book.reasons.extend(book.held.keys().cloned());
        }
        let mut asked: Vec<String> = ask.subscribe.clone();
        if is_whole {
            let names: BTreeSet<_> = ask.names.iter().cloned().collect();
            asked.extend(names.difference(&book.names).cloned());
            let left_out = std::mem::take(&mut book.left_out);
            asked.extend(left_out.intersection(&names).cloned());
            book.may_have |= is_first && !ask.version.is_empty();
        }
        let dropped: Vec<String> = match is_whole {
            true => {
                let kept = |name: &&String| !ask.names.contains(name);
                book.names.iter().filter(kept).cloned().collect()
            }
            false => ask.unsubscribe.clone(),
        };
        for name in dropped {
            book.names.remove(&name);
            book.owed.remove(&name);
            book.reasons.remove(&name);
            book.held.remove(&name);
        }
        for name in asked {
            if !ask.versions.contains_key(&name) {
                book.owed.insert(name.clone(), now + OWED);
                book.reasons.insert(name.clone());
            }
            book.names.insert(name);
        }
        if is_first {
            self.first(kind, ask);
        }
    }

    /// A type is asked for, by a client that may come with some of it.
    fn first(&mut self, kind: Kind, ask: &Ask) {
        let clusters_are_asked = self.books[Kind::Cluster].is_asked;
        let book = &mut self.books[kind];
        if kind == Kind::Endpoint && !clusters_are_asked {
            // One of its clusters warms, and it does not say which.
            book.reasons.extend(ask.versions.keys().cloned());
        }
        for (name, version) in &ask.versions {
            book.came_with.insert(name.clone());
            book.held
                .insert(name.clone(), Held::Version(version.clone()));
        }
    }

    fn verdict(&mut self, kind: Kind, ask: &Ask, now: Duration) {
        let covers_older = self.is_whole && kind.is_wildcard();
        let book = &mut self.books[kind];
        let Some(nonce) = wire::parse_nonce(&ask.nonce) else {
            return;
        };
        let heard = std::mem::replace(&mut book.heard, nonce);
        let Some(error) = &ask.error else {
            if book.newest == ask.nonce {
                book.unsettled.clear();
            }
            return;
        };
        book.is_rejected = true;
        // In state of the world, one verdict stands for all that came since the last.
        let is_covered = |of: u64| match self.is_whole {
            true => of <= nonce && (covers_older || of > heard),
            false => of == nonce,
        };
        let covered = book.sent.iter().filter(|(of, _)| is_covered(**of));
        let covered: Vec<_> = covered
            .flat_map(|(of, entries)| {
                let entry = |(name, text): &(String, String)| (*of, name.clone(), text.clone());
                entries.iter().map(entry)
            })
            .collect();
        let names: BTreeSet<_> = covered.iter().map(|(_, name, _)| name.clone()).collect();
        // Of what comes whole, the verdict on an older one is not the last word.
        let is_stale = covers_older && ask.nonce != book.newest;
        let rejected = covered.iter().filter(|(of, name, text)| {
            let held = book.held.get(name);
            let is_newest = held.is_none_or(|held| *held == Held::Content(text.clone()));
            is_newest && !is_stale && (!covers_older || *of == nonce)
        });
        // Of one that comes alone, no words are needed; an empty one is not a resource's content.
        let is_real = |text: &str| text.split(' ').next() != Some("");
        let real = covered.iter().filter(|(_, _, text)| is_real(text));
        let real: BTreeSet<_> = real.map(|(_, name, _)| name).collect();
        let is_alone = real.len() == 1 && !covers_older;
        for (_, name, text) in rejected {
            if blames(error, name) || is_alone && is_real(text) {
                book.rejected.insert(name.clone(), (text.clone(), now));
            }
        }
        book.reasons.extend(names.iter().cloned());
        if kind == Kind::Cluster {
            // The clusters come again, and their load assignments after them.
            let all: Vec<_> = book.held.keys().chain(&names).cloned().collect();
            book.unsettled.extend(all.iter().cloned());
            self.books[Kind::Endpoint].reasons.extend(all);
        }
    }

    /// A response is sent.
    #[expect(clippy::too_many_lines, reason = "one response, entry by entry")]
    pub(super) fn response(
        &mut self,
        response: &Received,
        now: Duration,
        snapshot: &Snapshot,
    ) -> Result<(), String> {
        self.messages += 1;
        self.resources += response.resources.len();
        let Some(kind) = response.kind() else {
            return Ok(());
        };
        let book = &mut self.books[kind];
        if !book.is_asked {
            return Err(format!("{kind} was never asked for"));
        }
        book.newest.clone_from(&response.nonce);
        let is_full = self.is_whole && kind.is_wildcard();
        let mut has_cause = book.answer.take().is_some() || !self.is_whole && !book.owed.is_empty();
        let had_reasons = !book.reasons.is_empty();
        let mut changed = BTreeSet::new();
        let mut texts = Vec::new();
        for (name, text, version) in &response.resources {
            let text = &content_of(kind, name, text, snapshot);
            if !kind.is_wildcard() && !book.names.contains(name) {
                return Err(format!("{kind}/{name} was never asked for"));
            }
            let is_new = match book.held.get(name) {
                Some(Held::Content(held)) => held != text,
                Some(Held::Version(held)) => held != version,
                None => true,
            };
            let has_reason = book.reasons.remove(name) || is_new;
            if is_new {
                changed.insert(name.clone());
            }
            if !has_reason && !is_full {
                return Err(format!("{kind}/{name}={text} is sent again"));
            }
            has_cause |= has_reason;
            if let Some((rejected, at)) = book.rejected.get(name)
                && rejected == text
                && is_new
                && now < *at + LEFT_ALONE
                && !book.owed.contains_key(name)
            {
                return Err(format!("{kind}/{name}={text} was rejected at {at:?}"));
            }
            // Other content under a name ends what is known of its rejection.
            book.rejected
                .retain(|of, (rejected, _)| of != name || rejected == text);
            book.owed.remove(name);
            texts.push((name.clone(), text.clone()));
        }
        for name in &response.removed {
            let is_asked = book.reasons.remove(name) || book.owed.contains_key(name);
            let is_there = snapshot.get(kind, name).is_some();
            let is_gone = book.held.contains_key(name) && !is_there;
            if !is_asked && !is_gone {
                return Err(format!("{kind}/{name} is removed for no reason"));
            }
            has_cause = true;
            book.owed.remove(name);
        }
        if self.is_whole {
            // Of what does not exist, and what the client rejects, it cannot be said that it does not.
            let rejected = &book.rejected;
            let answered = |name: &String| {
                snapshot.get(kind, name).is_none() && !snapshot.is_withheld(kind, name)
                    || rejected.contains_key(name)
            };
            let before = book.owed.len();
            book.owed.retain(|name, _| !answered(name));
            has_cause |= before != book.owed.len();
        }
        let is_fewer = is_full && book.held.len() > response.resources.len();
        let again = is_full && (had_reasons || std::mem::take(&mut book.is_rejected));
        if !(has_cause || is_fewer || again) {
            return Err(format!("{kind} is sent without a cause: {response:?}"));
        }
        if is_full {
            book.held.clear();
        }
        for (name, text) in &texts {
            book.held.insert(name.clone(), Held::Content(text.clone()));
        }
        for name in &response.removed {
            book.held.remove(name);
        }
        let removed = response.removed.iter();
        texts.extend(removed.map(|name| (name.clone(), String::new())));
        if let Some(nonce) = wire::parse_nonce(&response.nonce) {
            book.sent.insert(nonce, texts);
        }
        if kind == Kind::Cluster {
            self.follow(response, &changed, is_full);
        }
        self.compare_versions(kind, response, snapshot)
    }

    /// Clusters that are sent bring their load assignments; in state of the world also those of responses before that the
    /// client has not accepted.
    fn follow(&mut self, response: &Received, changed: &BTreeSet<String>, is_full: bool) {
        let clusters = &mut self.books[Kind::Cluster];
        if is_full {
            clusters.unsettled.extend(changed.iter().cloned());
        }
        let unsettled = clusters.unsettled.clone();
        let endpoints = &mut self.books[Kind::Endpoint];
        for (name, ..) in &response.resources {
            if !is_full || changed.contains(name) {
                endpoints.reasons.insert(name.clone());
            }
        }
        endpoints.reasons.extend(unsettled);
    }

    /// Equal content has an equal version, whichever replica it is from, and other content another.
    fn compare_versions(
        &mut self,
        kind: Kind,
        response: &Received,
        snapshot: &Snapshot,
    ) -> Result<(), String> {
        for (name, text, version) in &response.resources {
            let is_current = snapshot
                .get(kind, name)
                .is_some_and(|current| current.version().to_string() == *version);
            if version.is_empty() || !is_current {
                continue;
            }
            let content = content_of(kind, name, text.trim(), snapshot);
            let key = (kind, name.clone(), content);
            let known = self.versions.entry(key).or_insert_with(|| version.clone());
            if known != version {
                return Err(format!("{kind}/{name}={text} has another version"));
            }
        }
        Ok(())
    }

    /// What should have been answered.
    pub(super) fn check(&self, now: Duration, snapshot: &Snapshot) -> Result<(), String> {
        for (kind, book) in self.books.iter() {
            if book.answer.is_some_and(|due| due < now) {
                return Err(format!("{kind} is not answered"));
            }
            for (name, _) in book.owed.iter().filter(|(_, due)| **due < now) {
                let is_kept = book.may_have || book.came_with.contains(name);
                if !(is_kept && snapshot.is_withheld(kind, name)) {
                    return Err(format!("{kind}/{name} is not answered"));
                }
            }
        }
        Ok(())
    }

    /// When the next answer is late.
    pub(super) fn next_due(&self, now: Duration) -> Option<Duration> {
        let due = self.books.iter().flat_map(|(_, book)| {
            let owed = book.owed.values().copied();
            owed.chain(book.answer)
        });
        let late = due.map(|due| due + Duration::from_millis(1));
        late.filter(|late| *late > now).min()
    }
}

fn blames(error: &str, name: &str) -> bool {
    let mut words = error.split([' ', ',']);
    words.any(|word| word.trim_matches(['"', ':']) == name)
}

/// What a client is sent of a name: the load assignment of another cluster than before is news.
fn content_of(kind: Kind, name: &str, text: &str, snapshot: &Snapshot) -> String {
    let newest = snapshot.get(kind, name).map(|newest| label(newest));
    match snapshot.get(Kind::Cluster, name) {
        // An older one, sent in place of one that is withheld or was rejected, is not what will be there.
        Some(_) if kind == Kind::Endpoint && newest.is_none_or(|newest| newest != text) => {
            format!("{text} of before")
        }
        Some(cluster) if kind == Kind::Endpoint => format!("{text} of {}", label(cluster)),
        _ => text.to_owned(),
    }
}
