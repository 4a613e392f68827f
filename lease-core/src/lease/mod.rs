//! The state machine: deadlines first, then the input, then whatever that made due.

#[cfg(feature = "explore")]
mod canonical;
mod contend;
mod exchange;
mod hold;
mod outbox;
mod release;
mod step;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Response;

#[cfg(feature = "explore")]
pub use self::canonical::View;
use self::contend::Contending;
use self::hold::Term;
use self::outbox::Outbox;
use self::release::Releasing;
use self::step::{InFlight, Next, Step};
use self::watch::Watching;
use crate::attempts::Attempts;
use crate::config::Config;
use crate::event::{AttemptOutcome, Command, Event, LostReason};
use crate::identifiers::{FencingToken, Identity, Nonce, RequestId, Seed};
use crate::input::{Failure, Input};
use crate::mutated::mutated;
use crate::observation::{Judge, Observation};
use crate::output::{Held, Output, WakeReason};
use crate::problem::Problem;
use crate::rng::Rng;
use crate::server_clock::ServerClock;
use crate::time::{MonoTime, Now};
use crate::timestamp;
use crate::wire::{Kind, Reply, Trouble, Version};

/// The end of the clock: what lies beyond is clamped to it, so that adding durations never saturates.
const LAST: MonoTime = MonoTime::from_nanos(u64::MAX / 2);

/// One holder of one lease, as a value.
///
/// Two machines that are equal behave equally from there on: the machine can be cloned, hashed and
/// explored. See the [crate documentation](crate) for the contract and the loop around it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lease {
    config: Arc<Config>,
    nonce: Nonce,
    rng: Rng,
    /// The last reading, its monotonic part clamped to the highest seen.
    now: Now,
    outbox: Outbox,
    step: Step,
    state: State,
    goals: Goals,
    observed: Option<Observation>,
    /// Whether a read has told anything yet: only the first one may find a record to reclaim.
    has_read: bool,
    attempts: Attempts,
    /// A PUT without a known outcome: it can land for as long as the record is in this state.
    open_update: Option<Version>,
    /// A record may name us although no term runs: a release has something to clean up.
    litter: bool,
    server_clock: ServerClock,
    last_token: Option<FencingToken>,
    /// The holder that the last event told.
    told_holder: Option<Identity>,
    episode: u64,
    /// Consecutive attempts of a campaign that failed.
    failures: u32,
    watching: Watching,
    stats: Stats,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
enum State {
    #[default]
    Idle,
    /// An attempt is under way.
    Contending(Contending),
    /// A campaign waits for its next attempt.
    Waiting,
    Holding(Term),
    Releasing(Releasing),
}

/// What the commands given so far amount to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Goals {
    /// A `TryAcquire` waits for its answer.
    attempt: bool,
    /// Hold whenever possible.
    campaign: bool,
    /// A `Campaign` waits for its answer.
    campaign_unanswered: bool,
}

/// What a machine is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Status {
    /// Nothing, and nothing is due.
    Idle,
    /// Trying to acquire.
    Contending,
    /// Waiting for the next attempt of a campaign.
    Waiting,
    /// Holding.
    Holding,
    /// Telling the API server that the term has ended.
    Releasing,
}

/// Things that should not happen often, counted since the machine was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Stats {
    /// Responses, failures, chunks and answers whose id was unknown, no longer wanted or not yet polled.
    pub stray_inputs: u64,
    /// Inputs whose monotonic reading lay before an earlier one, or beyond the end of the clock.
    pub clamped_clocks: u64,
    /// Writes that met another state than the one they were made for.
    pub conflicts: u64,
    /// Writes without a definite outcome.
    pub unknown_outcomes: u64,
}

impl Lease {
    /// A machine at rest. It sends nothing until a command comes.
    ///
    /// `seed` must come from a good source of randomness, outside of tests.
    pub fn new(config: Config, seed: Seed, now: Now) -> Self {
        let (rng, nonce) = Rng::start(seed, config.identity().as_str(), now);
        Self {
            config: Arc::new(config),
            nonce,
            rng,
            now: Now { mono: now.mono.min(LAST), ..now },
            outbox: Outbox::default(),
            step: Step::Rest,
            state: State::Idle,
            goals: Goals::default(),
            observed: None,
            has_read: false,
            attempts: Attempts::default(),
            open_update: None,
            litter: false,
            server_clock: ServerClock::default(),
            last_token: None,
            told_holder: None,
            episode: 0,
            failures: 0,
            watching: Watching::default(),
            stats: Stats::default(),
        }
    }

