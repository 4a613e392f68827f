//! Shows that the oracle bites: every deliberate bug has to be found, within a bound.

use lease_core::mutants::Mutant;
use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Failure, Sweep};
use crate::plan::Swarm;

/// The schedules within which each has to be found.
pub const MOST_SCHEDULES: u64 = 3_000;

/// What became of one mutant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Which.
    pub mutant: Mutant,
    /// After how many schedules it was found, or how many did not find it.
    pub schedules: u64,
    /// The schedule that found it.
    pub found: Option<Failure>,
}

/// Runs the schedules of `swarm`, from `first` on, against each mutant until it is found.
///
/// `progress` is told each verdict as it comes. The result is in the order of [`Mutant::ALL`].
pub fn hunt(
    swarm: Swarm,
    first: u64,
    most: u64,
    jobs: NonZeroUsize,
    progress: &(dyn Fn(&Verdict) + Sync),
) -> Vec<Verdict> {
    let next = AtomicUsize::new(0);
    let verdicts = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..jobs.get() {
            scope.spawn(|| {
                while let Some(mutant) = Mutant::ALL.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let verdict = judge(swarm, first, most, *mutant);
                    progress(&verdict);
                    if let Ok(mut verdicts) = verdicts.lock() {
                        verdicts.push(verdict);
                    }
                }
            });
        }
    });
    let mut verdicts = verdicts.into_inner().unwrap_or_default();
    verdicts.sort_by_key(|verdict| verdict.mutant);
    verdicts
}

fn judge(swarm: Swarm, first: u64, most: u64, mutant: Mutant) -> Verdict {
    let mut sweep = Sweep::new(swarm, first..first + most);
    sweep.mutant = Some(mutant);
    for seed in sweep.seeds.clone() {
        let violation = sweep.run_plan(&swarm.plan(seed)).violations.into_iter().next();
        if let Some(violation) = violation {
            let found = Some(Failure { seed, violation });
            return Verdict { mutant, schedules: seed - first + 1, found };
        }
    }
    Verdict { mutant, schedules: most, found: None }
}
