//! What can be wrong with a plugin's run or with its answer.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use super::{ExecApiVersion, MAX_EXEC_BYTES};
use crate::credentials::error::{PemProblem, TokenProblem};

/// How running a plugin failed: what an adapter hands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ExecFailure {
    /// It could not be started, or its output not be read.
    NotStarted(io::ErrorKind),
    /// It ended with something else than success. The code; none when a signal ended it.
    Exit(Option<i32>),
    /// It was killed at its time-out.
    TimedOut,
}

/// Why a plugin gave no credentials. Nothing of its output is in here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ExecProblem {
    /// The command was not run, or what came of it was not handed in: the adapter cannot run plugins.
    NotRun,
    /// Running it failed.
    Failed(ExecFailure),
    /// It printed more than [`MAX_EXEC_BYTES`].
    TooLarge,
    /// Its output is not the JSON of an `ExecCredential`.
    NotJson {
        /// The line where that shows, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
    },
    /// The `kind` is not `ExecCredential`.
    Kind,
    /// The `apiVersion` is not the one that was asked for.
    ApiVersion {
        /// The one that was asked for.
        asked: ExecApiVersion,
    },
    /// There is neither a token nor a certificate in its `status`.
    NoCredentials,
    /// Of `clientCertificateData` and `clientKeyData` there is only one.
    HalfACertificate,
    /// `status.token` is malformed.
    Token(TokenProblem),
    /// `status.clientCertificateData` is malformed.
    Certificate(PemProblem),
    /// `status.clientKeyData` is malformed.
    Key(PemProblem),
    /// `status.expirationTimestamp` is not an RFC 3339 time.
    Timestamp,
    /// The credentials had expired when they came.
    Expired {
        /// How long before, by our wall clock.
        ago: Duration,
    },
}

impl fmt::Display for ExecFailure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotStarted(io::ErrorKind::NotFound) => {
                formatter.write_str("does not exist: install it, or add its folder to PATH")
            }
            Self::NotStarted(kind) => write!(formatter, "could not be run ({kind}): check its permissions"),
            Self::Exit(Some(code)) => {
                write!(formatter, "exited with code {code}; see what it wrote to stderr")
            }
            Self::Exit(None) => formatter.write_str("was ended by a signal; see what it wrote to stderr"),
            Self::TimedOut => formatter.write_str(
                "did not end within its time-out and was killed: run it by hand to see what it waits for (it \
                 gets no terminal), or give it more time",
            ),
        }
    }
}

impl fmt::Display for ExecProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRun => formatter.write_str("was not run: the adapter cannot run exec plugins"),
            Self::Failed(failure) => failure.fmt(formatter),
            Self::TooLarge => write!(formatter, "printed more than {MAX_EXEC_BYTES} bytes"),
            Self::NotJson { line, column } => write!(
                formatter,
                "did not print the JSON of an ExecCredential (line {line}, column {column}): it must print \
                 nothing else to stdout"
            ),
            Self::Kind => formatter.write_str("printed something whose kind is not ExecCredential"),
            Self::ApiVersion { asked } => write!(
                formatter,
                "answered with another apiVersion than {asked}, which it was asked for: set the apiVersion \
                 that it speaks, or update it"
            ),
            Self::NoCredentials => formatter
                .write_str("printed neither status.token nor a certificate with its key: log in again"),
            Self::HalfACertificate => {
                formatter.write_str("printed only one of clientCertificateData and clientKeyData")
            }
            Self::Token(problem) => write!(formatter, "printed a status.token that {problem}"),
            Self::Certificate(problem) => {
                write!(formatter, "printed status.clientCertificateData that {problem}")
            }
            Self::Key(problem) => write!(formatter, "printed status.clientKeyData that {problem}"),
            Self::Timestamp => {
                formatter.write_str("printed a status.expirationTimestamp that is not an RFC 3339 time")
            }
            Self::Expired { ago } => write!(
                formatter,
                "printed credentials that expired {} s ago: clear its cache or log in again, and check this \
                 machine's clock",
                ago.as_secs()
            ),
        }
    }
}

impl Error for ExecFailure {}
impl Error for ExecProblem {}
