//! Files that are no recordings, and replays that go another way.

use std::error::Error;
use std::fmt;

use crate::config::ConfigError;

/// Why a file is no recording that can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordingError {
    /// Nothing is in it.
    Empty,
    /// Its first line is not the header of a recording.
    Foreign,
    /// A newer version than [`VERSION`](super::VERSION) wrote it.
    Newer {
        /// Its version.
        version: u64,
    },
    /// It ends before its last line, or in the midst of one.
    Truncated {
        /// How many whole inputs there are.
        entries: usize,
    },
    /// The recorded configuration is not valid here.
    Config(ConfigError),
    /// A line is wrong.
    Line {
        /// Its number; the header is line 1.
        line: usize,
        /// What is wrong with it.
        problem: LineProblem,
    },
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LineProblem {
    /// It is not JSON, or not of the right shape: what the parser says.
    Shape(String),
    /// A status code is not one.
    Status,
    /// A header's name or value is not one.
    Header,
    /// A body in hexadecimal digits is not.
    Hexadecimal,
    /// The number of inputs at the end is not the number of lines.
    Count,
    /// Something follows the end.
    AfterTheEnd,
}

impl fmt::Display for RecordingError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => formatter.write_str("the recording is empty"),
            Self::Foreign => formatter.write_str("the file is not a recording of a lease"),
            Self::Newer { version } => {
                write!(formatter, "the recording has format version {version}, newer than {}", super::VERSION)
            }
            Self::Truncated { entries } => {
                write!(formatter, "the recording was cut off after {entries} inputs")
            }
            Self::Config(_) => formatter.write_str("the recorded configuration is not valid"),
            Self::Line { line, problem } => write!(formatter, "line {line} of the recording: {problem}"),
        }
    }
}

impl Error for RecordingError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Config(error) => Some(error),
            _ => None,
        }
    }
}

impl fmt::Display for LineProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shape(what) => formatter.write_str(what),
            Self::Status => formatter.write_str("no HTTP status code"),
            Self::Header => formatter.write_str("no HTTP header"),
            Self::Hexadecimal => formatter.write_str("no hexadecimal digits"),
            Self::Count => formatter.write_str("another number of inputs than there are"),
            Self::AfterTheEnd => formatter.write_str("something follows the end"),
        }
    }
}

/// Why a replay did not come out as recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReplayError {
    /// The ring had wrapped: the inputs do not start where a machine starts.
    Wrapped {
        /// How many inputs are missing.
        dropped: u64,
    },
    /// An output differs.
    Differs(Box<Difference>),
}

/// The first output that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// Which input it followed; the first is 0.
    pub entry: usize,
    /// Which of that input's outputs it is; the first is 0.
    pub output: usize,
    /// What was recorded, as JSON.
    pub recorded: String,
    /// What the replay brought, as JSON.
    pub replayed: String,
}

impl fmt::Display for ReplayError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wrapped { dropped } => write!(
                formatter,
                "the recording cannot be replayed: its ring had wrapped, the first {dropped} inputs are missing"
            ),
            Self::Differs(difference) => write!(
                formatter,
                "output {} after input {} (line {}) differs\nrecorded: {}\nreplayed: {}",
                difference.output,
                difference.entry,
                difference.entry + 2,
                difference.recorded,
                difference.replayed,
            ),
        }
    }
}

impl Error for ReplayError {}
