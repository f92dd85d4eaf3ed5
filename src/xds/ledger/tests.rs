//! The search for what a client rejects without naming it is short, delivers the rest, and is not held up.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Batch, Ledger};
use crate::snapshot::{Kind, Version};
use crate::xds::testing::{Client, Received};
use crate::xds::{DeltaStream, SotwStream};

/// How many responses it may take until all that is good has arrived: one is sent, and each bad one splits what it is in
/// into two halves, which are both sent, until it is alone.
fn bound(changed: usize, bad: usize) -> usize {
    2 * bad * changed.next_power_of_two().trailing_zeros() as usize + 2
}

/// A client that rejects a response with anything bad in it, and says nothing of what it is.
#[derive(Default)]
struct Strict {
    has: BTreeMap<String, String>,
    responses: usize,
}

impl Strict {
    /// Whether the response is accepted.
    fn take(&mut self, response: &Received, whole: bool) -> bool {
        self.responses += 1;
        let is_good = !response.resources.iter().any(|(_, text, _)| text == "bad");
        if is_good {
            if whole {
                self.has.clear();
            }
            let added = response.resources.iter();
            self.has
                .extend(added.map(|(name, text, _)| (name.clone(), text.clone())));
            for name in &response.removed {
                self.has.remove(name);
            }
        }
        is_good
    }
}

const MESSAGE: &str = "Invalid duration: Expected positive duration";

/// `0..count`, all of the text `of`, but for the bad ones.
fn clusters(count: usize, of: &str, bad: &BTreeSet<usize>) -> String {
    let mut text = "cds".to_owned();
    for index in 0..count {
        let content = if bad.contains(&index) { "bad" } else { of };
        text.extend([" c", &index.to_string(), "=", content]);
    }
    text
}

/// Some of `0..count`, spread by a seed.
fn some(count: usize, bad: usize, seed: usize) -> BTreeSet<usize> {
    (0..bad)
        .map(|index| (seed + index * (seed + 3)) % count)
        .collect()
}

fn check(strict: &Strict, count: usize, bad: &BTreeSet<usize>, old: &str, quarantined: usize) {
    for index in 0..count {
        let has = strict.has.get(&format!("c{index}")).map(String::as_str);
        let expected = if bad.contains(&index) { old } else { "2" };
        assert_eq!(has, Some(expected), "c{index} of {count} with {bad:?}");
    }
    assert_eq!(quarantined, bad.len(), "{count} with {bad:?}");
    let bound = bound(count, bad.len());
    assert!(
        strict.responses <= bound,
        "{} responses, not {bound}, for {count} with {bad:?}",
        strict.responses
    );
}

fn cases() -> impl Iterator<Item = (usize, BTreeSet<usize>)> {
    let all = (1..=33).flat_map(|count| (1..=5).map(move |bad| (count, bad)));
    all.flat_map(|(count, bad)| (0..4).map(move |seed| (count, some(count, bad, seed))))
}

#[test]
fn delta_finds_what_is_bad_in_few_responses() {
    for (count, bad) in cases() {
        let mut client = Client::<DeltaStream>::new(&clusters(count, "1", &BTreeSet::new()));
        client.ask("cds", "");
        client.ack("cds");
        let mut strict = Strict::default();
        strict.take(&client.newest[Kind::Cluster].clone(), false);
        strict.responses = 0;
        let mut sent = client.publish(&clusters(count, "2", &bad));
        while !sent.is_empty() {
            sent = match strict.take(&client.newest[Kind::Cluster].clone(), false) {
                true => client.ack("cds"),
                false => client.nack("cds", MESSAGE),
            };
        }
        let found = client.stream.status().kinds[Kind::Cluster].rejections.len();
        check(&strict, count, &bad, "1", found);
    }
}

#[test]
fn state_of_the_world_finds_what_is_bad_in_few_responses() {
    for (count, bad) in cases() {
        let mut client = Client::<SotwStream>::new(&clusters(count, "1", &BTreeSet::new()));
        client.ask("cds", "");
        client.ack("cds");
        let mut strict = Strict::default();
        strict.take(&client.newest[Kind::Cluster].clone(), true);
        strict.responses = 0;
        let mut sent = client.publish(&clusters(count, "2", &bad));
        while !sent.is_empty() {
            sent = match strict.take(&client.newest[Kind::Cluster].clone(), true) {
                true => client.ack("cds"),
                false => client.nack("cds", MESSAGE),
            };
            assert_eq!(strict.has.len(), count, "none is ever taken away");
        }
        let found = client.stream.status().kinds[Kind::Cluster].rejections.len();
        check(&strict, count, &bad, "1", found);
    }
}

/// Changes that come while the search goes on neither wait for it nor hold it up.
#[test]
fn the_search_goes_on_while_others_change() {
    let (count, bad) = (16, BTreeSet::from([5]));
    let text = |round: usize| clusters(count, "2", &bad) + &format!(" x={round}");
    let mut client = Client::<DeltaStream>::new(&clusters(count, "1", &BTreeSet::new()));
    client.ask("cds", "");
    client.ack("cds");
    let mut strict = Strict::default();
    client.publish(&text(0));
    let mut verdicts: std::collections::VecDeque<_> = client.received.drain(1..).collect();
    let mut rounds = 0;
    while client.stream.status().kinds[Kind::Cluster]
        .rejections
        .iter()
        .all(|rejection| rejection.resource.is_none())
    {
        rounds += 1;
        assert!(rounds <= bound(count, 1), "it is held up: {rounds}");
        // The next change is sent before the verdict on the one before comes, so that something is always under way.
        let before = client.received.len();
        client.publish(&text(rounds));
        verdicts.extend(client.received[before..].iter().cloned());
        let (before, response) = (client.received.len(), verdicts.pop_front().unwrap());
        client.newest[Kind::Cluster] = response.clone();
        match strict.take(&response, false) {
            true => client.ack("cds"),
            false => client.nack("cds", MESSAGE),
        };
        verdicts.extend(client.received[before..].iter().cloned());
        while verdicts.len() > 1 {
            let (before, response) = (client.received.len(), verdicts.pop_front().unwrap());
            client.newest[Kind::Cluster] = response.clone();
            match strict.take(&response, false) {
                true => client.ack("cds"),
                false => client.nack("cds", MESSAGE),
            };
            verdicts.extend(client.received[before..].iter().cloned());
        }
    }
    assert_eq!(strict.has["c4"], "2");
}

#[test]
fn a_nack_says_which_older_response_was_accepted() {
    let version = |of: u64| Some(Version::from_hash(of));
    let mut ledger = Ledger::default();
    for (nonce, of) in [(1, 1), (2, 2), (3, 2), (4, 4)] {
        let version = Version::from_hash(of);
        ledger.sending(nonce, version, Batch::default(), Duration::ZERO);
    }
    ledger.named = version(2);
    assert_eq!(ledger.accepted_before(Some(4), None), Some(2));
    // It may be that of the response before, said again.
    assert_eq!(ledger.accepted_before(Some(4), version(2)), None);
    // What is named came later, or never.
    assert_eq!(ledger.accepted_before(Some(2), None), None);
    ledger.named = version(9);
    assert_eq!(ledger.accepted_before(Some(4), None), None);
    ledger.named = None;
    assert_eq!(ledger.accepted_before(Some(4), version(2)), None);
}
