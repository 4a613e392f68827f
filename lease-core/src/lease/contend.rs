//! An attempt to acquire: read, judge, write, and settle what became of the write.

use std::sync::Arc;
use std::time::Duration;

use super::step::{InFlight, Next};
use super::{Goals, Lease, State};
use crate::attempts::Attempt;
use crate::config::ReleasePolicy;
use crate::event::{Acquisition, AttemptOutcome, Command, Denial, DenialReason, Event};
use crate::mutated::mutated;
use crate::observation::Verdict;
use crate::output::WakeReason;
use crate::problem::Problem;
use crate::time::{MonoTime, Now, WallTime};
use crate::wire::{Call, Change, Create, Kind, QuarantineMark, Reply, Trouble};

/// The longest that a server's `Retry-After` is obeyed. One absurd header must not stop a campaign.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);
/// An attempt ends rather than wait for longer than this and the ttl: an application waits for its answer.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// The least pause of a campaign, whatever was computed.
const MIN_PAUSE: Duration = Duration::from_millis(1);

/// An attempt under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Contending {
    pub(super) episode: u64,
    pub(super) retries_left: u32,
    /// The budget is used up: one more read settles what became of the last write, and nothing is written.
    pub(super) last_look: bool,
    pub(super) refreshed: bool,
    pub(super) last_problem: Option<Problem>,
    /// What the last write took the lease from.
    acquisition: Acquisition,
    pub(super) quarantine: Option<Quarantine>,
}

/// We keep an object that we created, or that was created and never held.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Quarantine {
    /// Of this very object: the wait for one that is gone counts for nothing.
    pub(super) uid: Box<str>,
    pub(super) ends_at: MonoTime,
    /// The emission of the last write that showed.
    pub(super) shown: MonoTime,
}

impl Lease {
    pub(super) fn start_attempt(&mut self, now: Now) {
        self.stop();
        let unread = self.knows_enough();
        self.forget_hint(now);
        self.episode += 1;
        self.state = State::Contending(Contending {
            episode: self.episode,
            retries_left: self.config.acquire_retries(),
            last_look: false,
            refreshed: false,
            last_problem: None,
            acquisition: Acquisition::Vacant,
            quarantine: None,
        });
        if unread && let State::Contending(contending) = std::mem::take(&mut self.state) {
            return self.create(now, contending);
        }
        self.read(now);
    }

    pub(super) fn contending_reply(
        &mut self,
        now: Now,
        mut contending: Contending,
        in_flight: &InFlight,
        reply: Reply,
    ) {
        let wrote = in_flight.kind.writes();
        match reply {
            Reply::Record(record) if !wrote || self.confirms(in_flight, &record) => {
                let at = mutated!(self.config, ObservedAtEmission, in_flight.emitted, now.mono);
                self.observe(Now { mono: at, ..now }, record);
                self.contend(now, contending);
            }
            Reply::Absent if !wrote => {
                self.observe_absence();
                contending.quarantine = None;
                self.create(now, contending);
            }
            Reply::Conflict => self.retry(now, contending, Trouble::definite(Problem::Conflict), wrote),
            Reply::Trouble(trouble) => {
                let in_doubt = wrote && !trouble.definite;
                self.retry(now, contending, trouble, in_doubt);
            }
            Reply::Record(_) | Reply::Deleted | Reply::Absent => {
                self.retry(now, contending, Trouble::unclear(Problem::NotConfirmed), wrote);
            }
        }
    }

    /// Judges the record as it now stands.
    fn contend(&mut self, now: Now, contending: Contending) {
        let Some(observed) = &self.observed else {
            return self.create(now, contending);
        };
        match self.judge(now).verdict(observed) {
            Verdict::Own(attempt) if attempt.episode == contending.episode => {
                self.written(now, contending, attempt);
            }
            Verdict::Own(_) => self.take(now, contending, Acquisition::Own),
            Verdict::Take(acquisition) => self.take(now, contending, acquisition),
            Verdict::Refuse(_)
                if mutated!(self.config, ConflictRetriedBlindly)
                    && contending.last_problem == Some(Problem::Conflict) =>
            {
                self.take(now, contending, Acquisition::Vacant);
            }
            Verdict::Refuse(denial) => self.deny(now, denial),
        }
    }

