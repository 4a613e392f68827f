//! lease-core and the models of other protocols under the same schedules, and in the situations in which the
//! real programs were measured: the letters and the figures are those of the measurements. Expected ranges
//! are the measured ones, widened to what the protocol's own timers allow, since a handful of rounds shows
//! samples and not bounds.

use std::num::NonZeroUsize;
use std::ops::RangeInclusive;

use lease_sim::compare::{Comparison, Contestant, Round, Scenario, scenarios};
use lease_sim::plan::Swarm;
use lease_sim::protocol::ProtocolKind::{self, ClientGo, KubeLeaderElection, KubeLeaseManager, Kubert};
use lease_sim::world::World;

/// The protocols that were measured.
const MEASURED: [ProtocolKind; 4] = [ClientGo, Kubert, KubeLeaderElection, KubeLeaseManager];
const ROUNDS: u64 = 20;

fn seconds(span: u64) -> f64 {
    span as f64 / 1e9
}

fn play(scenario: Scenario, contestant: Contestant) -> Vec<Round> {
    let rounds: Vec<Round> = (0..ROUNDS).map(|seed| scenario.play(contestant, seed)).collect();
    for (seed, round) in rounds.iter().enumerate() {
        assert!(round.ready, "{contestant} {scenario:?} seed {seed}: the first holder has it");
    }
    rounds
}

fn model(scenario: Scenario, kind: ProtocolKind) -> Vec<Round> {
    play(scenario, Contestant::Model(kind))
}

/// All takeovers are within one range and their middle within another, and none overlaps.
fn assert_takeovers(
    scenario: Scenario,
    kind: ProtocolKind,
    all: RangeInclusive<f64>,
    middle: RangeInclusive<f64>,
) {
    let rounds = model(scenario, kind);
    let mut times: Vec<f64> =
        rounds.iter().map(|round| seconds(round.takeover.expect("somebody takes over"))).collect();
    times.sort_by(f64::total_cmp);
    assert!(times.iter().all(|time| all.contains(time)), "{kind}: {times:?} not in {all:?}");
    assert!(middle.contains(&times[times.len() / 2]), "{kind}: middle of {times:?} not in {middle:?}");
    assert!(rounds.iter().all(|round| round.both_believe == 0), "{kind}: two at once");
}

#[test]
fn a_release_is_followed_as_measured() {
    // client-go: 0.27/0.92/2.79, one jittered poll (2 to 4.4 s) of two. kube-leader-election: 1.05/2.49/5.41,
    // the second that the release leaves and a poll of 5 s. kubert 3.19/7.40/12.45 and kube-lease-manager
    // 3.23/7.41/12.44: asleep until the old expiry.
    assert_takeovers(Scenario::Release, ClientGo, 0.0..=4.4, 0.3..=2.0);
    assert_takeovers(Scenario::Release, KubeLeaderElection, 1.0..=6.1, 1.7..=4.2);
    assert_takeovers(Scenario::Release, Kubert, 0.0..=15.1, 3.5..=9.5);
    assert_takeovers(Scenario::Release, KubeLeaseManager, 0.0..=15.1, 3.5..=9.5);
}

#[test]
fn b_crash_is_followed_as_measured() {
    // client-go: 5.96/6.77/7.06, since a ttl is counted from the sight of the last renewal. The others count
    // it from the renewal itself: kube-leader-election 4.12/5.32/5.83, polling every 2 s, so up to 8; kubert
    // 3.09/4.44/5.80 and kube-lease-manager 3.17/5.02/5.95, renewing 2 s before the expiry, so 2 to 6 s.
    assert_takeovers(Scenario::Crash, ClientGo, 5.2..=8.6, 6.0..=7.3);
    assert_takeovers(Scenario::Crash, KubeLeaderElection, 4.0..=8.1, 4.7..=6.3);
    assert_takeovers(Scenario::Crash, Kubert, 1.9..=6.1, 3.0..=5.2);
    assert_takeovers(Scenario::Crash, KubeLeaseManager, 1.9..=6.2, 3.0..=5.2);
}

