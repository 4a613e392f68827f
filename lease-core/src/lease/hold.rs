//! A term: renew it, and notice when it is over.

use std::sync::Arc;
use std::time::Duration;

use super::step::{InFlight, Next};
use super::{Lease, State};
use crate::attempts::Attempt;
use crate::event::{Event, LostReason};
use crate::identifiers::FencingToken;
use crate::mutated::mutated;
use crate::output::WakeReason;
use crate::problem::Problem;
use crate::time::{MonoTime, Now, WallTime};
use crate::wire::{Change, Holder, Kind, QuarantineMark, Record, Reply, Trouble};

/// One uninterrupted stretch of holding.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Term {
    pub(super) token: FencingToken,
    /// Half-open: at this instant the lease is not held.
    pub(super) until: MonoTime,
    pub(super) last_problem: Option<Problem>,
    pub(super) acquire_time: WallTime,
    pub(super) uid: Box<str>,
    /// The emission of the last confirmed write.
    pub(super) confirmed: MonoTime,
    /// Renewals in a row that were not confirmed, conflicts included.
    pub(super) failures: u32,
    pub(super) episode: u64,
}

/// What a record that was read during a term says about it.
pub(super) enum Standing {
    /// It is still our term, as of this attempt.
    Ours(Attempt),
    /// It is over.
    Over(LostReason),
    /// The record is older than the one we have.
    Stale,
}

impl Lease {
    pub(super) fn begin_holding(&mut self, token: FencingToken, until: MonoTime, attempt: Attempt) {
        let uid = self.observed.as_ref().map(|observed| observed.record.version.uid.clone());
        self.state = State::Holding(Term {
            token,
            until,
            last_problem: None,
            acquire_time: attempt.renew_time,
            uid: uid.unwrap_or_default(),
            confirmed: attempt.emitted,
            failures: 0,
            episode: attempt.episode,
        });
        let next = attempt.emitted.saturating_add(self.config.renew_interval());
        self.pause(next, Next::Write, WakeReason::Renewal);
    }

    /// Sends the one PUT that a renewal costs.
    pub(super) fn renew(&mut self, now: Now) {
        let State::Holding(term) = &self.state else {
            return;
        };
        let episode = term.episode;
        // Where the server's time put us ahead there is nothing wrong with our clock: go on from there.
        if self.runs_ahead(now) && !self.attempts.is_from_server() {
            return self.lose(now, LostReason::Clock);
        }
        let stamp = self.attempts.next_stamp(self.stamping_time(now));
        let renew_time = mutated!(
            by crate::mutants::renew_time(&self.config, self.observed.as_ref(), now, stamp),
            stamp
        );
        let config = Arc::clone(&self.config);
        let change = Change {
            holder: Some(config.identity()),
            nonce: self.nonce,
            acquire_time: mutated!(self.config, AcquireTimeRewritten, Some(renew_time), None),
            renew_time,
            quarantine: QuarantineMark::Keep,
        };
        self.put(now, &change, episode, false);
    }

    pub(super) fn holding_reply(&mut self, now: Now, term: Term, in_flight: &InFlight, reply: Reply) {
        let reading = in_flight.kind == Kind::Read;
        match reply {
            _ if mutated!(by !reading && crate::mutants::believes(&self.config, &reply), false) => {
                self.confirmed(term, in_flight.emitted);
            }
            Reply::Record(record) if reading || record.terminating => self.look_at(now, term, record),
            Reply::Record(record) if self.confirms(in_flight, &record) => {
                self.observe(now, record);
                let counts_from = mutated!(
                    by crate::mutants::counts_from(&self.config, now, in_flight.emitted),
                    in_flight.emitted
                );
                self.confirmed(term, counts_from);
            }
            Reply::Absent if reading => {
                self.observe_absence();
                self.state = State::Holding(term);
                self.lose(now, LostReason::Deleted);
            }
            Reply::Conflict if mutated!(self.config, ConflictIsLoss) => {
                self.state = State::Holding(term);
                self.lose(now, LostReason::TakenOver { by: None });
            }
            Reply::Conflict => self.conflicted(now, term),
            Reply::Trouble(trouble) => {
                let settled = trouble.definite || mutated!(self.config, NoReadAfterUnknown);
                let next = if settled && !reading { Next::Write } else { Next::Read };
                self.holding_trouble(now, term, trouble, next);
            }
            Reply::Record(_) | Reply::Deleted | Reply::Absent => {
                self.holding_trouble(now, term, Trouble::unclear(Problem::NotConfirmed), Next::Read);
            }
        }
    }

    /// A write of this term is confirmed: it counts from that very write's emission, never from the reply.
    fn confirmed(&mut self, mut term: Term, emitted: MonoTime) {
        let until = emitted.saturating_add(self.config.validity());
        if until > term.until {
            term.until = until;
            self.outbox.event(Event::Renewed { until });
        }
        term.confirmed = term.confirmed.max(emitted);
        term.failures = 0;
        term.last_problem = None;
        let renewal = term.confirmed.saturating_add(self.config.renew_interval());
        let next = mutated!(self.config, RenewsOnce, term.until, renewal);
        self.state = State::Holding(term);
        self.pause(next, Next::Write, WakeReason::Renewal);
    }

