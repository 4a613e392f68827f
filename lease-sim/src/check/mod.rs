//! Many runs: seeds on threads, and what they add up to.

#[cfg(feature = "mutants")]
pub mod mutants;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::oracle::{Invariant, Marks, Violation};
use crate::plan::{Assumption, FAULT_NAMES, Plan, Swarm, mix};
use crate::world::{Outcome, World};

/// How many seeds a thread takes at a time.
const CHUNK: u64 = 16;
/// Every so many seeds one is run twice, to see that it is the same run.
const TWICE: u64 = 64;

/// What to run.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// What plans are drawn from.
    pub swarm: Swarm,
    /// The seeds.
    pub seeds: Range<u64>,
    /// On how many threads. The result does not depend on it.
    pub jobs: NonZeroUsize,
    /// A deliberate bug in every holder.
    #[cfg(feature = "mutants")]
    pub mutant: Option<lease_core::mutants::Mutant>,
    /// Whether the first violation ends the sweep.
    pub stops: bool,
}

impl Sweep {
    /// A sweep on one thread that ends with the first violation.
    #[must_use]
    pub fn new(swarm: Swarm, seeds: Range<u64>) -> Self {
        Self {
            swarm,
            seeds,
            jobs: NonZeroUsize::MIN,
            #[cfg(feature = "mutants")]
            mutant: None,
            stops: true,
        }
    }
}

/// A seed that violates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Which.
    pub seed: u64,
    /// What.
    pub violation: Violation,
}

/// What a sweep adds up to. Independent of the number of threads and of the order of seeds.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Runs.
    pub schedules: u64,
    /// Runs with a violation, lowest seed first.
    pub failures: Vec<Failure>,
    /// A hash of everything that happened in every run.
    pub hash: u64,
    /// Simulated time, in nanoseconds.
    pub simulated: u128,
    /// Requests that left holders.
    pub requests: u64,
    /// Terms that began.
    pub terms: u64,
    /// Happenings that were queued.
    pub happenings: u64,
    /// Faults that were injected, by name; all of [`FAULT_NAMES`], even what was not met.
    pub faults: BTreeMap<&'static str, u64>,
    /// Situations that were met.
    pub marks: Marks,
    /// Runs that broke an assumption, by assumption.
    pub broken: BTreeMap<Assumption, u64>,
    /// Runs in which two holders believed at once after an assumption was broken or somebody had meddled.
    pub excused_overlaps: u64,
    /// Runs in which somebody took a live record, or a part of it, from its holder.
    pub meddled: u64,
}

impl Summary {
    fn add(&mut self, seed: u64, outcome: Outcome) {
        self.schedules += 1;
        self.hash = self.hash.wrapping_add(share(seed, &outcome));
        self.simulated += u128::from(outcome.simulated);
        self.requests += outcome.requests;
        self.terms += outcome.terms;
        self.happenings += outcome.happenings;
        self.excused_overlaps += u64::from(outcome.total_overlap > 0);
        self.meddled += u64::from(outcome.meddled);
        for (name, count) in outcome.faults {
            *self.faults.entry(name).or_default() += count;
        }
        for assumption in outcome.broken {
            *self.broken.entry(assumption).or_default() += 1;
        }
        self.marks.add(&outcome.marks);
        if let Some(violation) = outcome.violations.into_iter().next() {
            self.failures.push(Failure { seed, violation });
        }
    }

    fn merge(&mut self, other: Self) {
        self.schedules += other.schedules;
        self.hash = self.hash.wrapping_add(other.hash);
        self.simulated += other.simulated;
        self.requests += other.requests;
        self.terms += other.terms;
        self.happenings += other.happenings;
        self.excused_overlaps += other.excused_overlaps;
        self.meddled += other.meddled;
        for (name, count) in other.faults {
            *self.faults.entry(name).or_default() += count;
        }
        for (assumption, count) in other.broken {
            *self.broken.entry(assumption).or_default() += count;
        }
        self.marks.add(&other.marks);
        self.failures.extend(other.failures);
        self.failures.sort_by_key(|failure| failure.seed);
    }
}

/// What a run adds to the hash of a sweep.
fn share(seed: u64, outcome: &Outcome) -> u64 {
    mix(outcome.hash ^ mix(seed))
}

impl Sweep {
    /// Runs all. `progress` is told now and then how many runs are done, from whatever thread.
    pub fn run(&self, progress: &(dyn Fn(u64) + Sync)) -> Summary {
        let next = AtomicU64::new(self.seeds.start);
        let done = AtomicU64::new(0);
        let stopped = AtomicBool::new(false);
        let total = Mutex::new(Summary::default());
        std::thread::scope(|scope| {
            for _ in 0..self.jobs.get() {
                scope.spawn(|| {
                    let mut sum = Summary::default();
                    while !stopped.load(Ordering::Relaxed) {
                        let first = next.fetch_add(CHUNK, Ordering::Relaxed);
                        if first >= self.seeds.end {
                            break;
                        }
                        for seed in first..self.seeds.end.min(first + CHUNK) {
                            sum.add(seed, self.run_seed(seed));
                        }
                        if self.stops && !sum.failures.is_empty() {
                            stopped.store(true, Ordering::Relaxed);
                        }
                        progress(done.fetch_add(CHUNK, Ordering::Relaxed) + CHUNK);
                    }
                    if let Ok(mut total) = total.lock() {
                        total.merge(sum);
                    }
                });
            }
        });
        let mut total = total.into_inner().unwrap_or_default();
        for name in FAULT_NAMES {
            total.faults.entry(name).or_default();
        }
        total
    }

    /// Runs one seed, some of them twice.
    fn run_seed(&self, seed: u64) -> Outcome {
        let plan = self.swarm.plan(seed);
        let mut outcome = self.run_plan(&plan);
        if seed.is_multiple_of(TWICE) {
            let again = self.run_plan(&plan);
            if again.hash != outcome.hash {
                let about = format!("two runs of one plan differ: {:x}, {:x}", outcome.hash, again.hash);
                outcome.violations.push(Violation { invariant: Invariant::Determinism, at: 0, about });
            }
        }
        outcome
    }

    /// Runs one plan.
    #[must_use]
    pub fn run_plan(&self, plan: &Plan) -> Outcome {
        let world = World::new(plan);
        #[cfg(feature = "mutants")]
        let world = world.mutant(self.mutant);
        world.run().outcome
    }
}
