//! The same schedules for lease-core and for [models](crate::protocol) of what other libraries publish as
//! their protocol.
//!
//! The comparison leans towards the others wherever there is a choice:
//!
//! * Plans are made [fair](Comparison): faults of processes and networks, and nothing that a protocol is not
//!   made for.
//! * Two holders count as two only while both processes run, and only for what they would tell their
//!   application; what a record says in the meantime counts for nothing.
//! * A message that is lost becomes the news of a broken connection after 45 s, for those that would wait for
//!   an answer without end.
//! * They are models, labelled as such and with a version; [`scenarios()`] holds them against measurements of
//!   the real programs.
//!
//! Everything is a pure function of the seeds, whatever the number of threads.

mod fair;
mod measured;
mod scenarios;
mod sums;
mod watch;

pub use fair::{Clocks, fair};
pub use scenarios::{Round, Scenario, ScenarioRow, scenarios};
pub(crate) use watch::Watch;

use std::fmt;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

use self::sums::Sums;
use crate::plan::{Plan, Swarm};
use crate::protocol::ProtocolKind;
use crate::world::World;

/// How many seeds a thread takes at a time.
const CHUNK: u64 = 8;
/// Of that many seeds, the calm runs are made too: all of them say the same.
const CALM_SEEDS: u64 = 400;

/// Who takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Contestant {
    /// lease-core itself.
    LeaseCore,
    /// A model of another protocol.
    Model(ProtocolKind),
}

impl Contestant {
    /// All: lease-core and every model.
    pub const ALL: [Self; 1 + ProtocolKind::ALL.len()] = {
        let mut all = [Self::LeaseCore; 1 + ProtocolKind::ALL.len()];
        let mut index = 0;
        while index < ProtocolKind::ALL.len() {
            all[index + 1] = Self::Model(ProtocolKind::ALL[index]);
            index += 1;
        }
        all
    };

    /// The protocol's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::LeaseCore => "lease-core",
            Self::Model(kind) => kind.name(),
        }
    }

    /// Which version.
    #[must_use]
    pub const fn version(self) -> &'static str {
        match self {
            Self::LeaseCore => env!("CARGO_PKG_VERSION"),
            Self::Model(kind) => kind.version(),
        }
    }

    /// Runs a plan to its end.
    fn play(self, plan: &Plan) -> Watch {
        let world = World::new(plan).to_the_end().watched();
        let world = match self {
            Self::LeaseCore => world,
            Self::Model(kind) => world.protocol(kind),
        };
        world.run().watch.unwrap_or_default()
    }
}

impl fmt::Display for Contestant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LeaseCore => write!(formatter, "lease-core {}", self.version()),
            Self::Model(kind) => write!(formatter, "model of {kind}"),
        }
    }
}

/// What to compare.
///
/// The plans are those of the swarm, with less in them: one ttl of whole seconds, five at least; pauses,
/// crashes, releases, partitions, outages, slow and refusing servers, lost, doubled, late and masked requests;
/// nobody edits the record, no twins, no assumption broken. They run twice, with clocks that agree and with
/// clocks that differ by up to a second and 500 ppm each from true time. The figures of failovers and of
/// requests are from runs without faults, with a ttl of 15 s, for the first 400 seeds.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// What plans are drawn from.
    pub swarm: Swarm,
    /// The seeds.
    pub seeds: Range<u64>,
    /// On how many threads. The result does not depend on it.
    pub jobs: NonZeroUsize,
    /// Who takes part, in the order of the rows.
    pub contestants: Vec<Contestant>,
}

/// What came of one protocol.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Its name.
    pub protocol: &'static str,
    /// Which version.
    pub version: &'static str,
    /// What to call it: a model is called one.
    pub label: String,
    /// The runs with faults and clocks that agree.
    #[serde(flatten)]
    pub tally: Tally,
    /// The runs with faults and clocks that differ.
    pub clocks_differ: Tally,
    /// Requests in runs without faults.
    pub requests_per_hour: Requests,
    /// From the death of the holder's process to the next belief, without other faults.
    pub after_crash: Failover,
    /// From the release to the next belief, without faults.
    pub after_release: Failover,
}

