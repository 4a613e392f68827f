//! A plan: everything that is decided before a run begins. A run is a pure function of its plan.

mod faults;
mod network;
mod settings;
pub mod shrink;
mod source;
#[cfg(feature = "proptest")]
pub mod strategy;
mod swarm;
mod text;
mod watches;

pub use crate::splitmix::mix;
pub use faults::{Edit, FAULT_NAMES, Fault, FaultKind, Refusal, Way};
pub use network::{Deed, Fate, Garbage, Network, Throttle};
pub(crate) use settings::{NAME, NAMESPACE, PATH};
pub use source::{Seeded, Source, Tape};
pub use swarm::{Scenario, Swarm};
pub use text::{PlanError, TapeError};
pub use watches::WatchFaults;
pub(crate) use watches::{DEAF, Opening, Pieces, Telling};

use serde::{Deserialize, Serialize, Serializer};

/// A second, in nanoseconds.
pub(crate) const SECOND: u64 = 1_000_000_000;
/// A millisecond, in nanoseconds.
pub(crate) const MILLISECOND: u64 = 1_000_000;

/// One run, before it runs. Instants and spans are nanoseconds of true time since the beginning.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Feeds what the plan does not spell out: seeds of holders, UIDs, and the fate of each request.
    pub seed: u64,
    /// When the run ends.
    pub length: u64,
    /// When all faults end: from here on somebody has to hold, within a bound.
    pub heals_at: u64,
    /// What is there at the beginning.
    pub beginning: Beginning,
    /// Who contends.
    pub holders: Vec<HolderPlan>,
    /// What the network does to each request.
    pub network: Network,
    /// What goes wrong with watches.
    #[serde(default, skip_serializing_if = "WatchFaults::is_plain")]
    pub watches: WatchFaults,
    /// What goes wrong when, in the order of time.
    pub faults: Vec<Fault>,
    /// The fate of single requests. Where it is given, every other request is simply carried: that is what
    /// shrinking makes of a network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fates: Option<Vec<(RequestKey, Fate)>>,
    /// What happens to the holder after all has healed.
    pub ending: Ending,
}

/// Names one request of a run whatever happens to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RequestKey {
    /// Whose.
    pub holder: u8,
    /// Which incarnation's, from 1.
    pub incarnation: u32,
    /// Which of its requests, from 1.
    pub number: u64,
}

impl RequestKey {
    /// What tells its choices from those of other requests.
    const fn domain(self) -> u64 {
        mix((self.holder as u64) << 32 | self.incarnation as u64) ^ self.number
    }
}

/// What is there at the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Beginning {
    /// Nothing.
    #[default]
    Absent,
    /// An object that names nobody, as a manifest makes it.
    Empty,
    /// A record whose holder has been dead for long.
    LongDead,
    /// A record that a stranger wrote just now, and died.
    JustDied,
    /// A record that the first holder's identity wrote just now, in another incarnation.
    Reclaimable,
}

/// What happens to the holder after all has healed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Nothing.
    #[default]
    Quiet,
    /// It releases, and another has to follow soon.
    Release,
    /// Its process dies for good, and another has to follow.
    Crash,
}

/// One holder.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HolderPlan {
    /// The number in its identity, where it is not its own place in the list: two with one are twins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<u8>,
    /// When its process starts.
    pub starts_at: u64,
    /// The lease's time to live, in milliseconds.
    pub ttl: u64,
    /// The safety margin, in milliseconds.
    pub margin: u64,
    /// How long a request may take, in milliseconds.
    pub request_timeout: u64,
    /// How far wall clocks may be apart, in milliseconds; `None`: they decide nothing.
    pub max_clock_skew: Option<u64>,
    /// Releases by clearing the record, and creates in quarantine.
    pub vacate: bool,
    /// Between creating an object and a term, in milliseconds: at least the longest ttl of the fleet.
    pub quarantine: u64,
    /// Takes no record of its own identity for its own.
    pub contend: bool,
    /// How it is driven.
    pub drive: Drive,
    /// Its clocks.
    pub clock: ClockPlan,
    /// Its timers come late by up to this many nanoseconds.
    pub lateness: u64,
    /// Its driver also wakes it when nothing is due.
    pub wakes_early: bool,
    /// Waited after an expiry on top of it, in milliseconds.
    pub takeover_delay: u64,
    /// Waited on top for records of other implementations, in milliseconds.
    pub foreign_holder_grace: u64,
    /// Watches the object.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub watch: bool,
}

/// How an application drives its holder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Drive {
    /// `Campaign`, once.
    #[default]
    Campaign,
    /// `TryAcquire`, again after each end, with this many milliseconds between.
    TryAcquire(u64),
    /// `TryAcquire`, and `Release` if it has not succeeded after so many milliseconds; then the same again.
    Impatient(u64),
}

