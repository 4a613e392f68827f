//! Your own code beside simulated leases: a [`Component`] for each holder, one shared thing that they all use,
//! and what must never be true of it.
//!
//! The holders are real [`lease_core::Lease`]s, in a world in which clocks drift, processes stand still and
//! die, messages are lost, doubled and late, and people edit the record. What the components do goes through
//! the same network and stands still with the same processes. So what breaks real workers breaks yours here,
//! and the seed that did it does it again.
//!
//! A counter that only the holder of the lease may set:
//!
//! ```
//! use lease_sim::simulation::{Component, Context, SendError, TermEnd};
//! use lease_sim::world::World;
//! use lease_core::FencingToken;
//! use std::time::Duration;
//!
//! /// What the lease protects. It refuses tokens below the highest that it has seen.
//! #[derive(Default)]
//! struct Counter {
//!     value: u64,
//!     highest: u64,
//!     last_writer: u64,
//! }
//!
//! impl Counter {
//!     fn set(&mut self, value: u64, token: FencingToken) -> bool {
//!         let token = token.as_u64();
//!         self.highest = self.highest.max(token);
//!         let accepted = token == self.highest; // accept everything, and a seed soon fails
//!         if accepted {
//!             (self.value, self.last_writer) = (value, token);
//!         }
//!         accepted
//!     }
//! }
//!
//! #[derive(Default)]
//! struct Worker {
//!     value: u64,
//! }
//!
//! const TICK: u64 = 1;
//! const WRITE: u64 = 2;
//!
//! impl Component<Counter> for Worker {
//!     type Reply = bool;
//!
//!     fn began(&mut self, context: &mut Context<'_, Counter, bool>, _: FencingToken) {
//!         context.after(Duration::from_secs(1), TICK);
//!     }
//!
//!     fn timer(&mut self, context: &mut Context<'_, Counter, bool>, _: u64) {
//!         let Some(held) = context.held() else { return };
//!         self.value += 1;
//!         let (value, token) = (self.value, held.token);
//!         context.send(WRITE, move |counter| counter.set(value, token));
//!     }
//!
//!     fn answered(&mut self, context: &mut Context<'_, Counter, bool>, _: u64, _: Result<bool, SendError>) {
//!         context.after(Duration::from_secs(1), TICK);
//!     }
//!
//!     fn ended(&mut self, context: &mut Context<'_, Counter, bool>, _: FencingToken, _: &TermEnd) {
//!         context.cancel(TICK);
//!     }
//! }
//!
//! let simulation = World::builder()
//!     .shared(Counter::default)
//!     .component(|_holder| Worker::default())
//!     .invariant(|counter| {
//!         if counter.last_writer == counter.highest { Ok(()) } else { Err("an old term wrote last") }
//!     })
//!     .at_the_end(|counter| if counter.value > 0 { Ok(()) } else { Err("nobody ever wrote") });
//!
//! let summary = simulation.check(0..10).unwrap(); // thousands in a real test
//! assert!(summary.carried_out > 1_000);
//!
//! let one = simulation.seed(3).run(); // a single one, with its trace
//! assert!(one.failure.is_none());
//! println!("{}", one.trace);
//! ```
//!
//! # What goes wrong
//!
//! By default each seed draws its own mix of faults, see [`Swarm`]; a tenth of the runs have none. They go on
//! for five minutes or more of a run's ten, then everything heals and stays well. None of them breaks the
//! assumptions that leases rest on, so two terms overlap only where somebody has edited or deleted the record
//! of a live one ([`retain_faults`](Simulation::retain_faults) leaves that out); but an old term's *operations* arrive in newer terms. Half of the partitions cut a machine off from the shared thing, too; the others only from the API
//! server. The shared thing never crashes and loses nothing.
//!
//! # What stays the same
//!
//! A run is a function of its seed, the settings and your code, on every platform. The closures that make the
//! shared thing and the components are called anew for each run; do not let them hand out what runs share.
//! [`check`](Simulation::check) runs some seeds twice to see whether it is so.

