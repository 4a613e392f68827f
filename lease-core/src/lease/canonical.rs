//! A machine as a model checker sees it: what can still make a difference, and nothing else.
//!
//! A search over all schedules only ends if states that behave alike count as one. The machine does not know
//! which of its clock readings, resource versions and stamps still mean something to the rest of the world,
//! so it does not hash itself: it names its fields, in a fixed order, to a [`View`] that knows.

use std::time::Duration;

use super::contend::Contending;
use super::release::Releasing;
use super::step::{InFlight, Next, Step};
use super::{Lease, State};
use crate::attempts::Attempt;
use crate::identifiers::Identity;
use crate::observation::Observation;
use crate::problem::Problem;
use crate::rng::Rng;
use crate::time::{MonoTime, WallTime};
use crate::wire::{Holder, Kind, Record, Version};

/// What a model checker does with the fields of a machine. Only for model checkers.
pub trait View {
    /// A plain number. Always the whole truth.
    fn number(&mut self, number: u64);

    /// Whether that is now or past.
    fn is_due(&self, at: MonoTime) -> bool;

    /// Something becomes due then. The machine compares it with the present and with nothing else: whatever
    /// is due already is due, no matter for how long.
    fn deadline(&mut self, at: MonoTime);

    /// A write was handed out then. The machine compares emissions with each other, and grants at most
    /// `lasts` from them: beyond that age only their order matters.
    fn emission(&mut self, at: MonoTime, lasts: Duration);

    /// A `renewTime`. The machine asks for equality, and under rule (b) for its age.
    fn stamp(&mut self, stamp: WallTime);

    /// An `acquireTime`. The machine asks for equality, where somebody stripped a record of its nonce, and to
    /// learn that a POST of its own has landed, which only a release wants to know.
    fn acquired(&mut self, stamp: WallTime) {
        self.stamp(stamp);
    }

    /// The highest stamp that was handed out: the next one is the wall clock's, or the one after this where
    /// the wall clock stands or steps back. Nothing to describe where no wall clock does.
    fn highest_stamp(&mut self, _stamp: Option<WallTime>) {}

    /// A `resourceVersion` that is compared with those of records that are yet to come.
    fn version(&mut self, version: &str);

    /// A `uid`. The machine asks for equality.
    fn uid(&mut self, uid: &str);

    /// Who wrote a record, or this machine's own nonce. The machine asks for equality.
    fn nonce(&mut self, nonce: u128);

    /// Who holds. The machine asks for equality.
    fn identity(&mut self, identity: &Identity);

    /// Whether a record that is yet to come, by whatever way, can carry this `renewTime`.
    fn can_show(&self, stamp: WallTime) -> bool;

    /// Whether a record that is yet to come, by whatever way, can carry this `acquireTime`.
    fn can_show_acquired(&self, stamp: WallTime) -> bool;

    /// Whether the machine may yet be told to release. If not, what a release would clean up is left out.
    fn can_release(&self) -> bool;
}

impl Lease {
    /// Makes chance and the longest of all waits play no part from here on: jitter cuts nothing off, and a
    /// POST whose fate is unknown may land for ever. To be called after [`new`](Self::new) and after every
    /// [`handle`](Self::handle), or a [`View`] does not tell the whole truth. Only for model checkers.
    pub fn without_chance(&mut self) {
        self.rng = Rng::without_jitter();
        self.attempts.never_settle();
    }

