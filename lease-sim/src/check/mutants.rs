//! Shows that the oracle bites: every deliberate bug has to be found, within a bound.

use lease_core::mutants::Mutant;
use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Failure, Sweep, share};
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
    /// The hash of everything that happened in those schedules.
    pub hash: u64,
    /// The same without the bug. Where the two are equal, the bug has changed nothing.
    pub clean_hash: u64,
}

impl Verdict {
    /// Whether the bug was found, and not by chance: it has changed what happened.
    #[must_use]
    pub fn is_caught(&self) -> bool {
        self.found.is_some() && self.hash != self.clean_hash
    }
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
    let clean = clean_hashes(swarm, first, verdicts.iter().map(|verdict| verdict.schedules).max());
    for verdict in &mut verdicts {
        // One hash for each number of schedules, from one on.
        verdict.clean_hash = verdict.schedules.checked_sub(1).map_or(0, |last| clean[last as usize]);
    }
    verdicts.sort_by_key(|verdict| verdict.mutant);
    verdicts
}

/// The hashes of one, two, three and so on schedules without a bug.
fn clean_hashes(swarm: Swarm, first: u64, most: Option<u64>) -> Vec<u64> {
    let sweep = Sweep::new(swarm, first..first + most.unwrap_or(0));
    let mut hash = 0_u64;
    let mut next = |seed| {
        hash = hash.wrapping_add(share(seed, &sweep.run_plan(&swarm.plan(seed))));
        hash
    };
    sweep.seeds.clone().map(&mut next).collect()
}

fn judge(swarm: Swarm, first: u64, most: u64, mutant: Mutant) -> Verdict {
    let mut sweep = Sweep::new(swarm, first..first + most);
    sweep.mutant = Some(mutant);
    let mut verdict = Verdict { mutant, schedules: most, found: None, hash: 0, clean_hash: 0 };
    for seed in sweep.seeds.clone() {
        let outcome = sweep.run_plan(&swarm.plan(seed));
        verdict.hash = verdict.hash.wrapping_add(share(seed, &outcome));
        if let Some(violation) = outcome.violations.into_iter().next() {
            verdict.found = Some(Failure { seed, violation });
            verdict.schedules = seed - first + 1;
            break;
        }
    }
    verdict
}
