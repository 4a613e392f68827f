//! `lease-sim compare`: the same schedules over models of other protocols.

use lexopt::{Parser, ValueExt as _};
use serde_json::json;

use super::check::Bar;
use super::options::{Options, Stopwatch, Word, number};
use super::{CliError, Verdict, print};
use lease_sim::compare::{Comparison, Row, Tally, scenarios};

const HELP: &str = "\
Run the same schedules over lease-core and over models of other implementations' published protocols

Usage: lease-sim compare [OPTIONS]

Options:
      --seeds <A..B>      Which schedules [default: 0..1000]
      --holders <N>       As for check
      --jobs <N>          Threads; the result does not depend on it [default: one for each core]
      --scenarios <N>     Instead: N rounds of the situations that were measured with the real programs,
                          what came of them beside what was measured
      --json              Print one JSON list
  -h, --help              Print help

The rows are models of the protocols, not the libraries' code; each names the version that was modelled.
";

pub(super) fn run(mut parser: Parser) -> Result<Verdict, CliError> {
    let mut options = Options::new(0..1_000);
    let mut rounds = None;
    while let Some(word) = Word::next(&mut parser)? {
        match word.name() {
            Some("help") => return print(HELP).map(|()| Verdict::Clean),
            Some("scenarios") => {
                let text = parser.value()?.string()?;
                rounds = Some(number::<u32>("--scenarios", &text, "a number of rounds")?.max(1));
            }
            Some(name) if options.take(name, &mut parser)? => {}
            _ => return Err(word.unexpected()),
        }
    }
    if let Some(rounds) = rounds {
        return show_scenarios(rounds, options.json).map(|()| Verdict::Clean);
    }
    let mut comparison = Comparison::new(options.swarm, options.seeds.clone());
    comparison.jobs = options.jobs;
    let began = Stopwatch::start();
    let bar = Bar::new(options.seeds.end - options.seeds.start, !options.json);
    let rows = comparison.run(&|done| bar.show(done));
    bar.clear();
    if options.json {
        print(&format!("{}\n", json!(rows)))?;
    } else {
        print(&table(&rows))?;
        print(&format!("\n{:.1} s\n", began.elapsed().as_secs_f64()))?;
    }
    // Ours must not do what it is here to prevent; what the models do is the finding.
    let ours = rows.first().is_none_or(|row| clean(&row.tally) && clean(&row.clocks_differ));
    Ok(if ours { Verdict::Clean } else { Verdict::Broken })
}

const fn clean(tally: &Tally) -> bool {
    tally.split_brain_runs == 0 && tally.stuck_runs == 0
}

fn seconds(nanos: Option<u64>) -> String {
    nanos.map_or_else(|| "never".to_owned(), |nanos| format!("{:.1}", nanos as f64 / 1e9))
}

fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "| protocol | runs | split-brain runs, clocks agree | longest | clocks differ | longest | stuck | \
         requests/h, holder | standby | after a crash, median (worst) | after a release |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for row in rows {
        let (agree, differ) = (&row.tally, &row.clocks_differ);
        text.push_str(&format!(
            "| {} | {} | {} | {} s | {} | {} s | {} | {:.0} | {:.0} | {} s ({} s) | {} s ({} s) |\n",
            row.label,
            agree.runs,
            agree.split_brain_runs,
            seconds(Some(agree.longest_dual_belief)),
            differ.split_brain_runs,
            seconds(Some(differ.longest_dual_belief)),
            agree.stuck_runs + differ.stuck_runs,
            row.requests_per_hour.holder,
            row.requests_per_hour.standby,
            seconds(row.after_crash.median),
            seconds(row.after_crash.worst),
            seconds(row.after_release.median),
            seconds(row.after_release.worst),
        ));
    }
    text
}

fn show_scenarios(rounds: u32, as_json: bool) -> Result<(), CliError> {
    let rows = scenarios(rounds);
    if as_json {
        return print(&format!("{}\n", json!(rows)));
    }
    let mut text = String::from("| scenario | protocol | figure | simulated | measured |\n");
    text.push_str("| --- | --- | --- | --- | --- |\n");
    for row in rows {
        text.push_str(&format!(
            "| {}: {} | {} | {} | {} | {} |\n",
            row.scenario,
            row.about,
            row.label,
            row.measure,
            row.simulated,
            row.measured.unwrap_or("-")
        ));
    }
    print(&text)
}
