//! The world: one queue of happenings, many holders, one API server, and somebody who knows the true time.
//!
//! A run is a pure function of its [`Plan`]. Each holder is a real [`lease_core::Lease`], driven by a
//! *faithful driver*: it hands in what arrives when it arrives, and a tick exactly at the instant that the
//! machine asked for, unless the plan says that its timers are late.

mod carry;
mod clock;
mod faults;
mod hooks;
mod outcome;
mod peers;
mod queue;
mod replies;
mod seat;

pub(crate) use hooks::{Hooks, Moment, Wish};
pub use outcome::{Outcome, Run};

use bytes::Bytes;
use http::{Request, Response};
use lease_core::{Action, AttemptOutcome, Command, Event, Input, MonoTime, Output, RequestId};
use std::collections::BTreeMap;

use self::outcome::Counts;
use self::queue::{Happening, Queue};
use self::seat::{Incoming, Machine, Seat};
use crate::api_server::{ApiServer, ApiServerConfig, Rights, UnixMicros};
use crate::compare::Watch;
use crate::oracle::{Believed, Invariant, Mark, Oracle, Shown, Snapshot};
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
    /// The end of the holder's term at the time.
    names: bool,
}

/// One run under way.
pub struct World<'p> {
    plan: &'p Plan,
    now: u64,
    queue: Queue,
    server: ApiServer,
    seats: Vec<Seat>,
    messages: Vec<Message>,
    fates: Option<BTreeMap<RequestKey, Fate>>,
    oracle: Oracle,
    /// States of the object, for stale reads.
    history: Vec<(u64, Option<Bytes>, Shown)>,
    healed: bool,
    /// Who held when it had settled.
    settled: Option<(u8, u64)>,
    ended: Option<u8>,
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
            anonymous: Rights::All,
            managed_fields: false,
            history: 1,
            ..ApiServerConfig::default()
        });
        let mut world = Self {
            plan,
            now: 0,
            queue: Queue::default(),
            server,
            oracle: Oracle::new(plan, holders.iter().cloned()),
            seats: (0..).zip(holders).map(|(index, holder)| Seat::new(index, holder, EPOCH)).collect(),
            messages: Vec::new(),
            fates: plan.fates.as_ref().map(|fates| fates.iter().copied().collect()),
            history: Vec::new(),
            healed: false,
            settled: None,
            ended: None,
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

    fn start(&mut self, seat: u8) {
        let place = &mut self.seats[usize::from(seat)];
        if place.machine.is_some() || place.retired {
            return;
        }
        place.start(self.plan, seat, self.now);
        let process = place.process(seat);
        self.follow_protocol(seat);
        self.oracle.started(self.now, process);
        self.note(What::Started { holder: seat.into(), incarnation: process.incarnation });
        self.hook(Moment::Started { seat });
        self.command(seat);
    }

    /// The application says what it wants, again.
    fn command(&mut self, seat: u8) {
        let place = &mut self.seats[usize::from(seat)];
        if place.machine.is_none() || place.retired {
            return;
        }
        if place.paused_until > self.now {
            return place.inbox.push(Incoming::Command);
        }
        let (command, input) = match place.plan.drive {
            Drive::Campaign => ("campaign", Input::Campaign),
            Drive::TryAcquire(_) => ("try_acquire", Input::TryAcquire),
            Drive::Impatient(patience) => {
                let incarnation = place.incarnation;
                self.queue.push(self.now + patience * 1_000_000, Happening::Impatient { seat, incarnation });
                ("try_acquire", Input::TryAcquire)
            }
        };
        self.oracle.free_to_send(seat);
        self.note(What::Command { holder: seat.into(), command: command.to_owned() });
        self.give(seat, input);
    }

    /// The application gives the lease back.
    fn release(&mut self, seat: u8) {
        let place = &mut self.seats[usize::from(seat)];
        if place.machine.is_none() {
            return;
        }
        if place.paused_until > self.now {
            return place.inbox.push(Incoming::Release);
        }
        let held = self.oracle.believes(self.now, seat).is_some();
        self.oracle.free_to_send(seat);
        self.note(What::Command { holder: seat.into(), command: "release".to_owned() });
        let before = self.counts.requests;
        self.give(seat, Input::Release);
        if !held && self.counts.requests > before {
            self.oracle.marks.hit(Mark::CleanUp);
        }
    }

    /// An application that has waited for long enough cancels its attempt.
    fn lose_patience(&mut self, seat: u8, incarnation: u32) {
        let place = &self.seats[usize::from(seat)];
        // A quarantine can take longer than anybody's patience: somebody has to have some in the end.
        let patient = self.healed || place.retired;
        if place.incarnation != incarnation || patient || self.oracle.believes(self.now, seat).is_some() {
            return;
        }
        self.release(seat);
        self.again(seat);
    }

    fn wake_early(&mut self, seat: u8, generation: u32) {
        let place = &mut self.seats[usize::from(seat)];
        if place.generation != generation || place.paused_until > self.now {
            return;
        }
        let now = place.clock.read(self.now);
        // A timer of another library that comes early is not looked at.
        let Some(machine @ Machine::Core(_)) = &mut place.machine else {
            return;
        };
        machine.handle(now, Input::Tick);
        let quiet = matches!(machine.poll(), Output::Idle { .. });
        place.high = place.high.max(now.mono);
        if !quiet {
            self.oracle.violate(self.now, Invariant::WakeContract, || {
                format!("holder {seat} does something when it is woken early")
            });
        }
    }

    fn credentials(&mut self, seat: u8, incarnation: u32, id: u64) {
        let place = &mut self.seats[usize::from(seat)];
        if place.incarnation != incarnation || place.machine.is_none() {
            return;
        }
        if place.paused_until > self.now {
            return place.inbox.push(Incoming::Credentials(id));
        }
        self.oracle.marks.hit(Mark::Refreshed);
        self.give(seat, Input::CredentialsReady { id: RequestId(id) });
    }

    /// Stops a process for a while.
    fn pause(&mut self, seat: u8, span: u64) {
        let until = self.now + span;
        let place = &mut self.seats[usize::from(seat)];
        if span == 0 || place.machine.is_none() || place.paused_until >= until {
            return;
        }
        place.paused_until = until;
        self.watching(|watch, now| watch.stops(now, seat));
        self.counts.pauses += 1;
        self.oracle.held_up(seat);
        if self.oracle.believes(self.now, seat).is_some_and(|end| end <= until) {
            self.oracle.marks.hit(Mark::PauseAcrossEnd);
        }
        self.queue.push(until, Happening::Resume { seat });
        self.note(What::Paused { holder: seat.into(), until });
    }

    fn resume(&mut self, seat: u8) {
        let place = &mut self.seats[usize::from(seat)];
        if place.paused_until > self.now || place.machine.is_none() {
            return;
        }
        self.hook(Moment::Resumed { seat });
        let place = &mut self.seats[usize::from(seat)];
        let mut inbox = std::mem::take(&mut place.inbox);
        let overdue = place.wake_at.is_some_and(|due| due <= self.now);
        self.watching(|watch, now| watch.goes_on(now, seat));
        // A process that wakes up sees its timers or its sockets first, as it happens.
        let timers_first = mix(self.plan.seed ^ self.now) & 1 == 0;
        if overdue && timers_first {
            self.give(seat, Input::Tick);
        }
        let incarnation = self.seats[usize::from(seat)].incarnation;
        for (index, incoming) in inbox.iter().enumerate() {
            let place = &mut self.seats[usize::from(seat)];
            if place.incarnation != incarnation {
                return;
            }
            // One of them may have stopped the process again.
            if place.paused_until > self.now {
                place.inbox.extend(inbox.drain(index..));
                return;
            }
            match *incoming {
                Incoming::Reply(message) => self.take_in(message),
                Incoming::Command => self.command(seat),
                Incoming::Release => self.release(seat),
                Incoming::Credentials(id) => self.credentials(seat, incarnation, id),
            }
        }
        if overdue && !timers_first && self.seats[usize::from(seat)].paused_until <= self.now {
            self.give(seat, Input::Tick);
        }
    }

    /// Hands an input in, carries out what comes of it, and looks at what is believed then.
    fn give(&mut self, seat: u8, input: Input) {
        let place = &mut self.seats[usize::from(seat)];
        if place.paused_until > self.now {
            // Only ticks come this way: the timer is looked at when the process goes on.
            place.wake_at.get_or_insert(self.now);
            return;
        }
        let mut now = place.clock.read(self.now);
        if matches!(input, Input::Response { .. }) {
            let past = now.mono.as_nanos().saturating_sub(place.answer_from_past);
            now.mono = MonoTime::from_nanos(past);
        }
        self.give_at(seat, now, input);
    }

    fn give_at(&mut self, seat: u8, now: lease_core::Now, input: Input) {
        let place = &mut self.seats[usize::from(seat)];
        let Some(machine) = &mut place.machine else {
            return;
        };
        let answered = matches!(input, Input::Response { .. });
        place.high = place.high.max(now.mono);
        let late = match machine {
            Machine::Core(lease) => lease.check_alive(now.mono).filter(|held| held.until <= place.high),
            Machine::Peer(_) => None,
        };
        if let Some(held) = late {
            self.oracle.violate(self.now, Invariant::BeliefBound, || {
                format!("holder {seat} says at {now:?} that it holds until {:?}", held.until)
            });
        }
        let place = &mut self.seats[usize::from(seat)];
        let Some(machine) = &mut place.machine else {
            return;
        };
        machine.handle(now, input);
        // A reading from the past counts as the latest one before.
        let now = lease_core::Now { mono: place.high, ..now };
        let wake = loop {
            let Some(machine) = &mut self.seats[usize::from(seat)].machine else {
                return;
            };
            match machine.poll() {
                Output::Action(action) => self.act(seat, now, action),
                Output::Event(event) => self.hear(seat, now.mono, &event),
                Output::Idle { wake, .. } => break wake,
            }
        };
        self.sleep(seat, now.mono, wake);
        self.look(seat, answered);
    }

    fn act(&mut self, seat: u8, now: lease_core::Now, action: Action) {
        match action {
            Action::Send { id, request, give_up_at, .. } => self.send(seat, now, id, request, give_up_at),
            Action::RefreshCredentials { id } => {
                let incarnation = self.seats[usize::from(seat)].incarnation;
                self.queue.push(self.now + 5_000_000, Happening::Credentials { seat, incarnation, id: id.0 });
            }
            Action::Abort { id } => {
                let number = self
                    .messages
                    .iter()
                    .rev()
                    .find(|message| message.seat == seat && message.id == id)
                    .map_or(0, |message| message.number);
                self.oracle.settled(seat, number, false);
            }
            Action::OpenWatch { .. } => {}
        }
    }

    fn hear(&mut self, seat: u8, now: MonoTime, event: &Event) {
        let place = &self.seats[usize::from(seat)];
        let (process, sent, place_drive) = (place.process(seat), place.sent, place.plan.drive);
        self.fold(0x10, u64::from(seat) << 32 | event_number(event));
        if self.protocol.is_none() {
            self.oracle.told(self.now, process, now, sent, event);
        }
        self.watching(|watch, now| watch.told(now, seat, event));
        if self.trace.is_some() {
            self.note(What::Told { holder: seat.into(), event: format!("{event:?}") });
        }
        self.hook(Moment::Told { seat, event });
        match event {
            Event::Acquired { .. } => self.counts.terms += 1,
            Event::Lost { .. } => self.again(seat),
            Event::AttemptEnded {
                command: Command::TryAcquire,
                outcome: AttemptOutcome::Denied(_) | AttemptOutcome::Failed(_),
            } if self.tries_again(place_drive) => self.again(seat),
            _ => {}
        }
    }

    /// Whether an application tries again when an attempt has failed. An impatient one does when its patience
    /// ends, which it no longer does after the faults.
    const fn tries_again(&self, drive: Drive) -> bool {
        match drive {
            Drive::Campaign => false,
            Drive::TryAcquire(_) => true,
            Drive::Impatient(_) => self.healed,
        }
    }

    /// An application that tries once at a time tries again.
    fn again(&mut self, seat: u8) {
        let place = &self.seats[usize::from(seat)];
        let every = match place.plan.drive {
            Drive::Campaign => return,
            Drive::TryAcquire(every) => every,
            Drive::Impatient(_) => place.plan.ttl / 3,
        };
        let incarnation = place.incarnation;
        self.queue.push(self.now + every * 1_000_000, Happening::Command { seat, incarnation });
    }

    /// Sets the timer: exactly, unless the plan says that this driver's timers are late.
    fn sleep(&mut self, seat: u8, now: MonoTime, wake: Option<MonoTime>) {
        let place = &mut self.seats[usize::from(seat)];
        place.generation += 1;
        place.wake_at = None;
        let Some(wake) = wake else {
            return;
        };
        if wake <= now {
            return self.oracle.violate(self.now, Invariant::WakeContract, || {
                format!("holder {seat} wants to be woken at {wake:?}, not after {now:?}")
            });
        }
        // A minute is the longest that a server's `Retry-After` is obeyed.
        let longest = std::time::Duration::from_millis(place.plan.duration().max(60_000) + 1_000);
        if wake > now.saturating_add(longest) {
            self.oracle.violate(self.now, Invariant::WakeContract, || {
                format!("holder {seat} sleeps for {:?}", wake.saturating_since(now))
            });
        }
        let place = &mut self.seats[usize::from(seat)];
        let generation = place.generation;
        let mut due = place.clock.instant(wake).max(self.now + 1);
        let mut early = None;
        if place.plan.lateness > 0 || place.plan.wakes_early {
            let mut source =
                Seeded::new(self.plan.seed ^ u64::from(generation) << 8 ^ u64::from(seat), LATENESS);
            if place.plan.wakes_early && source.chance(100_000) {
                early = Some(self.now + source.below(due - self.now));
            }
            // Timers are late for as long as faults go on.
            if !self.healed && source.chance(250_000) {
                due += source.below(place.plan.lateness);
                self.oracle.held_up(seat);
            }
        }
        place.wake_at = Some(due);
        self.queue.push(due, Happening::Wake { seat, generation });
        if let Some(at) = early.filter(|at| *at > self.now) {
            self.queue.push(at, Happening::EarlyWake { seat, generation });
        }
    }

    /// What the holder believes now.
    fn look(&mut self, seat: u8, answered: bool) {
        let place = &self.seats[usize::from(seat)];
        let now = place.clock.mono(self.now);
        let process = place.process(seat);
        let (believed, ours) = match &place.machine {
            Some(Machine::Core(lease)) => {
                let held = lease.check_alive(now);
                (held.map(|held| (held.until, held.token.as_u64())), true)
            }
            Some(Machine::Peer(peer)) => (peer.held_until(now).map(|until| (until, 0)), false),
            None => (None, true),
        };
        let believed =
            believed.map(|(until, token)| Believed { until, until_at: place.clock.instant(until), token });
        let before = self.oracle.believes(self.now, seat);
        if !ours {
            self.oracle.peer_believed(self.now, seat, believed);
        } else {
            self.oracle.believed(self.now, process, believed, answered);
        }
        let after = believed.map(|believed| believed.until_at);
        if before == after {
            return;
        }
        self.watching(|watch, now| watch.believes(now, seat, after));
        self.fold(0x20, after.unwrap_or(0));
        if let Some(believed) = believed.filter(|_| ours) {
            self.use_token(seat, believed.token);
        }
        if self.trace.is_some() {
            let token = believed.map(|believed| believed.token);
            let state = match &self.seats[usize::from(seat)].machine {
                Some(Machine::Core(lease)) => Some(format!("{:?}", lease.status())),
                _ => None,
            };
            self.note(What::Belief { holder: seat.into(), until: after, token, state });
        }
    }

    /// The application asked, got a yes, and writes to the resource: at once, or much later.
    fn use_token(&mut self, seat: u8, token: u64) {
        let mut source = Seeded::new(self.plan.seed ^ self.now, GUARDED);
        if source.chance(300_000) {
            let delay = if source.chance(300_000) { source.below(40 * SECOND) } else { source.below(SECOND) };
            self.queue.push(self.now + delay, Happening::Guarded { seat, token });
        }
    }

    fn guarded(&mut self, seat: u8, token: u64) {
        let accepted = self.oracle.guarded(self.now, token);
        self.fold(0x30, token << 1 | u64::from(accepted));
        self.note(What::Guarded { holder: seat.into(), token, accepted });
    }

    fn heal(&mut self) {
        self.healed = true;
        faults::heal(self);
        let settled = self.now + self.bound();
        self.queue.push(settled, Happening::Settled);
    }

    /// How long after the faults end somebody has to hold, and a little more.
    fn bound(&self) -> u64 {
        let longest =
            |of: fn(&HolderPlan) -> u64| self.seats.iter().map(|seat| of(&seat.plan)).max().unwrap_or(0);
        let ttl = longest(HolderPlan::duration);
        let wait = ttl.max(60_000) + longest(|holder| holder.takeover_delay + holder.foreign_holder_grace);
        let period = longest(|holder| match holder.drive {
            Drive::TryAcquire(every) => every,
            Drive::Impatient(patience) => patience + holder.ttl,
            Drive::Campaign => 0,
        });
        let quarantine = if self.seats.iter().any(|seat| seat.plan.vacate) { ttl } else { 0 };
        // A holder may have been told to wait for a minute, and reads it again with pauses of up to a ttl.
        (wait + period + quarantine + ttl + 65_000) * 1_000_000
    }

    fn check_settled(&mut self) {
        let holder = self.oracle.believer(self.now);
        if holder.is_none() {
            self.oracle.violate(self.now, Invariant::EventualHolder, || {
                "nobody holds although all faults ended long ago".to_owned()
            });
        }
        self.settled = holder;
        let longest = self.seats.iter().map(|seat| seat.plan.ttl).max().unwrap_or(0);
        self.queue.push(self.now + 2 * longest * 1_000_000, Happening::Ending);
    }

    fn end(&mut self) {
        if self.oracle.believer(self.now) != self.settled {
            let (was, is) = (self.settled, self.oracle.believer(self.now));
            self.oracle.violate(self.now, Invariant::Stable, || {
                format!("{was:?} held, now {is:?} does, and nothing had happened")
            });
        }
        let Some((seat, _)) = self.settled.filter(|_| self.seats.len() > 1) else {
            return;
        };
        let longest =
            |of: fn(&HolderPlan) -> u64| self.seats.iter().map(|seat| of(&seat.plan)).max().unwrap_or(0);
        let period = longest(|holder| match holder.drive {
            Drive::TryAcquire(every) | Drive::Impatient(every) => every + holder.ttl,
            Drive::Campaign => 0,
        });
        let poll = longest(|holder| holder.ttl / 3) + period + 2_000;
        let wait = longest(HolderPlan::duration) + longest(|holder| holder.takeover_delay);
        let within = match self.plan.ending {
            Ending::Quiet => return,
            Ending::Release => poll,
            Ending::Crash => poll + wait * 11 / 9,
        };
        self.ended = Some(seat);
        self.seats[usize::from(seat)].retired = true;
        match self.plan.ending {
            Ending::Release => {
                self.seats[usize::from(seat)].plan.drive = Drive::Campaign;
                self.release(seat);
            }
            _ => self.kill(seat),
        }
        self.queue.push(self.now + within * 1_000_000, Happening::Followed);
    }

    fn kill(&mut self, seat: u8) {
        let place = &mut self.seats[usize::from(seat)];
        place.machine = None;
        place.generation += 1;
        place.inbox.clear();
        self.oracle.died(self.now, seat);
        self.watching(|watch, now| watch.died(now, seat));
        self.note(What::Crashed { holder: seat.into() });
        self.hook(Moment::Crashed { seat });
    }

    fn check_followed(&mut self) {
        let follower = self.oracle.believer(self.now);
        let (invariant, mark) = match self.plan.ending {
            Ending::Release => (Invariant::FastRelease, Mark::FollowedRelease),
            _ => (Invariant::Takeover, Mark::FollowedCrash),
        };
        if follower.is_none_or(|(seat, _)| Some(seat) == self.ended) {
            self.oracle.violate(self.now, invariant, || "nobody has followed in time".to_owned());
        } else {
            self.oracle.marks.hit(mark);
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

    fn note(&mut self, what: What) {
        if let Some(trace) = &mut self.trace {
            trace.entries.push(Entry { at: self.now, what });
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
        _ => 9,
    }
}
