//! The world: one queue of happenings, many holders, one API server, and somebody who knows the true time.
//!
//! A run is a pure function of its [`Plan`]. Each holder is a real [`lease_core::Lease`], driven by a
//! *faithful driver*: it hands in what arrives when it arrives, and a tick exactly at the instant that the
//! machine asked for, unless the plan says that its timers are late.

mod carry;
mod clock;
mod drive;
mod ending;
mod events;
mod faults;
mod hooks;
mod outcome;
mod peers;
mod process;
mod queue;
mod replies;
mod seat;
mod streams;

pub(crate) use hooks::{Hooks, Moment, Wish};
pub use outcome::{Outcome, Run};

use bytes::Bytes;
use http::{Request, Response};
use lease_core::{Event, Input, RequestId};
use std::collections::BTreeMap;

use self::outcome::Counts;
use self::queue::{Happening, Queue};
use self::seat::{Incoming, Machine, Seat};
use self::streams::Stream;
use crate::api_server::{ApiServer, ApiServerConfig, Rights, UnixMicros};
use crate::compare::Watch;
use crate::oracle::{Believed, Invariant, Mark, Oracle, Process, Shown, Snapshot};
use crate::plan::{
    Drive, Ending, Fate, FaultKind, HolderPlan, Plan, RequestKey, SECOND, Seeded, Source, mix,
};
use crate::protocol::ProtocolKind;
use crate::trace::{Entry, Lane, Trace, What};

/// True wall time at the beginning: 2026-01-01T00:00:00Z.
const EPOCH: i64 = 1_767_225_600_000_000;
/// Domains of what is drawn while a run goes on.
const LATENESS: u64 = 3;
const GUARDED: u64 = 4;

/// More requests than most runs have, so that they are not moved as they become more.
const USUAL_REQUESTS: usize = 512;

/// How many changes the API server remembers for watches: more than happen while a watch is opened again, fewer than
/// while a holder is cut off for long.
const REMEMBERED: usize = 40;

/// A request on its way.
pub(crate) struct Message {
    seat: u8,
    incarnation: u32,
    id: RequestId,
    number: u64,
    emitted: lease_core::Now,
    /// True wall time when it left, in microseconds since the Unix epoch.
    sent_at: i64,
    request: Request<Bytes>,
    fate: Fate,
    /// What will be delivered; `None`: the news that there is no answer.
    response: Option<Response<Bytes>>,
    /// What that answer shows, if it is definite.
    shown: Option<Shown>,
    not_sent: bool,
    applied: bool,
    /// It puts the sender's name into the record.
    names: bool,
}

impl Message {
    const fn process(&self) -> Process {
        Process { seat: self.seat, incarnation: self.incarnation }
    }
}

/// One run under way.
pub struct World<'p> {
    plan: &'p Plan,
    now: u64,
    queue: Queue,
    server: ApiServer,
    seats: Vec<Seat>,
    messages: Vec<Message>,
    /// Watches, in the order in which they were asked for.
    streams: Vec<Stream>,
    /// Those of them that holders still wait for.
    unfinished: Vec<u32>,
    fates: Option<BTreeMap<RequestKey, Fate>>,
    oracle: Oracle,
    /// States of the object, for stale reads.
    history: Vec<(u64, Option<Bytes>, Shown)>,
    healed: bool,
    /// Who held when it had settled.
    settled: Option<(u8, u64)>,
    ended: Option<u8>,
    /// A watch tells somebody of that end: how much longer it may take if edits hold the end itself up.
    told: Option<u64>,
    hash: u64,
    counts: Counts,
    trace: Option<Trace>,
    stop_at_violation: bool,
    /// What runs beside the holders.
    hooks: Option<Box<dyn Hooks + 'p>>,
    /// The protocol that all holders follow instead of lease-core's.
    protocol: Option<ProtocolKind>,
    watch: Option<Watch>,
}