mod component;
mod context;
mod messages;
mod report;
mod runtime;
mod settings;

pub use component::{Bystander, Component, SendError, TermEnd};
pub use context::Context;
pub use report::{Failure, FailureKind, Report, Summary};

use std::fmt::{self, Display};
use std::time::Duration;

use self::report::Details;
use self::runtime::Runtime;
use self::settings::{Faults, Settings, TTL};
use crate::oracle::{Invariant, Violation};
use crate::plan::{FaultKind, Plan, Swarm, mix};
use crate::trace::{Entry, Trace, What};
use crate::world::{Outcome, World};

/// Every so many runs one is run twice, to see that it is the same run.
const TWICE: u64 = 64;

type Filter = Box<dyn Fn(&FaultKind) -> bool>;
type Rule<S> = Box<dyn Fn(&S) -> Result<(), String>>;

/// Simulations of one setup, seed by seed. Made by [`World::builder`]; see the [module](self).
#[must_use = "a simulation does nothing until it is run or checked"]
pub struct Simulation<S = (), C = Bystander> {
    settings: Settings,
    shared: Box<dyn Fn() -> S>,
    component: Box<dyn Fn(usize) -> C>,
    invariants: Vec<Rule<S>>,
    endings: Vec<Rule<S>>,
    keeps: Option<Filter>,
}

impl World<'_> {
    /// A simulation of three holders with nothing beside them yet, to be given what to run; see
    /// [`simulation`](self).
    pub fn builder() -> Simulation {
        Simulation {
            settings: Settings::default(),
            shared: Box::new(|| ()),
            component: Box::new(|_| Bystander),
            invariants: Vec::new(),
            endings: Vec::new(),
            keeps: None,
        }
    }
}

impl<S, C> Simulation<S, C> {
    /// What all components use: a store, a queue, the world outside. Made anew for each run.
    ///
    /// Comes before [`component`](Self::component) and the invariants, which are about it: it undoes them.
    pub fn shared<T>(self, make: impl Fn() -> T + 'static) -> Simulation<T> {
        Simulation {
            settings: self.settings,
            shared: Box::new(make),
            component: Box::new(|_| Bystander),
            invariants: Vec::new(),
            endings: Vec::new(),
            keeps: self.keeps,
        }
    }

    /// What runs beside each holder. The closure makes one whenever a process starts, and is told its place in
    /// the fleet, from 0: at the beginning, after each crash, and for twins.
    pub fn component<D: Component<S>>(self, make: impl Fn(usize) -> D + 'static) -> Simulation<S, D> {
        Simulation {
            settings: self.settings,
            shared: self.shared,
            component: Box::new(make),
            invariants: self.invariants,
            endings: self.endings,
            keeps: self.keeps,
        }
    }

    /// What must be true of the shared thing after each operation that was carried out on it. An `Err`, or a
    /// panic, ends the run. Can be called several times; all have to hold.
    pub fn invariant<E: Display>(mut self, holds: impl Fn(&S) -> Result<(), E> + 'static) -> Self {
        self.invariants.push(Box::new(move |shared| holds(shared).map_err(|about| about.to_string())));
        self
    }

    /// What must be true of the shared thing when a run is over, several minutes after the last fault: that
    /// work was done, for one. Can be called several times; all have to hold.
    pub fn at_the_end<E: Display>(mut self, holds: impl Fn(&S) -> Result<(), E> + 'static) -> Self {
        self.endings.push(Box::new(move |shared| holds(shared).map_err(|about| about.to_string())));
        self
    }

    /// The seed of [`run`](Self::run); default 0. [`check`](Self::check) has its own.
    pub fn seed(mut self, seed: u64) -> Self {
        self.settings.seed = seed;
        self
    }

    /// How many holders contend; default 3, from 1 to 16. An explicit [`plan`](Self::plan) brings its own.
    ///
    /// # Panics
    ///
    /// If it is out of range.
    pub fn holders(mut self, holders: u8) -> Self {
        assert!((1..=16).contains(&holders), "holders: {holders} is not from 1 to 16");
        self.settings.holders = Some(holders);
        self
    }

