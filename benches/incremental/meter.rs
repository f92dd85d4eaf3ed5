//! Measures pieces of work: by the clock and the allocator, or, in a process that callgrind runs, by instructions.
//!
//! Both processes do the same work in the same order, so that their figures are joined by place.

use std::hint::black_box;
use std::time::{Duration, Instant};

use allocation_counter::measure;

/// At most this many repetitions, and no more once this time is over.
const REPETITIONS: usize = 200;
const TIME: Duration = Duration::from_millis(500);
/// Of work that builds everything.
const BUILDS: usize = 3;

/// The function in which callgrind counts, by the name that callgrind gives it.
pub(crate) const COUNTED: &str = "incremental::meter::counted_by_callgrind";

/// What one piece of work costs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// Median.
    pub(crate) time: Duration,
    pub(crate) allocations: u64,
}

/// One row's name, and its cost if that is measured here.
pub(crate) type Measured = (String, Option<Cost>);

pub(crate) struct Meter {
    is_counting: bool,
    pub(crate) rows: Vec<Measured>,
}

impl Meter {
    /// With `is_counting` this is the process that callgrind runs: each piece of work is done once, and not timed.
    pub(crate) fn new(is_counting: bool) -> Self {
        Self {
            is_counting,
            rows: Vec::new(),
        }
    }

    /// Measures work that starts from nothing, and returns the last one's outcome.
    pub(crate) fn build<In: Clone, Out>(
        &mut self,
        name: &str,
        input: &In,
        work: impl Fn(In) -> Out,
    ) -> Out {
        if self.is_counting {
            self.rows.push((name.to_owned(), None));
            return count(input.clone(), &work);
        }
        let mut times = Vec::new();
        loop {
            let (outcome, cost) = sample(input.clone(), &work);
            times.push(cost.time);
            if times.len() == BUILDS {
                self.push(name, &mut times, cost.allocations);
                return outcome;
            }
        }
    }

    /// Measures a change and its undoing, over and over. `prepare` is not measured, nor is dropping what `work` returns.
    pub(crate) fn change<S, In, Out>(
        &mut self,
        names: [&str; 2],
        state: &mut S,
        mut prepare: impl FnMut(&mut S, bool) -> In,
        mut work: impl FnMut(&mut S, In) -> Out,
    ) {
        let directions = [true, false];
        if self.is_counting {
            for (name, forth) in names.into_iter().zip(directions) {
                let input = prepare(state, forth);
                count(input, |input| work(state, input));
                self.rows.push((name.to_owned(), None));
            }
            return;
        }
        let mut times = [Vec::new(), Vec::new()];
        let mut allocations = [0, 0];
        let began = Instant::now();
        while times[0].len() < REPETITIONS && began.elapsed() < TIME {
            for (place, forth) in directions.into_iter().enumerate() {
                let input = prepare(state, forth);
                let (_, cost) = sample(input, |input| work(state, input));
                times[place].push(cost.time);
                allocations[place] = cost.allocations;
            }
        }
        for (place, name) in names.into_iter().enumerate() {
            self.push(name, &mut times[place], allocations[place]);
        }
    }

    fn push(&mut self, name: &str, times: &mut [Duration], allocations: u64) {
        times.sort_unstable();
        let cost = Cost {
            time: times[times.len() / 2],
            allocations,
        };
        self.rows.push((name.to_owned(), Some(cost)));
    }
}

fn sample<In, Out>(input: In, work: impl FnOnce(In) -> Out) -> (Out, Cost) {
    let mut outcome = None;
    let mut time = Duration::ZERO;
    let info = measure(|| {
        let began = Instant::now();
        outcome = Some(black_box(work(input)));
        time = began.elapsed();
    });
    let cost = Cost {
        time,
        allocations: info.count_total,
    };
    (outcome.expect("the work was done"), cost)
}

fn count<In, Out>(input: In, work: impl FnOnce(In) -> Out) -> Out {
    let mut outcome = None;
    let mut work = Some(|| work(input));
    counted_by_callgrind(&mut || outcome = work.take().map(|work| black_box(work())));
    outcome.expect("the work was done")
}

/// Callgrind counts from the entry of this function to its end, and writes the count when it ends.
#[inline(never)]
fn counted_by_callgrind(work: &mut dyn FnMut()) {
    work();
    black_box(());
}