    /// Takes in what happened, at `now`. Never fails, never panics.
    ///
    /// `now` is read *after* the bytes of a response arrived. Any number of inputs may precede a drain.
    pub fn handle(&mut self, now: Now, input: Input) {
        let now = self.advance(now);
        if !mutated!(self.config, DeadlineAfterInput) {
            self.fire_alarms(now);
        }
        match input {
            Input::Tick => {}
            Input::TryAcquire => self.try_acquire(now),
            Input::Campaign => self.campaign(now),
            Input::Release => self.release(now),
            Input::Response { id, response } => self.on_response(now, id, &response),
            Input::Failed { id, failure } => self.on_failure(now, id, failure),
            Input::CredentialsReady { id } => self.on_credentials(now, id),
            Input::WatchChunk { id, bytes } => self.on_watch_chunk(now, id, &bytes),
            Input::WatchClosed { id } => self.on_watch_closed(now, id),
        }
        self.fire_alarms(now);
    }

    /// The next thing to do or to know. Pops a queue; poll until [`Output::Idle`].
    pub fn poll(&mut self) -> Output {
        self.outbox.pop(&self.config).unwrap_or_else(|| {
            let alarm = self.alarm();
            Output::Idle {
                wake: alarm.map(|(at, _)| at),
                reason: alarm.map_or(WakeReason::Nothing, |(_, reason)| reason),
            }
        })
    }

