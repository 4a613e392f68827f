//! An attempt to acquire: read, judge, write, and settle what became of the write.

use std::time::Duration;

use super::step::{InFlight, Next};
use super::{Goals, Lease, State};
use crate::attempts::Attempt;
use crate::config::ReleasePolicy;
use crate::event::{Acquisition, AttemptOutcome, Command, Denial, DenialReason, Event};
use crate::observation::Verdict;
use crate::output::WakeReason;
use crate::problem::Problem;
use crate::time::{MonoTime, Now, WallTime};
use crate::wire::{Call, Change, Create, Kind, QuarantineMark, Record, Reply, Trouble, Version};

/// The longest that a server's `Retry-After` is obeyed. One absurd header must not stop a campaign.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);
/// The least pause of a campaign, whatever was computed.
const MIN_PAUSE: Duration = Duration::from_millis(1);

/// An attempt under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Contending {
    pub(super) episode: u64,
    retries_left: u32,
    /// The budget is used up: one more read settles what became of the last write, and nothing is written.
    last_look: bool,
    refreshed: bool,
    last_problem: Option<Problem>,
    /// Whether any write was handed out.
    pub(super) wrote: bool,
    /// A POST without a known outcome: it can land for as long as there is no object.
    pub(super) unsettled_create: bool,
    /// A PUT without a known outcome: it can land for as long as the record is in this state.
    unsettled_update: Option<Version>,
    /// What the last write took the lease from.
    acquisition: Acquisition,
    /// We keep an object that we created, and may hold it from then on.
    quarantine_ends: Option<MonoTime>,
}

impl Contending {
    /// Whether a write of this attempt can still win.
    fn is_unsettled(&self) -> bool {
        self.unsettled_create || self.unsettled_update.is_some()
    }
}

impl Lease {
    pub(super) fn start_attempt(&mut self, now: Now) {
        self.stop();
        self.episode += 1;
        self.state = State::Contending(Contending {
            episode: self.episode,
            retries_left: self.config.acquire_retries(),
            last_look: false,
            refreshed: false,
            last_problem: None,
            wrote: false,
            unsettled_create: false,
            unsettled_update: None,
            acquisition: Acquisition::Vacant,
            quarantine_ends: None,
        });
        self.read(now);
    }

    pub(super) fn contending_reply(
        &mut self,
        now: Now,
        mut contending: Contending,
        in_flight: &InFlight,
        reply: Reply,
    ) {
        match reply {
            Reply::Record(record) if in_flight.kind == Kind::Read => {
                self.observe(now, *record);
                self.contend(now, contending);
            }
            Reply::Record(record) if self.confirms(in_flight, &record) => {
                self.observe(now, *record);
                self.contend(now, contending);
            }
            Reply::Absent if in_flight.kind == Kind::Read => {
                self.observe_absence();
                contending.unsettled_update = None;
                contending.quarantine_ends = None;
                self.create(now, contending);
            }
            Reply::Conflict => self.retry(now, contending, Trouble::definite(Problem::Conflict), true),
            Reply::Trouble(trouble) => self.contending_trouble(now, contending, in_flight, trouble),
            Reply::Record(_) | Reply::Deleted | Reply::Absent => {
                let trouble = Trouble::unclear(Problem::NotConfirmed);
                self.contending_trouble(now, contending, in_flight, trouble);
            }
        }
    }

    fn contending_trouble(
        &mut self,
        now: Now,
        mut contending: Contending,
        in_flight: &InFlight,
        trouble: Trouble,
    ) {
        if !trouble.definite {
            match in_flight.kind {
                Kind::Create => contending.unsettled_create = true,
                Kind::Update => contending.unsettled_update = in_flight.base.clone(),
                Kind::Read | Kind::Delete => {}
            }
        }
        let wrote = in_flight.kind.writes();
        self.retry(now, contending, trouble, wrote);
    }

    /// Judges the record as it now stands.
    fn contend(&mut self, now: Now, mut contending: Contending) {
        let Some(observed) = &self.observed else {
            return self.create(now, contending);
        };
        if contending.unsettled_update.as_ref() != Some(&observed.record.version) {
            contending.unsettled_update = None;
        }
        match self.judge(now).verdict(observed) {
            Verdict::Own(attempt) if attempt.episode == contending.episode => {
                self.written(now, contending, attempt);
            }
            Verdict::Own(_) => self.take(now, contending, Acquisition::Own),
            Verdict::Take(acquisition) => self.take(now, contending, acquisition),
            Verdict::Refuse(denial) => self.deny(now, contending, denial),
        }
    }