    /// Names everything that can make a difference to what this machine does from here on, provided that
    /// its clocks never go backwards, that its outputs were drained, that responses carry no `Date`, that fewer
    /// than 32 writes are under way, and that it does not [watch](crate::ConfigBuilder::watch).
    ///
    /// Left out are what only events tell (the causes of trouble, what a term was acquired from, the holder
    /// told last), the counters, ids of requests, attempts that no record can show any more, what is known of
    /// a record that no read can show again and that is not written over either, and what only an answer
    /// could use that comes too late by now. Only for model checkers.
    pub fn describe(&self, view: &mut impl View) {
        debug_assert!(!self.config.watch(), "a watch is not described");
        view.nonce(self.nonce.0);
        let goals = &self.goals;
        let flags = [goals.attempt, goals.campaign, self.has_read];
        flags.into_iter().for_each(|flag| view.number(flag.into()));
        let config = &self.config;
        let most = doublings(config.acquire_retry_delay(), config.poll_interval());
        view.number(self.failures.min(most).into());
        self.describe_attempts(view);
        self.describe_state(view);
        self.describe_step(view);
        self.describe_observation(view);
        if view.can_release() || matches!(self.state, State::Releasing(_)) {
            self.describe_litter(view);
        }
        match self.last_token {
            Some(token) => view.version(&token.to_string()),
            None => view.number(0),
        }
    }

    /// A term or release with more failures in a row than this behaves as with so many: the first is told
    /// apart, and the pauses grow only so far.
    fn most_failures(&self) -> u32 {
        doublings(self.config.retry_delay(), self.config.renew_interval()).max(1)
    }

    fn describe_attempts(&self, view: &mut impl View) {
        let seen = self.observed.as_ref().and_then(|observed| observed.record.renew_time);
        let matters = |attempt: &&Attempt, view: &dyn Fn(WallTime) -> bool| {
            seen == Some(attempt.renew_time) || view(attempt.renew_time)
        };
        let (remembered, shown) = self.attempts.remembered();
        let mut described: Vec<&Attempt> = Vec::new();
        for attempt in remembered.chain(shown) {
            let known = described.iter().any(|other| other.renew_time == attempt.renew_time);
            if !known && matters(&attempt, &|stamp| view.can_show(stamp)) {
                described.push(attempt);
            }
        }
        view.number(described.len() as u64);
        for attempt in described {
            view.stamp(attempt.renew_time);
            view.emission(attempt.emitted, self.config.validity());
            view.number((attempt.episode == self.episode).into());
            view.number(attempt.begins_term.into());
        }
        view.highest_stamp(self.attempts.highest());
    }

    /// What a release asks for.
    fn describe_litter(&self, view: &mut impl View) {
        view.number(self.litter.into());
        describe_version(self.open_update.as_ref(), view);
        let mut never_settled = false;
        for stamp in self.attempts.open() {
            if view.can_show_acquired(stamp) {
                view.acquired(stamp);
            } else {
                never_settled = true;
            }
        }
        view.number(never_settled.into());
    }

    fn describe_state(&self, view: &mut impl View) {
        view.number(self.status() as u64);
        match &self.state {
            State::Idle | State::Waiting => {}
            State::Contending(contending) => self.describe_contending(contending, view),
            State::Holding(term) => {
                view.deadline(term.until);
                view.number(self.step.alarm().is_some_and(|(at, _)| at < term.until).into());
                view.acquired(term.acquire_time);
                if !view.is_due(term.until) {
                    view.emission(term.confirmed, self.config.validity());
                    view.uid(&term.uid);
                    view.number(term.failures.min(self.most_failures()).into());
                    view.number((term.episode == self.episode).into());
                }
            }
            State::Releasing(releasing) => self.describe_releasing(releasing, view),
        }
    }

    fn describe_contending(&self, contending: &Contending, view: &mut impl View) {
        view.number(contending.retries_left.into());
        view.number(contending.last_look.into());
        view.number(contending.refreshed.into());
        // It decides how long a campaign pauses when its attempt ends.
        view.number(match &contending.last_problem {
            None | Some(Problem::Conflict) => 0,
            Some(problem) => 1 + u64::from(problem.is_permanent()),
        });
        if let Some(quarantine) = &contending.quarantine {
            view.uid(&quarantine.uid);
            view.deadline(quarantine.ends_at);
            view.emission(quarantine.shown, self.config.validity());
        }
    }

