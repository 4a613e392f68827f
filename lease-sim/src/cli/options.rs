//! Options that several commands share, and how results are printed.

use lexopt::{Arg, Parser, ValueExt as _};
use serde_json::{Value, json};
use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::time::{Duration, Instant};

use super::CliError;
use lease_sim::plan::Swarm;

/// One word of a command line, free of the parser that it came from.
#[derive(Debug)]
pub(super) enum Word {
    /// An option by its long name, or its letter.
    Option(String),
    /// Something else.
    Value(OsString),
}

impl Word {
    pub(super) fn next(parser: &mut Parser) -> Result<Option<Self>, CliError> {
        Ok(parser.next()?.map(|argument| match argument {
            Arg::Long(name) => Self::Option(name.to_owned()),
            Arg::Short('h') => Self::Option("help".to_owned()),
            Arg::Short(letter) => Self::Option(letter.to_string()),
            Arg::Value(value) => Self::Value(value),
        }))
    }

    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Self::Option(name) => Some(name),
            Self::Value(_) => None,
        }
    }

    /// The refusal of a word that nothing is known of.
    pub(super) fn unexpected(&self) -> CliError {
        CliError::Arguments(match self {
            Self::Option(name) => lexopt::Error::UnexpectedOption(format!("--{name}")),
            Self::Value(value) => lexopt::Error::UnexpectedArgument(value.clone()),
        })
    }
}

/// How long something takes, for what is printed about speed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stopwatch(Instant);

#[expect(clippy::disallowed_methods, reason = "how long a command takes is no part of any run")]
impl Stopwatch {
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    pub(super) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// What `check`, `replay`, `mutants` and `compare` have in common.
#[derive(Debug)]
pub(super) struct Options {
    pub(super) seeds: Range<u64>,
    pub(super) swarm: Swarm,
    pub(super) jobs: NonZeroUsize,
    pub(super) json: bool,
    #[cfg(feature = "mutants")]
    pub(super) mutant: Option<lease_core::mutants::Mutant>,
}

impl Options {
    pub(super) fn new(seeds: Range<u64>) -> Self {
        Self {
            seeds,
            swarm: Swarm::default(),
            jobs: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            json: false,
            #[cfg(feature = "mutants")]
            mutant: None,
        }
    }

    /// Takes an option in if it is one of these; whether it was.
    pub(super) fn take(&mut self, name: &str, parser: &mut Parser) -> Result<bool, CliError> {
        match name {
            "seeds" => self.seeds = seeds(&parser.value()?.string()?)?,
            "jobs" => {
                let text = parser.value()?.string()?;
                self.jobs = number("--jobs", &text, "a number from 1 up")?;
            }
            "holders" => {
                let text = parser.value()?.string()?;
                self.swarm.holders = match number::<u8>("--holders", &text, "a number from 1 to 16")? {
                    holders @ 1..=16 => holders,
                    _ => return Err(bad("--holders", &text, "a number from 1 to 16")),
                };
            }
            "scenario" => {
                let text = parser.value()?.string()?;
                self.swarm.scenario =
                    text.parse().map_err(|()| bad("--scenario", &text, lease_sim::plan::Scenario::NAMES))?;
            }
            #[cfg(feature = "mutants")]
            "mutant" => {
                let text = parser.value()?.string()?;
                let found = lease_core::mutants::Mutant::from_name(&text);
                let why = "a name that `lease-sim mutants` prints";
                self.mutant = Some(found.ok_or_else(|| bad("--mutant", &text, why))?);
            }
            #[cfg(not(feature = "mutants"))]
            "mutant" => {
                return Err(CliError::Failed(
                    "this lease-sim was built without its feature `mutants`".to_owned(),
                ));
            }
            "json" => self.json = true,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The options that change what a seed means, as they stand on a command line.
    pub(super) fn repeat(&self) -> String {
        let mut text = String::new();
        let default = Swarm::default();
        if self.swarm.holders != default.holders {
            text.push_str(&format!(" --holders {}", self.swarm.holders));
        }
        if self.swarm.scenario != default.scenario {
            text.push_str(&format!(" --scenario {}", self.swarm.scenario.name()));
        }
        #[cfg(feature = "mutants")]
        if let Some(mutant) = self.mutant {
            text.push_str(&format!(" --mutant {}", mutant.name()));
        }
        text
    }
}

pub(super) fn bad(option: &'static str, value: &str, wanted: &str) -> CliError {
    CliError::BadValue { option, value: value.to_owned(), why: format!("expected {wanted}") }
}

pub(super) fn number<T: std::str::FromStr>(
    option: &'static str,
    text: &str,
    wanted: &str,
) -> Result<T, CliError> {
    text.parse().map_err(|_| bad(option, text, wanted))
}

/// `A..B`, `..B` or a number of seeds from 0 on.
fn seeds(text: &str) -> Result<Range<u64>, CliError> {
    const WANTED: &str = "A..B with A below B, or a number of seeds";
    let parse = |part: &str, default: u64| if part.is_empty() { Some(default) } else { part.parse().ok() };
    let range = match text.split_once("..") {
        Some((first, last)) => parse(first, 0).zip(parse(last, 0)).map(|(first, last)| first..last),
        None => text.parse().ok().map(|count| 0..count),
    };
    range.filter(|range| range.start < range.end).ok_or_else(|| bad("--seeds", text, WANTED))
}

/// A number with its thousands apart: `1 234 567`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// Seconds with as many digits as are of use.
pub(super) fn rounded(seconds: f64) -> Value {
    json!((seconds * 1000.0).round() / 1000.0)
}
