//! What fails by a deliberate bug shrinks to a plan that people can read.
//!
//! `SHRINK_SEEDS=3000 SHRINK_FAILURES=3 cargo test --release -p lease-sim --test shrinking -- --nocapture`
//! measures it over all mutants.

use std::collections::BTreeSet;

use lease_core::mutants::Mutant;
use lease_sim::oracle::Violation;
use lease_sim::plan::shrink::shrink;
use lease_sim::plan::{Plan, Swarm};
use lease_sim::world::World;

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

fn violation(plan: &Plan, mutant: Mutant) -> Option<Violation> {
    World::new(plan).mutant(Some(mutant)).run().outcome.violations.into_iter().next()
}

/// A few mutants of different kinds: the whole table is for a release build.
const SOME: [Mutant; 6] = [
    Mutant::DeadlineFromReceipt,
    Mutant::ObservationKeyedOnHolder,
    Mutant::CreatesWithoutQuarantine,
    Mutant::DeleteWithoutPreconditions,
    Mutant::ConflictIsLoss,
    Mutant::TransitionsNever,
];

#[test]
#[expect(clippy::disallowed_methods, reason = "it measures")]
fn failures_of_mutants_become_small() {
    let seeds = number("SHRINK_SEEDS", 0);
    let mutants: &[Mutant] = if seeds == 0 { &SOME } else { Mutant::ALL };
    let seeds = seeds.max(60);
    let wanted = number("SHRINK_FAILURES", 1) as usize;
    let budget = number("SHRINK_BUDGET", 3_000) as u32;
    let only = std::env::var("SHRINK_ONLY").ok();
    let (mut shrunk, mut small, mut found) = (0_u32, 0_u32, BTreeSet::new());
    for mutant in mutants.iter().filter(|mutant| only.as_deref().is_none_or(|only| only == mutant.name())) {
        let failing = (0..seeds).filter_map(|seed| {
            let plan = Swarm::default().plan(seed);
            violation(&plan, *mutant).map(|violation| (seed, plan, violation))
        });
        for (seed, plan, violation) in failing.take(wanted) {
            let begun = std::time::Instant::now();
            let wanted = violation.invariant;
            let result = shrink(&plan, budget, |plan| {
                let violation = self::violation(plan, *mutant)?;
                (violation.invariant == wanted).then_some(violation.at)
            });
            let took = begun.elapsed();
            found.insert(*mutant);
            let events = result.plan.events();
            shrunk += 1;
            small += u32::from(events <= 15);
            println!(
                "{:40} seed {seed:5} {:4} {} holders, {events:3} events ({} faults, {:?} fates), {:6.1} s, {} tries in {took:.2?}",
                mutant.name(),
                wanted.name(),
                result.plan.holders.len(),
                result.plan.faults.len(),
                result.plan.fates.as_ref().map(Vec::len),
                result.plan.length as f64 / 1e9,
                result.tries,
            );
            if std::env::var("SHRINK_SHOW").is_ok() {
                println!("{}", result.plan.to_tape());
            }
            assert_eq!(
                self::violation(&result.plan, *mutant).map(|violation| violation.invariant),
                Some(wanted)
            );
            assert_eq!(Plan::from_tape(&result.plan.to_tape()), Ok(result.plan));
        }
    }
    println!("{small} of {shrunk} failures of {} mutants have at most 15 events", found.len());
    assert!(shrunk >= 4 && small * 10 >= shrunk * 9, "{small} of {shrunk}");
}