    /// The record shows a write of this attempt.
    fn written(&mut self, now: Now, mut contending: Contending, shown: Attempt) {
        let attempt = mutated!(by crate::mutants::written(&self.config, now, shown), shown);
        if attempt.begins_term {
            let in_time = now.mono < attempt.emitted.saturating_add(self.config.validity());
            return if in_time && !self.attempts.is_given_up(&attempt) {
                self.start_term(now, contending, attempt);
            } else {
                // The answer came too late to hold anything, or its stamp is ahead of all that renewals of the
                // term would write. The record is ours: write it once more.
                let acquisition = contending.acquisition.clone();
                self.take(now, contending, acquisition);
            };
        }
        let Some(uid) = self.observed.as_ref().map(|observed| observed.record.version.uid.clone()) else {
            return self.create(now, contending);
        };
        let any_object = mutated!(self.config, QuarantineOfAnotherObject);
        let running = contending.quarantine.take().filter(|running| running.uid == uid || any_object);
        let progress = running.as_ref().is_none_or(|running| attempt.emitted > running.shown);
        if progress {
            // The budget is for failures in a row.
            contending.retries_left = self.config.acquire_retries();
            contending.last_look = false;
            contending.refreshed = false;
        } else if contending.last_look {
            return self.out_of_retries(now, contending);
        }
        let ends_at = running.map_or_else(
            || {
                let from = mutated!(self.config, QuarantineFromEmission, attempt.emitted, now.mono);
                let ends_at = from.saturating_add(self.config.quarantine());
                self.outbox.event(Event::QuarantineStarted { ends_at });
                ends_at
            },
            |running| running.ends_at,
        );
        contending.quarantine = Some(Quarantine { uid, ends_at, shown: attempt.emitted });
        self.state = State::Contending(contending);
        let renewal = attempt.emitted.saturating_add(self.config.renew_interval());
        if ends_at <= renewal {
            self.pause(ends_at, Next::Write, WakeReason::QuarantineEnds);
        } else {
            self.pause(renewal, Next::Write, WakeReason::Renewal);
        }
    }

    /// Renews an object in quarantine, or, when that is over, writes what begins the term.
    pub(super) fn write_in_quarantine(&mut self, now: Now) {
        if let State::Contending(contending) = std::mem::take(&mut self.state) {
            let acquisition = contending.acquisition.clone();
            self.take(now, contending, acquisition);
        }
    }

    fn create(&mut self, now: Now, mut contending: Contending) {
        if self.config.existing_only() {
            return self.missing(now);
        }
        if contending.last_look {
            return self.out_of_retries(now, contending);
        }
        contending.acquisition = Acquisition::Created;
        let quarantine = self.config.release_policy() == ReleasePolicy::Vacate
            && !mutated!(self.config, CreatesWithoutQuarantine);
        let time = self.acquiring_stamp(now);
        let body = Create { nonce: self.nonce, time, quarantine }.body(&self.config);
        self.remember(now, time, contending.episode, !quarantine);
        self.state = State::Contending(contending);
        self.ask(now, Call { kind: Kind::Create, body }, Some(time));
    }

    /// There is no object, and making one is not our business.
    fn missing(&mut self, now: Now) {
        let (namespace, name) = (self.config.namespace().into(), self.config.name().into());
        self.fail(now, Problem::LeaseMissing { namespace, name }, None);
    }

    /// Writes our name into the record, provided that nobody was quicker.
    fn take(&mut self, now: Now, mut contending: Contending, acquisition: Acquisition) {
        let Some(record) = self.observed.as_ref().map(|observed| &observed.record) else {
            return self.create(now, contending);
        };
        if contending.last_look {
            return self.out_of_retries(now, contending);
        }
        if record.token().is_none() {
            return self.fail(now, Problem::UnorderedResourceVersion, None);
        }
        let any_object = mutated!(self.config, QuarantineOfAnotherObject);
        let running = contending.quarantine.as_ref();
        let running = running.filter(|running| running.uid == record.version.uid || any_object);
        let waited = running.is_some_and(|running| running.ends_at <= now.mono);
        let unsettled = self.config.existing_only() && !record.settled;
        let marked = (record.quarantined || unsettled) && !mutated!(self.config, QuarantineMarkIgnored);
        let quarantined = (marked || running.is_some()) && !waited;
        if running.is_none() {
            contending.acquisition = acquisition;
        }
        let episode = contending.episode;
        self.state = State::Contending(contending);
        let time = self.acquiring_stamp(now);
        let config = Arc::clone(&self.config);
        let change = Change {
            holder: Some(config.identity()),
            nonce: self.nonce,
            acquire_time: Some(time),
            renew_time: time,
            quarantine: if quarantined { QuarantineMark::Set } else { QuarantineMark::Remove },
        };
        self.put(now, &change, episode, !quarantined);
    }