/// The clocks of one holder's machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClockPlan {
    /// What the monotonic clock shows at the beginning, in nanoseconds.
    pub origin: u64,
    /// How much faster than true time it runs, in millionths.
    pub rate: i32,
    /// If not zero, it runs that much faster for half of this span and that much slower for the other half.
    pub wave: u64,
    /// How far the wall clock is ahead of true time, in microseconds.
    pub wall_offset: i64,
}

impl HolderPlan {
    /// A holder with lease-core's defaults for this ttl, in milliseconds, and perfect clocks, that campaigns.
    #[must_use]
    pub fn usual(ttl: u64, starts_at: u64) -> Self {
        Self {
            name: None,
            starts_at,
            ttl,
            margin: ttl / 10,
            request_timeout: ttl / 5,
            max_clock_skew: Some(ttl.max(10_000)),
            vacate: false,
            quarantine: ttl.div_ceil(1000) * 1000,
            contend: false,
            drive: Drive::Campaign,
            clock: ClockPlan::default(),
            lateness: 0,
            wakes_early: false,
            takeover_delay: 0,
            foreign_holder_grace: 0,
            watch: false,
        }
    }

    /// V, in milliseconds.
    pub(crate) const fn validity(&self) -> u64 {
        self.ttl - self.margin
    }

    /// The duration that it writes, in milliseconds.
    pub(crate) const fn duration(&self) -> u64 {
        self.ttl.div_ceil(1000) * 1000
    }

    /// The greatest rate error of all clocks that this margin allows, in millionths: V/(1-ρ) ≤ W/(1+ρ).
    pub(crate) const fn most_rate(&self) -> i32 {
        let (v, w) = (self.validity() as i64, self.duration() as i64);
        ((w - v) * 1_000_000 / (w + v)) as i32
    }
}

/// An assumption of the safety argument that a plan breaks on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Assumption {
    /// Monotonic clocks keep their rate within what the margin allows.
    ClockRate,
    /// Monotonic clocks count suspends.
    ClockCountsSuspend,
    /// Wall clocks are within half of `max_clock_skew` of true time.
    WallClock,
    /// Live processes have different identities, or none is reclaimed.
    OneProcessPerIdentity,
    /// Readings that come with an answer are taken after it came.
    Readings,
    /// The storage is not restored from a backup.
    Storage,
}

impl Assumption {
    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ClockRate => "clock-rate",
            Self::ClockCountsSuspend => "clock-counts-suspend",
            Self::WallClock => "wall-clock",
            Self::OneProcessPerIdentity => "one-process-per-identity",
            Self::Readings => "readings",
            Self::Storage => "storage",
        }
    }
}

/// By its [name](Assumption::name).
impl Serialize for Assumption {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl Plan {
    /// The assumptions that this plan breaks. Where there is none, no two terms may overlap.
    #[must_use]
    pub fn broken_assumptions(&self) -> Vec<Assumption> {
        let rate = swarm::most_rate(&self.holders);
        let wall = swarm::most_wall(&self.holders);
        let mut broken = Vec::new();
        if self.holders.iter().any(|holder| holder.clock.rate.abs() > rate) {
            broken.push(Assumption::ClockRate);
        }
        if self.holders.iter().any(|holder| holder.clock.wall_offset.abs() > wall) {
            broken.push(Assumption::WallClock);
        }
        let reclaims = self.holders.iter().any(|holder| !holder.contend);
        let mut names: Vec<_> =
            (0..).zip(&self.holders).map(|(index, holder)| holder.name.unwrap_or(index)).collect();
        names.sort_unstable();
        if reclaims && names.windows(2).any(|pair| pair[0] == pair[1]) {
            broken.push(Assumption::OneProcessPerIdentity);
        }
        for fault in &self.faults {
            match fault.what {
                FaultKind::Suspend { .. } => broken.push(Assumption::ClockCountsSuspend),
                FaultKind::WallStep { offset, .. } if offset.abs() > wall => {
                    broken.push(Assumption::WallClock)
                }
                FaultKind::WallFreeze { holder, span } => {
                    // It falls behind from where it stands when it stops.
                    let steps = self.faults.iter().take_while(|step| step.at <= fault.at);
                    let stepped = steps.filter_map(|step| match step.what {
                        FaultKind::WallStep { holder: whose, offset } if whose == holder => Some(offset),
                        _ => None,
                    });
                    let planned = self.holders.get(usize::from(holder)).map(|own| own.clock.wall_offset);
                    let offset = stepped.last().or(planned).unwrap_or(0);
                    if offset.saturating_sub((span / 1000) as i64) < -wall {
                        broken.push(Assumption::WallClock);
                    }
                }
                FaultKind::Twin { .. } if reclaims => broken.push(Assumption::OneProcessPerIdentity),
                FaultKind::AnswerFromPast { .. } => broken.push(Assumption::Readings),
                FaultKind::Rollback => broken.push(Assumption::Storage),
                _ => {}
            }
        }
        broken.sort_unstable();
        broken.dedup();
        broken
    }
}