#[test]
fn f_after_a_stall_only_kubert_answers_right_at_once() {
    for kind in MEASURED {
        for (seed, round) in model(Scenario::Stall, kind).into_iter().enumerate() {
            let shown = format!("{kind} seed {seed}: {round:?}");
            // Measured: 2.45 to 7.60 s after the stop; the ranges of a crash.
            let takeover = seconds(round.takeover.expect(&shown));
            assert!((1.9..=8.6).contains(&takeover), "{shown}");
            // kubert: never. The others say "held" until one round trip has ended, 2 to 4 ms measured.
            let wrong = seconds(round.believes_on.expect(&shown));
            let expected = if kind == Kubert { 0.0..=0.0 } else { 0.001..=0.002 };
            assert!(expected.contains(&wrong), "{shown}");
            assert_eq!(seconds(round.both_believe), wrong, "{shown}");
            // client-go's callback comes a RenewDeadline after waking: 4001 ms.
            let told = seconds(round.told.expect(&shown));
            let expected = if kind == ClientGo { 3.9..=4.1 } else { 0.0..=0.004 };
            assert!(expected.contains(&told), "{shown}");
        }
    }
}

#[test]
fn g_cut_off_silently_or_refused_only_two_stop_believing() {
    for (kind, scenario) in
        MEASURED.into_iter().flat_map(|kind| [(kind, Scenario::Cut), (kind, Scenario::Refused)])
    {
        for (seed, round) in model(scenario, kind).into_iter().enumerate() {
            let shown = format!("{kind} {scenario:?} seed {seed}: {round:?}");
            let taken = seconds(round.takeover.expect(&shown));
            let believed = round.believes_on.map(seconds);
            match kind {
                // New holder after 5.09 to 7.63 s; the old one stops 4.03 to 4.81 s after the cut: the rest
                // of a RetryPeriod of 0.8 s, and the RenewDeadline of 4 s. A gap of 1 to 3 s.
                ClientGo => {
                    assert!((5.0..=8.6).contains(&taken), "{shown}");
                    assert!(believed.is_some_and(|time| (4.0..=4.81).contains(&time)), "{shown}");
                    assert!(round.both_believe == 0 && taken - believed.unwrap() > 0.3, "{shown}");
                }
                // Both at the record's expiry: 2.41/3.88/3.89, the difference at most 0.01 s.
                Kubert => {
                    assert!((1.9..=6.1).contains(&taken), "{shown}");
                    assert!(believed.is_some_and(|time| (taken - time).abs() < 0.01), "{shown}");
                    assert_eq!(round.both_believe, 0, "{shown}");
                }
                // New holders after 4.48 to 5.94 s and 2.92 to 4.84 s; the old one never stops.
                _ => {
                    assert!((1.9..=8.1).contains(&taken), "{shown}");
                    assert_eq!(believed, None, "{shown}");
                    assert!(seconds(round.both_believe) > 20.0, "{shown}");
                }
            }
        }
    }
}

#[test]
fn h_started_together_only_kube_leader_election_elects_several() {
    for kind in MEASURED {
        let mut several = 0;
        for (seed, round) in model(Scenario::Together, kind).into_iter().enumerate() {
            let shown = format!("{kind} seed {seed}: {round:?}");
            // Measured medians: 3.53 s for client-go, which waits a ttl from its first sight; 0.02 to 0.06 s
            // for the others, the start of the processes included.
            let expected = if kind == ClientGo { 3.0..=4.0 } else { 0.0..=0.12 };
            assert!(expected.contains(&seconds(round.takeover.expect(&shown))), "{shown}");
            if kind == KubeLeaderElection {
                // Each time for one whole poll interval: 1.00 s.
                let split = round.acquired > 1;
                assert!(!split || (0.99..=1.01).contains(&seconds(round.both_believe)), "{shown}");
                several += u64::from(split);
            } else {
                assert_eq!((round.both_believe, round.acquired), (0, 1), "{shown}");
            }
        }
        // Measured: 9 of 10 rounds, and 6 of 10 under load.
        assert!(kind != KubeLeaderElection || several >= ROUNDS * 6 / 10, "{several}");
    }
}

