//! What a holder must be told, validated before anything is sent.

mod builder;
mod creation;
mod error;
mod names;

use std::collections::BTreeMap;
use std::time::Duration;

pub use builder::ConfigBuilder;
pub(crate) use creation::Creation;
pub use creation::OwnerReference;
pub use error::ConfigError;

use crate::identifiers::Identity;
#[cfg(feature = "mutants")]
use crate::mutants::Mutant;
use crate::mutated::mutated;
use crate::wire::Paths;

/// How the lease is given back. One choice for every contender of a lease.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReleasePolicy {
    /// Release deletes the object; absence means free; a POST holds at once (the default).
    ///
    /// An administrator's delete during a term opens a window in which another contender can create the
    /// object and hold, until the first holder's next answered request: `ttl - safety_margin` at worst.
    #[default]
    Delete,
    /// Release clears `holderIdentity` and leaves the object; absence means that somebody meddled.
    ///
    /// Whoever finds the object absent creates it and renews it, but starts its term only after
    /// [`ConfigBuilder::quarantine`]. That closes the window that `Delete` leaves open, at the price of a
    /// wait when the object is created for the first time. A manifest with an empty Lease spares that wait; where
    /// manifests are applied again after a delete, [`ConfigBuilder::existing_only`] closes the window too.
    Vacate,
}

/// What to make of a record that carries our identity but was written by another incarnation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SameIdentity {
    /// At this incarnation's first read it is ours to take at once: we restarted (the default).
    ///
    /// Asks that no two live processes share an identity; two that do overlap once, for one term at most.
    #[default]
    Reclaim,
    /// It always counts as a live other: wait until it expires. Safe with shared identities.
    Contend,
}

/// A validated configuration. Made by [`Config::builder`].
///
/// | setting | default | range |
/// | --- | --- | --- |
/// | `namespace`, `name`, `identity`, `ttl` | none | see the setters |
/// | `renew_interval` | ttl / 3 | 1 ms up; with the two below it must fit into the term |
/// | `request_timeout` | ttl / 5 | 1 ms up |
/// | `retry_delay` | ttl / 30 | 1 ms up |
/// | `safety_margin` | ttl / 10 | ttl / 100 to below ttl |
/// | `acquire_retries` | 3 | 0 to 1000 |
/// | `acquire_retry_delay` | 100 ms | 1 ms to 60 s |
/// | `poll_interval` | ttl / 3, 1 h at most | 10 ms to 1 h |
/// | `release_timeout` | ttl, 1 h at most | 1 ms to 1 h |
/// | `max_clock_skew` | max(ttl, 10 s), 1 day at most | `None` or up to 1 day |
/// | `max_foreign_ttl` | max(1 h, ttl) | ⌈ttl⌉ s to 68 years |
/// | `foreign_holder_grace`, `takeover_delay` | 0 | up to 1 h |
/// | `quarantine` | ttl | ttl to 1 day |
/// | `same_identity` | `Reclaim` | |
/// | `release_policy` | `Delete`; `Vacate` with `existing_only` | |
/// | `existing_only` | off | |
/// | `watch` | off | |
/// | `max_body` | 1 MiB | 4 KiB to 16 MiB |
/// | `label`, `annotation`, `owner_reference` | none | what the API server takes |
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Config {
    namespace: Box<str>,
    name: Box<str>,
    identity: Identity,
    ttl: Duration,
    lease_duration_seconds: i32,
    renew_interval: Duration,
    request_timeout: Duration,
    retry_delay: Duration,
    safety_margin: Duration,
    acquire_retries: u32,
    acquire_retry_delay: Duration,
    poll_interval: Duration,
    release_timeout: Duration,
    max_clock_skew: Option<Duration>,
    max_foreign_ttl: Duration,
    foreign_holder_grace: Duration,
    takeover_delay: Duration,
    quarantine: Duration,
    same_identity: SameIdentity,
    release_policy: ReleasePolicy,
    existing_only: bool,
    watch: bool,
    max_body: usize,
    creation: Creation,
    #[cfg(feature = "mutants")]
    mutant: Option<Mutant>,
    paths: Paths,
}

