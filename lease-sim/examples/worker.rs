//! A worker that appends to a log while it holds a lease, twice: once it forgets the fencing token.
//!
//! `cargo run --release -p lease-sim --example worker` finds the seed in which an old term writes into a newer
//! one, shows how that came about, and then shows that two thousand seeds find nothing once the log checks
//! tokens.

use lease_core::FencingToken;
use lease_sim::plan::FaultKind;
use lease_sim::simulation::{Component, Context, SendError, Simulation, TermEnd};
use lease_sim::world::World;
use std::time::Duration;

/// The store: lines, each with the term in which it was written.
#[derive(Default)]
pub struct Log {
    lines: Vec<(FencingToken, u64)>,
    highest: Option<FencingToken>,
}

impl Log {
    /// Appends a line, unless it carries a token and a higher one was here before.
    fn append(&mut self, term: FencingToken, line: u64, token: Option<FencingToken>) -> bool {
        let accepted = token.is_none() || token >= self.highest;
        if accepted {
            self.highest = self.highest.max(token);
            self.lines.push((term, line));
        }
        accepted
    }

    /// What the lease is there for: one term after another, never mixed.
    fn in_order(&self) -> Result<(), String> {
        match self.lines.last_chunk() {
            Some([(before, _), (after, line)]) if after < before => {
                Err(format!("line {line} of term {after} was written after term {before} had begun to write"))
            }
            _ => Ok(()),
        }
    }
}

/// Appends a line every two seconds for as long as it holds the lease.
pub struct Worker {
    line: u64,
    sends_token: bool,
}

const NEXT_LINE: u64 = 1;
const APPEND: u64 = 2;
const EVERY: Duration = Duration::from_secs(2);

impl Component<Log> for Worker {
    type Reply = bool;

    fn began(&mut self, context: &mut Context<'_, Log, bool>, _: FencingToken) {
        context.after(EVERY, NEXT_LINE);
    }

    fn timer(&mut self, context: &mut Context<'_, Log, bool>, _: u64) {
        // It asks before it acts, and that is not enough: the process may stand still right after it asked.
        let Some(held) = context.held() else { return };
        self.line += 1;
        let (line, term) = (self.line, held.token);
        let token = self.sends_token.then_some(term);
        context.note(format_args!("appends line {line} in term {term}"));
        context.send(APPEND, move |log: &mut Log| log.append(term, line, token));
        context.after(EVERY, NEXT_LINE);
    }

    fn answered(&mut self, context: &mut Context<'_, Log, bool>, _: u64, answer: Result<bool, SendError>) {
        if answer == Ok(false) {
            context.note("was refused: somebody else holds the lease");
        }
    }

    fn ended(&mut self, context: &mut Context<'_, Log, bool>, _: FencingToken, _: &TermEnd) {
        context.cancel(NEXT_LINE);
    }
}

/// Three workers, one log.
pub fn simulation(sends_token: bool) -> Simulation<Log, Worker> {
    World::builder()
        .shared(Log::default)
        .component(move |_| Worker { line: 0, sends_token })
        .invariant(Log::in_order)
        .at_the_end(|log| if log.lines.is_empty() { Err("nothing was ever written") } else { Ok(()) })
        // An administrator who hands the record of a live term to somebody else is not what is looked for.
        .retain_faults(|fault| !matches!(fault, FaultKind::Admin { .. } | FaultKind::Namespace { .. }))
        .holders(3)
        .ttl(Duration::from_secs(15))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let say = |text: String| std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes());
    match simulation(false).check(0..2_000) {
        Err(failure) => say(format!("Without the token:\n{failure}\n"))?,
        Ok(summary) => return Err(format!("the planted bug was not found in {summary}").into()),
    }
    let summary = simulation(true).check(0..2_000)?;
    say(format!("With the token: {summary}, and no failure\n"))?;
    Ok(())
}
