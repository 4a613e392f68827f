//! `lease-sim explore`: all interleavings of small configurations.

use lexopt::{Parser, ValueExt as _};
use serde_json::{Value, json};

use super::options::{Stopwatch, Word, bad, grouped, rounded};
use super::{CliError, Verdict, print};
use lease_sim::explore::{Expected, NamedSettings, Report, explore, named};

const HELP: &str = "\
Go through all interleavings of small configurations of the very core, breadth first

Usage: lease-sim explore [NAME]... [OPTIONS]

Options:
      --long       Also those that take minutes
      --list       Print the names and what they show
      --json       Print one JSON list
  -h, --help       Print help

Some configurations break an assumption on purpose: a counterexample is what is expected of them. Exits with 0
when each comes to what is expected of it and with 1 when one does not.
";

pub(super) fn run(mut parser: Parser) -> Result<Verdict, CliError> {
    let (mut names, mut long, mut list, mut as_json) = (Vec::new(), false, false, false);
    while let Some(word) = Word::next(&mut parser)? {
        match &word {
            Word::Option(name) => match name.as_str() {
                "help" => return print(HELP).map(|()| Verdict::Clean),
                "long" => long = true,
                "list" => list = true,
                "json" => as_json = true,
                _ => return Err(word.unexpected()),
            },
            Word::Value(value) => names.push(value.clone().string()?),
        }
    }
    let all = named();
    if let Some(unknown) = names.iter().find(|name| all.iter().all(|row| row.name != name.as_str())) {
        return Err(bad("NAME", unknown, "a name that `lease-sim explore --list` prints"));
    }
    let chosen = all.into_iter().filter(|row| {
        if names.is_empty() { long || list || !row.long } else { names.iter().any(|name| name == row.name) }
    });
    if list {
        let lines: String = chosen.map(|row| format!("{:22} {}\n", row.name, row.about)).collect();
        return print(&lines).map(|()| Verdict::Clean);
    }
    let mut rows = Vec::new();
    let mut clean = true;
    for row in chosen {
        let began = Stopwatch::start();
        let report = explore(&row.settings);
        let wall = began.elapsed().as_secs_f64();
        clean &= is_as_expected(&row, &report);
        if as_json {
            rows.push(to_json(&row, &report, wall));
        } else {
            print(&line(&row, &report, wall))?;
        }
    }
    if as_json {
        print(&format!("{}\n", Value::from(rows)))?;
    }
    Ok(if clean { Verdict::Clean } else { Verdict::Broken })
}

fn is_as_expected(row: &NamedSettings, report: &Report) -> bool {
    match row.expected {
        Expected::Safe => report.violation.is_none() && report.complete,
        Expected::SafeSoFar => report.violation.is_none(),
        Expected::Violated => report.violation.is_some(),
    }
}

fn line(row: &NamedSettings, report: &Report, wall: f64) -> String {
    let result = match (&report.violation, report.complete) {
        (Some(found), _) => format!("violated after {} steps", found.schedule.len()),
        (None, true) => "safe in all states".to_owned(),
        (None, false) => "safe as far as it went".to_owned(),
    };
    let verdict = if is_as_expected(row, report) { "as expected" } else { "NOT AS EXPECTED" };
    let mut text = format!(
        "{:20} {:>10} states {:>11} generated, depth {:>3}, {wall:>6.1} s: {result}, {verdict}\n",
        row.name,
        grouped(report.states as u64),
        grouped(report.generated as u64),
        report.depth,
    );
    if let Some(found) = report.violation.as_ref().filter(|_| !is_as_expected(row, report)) {
        for step in &found.schedule {
            text.push_str(&format!("    {step}\n"));
        }
    }
    text
}

fn to_json(row: &NamedSettings, report: &Report, wall: f64) -> Value {
    json!({
        "name": row.name,
        "about": row.about,
        "states": report.states,
        "generated": report.generated,
        "depth": report.depth,
        "complete": report.complete,
        "violated": report.violation.is_some(),
        "schedule": report.violation.as_ref().map(|found| &found.schedule),
        "as_expected": is_as_expected(row, report),
        "wall_seconds": rounded(wall),
    })
}
