//! Exhaustive searches: what they find, what they must not find, and that they visit what they visited before.
//!
//! `cargo test --release -p lease-sim --test explore` runs all the short configurations, half a minute's worth;
//! with `-- --ignored` the long ones follow.
#![cfg(feature = "explore")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use lease_sim::explore::{Broken, Expected, NamedSettings, Report, explore, named};

fn row(name: &str) -> NamedSettings {
    named().into_iter().find(|row| row.name == name).unwrap()
}

fn found(name: &str) -> Report {
    explore(&row(name).settings)
}

fn assert_as_expected(row: &NamedSettings, report: &Report) {
    match (&report.violation, row.expected) {
        (None, Expected::Safe) => assert!(report.complete, "{}: not complete", row.name),
        (None, Expected::SafeSoFar) | (Some(_), Expected::Violated) => {}
        (Some(counterexample), Expected::Safe | Expected::SafeSoFar) => {
            panic!("{}:\n{counterexample}", row.name)
        }
        (None, Expected::Violated) => panic!("{}: nothing found in {} states", row.name, report.states),
    }
    assert!(report.held > 0, "{}: nobody ever holds", row.name);
}

/// What the core may do in two ticks of validity is known to the state. Another number is not wrong, but
/// somebody should know why: a field that is new in the machine, or a shorter way through it.
#[test]
fn the_smallest_configuration_has_as_many_states_as_ever() {
    let report = found("smallest");
    assert_as_expected(&row("smallest"), &report);
    assert_eq!((report.states, report.generated, report.depth), (14_225, 38_071, 49));
    assert_eq!(report.held, 147);
    assert!(report.healed > 100, "{}", report.healed);
}

/// The states that are found first stand for all equal ones: taking the actions in the opposite order finds
/// others first. If the view left out something that matters, the counts would differ.
#[test]
fn the_counts_do_not_depend_on_the_order_of_the_search() {
    let mut settings = row("smallest").settings;
    settings.reversed = true;
    let reversed = explore(&settings);
    assert!(reversed.complete);
    assert_eq!((reversed.states, reversed.generated, reversed.depth), (14_225, 38_071, 49));
}

#[test]
fn without_a_margin_one_tick_of_drift_is_one_too_many() {
    let report = found("no-margin-drift");
    let counterexample = report.violation.unwrap();
    assert!(matches!(counterexample.broken, Broken::NotBacked { .. } | Broken::TwoHolders { .. }));
    assert_eq!(counterexample.schedule.len(), 13, "{counterexample}");
}

#[test]
fn broken_assumptions_and_hostile_servers_are_found() {
    for name in ["margin-drift-2", "delete", "vacate-remake", "twins-reclaim", "rule-b-skew", "any-version"] {
        assert_as_expected(&row(name), &found(name));
    }
}

#[test]
fn a_bound_on_states_makes_a_search_incomplete() {
    let mut settings = row("margin").settings;
    settings.most_states = 500;
    let report = explore(&settings);
    assert!(!report.complete && report.violation.is_none());
    assert!((500..2000).contains(&report.states));
}

#[test]
fn somebody_who_is_stuck_is_found() {
    let mut settings = row("smallest").settings;
    // A lease that was just written cannot be taken within a tick.
    settings.liveness = Some(lease_sim::explore::Liveness { one_of: 1, within: 1 });
    let counterexample = explore(&settings).violation.unwrap();
    assert_eq!(counterexample.broken, Broken::Stuck { ticks: 1 });
}

#[test]
#[cfg_attr(debug_assertions, ignore = "takes minutes without optimisation")]
fn all_short_configurations_come_out_as_they_should() {
    for row in named().iter().filter(|row| !row.long) {
        assert_as_expected(row, &explore(&row.settings));
    }
}

#[test]
#[ignore = "takes minutes"]
fn all_long_configurations_come_out_as_they_should() {
    for row in named().iter().filter(|row| row.long) {
        assert_as_expected(row, &explore(&row.settings));
    }
}

/// Bugs that are found within a few thousand states.
#[cfg(feature = "mutants")]
const QUICKLY_FOUND: &[&str] = &[
    "late-reply-starts-term",
    "held-without-a-clock",
    "no-safety-margin",
    "put-without-uid",
    "put-without-resource-version",
    "delete-without-preconditions",
    "unknown-is-success",
    "waits-own-ttl-only",
    "timestamps-without-skew",
    "waits-one-second-less",
    "conflict-retried-blindly",
    "identity-alone",
    "creates-without-quarantine",
];

/// And some that take longer: answers have to be late, or a holder has to renew for a while.
#[cfg(feature = "mutants")]
const FOUND: &[&str] = &[
    "deadline-from-receipt",
    "acquire-from-receipt",
    "client-go-deadline",
    "observed-at-emission",
    "renew-time-frozen",
    "observation-keyed-on-holder",
];

#[cfg(feature = "mutants")]
fn assert_found(name: &str, most_states: usize) {
    let mutant: lease_core::mutants::Mutant = name.parse().unwrap();
    let found = lease_sim::explore::hunts(mutant).into_iter().any(|mut hunt| {
        hunt.settings.most_states = most_states;
        explore(&hunt.settings).violation.is_some()
    });
    assert!(found, "{name}");
}

#[cfg(feature = "mutants")]
#[test]
fn planted_bugs_are_found() {
    for name in QUICKLY_FOUND {
        assert_found(name, 4_000);
    }
}

#[cfg(feature = "mutants")]
#[test]
#[cfg_attr(debug_assertions, ignore = "takes minutes without optimisation")]
fn planted_bugs_that_hide_deeper_are_found() {
    for name in FOUND {
        assert_found(name, 30_000);
    }
}
