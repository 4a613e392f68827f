//! `lease-sim check`: many schedules, and whether one of them breaks an invariant.

use lexopt::Parser;
use serde_json::{Map, Value, json};
use std::io::{IsTerminal as _, Write as _};
use std::sync::Mutex;
use std::time::Duration;

use super::options::{Options, Stopwatch, Word, grouped, rounded};
use super::{CliError, Verdict, print};
use lease_sim::check::{Failure, Summary, Sweep};
use lease_sim::oracle::Mark;

const HELP: &str = "\
Run schedules and check every invariant

Usage: lease-sim check [OPTIONS]

Options:
      --seeds <A..B>      Which schedules [default: 0..10000]
      --scenario <NAME>   default, calm, single-fault or broken-assumptions [default: default]
      --holders <N>       How many holders, 1 to 16 [default: 3]
      --mutant <NAME>     Switch a deliberate bug on in every holder
      --jobs <N>          Threads; the result does not depend on it [default: one for each core]
      --all               Go on after a violation
      --json              Print one JSON object
  -h, --help              Print help

Exits with 0 when all is clean and with 1 when an invariant was broken.
";

pub(super) fn run(mut parser: Parser) -> Result<Verdict, CliError> {
    let mut options = Options::new(0..10_000);
    let mut all = false;
    while let Some(word) = Word::next(&mut parser)? {
        match word.name() {
            Some("help") => return print(HELP).map(|()| Verdict::Clean),
            Some("all") => all = true,
            Some(name) if options.take(name, &mut parser)? => {}
            _ => return Err(word.unexpected()),
        }
    }
    let mut sweep = Sweep::new(options.swarm, options.seeds.clone());
    sweep.jobs = options.jobs;
    sweep.stops = !all;
    #[cfg(feature = "mutants")]
    {
        sweep.mutant = options.mutant;
    }
    let began = Stopwatch::start();
    let bar = Bar::new(sweep.seeds.end - sweep.seeds.start, !options.json);
    let summary = sweep.run(&|done| bar.show(done));
    bar.clear();
    let wall = began.elapsed();
    if options.json {
        print(&format!("{}\n", json_summary(&summary, wall, &options)))?;
    } else {
        print(&text_summary(&summary, wall, &options))?;
    }
    Ok(if summary.failures.is_empty() { Verdict::Clean } else { Verdict::Broken })
}

fn simulated_seconds(summary: &Summary) -> f64 {
    summary.simulated as f64 / 1e9
}

/// The command that shows a failure again.
pub(super) fn replay_command(failure: &Failure, options: &Options) -> String {
    format!("lease-sim replay {}{}", failure.seed, options.repeat())
}

fn json_summary(summary: &Summary, wall: Duration, options: &Options) -> Value {
    let marks: Map<String, Value> =
        Mark::ALL.iter().map(|mark| (mark.name().to_owned(), json!(summary.marks.count(*mark)))).collect();
    let failures: Vec<Value> = summary
        .failures
        .iter()
        .map(|failure| {
            json!({
                "seed": failure.seed,
                "invariant": failure.violation.invariant.name(),
                "at_seconds": failure.violation.at as f64 / 1e9,
                "about": failure.violation.about,
                "replay": replay_command(failure, options),
            })
        })
        .collect();
    json!({
        "schedules": summary.schedules,
        "violations": summary.failures.len(),
        "trace_hash": format!("{:016x}", summary.hash),
        "simulated_seconds": rounded(simulated_seconds(summary)),
        "wall_seconds": rounded(wall.as_secs_f64()),
        "schedules_per_second": rounded(summary.schedules as f64 / wall.as_secs_f64()),
        "jobs": options.jobs,
        "requests": summary.requests,
        "json_share": 1.0,
        "terms": summary.terms,
        "faults": summary.faults,
        "marks": marks,
        "broken_assumptions": summary.broken,
        "meddled": summary.meddled,
        "excused_overlaps": summary.excused_overlaps,
        "failures": failures,
    })
}

fn text_summary(summary: &Summary, wall: Duration, options: &Options) -> String {
    let seconds = wall.as_secs_f64().max(1e-9);
    let simulated = simulated_seconds(summary);
    let mut text = format!(
        "{} schedules in {seconds:.1} s: {:.0} a second with --jobs {}\n\
         {:.0} simulated hours, {:.0} times real time\n\
         {} requests (all of them real JSON), {} terms, trace hash {:016x}\n",
        grouped(summary.schedules),
        summary.schedules as f64 / seconds,
        options.jobs,
        simulated / 3600.0,
        simulated / seconds,
        grouped(summary.requests),
        grouped(summary.terms),
        summary.hash,
    );
    text.push_str("\nfaults injected\n");
    for (name, count) in &summary.faults {
        text.push_str(&format!("  {name:36} {:>14}\n", grouped(*count)));
    }
    text.push_str("\nsituations met\n");
    for mark in Mark::ALL {
        text.push_str(&format!("  {:36} {:>14}\n", mark.name(), grouped(summary.marks.count(*mark))));
    }
    text.push_str("\nschedules that break an assumption on purpose\n");
    for (assumption, count) in &summary.broken {
        text.push_str(&format!("  {:36} {:>14}\n", assumption.name(), grouped(*count)));
    }
    text.push_str(&format!("  {:36} {:>14}\n", "a live record was taken by hand", grouped(summary.meddled)));
    text.push_str(&format!(
        "  two believed at once, as they then may {:>12}\n\n",
        grouped(summary.excused_overlaps)
    ));
    if summary.failures.is_empty() {
        text.push_str("no violation\n");
    }
    for failure in summary.failures.iter().take(10) {
        text.push_str(&format!(
            "VIOLATION {} seed {} at {:.6} s: {}\n  {}\n",
            failure.violation.invariant.name(),
            failure.seed,
            failure.violation.at as f64 / 1e9,
            failure.violation.about,
            replay_command(failure, options)
        ));
    }
    if summary.failures.len() > 10 {
        text.push_str(&format!("and {} more\n", summary.failures.len() - 10));
    }
    text
}

/// A line on a terminal that says how far it is.
pub(super) struct Bar {
    total: u64,
    state: Option<Mutex<(Stopwatch, Stopwatch)>>,
}

impl Bar {
    pub(super) fn new(total: u64, wanted: bool) -> Self {
        let shown = wanted && std::io::stderr().is_terminal();
        let began = Stopwatch::start();
        Self { total, state: shown.then(|| Mutex::new((began, began))) }
    }

    pub(super) fn show(&self, done: u64) {
        const WIDTH: u64 = 40;
        let Some(Ok(mut state)) = self.state.as_ref().map(Mutex::lock) else {
            return;
        };
        if state.1.elapsed() < Duration::from_millis(200) {
            return;
        }
        state.1 = Stopwatch::start();
        let done = done.min(self.total);
        let full = (done * WIDTH / self.total.max(1)) as usize;
        let rate = done as f64 / state.0.elapsed().as_secs_f64();
        let bar = format!("{}{}", "#".repeat(full), ".".repeat(WIDTH as usize - full));
        let _ = write!(std::io::stderr(), "\r[{bar}] {done} of {} ({rate:.0} a second) ", self.total);
    }

    pub(super) fn clear(&self) {
        if self.state.is_some() {
            let _ = write!(std::io::stderr(), "\r{:79}\r", "");
        }
    }
}