#[test]
fn lease_core_splits_in_none_and_is_followed_in_all() {
    for scenario in Scenario::ALL {
        for (seed, round) in play(scenario, Contestant::LeaseCore).into_iter().enumerate() {
            let shown = format!("{scenario:?} seed {seed}: {round:?}");
            assert_eq!(round.both_believe, 0, "{shown}");
            let takeover = seconds(round.takeover.expect(&shown));
            let most = match scenario {
                // A poll, of at most a third of the ttl.
                Scenario::Release => 5.1,
                // The ttl from the sight of a renewal, which is a poll old at most, and a ninth for clocks.
                Scenario::Together => 0.1,
                _ => 6.0 * 10.0 / 9.0 + 2.1,
            };
            assert!(takeover <= most, "{shown}");
            if matches!(scenario, Scenario::Cut | Scenario::Refused | Scenario::Stall) {
                // The term ends by itself, before anybody else's begins.
                assert!(round.believes_on.is_some_and(|time| seconds(time) <= 5.4), "{shown}");
            }
        }
    }
}

#[test]
fn the_table_of_scenarios_has_what_was_measured_beside_every_model_that_was() {
    let rows = scenarios(3);
    for (scenario, label) in Scenario::ALL
        .into_iter()
        .flat_map(|scenario| MEASURED.map(|kind| (scenario, Contestant::Model(kind).to_string())))
    {
        let mut all = rows.iter().filter(|row| row.scenario == scenario.letter() && row.label == label);
        assert!(all.any(|row| row.measured.is_some()), "{label} {scenario:?}");
    }
    assert!(rows.iter().all(|row| row.label.starts_with("model of ") || row.measured.is_none()));
}

#[test]
fn a_comparison_does_not_depend_on_threads_and_lease_core_never_splits() {
    let mut comparison = Comparison::new(Swarm::default(), 0..24);
    let once = comparison.run(&|_| ());
    comparison.jobs = NonZeroUsize::new(3).expect("not zero");
    assert_eq!(once, comparison.run(&|_| ()));
    for row in &once {
        assert_eq!((row.tally.runs, row.after_crash.runs), (24, 24), "{row:?}");
        // Whoever holds renews, and whoever does not looks.
        assert!(row.requests_per_hour.holder > 200.0 && row.requests_per_hour.standby > 200.0, "{row:?}");
        assert!(row.after_crash.worst.is_some() && row.after_release.worst.is_some(), "{row:?}");
    }
    let ours = &once[0];
    assert_eq!(ours.protocol, "lease-core");
    for tally in [ours.tally, ours.clocks_differ] {
        let wrong = (tally.split_brain_runs, tally.longest_dual_belief, tally.stuck_runs);
        assert_eq!(wrong, (0, 0, 0), "{ours:?}");
    }
    let json = serde_json::to_value(&once).expect("JSON");
    assert_eq!(json[0]["runs"], 24);
    assert_eq!(json[0]["split_brain_runs"], 0);
}

/// Twins, clocks that go back, edits, garbage and reads of older states included.
#[test]
fn models_survive_plans_that_are_not_fair_and_nothing_is_held_against_them() {
    for (kind, seed) in ProtocolKind::ALL.into_iter().flat_map(|kind| (0..40).map(move |seed| (kind, seed))) {
        let plan = Swarm::default().plan(seed);
        let run = || World::new(&plan).to_the_end().protocol(kind).run().outcome;
        let outcome = run();
        assert_eq!(outcome.violations, [], "{kind} seed {seed}");
        assert_eq!(outcome.hash, run().hash, "{kind} seed {seed}");
    }
}
