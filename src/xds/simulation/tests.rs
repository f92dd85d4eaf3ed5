//! The laws, over many random schedules.

use std::collections::BTreeMap;
use std::time::Instant;

use super::schedule::Schedule;
use super::{check, trace};
use crate::xds::{DeltaStream, SotwStream};

const SCHEDULES: u64 = 10_000;
const THREADS: u64 = 2;

/// How many failures are enough to tell what is wrong.
const FAILURES: usize = 50;

/// What was wrong, without the names and times of one schedule.
fn law(why: &str) -> String {
    why.chars().filter(|char| !char.is_ascii_digit()).collect()
}

/// The seeds of schedules that fail.
fn failures(seeds: impl Iterator<Item = u64>) -> Vec<(String, u64)> {
    let failures = seeds.filter_map(|seed| {
        let why = check(&Schedule::random(seed)).err()?;
        Some((law(&why), seed))
    });
    failures.take(FAILURES).collect()
}

/// Says what a failing schedule does, once nothing can be left out of it.
fn report(seed: u64) -> String {
    let schedule = Schedule::random(seed);
    let broken = law(&check(&schedule).unwrap_err());
    let shrunk = schedule.shrunk(|smaller| check(smaller).is_err_and(|why| law(&why) == broken));
    let why = check(&shrunk).unwrap_err();
    let happened = if why.starts_with("delta") {
        trace::<DeltaStream>(&shrunk)
    } else {
        trace::<SotwStream>(&shrunk)
    };
    format!("seed {seed}: {why}\n{:?}\n{happened}\n", shrunk.steps)
}

#[test]
fn every_schedule_keeps_the_laws() {
    let started = Instant::now();
    let failures: Vec<_> = std::thread::scope(|scope| {
        let run = |thread: u64| {
            move || failures((0..SCHEDULES).filter(move |seed| seed % THREADS == thread))
        };
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| scope.spawn(run(thread)))
            .collect();
        let failures = threads.into_iter().map(|thread| thread.join().unwrap());
        failures.flatten().collect()
    });
    let mut laws: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for (law, seed) in &failures {
        laws.entry(law).or_default().push(*seed);
    }
    let reports: String = laws.values().map(|seeds| report(seeds[0])).collect();
    assert!(laws.is_empty(), "{laws:#?}\n{reports}");
    println!("{SCHEDULES} schedules in {:?}", started.elapsed());
}
