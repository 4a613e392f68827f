//! Small identifiers: who holds, which request, which term.

use std::fmt;
use std::sync::Arc;

/// What seeds a machine's jitter and its nonce: 128 bits.
///
/// Adapters draw it from the operating system. Two machines with equal seeds *and* equal identities cannot
/// tell each other's records apart, so equal seeds are misuse outside of tests and simulations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seed(pub u128);

/// Correlates a [`Send`](crate::Action::Send) with its response. Grows, and is never reused by one machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

impl fmt::Display for RequestId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "#{}", self.0)
    }
}

/// A number that strictly grows with every term of one lease: the resource version of the acquiring write.
///
/// Hand it to the protected resource with every side effect and let the resource refuse anything below the
/// highest one it has seen: that, and nothing else, protects against a process that was paused between
/// asking and acting. Comparable for one lease of one cluster (Kubernetes documents resource versions as
/// ordered integers since v1.35, KEP-5504); an etcd that was restored from a backup can count back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FencingToken(u64);

impl FencingToken {
    /// A token with this number.
    pub const fn from_u64(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

impl fmt::Display for FencingToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)
    }
}

/// The name that a holder writes into `spec.holderIdentity`. Never empty.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity(Arc<str>);

impl Identity {
    pub(crate) fn new(name: &str) -> Self {
        debug_assert!(!name.is_empty(), "an empty identity would be an unowned lease");
        Self(name.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// 128 bits that tell one incarnation of a holder from every other, kept in an annotation on the Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nonce(pub(crate) u128);

impl fmt::Display for Nonce {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:032x}", self.0)
    }
}
