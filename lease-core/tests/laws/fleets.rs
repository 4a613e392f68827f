//! Laws of several machines over one API server, known from outside, in true time.

use lease_core::ReleasePolicy;
use proptest::prelude::*;

use super::cases;
use super::fleet::Fleet;
use super::scenario::{Rules, Scenario, edited, razors, scenarios};

/// One object that comes and goes, distinct identities, nobody who deletes.
const USUAL: Rules = Rules {
    policy: ReleasePolicy::Delete,
    shared_identity: false,
    deletes: false,
    existing: false,
    slow: false,
};

/// An administrator makes the object, deletes it and makes it again.
const EXISTING: Rules = Rules { policy: ReleasePolicy::Vacate, deletes: true, existing: true, ..USUAL };

fn strict(scenario: &Scenario) -> Result<(), TestCaseError> {
    let fleet = Fleet::run(scenario);
    prop_assert_eq!(fleet.violations.overlaps, Vec::<String>::new());
    Ok(())
}

proptest! {
    #![proptest_config(cases(80))]

    #[test]
    fn no_two_machines_hold_at_once(scenario in scenarios(USUAL)) {
        strict(&scenario)?;
    }

    /// Under `Vacate` even an object that vanishes during a term opens no window.
    #[test]
    fn a_vanishing_object_opens_no_window_under_vacate(
        scenario in scenarios(Rules { policy: ReleasePolicy::Vacate, deletes: true, ..USUAL }),
    ) {
        strict(&scenario)?;
    }

    /// Nor does one that an administrator makes again, blank or from a copy of any earlier record of it, for
    /// holders that only use what exists.
    #[test]
    fn an_object_that_is_made_again_opens_no_window(scenario in scenarios(EXISTING)) {
        let fleet = Fleet::run(&scenario);
        prop_assert_eq!(fleet.violations.overlaps, Vec::<String>::new());
        prop_assert_eq!(fleet.violations.verbs, Vec::<String>::new());
    }

    /// Processes that share one identity, and say so, exclude each other like all others.
    #[test]
    fn twins_that_contend_never_hold_at_once(
        scenario in scenarios(Rules { shared_identity: true, ..USUAL }),
    ) {
        strict(&scenario)?;
    }

    /// Nobody deletes, or an object that vanishes is made again in quarantine: else the answer to a slow POST
    /// can arrive after somebody created the next object, and begin a term with the older token.
    #[test]
    fn tokens_strictly_grow_across_machines(
        scenario in prop_oneof![
            scenarios(USUAL),
            scenarios(Rules { policy: ReleasePolicy::Vacate, deletes: true, ..USUAL }),
            scenarios(EXISTING),
        ],
    ) {
        prop_assert_eq!(Fleet::run(&scenario).violations.tokens, Vec::<String>::new());
    }

    #[test]
    fn a_release_never_deletes_a_successors_record(
        deletes in any::<bool>(), vacate in any::<bool>(), seed in scenarios(USUAL),
        vacating in scenarios(Rules { policy: ReleasePolicy::Vacate, deletes: true, ..USUAL }),
        deleting in scenarios(Rules { deletes: true, ..USUAL }),
    ) {
        let scenario = if vacate { vacating } else if deletes { deleting } else { seed };
        prop_assert_eq!(Fleet::run(&scenario).violations.deletions, Vec::<String>::new());
    }

    /// "Not you" promises that no write of that attempt can still win.
    #[test]
    fn after_a_denial_nothing_is_stored(scenario in scenarios(Rules { slow: true, ..USUAL })) {
        prop_assert_eq!(Fleet::run(&scenario).violations.denials, Vec::<String>::new());
    }
}

proptest! {
    #![proptest_config(cases(80))]

    /// A term is only said to be over, before its time, when the object says so.
    #[test]
    fn no_term_is_lost_for_nothing(
        scenario in prop_oneof![
            scenarios(USUAL),
            scenarios(Rules { policy: ReleasePolicy::Vacate, ..USUAL }),
        ],
    ) {
        prop_assert_eq!(Fleet::run(&scenario).violations.losses, Vec::<String>::new());
    }
}

proptest! {
    #![proptest_config(cases(40))]

    /// After the faults have ended, somebody holds.
    #[test]
    fn somebody_holds_after_the_faults(
        scenario in prop_oneof![
            scenarios(USUAL),
            scenarios(Rules { policy: ReleasePolicy::Vacate, deletes: true, ..USUAL }),
            scenarios(EXISTING),
            scenarios(Rules { shared_identity: true, ..USUAL }),
        ],
    ) {
        let mut fleet = Fleet::run(&scenario);
        prop_assert!(fleet.heals(), "nobody holds: {:#?}", fleet.log);
    }
}

proptest! {
    #![proptest_config(cases(40))]

    /// The default margin is good for clocks that run 5 % apart from true time, each its own way.
    #[test]
    fn the_default_margin_covers_the_drift(scenario in razors()) {
        let fleet = Fleet::run(&scenario);
        prop_assert_eq!(fleet.violations.overlaps, Vec::<String>::new());
        prop_assert!(fleet.terms > 1, "the other must take over");
    }

    /// Whoever edits labels or strips our annotation costs a conflict and a read, never the term.
    #[test]
    fn an_edit_of_metadata_costs_no_term(scenario in edited()) {
        let fleet = Fleet::run(&scenario);
        prop_assert_eq!((fleet.terms, fleet.ends), (1, 0));
    }
}

/// A world in which nothing happens would obey every law.
#[test]
fn the_fleets_are_worth_watching() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut terms, mut contended) = (0, 0);
    for _ in 0..40 {
        let scenario = scenarios(USUAL).new_tree(&mut runner).expect("a scenario").current();
        let fleet = Fleet::run(&scenario);
        terms += fleet.terms;
        contended += usize::from(fleet.holders.len() > 1);
    }
    assert!(terms > 80, "{terms} terms");
    assert!(contended > 10, "{contended} runs in which the lease went from one to another");
    let (mut told, mut by_watch) = (0, 0);
    for _ in 0..80 {
        let rules = Rules { deletes: true, ..USUAL };
        let fleet = Fleet::run(&scenarios(rules).new_tree(&mut runner).expect("a scenario").current());
        told += fleet.tellings;
        by_watch += fleet.by_watch;
    }
    assert!(told > 2000 && by_watch > 10, "{told} events, {by_watch} terms that a watch ended");
    let mut terms = 0;
    for _ in 0..40 {
        terms += Fleet::run(&scenarios(EXISTING).new_tree(&mut runner).expect("a scenario").current()).terms;
    }
    assert!(terms > 40, "{terms} terms on objects that others make");
}
