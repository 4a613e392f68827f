//! What a component can see and ask for.

use lease_core::{Held, MonoTime, Now};
use std::fmt::Display;
use std::time::Duration;

use crate::plan::{Seeded, Source};

/// An operation on the shared thing, as it travels.
pub(super) type Operation<S, R> = Box<dyn Fn(&mut S) -> R>;

/// What a component asked for while it was told something.
pub(super) enum Effect<S, R> {
    Timer { tag: u64, due: MonoTime },
    Cancel { tag: u64 },
    Send { tag: u64, operation: Operation<S, R> },
    Release,
    Campaign,
    Note(String),
    Fail(String),
}

/// What is so at the instant at which a component is told something.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) now: Now,
    pub(super) held: Option<Held>,
    pub(super) holder: usize,
    pub(super) identity: &'a str,
    pub(super) incarnation: u32,
    pub(super) traced: bool,
}

/// A component's access to its process, its holder, and the shared `S`.
///
/// Time stands still while a component runs. What it asks for happens after it has returned, in that order; and
/// the process may stand still, or die, before any of it has left. So whatever [`check_alive`](Self::check_alive)
/// said can be long over when an operation is carried out.
pub struct Context<'a, S, R> {
    pub(super) view: View<'a>,
    pub(super) effects: &'a mut Vec<Effect<S, R>>,
    pub(super) random: &'a mut Seeded,
}

impl<S, R> Context<'_, S, R> {
    /// The clocks of this machine: skewed and drifting like the holder's.
    #[must_use]
    pub fn now(&self) -> Now {
        self.view.now
    }

    /// The term that the holder believes in at this instant, with its fencing token; `None`: it has none, or
    /// gives it back.
    #[must_use]
    pub fn held(&self) -> Option<Held> {
        self.view.held
    }

    /// Whether the lease is held at this instant, as far as this machine can know.
    #[must_use]
    pub fn check_alive(&self) -> bool {
        self.view.held.is_some()
    }

    /// The place of this holder in the fleet, from 0. A twin has a place of its own, after all others.
    #[must_use]
    pub fn holder(&self) -> usize {
        self.view.holder
    }

    /// The identity that the holder writes into the record.
    #[must_use]
    pub fn identity(&self) -> &str {
        self.view.identity
    }

    /// How often this process has started by now; 1 at first.
    #[must_use]
    pub fn incarnation(&self) -> u32 {
        self.view.incarnation
    }

    /// Calls [`timer`](super::Component::timer) with this tag when this machine's own clock has advanced by
    /// `delay`, or later: while faults go on, timers can be late. Each call makes one more timer.
    pub fn after(&mut self, delay: Duration, tag: u64) {
        let due = self.view.now.mono.saturating_add(delay);
        self.effects.push(Effect::Timer { tag, due });
    }

    /// Forgets all timers of this component that have this tag and are not due yet.
    pub fn cancel(&mut self, tag: u64) {
        self.effects.push(Effect::Cancel { tag });
    }

    /// Sends an operation to the shared thing. It is carried out when it arrives, and what it returns comes
    /// back to [`answered`](super::Component::answered) with this tag.
    ///
    /// The network is the one that the holders have: it delays, loses, doubles and reorders. So the operation
    /// may be carried out never, once, twice, or long after [`SendError::Unknown`](super::SendError::Unknown)
    /// was answered, and after the process has died. It can use only what it was given when it was sent: move
    /// in what a real request would carry, the fencing token for one.
    pub fn send(&mut self, tag: u64, operation: impl Fn(&mut S) -> R + 'static) {
        self.effects.push(Effect::Send { tag, operation: Box::new(operation) });
    }

    /// Gives the lease back. From here on [`held`](Self::held) says no.
    pub fn release(&mut self) {
        self.view.held = None;
        self.effects.push(Effect::Release);
    }

    /// Asks for the lease again after a [`release`](Self::release), the way the plan has this holder ask:
    /// by a campaign, or by single attempts. Without a release there is no need to: holders ask by themselves
    /// when they start, and again after a loss. The impatient ones of a plan, which give an attempt up and try
    /// again later, may do so after a release, too.
    pub fn campaign(&mut self) {
        self.effects.push(Effect::Campaign);
    }

    /// A random number, from the seed.
    pub fn random(&mut self) -> u64 {
        self.random.next()
    }

    /// A random number below `end`, from the seed; 0 if `end` is 0.
    pub fn random_below(&mut self, end: u64) -> u64 {
        self.random.below(end)
    }

    /// Puts a line into the trace. Costs nothing in runs that keep none.
    pub fn note(&mut self, about: impl Display) {
        if self.view.traced {
            self.effects.push(Effect::Note(about.to_string()));
        }
    }

    /// Reports that something must not have happened, and ends the run. A panic does the same.
    pub fn fail(&mut self, about: impl Display) {
        self.effects.push(Effect::Fail(about.to_string()));
    }
}
