//! The watch: a hint that something has happened.
//!
//! It can start an attempt of a campaign early, restart the wait for another holder, and end a term. It never
//! extends a term and never takes the place of a read before a write, so nothing hangs on its being complete, in
//! order, or there at all.

use std::mem;
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};

use super::contend::look_by;
use super::hold::{Standing, Term};
use super::step::{Next, Step};
use super::{Lease, State};
use crate::config::Config;
use crate::event::{Event, LostReason};
use crate::identifiers::{FencingToken, RequestId};
use crate::input::Failure;
use crate::mutated::mutated;
use crate::observation::{Observation, Verdict};
use crate::output::WakeReason;
use crate::problem::{Problem, Verb};
use crate::time::{MonoTime, Now};
use crate::wire::{Holder, Kind, ObjectChange, Record, Reply, Told, Trouble};

/// The shortest and the longest that a watch is asked to last: it costs one request, and a connection that died
/// in silence is noticed when it is over.
const LASTS: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(300));
/// A watch lasts for so many ttl.
const LASTS_TTLS: u32 = 8;
/// The longest pause before a watch is opened again.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// The status of a server whose history does not reach back so far.
const GONE: u16 = 410;

/// What is known of the watch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Watching {
    stream: Stream,
    /// Watches in a row that were of no use.
    failures: u32,
    /// The server does not remember as far back as what we know: begin with what there is.
    forgotten: bool,
    /// During an attempt the lease became free at this version: what the attempt has read may be older.
    freed: Option<FencingToken>,
    /// The record was in another state in the meantime. What is read next is news, even if it is as it was before.
    moved: bool,
    /// The newest version that a watch has told of, or that an object had that is gone. What is told again is of no
    /// use to anybody.
    heard: Option<FencingToken>,
    /// No hint starts an attempt before this: even a stream of hints costs few requests.
    not_before: Option<MonoTime>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
enum Stream {
    #[default]
    Closed,
    /// It is opened again then, if it is still wanted.
    Pausing { until: MonoTime },
    /// It was asked for; the head of the response has not come.
    Opening { id: RequestId, give_up_at: MonoTime },
    Open {
        /// `None`: its driver has handed in all of it at once.
        id: Option<RequestId>,
        since: MonoTime,
        ends_at: MonoTime,
        told: bool,
        rest: Vec<u8>,
    },
}

impl Stream {
    fn id(&self) -> Option<RequestId> {
        match self {
            Self::Opening { id, .. } => Some(*id),
            Self::Open { id, .. } => *id,
            Self::Closed | Self::Pausing { .. } => None,
        }
    }

    /// As it should be, nothing is put off: what is overdue is given up.
    fn put_off(&mut self, to: MonoTime) {
        if let Self::Opening { give_up_at: end, .. } | Self::Open { ends_at: end, .. } = self {
            *end = to;
        }
    }
}

impl Watching {
    pub(super) fn alarm(&self) -> Option<(MonoTime, WakeReason)> {
        let at = match &self.stream {
            Stream::Closed => return None,
            Stream::Pausing { until } => *until,
            Stream::Opening { give_up_at, .. } => *give_up_at,
            Stream::Open { ends_at, .. } => *ends_at,
        };
        Some((at, WakeReason::Watch))
    }
}

/// How long a watch is asked to last, in whole seconds.
fn lasts(config: &Config) -> Duration {
    let wanted = config.ttl().saturating_mul(LASTS_TTLS).clamp(LASTS.0, LASTS.1);
    Duration::from_secs(wanted.as_secs())
}

impl Lease {
    /// Opens or closes the watch, whichever what came last asks for.
    pub(super) fn tend_watch(&mut self, now: Now) {
        if !self.config.watch() {
            return;
        }
        let (wanted, settled) = match &self.state {
            State::Holding(_) | State::Waiting => (true, true),
            State::Contending(_) => (self.goals.campaign, false),
            State::Idle | State::Releasing(_) => (false, false),
        };
        if !wanted {
            self.hang_up();
            self.watching = Watching::default();
        } else if settled && self.watching.stream == Stream::Closed {
            self.open_watch(now);
        }
    }

