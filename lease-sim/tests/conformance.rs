//! The suite's own proof: an adapter that is right passes every case, and one that does a single thing wrong is
//! found, by the cases that are there for it.
#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs, unreachable_pub)]

#[path = "conformance/naive/mod.rs"]
mod naive;
#[path = "conformance/sins.rs"]
mod sins;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use lease_sim::conformance::{Report, Suite, Verdict};
use naive::{Naive, block_on};
use sins::{Sin, commit};

fn run(sin: Option<Sin>, suite: Suite<Naive>) -> Report {
    let name = sin.map_or_else(|| "naive".to_owned(), |sin| format!("{sin:?}"));
    suite.run(&name, move |case| {
        commit(sin);
        block_on(case);
    })
}

#[test]
fn an_adapter_on_threads_and_blocking_sockets_conforms() {
    let report = run(None, Suite::new());
    println!("{report}");
    report.assert_clean();
}

/// So many adapters at once: they mostly wait.
const AT_ONCE: usize = 6;

/// What each sin fails by.
fn all(suite: impl Fn(Sin) -> Suite<Naive> + Sync) -> Vec<(Sin, Report)> {
    let next = AtomicUsize::new(0);
    let reports = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(sin) = Sin::ALL.get(next.fetch_add(1, Ordering::SeqCst)) {
                    let report = run(Some(*sin), suite(*sin));
                    reports.lock().unwrap().push((*sin, report));
                }
            });
        }
    });
    reports.into_inner().unwrap()
}

fn failed(report: &Report) -> Vec<&'static str> {
    report.failures().map(|outcome| outcome.name).collect()
}

/// The cases that are there for a sin find it, and there is a sin for every case.
#[test]
fn every_sin_is_found_and_every_case_finds_one() {
    let suite = |sin: Sin| {
        // Red is what is wanted: there is no need to wait long for it.
        let meant = move |_: &str, name: &str| sin.noticed_by().contains(&name);
        Suite::new().only(meant).patience(Duration::from_secs(4))
    };
    let mut wrong = Vec::new();
    for (sin, report) in all(suite) {
        for name in sin.noticed_by() {
            match report.outcomes().iter().find(|outcome| outcome.name == *name) {
                None => wrong.push(format!("there is no case {name}")),
                Some(outcome) if outcome.verdict == Verdict::Passed => {
                    wrong.push(format!("{sin:?} is not noticed by {name}"));
                }
                Some(_) => {}
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for (_, name) in Suite::<Naive>::new().cases() {
        let found = Sin::ALL.iter().any(|sin| sin.noticed_by().contains(&name));
        assert!(found, "no sin is there for {name}: who has seen it red?");
    }
}

/// And no others do: what a red row says is what is wrong.
#[test]
#[ignore = "some minutes; the test above is its quick half"]
fn a_sin_is_found_by_its_own_cases_only() {
    let mut wrong = Vec::new();
    for (sin, report) in all(|_| Suite::new()) {
        let failed = failed(&report);
        println!("{sin:?}: {}", failed.join(" "));
        let missed = sin.noticed_by().iter().filter(|name| !failed.contains(name));
        wrong.extend(missed.map(|name| format!("{sin:?} is not noticed by {name}")));
        for outcome in report.failures() {
            if !sin.and_others() && !sin.noticed_by().contains(&outcome.name) {
                wrong.push(format!("{sin:?} fails {}: {:?}", outcome.name, outcome.verdict));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