/// What runs with faults add up to. Spans are nanoseconds of true time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Runs.
    pub runs: u64,
    /// Runs in which two processes that ran believed at once.
    pub split_brain_runs: u64,
    /// The longest time for which they did, without a break.
    pub longest_dual_belief: u64,
    /// The first seed of such a run.
    pub first_split_brain_seed: Option<u64>,
    /// Runs that were stuck: all faults had ended 210 s before the end or earlier, the applications had asked
    /// again then, and nobody believed for the last two ttl. Or the holders sent without end.
    pub stuck_runs: u64,
    /// The first seed of such a run.
    pub first_stuck_seed: Option<u64>,
}

/// Mean requests per hour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Requests {
    /// Of the holder.
    pub holder: f64,
    /// Of each of the others.
    pub standby: f64,
    /// Of a process, whichever.
    pub process: f64,
}

/// How soon another follows. Spans are nanoseconds of true time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Failover {
    /// Runs.
    pub runs: u64,
    /// The middle one; of two, the shorter. Nothing if nobody followed in half of the runs.
    pub median: Option<u64>,
    /// The longest. Nothing if nobody followed in some run.
    pub worst: Option<u64>,
}

impl Comparison {
    /// A comparison of all on one thread.
    #[must_use]
    pub fn new(swarm: Swarm, seeds: Range<u64>) -> Self {
        Self { swarm, seeds, jobs: NonZeroUsize::MIN, contestants: Contestant::ALL.to_vec() }
    }

    /// Runs all. `progress` is told now and then how many seeds are done, from whatever thread.
    pub fn run(&self, progress: &(dyn Fn(u64) + Sync)) -> Vec<Row> {
        let swarm = Swarm { breaks_assumptions: false, ..self.swarm };
        let next = AtomicU64::new(self.seeds.start);
        let done = AtomicU64::new(0);
        let total = Mutex::new(vec![Sums::default(); self.contestants.len()]);
        std::thread::scope(|scope| {
            for _ in 0..self.jobs.get() {
                scope.spawn(|| {
                    let mut own = vec![Sums::default(); self.contestants.len()];
                    loop {
                        let first = next.fetch_add(CHUNK, Ordering::Relaxed);
                        if first >= self.seeds.end {
                            break;
                        }
                        let last = self.seeds.end.min(first + CHUNK);
                        for seed in first..last {
                            self.run_seed(swarm, seed, &mut own);
                        }
                        progress(done.fetch_add(last - first, Ordering::Relaxed) + last - first);
                    }
                    if let Ok(mut total) = total.lock() {
                        for (total, own) in total.iter_mut().zip(own) {
                            total.merge(own);
                        }
                    }
                });
            }
        });
        let total = total.into_inner().unwrap_or_default();
        self.contestants.iter().zip(total).map(|(contestant, sums)| sums.row(*contestant)).collect()
    }

    fn run_seed(&self, swarm: Swarm, seed: u64, sums: &mut [Sums]) {
        let drawn = swarm.plan(seed);
        let agree = fair(drawn.clone(), Clocks::Agree);
        let differ = fair(drawn, Clocks::Differ);
        let calm = (seed - self.seeds.start < CALM_SEEDS).then(|| {
            let holders = agree.holders.len() as u8;
            [false, true].map(|releases| fair::calm(seed, holders, releases))
        });
        for (contestant, sums) in self.contestants.iter().zip(sums) {
            sums.agree.add(seed, &agree, &contestant.play(&agree));
            sums.differ.add(seed, &differ, &contestant.play(&differ));
            if let Some([crash, release]) = &calm {
                sums.crash(crash, &contestant.play(crash));
                sums.release(release, &contestant.play(release));
            }
        }
    }
}
