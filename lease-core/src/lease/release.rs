//! Giving a lease back. The local term has ended before the first of these requests is made.

use super::hold::Term;
use super::step::{InFlight, Next, Step};
use super::{Lease, State};
use crate::config::ReleasePolicy;
use crate::event::{Event, ReleaseOutcome};
use crate::mutated::mutated;
use crate::output::WakeReason;
use crate::problem::Problem;
use crate::time::{MonoTime, Now, WallTime};
use crate::wire::{Call, Change, Holder, Kind, QuarantineMark, Record, Reply, Trouble};

/// A release under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Releasing {
    pub(super) give_up_at: MonoTime,
    pub(super) failures: u32,
    pub(super) refreshed: bool,
    last_problem: Option<Problem>,
    /// The `acquireTime` of the term that ended; none where an attempt was cancelled.
    pub(super) acquire_time: Option<WallTime>,
}

impl Lease {
    /// Ends a term because the application said so.
    pub(super) fn release_term(&mut self, now: Now, term: &Term) {
        self.outbox.event(Event::Released { token: term.token });
        // What was under way, or had an unknown outcome, is settled by a read before anything is deleted.
        let was_to_read = match &self.step {
            Step::Pausing { then, .. } | Step::Refreshing { then, .. } => *then == Next::Read,
            Step::Asking(in_flight) => in_flight.kind == Kind::Read,
            Step::Rest => false,
        };
        let stopped = self.stop();
        self.start_releasing(now, Some(term.acquire_time));
        let to_settle = (was_to_read || stopped) && !mutated!(self.config, ReleaseOvertakesWrite);
        if to_settle { self.read(now) } else { self.give_back(now) }
    }

    /// Ends whatever goes on without a term; takes back what it may have written.
    pub(super) fn clean_up(&mut self, now: Now) {
        self.stop();
        if !self.litter || mutated!(self.config, LitterForgotten) {
            self.outbox.event(Event::ReleaseEnded { outcome: ReleaseOutcome::Nothing });
            return;
        }
        self.start_releasing(now, None);
        self.read(now);
    }

    fn start_releasing(&mut self, now: Now, acquire_time: Option<WallTime>) {
        self.state = State::Releasing(Releasing {
            give_up_at: now.mono.saturating_add(self.config.release_timeout()),
            failures: 0,
            refreshed: false,
            last_problem: None,
            acquire_time,
        });
    }

    /// Sends the DELETE, or the PUT that takes its place.
    pub(super) fn give_back(&mut self, now: Now) {
        let Some(observed) = &self.observed else {
            return self.end_release(now, ReleaseOutcome::Confirmed);
        };
        // A record in quarantine was never held by anybody: it goes, whatever the policy, unless others made it.
        let vacate = self.config.release_policy() == ReleasePolicy::Vacate
            && (!observed.record.quarantined || self.config.existing_only());
        if !vacate {
            let conditional = observed.record.delete_body();
            let body =
                mutated!(self.config, DeleteWithoutPreconditions, crate::mutants::delete_body(), conditional);
            return self.ask(now, Call { kind: Kind::Delete, body }, None);
        }
        let renew_time = self.attempts.next_stamp(self.stamping_time(now));
        let change = Change {
            holder: None,
            nonce: self.nonce,
            acquire_time: None,
            renew_time,
            quarantine: QuarantineMark::Keep,
        };
        let body = observed.record.put_body(&change, &self.config);
        self.attempts.reserve(renew_time);
        self.ask(now, Call { kind: Kind::Update, body }, None);
    }

    pub(super) fn releasing_reply(
        &mut self,
        now: Now,
        releasing: Releasing,
        in_flight: &InFlight,
        reply: Reply,
    ) {
        let kind = in_flight.kind;
        let acquire_time = releasing.acquire_time;
        self.state = State::Releasing(releasing);
        match reply {
            Reply::Deleted | Reply::Absent => {
                self.observe_absence();
                self.end_release(now, ReleaseOutcome::Confirmed);
            }
            Reply::Record(record) => self.releasing_record(now, acquire_time, kind, record),
            Reply::Conflict => self.releasing_trouble(now, Trouble::definite(Problem::Conflict), Next::Read),
            Reply::Trouble(trouble) => {
                let next = if trouble.definite && kind.writes() { Next::Write } else { Next::Read };
                self.releasing_trouble(now, trouble, next);
            }
        }
    }

