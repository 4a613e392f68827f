//! All schedules of small configurations, exhaustively: the very core that runs in production, a handful of
//! clock ticks, and everything that can happen between them.
//!
//! A search starts with the processes just started and follows, breadth first, every order of: a tick of
//! time; a request that arrives, an answer that comes back, a timer that fires, each at once or at any later
//! time (that is loss, delay, reordering and pauses); a connection that breaks; an abandoned write that lands
//! late; and, as far as the budgets in [`Settings`] go, a clock that runs ahead, a crash and a restart, a
//! release, an administrator's delete, an object that is made again. It ends when no new state turns up, when
//! [`Settings::most_states`] are reached, or when an invariant is broken; the schedule that leads there is
//! then a shortest one.
//!
//! # What counts as one state
//!
//! Two states are one when they have the same fingerprint. It is made of what the machines name to a
//! [`View`](lease_core::View) and of the requests under way, and leaves out what cannot matter any more:
//!
//! * *Clock readings* are relative to the present. What is due is due; a write older than V grants nothing,
//!   so of older ones only the order counts.
//! * *Resource versions* are compared with those of records yet to be read, and all of those are in an answer
//!   under way, in the store, or newer than both. So of each only that comparison counts.
//! * *UIDs, nonces and stamps* are only asked for equality: they are named in the order in which they turn
//!   up. Stamps that no record can show any more, with the attempts that they belong to, are left out. Where
//!   rule (b) is on, a stamp's age is added, up to where every record has expired.
//! * *Requests*: a conditional write whose condition can never hold again is dropped.
//! * *Holders* that differ in nothing but their names can be exchanged ([`Settings::symmetric`]).
//! * *Jitter* is switched off: pauses last as long as they can, and late wake-ups cover what is longer. A
//!   POST whose fate is unknown is taken to land for ever, instead of for 120 s.
//!
//! `tests/explore.rs` checks that: the counts must not depend on which of two equal states is found first, and
//! equal states must behave alike under random common continuations.
//!
//! # What is not explored
//!
//! Anything finer than [`Settings::tick`], jitter that makes a pause shorter, more than [`Settings::late`]
//! abandoned writes at once, 32 own writes under way, `Date` headers, 401s and other refusals, edits by
//! others, finalizers, wall clocks that step. The simulator draws those at random.

mod configurations;
mod explain;
mod heal;
mod search;
mod server;
#[cfg(test)]
mod tests;
mod view;
mod world;

use std::fmt;
use std::time::Duration;

use lease_core::{Config, FencingToken};

#[cfg(feature = "mutants")]
pub use self::configurations::hunts;
pub use self::configurations::{Expected, NamedSettings, named};
pub use self::search::{Explorer, explore};

/// A configuration to explore. Start from [`Settings::new`].
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who contends: one to three configurations for the lease `default/job`. They campaign from the start.
    pub holders: Vec<Config>,
    /// The step of time. All settings of the holders should be multiples of it, or below one.
    pub tick: Duration,
    /// Whether the holders differ in nothing but their identities.
    pub symmetric: bool,
    /// Whether the search starts with an object that names nobody, instead of with none.
    pub empty_lease: bool,
    /// How many abandoned writes may be under way at once; more are lost.
    pub late: usize,
    /// How many ticks clocks may run ahead of each other, together.
    pub drift: u8,
    /// How many crashes there may be. A process that crashed may come back at any time.
    pub crashes: u8,
    /// How often an administrator may delete the object.
    pub deletes: u8,
    /// How often an administrator may delete the object and make it again, at once or later, blank or from a
    /// copy of what it said at any time before.
    pub remakes: u8,
    /// How often applications may give the lease back; they may campaign again at any time.
    pub releases: u8,
    /// Whether connections break, so that a request is abandoned before its time.
    pub breaks: bool,
    /// How many ticks each holder's wall clock is ahead of true time.
    pub walls: Vec<i64>,
    /// Whether all wall clocks stand still at one and the same instant.
    pub frozen_walls: bool,
    /// What the server does wrong.
    pub hostility: Hostility,
    /// The search gives up beyond this many states: a bound for memory, some 2 KiB each while they are new and
    /// 30 bytes later.
    pub most_states: usize,
    /// From which states it is checked that somebody holds in time when all trouble ends.
    pub liveness: Option<Liveness>,
    /// Takes the actions of each state in the opposite order. Nothing but the choice of representatives and
    /// counterexamples may change.
    pub reversed: bool,
}

