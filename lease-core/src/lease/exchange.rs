//! Sending requests and taking in what they show; the same for every state.

use std::time::Duration;

use super::step::{InFlight, Next, Step};
use super::{Lease, State};
use crate::attempts::Attempt;
use crate::config::SameIdentity;
use crate::event::Event;
use crate::identifiers::{Identity, RequestId};
use crate::mutated::mutated;
use crate::observation::Observation;
use crate::output::WakeReason;
use crate::problem::Problem;
use crate::time::{MonoTime, Now, WallTime};
use crate::wire::{Call, Change, Holder, Kind, Record};

impl Lease {
    /// Sends a GET.
    pub(super) fn read(&mut self, now: Now) {
        self.ask(now, Call { kind: Kind::Read, body: bytes::Bytes::new() }, None);
    }

    /// Sends `call`; a write that puts our name there carries the stamp that identifies it.
    pub(super) fn ask(&mut self, now: Now, call: Call, stamp: Option<WallTime>) {
        let mut give_up_at = now.mono.saturating_add(self.config.request_timeout());
        if let State::Holding(term) = &self.state {
            give_up_at = give_up_at.min(term.until);
        }
        let kind = call.kind;
        let conditional = matches!(kind, Kind::Update | Kind::Delete);
        let base = self.observed.as_ref().filter(|_| conditional);
        let base = base.map(|observed| observed.record.version.clone());
        let twice = (conditional && mutated!(self.config, TwoWritesInFlight)).then(|| call.clone());
        let id = self.outbox.send(call, give_up_at);
        if let Some(call) = twice {
            self.outbox.send(call, give_up_at);
        }
        self.step = Step::Asking(InFlight { id, kind, emitted: now.mono, give_up_at, stamp, base });
    }

    /// Sends a PUT over the record as last read and remembers the attempt.
    pub(super) fn put(&mut self, now: Now, change: &Change<'_>, episode: u64, begins_term: bool) {
        let Some(observed) = &self.observed else {
            return self.read(now);
        };
        let call = Call { kind: Kind::Update, body: observed.record.put_body(change, &self.config) };
        self.remember(now, change.renew_time, episode, begins_term);
        self.ask(now, call, Some(change.renew_time));
    }

    pub(super) fn remember(&mut self, now: Now, renew_time: WallTime, episode: u64, begins_term: bool) {
        self.attempts.note_source(self.server_clock.corrects(now, self.config.skew_bound()));
        self.attempts.remember(Attempt { renew_time, emitted: now.mono, episode, begins_term });
    }

    /// What timestamps are written from: our wall clock, or the server's time where ours is off.
    pub(super) fn stamping_time(&self, now: Now) -> WallTime {
        let corrected = self.server_clock.stamping_time(now, self.config.skew_bound());
        mutated!(self.config, StampsIgnoreDate, now.wall, corrected)
    }

    /// Whether our own sequence of timestamps has run too far ahead of the clock.
    pub(super) fn runs_ahead(&self, now: Now) -> bool {
        let most = self.server_clock.most_ahead(self.config.skew_bound());
        // Without `max_clock_skew` no wall clock decides anything.
        let decides = self.config.max_clock_skew().is_some() && !mutated!(self.config, ClockStepIgnored);
        decides && self.attempts.ahead_of(self.stamping_time(now)) > most
    }

    pub(super) fn pause(&mut self, until: MonoTime, then: Next, reason: WakeReason) {
        self.step = Step::Pausing { until, then, reason };
    }

    /// Tells what does not work, and when it is tried again if that is before `end`.
    pub(super) fn tell_trouble(&mut self, problem: Problem, retry_at: MonoTime, end: MonoTime) {
        self.outbox.event(Event::Trouble { problem, retry_at: (retry_at < end).then_some(retry_at) });
    }

    /// Asks for fresh credentials, then does `then`, but not before `not_before`.
    pub(super) fn refresh_credentials(&mut self, now: Now, not_before: MonoTime, then: Next) {
        let mut give_up_at = now.mono.saturating_add(self.config.request_timeout());
        if let State::Holding(term) = &self.state {
            give_up_at = give_up_at.min(self.last_chance(now, term.until));
        }
        let id = self.outbox.refresh_credentials();
        self.step = Step::Refreshing { id, give_up_at, not_before, then };
    }

