//! The command line: which subcommand, and what goes wrong with it.

mod check;
mod compare;
#[cfg(feature = "explore")]
mod explore;
#[cfg(feature = "mutants")]
mod mutants;
mod options;
mod replay;
mod serve;

use lexopt::Arg;
use std::ffi::OsString;
use std::fmt;
use std::io::Write as _;
use std::process::ExitCode;

const HELP: &str = "\
lease-sim: many Lease holders in a simulated world, and a modelled Kubernetes API server

Usage: lease-sim <COMMAND> [OPTIONS]

Commands:
  check    Run schedules and check every invariant
  replay   Show one run: a seed, a stored plan, or an adapter's flight recording
  mutants  Switch each deliberate bug of the core on, and show that it is found
  compare  Run the same schedules over models of other protocols
  explore  Go through all interleavings of small configurations
  serve    Serve the modelled API server over HTTP or HTTPS until SIGINT or SIGTERM

Options:
  -h, --help       Print help; after a command, that command's
  -V, --version    Print the version
";

/// What a command found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// All is as it should be.
    Clean,
    /// Something is not: an exit code of 1.
    Broken,
}

/// What can go wrong. Wrong usage exits with 2, everything else with 1.
#[derive(Debug)]
pub(crate) enum CliError {
    /// No command was given.
    NoCommand,
    /// The command does not exist.
    UnknownCommand(String),
    /// An option is unknown, lacks its value, or has one that it should not have.
    Arguments(lexopt::Error),
    /// A value cannot be used; which option, which value, and why.
    BadValue { option: &'static str, value: String, why: String },
    /// An option that must be given was not.
    Missing(&'static str),
    /// The program cannot do its work.
    Failed(String),
}

impl fmt::Display for CliError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCommand => formatter.write_str("no command given"),
            Self::UnknownCommand(name) => write!(formatter, "unknown command {name:?}"),
            Self::Arguments(error) => write!(formatter, "{error}"),
            Self::BadValue { option, value, why } => {
                write!(formatter, "bad value {value:?} for {option}: {why}")
            }
            Self::Missing(option) => write!(formatter, "{option} must be given"),
            Self::Failed(why) => formatter.write_str(why),
        }
    }
}

impl CliError {
    const fn is_usage(&self) -> bool {
        !matches!(self, Self::Failed(_))
    }
}

impl From<lexopt::Error> for CliError {
    fn from(error: lexopt::Error) -> Self {
        Self::Arguments(error)
    }
}

/// Writes to standard output. A closed pipe is an error to report, not to panic about.
pub(crate) fn print(text: &str) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| CliError::Failed(format!("cannot write to standard output: {error}")))
}

/// Runs the program on its arguments, the program's own name first.
pub(crate) fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let error = match dispatch(lexopt::Parser::from_iter(arguments)) {
        Ok(Verdict::Clean) => return ExitCode::SUCCESS,
        Ok(Verdict::Broken) => return ExitCode::FAILURE,
        Err(error) => error,
    };
    let hint = if error.is_usage() { "\nTry 'lease-sim --help'." } else { "" };
    // Nothing is left to do if standard error is closed.
    let _ = writeln!(std::io::stderr(), "lease-sim: {error}{hint}");
    ExitCode::from(if error.is_usage() { 2 } else { 1 })
}

fn dispatch(mut parser: lexopt::Parser) -> Result<Verdict, CliError> {
    match parser.next()? {
        None => Err(CliError::NoCommand),
        Some(Arg::Short('h') | Arg::Long("help")) => print(HELP).map(|()| Verdict::Clean),
        Some(Arg::Short('V') | Arg::Long("version")) => {
            print(concat!("lease-sim ", env!("CARGO_PKG_VERSION"), "\n")).map(|()| Verdict::Clean)
        }
        Some(Arg::Value(command)) => match command.to_str() {
            Some("check") => check::run(parser),
            Some("replay") => replay::run(parser),
            #[cfg(feature = "mutants")]
            Some("mutants") => mutants::run(parser),
            #[cfg(not(feature = "mutants"))]
            Some("mutants") => Err(CliError::Failed("built without the feature `mutants`".to_owned())),
            Some("compare") => compare::run(parser),
            #[cfg(feature = "explore")]
            Some("explore") => explore::run(parser),
            #[cfg(not(feature = "explore"))]
            Some("explore") => Err(CliError::Failed("built without the feature `explore`".to_owned())),
            Some("serve") => serve::run(parser).map(|()| Verdict::Clean),
            _ => Err(CliError::UnknownCommand(command.to_string_lossy().into_owned())),
        },
        Some(other) => Err(other.unexpected().into()),
    }
}
