//! Giving a lease back. The local term has ended before the first of these requests is made.

use super::hold::Term;
use super::step::{InFlight, Next, Step};
use super::{Lease, State};
use crate::config::ReleasePolicy;
use crate::event::{Event, ReleaseOutcome};
use crate::output::WakeReason;
use crate::problem::Problem;
use crate::time::{MonoTime, Now, WallTime};
use crate::wire::{Call, Change, Holder, Kind, QuarantineMark, Record, Reply, Trouble};

/// A release under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Releasing {
    pub(super) give_up_at: MonoTime,
    failures: u32,
    refreshed: bool,
    last_problem: Option<Problem>,
    /// The `acquireTime` of the term that ended; none where an attempt was cancelled.
    acquire_time: Option<WallTime>,
    /// A POST of ours may still be under way: nobody can promise that our name stays away.
    unsettled_create: bool,
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
        self.start_releasing(now, Some(term.acquire_time), term.unsettled_create);
        if was_to_read || stopped.is_some() {
            self.read(now)
        } else {
            self.give_back(now)
        }
    }

    /// Ends an attempt that may have written something.
    pub(super) fn clean_up(&mut self, now: Now, wrote: bool, unsettled_create: bool) {
        if !wrote {
            self.outbox.event(Event::ReleaseEnded {
                outcome: ReleaseOutcome::Nothing,
            });
            return;
        }
        self.start_releasing(now, None, unsettled_create);
        self.read(now);
    }

    pub(super) fn release_while_waiting(&mut self, now: Now, unsettled: bool) {
        self.stop();
        self.clean_up(now, unsettled, false);
    }

    fn start_releasing(&mut self, now: Now, acquire_time: Option<WallTime>, unsettled_create: bool) {
        self.state = State::Releasing(Releasing {
            give_up_at: now.mono.saturating_add(self.config.release_timeout()),
            failures: 0,
            refreshed: false,
            last_problem: None,
            acquire_time,
            unsettled_create,
        });
    }

    /// Sends the DELETE, or the PUT that takes its place.
    pub(super) fn give_back(&mut self, now: Now) {
        let Some(observed) = &self.observed else {
            return self.end_release(now, ReleaseOutcome::Confirmed);
        };
        // A record in quarantine was never held by anybody: it goes, whatever the policy.
        let vacate = self.config.release_policy() == ReleasePolicy::Vacate && !observed.record.quarantined;
        if !vacate {
            let body = observed.record.delete_body();
            return self.ask(
                now,
                Call {
                    kind: Kind::Delete,
                    body,
                },
                None,
            );
        }
        let change = Change {
            holder: None,
            nonce: self.nonce,
            acquire_time: None,
            renew_time: self.attempts.next_stamp(self.stamping_time(now)),
            quarantine: QuarantineMark::Keep,
        };
        let body = observed.record.put_body(&change, &self.config);
        self.ask(
            now,
            Call {
                kind: Kind::Update,
                body,
            },
            None,
        );
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
            Reply::Deleted => self.end_release(now, ReleaseOutcome::Confirmed),
            Reply::Absent => {
                self.observe_absence();
                self.end_release(now, ReleaseOutcome::Confirmed);
            }
            Reply::Record(record) => self.releasing_record(now, acquire_time, kind, *record),
            Reply::Conflict => self.releasing_trouble(now, Trouble::definite(Problem::Conflict), Next::Read),
            Reply::Trouble(trouble) => {
                let next = if trouble.definite && kind.writes() {
                    Next::Write
                } else {
                    Next::Read
                };
                self.releasing_trouble(now, trouble, next);
            }
        }
    }

    fn releasing_record(&mut self, now: Now, acquire_time: Option<WallTime>, kind: Kind, record: Record) {
        let ours = self.is_own(now, &record) || self.is_own_but_for_the_nonce(acquire_time, &record);
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

    fn is_own_but_for_the_nonce(&self, acquire_time: Option<WallTime>, record: &Record) -> bool {
        record.nonce.is_none()
            && acquire_time.is_some()
            && record.acquire_time == acquire_time
            && record.holder.identity() == Some(self.config.identity())
            && record
                .renew_time
                .is_some_and(|time| self.attempts.find(time).is_some())
    }

    fn releasing_trouble(&mut self, now: Now, trouble: Trouble, next: Next) {
        let State::Releasing(releasing) = &mut self.state else {
            return;
        };
        releasing.failures = releasing.failures.saturating_add(1);
        releasing.last_problem = Some(trouble.problem.clone());
        let failures = releasing.failures;
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
        let retry_at = now
            .mono
            .saturating_add(delay.max(trouble.retry_after.unwrap_or_default()));
        self.outbox.event(Event::Trouble {
            problem: trouble.problem,
            retry_at: Some(retry_at),
        });
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
        let outcome = ReleaseOutcome::Unconfirmed {
            expires_at,
            last: Some(problem),
        };
        self.end_release(now, outcome);
    }

    fn end_release(&mut self, now: Now, outcome: ReleaseOutcome) {
        let State::Releasing(releasing) = std::mem::take(&mut self.state) else {
            return;
        };
        if releasing.unsettled_create && matches!(outcome, ReleaseOutcome::Confirmed) {
            self.state = State::Releasing(Releasing {
                unsettled_create: false,
                ..releasing
            });
            return self.unconfirmed(now, Problem::UnknownOutcome);
        }
        self.outbox.event(Event::ReleaseEnded { outcome });
        if self.goals.attempt || self.goals.campaign {
            self.start_attempt(now);
        }
    }
}