    pub(super) fn refreshed(&mut self, now: Now, not_before: MonoTime, then: Next) {
        // By way of a pause that may be over already: alarms are fired once more after every input.
        self.pause(not_before.max(now.mono), then, WakeReason::Retry);
    }

    /// The request that a response belongs to, if it is still wanted and was polled.
    pub(super) fn take_in_flight(&mut self, id: RequestId) -> Option<InFlight> {
        match &self.step {
            Step::Asking(in_flight) if in_flight.id == id && !self.outbox.is_waiting(id) => {
                match std::mem::take(&mut self.step) {
                    Step::Asking(in_flight) => Some(in_flight),
                    _ => None,
                }
            }
            _ => {
                self.stats.stray_inputs += 1;
                None
            }
        }
    }

    /// Gives up whatever is under way; whether a request was that may have reached the API server.
    pub(super) fn stop(&mut self) -> bool {
        match std::mem::take(&mut self.step) {
            Step::Asking(in_flight) if !self.outbox.withdraw(in_flight.id) => {
                self.outbox.abort(in_flight.id);
                self.leave_open(&in_flight);
                true
            }
            Step::Refreshing { id, .. } => {
                self.outbox.withdraw(id);
                false
            }
            _ => false,
        }
    }

    /// The latest that a request can start and still have its whole time before the term ends; where that
    /// has passed, the end of the term.
    pub(super) fn last_chance(&self, now: Now, until: MonoTime) -> MonoTime {
        let last_chance = until.saturating_sub(self.config.request_timeout());
        if now.mono < last_chance { last_chance } else { until }
    }

    /// Takes in a record that was read or that a write returned.
    pub(super) fn observe(&mut self, now: Now, record: Record) {
        let moved = self.has_moved();
        let unchanged = self.observed.take().filter(|_| !moved).filter(|last| {
            mutated!(
                by crate::mutants::same_state(&self.config, &last.record, &record),
                last.record.same_state(&record)
            )
        });
        let twin =
            record.holder.identity() == Some(self.config.identity()) && record.nonce != Some(self.nonce);
        let reclaimable = if self.has_read && !mutated!(self.config, ReclaimsAtAnyRead) {
            unchanged.as_ref().is_some_and(|last| last.reclaimable && last.record.nonce == record.nonce)
        } else {
            twin && self.config.same_identity() == SameIdentity::Reclaim
        };
        self.has_read = true;
        if unchanged.is_none() {
            self.tell_about(&record);
        }
        if let Some(attempt) = self.judge(now).own_attempt(&record) {
            self.attempts.seen(attempt, record.acquire_time);
        }
        if self.open_update.as_ref().is_some_and(|base| record.token() > base.token()) {
            self.open_update = None;
        }
        let since = unchanged.map_or(now.mono, |last| last.since);
        self.observed = Some(Observation { record, since, reclaimable });
    }

    fn tell_about(&mut self, record: &Record) {
        let claimed = record.duration().unwrap_or(Duration::ZERO);
        if record.holder != Holder::Nobody && claimed > self.config.max_foreign_ttl() {
            self.outbox.event(Event::ForeignTtlCut { claimed });
        }
        self.tell_holder(record.holder.identity().cloned());
    }

    /// Takes in that there is no object.
    pub(super) fn observe_absence(&mut self) {
        self.forget_object();
        self.has_read = true;
        // An update carries a UID: it cannot land where there is no object.
        self.open_update = None;
        self.tell_holder(None);
    }

    fn tell_holder(&mut self, holder: Option<Identity>) {
        if self.told_holder != holder {
            self.told_holder.clone_from(&holder);
            self.outbox.event(Event::HolderChanged { holder });
        }
    }

    /// Whether a write's response shows that very write.
    pub(super) fn confirms(&self, in_flight: &InFlight, record: &Record) -> bool {
        let same_object = in_flight.base.as_ref().is_none_or(|base| {
            base.uid == record.version.uid
                && (base.resource_version != record.version.resource_version
                    || mutated!(self.config, RenewTimeFrozen))
        });
        same_object
            && in_flight.stamp.is_some()
            && (mutated!(self.config, AnySuccessConfirms)
                || record.renew_time == in_flight.stamp
                    && record.holder.identity() == Some(self.config.identity())
                    && record.nonce == Some(self.nonce))
    }
}