macro_rules! getters {
    ($($(#[$doc:meta])* $name:ident: $type:ty,)*) => {
        $($(#[$doc])* pub fn $name(&self) -> $type { self.$name })*
    };
}

impl Config {
    /// Starts a configuration. `namespace`, `name`, `identity` and `ttl` have no default.
    pub fn builder() -> ConfigBuilder {
        ConfigBuilder::default()
    }

    /// The Lease object's namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The Lease object's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What this holder writes into `spec.holderIdentity`.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The labels that the object is created with.
    pub fn labels(&self) -> &BTreeMap<String, String> {
        &self.creation.labels
    }

    /// The annotations that the object is created with, beside our own.
    pub fn annotations(&self) -> &BTreeMap<String, String> {
        &self.creation.annotations
    }

    /// The owners that the object is created with.
    pub fn owner_references(&self) -> &[OwnerReference] {
        &self.creation.owner_references
    }

    /// How long a term lasts after the emission of its last confirmed write: `ttl - safety_margin`.
    ///
    /// The argument's *V*. `leaseDurationSeconds` is ⌈ttl⌉, so every contender waits at least ⌈ttl⌉.
    pub fn validity(&self) -> Duration {
        mutated!(self, NoSafetyMargin, self.ttl, self.ttl - self.safety_margin)
    }

    /// What is written into `spec.leaseDurationSeconds`: ⌈ttl⌉ in seconds.
    pub fn lease_duration_seconds(&self) -> i32 {
        mutated!(self, DurationRoundedDown, crate::mutants::rounded_down(self), self.lease_duration_seconds)
    }

    /// The deliberate bug that is switched on. Only with the feature `mutants`.
    #[cfg(feature = "mutants")]
    pub fn mutant(&self) -> Option<Mutant> {
        self.mutant
    }

    /// The bound within which this holder keeps its own timestamps and the server's `Date`:
    /// `max_clock_skew`, or its default where rule (b) is switched off.
    pub(crate) fn skew_bound(&self) -> Duration {
        self.max_clock_skew.unwrap_or_else(|| default_max_clock_skew(self.ttl))
    }

    /// What the object is created with.
    pub(crate) fn creation(&self) -> &Creation {
        &self.creation
    }

    /// Where requests go.
    pub(crate) fn paths(&self) -> &Paths {
        &self.paths
    }

    /// ⌈ttl⌉ as a duration.
    pub(crate) fn lease_duration(&self) -> Duration {
        Duration::from_secs(u64::from(self.lease_duration_seconds.unsigned_abs()))
    }

    getters! {
        /// The lease's time to live, as configured.
        ttl: Duration,
        /// Between the emissions of two renewals in the steady state.
        renew_interval: Duration,
        /// After which an unanswered request counts as an unknown outcome.
        request_timeout: Duration,
        /// Before the first retry of a failed renewal; doubles up to `renew_interval`.
        retry_delay: Duration,
        /// What the holder believes less than it told the others.
        safety_margin: Duration,
        /// How often one attempt retries after a conflict or trouble.
        acquire_retries: u32,
        /// Before each of those retries; up to half of it is cut at random.
        acquire_retry_delay: Duration,
        /// How often a campaign looks at a lease that another holds; up to half of it is cut at random.
        poll_interval: Duration,
        /// After which a release that nobody confirms is given up.
        release_timeout: Duration,
        /// How far two wall clocks may be apart; `None`: no wall clock decides anything.
        max_clock_skew: Option<Duration>,
        /// The longest that a record's own duration is believed.
        max_foreign_ttl: Duration,
        /// Added to the wait for records that another implementation wrote.
        foreign_holder_grace: Duration,
        /// Added to the wait after an expiry, never after a release.
        takeover_delay: Duration,
        /// Between creating an object, or finding a new one, and the term: see [`ConfigBuilder::quarantine`].
        quarantine: Duration,
        /// What to make of a record with our identity that another incarnation wrote.
        same_identity: SameIdentity,
        /// How the lease is given back.
        release_policy: ReleasePolicy,
        /// Whether this holder works on an object that somebody else made, and neither creates nor deletes it.
        existing_only: bool,
        /// Whether this holder watches the object, beside what it does anyway.
        watch: bool,
        /// The longest response body that is read, in bytes.
        max_body: usize,
    }
}

/// Rule (b) is lenient by default: clocks that agree within 5 s, or within half a ttl.
fn default_max_clock_skew(ttl: Duration) -> Duration {
    ttl.max(Duration::from_secs(10))
}
