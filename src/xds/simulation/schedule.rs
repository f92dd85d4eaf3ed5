//! Random schedules: what happens to a mesh, to the client's stream and to the replicas that serve it.
//!
//! A schedule is a function of its seed. One that fails is shrunk by leaving steps out, and prints as Rust would have it.

use super::mesh::{CLUSTERS, Content, Edit, Endpoints, LISTENERS, Poison, TARGETS};

/// A small generator of random numbers (`SplitMix64`), so that a seed means the same on every machine.
#[derive(Clone, Debug)]
pub(super) struct Random(pub(super) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound).unwrap()).unwrap()
    }

    /// True once in so many times.
    fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Changes the mesh; nobody sees it before it is published.
    Edit(Edit),
    Publish,
    /// Milliseconds.
    Wait(u64),
    /// The stream breaks, and the client goes to a replica, which is so many snapshots behind.
    Reconnect {
        replica: usize,
        behind: usize,
    },
    /// The client asks again for something that it already asked for (delta).
    Forget(usize),
    /// The client asks for a type that nobody serves.
    AskUnknown,
}

#[derive(Clone, Debug)]
pub(super) struct Schedule {
    /// Also draws how long each message takes.
    pub(super) seed: u64,
    pub(super) steps: Vec<Step>,
    /// The client hears all that has arrived before it speaks, so that what it wants goes with what it says of a response.
    pub(super) hears_all: bool,
}

impl Schedule {
    pub(super) fn random(seed: u64) -> Self {
        let mut random = Random(seed);
        // Half of the schedules have nothing that the client rejects, and no excuse.
        let is_poisoned = random.one_in(2);
        let mut steps = Vec::new();
        for _ in 0..3 + random.below(8) {
            steps.push(Step::Edit(edit(&mut random, false)));
        }
        steps.push(Step::Publish);
        for _ in 0..2 + random.below(7) {
            match random.below(12) {
                0..8 => {
                    for _ in 0..=random.below(4) {
                        steps.push(Step::Edit(edit(&mut random, is_poisoned)));
                    }
                    steps.push(Step::Publish);
                }
                8 | 9 => steps.push(Step::Reconnect {
                    replica: random.below(2),
                    behind: random.below(3),
                }),
                10 => steps.push(Step::Forget(random.below(CLUSTERS + TARGETS))),
                _ => steps.push(Step::AskUnknown),
            }
            let waits = [0, 1, 50, 400, 1500, 3100, 6000, 20_000];
            steps.push(Step::Wait(waits[random.below(waits.len())]));
        }
        Self {
            seed,
            steps,
            hears_all: seed % 4 == 3,
        }
    }

    /// Leaves out what is not needed for it to fail.
    pub(super) fn shrunk(mut self, fails: impl Fn(&Self) -> bool) -> Self {
        let mut size = self.steps.len();
        while size > 0 {
            let mut start = 0;
            while start < self.steps.len() {
                let end = (start + size).min(self.steps.len());
                let mut smaller = self.clone();
                smaller.steps.drain(start..end);
                if fails(&smaller) {
                    self = smaller;
                } else {
                    start += size;
                }
            }
            size /= 2;
        }
        self
    }
}

fn content(random: &mut Random, may_be_bad: bool) -> Content {
    let poison = match random.below(9) {
        0 if may_be_bad => Poison::Named,
        1 if may_be_bad => Poison::Unnamed,
        2 if may_be_bad => Poison::Repeated,
        _ => Poison::None,
    };
    Content {
        label: random.below(3),
        poison,
    }
}

fn edit(random: &mut Random, may_be_bad: bool) -> Edit {
    let cluster = random.below(CLUSTERS);
    match random.below(16) {
        0..4 => Edit::Cluster(cluster, Some(content(random, may_be_bad))),
        4 => Edit::Cluster(cluster, None),
        5..8 => {
            let known = Endpoints::Known(content(random, may_be_bad));
            let all = [known, known, Endpoints::Awaited, Endpoints::Overdue];
            Edit::Endpoints(cluster, all[random.below(all.len())])
        }
        8..12 => {
            let named = random.below(1 << CLUSTERS);
            let target = Some((content(random, may_be_bad), named));
            Edit::Target(random.below(TARGETS), target)
        }
        12 => Edit::Target(random.below(TARGETS), None),
        13 | 14 => {
            let listener = Some((content(random, may_be_bad), random.below(TARGETS)));
            Edit::Listener(random.below(LISTENERS), listener)
        }
        _ => Edit::Listener(random.below(LISTENERS), None),
    }
}