impl<'p> World<'p> {
    /// A world at its beginning.
    #[must_use]
    pub fn new(plan: &'p Plan) -> Self {
        let twins = plan.faults.iter().filter_map(|fault| match fault.what {
            FaultKind::Twin { holder, .. } => Some(twin(plan, holder)),
            _ => None,
        });
        let holders: Vec<HolderPlan> = plan.holders.iter().cloned().chain(twins).collect();
        let server = ApiServer::new(ApiServerConfig {
            seed: plan.seed,
            started: UnixMicros(EPOCH),
            namespaces: vec![seat::NAMESPACE.to_owned()],
            anonymous: Rights::All,
            managed_fields: false,
            history: if holders.iter().any(|holder| holder.watch) { REMEMBERED } else { 1 },
            ..ApiServerConfig::default()
        });
        let mut world = Self {
            plan,
            now: 0,
            queue: Queue::default(),
            server,
            oracle: Oracle::new(plan, holders.iter().cloned()),
            seats: (0..).zip(holders).map(|(index, holder)| Seat::new(index, holder, EPOCH)).collect(),
            messages: Vec::with_capacity(USUAL_REQUESTS),
            streams: Vec::new(),
            unfinished: Vec::new(),
            fates: plan.fates.as_ref().map(|fates| fates.iter().copied().collect()),
            history: Vec::with_capacity(USUAL_REQUESTS / 4),
            healed: false,
            settled: None,
            ended: None,
            told: None,
            hash: mix(plan.seed),
            counts: Counts::default(),
            trace: None,
            stop_at_violation: true,
            hooks: None,
            protocol: None,
            watch: None,
        };
        world.begin();
        world
    }

    /// Keeps what happens, for people. Costs time.
    #[must_use]
    pub fn traced(mut self, title: &str) -> Self {
        let lanes = self.seats.iter().map(|seat| Lane {
            identity: seat.config.identity().as_str().to_owned(),
            about: outcome::about(&seat.plan),
        });
        self.trace = Some(Trace {
            title: title.to_owned(),
            command: None,
            length: self.plan.length,
            healed_at: Some(self.plan.heals_at),
            broken_assumptions: self.plan.broken_assumptions(),
            lanes: lanes.collect(),
            entries: Vec::new(),
        });
        let first = self.object();
        self.note_truth(&first, None);
        self
    }

    /// Goes on after a violation: by default a run ends there.
    #[must_use]
    pub fn to_the_end(mut self) -> Self {
        self.stop_at_violation = false;
        self
    }

    /// Switches a deliberate bug on in every holder.
    #[cfg(feature = "mutants")]
    #[must_use]
    pub fn mutant(mut self, mutant: Option<lease_core::mutants::Mutant>) -> Self {
        for (index, seat) in (0..).zip(&mut self.seats) {
            seat.config = seat::build(seat::settings(index, &seat.plan).mutant(mutant));
        }
        self
    }

    fn begin(&mut self) {
        faults::make_beginning(self);
        for (index, holder) in (0..).zip(&self.plan.holders) {
            self.queue.push(holder.starts_at, Happening::Start { seat: index });
        }
        for (index, fault) in (0..).zip(&self.plan.faults) {
            self.queue.push(fault.at, Happening::Fault { index });
        }
        self.queue.push(self.plan.heals_at, Happening::Heal);
    }