    fn acquiring_stamp(&mut self, now: Now) -> WallTime {
        if self.runs_ahead(now) {
            self.attempts.restart();
        }
        let clock = self.stamping_time(now);
        self.attempts.next_stamp(mutated!(
            by crate::mutants::acquiring_clock(&self.config, self.observed.as_ref(), clock),
            clock
        ))
    }

    /// Something stood in the way: try again if the budget allows. `in_doubt`: the request may have put our
    /// name into the record, which has to be read before anything is answered.
    fn retry(&mut self, now: Now, mut contending: Contending, trouble: Trouble, in_doubt: bool) {
        let Trouble { problem, retry_after, .. } = trouble;
        contending.last_problem = Some(problem.clone());
        if problem == Problem::Unauthorized && !contending.refreshed {
            contending.refreshed = true;
            self.state = State::Contending(contending);
            return self.refresh_credentials(now, now.mono, Next::Read);
        }
        let asked = retry_after.unwrap_or_default();
        let too_long = asked > self.config.ttl().max(LONGEST_PAUSE);
        if problem.is_permanent() || contending.retries_left == 0 || too_long {
            if !in_doubt || contending.last_look {
                return self.fail(now, problem, retry_after);
            }
            contending.last_look = true;
        }
        contending.retries_left = contending.retries_left.saturating_sub(1);
        let delay = self.rng.jitter(self.config.acquire_retry_delay()).max(asked.min(MAX_RETRY_AFTER));
        let retry_at = now.mono.saturating_add(delay);
        self.outbox.event(Event::Trouble { problem, retry_at: Some(retry_at) });
        self.state = State::Contending(contending);
        self.pause(retry_at, Next::Read, WakeReason::Retry);
    }

    /// The last look has shown that the lease could be taken, but the budget is used up.
    fn out_of_retries(&mut self, now: Now, contending: Contending) {
        let problem = contending.last_problem.clone().unwrap_or(Problem::Conflict);
        let observed = self.observed.as_ref();
        let ours = observed.is_some_and(|observed| self.judge(now).own_attempt(&observed.record).is_some());
        if ours || problem != Problem::Conflict {
            return self.fail(now, problem, None);
        }
        let denial = Denial {
            holder: self.holder().cloned(),
            reason: DenialReason::Contended,
            retry_at: now.mono.saturating_add(self.config.acquire_retry_delay()),
        };
        self.deny(now, denial);
    }

    fn deny(&mut self, now: Now, denial: Denial) {
        self.failures = 0;
        let look_at = self.next_look(now, &denial);
        self.tell_if_new(now, denial.reason, look_at);
        let look_at = self.missed_hint(now).map_or(look_at, |hint| hint.min(look_at));
        let names_us = self.holder() == Some(self.config.identity());
        let in_doubt = self.is_unsettled();
        self.litter = in_doubt || self.litter && names_us;
        self.answer_attempt(if in_doubt && !mutated!(self.config, DeniesInDoubt) {
            // "No" would promise that no write of ours can still win.
            AttemptOutcome::Failed(Problem::UnknownOutcome)
        } else {
            AttemptOutcome::Denied(denial)
        });
        self.rest_or_wait(look_at, WakeReason::Poll);
    }

    /// When a campaign that may not have the lease looks again.
    fn next_look(&mut self, now: Now, denial: &Denial) -> MonoTime {
        let poll = now.mono.saturating_add(self.rng.jitter(self.config.poll_interval()));
        let look_at = look_by(denial, poll);
        let only_hears = mutated!(self.config, PollsOnlyWithoutWatch) && self.is_watching();
        let at_last = now.mono.saturating_add(MAX_RETRY_AFTER);
        let look_at = if only_hears { denial.retry_at.min(at_last) } else { look_at };
        mutated!(by crate::mutants::look_at(&self.config, now, denial, look_at), look_at)
            .max(now.mono.saturating_add(MIN_PAUSE))
    }

