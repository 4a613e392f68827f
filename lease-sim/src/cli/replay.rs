//! `lease-sim replay`: one run, for people.

use lexopt::Parser;
use serde_json::json;
use std::path::PathBuf;

use super::options::{Options, Word};
use super::{CliError, Verdict, print};
use lease_sim::incident;
use lease_sim::plan::Plan;
use lease_sim::trace::{Trace, What};
use lease_sim::world::World;

const HELP: &str = "\
Show one run: a seed of the simulator, a stored plan, or an adapter's flight recording

Usage: lease-sim replay <SEED|FILE> [OPTIONS]

Options:
      --html <FILE>       Write the run as a page: one lane for each holder, to zoom and to hover
      --plan <FILE>       Write the seed's plan, to run it again whatever becomes of the generator
      --short             Only what changes who holds
      --scenario <NAME>   As for check
      --holders <N>       As for check
      --mutant <NAME>     As for check
      --json              Print the trace as one JSON object
  -h, --help              Print help

Exits with 0 when the run keeps all invariants and with 1 when it does not.
";

/// What is to be shown.
enum Subject {
    Seed(u64),
    File(PathBuf),
}

/// What was asked for.
struct Request {
    subject: Subject,
    html: Option<PathBuf>,
    plan: Option<PathBuf>,
    short: bool,
    options: Options,
}

pub(super) fn run(parser: Parser) -> Result<Verdict, CliError> {
    let Some(request) = read(parser)? else {
        return print(HELP).map(|()| Verdict::Clean);
    };
    let trace = match &request.subject {
        Subject::Seed(seed) => {
            let plan = request.options.swarm.plan(*seed);
            if let Some(file) = &request.plan {
                write(file, &plan.to_tape())?;
            }
            let command = format!("lease-sim replay {seed}{}", request.options.repeat());
            play(&plan, &format!("seed {seed}"), Some(command), &request.options)
        }
        Subject::File(file) => play_file(file, &request.options)?,
    };
    if let Some(file) = &request.html {
        write(file, &trace.to_html())?;
    }
    if request.options.json {
        print(&format!("{}\n", json!(trace)))?;
    } else if request.html.is_none() {
        print(&trace.to_text(request.short))?;
    }
    let broken = trace.entries.iter().any(|entry| matches!(entry.what, What::Violation { .. }));
    Ok(if broken { Verdict::Broken } else { Verdict::Clean })
}

fn read(mut parser: Parser) -> Result<Option<Request>, CliError> {
    let mut options = Options::new(0..1);
    let (mut subject, mut html, mut plan, mut short) = (None, None, None, false);
    while let Some(word) = Word::next(&mut parser)? {
        match &word {
            Word::Value(value) if subject.is_none() => {
                let seed = value.to_str().and_then(|text| text.parse().ok());
                subject = Some(seed.map_or_else(|| Subject::File(value.into()), Subject::Seed));
            }
            Word::Option(name) => match name.as_str() {
                "help" => return Ok(None),
                "html" => html = Some(parser.value()?.into()),
                "plan" => plan = Some(parser.value()?.into()),
                "short" => short = true,
                name if options.take(name, &mut parser)? => {}
                _ => return Err(word.unexpected()),
            },
            Word::Value(_) => return Err(word.unexpected()),
        }
    }
    let subject = subject.ok_or(CliError::Missing("a seed or a file"))?;
    Ok(Some(Request { subject, html, plan, short, options }))
}

/// A plan or a recording; both say in their first bytes what they are.
fn play_file(file: &PathBuf, options: &Options) -> Result<Trace, CliError> {
    let failed = |why: &dyn std::fmt::Display| CliError::Failed(format!("{}: {why}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| failed(&error))?;
    let title = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if text.trim_start().starts_with("{") && text.contains("lease-sim-plan") {
        let plan = Plan::from_tape(&text).map_err(|error| failed(&error))?;
        return Ok(play(&plan, &title, Some(format!("lease-sim replay {}", file.display())), options));
    }
    let mut trace = incident::replay(&text).map_err(|error| failed(&error))?;
    trace.title = title;
    Ok(trace)
}

fn play(plan: &Plan, title: &str, command: Option<String>, options: &Options) -> Trace {
    let world = World::new(plan);
    #[cfg(feature = "mutants")]
    let world = world.mutant(options.mutant);
    #[cfg(not(feature = "mutants"))]
    let _ = options;
    let run = world.traced(title).run();
    let mut trace = run.trace.unwrap_or_default();
    trace.command = command;
    trace
}

fn write(file: &PathBuf, text: &str) -> Result<(), CliError> {
    std::fs::write(file, text).map_err(|error| CliError::Failed(format!("{}: {error}", file.display())))
}
