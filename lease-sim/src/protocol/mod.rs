//! What the world drives: a holder as a value that turns inputs into requests.
//!
//! [`lease_core::Lease`] is one. The others are models of what other libraries publish as their protocol,
//! written anew as small state machines so that all of them can meet the same schedules: see
//! [`ProtocolKind`]. They are models of protocols, not those libraries' code.

mod client_go;
mod common;
mod kube_leader_election;
mod kube_lease_manager;
mod kubernetes_lease;
mod kubert;

pub use client_go::ClientGo;
pub use common::PeerSettings;
pub use kube_leader_election::KubeLeaderElection;
pub use kube_lease_manager::KubeLeaseManager;
pub use kubernetes_lease::KubernetesLease;
pub use kubert::Kubert;

use std::error::Error;
use std::fmt;
use std::str::FromStr;

use lease_core::{Input, Lease, MonoTime, Now, Output};

/// A holder of one lease, whatever protocol it follows. [`lease_core::Lease`] is one; the models of other
/// libraries' protocols are others.
///
/// The driver's side of the contract is that of [`lease_core`]: hand in an input with the two clocks, drain
/// [`poll`](Self::poll) until [`Output::Idle`], come back with [`Input::Tick`] at its `wake`.
pub trait Protocol: Send {
    /// Takes in what happened.
    fn handle(&mut self, now: Now, input: Input);
    /// The next thing to do or to know.
    fn poll(&mut self) -> Output;
    /// Until when this holder would tell its application that it holds the lease if nothing else happened:
    /// `None` when it does not hold it at `now`, the end of the clock where its answer never expires.
    fn held_until(&self, now: MonoTime) -> Option<MonoTime>;
}

impl Protocol for Lease {
    fn handle(&mut self, now: Now, input: Input) {
        Lease::handle(self, now, input);
    }

    fn poll(&mut self) -> Output {
        Lease::poll(self)
    }

    fn held_until(&self, now: MonoTime) -> Option<MonoTime> {
        self.check_alive(now).map(|held| held.until)
    }
}

/// The protocols of others that are modelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProtocolKind {
    /// [`KubernetesLease`].
    KubernetesLease,
    /// [`ClientGo`].
    ClientGo,
    /// [`KubeLeaderElection`].
    KubeLeaderElection,
    /// [`KubeLeaseManager`].
    KubeLeaseManager,
    /// [`Kubert`].
    Kubert,
}

impl ProtocolKind {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::KubernetesLease,
        Self::ClientGo,
        Self::KubeLeaderElection,
        Self::KubeLeaseManager,
        Self::Kubert,
    ];

    /// The name, as [`FromStr`] reads it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::KubernetesLease => "kubernetes-lease",
            Self::ClientGo => "client-go",
            Self::KubeLeaderElection => "kube-leader-election",
            Self::KubeLeaseManager => "kube-lease-manager",
            Self::Kubert => "kubert",
        }
    }

    /// Which version's protocol it is.
    #[must_use]
    pub const fn version(self) -> &'static str {
        match self {
            Self::KubernetesLease => "actor-ts d219e970",
            Self::ClientGo => "1.20.2",
            Self::KubeLeaderElection => "0.44.0",
            Self::KubeLeaseManager => "0.13.1",
            Self::Kubert => "0.25.0",
        }
    }

    /// A holder that follows this protocol and waits for its first command.
    #[must_use]
    pub fn start(self, settings: PeerSettings) -> Box<dyn Protocol> {
        match self {
            Self::KubernetesLease => Box::new(KubernetesLease::new(settings)),
            Self::ClientGo => Box::new(ClientGo::new(settings)),
            Self::KubeLeaderElection => Box::new(KubeLeaderElection::new(settings)),
            Self::KubeLeaseManager => Box::new(KubeLeaseManager::new(settings)),
            Self::Kubert => Box::new(Kubert::new(settings)),
        }
    }
}

impl fmt::Display for ProtocolKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.name(), self.version())
    }
}

/// A name that is none of [`ProtocolKind::ALL`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownProtocol(String);

impl fmt::Display for UnknownProtocol {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known: Vec<&str> = ProtocolKind::ALL.iter().map(|kind| kind.name()).collect();
        write!(formatter, "no protocol is called {:?}; known are {}", self.0, known.join(", "))
    }
}

impl Error for UnknownProtocol {}

impl FromStr for ProtocolKind {
    type Err = UnknownProtocol;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|kind| kind.name() == text).ok_or_else(|| UnknownProtocol(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for kind in ProtocolKind::ALL {
            assert_eq!(kind.name().parse(), Ok(kind));
            assert!(kind.to_string().ends_with(kind.version()));
        }
        let error = "zookeeper".parse::<ProtocolKind>().unwrap_err().to_string();
        assert!(error.contains("zookeeper") && error.contains("kubert"), "{error}");
    }
}