    /// The record shows a write of this attempt.
    fn written(&mut self, now: Now, mut contending: Contending, attempt: Attempt) {
        contending.unsettled_create = false;
        contending.unsettled_update = None;
        if attempt.begins_term {
            return if now.mono < attempt.emitted.saturating_add(self.config.validity()) {
                self.start_term(now, &contending, attempt);
            } else {
                // The answer came too late to hold anything. The record is ours: write it once more.
                let acquisition = contending.acquisition.clone();
                self.take(now, contending, acquisition);
            };
        }
        // Success of a renewal in quarantine: the budget is for failures in a row.
        contending.retries_left = self.config.acquire_retries();
        contending.last_look = false;
        let quarantine = self.config.quarantine();
        let ends_at = *contending.quarantine_ends.get_or_insert_with(|| {
            let ends_at = now.mono.saturating_add(quarantine);
            self.outbox.event(Event::QuarantineStarted { ends_at });
            ends_at
        });
        let renewal = attempt.emitted.saturating_add(self.config.renew_interval());
        let (at, reason) = if ends_at <= renewal {
            (ends_at, WakeReason::QuarantineEnds)
        } else {
            (renewal, WakeReason::Renewal)
        };
        self.pause(at, Next::Write, reason);
        self.state = State::Contending(contending);
    }

    /// Renews an object in quarantine, or, when that is over, writes what begins the term.
    pub(super) fn write_in_quarantine(&mut self, now: Now) {
        if let State::Contending(contending) = std::mem::take(&mut self.state) {
            let acquisition = contending.acquisition.clone();
            self.take(now, contending, acquisition);
        }
    }