    fn open_watch(&mut self, now: Now) {
        // What cannot be ordered could not be told from what is known already.
        let Some(known) = self.observed.as_ref().filter(|observed| observed.record.token().is_some()) else {
            return;
        };
        let give_up_at = now.mono.saturating_add(self.config.request_timeout());
        let seconds = lasts(&self.config).as_secs();
        let from = (!self.watching.forgotten).then(|| &*known.record.version.resource_version);
        let id = self.outbox.open_watch(from, seconds, give_up_at);
        self.watching.stream = Stream::Opening { id, give_up_at };
    }

    /// What it still brings is not wanted.
    fn hang_up(&mut self) {
        if let Some(id) = self.watching.stream.id()
            && !self.outbox.withdraw(id)
            && !mutated!(self.config, WatchNotHungUp)
        {
            self.outbox.abort(id);
        }
    }

    /// Whether that is the watch, and was polled.
    pub(super) fn is_watch(&self, id: RequestId) -> bool {
        self.watching.stream.id() == Some(id) && !self.outbox.is_waiting(id)
    }

    /// A pause is over, or a watch has lasted for too long.
    pub(super) fn fire_watch(&mut self, now: Now) {
        if matches!(self.watching.stream, Stream::Pausing { .. }) {
            // Opened after this input, if it is wanted then.
            self.watching.stream = Stream::Closed;
        } else if mutated!(self.config, SilentWatchKept) {
            self.watching.stream.put_off(now.mono.saturating_add(LASTS.1));
        } else {
            self.give_up_watch(now, Problem::Timeout);
        }
    }

    /// Another answer than a stream.
    pub(super) fn on_watch_response(&mut self, now: Now, response: &Response<Bytes>) {
        if response.status() == StatusCode::OK {
            // A driver that does not stream hands in everything at once.
            self.watch_opened(now, None);
            self.take_in(now, response.body());
            if matches!(self.watching.stream, Stream::Open { .. }) {
                self.watch_ended(now, None, None);
            }
            return;
        }
        let (problem, retry_after) = match Reply::judge(Kind::Read, response, &self.config, None) {
            Reply::Trouble(Trouble { problem: Problem::Forbidden { message, .. }, .. }) => {
                (Problem::Forbidden { verb: Verb::Watch, message }, None)
            }
            Reply::Trouble(Trouble { problem, retry_after, .. }) => (problem, retry_after),
            _ => (Problem::NotThisApi, None),
        };
        self.watch_ended(now, Some(problem), retry_after);
    }

    pub(super) fn on_watch_failure(&mut self, now: Now, failure: Failure) {
        let problem = match failure {
            Failure::NotSent | Failure::Unknown => Problem::Transport,
            Failure::TooLarge => Problem::TooLarge,
        };
        self.watch_ended(now, Some(problem), None);
    }

    pub(super) fn on_watch_closed(&mut self, now: Now, id: RequestId) {
        match &self.watching.stream {
            Stream::Open { .. } if self.is_watch(id) => self.watch_ended(now, None, None),
            Stream::Opening { .. } if self.is_watch(id) => {
                self.watch_ended(now, Some(Problem::Transport), None);
            }
            _ => self.stats.stray_inputs += 1,
        }
    }

    pub(super) fn on_watch_chunk(&mut self, now: Now, id: RequestId, bytes: &Bytes) {
        if !self.is_watch(id) {
            self.stats.stray_inputs += 1;
            return;
        }
        if matches!(self.watching.stream, Stream::Opening { .. }) {
            self.watch_opened(now, Some(id));
        }
        self.take_in(now, bytes);
    }

    fn watch_opened(&mut self, now: Now, id: Option<RequestId>) {
        let longest = lasts(&self.config).saturating_add(self.config.request_timeout());
        let ends_at = now.mono.saturating_add(longest);
        self.watching.stream = Stream::Open { id, since: now.mono, ends_at, told: false, rest: Vec::new() };
    }

    /// Bytes of an open watch.
    fn take_in(&mut self, now: Now, bytes: &Bytes) {
        let mut left = &bytes[..];
        // A line may end the watch.
        while let Stream::Open { rest, .. } = &mut self.watching.stream {
            let end = left.iter().position(|byte| *byte == b'\n');
            let (piece, after) = end.map_or((left, None), |end| (&left[..end], Some(&left[end + 1..])));
            if rest.len().saturating_add(piece.len()) > self.config.max_body() {
                return self.give_up_watch(now, Problem::TooLarge);
            }
            let Some(after) = after else {
                return rest.extend_from_slice(piece);
            };
            left = after;
            if rest.is_empty() {
                self.on_line(now, piece);
            } else {
                let mut line = mem::take(rest);
                line.extend_from_slice(piece);
                self.on_line(now, &line);
            }
        }
    }

