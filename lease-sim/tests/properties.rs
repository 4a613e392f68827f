//! Plans as values of `proptest`.

use lease_core::mutants::Mutant;
use lease_sim::plan::strategy::plans;
use lease_sim::plan::{Plan, Scenario, Swarm};
use lease_sim::world::World;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestError, TestRng, TestRunner};

/// No assumption is broken on purpose.
const IN_MODEL: Swarm = Swarm { holders: 3, breaks_assumptions: false, scenario: Scenario::Default };

proptest! {
    #![proptest_config(Config { cases: 24, failure_persistence: None, ..Config::default() })]

    #[test]
    fn no_plan_in_the_model_breaks_an_invariant(plan in plans(IN_MODEL)) {
        let violations = World::new(&plan).run().outcome.violations;
        prop_assert!(violations.is_empty(), "{:?}\n{}", violations, plan.to_tape());
    }

    #[test]
    fn every_plan_is_the_same_after_a_file(plan in plans(Swarm::default())) {
        prop_assert_eq!(Plan::from_tape(&plan.to_tape()), Ok(plan));
    }
}

fn shrunk(mutant: Mutant) -> Plan {
    let config =
        Config { cases: 200, max_shrink_iters: 4_000, failure_persistence: None, ..Config::default() };
    let rng = TestRng::deterministic_rng(config.rng_algorithm);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let failed = runner.run(&plans(IN_MODEL), |plan| {
        let violations = World::new(&plan).mutant(Some(mutant)).run().outcome.violations;
        prop_assert!(violations.is_empty());
        Ok(())
    });
    match failed {
        Err(TestError::Fail(_, plan)) => plan,
        other => panic!("{}: {other:?}", mutant.name()),
    }
}

#[test]
fn a_property_that_does_not_hold_fails_with_a_small_plan() {
    for mutant in [Mutant::DeadlineFromReceipt, Mutant::UnknownIsSuccess, Mutant::WaitsOneSecondLess] {
        let plan = shrunk(mutant);
        let (events, holders) = (plan.events(), plan.holders.len());
        println!("{}: {events} events, {holders} holders", mutant.name());
        assert!(!World::new(&plan).mutant(Some(mutant)).run().outcome.violations.is_empty());
        assert!(World::new(&plan).run().outcome.violations.is_empty(), "it is the mutant's own");
        assert!(events <= 6 && holders <= 2 && plan.fates.is_some(), "{}", plan.to_tape());
    }
}