    fn describe_releasing(&self, releasing: &Releasing, view: &mut impl View) {
        view.deadline(releasing.give_up_at);
        view.number(releasing.failures.min(self.most_failures()).into());
        view.number(releasing.refreshed.into());
        match releasing.acquire_time {
            Some(time) => view.acquired(time),
            None => view.number(0),
        }
        view.number(self.step.alarm().is_some_and(|(at, _)| at < releasing.give_up_at).into());
    }

    fn describe_step(&self, view: &mut impl View) {
        match &self.step {
            Step::Rest => view.number(0),
            Step::Asking(in_flight) => {
                view.number(1);
                self.describe_in_flight(in_flight, view);
            }
            Step::Refreshing { give_up_at, not_before, then, .. } => {
                view.number(2);
                view.deadline(*give_up_at);
                view.deadline(*not_before);
                view.number(next_number(*then));
            }
            Step::Pausing { until, then, .. } => {
                view.number(3);
                view.deadline(*until);
                view.number(next_number(*then));
            }
        }
    }

    fn describe_in_flight(&self, in_flight: &InFlight, view: &mut impl View) {
        view.number(match in_flight.kind {
            Kind::Read => 0,
            Kind::Create => 1,
            Kind::Update => 2,
            Kind::Delete => 3,
        });
        view.deadline(in_flight.give_up_at);
        if view.is_due(in_flight.give_up_at) && !view.can_release() {
            // No answer counts any more.
            return;
        }
        view.emission(in_flight.emitted, self.config.validity());
        match in_flight.stamp {
            Some(stamp) => view.stamp(stamp),
            None => view.number(0),
        }
        describe_version(in_flight.base.as_ref(), view);
    }

    fn describe_observation(&self, view: &mut impl View) {
        let Some(observed) = &self.observed else {
            return view.number(0);
        };
        if observed.record.renew_time.is_none_or(|stamp| view.can_show(stamp)) {
            view.number(1);
            describe_record(&observed.record, view);
            view.number(observed.reclaimable.into());
            view.deadline(self.rule_a(observed));
            return;
        }
        // What no read shows again is never judged again: the next record starts an observation of its own.
        // But a write can be made of it, which will meet another state.
        view.number(2);
        let writes = matches!(self.step, Step::Pausing { then: Next::Write, .. });
        if writes || matches!(self.state, State::Holding(_) | State::Releasing(_)) {
            describe_version(Some(&observed.record.version), view);
            view.number(quarantine_number(&observed.record));
        }
    }

    fn rule_a(&self, observed: &Observation) -> MonoTime {
        self.judge(self.now).observed_expiry(observed)
    }
}

fn describe_version(version: Option<&Version>, view: &mut impl View) {
    view.number(version.is_some().into());
    if let Some(version) = version {
        view.uid(&version.uid);
        view.version(&version.resource_version);
    }
}

/// By what was understood. The number of changes of holder is left out: no decision looks at it, and where
/// two records differ in it, they differ in their stamps.
fn describe_record(record: &Record, view: &mut impl View) {
    describe_version(Some(&record.version), view);
    match &record.holder {
        Holder::Nobody => view.number(0),
        Holder::Named(identity) => view.identity(identity),
        Holder::Unreadable => view.number(1),
    }
    match record.acquire_time {
        Some(time) => view.acquired(time),
        None => view.number(0),
    }
    match record.renew_time {
        Some(time) => view.stamp(time),
        None => view.number(0),
    }
    match record.nonce {
        Some(nonce) => view.nonce(nonce.0),
        None => view.number(0),
    }
    view.number(quarantine_number(record));
    view.number(record.terminating.into());
    view.number(record.duration().map_or(u64::MAX, |duration| duration.as_secs()));
}

fn quarantine_number(record: &Record) -> u64 {
    u64::from(record.quarantined) + 2 * u64::from(record.settled)
}

/// After this many failures in a row the next pause has its full length.
fn doublings(base: Duration, most: Duration) -> u32 {
    (0..16).find(|failures| base.saturating_mul(1 << failures) >= most).unwrap_or(16)
}

fn next_number(next: Next) -> u64 {
    match next {
        Next::Attempt => 0,
        Next::Read => 1,
        Next::Write => 2,
    }
}