    fn on_line(&mut self, now: Now, line: &[u8]) {
        if line.trim_ascii().is_empty() {
            return;
        }
        let last = self.observed.as_ref().map(|observed| &observed.record);
        match Told::read(line, &self.config, last) {
            Ok(Told::Change(record, change)) => self.hear(now, record, change),
            Ok(Told::Nothing) => {}
            Err(problem) => self.give_up_watch(now, problem),
        }
    }

    /// A watch is of use if it tells what no answer and no watch has told before.
    fn hear(&mut self, now: Now, record: Record, change: ObjectChange) {
        let known = self.observed.as_ref().and_then(|observed| observed.record.token());
        let repeats = mutated!(self.config, RepeatsAreOfUse);
        if !self.is_news(&record, change) && !repeats {
            return;
        }
        if record.token() > self.watching.heard.max(known) || repeats {
            self.watching.heard = record.token();
            if let Stream::Open { told, .. } = &mut self.watching.stream {
                *told = true;
            }
        }
        self.told(now, record, change == ObjectChange::Deleted);
    }

    /// Of no use any more: it is not listened to from here on.
    fn give_up_watch(&mut self, now: Now, problem: Problem) {
        self.hang_up();
        self.watch_ended(now, Some(problem), None);
    }

    /// Opened again after a pause, which grows while watches are of no use.
    fn watch_ended(&mut self, now: Now, problem: Option<Problem>, retry_after: Option<Duration>) {
        let of_use = match &self.watching.stream {
            Stream::Open { told, since, .. } => {
                *told || now.mono.saturating_since(*since) >= self.config.poll_interval()
            }
            _ => false,
        };
        self.watching.failures = if of_use { 0 } else { self.watching.failures.saturating_add(1) };
        let gone =
            matches!(problem, Some(Problem::Status { code: GONE, .. } | Problem::Refused { code: GONE, .. }));
        // The first time that is no trouble: a record that nobody renews is older than what servers remember.
        let problem = problem.filter(|_| !gone || self.watching.forgotten);
        self.watching.forgotten = gone;
        let failures = mutated!(self.config, WatchPausesConstant, 1, self.watching.failures.max(1));
        // Fresh credentials are what the next renewal or poll asks for.
        let permanent = |problem: &Problem| problem.is_permanent() && *problem != Problem::Unauthorized;
        let pause = if problem.as_ref().is_some_and(permanent) {
            self.rng.jitter(LONGEST_PAUSE)
        } else {
            self.backoff(self.config.retry_delay(), failures, LONGEST_PAUSE)
        };
        let until = now.mono.saturating_add(pause.max(retry_after.unwrap_or_default().min(LONGEST_PAUSE)));
        let until = mutated!(
            self.config,
            WatchReopenedAtOnce,
            now.mono.saturating_add(Duration::from_millis(1)),
            until
        );
        self.watching.stream = Stream::Pausing { until };
        if let Some(problem) = problem {
            self.outbox.event(Event::WatchTrouble { problem, retry_at: until });
        }
    }

    /// The watch tells of a newer state of the object, or with `gone` of its end.
    fn told(&mut self, now: Now, record: Record, gone: bool) {
        match mem::take(&mut self.state) {
            State::Holding(term) => self.told_holding(now, term, record, gone),
            State::Waiting => {
                self.state = State::Waiting;
                self.told_waiting(now, record, gone);
            }
            State::Contending(contending) => {
                self.state = State::Contending(contending);
                if gone || record.holder == Holder::Nobody {
                    self.watching.freed = self.watching.freed.max(record.token());
                }
                self.note_move(&record, gone);
            }
            state => self.state = state,
        }
    }

    /// The record is in another state than the one that is waited for.
    fn note_move(&mut self, record: &Record, gone: bool) {
        let differs = |known: &Observation| !known.record.same_state(record);
        self.watching.moved |= !gone && self.observed.as_ref().is_some_and(differs);
    }

    /// Whether the record has been in another state since it was observed.
    pub(super) fn has_moved(&mut self) -> bool {
        mem::take(&mut self.watching.moved)
    }