    /// The time to live of the lease, from 2 s to 5 min, in whole milliseconds; by default each seed draws one,
    /// mostly 15 s. The safety margin, the request timeout and the like keep their share of it. An explicit
    /// [`plan`](Self::plan) brings its own.
    ///
    /// # Panics
    ///
    /// If it is out of range.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        assert!((TTL.0..=TTL.1).contains(&ttl), "ttl: {ttl:?} is not from 2 s to 5 min");
        self.settings.ttl = Some(ttl);
        self
    }

    /// How long a run is, in true time; default 10 min, from 10 s to a day. The instants at which things go
    /// wrong, and the one from which on nothing does, keep their share of it. In runs of less than 6 min
    /// nothing checks that somebody holds the lease again after the faults. An explicit [`plan`](Self::plan)
    /// brings its own.
    ///
    /// # Panics
    ///
    /// If it is out of range.
    pub fn length(mut self, length: Duration) -> Self {
        let (least, most) = (Duration::from_secs(10), Duration::from_secs(86_400));
        assert!((least..=most).contains(&length), "length: {length:?} is not from 10 s to a day");
        self.settings.length = Some(length);
        self
    }

    /// Draws each seed's faults from this; the default is `Swarm::default()` without runs that break
    /// assumptions on purpose. With them, expect tokens that count back (`storage-rollback`), and terms that
    /// overlap.
    pub fn swarm(mut self, swarm: Swarm) -> Self {
        self.settings.faults = Faults::Swarm(swarm);
        self
    }

    /// Nothing goes wrong: a good network with 1 to 3 ms each way. Clocks still differ.
    pub fn calm(mut self) -> Self {
        self.settings.faults = Faults::Calm;
        self
    }

    /// Runs exactly this, but for its seed, which stays that of [`seed`](Self::seed) or
    /// [`check`](Self::check) and decides about the fate of each message. Components' messages follow its
    /// `network`, also where its `fates` spell out what happens to the holders' requests.
    pub fn plan(mut self, plan: Plan) -> Self {
        self.settings.faults = Faults::Plan(Box::new(plan));
        self
    }

    /// Leaves out the faults for which this says no, of those that have an instant: what is done to single
    /// messages stays. To see which of them a failure needs, and for what a component need not survive:
    /// somebody who edits the record of a live term ([`FaultKind::Admin`], [`FaultKind::Namespace`]) makes two
    /// terms overlap, for one.
    pub fn retain_faults(mut self, keeps: impl Fn(&FaultKind) -> bool + 'static) -> Self {
        self.keeps = Some(Box::new(keeps));
        self
    }

    /// After how long an operation without a reply is answered with [`SendError::Unknown`], by the clock of
    /// the sender's machine; default 5 s. Too short, and slow replies count as unknown; too long, and a
    /// component that waits for one before it goes on does nothing for the rest of its term.
    pub fn answer_timeout(mut self, timeout: Duration) -> Self {
        self.settings.answer_timeout = timeout;
        self
    }
}

/// One run, before it is told to anybody.
struct Done<S> {
    plan: Plan,
    failed: Option<(u64, FailureKind)>,
    shared: S,
    carried_out: u64,
    outcome: Outcome,
    trace: Option<Trace>,
}

impl<S, C: Component<S>> Simulation<S, C> {
    /// Runs the [seed](Self::seed) and keeps its trace. Panics of components and closures are caught and
    /// reported, unless panics abort.
    pub fn run(&self) -> Report<S> {
        let seed = self.settings.seed;
        let Done { plan, failed, shared, carried_out, outcome, trace } = self.run_seed(seed, true);
        let trace = trace.unwrap_or_default();
        let failure = failed.map(|(at, kind)| {
            let trace = Some(trace.clone());
            Failure(Box::new(Details { seed, at, kind, plan, trace, reproducible: true }))
        });
        Report { seed, failure, shared, carried_out, outcome, trace }
    }

