//! Where other people's code meets a world: what it is told, and what it may ask and do.
//!
//! A world without hooks pays one branch for each of these moments.

use lease_core::{Event, Held, MonoTime, Now};

use super::seat::Machine;
use super::{Happening, Queue, World};
use crate::plan::{Deed, Fate, FaultKind, Plan, Seeded, Way, mix};
use crate::trace::What;

/// The domain of what happens to messages that are not a holder's.
const COMPONENT: u64 = 5;

/// What runs beside the holders, in their processes.
pub(crate) trait Hooks {
    /// Something happened. What comes back is done once the hooks can be called again.
    fn on(&mut self, world: &mut World<'_>, moment: Moment<'_>) -> Option<Wish>;
}

/// What hooks are told.
pub(crate) enum Moment<'a> {
    /// A process started: nothing has been asked of its holder yet.
    Started { seat: u8 },
    /// A process died.
    Crashed { seat: u8 },
    /// A holder told its application something. The process may stand still at this instant.
    Told { seat: u8, event: &'a Event },
    /// A process goes on after a pause, and has looked at nothing yet.
    Resumed { seat: u8 },
    /// What [`World::schedule`] was asked for.
    Due { id: u64 },
}

/// What hooks want of a holder.
pub(crate) enum Wish {
    Release { seat: u8 },
    Campaign { seat: u8 },
}

impl<'p> World<'p> {
    /// Runs something beside the holders.
    pub(crate) fn hooked(mut self, hooks: Box<dyn Hooks + 'p>) -> Self {
        self.hooks = Some(hooks);
        self
    }

    #[inline]
    pub(super) fn hook(&mut self, moment: Moment<'_>) {
        if self.hooks.is_some() {
            self.call_hooks(moment);
        }
    }

    #[cold]
    fn call_hooks(&mut self, moment: Moment<'_>) {
        let Some(mut hooks) = self.hooks.take() else {
            return;
        };
        let wish = hooks.on(self, moment);
        self.hooks = Some(hooks);
        match wish {
            Some(Wish::Release { seat }) => self.release(seat),
            Some(Wish::Campaign { seat }) => self.command(seat),
            None => {}
        }
    }

    /// Calls the hooks at that instant.
    pub(crate) fn schedule(&mut self, at: u64, id: u64) {
        self.queue.push(at.max(self.now), Happening::Component { id });
    }

    /// Ends the run after this happening.
    pub(crate) fn halt(&mut self) {
        self.queue.clear();
    }

    /// Nanoseconds of true time since the beginning.
    pub(crate) const fn true_time(&self) -> u64 {
        self.now
    }

    pub(crate) const fn plan(&self) -> &Plan {
        self.plan
    }

    pub(crate) const fn is_traced(&self) -> bool {
        self.trace.is_some()
    }

    /// How many processes there can be at once, twins included.
    pub(crate) fn places(&self) -> usize {
        self.seats.len()
    }

    /// The clocks of a holder's machine.
    pub(crate) fn local_now(&self, seat: u8) -> Now {
        self.seats[usize::from(seat)].clock.read(self.now)
    }

    /// The first instant of true time at which a holder's clock shows `reading`.
    pub(crate) fn instant_of(&self, seat: u8, reading: MonoTime) -> u64 {
        self.seats[usize::from(seat)].clock.instant(reading)
    }

    /// What a holder would tell its application at this instant.
    pub(crate) fn held(&self, seat: u8) -> Option<Held> {
        let place = &self.seats[usize::from(seat)];
        match &place.machine {
            Some(Machine::Core(lease)) => lease.check_alive(place.clock.mono(self.now)),
            _ => None,
        }
    }

    pub(crate) fn incarnation(&self, seat: u8) -> u32 {
        self.seats[usize::from(seat)].incarnation
    }

    pub(crate) fn identity(&self, seat: u8) -> &str {
        self.seats[usize::from(seat)].config.identity().as_str()
    }

    /// Until when a process stands still, if it does.
    pub(crate) fn stands_still(&self, seat: u8) -> Option<u64> {
        let until = self.seats[usize::from(seat)].paused_until;
        (until > self.now).then_some(until)
    }

    /// Stops a process for a while.
    pub(crate) fn stand_still(&mut self, seat: u8, span: u64) {
        self.pause(seat, span);
    }

    /// By how much a process's timer is late this time.
    pub(crate) fn lateness(&self, seat: u8, source: u64) -> u64 {
        let most = self.seats[usize::from(seat)].plan.lateness;
        if self.healed || most == 0 || source & 3 != 0 { 0 } else { (source >> 8) % most }
    }

    /// What the network does to a component's message.
    pub(crate) fn fate_of(&self, seat: u8, incarnation: u32, number: u64) -> Fate {
        let domain = mix(u64::from(seat) << 32 | u64::from(incarnation)) ^ number;
        let mut source = Seeded::new(self.plan.seed ^ domain, COMPONENT);
        if self.healed {
            return self.plan.network.plain(&mut source);
        }
        let mut fate = self.plan.network.draw(&mut source);
        if matches!(fate.deed, Deed::Stale(_)) {
            // What is stale is for the shared thing to say.
            fate.deed = Deed::Carry;
        }
        fate
    }

    /// How long a component's message takes at present.
    pub(crate) fn delayed(&self, delay: u64) -> u64 {
        self.slowed(delay)
    }

    /// Whether a machine's connections to the shared thing are refused, or its messages lost, this way. Half of
    /// the partitions are of the API server alone: a holder that loses its lease and still reaches what the
    /// lease protects is the dangerous one.
    pub(crate) fn cut_off(&self, seat: u8, there: bool) -> (bool, bool) {
        let (mut refused, mut lost) = (false, false);
        for fault in self.plan.faults.iter().take_while(|fault| fault.at <= self.now) {
            let FaultKind::Partition { holder, span, way } = fault.what else {
                continue;
            };
            let both = mix(self.plan.seed ^ fault.at) & 1 == 0;
            if holder != seat || !both || self.now >= fault.at.saturating_add(span) {
                continue;
            }
            match way {
                Way::Both => lost = true,
                Way::Requests => lost |= there,
                Way::Replies => lost |= !there,
                Way::Refused => refused |= there,
            }
        }
        (refused, lost)
    }

    /// Takes a fact of a component into the run's hash.
    pub(crate) fn fold_fact(&mut self, fact: u64) {
        self.fold(0x40, fact);
    }

    /// Notes what a component does, for people.
    pub(crate) fn note_component(&mut self, seat: u8, routine: bool, about: impl FnOnce() -> String) {
        self.note(|| What::Component { holder: seat.into(), about: about(), routine });
    }
}

impl Queue {
    fn clear(&mut self) {
        self.heap.clear();
    }
}
