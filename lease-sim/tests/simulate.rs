//! The commands that simulate: their exit codes, and what programs read from them.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use serde_json::Value;
use std::process::{Command, Output};

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lease-sim")).args(arguments).output().unwrap()
}

fn read(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_clean_sweep_says_so_and_what_it_did() {
    let output = run(&["check", "--seeds", "0..20", "--json"]);
    assert_eq!(output.status.code(), Some(0));
    let summary = read(&output);
    assert_eq!(summary["schedules"], 20);
    assert_eq!(summary["violations"], 0);
    for key in ["trace_hash", "simulated_seconds", "wall_seconds", "faults", "marks"] {
        assert!(!summary[key].is_null(), "{key} is missing in {summary}");
    }
    // What was not met is there, too: a zero can be seen.
    assert_eq!(summary["faults"].as_object().unwrap().len(), lease_sim::plan::FAULT_NAMES.len());
    assert_eq!(summary["marks"].as_object().unwrap().len(), lease_sim::oracle::Mark::ALL.len());
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let hash =
        |jobs| read(&run(&["check", "--seeds", "40..80", "--json", "--jobs", jobs]))["trace_hash"].clone();
    assert_eq!(hash("1"), hash("3"));
}

#[test]
fn the_order_of_seeds_changes_nothing() {
    use lease_sim::check::Sweep;
    use lease_sim::plan::Swarm;
    let hash = |seeds| Sweep::new(Swarm::default(), seeds).run(&|_| {}).hash;
    let ascending = hash(40..64);
    let descending = (40..64).rev().fold(0_u64, |sum, seed| sum.wrapping_add(hash(seed..seed + 1)));
    assert_eq!(ascending, descending);
    assert_eq!(ascending, hash(52..64).wrapping_add(hash(40..52)));
    // And it is the seeds that count, not how many there are.
    assert_ne!(ascending, hash(41..65));
}

#[test]
fn a_run_that_breaks_an_assumption_says_which() {
    let arguments = ["--scenario", "broken-assumptions"];
    let mut told = 0;
    for seed in 0..6 {
        let seed = seed.to_string();
        let trace = read(&run(&[&["replay", &seed, "--json"], &arguments[..]].concat()));
        let broken = trace["broken_assumptions"].as_array().unwrap();
        let text = run(&[&["replay", &seed, "--short"], &arguments[..]].concat());
        let text = String::from_utf8_lossy(&text.stdout).into_owned();
        for name in broken {
            let line = text.lines().find(|line| line.starts_with("# breaks an assumption on purpose: "));
            assert!(line.unwrap().contains(name.as_str().unwrap()), "{text}");
            told += 1;
        }
    }
    assert!(told > 3, "{told}");
    let summary = read(&run(&[&["check", "--seeds", "0..6", "--json"], &arguments[..]].concat()));
    let counted: u64 =
        summary["broken_assumptions"].as_object().unwrap().values().filter_map(Value::as_u64).sum();
    assert_eq!(counted, told);
    assert!(summary["meddled"].is_u64());
    let calm = run(&["replay", "0", "--scenario", "calm", "--short"]);
    assert!(!String::from_utf8_lossy(&calm.stdout).contains("on purpose"));
}

#[test]
fn a_mutant_is_found_changes_the_hash_and_is_shown_by_the_command_that_is_printed() {
    let clean = read(&run(&["check", "--seeds", "0..4", "--json"]));
    let output = run(&["check", "--seeds", "0..4", "--mutant", "deadline-from-receipt", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let found = read(&output);
    assert_ne!(found["trace_hash"], clean["trace_hash"]);
    let command = found["failures"][0]["replay"].as_str().unwrap().to_owned();
    let arguments: Vec<&str> = command.split(' ').skip(1).collect();
    let shown = run(&arguments);
    assert_eq!(shown.status.code(), Some(1), "{command}");
    assert!(String::from_utf8_lossy(&shown.stdout).contains("VIOLATION S9"), "{command}");
}

#[test]
fn a_stored_plan_runs_like_its_seed() {
    let folder = std::env::temp_dir().join(format!("lease-sim-simulate-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (plan, page) = (folder.join("plan.json"), folder.join("page.html"));
    let (plan, page) = (plan.to_str().unwrap(), page.to_str().unwrap());
    let seed = read(&run(&["replay", "11", "--json", "--plan", plan]));
    let stored = read(&run(&["replay", plan, "--json"]));
    assert_eq!(seed["entries"], stored["entries"]);
    assert_eq!(run(&["replay", "11", "--html", page]).status.code(), Some(0));
    assert!(std::fs::read_to_string(page).unwrap().starts_with("<!doctype html>"));
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_truncated_or_foreign_file_and_wrong_usage_are_told_apart() {
    for (arguments, code, words) in [
        (&["replay", "Cargo.toml"][..], 1, "Cargo.toml"),
        (&["replay", "/nonexistent"], 1, "/nonexistent"),
        (&["replay"], 2, "a seed or a file"),
        (&["check", "--seeds", "5..5"], 2, "--seeds"),
        (&["check", "--holders", "17"], 2, "1 to 16"),
        (&["check", "--scenario", "storm"], 2, "single-fault"),
        (&["check", "--mutant", "none-such"], 2, "lease-sim mutants"),
        (&["check", "--jobs", "0"], 2, "--jobs"),
        (&["check", "--speed"], 2, "--speed"),
        (&["explore", "none-such"], 2, "--list"),
    ] {
        let output = run(arguments);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
        assert!(text.contains(words), "{arguments:?}: {text}");
    }
}

#[test]
fn mutants_compare_and_explore_print_lists() {
    let mutants = read(&run(&["mutants", "--seeds", "0..3", "--json"]));
    assert!(mutants.as_array().unwrap().len() >= 30);
    assert_eq!(mutants[0]["name"], "deadline-from-receipt");
    assert_eq!(mutants[0]["found"], true);
    assert!(mutants[0]["schedules"].is_u64() && mutants[0]["invariant"].is_string());
    // The hashes are those of `check` over the same schedules.
    let one = |more: &[&str]| {
        let arguments = [&["check", "--seeds", "0..1", "--all", "--json"], more].concat();
        read(&run(&arguments))["trace_hash"].clone()
    };
    assert_eq!(mutants[0]["schedules"], 1);
    assert_eq!(mutants[0]["clean_trace_hash"], one(&[]));
    assert_eq!(mutants[0]["trace_hash"], one(&["--mutant", "deadline-from-receipt"]));
    assert_ne!(mutants[0]["trace_hash"], mutants[0]["clean_trace_hash"]);
    // Three schedules do not show this one: nothing has changed, and that is said.
    let hidden = |verdict: &&Value| verdict["name"] == "quarantine-of-another-object";
    let hidden = mutants.as_array().unwrap().iter().find(hidden).unwrap();
    assert_eq!(hidden["found"], false);
    assert_eq!(hidden["trace_hash"], hidden["clean_trace_hash"]);
    let compared = read(&run(&["compare", "--seeds", "0..3", "--json"]));
    assert_eq!(compared.as_array().unwrap().len(), 6);
    assert!(compared[0]["protocol"].is_string() && compared[0]["runs"].is_u64());
    assert_eq!(compared[0]["split_brain_runs"], 0);
    let explored = read(&run(&["explore", "smallest", "delete", "--json"]));
    assert_eq!(explored[0]["violated"], false);
    assert_eq!(explored[1]["violated"], true);
}
