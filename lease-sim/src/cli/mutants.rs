//! `lease-sim mutants`: shows that the oracle bites.

use lexopt::Parser;
use serde_json::{Value, json};
use std::sync::Mutex;

use super::options::{Options, Stopwatch, Word, grouped, rounded};
use super::{CliError, Verdict, print};
use lease_sim::check::mutants::{self, MOST_SCHEDULES};

const HELP: &str = "\
Switch each deliberate bug of the core on and run schedules until an invariant breaks

Usage: lease-sim mutants [OPTIONS]

Options:
      --seeds <A..B>      Which schedules [default: 0..3000]
      --scenario <NAME>   As for check
      --holders <N>       As for check
      --jobs <N>          Threads; the result does not depend on it [default: one for each core]
      --markdown          Print a table for a document
      --json              Print one JSON list
  -h, --help              Print help

Exits with 0 when every mutant is found and changes the hash of the schedules, and with 1 when one does not.
";

pub(super) fn run(mut parser: Parser) -> Result<Verdict, CliError> {
    let mut options = Options::new(0..MOST_SCHEDULES);
    let mut markdown = false;
    while let Some(word) = Word::next(&mut parser)? {
        match word.name() {
            Some("help") => return print(HELP).map(|()| Verdict::Clean),
            Some("markdown") => markdown = true,
            Some(name) if options.take(name, &mut parser)? => {}
            _ => return Err(word.unexpected()),
        }
    }
    let began = Stopwatch::start();
    let most = options.seeds.end - options.seeds.start;
    let failed = Mutex::new(None);
    let verdicts = mutants::hunt(options.swarm, options.seeds.start, most, options.jobs, &|verdict| {
        if !options.json && !markdown {
            let failure = print(&line(verdict)).err();
            if let (Some(error), Ok(mut failed)) = (failure, failed.lock()) {
                failed.get_or_insert(error);
            }
        }
    });
    if let Some(error) = failed.into_inner().ok().flatten() {
        return Err(error);
    }
    let caught = verdicts.iter().filter(|verdict| verdict.is_caught()).count();
    if options.json {
        let list: Vec<Value> = verdicts.iter().map(to_json).collect();
        print(&format!("{}\n", Value::from(list)))?;
    } else if markdown {
        print(&table(&verdicts))?;
    } else {
        let wall = rounded(began.elapsed().as_secs_f64());
        let all = verdicts.len();
        print(&format!("\n{caught} of {all} found, each with a trace hash of its own, in {wall} s\n"))?;
        for verdict in verdicts.iter().filter(|verdict| verdict.found.is_some() && !verdict.is_caught()) {
            print(&format!("SAME HASH  {}: it changes nothing\n", verdict.mutant.name()))?;
        }
    }
    Ok(if caught == verdicts.len() { Verdict::Clean } else { Verdict::Broken })
}

fn invariant(verdict: &mutants::Verdict) -> &'static str {
    verdict.found.as_ref().map_or("-", |failure| failure.violation.invariant.name())
}

fn line(verdict: &mutants::Verdict) -> String {
    let name = verdict.mutant.name();
    match &verdict.found {
        Some(failure) => format!(
            "found      {name:40} after {:>5} schedules by {:4} {}\n",
            grouped(verdict.schedules),
            invariant(verdict),
            failure.violation.about
        ),
        None => format!("NOT FOUND  {name:40} in    {:>5} schedules\n", grouped(verdict.schedules)),
    }
}

fn to_json(verdict: &mutants::Verdict) -> Value {
    json!({
        "name": verdict.mutant.name(),
        "about": verdict.mutant.about(),
        "found": verdict.found.is_some(),
        "schedules": verdict.schedules,
        "invariant": verdict.found.as_ref().map(|failure| failure.violation.invariant.name()),
        "seed": verdict.found.as_ref().map(|failure| failure.seed),
        "trace_hash": format!("{:016x}", verdict.hash),
        "clean_trace_hash": format!("{:016x}", verdict.clean_hash),
    })
}

fn table(verdicts: &[mutants::Verdict]) -> String {
    let mut text =
        String::from("| mutant | what it breaks | found after | by |\n| --- | --- | --- | --- |\n");
    for verdict in verdicts {
        let after = match verdict.found {
            Some(_) => grouped(verdict.schedules),
            None => "**not found**".to_owned(),
        };
        let (name, about) = (verdict.mutant.name(), verdict.mutant.about());
        text.push_str(&format!("| `{name}` | {about} | {after} | {} |\n", invariant(verdict)));
    }
    text
}