/// That somebody holds before long once nothing goes wrong any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Liveness {
    /// One of so many states is tried, chosen by its fingerprint.
    pub one_of: u64,
    /// Within so many ticks.
    pub within: u32,
}

/// What a server does wrong: to see that the search finds it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hostility {
    /// Nothing.
    #[default]
    None,
    /// It applies a PUT or DELETE whatever its resource version is.
    IgnoresVersions,
    /// It applies a PUT or DELETE whatever its UID is; a PUT to an absent object creates it.
    IgnoresUids,
}

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Broken {
    /// Two applications are told at the same instant that they hold the lease.
    TwoHolders {
        /// By its index in [`Settings::holders`].
        first: usize,
        /// The other.
        second: usize,
    },
    /// An application is told that it holds the lease, but the last applied write is not its holder's.
    NotBacked {
        /// Whose.
        holder: usize,
    },
    /// A PUT without UID or resource version, or a DELETE without such preconditions.
    Unconditional {
        /// Whose.
        holder: usize,
    },
    /// A term whose token is not above that of every earlier term.
    TokenNotAbove {
        /// Whose term.
        holder: usize,
        /// Its token.
        token: FencingToken,
    },
    /// A request that no server could read.
    Unreadable {
        /// Whose.
        holder: usize,
    },
    /// Nothing goes wrong any more, and still nobody holds.
    Stuck {
        /// After so many ticks.
        ticks: u32,
    },
}

/// What a search has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Different states.
    pub states: usize,
    /// States generated, those that were known already included.
    pub generated: usize,
    /// The length of the longest of all shortest schedules.
    pub depth: usize,
    /// States in which somebody holds: a search in which nobody does shows nothing.
    pub held: usize,
    /// States from which liveness was tried.
    pub healed: usize,
    /// Whether all states were visited.
    pub complete: bool,
    /// What is broken, and how to get there.
    pub violation: Option<Counterexample>,
}

/// A shortest schedule that breaks an invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counterexample {
    /// What is broken at its end.
    pub broken: Broken,
    /// What happens, one line each.
    pub schedule: Vec<String>,
}

impl Settings {
    /// These holders, one-second ticks, nothing goes wrong but delay and loss.
    pub fn new(holders: Vec<Config>) -> Self {
        Self {
            holders,
            tick: Duration::from_secs(1),
            symmetric: false,
            empty_lease: false,
            late: 0,
            drift: 0,
            crashes: 0,
            deletes: 0,
            remakes: 0,
            releases: 0,
            breaks: false,
            walls: Vec::new(),
            frozen_walls: false,
            hostility: Hostility::None,
            most_states: 5_000_000,
            liveness: None,
            reversed: false,
        }
    }

    /// The age from which on no stamp makes a difference, in microseconds; `None` where no age does.
    fn oldest_stamp(&self) -> Option<i64> {
        let skew = self.holders.iter().filter_map(Config::max_clock_skew).max()?;
        let durations = self.holders.iter().map(|config| {
            let duration = Duration::from_secs(u64::from(config.lease_duration_seconds().unsigned_abs()));
            duration + config.takeover_delay() + config.foreign_holder_grace()
        });
        let apart = self.walls.iter().map(|ahead| ahead.unsigned_abs()).max().unwrap_or(0);
        let apart = self.tick * u32::try_from(apart).unwrap_or(u32::MAX);
        let oldest = durations.max()? + skew + 2 * apart + self.tick;
        i64::try_from(oldest.as_micros()).ok()
    }

    fn interchangeable(&self) -> bool {
        self.symmetric && self.oldest_stamp().is_none() && !self.frozen_walls
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TwoHolders { first, second } => {
                write!(formatter, "holders {first} and {second} believe at the same instant")
            }
            Self::NotBacked { holder } => {
                write!(formatter, "holder {holder} believes, but the last applied write is not its own")
            }
            Self::Unconditional { holder } => {
                write!(formatter, "holder {holder} sends a write without UID or resource version")
            }
            Self::TokenNotAbove { holder, token } => {
                write!(
                    formatter,
                    "holder {holder} begins a term with token {token}, not above all earlier ones"
                )
            }
            Self::Unreadable { holder } => {
                write!(formatter, "holder {holder} sends what no server can read")
            }
            Self::Stuck { ticks } => {
                write!(formatter, "nobody holds {ticks} ticks after the end of all trouble")
            }
        }
    }
}

impl fmt::Display for Counterexample {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, line) in (1..).zip(&self.schedule) {
            writeln!(formatter, "{number:3}  {line}")?;
        }
        write!(formatter, "     {}", self.broken)
    }
}
