//! Plans that once showed something, run for ever: each file in `regressions/`, by name.
//!
//! Those that are made by hand are written down in `regressions/schedules.rs` and `regressions/watched.rs`;
//! `BLESS=1 cargo test -p lease-sim --test regressions` writes their files anew. A file that is not named there is
//! a plan that a sweep or a fuzzer found and that was shrunk: it must not fail any more.

#[path = "regressions/builder.rs"]
mod builder;
#[path = "regressions/schedules.rs"]
mod schedules;
#[path = "regressions/watched.rs"]
mod watched;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use lease_sim::plan::{Plan, PlanError};
use lease_sim::trace::{Trace, What};
use lease_sim::world::{Run, World};

use self::builder::Expect;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/regressions")
}

/// Who believes at an instant.
fn believing(trace: &Trace, at: u64) -> BTreeSet<usize> {
    let mut until = vec![None; trace.lanes.len()];
    for entry in trace.entries.iter().take_while(|entry| entry.at <= at) {
        match entry.what {
            What::Belief { holder, until: end, .. } => until[holder] = end,
            What::Crashed { holder } => until[holder] = None,
            _ => {}
        }
    }
    let holds = |(index, end): (usize, &Option<u64>)| end.is_some_and(|end| end > at).then_some(index);
    until.iter().enumerate().filter_map(holds).collect()
}

/// Whether a run has done what its schedule is for; what is missing.
fn missing(run: &Run, expect: Expect) -> Option<String> {
    let trace = run.trace.as_ref()?;
    let at = |seconds: f64| believing(trace, (seconds * 1e9) as u64);
    let met = match expect {
        Expect::Met(mark) => run.outcome.marks.count(mark) > 0,
        Expect::Told(who, text, from, to) => trace.entries.iter().any(|entry| {
            let seconds = entry.at as f64 / 1e9;
            let told =
                matches!(&entry.what, What::Told { holder, event } if *holder == who && event.contains(text));
            told && seconds >= from && seconds <= to
        }),
        Expect::Holds(who, seconds) => at(seconds) == BTreeSet::from([who]),
        Expect::Idle(who, seconds) => !at(seconds).contains(&who),
        Expect::Somebody(seconds) => at(seconds).len() == 1,
        Expect::Terms(terms) => run.outcome.terms == terms,
        Expect::TermsAtLeast(terms) => run.outcome.terms >= terms,
    };
    (!met).then(|| format!("{expect:?}"))
}

fn show(trace: &Trace) -> String {
    let lines = trace.entries.iter().filter(|entry| !matches!(entry.what, What::Truth { .. }));
    let lines = lines.map(|entry| format!("  {:>11.6} {:?}", entry.at as f64 / 1e9, entry.what));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn every_schedule_reaches_its_point_and_breaks_nothing() {
    let only = std::env::var("ONLY").ok();
    let mut failures = Vec::new();
    let mut names = BTreeSet::new();
    for schedule in schedules::all().into_iter().chain(watched::all()) {
        let name = schedule.name;
        assert!(names.insert(name), "{name} is there twice");
        if only.as_deref().is_some_and(|only| !name.contains(only)) {
            continue;
        }
        let text = schedule.plan.to_tape_about(Some(schedule.about));
        let file = folder().join(format!("{name}.json"));
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&file, &text).unwrap();
        }
        assert_eq!(
            std::fs::read_to_string(&file).ok().as_ref(),
            Some(&text),
            "{name}: BLESS=1 writes it anew"
        );
        let run = World::new(&schedule.plan).traced(name).run();
        let mut wrong: Vec<_> = schedule.expects.iter().filter_map(|expect| missing(&run, *expect)).collect();
        wrong.extend(run.outcome.violations.iter().map(|violation| format!("{violation:?}")));
        if !wrong.is_empty() {
            if only.is_some() {
                println!("{}", show(run.trace.as_ref().unwrap()));
            }
            failures.push(format!("{name}: {} terms; {wrong:#?}", run.outcome.terms));
        }
    }
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), names.len(), failures.join("\n"));
    assert!(names.len() >= 50);
}

#[test]
fn no_file_fails_again() {
    let mut ran = 0;
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let (plan, about) = Plan::from_tape_about(&std::fs::read_to_string(&path).unwrap())
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(about.is_some_and(|about| !about.is_empty()), "{name} does not say what it is");
        let outcome = World::new(&plan).run().outcome;
        assert_eq!(outcome.violations, [], "{name}");
        ran += 1;
        println!("{name}: {} requests, {} terms", outcome.requests, outcome.terms);
    }
    assert!(ran >= 50, "{ran}");
}

/// KM-7: a margin that leaves no time to renew is refused, it is no schedule.
#[test]
fn km_7_settings_without_a_term_are_refused() {
    let mut schedule = schedules::all().swap_remove(0);
    for margin in [15_000, 20_000, 14_000] {
        schedule.plan.holders[0].margin = margin;
        assert!(matches!(schedule.plan.check(), Err(PlanError::Settings { holder: 0, .. })), "{margin}");
        assert!(Plan::from_tape(&schedule.plan.to_tape()).is_err());
    }
}
