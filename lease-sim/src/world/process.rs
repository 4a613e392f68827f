//! Processes: they start, are told what to do, stand still, and go on.

use lease_core::{Input, Output, RequestId};

use super::hooks::Moment;
use super::{Drive, Happening, Incoming, Invariant, Machine, Mark, What, World, mix};

impl World<'_> {
    pub(super) fn start(&mut self, seat: u8) {
        let place = &mut self.seats[usize::from(seat)];
        if place.machine.is_some() || place.retired {
            return;
        }
        place.start(self.plan, seat, self.now);
        let (process, renamed) = (place.process(seat), place.renamed);
        self.follow_protocol(seat);
        self.oracle.started(self.now, process, renamed);
        self.note(|| What::Started { holder: seat.into(), incarnation: process.incarnation });
        self.hook(Moment::Started { seat });
        self.command(seat);
    }

    /// The application says what it wants, again.
    pub(super) fn command(&mut self, seat: u8) {
        let place = &mut self.seats[usize::from(seat)];
        if place.machine.is_none() || place.retired {
            return;
        }
        if place.has_to_wait(self.now) {
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
        self.oracle.campaigns(seat, command == "campaign");
        self.note(|| What::Command { holder: seat.into(), command: command.to_owned() });
        self.give(seat, input);
    }

    /// The application gives the lease back.
    pub(super) fn release(&mut self, seat: u8) {
        let place = &mut self.seats[usize::from(seat)];
        if place.machine.is_none() {
            return;
        }
        if place.has_to_wait(self.now) {
            return place.inbox.push(Incoming::Release);
        }
        let held = self.oracle.believes(self.now, seat).is_some();
        self.oracle.free_to_send(seat);
        self.oracle.campaigns(seat, false);
        self.note(|| What::Command { holder: seat.into(), command: "release".to_owned() });
        let before = self.counts.requests;
        self.give(seat, Input::Release);
        if !held && self.counts.requests > before {
            self.oracle.marks.hit(Mark::CleanUp);
        }
    }

    /// An application that has waited for long enough cancels its attempt.
    pub(super) fn lose_patience(&mut self, seat: u8, incarnation: u32) {
        let place = &self.seats[usize::from(seat)];
        // A quarantine can take longer than anybody's patience: somebody has to have some in the end.
        let patient = self.healed || place.retired;
        if place.incarnation != incarnation || patient || self.oracle.believes(self.now, seat).is_some() {
            return;
        }
        self.release(seat);
        self.again(seat);
    }

    pub(super) fn wake_early(&mut self, seat: u8, generation: u32) {
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

    pub(super) fn credentials(&mut self, seat: u8, incarnation: u32, id: u64) {
        let place = &mut self.seats[usize::from(seat)];
        if place.incarnation != incarnation || place.machine.is_none() {
            return;
        }
        if place.has_to_wait(self.now) {
            return place.inbox.push(Incoming::Credentials(id));
        }
        self.oracle.marks.hit(Mark::Refreshed);
        self.give(seat, Input::CredentialsReady { id: RequestId(id) });
    }

    /// Ends a process.
    pub(super) fn kill(&mut self, seat: u8) {
        let place = &mut self.seats[usize::from(seat)];
        place.machine = None;
        place.generation += 1;
        place.inbox.clear();
        self.hang_up(seat);
        self.oracle.died(self.now, seat);
        self.watching(|watch, now| watch.died(now, seat));
        self.note(|| What::Crashed { holder: seat.into() });
        self.hook(Moment::Crashed { seat });
    }

    /// Stops a process for a while.
    pub(super) fn pause(&mut self, seat: u8, span: u64) {
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
        self.note(|| What::Paused { holder: seat.into(), until });
    }

    pub(super) fn resume(&mut self, seat: u8) {
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
                Incoming::Stream(stream) => self.take_in_watch(stream),
            }
        }
        if overdue && !timers_first && self.seats[usize::from(seat)].paused_until <= self.now {
            self.give(seat, Input::Tick);
        }
    }
}