    /// When [`Input::Tick`] is due: the last `now` while anything waits to be polled, `None` when nothing
    /// happens by itself.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<MonoTime> {
        if self.outbox.is_empty() { self.alarm().map(|(at, _)| at) } else { Some(self.now.mono) }
    }

    /// Whether the lease is held at `now`: arithmetic on the deadline, right even if nobody polls.
    ///
    /// A reading below an earlier one is taken for the earlier one.
    #[must_use]
    pub fn check_alive(&self, now: MonoTime) -> Option<Held> {
        match &self.state {
            State::Holding(term)
                if now.max(self.now.mono) < term.until || mutated!(self.config, HeldWithoutAClock) =>
            {
                Some(Held { until: term.until, token: term.token })
            }
            State::Releasing(releasing) if mutated!(self.config, HeldWhileReleasing) => {
                Some(Held { until: releasing.give_up_at, token: self.last_token? })
            }
            _ => None,
        }
    }

    /// What the machine is doing.
    #[must_use]
    pub fn status(&self) -> Status {
        match self.state {
            State::Idle => Status::Idle,
            State::Contending(_) => Status::Contending,
            State::Waiting => Status::Waiting,
            State::Holding(_) => Status::Holding,
            State::Releasing(_) => Status::Releasing,
        }
    }

    /// Who held the lease at the last look; `None`: nobody, nobody readable, or it was never looked at.
    #[must_use]
    pub fn holder(&self) -> Option<&Identity> {
        self.observed.as_ref()?.record.holder.identity()
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// This incarnation's nonce.
    #[must_use]
    pub fn nonce(&self) -> Nonce {
        self.nonce
    }

    /// Counters.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.stats
    }

    fn advance(&mut self, now: Now) -> Now {
        let highest = now.mono.max(self.now.mono);
        let mono = mutated!(self.config, ClockRegressionAccepted, now.mono, highest).min(LAST);
        if mono != now.mono {
            self.stats.clamped_clocks += 1;
        }
        self.now = Now { mono, wall: now.wall };
        self.now
    }

    /// The next thing that is due by itself. Of those at the same instant the end of the term comes first, and the
    /// watch last.
    fn alarm(&self) -> Option<(MonoTime, WakeReason)> {
        let state = match &self.state {
            State::Holding(term) => Some((term.until, WakeReason::TermEnds)),
            State::Releasing(releasing) => Some((releasing.give_up_at, WakeReason::GiveUp)),
            State::Idle | State::Contending(_) | State::Waiting => None,
        };
        earlier(earlier(state, self.step.alarm()), self.watching.alarm())
    }

    fn fire_alarms(&mut self, now: Now) {
        while let Some((at, reason)) = self.alarm().filter(|(at, _)| *at <= now.mono) {
            match &self.state {
                _ if reason == WakeReason::Watch => self.fire_watch(now),
                State::Holding(term) if term.until == at => {
                    let last = term.last_problem.clone();
                    self.lose(now, LostReason::Expired { last });
                }
                State::Releasing(releasing) if releasing.give_up_at == at => self.give_up_release(now),
                _ => self.fire_step(now),
            }
        }
        self.tend_watch(now);
    }

    fn fire_step(&mut self, now: Now) {
        match std::mem::take(&mut self.step) {
            Step::Rest => {}
            Step::Asking(in_flight) => {
                let trouble = if self.outbox.withdraw(in_flight.id) {
                    Trouble::definite(Problem::Timeout)
                } else {
                    self.outbox.abort(in_flight.id);
                    Trouble::unclear(Problem::Timeout)
                };
                self.on_reply(now, &in_flight, Reply::Trouble(trouble));
            }
            Step::Refreshing { id, not_before, then, .. } => {
                self.outbox.withdraw(id);
                self.refreshed(now, not_before, then);
            }
            Step::Pausing { then, .. } => self.proceed(now, then),
        }
    }

    fn proceed(&mut self, now: Now, next: Next) {
        match (&self.state, next) {
            (State::Waiting, Next::Attempt) => self.start_attempt(now),
            (State::Contending(_) | State::Holding(_) | State::Releasing(_), Next::Read) => self.read(now),
            (State::Contending(_), Next::Write) => self.write_in_quarantine(now),
            (State::Holding(_), Next::Write) => self.renew(now),
            (State::Releasing(_), Next::Write) => self.give_back(now),
            // No pause leads here: what it waits for ends with the state that it began in.
            (State::Idle | State::Waiting, _) => {}
            (State::Contending(_) | State::Holding(_) | State::Releasing(_), Next::Attempt) => {}
        }
    }

    fn try_acquire(&mut self, now: Now) {
        match &self.state {
            State::Holding(term) => {
                let outcome = AttemptOutcome::AlreadyHeld { token: term.token };
                self.outbox.event(Event::AttemptEnded { command: Command::TryAcquire, outcome });
            }
            State::Contending(_) | State::Releasing(_) => self.goals.attempt = true,
            State::Idle | State::Waiting => {
                self.goals.attempt = true;
                self.start_attempt(now);
            }
        }
    }

    fn campaign(&mut self, now: Now) {
        self.goals.campaign = true;
        match &self.state {
            State::Holding(term) => {
                let outcome = AttemptOutcome::AlreadyHeld { token: term.token };
                self.outbox.event(Event::AttemptEnded { command: Command::Campaign, outcome });
            }
            State::Contending(_) | State::Releasing(_) | State::Waiting => {
                self.goals.campaign_unanswered = true;
            }
            State::Idle => {
                self.goals.campaign_unanswered = true;
                self.start_attempt(now);
            }
        }
    }

    fn release(&mut self, now: Now) {
        self.cancel_goals();
        match std::mem::take(&mut self.state) {
            State::Idle | State::Waiting | State::Contending(_) => self.clean_up(now),
            State::Holding(term) => self.release_term(now, &term),
            // One answer serves both.
            State::Releasing(releasing) => self.state = State::Releasing(releasing),
        }
    }

    fn cancel_goals(&mut self) {
        let goals = std::mem::take(&mut self.goals);
        self.answer(&goals, &AttemptOutcome::Cancelled);
    }

    /// Answers every command that still waits for its answer.
    fn answer(&mut self, goals: &Goals, outcome: &AttemptOutcome) {
        let unanswered =
            [(goals.attempt, Command::TryAcquire), (goals.campaign_unanswered, Command::Campaign)];
        for (_, command) in unanswered.into_iter().filter(|(waits, _)| *waits) {
            self.outbox.event(Event::AttemptEnded { command, outcome: outcome.clone() });
        }
    }

    fn on_response(&mut self, now: Now, id: RequestId, response: &Response<Bytes>) {
        if self.is_watch(id) {
            return self.on_watch_response(now, response);
        }
        let Some(in_flight) = self.take_in_flight(id) else {
            return;
        };
        let date = response.headers().get(http::header::DATE).and_then(|value| value.to_str().ok());
        if let Some(date) = date.and_then(timestamp::parse_http_date) {
            let noted = self.server_clock.note(date, in_flight.emitted, now, self.config.skew_bound());
            if let Some(event) = noted {
                self.outbox.event(event);
            }
        }
        let last = self.observed.as_ref().map(|observed| &observed.record);
        let judged = Reply::judge(in_flight.kind, response, &self.config, last);
        let reply = mutated!(by crate::mutants::misjudged(&self.config, response, judged), judged);
        self.on_reply(now, &in_flight, reply);
    }

    fn on_failure(&mut self, now: Now, id: RequestId, failure: Failure) {
        if self.is_watch(id) {
            return self.on_watch_failure(now, failure);
        }
        let Some(in_flight) = self.take_in_flight(id) else {
            return;
        };
        let trouble = match failure {
            Failure::NotSent => Trouble::definite(Problem::Transport),
            Failure::Unknown => Trouble::unclear(Problem::Transport),
            Failure::TooLarge => Trouble::unclear(Problem::TooLarge),
        };
        self.on_reply(now, &in_flight, Reply::Trouble(trouble));
    }

    fn on_reply(&mut self, now: Now, in_flight: &InFlight, reply: Reply) {
        self.take_stock(in_flight, &reply);
        match std::mem::take(&mut self.state) {
            State::Contending(contending) => self.contending_reply(now, contending, in_flight, reply),
            State::Holding(term) => self.holding_reply(now, term, in_flight, reply),
            State::Releasing(releasing) => self.releasing_reply(now, releasing, in_flight, reply),
            // Nothing is asked while idle or waiting.
            state @ (State::Idle | State::Waiting) => self.state = state,
        }
    }

    /// Counts, and remembers what a write may have left behind.
    fn take_stock(&mut self, in_flight: &InFlight, reply: &Reply) {
        match reply {
            _ if !in_flight.kind.writes() => {}
            Reply::Trouble(trouble) if trouble.definite => {}
            Reply::Trouble(_) => self.leave_open(in_flight),
            Reply::Conflict => {
                self.stats.conflicts += 1;
                // It may be the echo of our own write.
                self.litter |= in_flight.stamp.is_some();
            }
            Reply::Record(record) if !self.confirms(in_flight, record) => self.leave_open(in_flight),
            Reply::Record(_) | Reply::Deleted | Reply::Absent => self.litter |= in_flight.stamp.is_some(),
        }
    }

    /// A write has no known outcome: it may land later.
    fn leave_open(&mut self, in_flight: &InFlight) {
        self.stats.unknown_outcomes += u64::from(in_flight.kind.writes());
        // A write without a stamp takes our name away: let it land.
        let Some(stamp) = in_flight.stamp else {
            return;
        };
        self.litter = true;
        match in_flight.kind {
            Kind::Create => self.attempts.leave_open(stamp, self.now.mono),
            Kind::Update => self.open_update.clone_from(&in_flight.base),
            Kind::Read | Kind::Delete => {}
        }
    }

    /// Whether a write of ours can still put our name into the record.
    fn is_unsettled(&self) -> bool {
        self.open_update.is_some() || self.attempts.may_create(self.now.mono)
    }

    fn on_credentials(&mut self, now: Now, id: RequestId) {
        match &self.step {
            Step::Refreshing { id: wanted, not_before, then, .. }
                if *wanted == id && !self.outbox.is_waiting(id) =>
            {
                let (not_before, then) = (*not_before, *then);
                self.refreshed(now, not_before, then);
            }
            _ => self.stats.stray_inputs += 1,
        }
    }

    fn judge(&self, now: Now) -> Judge<'_> {
        Judge {
            config: &self.config,
            nonce: self.nonce,
            attempts: &self.attempts,
            now,
            wall_is_trusted: !self.server_clock.disagrees(now, self.config.skew_bound())
                || mutated!(self.config, TimestampsDespiteDate),
        }
    }

    /// A pause that doubles with every failure in a row, from `base` to `most`, up to half of it cut off.
    fn backoff(&mut self, base: Duration, failures: u32, most: Duration) -> Duration {
        let grown = base.saturating_mul(1 << failures.saturating_sub(1).min(16));
        let pause = self.rng.jitter(grown.min(most.max(base)));
        mutated!(by crate::mutants::backoff(&self.config, failures, pause), pause)
    }
}

type Alarm = Option<(MonoTime, WakeReason)>;

/// Of two at the same instant the first.
fn earlier(one: Alarm, other: Alarm) -> Alarm {
    match (one, other) {
        (Some(one), Some(other)) => Some(if other.0 < one.0 { other } else { one }),
        (one, other) => one.or(other),
    }
}
