//! What can go wrong between us and the API server, typed.

use std::error::Error;
use std::fmt;
use std::time::Duration;

/// Something that went wrong remotely. Its text says what to do where something can be done.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Problem {
    /// Nobody answered in time.
    Timeout,
    /// The connection failed before or while the request was under way.
    Transport,
    /// The response's body is longer than `max_body`.
    TooLarge,
    /// The server is overloaded (429).
    TooManyRequests {
        /// What it asked us to wait.
        retry_after: Option<Duration>,
    },
    /// A status that says nothing definite about the request, for example 5xx or a proxy's page.
    Status {
        /// The HTTP status code.
        code: u16,
        /// What the server said.
        message: Message,
    },
    /// The token or certificate was not accepted (401).
    Unauthorized,
    /// The holder lacks a right (403).
    Forbidden {
        /// The verb that is missing on `leases` in `coordination.k8s.io`.
        verb: Verb,
        /// What the server said.
        message: Message,
    },
    /// The namespace does not exist.
    NamespaceMissing,
    /// The namespace is being deleted.
    NamespaceTerminating,
    /// The object does not exist, and this holder never creates it
    /// ([`existing_only`](crate::ConfigBuilder::existing_only)).
    LeaseMissing {
        /// Where it should be.
        namespace: Box<str>,
        /// What it should be called.
        name: Box<str>,
    },
    /// The server refused the request as wrong (400, 422, 413, …).
    Refused {
        /// The HTTP status code.
        code: u16,
        /// What the server said.
        message: Message,
    },
    /// A 404 that does not name this lease: a proxy, or a wrong path.
    NotThisApi,
    /// A redirect, which is never followed: the token is for one server only.
    Redirect {
        /// The HTTP status code.
        code: u16,
    },
    /// A 2xx whose body is not this lease.
    Malformed(Malformation),
    /// A 2xx that does not show what was written.
    NotConfirmed,
    /// A write was refused because the record had changed (409).
    Conflict,
    /// A read showed an older state than one seen before.
    StaleRead,
    /// A write of ours may still be under way, and its fate could not be read.
    UnknownOutcome,
    /// The resource version is not an integer, so it cannot order terms.
    UnorderedResourceVersion,
    /// The resource version is not above an earlier term's: the cluster's storage was put back.
    TokenNotAbove,
    /// The finalizers of the object keep it, with our name in it, after it was deleted.
    HeldByFinalizers,
}

/// What is wrong with a 2xx body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Malformation {
    /// No JSON object, cut short, or not UTF-8.
    NotJson,
    /// Not a `coordination.k8s.io/v1` `Lease`.
    NotALease,
    /// Another lease than the one that was asked for.
    OtherObject,
    /// `metadata.uid` or `metadata.resourceVersion` is missing or empty.
    NoVersion,
    /// A line of a watch that is no event.
    NotAnEvent,
}

/// An RBAC verb.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Verb {
    /// Reads.
    Get,
    /// POST.
    Create,
    /// PUT.
    Update,
    /// DELETE.
    Delete,
    /// GET of a stream of changes.
    Watch,
}

impl fmt::Display for Verb {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Get => "get",
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Watch => "watch",
        })
    }
}

/// What an API server said, at most 512 bytes of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Message(Box<str>);

impl Message {
    const MOST: usize = 512;

    pub(crate) fn new(text: &str) -> Self {
        let mut end = text.len().min(Self::MOST);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        Self(text[..end].into())
    }

    /// The words; empty when there were none.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Message {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(formatter, " (the server says: {})", self.0) }
    }
}

impl Problem {
    /// Whether trying again soon is pointless: somebody has to change something first.
    pub fn is_permanent(&self) -> bool {
        matches!(
            self,
            Self::Unauthorized
                | Self::Forbidden { .. }
                | Self::NamespaceMissing
                | Self::NamespaceTerminating
                | Self::LeaseMissing { .. }
                | Self::Refused { .. }
                | Self::UnorderedResourceVersion
                | Self::TokenNotAbove
                | Self::HeldByFinalizers
        )
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => formatter.write_str("the API server did not answer in time"),
            Self::Transport => formatter.write_str("the connection to the API server failed"),
            Self::TooLarge => formatter.write_str("the response is longer than max_body"),
            Self::TooManyRequests { retry_after: Some(pause) } => {
                write!(formatter, "the API server is overloaded and asks for a pause of {pause:?}")
            }
            Self::TooManyRequests { retry_after: None } => {
                formatter.write_str("the API server is overloaded")
            }
            Self::Status { code, message } => write!(formatter, "unexpected status {code}{message}"),
            Self::Unauthorized => formatter
                .write_str("the API server does not accept the credentials: check token or certificate"),
            Self::Forbidden { verb, message } => write!(
                formatter,
                "RBAC does not allow to {verb} leases: grant the verb \"{verb}\" on \"leases\" in \
                 \"coordination.k8s.io\" in the lease's namespace{message}"
            ),
            Self::NamespaceMissing => formatter.write_str("the namespace does not exist: create it"),
            Self::NamespaceTerminating => formatter.write_str("the namespace is being deleted"),
            // The names were validated: a shell takes them as they are.
            Self::LeaseMissing { namespace, name } => write!(
                formatter,
                "lease {namespace}/{name} does not exist, and this holder only uses what exists: create it with \
                 kubectl create -f - <<< '{{\"apiVersion\":\"coordination.k8s.io/v1\",\"kind\":\"Lease\",\
                 \"metadata\":{{\"namespace\":\"{namespace}\",\"name\":\"{name}\"}}}}'"
            ),
            Self::Refused { code, message } => {
                write!(formatter, "the API server refuses the request as wrong, status {code}{message}")
            }
            Self::NotThisApi => formatter.write_str(
                "a 404 that does not come from the Lease API: check the server's address and what proxies do",
            ),
            Self::Redirect { code } => write!(
                formatter,
                "a redirect (status {code}), which is never followed: configure the API server's own address"
            ),
            Self::Malformed(what) => write!(formatter, "the response is not this lease: {what}"),
            Self::NotConfirmed => formatter.write_str("the response does not show what was written"),
            Self::Conflict => formatter.write_str("the record had changed"),
            Self::StaleRead => formatter.write_str("a read showed an older state than one seen before"),
            Self::UnknownOutcome => {
                formatter.write_str("a write may still be under way; its fate is unknown")
            }
            Self::UnorderedResourceVersion => formatter
                .write_str("the resource version is not an integer, so it cannot serve as a fencing token"),
            Self::TokenNotAbove => formatter.write_str(
                "the resource version is not above an earlier term's: was the cluster's storage restored? \
                 Restart the holder and reset the resources that check tokens",
            ),
            Self::HeldByFinalizers => {
                formatter.write_str("finalizers keep the deleted object: remove them or wait for their owner")
            }
        }
    }
}

impl Error for Problem {}

impl fmt::Display for Malformation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NotJson => "it is not a JSON object",
            Self::NotALease => "it is not a coordination.k8s.io/v1 Lease",
            Self::OtherObject => "it is another object",
            Self::NoVersion => "it has no uid or no resourceVersion",
            Self::NotAnEvent => "it is not an event of a watch",
        })
    }
}
