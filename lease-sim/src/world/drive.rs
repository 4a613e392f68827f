//! The faithful driver: hands inputs in, carries out what comes of them, and sets timers.

use lease_core::{Action, AttemptOutcome, Command, Event, Input, MonoTime, Output};

use super::hooks::Moment;
use super::{
    Believed, Drive, GUARDED, Happening, Invariant, LATENESS, Machine, SECOND, Seeded, Source, What, World,
    event_number,
};

impl World<'_> {
    /// Hands an input in, carries out what comes of it, and looks at what is believed then.
    pub(super) fn give(&mut self, seat: u8, input: Input) {
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

    pub(super) fn give_at(&mut self, seat: u8, now: lease_core::Now, input: Input) {
        let answered = matches!(input, Input::Response { .. });
        self.hand_in(seat, now, input, answered);
    }

    /// The same; `answered`: it is the answer to a request that can start or prolong a term.
    pub(super) fn hand_in(&mut self, seat: u8, now: lease_core::Now, input: Input, answered: bool) {
        let place = &mut self.seats[usize::from(seat)];
        let Some(machine) = &mut place.machine else {
            return;
        };
        place.high = place.high.max(now.mono);
        let high = place.high;
        if let Machine::Core(lease) = machine
            && let Some(held) = lease.check_alive(now.mono).filter(|held| held.until <= high)
        {
            self.oracle.violate(self.now, Invariant::BeliefBound, || {
                format!("holder {seat} says at {now:?} that it holds until {:?}", held.until)
            });
        }
        machine.handle(now, input);
        // A reading from the past counts as the latest one before.
        let now = lease_core::Now { mono: high, ..now };
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

    pub(super) fn act(&mut self, seat: u8, now: lease_core::Now, action: Action) {
        match action {
            Action::Send { id, request, give_up_at, .. } => self.send(seat, now, id, request, give_up_at),
            Action::RefreshCredentials { id } => {
                let incarnation = self.seats[usize::from(seat)].incarnation;
                self.queue.push(self.now + 5_000_000, Happening::Credentials { seat, incarnation, id: id.0 });
            }
            Action::Abort { id } => {
                if self.abort_watch(seat, id) {
                    return;
                }
                let number = self
                    .messages
                    .iter()
                    .rev()
                    .find(|message| message.seat == seat && message.id == id)
                    .map_or(0, |message| message.number);
                self.oracle.settled(seat, number, false);
            }
            Action::OpenWatch { id, request, give_up_at, .. } => {
                self.open_watch(seat, now.mono, id, request, give_up_at);
            }
        }
    }

    pub(super) fn hear(&mut self, seat: u8, now: MonoTime, event: &Event) {
        let place = &self.seats[usize::from(seat)];
        let (process, sent, place_drive) = (place.process(seat), place.sent, place.plan.drive);
        self.fold(0x10, u64::from(seat) << 32 | event_number(event));
        if self.protocol.is_none() {
            self.oracle.told(self.now, process, now, sent, event);
        }
        self.watching(|watch, now| watch.told(now, seat, event));
        self.note(|| What::Told { holder: seat.into(), event: format!("{event:?}") });
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
    pub(super) const fn tries_again(&self, drive: Drive) -> bool {
        match drive {
            Drive::Campaign => false,
            Drive::TryAcquire(_) => true,
            Drive::Impatient(_) => self.healed,
        }
    }

    /// An application that tries once at a time tries again.
    pub(super) fn again(&mut self, seat: u8) {
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
    pub(super) fn sleep(&mut self, seat: u8, now: MonoTime, wake: Option<MonoTime>) {
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
    pub(super) fn look(&mut self, seat: u8, answered: bool) {
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
        let state = match (&self.trace, &self.seats[usize::from(seat)].machine) {
            (Some(_), Some(Machine::Core(lease))) => Some(format!("{:?}", lease.status())),
            _ => None,
        };
        let token = believed.map(|believed| believed.token);
        self.note(|| What::Belief { holder: seat.into(), until: after, token, state });
    }

    /// The application asked, got a yes, and writes to the resource: at once, or much later.
    pub(super) fn use_token(&mut self, seat: u8, token: u64) {
        let mut source = Seeded::new(self.plan.seed ^ self.now, GUARDED);
        if source.chance(300_000) {
            let delay = if source.chance(300_000) { source.below(40 * SECOND) } else { source.below(SECOND) };
            self.queue.push(self.now + delay, Happening::Guarded { seat, token });
        }
    }

    pub(super) fn guarded(&mut self, seat: u8, token: u64) {
        let accepted = self.oracle.guarded(self.now, token);
        self.fold(0x30, token << 1 | u64::from(accepted));
        self.note(|| What::Guarded { holder: seat.into(), token, accepted });
    }
}
