//! Operations on their way to the shared thing, and their replies on their way back.

use lease_core::MonoTime;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::context::Operation;
use super::runtime::{Call, Item, Runtime, panicked};
use super::{Component, FailureKind, SendError};
use crate::plan::{Deed, Fate, mix};
use crate::world::World;

/// How long a refused connection takes to be noticed, at most.
const REFUSED_WITHIN: u64 = 20_000_000;
/// What takes less is not worth a line in a short text.
const REMARKABLE: u64 = 1_000_000_000;

/// An operation that was sent.
pub(super) struct Message<S, R> {
    seat: u8,
    incarnation: u32,
    tag: u64,
    /// In true time.
    asked_at: u64,
    operation: Operation<S, R>,
    fate: Fate,
    /// What will be delivered.
    reply: Option<Result<R, SendError>>,
    /// Its component was told what became of it.
    settled: bool,
}

impl<S, C: Component<S>> Runtime<'_, S, C> {
    /// A component has sent an operation. It leaves at once, or when its process goes on.
    pub(super) fn send(
        &mut self,
        world: &mut World<'_>,
        seat: u8,
        tag: u64,
        operation: Operation<S, C::Reply>,
    ) {
        let mut fate = self.next_fate(world, seat);
        // The plan says that the process stands still here: between the check and the sending, or after both.
        if fate.pause_after > 0 && mix(world.plan().seed ^ fate.pause_after) & 1 == 0 {
            world.stand_still(seat, std::mem::take(&mut fate.pause_after));
        }
        let incarnation = self.places[usize::from(seat)].incarnation;
        let message = self.messages.len();
        let asked_at = world.true_time();
        let (reply, settled) = (None, false);
        self.messages.push(Message { seat, incarnation, tag, asked_at, operation, fate, reply, settled });
        match world.stands_still(seat) {
            Some(until) => self.schedule(world, until, Item::Leave { message }),
            None => self.leave(world, message),
        }
    }

    pub(super) fn leave(&mut self, world: &mut World<'_>, message: usize) {
        let sent = &self.messages[message];
        let (seat, incarnation, tag, fate) = (sent.seat, sent.incarnation, sent.tag, sent.fate);
        if !self.lives(seat, incarnation) {
            return;
        }
        if let Some(until) = world.stands_still(seat) {
            return self.schedule(world, until, Item::Leave { message });
        }
        let (refused, lost) = world.cut_off(seat, true);
        let name = if lost { "request-lost" } else { fate.deed.name() };
        let plain = name == "carried";
        world.note_component(seat, plain, || {
            let fate = if plain { String::new() } else { format!(" [{name}]") };
            format!("sends operation {tag}{fate}")
        });
        world.fold_fact(u64::from(seat) << 48 ^ message as u64);
        let due = world.local_now(seat).mono.saturating_add(self.simulation.settings.answer_timeout);
        let at = world.instant_of(seat, due);
        self.schedule(world, at, Item::TimeOut { message, due });
        let now = world.true_time();
        let there = world.delayed(fate.there);
        if refused || fate.deed == Deed::Refuse {
            self.messages[message].reply = Some(Err(SendError::NotSent));
            self.schedule(world, now + there.min(REFUSED_WITHIN), Item::Deliver { message });
        } else if !lost {
            self.depart(world, message, now + there);
        }
        if fate.pause_after > 0 {
            world.stand_still(seat, fate.pause_after);
        }
    }

    /// The network has it, and it would arrive then.
    fn depart(&mut self, world: &mut World<'_>, message: usize, arrives: u64) {
        let fate = self.messages[message].fate;
        match fate.deed {
            Deed::LoseRequest => {}
            Deed::ResetBefore => {
                self.messages[message].reply = Some(Err(SendError::Unknown));
                let back = world.delayed(fate.back);
                self.schedule(world, arrives + back, Item::Deliver { message });
            }
            Deed::Late(after) => self.schedule(world, arrives + after, Item::ArriveLate { message }),
            Deed::LateError(after) => {
                self.schedule(world, arrives, Item::Arrive { message });
                self.schedule(world, arrives + after, Item::ArriveLate { message });
            }
            Deed::Copy(after) | Deed::Echo(after) => {
                self.schedule(world, arrives, Item::Arrive { message });
                self.schedule(world, arrives + after, Item::ArriveAgain { message });
            }
            _ => self.schedule(world, arrives, Item::Arrive { message }),
        }
    }

    pub(super) fn arrive(&mut self, world: &mut World<'_>, message: usize) {
        let sent = &self.messages[message];
        let (seat, fate) = (sent.seat, sent.fate);
        let reply = match fate.deed {
            Deed::Error(_) | Deed::Throttle(_) | Deed::LateError(_) => Err(SendError::Unknown),
            deed => {
                let Some(reply) = self.operate(world, message, false) else {
                    return;
                };
                let spoiled = matches!(deed, Deed::Masked(_) | Deed::ResetAfter | Deed::Garble(_));
                if spoiled { Err(SendError::Unknown) } else { Ok(reply) }
            }
        };
        self.messages[message].reply = Some(reply);
        if !matches!(fate.deed, Deed::LoseReply | Deed::Echo(_)) && !world.cut_off(seat, false).1 {
            let at = world.true_time() + world.delayed(fate.back);
            self.schedule(world, at, Item::Deliver { message });
        }
    }

    /// The copy of an operation arrives.
    pub(super) fn arrive_again(&mut self, world: &mut World<'_>, message: usize) {
        let reply = self.operate(world, message, true);
        let fate = self.messages[message].fate;
        if let (Some(reply), Deed::Echo(_)) = (reply, fate.deed) {
            self.messages[message].reply = Some(Ok(reply));
            let at = world.true_time() + world.delayed(fate.back);
            self.schedule(world, at, Item::Deliver { message });
        }
    }

    /// Carries an operation out, and looks at the invariants. `None`: the run is over.
    pub(super) fn operate(&mut self, world: &mut World<'_>, message: usize, again: bool) -> Option<C::Reply> {
        let sent = &self.messages[message];
        let (seat, tag, asked_at) = (sent.seat, sent.tag, sent.asked_at);
        let shared = &mut self.shared;
        let done = catch_unwind(AssertUnwindSafe(|| (sent.operation)(shared)));
        self.carried_out += 1;
        world.fold_fact(u64::from(seat) << 56 ^ tag << 8 ^ 1);
        let took = world.true_time() - asked_at;
        world.note_component(seat, took < REMARKABLE && !again, || {
            let how = if again { "once more" } else { "carried out" };
            let seconds = Duration::from_nanos(took).as_secs_f64();
            format!("its operation {tag} is {how}, {seconds:.6} s after it asked for it")
        });
        let reply = match done {
            Ok(reply) => reply,
            Err(payload) => {
                self.fail(world, panicked(payload));
                return None;
            }
        };
        match self.simulation.judge(&self.shared, false) {
            Ok(()) => Some(reply),
            Err(kind) => {
                self.fail(world, kind);
                None
            }
        }
    }

    pub(super) fn deliver(&mut self, world: &mut World<'_>, message: usize) {
        let sent = &mut self.messages[message];
        let (seat, pause) = (sent.seat, std::mem::take(&mut sent.fate.pause_before));
        let alive = self.lives(seat, self.messages[message].incarnation);
        let sent = &mut self.messages[message];
        if sent.settled || !alive {
            return;
        }
        let Some(answer) = sent.reply.take() else {
            return;
        };
        sent.settled = true;
        let tag = sent.tag;
        if world.stands_still(seat).is_none() {
            // The process stands still with the answer at its door.
            world.stand_still(seat, pause);
        }
        self.call(world, seat, Call::Answered(tag, answer));
    }

    /// Nobody has answered in time, by the clock of the sender's machine.
    pub(super) fn time_out(&mut self, world: &mut World<'_>, message: usize, due: MonoTime) {
        let sent = &self.messages[message];
        let (seat, tag) = (sent.seat, sent.tag);
        if sent.settled || !self.lives(seat, sent.incarnation) {
            return;
        }
        if world.local_now(seat).mono < due {
            let at = world.instant_of(seat, due).max(world.true_time() + 1);
            return self.schedule(world, at, Item::TimeOut { message, due });
        }
        self.messages[message].settled = true;
        self.call(world, seat, Call::Answered(tag, Err(SendError::Unknown)));
    }
}

impl<S, C: Component<S>> super::Simulation<S, C> {
    /// What the invariants say of the shared thing.
    pub(super) fn judge(&self, shared: &S, at_the_end: bool) -> Result<(), FailureKind> {
        let rules = if at_the_end { &self.endings } else { &self.invariants };
        for rule in rules {
            let said = catch_unwind(AssertUnwindSafe(|| rule(shared))).map_err(panicked)?;
            said.map_err(|about| {
                if at_the_end { FailureKind::AtTheEnd(about) } else { FailureKind::Invariant(about) }
            })?;
        }
        Ok(())
    }
}
