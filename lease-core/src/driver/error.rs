//! What can go wrong on this side, typed.

use std::error::Error;
use std::fmt;
use std::io;

use crate::credentials::CredentialError;
use crate::{LostReason, Problem};

/// Why a [`Lease`](super::Lease) could not be set up. Nothing was sent.
#[derive(Debug)]
#[non_exhaustive]
pub enum SetupError {
    /// `spawn` was called outside of a runtime that has to be entered first, as tokio's.
    NoRuntime,
    /// The runtime has no timers: tokio's are built with `enable_time` (or `enable_all`).
    NoTimers,
    /// The operating system gave no random bytes to seed the holder with.
    NoRandomness(io::Error),
    /// The credentials cannot be used: what is wrong, without anything secret.
    Credentials(CredentialError),
    /// A proxy was asked for, but the server is reached without TLS: the proxy would see everything.
    ProxyWithoutTls,
    /// TLS cannot be set up from the credentials' certificates and keys.
    Tls(Box<dyn Error + Send + Sync>),
    /// The HTTP client cannot be built, for example because the proxy's address is wrong.
    Client(Box<dyn Error + Send + Sync>),
}

impl fmt::Display for SetupError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRuntime => formatter.write_str("a lease must be spawned inside of a running runtime"),
            Self::NoTimers => formatter.write_str("the runtime has no timers: enable them in its builder"),
            Self::NoRandomness(_) => formatter.write_str("the operating system gave no random bytes"),
            Self::Credentials(_) => formatter.write_str("the credentials cannot be used"),
            Self::ProxyWithoutTls => formatter.write_str("a proxy may only stand before a server with https"),
            Self::Tls(_) => formatter.write_str("TLS cannot be set up from the credentials"),
            Self::Client(_) => formatter.write_str("the HTTP client cannot be built"),
        }
    }
}

impl Error for SetupError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::NoRuntime | Self::NoTimers | Self::ProxyWithoutTls => None,
            Self::NoRandomness(source) => Some(source),
            Self::Credentials(source) => Some(source),
            Self::Tls(source) | Self::Client(source) => Some(source.as_ref()),
        }
    }
}

/// Why an attempt to acquire ended without an answer: *I do not know*, as opposed to *not you*.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AcquireError {
    /// The API server could not be asked, or refused. Its text says what to fix where something can be fixed.
    Remote(Problem),
    /// A release came first.
    Cancelled,
    /// The lease's driver has stopped: after a shutdown, with its runtime, or because it panicked.
    Stopped,
}

impl fmt::Display for AcquireError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Remote(problem) => write!(formatter, "cannot acquire the lease: {problem}"),
            Self::Cancelled => formatter.write_str("cannot acquire the lease: it was released meanwhile"),
            Self::Stopped => formatter.write_str("cannot acquire the lease: its driver has stopped"),
        }
    }
}

impl Error for AcquireError {}

/// The lease's driver has stopped: after a shutdown, with its runtime, or because it panicked.
///
/// Nothing is held any more at the latest when the last term's deadline has passed, and
/// [`check_alive`](super::Lease::check_alive) says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped;

impl fmt::Display for Stopped {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the lease's driver has stopped")
    }
}

impl Error for Stopped {}

/// Why [`while_held`](super::Lease::while_held) gave its work up.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Interrupted {
    /// The lease was not held to begin with: the work never ran.
    NotHeld,
    /// The term was lost.
    Lost(LostReason),
    /// The lease was released.
    Released,
}

impl fmt::Display for Interrupted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotHeld => formatter.write_str("the lease was not held"),
            Self::Lost(reason) => write!(formatter, "the lease was lost: {}", describe(reason)),
            Self::Released => formatter.write_str("the lease was released"),
        }
    }
}

impl Error for Interrupted {}

fn describe(reason: &LostReason) -> String {
    match reason {
        LostReason::TakenOver { by: Some(by) } => format!("taken over by {by}"),
        LostReason::TakenOver { by: None } => "taken over".to_owned(),
        LostReason::Cleared => "somebody cleared its holder".to_owned(),
        LostReason::Twin => "another process writes under our identity".to_owned(),
        LostReason::Deleted => "somebody deleted it".to_owned(),
        LostReason::Expired { last: Some(problem) } => format!("it expired; the last trouble was: {problem}"),
        LostReason::Expired { last: None } => "it expired".to_owned(),
        LostReason::Clock => "the wall clock stepped back".to_owned(),
    }
}

/// An error with all of its causes, one line: HTTP clients' own texts are one level deep and say little.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
