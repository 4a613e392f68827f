//! Why a configuration is refused, with the numbers that do not fit.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use super::OwnerReference;

const QUALIFIED: &str = "is no qualified name: use 1 to 63 of A-Z, a-z, 0-9, -, _ and ., starting and ending \
with a letter or digit, and before it, if you like, a DNS subdomain and /, as in example.com/name";

/// Why [`ConfigBuilder::build`](super::ConfigBuilder::build) refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// A setting that has no default was not given.
    Missing {
        /// Its name.
        setting: &'static str,
    },
    /// The namespace is not an RFC 1123 label.
    Namespace {
        /// What was given.
        given: String,
    },
    /// The name is not an RFC 1123 subdomain.
    Name {
        /// What was given.
        given: String,
    },
    /// The identity is empty, too long, blank at an end or has control characters.
    Identity {
        /// What was given.
        given: String,
    },
    /// A label's key is not a qualified name.
    LabelKey {
        /// What was given.
        given: String,
    },
    /// A label's value has other characters than allowed, or is too long.
    LabelValue {
        /// The label.
        key: String,
        /// What was given.
        given: String,
    },
    /// An annotation's key is not a qualified name.
    AnnotationKey {
        /// What was given.
        given: String,
    },
    /// An annotation's key is one of those that the protocol keeps its marks under.
    OwnAnnotation {
        /// What was given.
        given: String,
    },
    /// The annotations are longer than the API server takes.
    AnnotationsTooLarge {
        /// The bytes of all keys and values.
        given: usize,
        /// What the API server takes, less what we write ourselves.
        allowed: usize,
    },
    /// An owner reference that the API server would refuse.
    OwnerReference {
        /// What was given.
        owner: Box<OwnerReference>,
        /// Which of its fields is wrong, by the name it has in Kubernetes.
        field: &'static str,
        /// Why, in words.
        reason: &'static str,
    },
    /// Two owner references say that they are the controller.
    TwoControllers {
        /// Kind and name.
        first: String,
        /// Kind and name.
        second: String,
    },
    /// A setting about creating or deleting the object, for a holder that does neither.
    ExistingOnly {
        /// The setting.
        setting: &'static str,
    },
    /// A duration or number lies outside of its range.
    OutOfRange {
        /// The setting.
        setting: &'static str,
        /// What was given.
        given: String,
        /// The range, in words.
        allowed: String,
    },
    /// A failed renewal could not be repeated and answered before the term ends by itself.
    NoTimeToRenew {
        /// `renew_interval`.
        renew_interval: Duration,
        /// `request_timeout`; it counts twice.
        request_timeout: Duration,
        /// `retry_delay`.
        retry_delay: Duration,
        /// What they have to fit into: `ttl - safety_margin`.
        validity: Duration,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { setting } => write!(formatter, "`{setting}` has no default: set it"),
            Self::Namespace { given } => write!(
                formatter,
                "namespace {given:?} is not an RFC 1123 label: use 1 to 63 of a-z, 0-9 and -, \
                 starting and ending with a letter or digit"
            ),
            Self::Name { given } => write!(
                formatter,
                "lease name {given:?} is not an RFC 1123 subdomain: use up to 253 of a-z, 0-9, - and ., \
                 each part starting and ending with a letter or digit"
            ),
            Self::Identity { given } => write!(
                formatter,
                "identity {given:?} names nobody: use 1 to 1024 bytes without control characters and \
                 without blanks at the ends, for example the pod's name and a random suffix"
            ),
            Self::LabelKey { given } => write!(formatter, "label key {given:?} {QUALIFIED}"),
            Self::LabelValue { key, given } => write!(
                formatter,
                "label {key} has the value {given:?}: use up to 63 of A-Z, a-z, 0-9, -, _ and ., starting and \
                 ending with a letter or digit, or nothing at all"
            ),
            Self::AnnotationKey { given } => write!(formatter, "annotation key {given:?} {QUALIFIED}"),
            Self::OwnAnnotation { given } => write!(
                formatter,
                "annotation key {given:?} begins with what this library keeps its own marks under: use another"
            ),
            Self::AnnotationsTooLarge { given, allowed } => write!(
                formatter,
                "the annotations have {given} bytes, keys and values; {allowed} are what the API server takes \
                 beside our own"
            ),
            Self::OwnerReference { owner, field, reason } => write!(
                formatter,
                "the owner reference to {:?} {:?} has a wrong {field}: {reason}",
                owner.kind, owner.name
            ),
            Self::TwoControllers { first, second } => write!(
                formatter,
                "both {first} and {second} are given as the owner that is the controller: only one can be"
            ),
            Self::ExistingOnly { setting: "release_policy" } => formatter.write_str(
                "`release_policy` is Delete, but an `existing_only` holder never deletes: leave it out, or say \
                 Vacate, on every contender",
            ),
            Self::ExistingOnly { setting } => write!(
                formatter,
                "`{setting}` is written when the object is created, which an `existing_only` holder never does: \
                 put it into the manifest that creates the object"
            ),
            Self::OutOfRange { setting, given, allowed } => {
                write!(formatter, "`{setting}` is {given}, allowed is {allowed}")
            }
            Self::NoTimeToRenew { renew_interval, request_timeout, retry_delay, validity } => write!(
                formatter,
                "one slow reply would cost the lease: renew_interval {renew_interval:?} + 2 x request_timeout \
                 {request_timeout:?} + retry_delay {retry_delay:?} is more than ttl - safety_margin, \
                 {validity:?}; make one of them shorter or the ttl longer"
            ),
        }
    }
}

impl Error for ConfigError {}
