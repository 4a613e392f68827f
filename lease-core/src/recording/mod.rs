//! The flight recorder: what went into a machine and what came out, as a file that can be run again.
//!
//! A machine does nothing by chance, so its configuration, its seed, the first reading of the clocks and its
//! inputs are everything: fed with the same, a machine does the same, and a production incident becomes a
//! test. A driver keeps a [`Ring`] and hands every input and every output to it; [`Ring::to_text`] makes the
//! file; [`Recording::parse`] reads it; [`Recording::replay`] runs it and reports the first output that
//! differs.
//!
//! # Format
//!
//! JSON Lines, UTF-8. The first line is the header: `format` (always `lease-recording`), `version` (3;
//! files of versions 1 and 2 are read too), `start` (seed, clocks, the whole configuration) and `dropped`. Then comes one line for each input, with the
//! clocks' readings and the outputs that were polled after it, up to the first `idle`. The last line is `{"end":N}` with the number of inputs in the file, so that a file that was cut off is noticed.
//! Instants are the recorded machine's: nanoseconds for `mono`, microseconds for `wall`.
//!
//! # What is not in it
//!
//! No secrets: a machine never sees authorization, and of a response's headers only those that a machine
//! reads are written (`date`, `retry-after`, `content-type`). Bodies are written as they are: they are Lease
//! objects and `Status` messages, with names of holders, namespaces and whatever annotations are on the Lease.
//!
//! # When a ring wraps
//!
//! A ring is bounded and drops its oldest inputs. Such a recording says how many were `dropped`; it can still
//! be read, by people and programs, but not run again: its inputs do not start where a machine starts.
//! Whoever wants to replay a holder's whole life gives the ring room for it: in the steady state that is two
//! inputs, some 3 KiB, per `renew_interval`.

mod config;
mod error;
mod lines;
mod parse;
mod replay;
mod ring;

#[cfg(test)]
mod tests;

pub use error::{Difference, LineProblem, RecordingError, ReplayError};
pub use ring::Ring;

use crate::config::Config;
use crate::identifiers::Seed;
use crate::input::Input;
use crate::lease::Lease;
use crate::time::Now;

/// What the first line's `format` says.
pub const FORMAT: &str = "lease-recording";
/// The newest version of the format that is read, and the one that is written. Version 1 knows nothing of
/// labels, annotations and owner references, version 2 nothing of watches.
pub const VERSION: u32 = 3;

/// What a machine starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// Its configuration.
    pub config: Config,
    /// Its seed.
    pub seed: Seed,
    /// The first reading of the clocks.
    pub now: Now,
}

impl Start {
    /// A machine at this start.
    pub fn machine(&self) -> Lease {
        Lease::new(self.config.clone(), self.seed, self.now)
    }
}

/// A recording that was read.
#[derive(Clone, Debug)]
pub struct Recording {
    start: Start,
    dropped: u64,
    entries: Vec<Entry>,
}

/// One input of a recording, and what came of it.
#[derive(Clone, Debug)]
pub struct Entry {
    now: Now,
    input: Input,
    outputs: Vec<serde_json::Value>,
}

impl Recording {
    /// What the recorded machine started from.
    pub fn start(&self) -> &Start {
        &self.start
    }

    /// How many inputs between the start and the first entry are missing. Not zero: it cannot be replayed.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The inputs, oldest first.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }
}

impl Entry {
    /// The clocks' readings that the input was handed in with.
    pub fn now(&self) -> Now {
        self.now
    }

    /// The input.
    pub fn input(&self) -> &Input {
        &self.input
    }

    /// The outputs that were polled before the next input, as JSON text; a full drain ends with an
    /// [`Idle`](crate::Output::Idle).
    pub fn outputs(&self) -> impl Iterator<Item = String> + '_ {
        self.outputs.iter().map(ToString::to_string)
    }
}