    /// Runs these seeds, in their order, on this thread.
    ///
    /// # Errors
    ///
    /// The first seed that fails, with its trace.
    pub fn check(&self, seeds: impl IntoIterator<Item = u64>) -> Result<Summary, Failure> {
        let mut summary = Summary::default();
        for seed in seeds {
            let done = self.run_seed(seed, false);
            if done.failed.is_some() || summary.runs.is_multiple_of(TWICE) {
                self.compare(seed, &done)?;
            }
            summary.runs += 1;
            summary.simulated += Duration::from_nanos(done.outcome.simulated);
            summary.terms += done.outcome.terms;
            summary.carried_out += done.carried_out;
            summary.requests += done.outcome.requests;
            for (name, count) in done.outcome.faults {
                *summary.faults.entry(name).or_default() += count;
            }
            summary.hash = summary.hash.wrapping_add(mix(done.outcome.hash ^ mix(seed)));
        }
        Ok(summary)
    }

    /// Runs a seed again, with a trace, and says what is wrong with the two.
    fn compare(&self, seed: u64, first: &Done<S>) -> Result<(), Failure> {
        let again = self.run_seed(seed, true);
        let reproducible = again.outcome.hash == first.outcome.hash && again.failed == first.failed;
        let (at, kind) = match &first.failed {
            Some(failed) => failed.clone(),
            None if reproducible => return Ok(()),
            None => (0, FailureKind::NotDeterministic),
        };
        let trace = again.trace.filter(|_| reproducible);
        Err(Failure(Box::new(Details { seed, at, kind, plan: again.plan, trace, reproducible })))
    }

    fn run_seed(&self, seed: u64, traced: bool) -> Done<S> {
        let mut plan = self.settings.plan(seed);
        if let Some(keeps) = &self.keeps {
            plan.faults.retain(|fault| keeps(&fault.what));
        }
        let mut world = World::new(&plan).to_the_end();
        if traced {
            world = world.traced(&format!("seed {seed}"));
        }
        let mut runtime = Runtime::new(self, world.places());
        let run = world.hooked(Box::new(&mut runtime)).run();
        let Runtime { shared, carried_out, released, failed, .. } = runtime;
        let (outcome, mut trace) = (run.outcome, run.trace);
        let broken = outcome.violations.iter().find(|violation| counts(violation, released));
        let broken = broken.map(|violation| (violation.at, FailureKind::Lease(violation.clone())));
        let mut failed = [failed, broken].into_iter().flatten().min_by_key(|(at, _)| *at);
        if failed.is_none() {
            let judged = self.judge(&shared, true).err();
            failed = judged.map(|kind| (outcome.simulated, kind));
        }
        if let (Some(trace), Some((at, kind))) = (&mut trace, &failed) {
            end_with(trace, *at, kind);
        }
        Done { plan, failed, shared, carried_out, outcome, trace }
    }
}

/// Ends a trace with what failed.
fn end_with(trace: &mut Trace, at: u64, kind: &FailureKind) {
    trace.length = at;
    trace.healed_at = trace.healed_at.filter(|healed| *healed < at);
    trace.entries.retain(|entry| entry.at <= at && !matches!(entry.what, What::Violation { .. }));
    let (invariant, about) = (kind.name().to_owned(), kind.to_string());
    trace.entries.push(Entry { at, what: What::Violation { invariant, about } });
}

/// Whether a violation is one that components can suffer from; how holders talk to their API server is the
/// business of this library's own tests. That somebody holds, and goes on to, is up to components that give the
/// lease back by themselves.
const fn counts(violation: &Violation, released: bool) -> bool {
    match violation.invariant {
        Invariant::MutualExclusion
        | Invariant::TokenGrows
        | Invariant::FencedResource
        | Invariant::EventGrammar => true,
        Invariant::EventualHolder | Invariant::Stable | Invariant::Takeover | Invariant::FastRelease => {
            !released
        }
        _ => false,
    }
}

impl<S, C> fmt::Debug for Simulation<S, C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Simulation")
            .field("settings", &self.settings)
            .field("invariants", &self.invariants.len())
            .field("at_the_end", &self.endings.len())
            .finish_non_exhaustive()
    }
}