    /// The record has changed: read it. At once the first time, then with pauses.
    fn conflicted(&mut self, now: Now, mut term: Term) {
        if term.failures == 0 {
            term.failures = 1;
            term.last_problem = Some(Problem::Conflict);
            self.state = State::Holding(term);
            return self.read(now);
        }
        self.holding_trouble(now, term, Trouble::definite(Problem::Conflict), Next::Read);
    }

    /// Takes in a record that was read during the term.
    fn look_at(&mut self, now: Now, term: Term, record: Record) {
        match self.standing(now, &term, &record) {
            Standing::Ours(attempt)
                if mutated!(self.config, OwnWriteTakenForForeign) && attempt.emitted > term.confirmed =>
            {
                self.observe(now, record);
                self.state = State::Holding(term);
                self.lose(now, LostReason::TakenOver { by: None });
            }
            Standing::Ours(attempt) => {
                self.observe(now, record);
                let counts_from = mutated!(
                    by crate::mutants::read_counts_from(&self.config, now, &self.attempts, attempt),
                    attempt.emitted
                );
                if counts_from > term.confirmed {
                    return self.confirmed(term, counts_from);
                }
                // Somebody edited something else, or our write has not landed: write again, at once. The
                // second and every later conflict in a row has paused before this read.
                self.state = State::Holding(term);
                self.renew(now);
            }
            Standing::Over(LostReason::TakenOver { .. })
                if mutated!(self.config, ForeignHolderNoticedLate) =>
            {
                self.holding_trouble(now, term, Trouble::unclear(Problem::StaleRead), Next::Read);
            }
            Standing::Over(reason) => {
                self.observe(now, record);
                self.state = State::Holding(term);
                self.lose(now, reason);
            }
            Standing::Stale => {
                self.holding_trouble(now, term, Trouble::unclear(Problem::StaleRead), Next::Read);
            }
        }
    }

    pub(super) fn standing(&self, now: Now, term: &Term, record: &Record) -> Standing {
        let last = self.observed.as_ref().and_then(|observed| observed.record.token());
        if record.token() < last && !mutated!(self.config, StaleReadBelieved) {
            return Standing::Stale;
        }
        let terminating = record.terminating && !mutated!(self.config, HoldsTerminating);
        if record.version.uid != term.uid || terminating {
            let foreign = record.holder.identity().filter(|holder| *holder != self.config.identity());
            return Standing::Over(match foreign {
                Some(by) if !terminating => LostReason::TakenOver { by: Some(by.clone()) },
                _ => LostReason::Deleted,
            });
        }
        match &record.holder {
            Holder::Nobody => Standing::Over(LostReason::Cleared),
            Holder::Unreadable => Standing::Over(LostReason::TakenOver { by: None }),
            Holder::Named(by) if by != self.config.identity() => {
                Standing::Over(LostReason::TakenOver { by: Some(by.clone()) })
            }
            Holder::Named(_) => {
                let attempt = self.judge(now).term_attempt(record, Some(term.acquire_time));
                attempt.map_or(Standing::Over(LostReason::Twin), Standing::Ours)
            }
        }
    }

    fn holding_trouble(&mut self, now: Now, mut term: Term, trouble: Trouble, next: Next) {
        term.failures = term.failures.saturating_add(1);
        term.last_problem = Some(trouble.problem.clone());
        let (failures, until) = (term.failures, term.until);
        self.state = State::Holding(term);
        let asked = trouble.retry_after.unwrap_or_default();
        let retry_at = self.retry_at(now, failures, until, asked);
        if trouble.problem == Problem::Unauthorized {
            let not_before = if failures == 1 { now.mono } else { retry_at };
            self.tell_trouble(trouble.problem, not_before, until);
            self.refresh_credentials(now, not_before, next);
        } else {
            self.tell_trouble(trouble.problem, retry_at, until);
            self.pause(retry_at, next, WakeReason::Retry);
        }
    }

    /// When to try again: with growing pauses, but so that one whole attempt is left before the term ends.
    fn retry_at(&mut self, now: Now, failures: u32, until: MonoTime, asked: Duration) -> MonoTime {
        let (base, most) = (self.config.retry_delay(), self.config.renew_interval());
        let last_chance = self.last_chance(now, until);
        // What is left of the term is too short to be saved for later: no growing pauses any more.
        let failures = if last_chance < until { failures } else { 1 };
        let delay = self.backoff(base, failures, most).max(asked);
        let retry_at = now.mono.saturating_add(delay);
        let has_chance = last_chance < until && !mutated!(self.config, NoLastChance);
        if has_chance { retry_at.min(last_chance) } else { retry_at }
    }

    /// The term is over, against our will.
    pub(super) fn lose(&mut self, now: Now, reason: LostReason) {
        let State::Holding(term) = std::mem::take(&mut self.state) else {
            return;
        };
        if !mutated!(self.config, LostSwallowed) {
            self.outbox.event(Event::Lost { token: term.token, reason: reason.clone() });
        }
        self.goals.campaign &= !mutated!(self.config, CampaignEndsWithTerm);
        self.stop();
        // What we last wrote, or may still write, keeps naming us.
        self.litter = matches!(reason, LostReason::Expired { .. } | LostReason::Clock) || self.is_unsettled();
        let delay = match reason {
            LostReason::Clock => Duration::ZERO,
            LostReason::Expired { .. } => self.rng.jitter(self.config.retry_delay()),
            _ => self.rng.jitter(self.config.acquire_retry_delay()),
        };
        self.rest_or_wait(now.mono.saturating_add(delay), WakeReason::Retry);
    }
}