    fn releasing_record(&mut self, now: Now, acquire_time: Option<WallTime>, kind: Kind, record: Record) {
        let last = self.observed.as_ref().and_then(|observed| observed.record.token());
        if record.token() < last {
            return self.releasing_trouble(now, Trouble::unclear(Problem::StaleRead), Next::Read);
        }
        let ours = self.judge(now).term_attempt(&record, acquire_time).is_some()
            || mutated!(self.config, ReleaseDeletesStrangers);
        let vacant = record.holder == Holder::Nobody;
        let terminating = record.terminating;
        self.observe(now, record);
        match kind {
            _ if vacant => self.end_release(now, ReleaseOutcome::Confirmed),
            _ if !ours => self.end_release(now, ReleaseOutcome::NotOurs),
            _ if terminating => self.unconfirmed(now, Problem::HeldByFinalizers),
            Kind::Read => self.give_back(now),
            _ => self.releasing_trouble(now, Trouble::unclear(Problem::NotConfirmed), Next::Read),
        }
    }

    fn releasing_trouble(&mut self, now: Now, trouble: Trouble, next: Next) {
        let State::Releasing(releasing) = &mut self.state else {
            return;
        };
        releasing.failures = releasing.failures.saturating_add(1);
        releasing.last_problem = Some(trouble.problem.clone());
        let (failures, give_up_at) = (releasing.failures, releasing.give_up_at);
        if trouble.problem == Problem::Unauthorized && !releasing.refreshed {
            releasing.refreshed = true;
            return self.refresh_credentials(now, now.mono, next);
        }
        if trouble.problem.is_permanent() {
            return self.unconfirmed(now, trouble.problem);
        }
        if trouble.problem == Problem::Conflict && failures == 1 {
            return self.read(now);
        }
        let most = self.config.renew_interval();
        let delay = self.backoff(self.config.retry_delay(), failures, most);
        let retry_at = now.mono.saturating_add(delay.max(trouble.retry_after.unwrap_or_default()));
        self.tell_trouble(trouble.problem, retry_at, give_up_at);
        self.pause(retry_at, next, WakeReason::Retry);
    }

    pub(super) fn give_up_release(&mut self, now: Now) {
        self.stop();
        let last = match &self.state {
            State::Releasing(releasing) => releasing.last_problem.clone(),
            _ => None,
        };
        self.unconfirmed(now, last.unwrap_or(Problem::Timeout));
    }

    fn unconfirmed(&mut self, now: Now, problem: Problem) {
        let expires_at = self.attempts.last_emitted().unwrap_or(now.mono);
        let expires_at = expires_at.saturating_add(self.config.lease_duration());
        let outcome = ReleaseOutcome::Unconfirmed { expires_at, last: Some(problem) };
        self.end_release(now, outcome);
    }

    fn end_release(&mut self, now: Now, outcome: ReleaseOutcome) {
        let settles = matches!(outcome, ReleaseOutcome::Confirmed | ReleaseOutcome::NotOurs);
        if settles && self.is_unsettled() && !mutated!(self.config, ReleaseConfirmsInDoubt) {
            // Nobody can promise that our name stays away.
            return self.unconfirmed(now, Problem::UnknownOutcome);
        }
        self.state = State::Idle;
        self.step = Step::Rest;
        // What nobody confirmed is cleaned up by the next release.
        self.litter = matches!(outcome, ReleaseOutcome::Unconfirmed { .. });
        self.outbox.event(Event::ReleaseEnded { outcome });
        if self.goals.attempt || self.goals.campaign {
            self.start_attempt(now);
        }
    }
}