    /// Runs to the end, or to the first violation.
    #[must_use]
    pub fn run(mut self) -> Run {
        // What no healthy run comes near to.
        const MOST_HAPPENINGS: u64 = 1_000_000;
        while let Some((at, happening)) = self.queue.pop() {
            if at >= self.plan.length {
                break;
            }
            self.now = at;
            self.happen(happening);
            if self.stop_at_violation && !self.oracle.violations.is_empty() {
                break;
            }
            if self.spins() {
                break;
            }
            if self.queue.pushed() > MOST_HAPPENINGS {
                self.oracle.violate(at, Invariant::Bounded, || "the run does not end".to_owned());
                break;
            }
        }
        self.finish()
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Start { seat } => self.start(seat),
            Happening::Wake { seat, generation } => {
                if self.seats[usize::from(seat)].generation == generation {
                    self.seats[usize::from(seat)].wake_at = None;
                    self.give(seat, Input::Tick);
                }
            }
            Happening::EarlyWake { seat, generation } => self.wake_early(seat, generation),
            Happening::Command { seat, incarnation } => {
                if self.seats[usize::from(seat)].incarnation == incarnation {
                    self.command(seat);
                }
            }
            Happening::Impatient { seat, incarnation } => self.lose_patience(seat, incarnation),
            Happening::Arrive { message } => self.arrive(message),
            Happening::ArriveAgain { message } => self.arrive_again(message),
            Happening::ArriveLate { message } => self.arrive_late(message),
            Happening::Deliver { message } => self.deliver(message),
            Happening::Broken { message } => self.broken(message),
            Happening::WatchArrives { stream } => self.watch_arrives(stream),
            Happening::WatchTold { stream } => self.watch_told(stream),
            Happening::WatchExpires { stream } => self.watch_expires(stream),
            Happening::WatchBreaks { stream } => self.break_watch(stream),
            Happening::WatchOverdue { stream } => self.watch_overdue(stream),
            Happening::Credentials { seat, incarnation, id } => self.credentials(seat, incarnation, id),
            Happening::Resume { seat } => self.resume(seat),
            Happening::Fault { index } => faults::begins(self, index),
            Happening::FaultEnds { index } => faults::ends(self, index),
            Happening::Label { until, every } => faults::label(self, until, every),
            Happening::Guarded { seat, token } => self.guarded(seat, token),
            Happening::Component { id } => self.hook(Moment::Due { id }),
            Happening::Heal => self.heal(),
            Happening::Settled => self.check_settled(),
            Happening::Ending => self.end(),
            Happening::Followed => self.check_followed(),
        }
    }

    fn object(&self) -> Snapshot {
        self.server
            .lease_object(seat::NAMESPACE, seat::NAME)
            .map(|(object, version)| (object.clone(), version))
    }

    fn server_now(&self) -> UnixMicros {
        UnixMicros(EPOCH + (self.now / 1000) as i64)
    }

    /// Takes a fact into the run's hash.
    fn fold(&mut self, kind: u64, fact: u64) {
        self.hash = mix(self.hash ^ mix(fact ^ kind << 56) ^ self.now);
    }

    /// Keeps what happens, if that is wanted: what is to be kept is not even made otherwise.
    fn note(&mut self, what: impl FnOnce() -> What) {
        if let Some(trace) = &mut self.trace {
            trace.entries.push(Entry { at: self.now, what: what() });
        }
    }
}

/// A second process with a holder's identity, on another machine.
fn twin(plan: &Plan, holder: u8) -> HolderPlan {
    let original = &plan.holders[usize::from(holder) % plan.holders.len()];
    let mut twin = original.clone();
    twin.name = Some(original.name.unwrap_or(holder));
    twin.clock.origin = original.clock.origin / 2 + 1;
    twin.clock.rate = -original.clock.rate;
    twin
}

/// What the hash takes in of an event.
fn event_number(event: &Event) -> u64 {
    match event {
        Event::Acquired { token, .. } => token.as_u64() << 8 | 1,
        Event::Renewed { until } => until.as_nanos() << 8 | 2,
        Event::Lost { token, .. } => token.as_u64() << 8 | 3,
        Event::Released { token } => token.as_u64() << 8 | 4,
        Event::AttemptEnded { .. } => 5,
        Event::ReleaseEnded { .. } => 6,
        Event::HolderChanged { .. } => 7,
        Event::Trouble { .. } => 8,
        Event::WatchTrouble { .. } => 10,
        _ => 9,
    }
}