    /// Whether that comes after all that is known: a stream can be late, and tell things twice.
    fn is_news(&self, record: &Record, change: ObjectChange) -> bool {
        let told = record.token();
        if mutated!(self.config, OldEventsBelieved) {
            return true;
        }
        match &self.observed {
            // The end of the very object that is known; on some servers with its last version.
            Some(known)
                if change == ObjectChange::Deleted && known.record.version.uid == record.version.uid =>
            {
                told >= known.record.token()
            }
            Some(known) => told > known.record.token(),
            // Where nothing is known to be, only what is made anew comes later.
            None => change == ObjectChange::Added && told > self.watching.heard,
        }
    }

    /// Something that is no longer our term ends it. What still is, is left to the renewal's own answers.
    fn told_holding(&mut self, now: Now, mut term: Term, record: Record, gone: bool) {
        let over = if gone && mutated!(self.config, DeletionEventIgnored) {
            None
        } else if gone {
            self.observe_absence();
            Some(LostReason::Deleted)
        } else {
            match self.standing(now, &term, &record) {
                Standing::Over(_) if mutated!(self.config, TakeoverEventIgnored) => None,
                Standing::Over(reason) => {
                    self.observe(now, record);
                    Some(reason)
                }
                Standing::Ours(_) if mutated!(self.config, EventExtends) => {
                    term.until = now.mono.saturating_add(self.config.validity());
                    None
                }
                Standing::Ours(_) | Standing::Stale => None,
            }
        };
        self.state = State::Holding(term);
        if let Some(reason) = over {
            self.lose(now, reason);
        }
    }

    /// To a campaign that waits, another state of the record is as if it had read it: the wait for its holder begins
    /// anew. If the lease may be had it looks now, which begins with a read. It never looks later for what it
    /// was told.
    fn told_waiting(&mut self, now: Now, record: Record, gone: bool) {
        let Step::Pausing { until, then: Next::Attempt, reason: WakeReason::Poll } = self.step else {
            // After trouble the pause is kept: what comes after it reads anyway.
            return self.note_move(&record, gone);
        };
        if gone && mutated!(self.config, CreatesUnread) {
            self.watching.freed = record.token();
        }
        let look_at = if gone { self.earliest_hint(now) } else { self.look_after(now, record, until) };
        self.pause(look_at.min(until), Next::Attempt, WakeReason::Poll);
    }

    /// When to look because the record is like that.
    fn look_after(&mut self, now: Now, record: Record, until: MonoTime) -> MonoTime {
        let seen_at = mutated!(
            self.config,
            EventKeepsWait,
            self.observed.as_ref().map_or(now.mono, |observed| observed.since),
            now.mono
        );
        self.observe(Now { mono: seen_at, ..now }, record);
        match self.observed.as_ref().map(|observed| self.judge(now).verdict(observed)) {
            Some(Verdict::Refuse(denial)) => {
                self.tell_if_new(now, denial.reason, until);
                look_by(&denial, until)
            }
            _ => self.earliest_hint(now),
        }
    }

    /// The object is gone, and what is told of it later is old.
    pub(super) fn forget_object(&mut self) {
        let known = self.observed.take().and_then(|observed| observed.record.token());
        self.watching.heard = self.watching.heard.max(known.filter(|_| self.config.watch()));
    }

    /// An attempt begins: what it reads comes after all that was told.
    pub(super) fn forget_hint(&mut self, now: Now) {
        self.watching.freed = None;
        self.watching.not_before = Some(now.mono.saturating_add(self.config.acquire_retry_delay()));
    }

    /// When a hint may start an attempt.
    fn earliest_hint(&self, now: Now) -> MonoTime {
        self.watching.not_before.map_or(now.mono, |not_before| not_before.max(now.mono))
    }

    /// Whether an attempt has nothing to read: as it should be, each begins with a read.
    pub(super) fn knows_enough(&self) -> bool {
        mutated!(self.config, CreatesUnread) && self.watching.freed.is_some()
    }

    pub(super) fn is_watching(&self) -> bool {
        matches!(self.watching.stream, Stream::Open { .. })
    }

    /// Whether the lease became free while an attempt was under way that did not see it: then when to try again.
    pub(super) fn missed_hint(&mut self, now: Now) -> Option<MonoTime> {
        let freed = self.watching.freed.take()?;
        let known = self.observed.as_ref().and_then(|observed| observed.record.token());
        (known < Some(freed)).then(|| self.earliest_hint(now))
    }
}