    /// What a new state of the record means for a campaign, which has no answer to say it in.
    pub(super) fn tell_if_new(&mut self, now: Now, reason: DenialReason, look_at: MonoTime) {
        if self.observed.as_ref().is_none_or(|observed| observed.since != now.mono) {
            return;
        }
        match reason {
            DenialReason::DuplicateIdentity => self.outbox.event(Event::DuplicateIdentity),
            DenialReason::Terminating if self.goals.campaign => {
                let retry_at = Some(look_at);
                self.outbox.event(Event::Trouble { problem: Problem::HeldByFinalizers, retry_at });
            }
            DenialReason::Terminating | DenialReason::Held | DenialReason::Contended => {}
        }
    }

    fn fail(&mut self, now: Now, problem: Problem, retry_after: Option<Duration>) {
        self.failures = self.failures.saturating_add(1);
        let slow = self.config.poll_interval().max(self.config.ttl()).min(MAX_RETRY_AFTER);
        let delay = if matches!(problem, Problem::LeaseMissing { .. }) {
            self.rng.jitter(self.config.poll_interval())
        } else if problem.is_permanent() {
            self.rng.jitter(slow)
        } else {
            self.backoff(self.config.acquire_retry_delay(), self.failures, self.config.poll_interval())
        };
        let longest = mutated!(self.config, EndlessRetryAfter, Duration::MAX, MAX_RETRY_AFTER);
        let delay = delay.max(retry_after.unwrap_or_default().min(longest)).max(MIN_PAUSE);
        let retry_at = now.mono.saturating_add(delay);
        if self.goals.campaign {
            self.outbox.event(Event::Trouble { problem: problem.clone(), retry_at: Some(retry_at) });
        }
        let missing = matches!(problem, Problem::LeaseMissing { .. });
        self.answer_attempt(AttemptOutcome::Failed(problem));
        self.rest_or_wait(retry_at, if missing { WakeReason::Poll } else { WakeReason::Retry });
    }

    fn answer_attempt(&mut self, outcome: AttemptOutcome) {
        if std::mem::take(&mut self.goals.attempt) {
            self.outbox.event(Event::AttemptEnded { command: Command::TryAcquire, outcome });
        }
    }

    /// Without a campaign that was all; with one, the next attempt starts at `look_at`.
    pub(super) fn rest_or_wait(&mut self, look_at: MonoTime, reason: WakeReason) {
        if self.goals.campaign {
            self.state = State::Waiting;
            self.pause(look_at, Next::Attempt, reason);
        } else {
            self.state = State::Idle;
        }
    }

    /// The acquiring write shows, in time: from here on the lease is held.
    fn start_term(&mut self, now: Now, contending: Contending, attempt: Attempt) {
        let token = self.observed.as_ref().and_then(|observed| {
            let counted = mutated!(by crate::mutants::token(&self.config, self.episode), None);
            counted.or(observed.record.token())
        });
        let Some(token) = token else {
            return self.fail(now, Problem::UnorderedResourceVersion, None);
        };
        if self.last_token.is_some_and(|last| token <= last) && !mutated!(self.config, TokenNotChecked) {
            return self.fail(now, Problem::TokenNotAbove, None);
        }
        self.last_token = Some(token);
        self.failures = 0;
        let until = attempt.emitted.saturating_add(self.config.validity());
        self.outbox.event(Event::Acquired { token, until, acquisition: contending.acquisition });
        let goals = Goals { campaign: self.goals.campaign, ..Goals::default() };
        let answered = std::mem::replace(&mut self.goals, goals);
        self.answer(&answered, &AttemptOutcome::Acquired { token });
        self.begin_holding(token, until, attempt);
    }
}

/// When to look at what may not be had: at the next poll, and when its holder's wait is over.
pub(super) fn look_by(denial: &Denial, poll: MonoTime) -> MonoTime {
    match denial.reason {
        DenialReason::Held | DenialReason::DuplicateIdentity => poll.min(denial.retry_at),
        DenialReason::Terminating | DenialReason::Contended => poll,
    }
}