    fn create(&mut self, now: Now, mut contending: Contending) {
        if contending.last_look {
            return self.out_of_retries(now, contending);
        }
        contending.acquisition = Acquisition::Created;
        contending.wrote = true;
        let quarantine = self.config.release_policy() == ReleasePolicy::Vacate;
        let time = self.acquiring_stamp(now);
        let body = Create {
            nonce: self.nonce,
            time,
            quarantine,
        }
        .body(&self.config);
        self.remember(now, time, contending.episode, !quarantine);
        self.state = State::Contending(contending);
        self.ask(
            now,
            Call {
                kind: Kind::Create,
                body,
            },
            Some(time),
        );
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
            return self.fail(now, &contending, Problem::UnorderedResourceVersion, None);
        }
        let waited = contending
            .quarantine_ends
            .is_some_and(|ends_at| ends_at <= now.mono);
        let quarantined = (record.quarantined || contending.quarantine_ends.is_some()) && !waited;
        if contending.quarantine_ends.is_none() {
            contending.acquisition = acquisition;
        }
        contending.wrote = true;
        let episode = contending.episode;
        self.state = State::Contending(contending);
        let time = self.acquiring_stamp(now);
        let config = std::sync::Arc::clone(&self.config);
        let change = Change {
            holder: Some(config.identity()),
            nonce: self.nonce,
            acquire_time: Some(time),
            renew_time: time,
            quarantine: if quarantined {
                QuarantineMark::Keep
            } else {
                QuarantineMark::Remove
            },
        };
        self.put(now, &change, episode, !quarantined);
    }

    fn acquiring_stamp(&mut self, now: Now) -> WallTime {
        if self.runs_ahead(now) {
            self.attempts.restart();
        }
        self.attempts.next_stamp(self.stamping_time(now))
    }

    /// Something stood in the way: try again if the budget allows.
    fn retry(&mut self, now: Now, mut contending: Contending, trouble: Trouble, wrote: bool) {
        let Trouble {
            problem, retry_after, ..
        } = trouble;
        let budget = contending.retries_left;
        contending.last_problem = Some(problem.clone());
        let mut delay = self.rng.jitter(self.config.acquire_retry_delay());
        if problem == Problem::Unauthorized && !contending.refreshed {
            contending.refreshed = true;
            self.state = State::Contending(contending);
            return self.refresh_credentials(now, now.mono, Next::Read);
        }
        if problem.is_permanent() {
            return self.fail(now, &contending, problem, retry_after);
        }
        if let Some(asked) = retry_after {
            // An application waits for the answer: rather tell it than sleep through a long pause.
            if asked > self.config.ttl() && !contending.is_unsettled() {
                return self.fail(now, &contending, problem, retry_after);
            }
            delay = delay.max(asked.min(MAX_RETRY_AFTER));
        }
        if budget == 0 {
            if !wrote || contending.last_look {
                return self.fail(now, &contending, problem, retry_after);
            }
            // A conflict may be the echo of our own write, and an unknown outcome must be settled.
            contending.last_look = true;
        }
        contending.retries_left = budget.saturating_sub(1);
        let retry_at = now.mono.saturating_add(delay);
        self.outbox.event(Event::Trouble {
            problem,
            retry_at: Some(retry_at),
        });
        self.state = State::Contending(contending);
        self.pause(retry_at, Next::Read, WakeReason::Retry);
    }

    /// The last look has shown that the lease could be taken, but the budget is used up.
    fn out_of_retries(&mut self, now: Now, contending: Contending) {
        match contending.last_problem.clone() {
            Some(problem) if problem != Problem::Conflict => self.fail(now, &contending, problem, None),
            _ => {
                let denial = Denial {
                    holder: self.holder().cloned(),
                    reason: DenialReason::Contended,
                    retry_at: now.mono.saturating_add(self.config.acquire_retry_delay()),
                };
                self.deny(now, contending, denial);
            }
        }
    }

    fn deny(&mut self, now: Now, contending: Contending, denial: Denial) {
        if contending.is_unsettled() {
            // "No" would promise that no write of ours can still win.
            return self.fail(now, &contending, Problem::UnknownOutcome, None);
        }
        self.failures = 0;
        let poll = now
            .mono
            .saturating_add(self.rng.jitter(self.config.poll_interval()));
        let look_at = match denial.reason {
            DenialReason::Held | DenialReason::DuplicateIdentity => poll.min(denial.retry_at),
            DenialReason::Terminating | DenialReason::Contended => poll,
        };
        self.answer_attempt(AttemptOutcome::Denied(denial));
        self.rest_or_wait(
            look_at.max(now.mono.saturating_add(MIN_PAUSE)),
            WakeReason::Poll,
            false,
        );
    }

    fn fail(&mut self, now: Now, contending: &Contending, problem: Problem, retry_after: Option<Duration>) {
        self.failures = self.failures.saturating_add(1);
        let slow = self.config.poll_interval().max(self.config.ttl());
        let delay = if problem.is_permanent() {
            self.rng.jitter(slow)
        } else {
            self.backoff(
                self.config.acquire_retry_delay(),
                self.failures,
                self.config.poll_interval(),
            )
        };
        let delay = delay
            .max(retry_after.unwrap_or_default().min(MAX_RETRY_AFTER))
            .max(MIN_PAUSE);
        let retry_at = now.mono.saturating_add(delay);
        if self.goals.campaign {
            self.outbox.event(Event::Trouble {
                problem: problem.clone(),
                retry_at: Some(retry_at),
            });
        }
        self.answer_attempt(AttemptOutcome::Failed(problem));
        self.rest_or_wait(retry_at, WakeReason::Retry, contending.wrote);
    }

    fn answer_attempt(&mut self, outcome: AttemptOutcome) {
        if std::mem::take(&mut self.goals.attempt) {
            self.outbox.event(Event::AttemptEnded {
                command: Command::TryAcquire,
                outcome,
            });
        }
    }

    /// Without a campaign that was all; with one, the next attempt starts at `look_at`.
    pub(super) fn rest_or_wait(&mut self, look_at: MonoTime, reason: WakeReason, unsettled: bool) {
        if self.goals.campaign {
            self.state = State::Waiting { unsettled };
            self.pause(look_at, Next::Attempt, reason);
        } else {
            self.state = State::Idle;
        }
    }

    /// The acquiring write shows, in time: from here on the lease is held.
    fn start_term(&mut self, now: Now, contending: &Contending, attempt: Attempt) {
        let Some(record) = self.observed.as_ref().map(|observed| &observed.record) else {
            return;
        };
        let Some(token) = record.token() else {
            return self.fail(now, contending, Problem::UnorderedResourceVersion, None);
        };
        if self.last_token.is_some_and(|last| token <= last) {
            return self.fail(now, contending, Problem::TokenNotAbove, None);
        }
        self.last_token = Some(token);
        self.failures = 0;
        let until = attempt.emitted.saturating_add(self.config.validity());
        let acquisition = contending.acquisition.clone();
        self.outbox.event(Event::Acquired {
            token,
            until,
            acquisition,
        });
        let Goals {
            attempt: asked,
            campaign_unanswered,
            ..
        } = self.goals;
        for (_, command) in [
            (asked, Command::TryAcquire),
            (campaign_unanswered, Command::Campaign),
        ]
        .into_iter()
        .filter(|(waits, _)| *waits)
        {
            self.outbox.event(Event::AttemptEnded {
                command,
                outcome: AttemptOutcome::Acquired { token },
            });
        }
        self.goals = Goals {
            campaign: self.goals.campaign,
            ..Goals::default()
        };
        self.begin_holding(token, until, attempt, contending.unsettled_create);
    }

    /// A release came before the attempt ended: take back what it may have written.
    pub(super) fn release_while_contending(&mut self, now: Now, contending: &Contending) {
        let stopped = self.stop();
        let unknown_create = stopped
            .as_ref()
            .is_some_and(|stopped| stopped.kind == Kind::Create);
        let ghost = contending.unsettled_create || unknown_create;
        self.clean_up(now, contending.wrote, ghost);
    }

    /// Whether a record is ours by this incarnation's own write.
    pub(super) fn is_own(&self, now: Now, record: &Record) -> bool {
        self.judge(now).own_attempt(record).is_some()
    }
}
